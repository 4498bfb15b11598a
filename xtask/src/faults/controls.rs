//! Controls: every test against a build that breaks the promise it is about. A test that passes there proves nothing.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use super::{Told, report_path};
use crate::cache::Cache;
use crate::program::Program;

/// Test, sabotage, and for how many seconds it is looked for at most.
const CONTROLS: &[(&str, &str, u64)] = &[
    ("T01", "acknowledge-early", 120),
    ("T04-ext4", "skip-fsync", 120),
    ("T06", "skip-fsync", 60),
    ("T06", "skip-directory-fsync", 60),
    ("T06", "unlink-first", 60),
    ("T07", "retry-fsync", 60),
    ("T07", "acknowledge-early", 60),
    ("T22", "acknowledge-early", 60),
    ("T22", "unlink-first", 60),
    ("T02", "acknowledge-early", 180),
    ("T08", "hide-drops", 120),
    ("T10", "no-checksum", 60),
    ("T14", "free-unconfirmed", 120),
    ("T15", "random-keys", 180),
    ("T29", "blind-reconcile", 120),
];

pub(super) fn run(cache: &Cache, only: &[String]) -> Result<()> {
    let folder = cache.target().join("faults");
    std::fs::create_dir_all(&folder)?;
    Program::cargo()
        .args(["build", "--bins", "--package", "captura", "--package", "captura-testkit"])
        .args(["--features", "captura/sabotage,captura-testkit/sabotage"])
        .env("CARGO_TARGET_DIR", cache.target())
        .run()?;
    // Beside the others, so that nobody takes them for what they are not.
    for program in ["captura", "captura-faults"] {
        let built = cache.target().join("debug").join(program);
        std::fs::rename(&built, folder.join(format!("sabotaged-{program}")))
            .with_context(|| format!("cannot set {} aside", built.display()))?;
    }
    let wanted =
        |test: &str| only.is_empty() || only.iter().any(|name| test == name || test.starts_with(&format!("{name}-")));
    let mut blind = Vec::new();
    for (test, sabotage, seconds) in CONTROLS.iter().filter(|(test, ..)| wanted(test)) {
        match one(cache, &folder, (test, sabotage, *seconds))? {
            Told::Broken(broken) => {
                let what: String = broken.what.lines().next().unwrap_or_default().chars().take(120).collect();
                println!("{test} finds {sabotage}: seed {}, {what}", broken.seed);
            }
            Told::Held(figures) => {
                println!("{test} DOES NOT FIND {sabotage}: {figures}");
                blind.push(format!("{test} with {sabotage}"));
            }
            Told::Skipped(why) => println!("{test} with {sabotage}: skipped: {why}"),
        }
    }
    if blind.is_empty() { Ok(()) } else { bail!("tests that cannot fail: {}", blind.join(", ")) }
}

fn one(cache: &Cache, folder: &Path, (test, sabotage, seconds): (&str, &str, u64)) -> Result<Told> {
    let faults = folder.join("sabotaged-captura-faults");
    let report = report_path(&faults);
    let _ = std::fs::remove_file(&report);
    let mut command = Command::new(&faults);
    command.args([test, "--sabotage", sabotage, "--seconds", &seconds.to_string(), "--report"]).arg(&report);
    command.env("CAPTURA_BIN", folder.join("sabotaged-captura")).env("CAPTURA_SABOTAGE", sabotage);
    command.env("CAPTURA_PYTHON", cache.python());
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status().context("cannot start captura-faults")?;
    let text = std::fs::read_to_string(&report);
    let text = text.with_context(|| format!("{test} with {sabotage} left no report ({status})"))?;
    serde_json::from_str(&text).with_context(|| format!("{test} left a report that says nothing"))
}
