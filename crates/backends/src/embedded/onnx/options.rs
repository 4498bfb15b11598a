//! What a model's environment says about running it.
//!
//! | key | meaning |
//! | --- | --- |
//! | `CAPTURA_ONNX_THREADS` | threads that one call may use, 1 to 256; 1 by default |
//! | `CAPTURA_ONNX_SESSIONS` | calls that run at once, 1 to 256; the machine's processors by default, 1 for large models |
//! | `CAPTURA_ONNX_COLUMNS` | names of the columns of a model with one input, in its order, separated by commas |
//! | `CAPTURA_ONNX_OUTPUTS` | names of the outputs to answer with, separated by commas; all by default |
//! | `SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT` | media type of answers to calls that do not ask for one; `text/csv` by default |

use std::collections::BTreeMap;
use std::num::NonZero;
use std::thread::available_parallelism;

use crate::LoadError;

const THREADS: &str = "CAPTURA_ONNX_THREADS";
const SESSIONS: &str = "CAPTURA_ONNX_SESSIONS";
const COLUMNS: &str = "CAPTURA_ONNX_COLUMNS";
pub(super) const OUTPUTS: &str = "CAPTURA_ONNX_OUTPUTS";
const MAX_COUNT: usize = 256;

/// A session holds the model once more, so models above this size get one session by default, bytes.
const LARGE_MODEL_BYTES: u64 = 32 * 1024 * 1024;
/// Most sessions by default.
const MAX_DEFAULT_SESSIONS: usize = 8;

/// How a model is to be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Options {
    /// Threads of one call.
    pub(super) threads: usize,
    /// Calls at once.
    sessions: Option<usize>,
    /// Names of the columns of a single input.
    pub(super) columns: Option<Vec<String>>,
    /// Outputs to answer with; `None` for all.
    pub(super) outputs: Option<Vec<String>>,
}

impl Options {
    pub(super) fn from_environment(environment: &BTreeMap<String, String>) -> Result<Self, LoadError> {
        let count = |name: &'static str| match environment.get(name) {
            None => Ok(None),
            Some(value) => match value.trim().parse() {
                Ok(count @ 1..=MAX_COUNT) => Ok(Some(count)),
                _ => {
                    let wanted = "it must be a number from 1 to 256";
                    Err(LoadError::Environment { name, value: value.clone(), wanted })
                }
            },
        };
        let names = |key: &str| {
            let names = environment.get(key).filter(|names| !names.trim().is_empty())?;
            Some(names.split(',').map(|name| name.trim().to_owned()).collect())
        };
        let (threads, sessions) = (count(THREADS)?.unwrap_or(1), count(SESSIONS)?);
        Ok(Self { threads, sessions, columns: names(COLUMNS), outputs: names(OUTPUTS) })
    }

    /// Sessions for a model of that size.
    pub(super) fn sessions(&self, model_bytes: u64) -> usize {
        self.sessions.unwrap_or_else(|| {
            let processors = available_parallelism().map_or(1, NonZero::get);
            if model_bytes > LARGE_MODEL_BYTES { 1 } else { processors.min(MAX_DEFAULT_SESSIONS) }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(pairs: &[(&str, &str)]) -> Result<Options, LoadError> {
        Options::from_environment(&pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
    }

    #[test]
    fn defaults_hold_when_nothing_is_said() {
        let options = options(&[("SAGEMAKER_REGION", "eu-west-1")]).unwrap();
        assert_eq!((options.threads, options.outputs.as_ref()), (1, None));
        assert_eq!(options.sessions(LARGE_MODEL_BYTES + 1), 1);
        assert!(options.sessions(1000) >= 1);
    }

    #[test]
    fn keys_are_read_and_nonsense_is_refused_by_name() {
        let good = options(&[(THREADS, "4"), (SESSIONS, "2"), (OUTPUTS, "label, probabilities")]).unwrap();
        assert_eq!((good.threads, good.sessions(u64::MAX)), (4, 2));
        assert_eq!(good.outputs.unwrap(), ["label", "probabilities"]);
        for value in ["0", "257", "four", ""] {
            let error = options(&[(THREADS, value)]).unwrap_err().to_string();
            assert!(error.contains(&format!("CAPTURA_ONNX_THREADS={value:?}; it must be a number")), "{error}");
        }
    }
}
