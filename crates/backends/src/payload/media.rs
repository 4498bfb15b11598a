//! Media types: what a body is, and what the caller wants back.

use super::Refusal;
use super::refusal::shortened;

/// How a request body is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContentType {
    /// Comma-separated values.
    Csv {
        /// Whether the first line names the columns.
        header: bool,
    },
    /// One JSON document.
    Json,
    /// One JSON document a line.
    JsonLines,
}

impl ContentType {
    /// Reads a `Content-Type` header; `None` stands for a call without one.
    ///
    /// # Errors
    /// 415 when it is none of the known types.
    pub fn parse(header: Option<&str>) -> Result<Self, Refusal> {
        let Some(given) = header else { return Ok(Self::Csv { header: false }) };
        let mut parts = given.split(';');
        let essence = parts.next().unwrap_or_default().trim().to_ascii_lowercase();
        match essence.as_str() {
            "" | "text/csv" | "csv" | "application/csv" | "application/octet-stream" => {
                let header = parts.any(|parameter| {
                    let parameter = parameter.to_ascii_lowercase();
                    parameter.split_once('=').is_some_and(|(name, value)| {
                        name.trim() == "header" && value.trim().trim_matches('"') == "present"
                    })
                });
                Ok(Self::Csv { header })
            }
            "application/json" | "json" => Ok(Self::Json),
            "application/jsonlines"
            | "application/x-jsonlines"
            | "application/jsonl"
            | "application/x-ndjson"
            | "jsonlines" => Ok(Self::JsonLines),
            _ => Err(Refusal::ContentType { given: shortened(given) }),
        }
    }
}

/// How predictions are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One row a line, no line end after the last.
    Csv,
    /// `{"predictions": [{"<output>": …}, …]}`.
    Json,
    /// `{"<output>": …}`, one row a line.
    JsonLines,
}

impl Format {
    /// The format that suits an `Accept` header best: highest `q`, then the order of the header. `None`, an empty header
    /// and `*/*` ask for `default`.
    ///
    /// # Errors
    /// 406 when nothing that can be written is accepted.
    pub fn negotiate(accept: Option<&str>, default: Self) -> Result<Self, Refusal> {
        let Some(given) = accept.filter(|text| !text.trim().is_empty()) else { return Ok(default) };
        let mut best: Option<(f32, Self)> = None;
        for range in given.split(',') {
            let mut parts = range.split(';');
            let essence = parts.next().unwrap_or_default().trim().to_ascii_lowercase();
            let format = match essence.as_str() {
                "*/*" => default,
                "text/csv" | "text/*" | "csv" => Self::Csv,
                "application/json" | "json" => Self::Json,
                "application/*" if default == Self::JsonLines => Self::JsonLines,
                "application/*" => Self::Json,
                "application/jsonlines"
                | "application/x-jsonlines"
                | "application/jsonl"
                | "application/x-ndjson"
                | "jsonlines" => Self::JsonLines,
                _ => continue,
            };
            let quality = parts
                .filter_map(|parameter| parameter.split_once('='))
                .find(|(name, _)| name.trim().eq_ignore_ascii_case("q"))
                .and_then(|(_, value)| value.trim().parse::<f32>().ok())
                .unwrap_or(1.0);
            if quality > 0.0 && best.is_none_or(|(highest, _)| quality > highest) {
                best = Some((quality, format));
            }
        }
        best.map(|(_, format)| format).ok_or_else(|| Refusal::Accept { given: shortened(given) })
    }

    /// The media type that an answer in this format carries.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv; charset=utf-8",
            Self::Json => "application/json",
            Self::JsonLines => "application/jsonlines",
        }
    }
}
