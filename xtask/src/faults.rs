//! `cargo xtask faults`: breaks captura in every way it promises to survive, counts, and writes `docs/faults.md`.
//!
//! `captura-faults` runs one test for a while; this divides the time among the tests, adds up what they counted, and goes
//! on with the seeds that come next whenever it is started again.
//!
//! Invariant: a figure in the page was counted by runs of an optimised build of the commit that stands beside it.
//! Refuses to: record what a debug build did, or hide what broke or was skipped.

mod controls;
mod page;
mod state;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use serde::Deserialize;

use crate::cache::Cache;
use crate::program::Program;
use crate::recorded;
use state::{Row, State};

/// Longest run between two notes of what was counted.
const SLICE: Duration = Duration::from_secs(120);
/// Shortest run that is worth starting.
const SLICE_MIN: Duration = Duration::from_secs(5);

#[derive(Args)]
pub(crate) struct Faults {
    /// Build with optimisation and add the figures to docs/faults.md
    #[arg(long)]
    release: bool,
    /// Only these tests, e.g. T01,T06
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Time for all tests together, e.g. 90s, 30m, 2h
    #[arg(long, default_value = "30m", value_parser = duration)]
    budget: Duration,
    /// Instead: break the promises on purpose, and see every test fail
    #[arg(long)]
    controls: bool,
    /// Go on after a test has reached its goal
    #[arg(long)]
    beyond: bool,
}

fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = text.split_at(text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len()));
    let seconds = match unit {
        "s" | "" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return Err("a number and s, m or h".to_owned()),
    };
    number.parse().map(|number: u64| Duration::from_secs(number * seconds)).map_err(|error| error.to_string())
}

/// A test as `captura-faults list` tells of it.
#[derive(Debug, Clone, Deserialize)]
struct Test {
    name: String,
    unit: String,
    about: String,
    /// Units after which it has shown enough at one commit.
    goal: u64,
    /// Share of the time.
    weight: u64,
    /// Whether it starts the program.
    starts_captura: bool,
}

/// What `captura-faults` leaves in its report.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Told {
    Held(state::Figures),
    Broken(Broken),
    Skipped(String),
}

#[derive(Debug, Deserialize)]
struct Broken {
    seed: u64,
    what: String,
}

/// The two programs.
struct Built {
    captura: PathBuf,
    faults: PathBuf,
    python: PathBuf,
}

pub(crate) fn run(arguments: &Faults) -> Result<()> {
    let cache = Cache::locate()?;
    if arguments.controls {
        return controls::run(&cache, &arguments.only);
    }
    let built = Built::at(&cache, arguments.release);
    build("captura-testkit", &cache, arguments.release)?;
    let all = list(&built)?;
    let tests = chosen(&all, &arguments.only)?;
    // In a build of its own: what the test kit asks of shared crates is not to be in the product.
    if tests.iter().any(|test| test.starts_captura) {
        build("captura", &cache, arguments.release)?;
    }
    let folder = cache.target().join("faults");
    std::fs::create_dir_all(&folder)?;
    let mut state = State::open(&folder.join("state.json"))?;
    let commit = commit()?;
    let broken = divide(arguments, &built, (&all, &tests), &mut state, &commit)?;
    let Some((test, broken)) = broken.first() else { return Ok(()) };
    bail!("{test} is broken, seed {}: {}", broken.seed, broken.what.lines().next().unwrap_or_default());
}

/// Gives every test its share of what is left, slice by slice. What a test does not need is for the others.
fn divide(
    arguments: &Faults,
    built: &Built,
    (all, tests): (&[Test], &[Test]),
    state: &mut State,
    commit: &str,
) -> Result<Vec<(String, Broken)>> {
    let ends = Instant::now() + arguments.budget;
    let mut broken = Vec::new();
    let mut skipped = Vec::new();
    for (index, test) in tests.iter().enumerate() {
        let weights: u64 = tests[index..].iter().map(|test| test.weight).sum();
        let left = ends.saturating_duration_since(Instant::now());
        let share = left.mul_f64(test.weight as f64 / weights.max(1) as f64);
        let test_ends = Instant::now() + share;
        loop {
            let missing = match state.row(&test.name, commit) {
                Some(row) if !arguments.beyond => test.goal.saturating_sub(row.figures.units),
                _ => test.goal,
            };
            let slice = test_ends.saturating_duration_since(Instant::now()).min(SLICE);
            if missing == 0 || slice < SLICE_MIN {
                break;
            }
            let seed = state.next_seed(&test.name);
            let began = Instant::now();
            match one(built, test, seed, missing, slice)? {
                Told::Held(figures) => {
                    println!("{}: {figures}", test.name);
                    let row = Row::of(seed, figures, began.elapsed());
                    state.add(&test.name, commit, row, arguments.release)?;
                }
                Told::Broken(found) => {
                    eprintln!("{}: BROKEN, seed {}: {}", test.name, found.seed, found.what);
                    eprintln!("again: {} {} --seed {} --units 1", built.faults.display(), test.name, found.seed);
                    state.add(&test.name, commit, Row::broken(found.seed, &found.what), arguments.release)?;
                    broken.push((test.name.clone(), found));
                    break;
                }
                Told::Skipped(why) => {
                    println!("{}: skipped: {why}", test.name);
                    skipped.push((test.name.clone(), why));
                    break;
                }
            }
            if arguments.release {
                page::write(all, state, commit, &skipped)?;
            }
        }
    }
    if arguments.release {
        page::write(all, state, commit, &skipped)?;
    }
    Ok(broken)
}

impl Built {
    fn at(cache: &Cache, release: bool) -> Self {
        let profile = cache.target().join(if release { "release" } else { "debug" });
        Self { captura: profile.join("captura"), faults: profile.join("captura-faults"), python: cache.python() }
    }
}

fn build(package: &str, cache: &Cache, release: bool) -> Result<()> {
    let cargo =
        Program::cargo().args(["build", "--bins", "--package", package]).env("CARGO_TARGET_DIR", cache.target());
    if release { cargo.arg("--release").run() } else { cargo.run() }
}

fn list(built: &Built) -> Result<Vec<Test>> {
    let told = Program::new(&built.faults).args(["list", "--json"]).read()?;
    serde_json::from_str(&told).context("cannot understand the list of tests")
}

fn chosen(tests: &[Test], only: &[String]) -> Result<Vec<Test>> {
    // `T04` means all of its variants.
    let is = |test: &Test, name: &String| test.name == *name || test.name.starts_with(&format!("{name}-"));
    if let Some(unknown) = only.iter().find(|name| !tests.iter().any(|test| is(test, name))) {
        let names: Vec<&str> = tests.iter().map(|test| test.name.as_str()).collect();
        bail!("there is no test {unknown}; there are {}", names.join(", "));
    }
    let wanted = |test: &Test| only.is_empty() || only.iter().any(|name| is(test, name));
    Ok(tests.iter().filter(|test| wanted(test)).cloned().collect())
}

fn one(built: &Built, test: &Test, seed: u64, units: u64, time: Duration) -> Result<Told> {
    let report = report_path(&built.faults);
    let _ = std::fs::remove_file(&report);
    let mut command = Command::new(&built.faults);
    command.arg(&test.name).args(["--seed", &seed.to_string(), "--units", &units.to_string()]);
    command.args(["--seconds", &time.as_secs().to_string(), "--report"]).arg(&report);
    command.env("CAPTURA_BIN", &built.captura).env("CAPTURA_PYTHON", &built.python);
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status().context("cannot start captura-faults")?;
    let Ok(text) = std::fs::read_to_string(&report) else {
        // The test itself came to grief; the others are run all the same.
        return Ok(Told::Broken(Broken { seed, what: format!("the test ended without figures ({status})") }));
    };
    serde_json::from_str(&text).with_context(|| format!("{} left a report that says nothing", test.name))
}

fn report_path(faults: &Path) -> PathBuf {
    faults.with_file_name("captura-faults-report.json")
}

/// The commit of what is built: pages do not count, this tool writes one.
fn commit() -> Result<String> {
    let commit = Program::new("git").args(["rev-parse", "--short=10", "HEAD"]).read()?.trim().to_owned();
    let changed = Program::new("git").args(["status", "--porcelain", "--", ".", ":!docs", ":!*.md"]).read()?;
    Ok(if changed.trim().is_empty() { commit } else { format!("{commit}-dirty") })
}

/// Today and this machine.
fn here() -> Result<(String, String)> {
    Ok((recorded::date()?, recorded::machine()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budgets_are_read_as_people_write_them() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("30m"), Ok(Duration::from_secs(1800)));
        assert_eq!(duration("2h"), Ok(Duration::from_secs(7200)));
        assert!(duration("soon").is_err() && duration("1d").is_err());
    }
}
