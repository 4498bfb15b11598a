//! Models that run inside this process.

use std::collections::BTreeMap;

use crate::LoadError;
use crate::payload::Format;

pub(crate) mod onnx;
mod sniff;
pub mod trees;

pub use sniff::{ModelFormat, sniff, sniff_path};

/// Key of a model's environment that names the format of answers to calls that do not ask for one.
const DEFAULT_ACCEPT: &str = "SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT";

/// The format of answers to calls that do not ask for one.
fn default_format(environment: &BTreeMap<String, String>) -> Result<Format, LoadError> {
    let Some(value) = environment.get(DEFAULT_ACCEPT) else { return Ok(Format::Csv) };
    Format::negotiate(Some(value), Format::Csv).map_err(|_| LoadError::Environment {
        name: DEFAULT_ACCEPT,
        value: value.clone(),
        wanted: "give text/csv, application/json or application/jsonlines",
    })
}
