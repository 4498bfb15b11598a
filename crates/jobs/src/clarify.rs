//! What Clarify's configuration names beside the job's inputs: facets, predictions and baselines in files of their own.
//!
//! Its container fetches them itself; a job of captura's own analyser sees no bucket, so they are put into its folder.
//!
//! Invariant: as of inputs. Refuses to: fetch what the configuration does not name by an `s3://` address.

use std::path::Path;

use captura_archive::Stores;
use captura_control::JobOrder;
use captura_wire::hosting::{InputDataType, ProcessingS3Input};
use serde_json::Value;

use crate::config_files::inside;
use crate::inputs::{InputError, Room, Share, fetch};

/// Where the configuration is, unless its input says otherwise.
const CONFIG_FOLDER: &str = "/opt/ml/processing/input/config";
const CONFIG_FILE: &str = "analysis_config.json";
/// Members that name objects, and where those go.
const NAMED: [(&str, &str); 3] = [
    ("/facet_dataset_uri", "/opt/ml/processing/input/facet_dataset_uri"),
    ("/predicted_label_dataset_uri", "/opt/ml/processing/input/predicted_label_dataset_uri"),
    ("/methods/shap/baseline", "/opt/ml/processing/input/baseline"),
];

/// Fetches what the configuration in the job's folder names; a configuration that cannot be read is the analyser's matter.
pub(crate) async fn fetch_named(
    stores: &Stores,
    order: &JobOrder,
    root: &Path,
    place: (Share, &Room),
) -> Result<(), InputError> {
    let input = order.request.processing_inputs.iter().find(|input| input.input_name == "analysis_config");
    let stated = input.and_then(|input| input.s3_input.as_ref()?.local_path.as_deref());
    let path = inside(root, stated.unwrap_or(CONFIG_FOLDER)).join(CONFIG_FILE);
    let Ok(text) = tokio::fs::read(&path).await else { return Ok(()) };
    let Ok(config) = serde_json::from_slice::<Value>(&text) else { return Ok(()) };
    for (member, folder) in NAMED {
        let uri = config.pointer(member).and_then(Value::as_str).filter(|uri| uri.starts_with("s3://"));
        let Some(uri) = uri else { continue };
        let input = ProcessingS3Input {
            s3_uri: uri.to_owned(),
            local_path: None,
            s3_data_type: InputDataType::S3Prefix,
            s3_input_mode: None,
            s3_data_distribution_type: None,
            s3_compression_type: None,
        };
        fetch(stores, &input, &inside(root, folder), place).await?;
    }
    Ok(())
}
