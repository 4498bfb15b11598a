//! Which files of a model's data answer, as SageMaker's XGBoost container chooses them.
//!
//! The container loads every file of the folder itself whose name does not begin with a dot and averages what they answer,
//! which is how it serves the models of a k-fold cross-validation (`xgboost-model-0`, `xgboost-model-1`, …); with
//! `SAGEMAKER_INFERENCE_ENSEMBLE` other than `true` it loads the first. Here `xgboost-model` comes before all others, files
//! that hold no XGBoost model are passed over, and the first is the first by name. A model in a folder of its own is found
//! as for every other image.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::PathBuf;

use crate::LoadError;
use crate::artifact::Artifact;
use crate::embedded::sniff::is_xgboost;

const VARIABLE: &str = "SAGEMAKER_INFERENCE_ENSEMBLE";
const MODEL_NAME: &str = "xgboost-model";
/// Most models that answer together.
const MAX_MODELS: usize = 100;

/// The model files, at least one.
pub(in crate::embedded::trees) fn model_files(
    artifact: &Artifact,
    environment: &BTreeMap<String, String>,
) -> Result<Vec<PathBuf>, LoadError> {
    let top = artifact.top_files()?;
    if let Some(named) = top.iter().find(|file| file.file_name() == Some(OsStr::new(MODEL_NAME))) {
        return Ok(vec![named.clone()]);
    }
    let mut models = Vec::new();
    for file in top {
        let found = is_xgboost(&file).map_err(|error| LoadError::Model {
            file: artifact.name_of(&file),
            reason: format!("it cannot be read: {error}"),
        })?;
        if found {
            models.push(file);
        }
    }
    if models.is_empty() {
        return Ok(vec![artifact.tree_file()?]);
    }
    if environment.get(VARIABLE).is_some_and(|value| value != "true") {
        models.truncate(1);
    }
    if let Some(beyond) = models.get(MAX_MODELS) {
        let reason = format!("it is one of {} models; at most {MAX_MODELS} answer together", models.len());
        return Err(LoadError::Model { file: artifact.name_of(beyond), reason });
    }
    Ok(models)
}
