//! `cargo xtask bench analysis`: captures from parsing to drift against a reference, beside DuckDB, Polars and pandas.
//!
//! All tools do the same job on the same file, in turns, and the medians of the rounds are printed. Time and memory are those of
//! whole processes, start-up included, as the system accounts them.
//!
//! Refuses to: assert figures; every row says what was seen.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use serde::Deserialize;

use super::table::median;
use crate::cache::{self, Cache};
use crate::program::Program;

/// What the other tools' jobs import.
const PACKAGES: [&str; 7] = ["numpy", "pandas", "polars", "duckdb", "pysimdjson", "scipy", "scikit-learn"];
const SMALL_RECORDS: u64 = 10_000;
const OBJECTS_AN_HOUR: &str = "6";

#[derive(Args)]
pub(crate) struct Analysis {
    /// Rounds over all tools; the medians count
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Records of the large file
    #[arg(long, default_value_t = 1_000_000)]
    records: u64,
    /// Columns and rows of the wide table; 0 leaves it out
    #[arg(long, default_value_t = 10_000)]
    wide: u64,
    /// Folder that keeps the data, which takes minutes to make
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Only captura: without the other tools
    #[arg(long)]
    alone: bool,
}

/// What a process took.
#[derive(Deserialize)]
struct Measured {
    code: i32,
    wall_s: f64,
    cpu_s: f64,
    memory_bytes: f64,
}

/// A command that is run in every round.
struct Contender {
    name: String,
    command: Vec<String>,
    /// Exit codes that mean it did its work.
    codes: &'static [i32],
    seen: Vec<Measured>,
}

pub(super) fn measure(analysis: &Analysis, captura: &Path, folder: &Path) -> Result<()> {
    // Scripts run in the checkout, wherever this does.
    let data = std::path::absolute(analysis.dir.clone().unwrap_or_else(|| folder.join("data")))?;
    std::fs::create_dir_all(&data).with_context(|| format!("cannot make {}", data.display()))?;
    let bench = Bench { captura, python: python()?, data };
    let (large, small) = (analysis.records.to_string(), SMALL_RECORDS.to_string());
    let side = analysis.wide.to_string();
    let wide = format!("wide-{side}");
    bench.generate(&large, "generate.py", &[&large])?;
    bench.generate(&small, "generate.py", &[&small])?;
    let day = format!("{large}-day");
    bench.generate(&day, "day.py", &[&bench.file(&large, "capture.jsonl"), OBJECTS_AN_HOUR])?;
    if analysis.wide > 0 {
        bench.generate(&wide, "wide.py", &[&side, &side])?;
    }
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let files = |folder: &str, names: [&str; 2]| names.map(|name| bench.file(folder, name));
    let captured = |folder: &str| files(folder, ["capture.jsonl", "baseline.csv"]);
    let mut contenders = vec![
        bench.drift("captura drift", captured(&large), &[]),
        bench.drift("captura drift --threads 1", captured(&large), &["--threads", "1"]),
    ];
    if !analysis.alone {
        contenders.extend([
            bench.job("DuckDB", "job_duckdb.py", &large, Some(&threads.to_string())),
            bench.job("Polars", "job_polars.py", &large, None),
            bench.job("pandas and SciPy", "job_pandas.py", &large, None),
            bench.job("simdjson in Python, parsing alone", "job_simdjson.py", &large, None),
        ]);
    }
    contenders.push(bench.drift("captura drift, 10,000 records", captured(&small), &[]));
    let of_day = [bench.data.join(&day).display().to_string(), bench.file(&large, "baseline.csv")];
    let mut kept = bench.drift("captura drift --profiles, a day that is kept", of_day, &["--profiles"]);
    kept.run(&bench.python)?;
    kept.seen.clear();
    contenders.push(kept);
    if analysis.wide > 0 {
        let table = files(&wide, ["wide.csv", "reference.csv"]);
        contenders.push(bench.drift(&format!("captura drift, {side} columns × {side} rows"), table, &[]));
    }
    for round in 1..=analysis.rounds {
        for contender in &mut contenders {
            eprintln!("round {round}: {}", contender.name);
            contender.run(&bench.python)?;
        }
    }
    println!("{}", markdown(&contenders));
    println!("Medians of {} rounds in turns; {} records; {threads} cores.", analysis.rounds, analysis.records);
    println!("{}", versions(&bench.python)?);
    Ok(())
}

struct Bench<'a> {
    captura: &'a Path,
    python: PathBuf,
    data: PathBuf,
}

impl Bench<'_> {
    /// Makes data unless it is there.
    fn generate(&self, name: &str, script: &str, arguments: &[&str]) -> Result<()> {
        let (folder, staged) = (self.data.join(name), self.data.join(format!("{name}.new")));
        if folder.is_dir() {
            return Ok(());
        }
        eprintln!("making {}", folder.display());
        Program::new(&self.python).arg(script_of(script)).arg(&staged).args(arguments).run()?;
        std::fs::rename(&staged, &folder).with_context(|| format!("cannot rename {}", staged.display()))
    }

    fn file(&self, folder: &str, name: &str) -> String {
        self.data.join(folder).join(name).display().to_string()
    }

    fn drift(&self, name: &str, [data, reference]: [String; 2], more: &[&str]) -> Contender {
        let mut command = vec![self.captura.display().to_string(), "drift".to_owned(), data];
        command.extend(["--reference".to_owned(), reference]);
        command.extend(more.iter().map(|&argument| argument.to_owned()));
        Contender { name: name.to_owned(), command, codes: &[0, 2], seen: Vec::new() }
    }

    fn job(&self, name: &str, script: &str, folder: &str, more: Option<&str>) -> Contender {
        let mut command = vec![self.python.display().to_string(), script_of(script).display().to_string()];
        command.extend([self.file(folder, "capture.jsonl"), self.file(folder, "baseline.csv")]);
        command.extend(more.map(str::to_owned));
        Contender { name: name.to_owned(), command, codes: &[0], seen: Vec::new() }
    }
}

impl Contender {
    fn run(&mut self, python: &Path) -> Result<()> {
        let told = Program::new(python).arg(script_of("measured.py")).args(&self.command).read()?;
        let seen: Measured = serde_json::from_str(&told).with_context(|| format!("{told:?} is no measurement"))?;
        if !self.codes.contains(&seen.code) {
            bail!("{} ended with {}: {}", self.name, seen.code, self.command.join(" "));
        }
        self.seen.push(seen);
        Ok(())
    }

    fn median(&self, of: impl Fn(&Measured) -> f64) -> f64 {
        median(&self.seen.iter().map(of).collect::<Vec<_>>())
    }
}

fn markdown(contenders: &[Contender]) -> String {
    let first = contenders.first().map_or(f64::NAN, |contender| contender.median(|seen| seen.wall_s));
    let mut lines = vec![
        "| job | wall s | CPU s | memory MB | wall, of the first |".to_owned(),
        "| --- | ---: | ---: | ---: | ---: |".to_owned(),
    ];
    for contender in contenders {
        let wall = contender.median(|seen| seen.wall_s);
        lines.push(format!(
            "| {} | {wall:.2} | {:.2} | {:.0} | {:.1} |",
            contender.name,
            contender.median(|seen| seen.cpu_s),
            contender.median(|seen| seen.memory_bytes) / 1e6,
            wall / first,
        ));
    }
    lines.join("\n")
}

fn script_of(name: &str) -> PathBuf {
    cache::checkout().join("xtask/analysis").join(name)
}

/// A Python that has the other tools: `CAPTURA_BENCH_PYTHON`, or one in the cache.
fn python() -> Result<PathBuf> {
    if let Some(python) = std::env::var_os("CAPTURA_BENCH_PYTHON") {
        return Ok(PathBuf::from(python));
    }
    let folder = Cache::locate()?.root().join("bench-venv");
    let python = folder.join("bin/python");
    if !python.is_file() {
        Program::new("python3").args(["-m", "venv"]).arg(&folder).run()?;
        Program::new(&python).args(["-m", "pip", "install", "--quiet"]).args(PACKAGES).run()?;
    }
    Ok(python)
}

fn versions(python: &Path) -> Result<String> {
    let script = "import sys, importlib.metadata as m; print(', '.join(f'{p} {m.version(p)}' for p in sys.argv[1:]))";
    Ok(Program::new(python).args(["-c", script]).args(PACKAGES).read()?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_gives_medians_and_how_many_times_longer_each_took() {
        let contender = |name: &str, walls: &[f64]| Contender {
            name: name.to_owned(),
            command: Vec::new(),
            codes: &[0],
            seen: walls
                .iter()
                .map(|&wall_s| Measured { code: 0, wall_s, cpu_s: 2.0 * wall_s, memory_bytes: 5e6 })
                .collect(),
        };
        let table = markdown(&[contender("ours", &[9.0, 0.5, 0.4]), contender("theirs", &[5.0])]);
        let lines: Vec<&str> = table.lines().skip(2).collect();
        assert_eq!(lines, ["| ours | 0.50 | 1.00 | 5 | 1.0 |", "| theirs | 5.00 | 10.00 | 5 | 10.0 |"]);
    }
}
