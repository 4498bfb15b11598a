//! `cargo xtask fuzz`: each fuzz target for some minutes, two at a time, and a row for each in `docs/fuzzing.md`.
//!
//! Runs on the stable toolchain: `fuzz/rustc` adds what counts branches, and without a sanitizer no nightly runtime is
//! needed. What is found there are panics, hangs, overflows, and broken promises of the targets.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Mutex;

use anyhow::{Context as _, Result, bail};
use clap::Args;

use crate::cache::{self, Cache};
use crate::program::Program;
use crate::recorded;

const PAGE: &str = "docs/fuzzing.md";
const OPENING: &str = "# Fuzzing

Recorded runs of the targets in `fuzz/`, newest last. Executions are inputs tried, edges the branches of the program that
they reached. `cargo xtask fuzz` runs them and adds to this table.

| date | target | minutes | executions | edges | result | commit | machine |
| --- | --- | ---: | ---: | ---: | --- | --- | --- |
";
/// Targets that run at the same time.
const SIDE_BY_SIDE: usize = 2;
/// Largest input; every format shows its edges below this.
const INPUT_LIMIT_BYTES: u32 = 16 * 1024;

#[derive(Args)]
pub(crate) struct Fuzz {
    /// Minutes for each target
    #[arg(long, default_value_t = 10)]
    minutes: u64,
    /// Only these targets
    targets: Vec<String>,
}

/// One target's run.
struct Ran {
    target: String,
    executions: String,
    edges: String,
    finding: Option<String>,
}

pub(crate) fn run(fuzz: &Fuzz) -> Result<()> {
    let cache = Cache::locate()?;
    let manifest = std::fs::read_to_string(cache::checkout().join("fuzz/Cargo.toml")).context("fuzz/Cargo.toml")?;
    let known = targets(&manifest)?;
    if let Some(unknown) = fuzz.targets.iter().find(|target| !known.contains(target)) {
        bail!("there is no target {unknown}; there are {}", known.join(", "));
    }
    let wanted = if fuzz.targets.is_empty() { known } else { fuzz.targets.clone() };
    build(&cache)?;
    // What is fuzzed is what was built, whatever is committed while it runs.
    let commit = recorded::commit()?;
    let waiting = Mutex::new(VecDeque::from(wanted));
    let done = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..SIDE_BY_SIDE {
            scope.spawn(|| {
                loop {
                    let next = waiting.lock().expect("our bug: a worker panicked").pop_front();
                    let Some(target) = next else { return };
                    let ran = one(&cache, &target, fuzz.minutes);
                    done.lock().expect("our bug: a worker panicked").push(ran);
                }
            });
        }
    });
    note(done.into_inner().expect("our bug: a worker panicked"), fuzz.minutes, &commit)
}

fn note(done: Vec<Result<Ran>>, minutes: u64, commit: &str) -> Result<()> {
    let mut findings = 0;
    for ran in done {
        let ran = ran?;
        findings += usize::from(ran.finding.is_some());
        let result = ran.finding.unwrap_or_else(|| "nothing found".to_owned());
        let (date, commit) = (recorded::date()?, commit.to_owned());
        let target = format!("`{}`", ran.target);
        let cells = [date, target, minutes.to_string(), ran.executions, ran.edges, result, commit, recorded::machine()];
        recorded::add_row(PAGE, OPENING, &cells)?;
    }
    if findings > 0 {
        bail!("{findings} targets found something; the inputs are in fuzz/artifacts");
    }
    Ok(())
}

/// The names of the targets, out of their manifest.
fn targets(manifest: &str) -> Result<Vec<String>> {
    let manifest: toml::Table = manifest.parse().context("fuzz/Cargo.toml")?;
    let programs = manifest.get("bin").and_then(toml::Value::as_array).context("fuzz/Cargo.toml lists no targets")?;
    let name = |program: &toml::Value| program.get("name").and_then(toml::Value::as_str).map(str::to_owned);
    Ok(programs.iter().filter_map(name).collect())
}

fn folder_of_builds(cache: &Cache) -> PathBuf {
    cache.root().join("fuzz-target")
}

fn build(cache: &Cache) -> Result<()> {
    let build = Program::cargo().args(["build", "--release", "--manifest-path", "fuzz/Cargo.toml"]);
    let build = build.env("RUSTC_WRAPPER", cache::checkout().join("fuzz/rustc"));
    build.env("CARGO_TARGET_DIR", folder_of_builds(cache)).run()
}

fn one(cache: &Cache, target: &str, minutes: u64) -> Result<Ran> {
    println!("fuzzing {target} for {minutes} minutes");
    let mut command = Command::new(folder_of_builds(cache).join("release").join(target));
    command.current_dir(cache::checkout()).stdin(Stdio::null());
    // libFuzzer keeps what widened its coverage in the first folder and only reads the second.
    let corpus = cache::checkout().join("fuzz/corpus").join(target);
    let artifacts = cache::checkout().join("fuzz/artifacts").join(target);
    for folder in [&corpus, &artifacts] {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    let seeds = cache::checkout().join("fuzz/seeds").join(target);
    command.arg(corpus).args(seeds.exists().then_some(seeds));
    command.arg(format!("-artifact_prefix={}/", artifacts.display()));
    command.args(["-print_final_stats=1", "-timeout=20", "-rss_limit_mb=4096"]);
    command.arg(format!("-max_len={INPUT_LIMIT_BYTES}")).arg(format!("-max_total_time={}", minutes * 60));
    let output = command.output().with_context(|| format!("cannot start {target}"))?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let log = cache.root().join(format!("fuzz-{target}.log"));
    std::fs::write(&log, &said).with_context(|| format!("cannot write {}", log.display()))?;
    let finding = (!output.status.success()).then(|| {
        eprintln!("{target} found something; what it said is in {}", log.display());
        let reason = said.lines().find(|line| line.contains("SUMMARY:") || line.contains("panicked at"));
        format!("**found**: {}", reason.unwrap_or("see the artifact").trim().replace('|', "/"))
    });
    Ok(Ran { target: target.to_owned(), executions: executions(&said), edges: edges(&said), finding })
}

fn executions(said: &str) -> String {
    let line = said.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
    line.map_or("?", str::trim).to_owned()
}

/// Of the last progress line, `#123 NEW cov: 456 ft: …`.
fn edges(said: &str) -> String {
    let last = said.lines().rev().find_map(|line| line.split_once("cov: "));
    last.and_then(|(_, rest)| rest.split(' ').next()).unwrap_or("?").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read_from_what_the_fuzzer_says() {
        let said = "#2 INITED cov: 7 ft: 9\n#9 DONE   cov: 431 ft: 9 corp: 1\nstat::number_of_executed_units: 12345\n";
        assert_eq!((executions(said).as_str(), edges(said).as_str()), ("12345", "431"));
        assert_eq!((executions("").as_str(), edges("").as_str()), ("?", "?"));
    }

    #[test]
    fn targets_are_those_of_the_manifest() {
        let manifest = "[[bin]]\nname = \"payload\"\n[[bin]]\nname = \"journal\"\n";
        assert_eq!(targets(manifest).unwrap(), ["payload", "journal"]);
        assert!(targets("[package]\n").is_err());
    }
}
