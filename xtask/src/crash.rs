//! `cargo xtask crash`: the story of `kill -9` under load, told as often as asked, on a release build, and noted.

use std::path::Path;

use anyhow::{Context as _, Result};
use clap::Args;
use serde::Deserialize;

use crate::cache::Cache;
use crate::program::Program;
use crate::recorded;

const PAGE: &str = "docs/faults.md";
const OPENING: &str = "# Faults survived

Recorded runs of the fault stories, newest last. Acknowledged means that a client read a reply whose header promised the
capture; lost and twice are counted against what those clients wrote down, in the objects of the archive and by
`captura reconcile --deep --oracle`. The continuous integration tells the same stories shorter.

| date | fault | figures | seed | commit | machine | command |
| --- | --- | --- | --- | --- | --- | --- |
";

#[derive(Args)]
pub(crate) struct Crash {
    /// How often the server is killed
    #[arg(long, default_value_t = 500)]
    kills: u64,
    /// Chooses the bodies and the moments of death
    #[arg(long, default_value_t = 20_260_101)]
    seed: u64,
}

/// What the story leaves in `CAPTURA_CRASH_REPORT`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    kills: u64,
    seed: u64,
    acknowledged: u64,
    captured: u64,
    lost: u64,
    duplicates: u64,
    slowest_start_ms: u64,
}

pub(crate) fn run(crash: &Crash) -> Result<()> {
    let cache = Cache::locate()?;
    let target = cache.target();
    let report = cache.root().join("crash-report.json");
    let cargo = || Program::cargo().env("CARGO_TARGET_DIR", &target);
    cargo().args(["build", "--release", "--package", "captura"]).run()?;
    cargo()
        .args(["test", "--release", "--package", "captura-e2e", "--test", "stories", "--", "--exact", "--nocapture"])
        .arg("crash::killed_under_load_it_loses_nothing_it_acknowledged_and_repeats_nothing")
        .env("CAPTURA_BIN", target.join("release/captura"))
        .env("CAPTURA_KILLS", crash.kills.to_string())
        .env("CAPTURA_SEED", crash.seed.to_string())
        .env("CAPTURA_CRASH_REPORT", &report)
        .run()?;
    let told = read(&report)?;
    let figures = format!(
        "{} kills, {} calls acknowledged, {} captured: {} lost, {} twice; slowest start {} ms",
        told.kills, told.acknowledged, told.captured, told.lost, told.duplicates, told.slowest_start_ms
    );
    let command = format!("`cargo xtask crash --kills {} --seed {}`", told.kills, told.seed);
    let fault = "`kill -9` under load, 8 connections".to_owned();
    let seed = told.seed.to_string();
    let cells = [recorded::date()?, fault, figures, seed, recorded::commit()?, recorded::machine(), command];
    recorded::add_row(PAGE, OPENING, &cells)
}

fn read(path: &Path) -> Result<Report> {
    let text = std::fs::read_to_string(path).context("the story left no report")?;
    std::fs::remove_file(path).context("cannot remove the story's report")?;
    serde_json::from_str(&text).context("cannot understand the story's report")
}
