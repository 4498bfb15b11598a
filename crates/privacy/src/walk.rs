//! What walks through CSV and JSON share: they call for each value that a rule names, and write what they are told.

use captura_route::Signature;

use crate::failed::Failed;
use crate::plan::{Plan, RuleId};
use crate::{csv, json};

/// What is to stand in the place of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    /// The value.
    Keep,
    /// Nothing.
    Empty,
    /// Text, without quotes, delimiters or ends of lines.
    Text(String),
}

/// Called with the rule, the row and the value's text; without a rule for values that no rule names.
pub(crate) type Visit<'v> = dyn FnMut(Option<RuleId>, usize, &str) -> Result<Change, Failed> + 'v;

/// How a body is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Csv {
        /// The first line names the columns.
        header: bool,
    },
    Json,
    JsonLines,
}

impl Format {
    /// As the content type says; nothing when it says neither CSV nor JSON.
    pub(crate) fn of(content_type: Option<&str>) -> Option<Self> {
        let mut parts = content_type?.split(';');
        let essence = parts.next().unwrap_or_default().trim().to_ascii_lowercase();
        Some(match essence.as_str() {
            "text/csv" | "csv" | "application/csv" => {
                let header = parts.any(|parameter| {
                    let parameter = parameter.to_ascii_lowercase();
                    let parts = parameter.split_once('=');
                    parts.is_some_and(|(name, value)| {
                        name.trim() == "header" && value.trim().trim_matches('"') == "present"
                    })
                });
                Self::Csv { header }
            }
            "application/json" | "json" | "application/vnd.sagemaker.json" => Self::Json,
            "application/jsonlines"
            | "application/x-jsonlines"
            | "application/jsonl"
            | "application/x-ndjson"
            | "jsonlines" => Self::JsonLines,
            other if other.ends_with("+json") => Self::Json,
            _ => return None,
        })
    }
}

/// Walks through a body; answers it with its changes.
pub(crate) fn walk(body: &[u8], format: Format, plan: &Plan, visit: &mut Visit<'_>) -> Result<String, Failed> {
    let text = std::str::from_utf8(body).map_err(|_| Failed::NotText)?;
    match format {
        Format::Csv { header } => csv::walk(text, header, plan, visit),
        Format::Json => json::walk(text, plan, visit),
        Format::JsonLines => json::walk_lines(text, plan, visit),
    }
}

/// The names of what goes in, or comes out.
pub(crate) fn fields(signature: Option<&Signature>, output: bool) -> Option<&[captura_route::Field]> {
    signature.map(|signature| if output { &signature.outputs[..] } else { &signature.inputs[..] })
}
