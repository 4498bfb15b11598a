//! The house rules that a machine can hold, so that people need not remember them.
//!
//! Invariant: a rule is a function of texts to findings, and each has a test with a bad sample that it must catch.
//! Refuses to: judge style (rustfmt and clippy do) and to keep a silent exception: all are in `xtask/tidy.toml` with reasons.

mod arrows;
mod exceptions;
mod manifests;
mod mentions;
mod rust_text;
mod sizes;
mod sources;

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};

use crate::cache;
use crate::program::Program;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Warning,
    Failure,
}

/// One thing that is against the rules, where, and what to do.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    level: Level,
    place: String,
    message: String,
}

impl Finding {
    fn failure(place: impl Into<String>, message: impl Into<String>) -> Finding {
        Finding { level: Level::Failure, place: place.into(), message: message.into() }
    }

    fn warning(place: impl Into<String>, message: impl Into<String>) -> Finding {
        Finding { level: Level::Warning, place: place.into(), message: message.into() }
    }
}

/// A text file of the checkout, by its path from the root.
#[derive(Debug, Clone)]
struct File {
    path: String,
    text: String,
}

impl File {
    fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }
}

/// `cargo xtask tidy`
pub(crate) fn run() -> Result<()> {
    let files = files()?;
    let packages =
        arrows::packages(&Program::cargo().args(["metadata", "--no-deps", "--format-version", "1"]).read()?)?;
    let architecture =
        text_of(&files, "ARCHITECTURE.md").context("ARCHITECTURE.md with the table of arrows is missing")?;
    let exceptions = exceptions::parse(text_of(&files, "xtask/tidy.toml").context("xtask/tidy.toml is missing")?)?;

    let mut findings = arrows::check(architecture, &packages);
    findings.extend(manifests::check(&files)?);
    findings.extend(mentions::check(&files));
    for file in files.iter().filter(|file| file.is_rust()) {
        findings.extend(sources::check(file));
    }
    findings.extend(sources::one_test_binary_per_crate(&files));
    findings.extend(sizes::check(&files, &exceptions));
    report(&findings, files.len())
}

fn report(findings: &[Finding], files: usize) -> Result<()> {
    for finding in findings {
        let level = if finding.level == Level::Warning { "warning" } else { "error" };
        eprintln!("{level}: {}: {}", finding.place, finding.message);
    }
    let failures = findings.iter().filter(|finding| finding.level == Level::Failure).count();
    if failures > 0 {
        bail!("{failures} house rules broken");
    }
    println!("tidy: {files} files, {} warnings", findings.len());
    Ok(())
}

/// Every text file that is or could be committed.
fn files() -> Result<Vec<File>> {
    let listed = Program::new("git").args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"]).read()?;
    let root = cache::checkout();
    let mut files = Vec::new();
    for path in listed.split('\0').filter(|path| !path.is_empty()) {
        let full: PathBuf = root.join(path);
        // A deleted file is still listed until it is committed; a binary file is nobody's prose.
        if let Ok(text) = std::fs::read_to_string(&full) {
            files.push(File { path: path.to_owned(), text });
        }
    }
    Ok(files)
}

fn text_of<'a>(files: &'a [File], path: &str) -> Option<&'a str> {
    files.iter().find(|file| file.path == path).map(|file| file.text.as_str())
}
