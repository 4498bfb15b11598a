//! What SageMaker's containers find in `/opt/ml/config`: the request, and the instances.

use std::io;
use std::path::{Path, PathBuf};

use captura_control::JobOrder;
use serde_json::{Value, json};

/// The folder, as programs see it.
pub(crate) const CONFIG_FOLDER: &str = "/opt/ml/config";
/// The folder that a program leaves its message and its metrics in.
pub(crate) const OUTPUT_FOLDER: &str = "/opt/ml/output";
/// The folder of inputs and outputs.
pub(crate) const PROCESSING_FOLDER: &str = "/opt/ml/processing";
const JOB_FILE: &str = "processingjobconfig.json";
const RESOURCES_FILE: &str = "resourceconfig.json";

/// Where something that a program sees lies in the folder of its instance. The path was checked when it was asked for.
pub(crate) fn inside(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}

/// The names of a job's instances.
pub(crate) fn hosts(count: u32) -> Vec<String> {
    (1..=count).map(|number| format!("algo-{number}")).collect()
}

/// Writes both files, and makes the folders that every program may rely on.
pub(crate) fn write(root: &Path, order: &JobOrder, host: &str, hosts: &[String]) -> io::Result<()> {
    for folder in [CONFIG_FOLDER, OUTPUT_FOLDER, PROCESSING_FOLDER] {
        std::fs::create_dir_all(inside(root, folder))?;
    }
    std::fs::create_dir_all(inside(root, OUTPUT_FOLDER).join("metrics"))?;
    let outputs = order.request.processing_output_config.iter().flat_map(|config| &config.outputs);
    let local = outputs
        .filter(|output| !output.app_managed)
        .filter_map(|output| output.s3_output.as_ref()?.local_path.as_ref());
    for folder in local {
        std::fs::create_dir_all(inside(root, folder))?;
    }
    let folder = inside(root, CONFIG_FOLDER);
    std::fs::write(folder.join(JOB_FILE), job(order).to_string())?;
    let resources = json!({
        "current_host": host,
        "current_instance_type": order.request.processing_resources.cluster_config.instance_type,
        "hosts": hosts,
        "network_interface_name": "eth0",
    });
    std::fs::write(folder.join(RESOURCES_FILE), resources.to_string())
}

/// The request with the ARN, as containers read it.
fn job(order: &JobOrder) -> Value {
    let mut job = serde_json::to_value(&order.request).expect("our bug: a request is text, numbers and lists");
    if let Some(members) = job.as_object_mut() {
        members.shift_remove("Tags");
        members.insert("ProcessingJobArn".to_owned(), json!(order.arn));
        members.entry("Environment").or_insert_with(|| json!({}));
        members.entry("ProcessingInputs").or_insert_with(|| json!([]));
        members.entry("ProcessingOutputConfig").or_insert_with(|| json!({"Outputs": []}));
        members
            .entry("StoppingCondition")
            .or_insert_with(|| json!({"MaxRuntimeInSeconds": order.max_runtime.as_secs()}));
        if let Some(schedule) = &order.schedule_arn {
            members.insert("MonitoringScheduleArn".to_owned(), json!(schedule));
        }
    }
    job
}
