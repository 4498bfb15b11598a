//! Why a body cannot be redacted. None of the texts holds anything of the body.

use crate::vault::VaultError;

/// Why nothing of a body is kept.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// Rules for values need values.
    #[error("its content type is not CSV, JSON or JSON Lines")]
    ContentType,
    /// Not UTF-8.
    #[error("it is not text")]
    NotText,
    /// Two readers could cut it into different cells.
    #[error("it is not CSV: {0}")]
    NotCsv(&'static str),
    /// Not JSON, or deeper than is followed.
    #[error("it is not JSON: {0}")]
    NotJson(&'static str),
    /// A rule has nothing to work on: the body is not of the shape that the rule was written for.
    #[error("it has no {0}")]
    Missing(String),
    /// The answer was cut off, or belongs to a caller who hung up.
    #[error("its end is missing")]
    Cut,
    /// The words of an error.
    #[error("it holds the words of an error")]
    ErrorWords,
    /// Whose key?
    #[error("nothing tells whom the call is about")]
    NoSubject,
    /// Several keys for one value.
    #[error("it is about several subjects, and one value is about all of them")]
    SeveralSubjects,
    /// No key can be had.
    #[error("there is no key: {0}")]
    NoKey(#[from] VaultError),
}
