//! `xtask/tidy.toml`: files and functions that are longer than the rule, each with the length it has today and a reason.
//!
//! Invariant: the list only shrinks. A listed thing that grows fails, and so does one that no longer needs its line.

use anyhow::{Context as _, Result};
use serde::Deserialize;

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct Exceptions {
    #[serde(default)]
    pub(super) long_file: Vec<LongFile>,
    #[serde(default)]
    pub(super) long_function: Vec<LongFunction>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LongFile {
    pub(super) path: String,
    pub(super) lines: usize,
    pub(super) reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LongFunction {
    pub(super) path: String,
    pub(super) name: String,
    pub(super) lines: usize,
    pub(super) reason: String,
}

pub(super) fn parse(text: &str) -> Result<Exceptions> {
    toml::from_str(text).context("xtask/tidy.toml")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exception_without_a_reason_is_refused() {
        assert!(parse("[[long_file]]\npath = \"a.rs\"\nlines = 900\n").is_err());
        assert_eq!(parse("").unwrap().long_file.len(), 0);
    }
}
