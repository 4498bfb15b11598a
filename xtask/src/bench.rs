//! `cargo xtask bench invoke`: what a call costs, and what remembering it adds, in one run on one machine.
//!
//! A bare hyper echo is the floor. Beside it run three servers: capture off, 10 % and 100 %. Rounds alternate between all
//! of them, so that every ratio comes from runs seconds apart, and the medians of the rounds are printed. CPU is the server
//! process's own user and system time over the load *and* the archiving it caused, not wall time.
//!
//! Refuses to: assert figures. A machine that is busy gives bad ones; the table says what it saw.

mod analysis;
mod backends;
mod capture;
mod floor;
mod load;
mod process;
mod stream;
mod table;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand};

use crate::cache::{self, Cache};
use crate::program::Program;
use load::Load;
use process::Process;
use table::{Case, Round};

pub(crate) use floor::serve as serve_floor;

/// What to measure.
#[derive(Subcommand)]
pub(crate) enum Bench {
    /// Calls of an endpoint: echo and a small tree model; capture off, sampled and full; 1, 8 and 64 connections
    Invoke(Invoke),
    /// What each durability costs, what the archive keeps up with, and what memory a store that is down takes
    Capture(capture::Capture),
    /// Calls of a model behind a socket: directly, and through captura as a remote server and as a process
    Backends(backends::Backends),
    /// Captures from parsing to drift, beside DuckDB, Polars and pandas doing the same
    Analysis(analysis::Analysis),
    /// The first byte of a streamed answer, against the first byte of a bare hyper echo
    Stream(Stream),
}

#[derive(Args)]
pub(crate) struct Invoke {
    /// Rounds over all cases; the medians count
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Seconds of load in each round of each case
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Connections, each waiting for its reply before the next call
    #[arg(long, value_delimiter = ',', default_values_t = [1, 8, 64])]
    connections: Vec<usize>,
    /// Only workloads whose name contains this
    #[arg(long)]
    only: Option<String>,
    /// Folder for the servers' data, on the disk that is to be measured
    #[arg(long)]
    dir: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct Stream {
    /// Calls of each server, one after the other, in turns
    #[arg(long, default_value_t = 4_000)]
    calls: usize,
    /// Folder for the servers' data, on the disk that is to be measured
    #[arg(long)]
    dir: Option<PathBuf>,
}

/// A server under load, and how it remembers.
struct Contender {
    capture: &'static str,
    process: Process,
}

/// What is called, and with which bytes.
struct Workload {
    name: String,
    endpoint: &'static str,
    body: Vec<u8>,
}

pub(crate) fn run(bench: &Bench) -> Result<()> {
    if cfg!(debug_assertions) {
        return again_in_release();
    }
    match bench {
        Bench::Invoke(invoke) => {
            in_folder(invoke.dir.as_deref(), |captura, folder| measure_in(invoke, captura, folder))
        }
        Bench::Capture(capture) => {
            in_folder(capture.dir.as_deref(), |captura, folder| capture::measure(capture, captura, folder))
        }
        Bench::Backends(backends) => in_folder(None, |captura, folder| backends::measure(backends, captura, folder)),
        Bench::Analysis(analysis) => in_folder(None, |captura, folder| analysis::measure(analysis, captura, folder)),
        Bench::Stream(stream) => {
            in_folder(stream.dir.as_deref(), |captura, folder| stream::measure(stream, captura, folder))
        }
    }
}

/// Figures of a debug build are worth nothing: build both programs for release and run there.
fn again_in_release() -> Result<()> {
    let target = release_folder()?;
    let build = ["build", "--release", "--package", "captura", "--package", "xtask"];
    Program::cargo().args(build).env("CARGO_TARGET_DIR", &target).run()?;
    let arguments = std::env::args_os().skip(1);
    Program::new(target.join("release/xtask")).args(arguments).env("CAPTURA_BIN", target.join("release/captura")).run()
}

fn release_folder() -> Result<PathBuf> {
    Ok(Cache::locate()?.target())
}

fn in_folder(dir: Option<&Path>, measure: impl FnOnce(&Path, &Path) -> Result<()>) -> Result<()> {
    let captura = std::env::var_os("CAPTURA_BIN").map(PathBuf::from).context("run this as `cargo xtask bench`")?;
    let base = dir.map_or_else(std::env::temp_dir, Path::to_owned);
    let folder = base.join(format!("captura-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let done = measure(&captura, &folder);
    std::fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    done
}

fn measure_in(invoke: &Invoke, captura: &Path, folder: &Path) -> Result<()> {
    let contenders = [
        Contender { capture: "floor", process: Process::floor()? },
        Contender { capture: "off", process: Process::captura(captura, folder, "off", None)? },
        Contender { capture: "10 %", process: Process::captura(captura, folder, "sampled", Some(10))? },
        Contender { capture: "100 %", process: Process::captura(captura, folder, "full", Some(100))? },
    ];
    let wanted = |workload: &Workload| invoke.only.as_ref().is_none_or(|only| workload.name.contains(only.as_str()));
    let workloads: Vec<Workload> = workloads()?.into_iter().filter(wanted).collect();
    let mut cases: Vec<Case> = Vec::new();
    for workload in &workloads {
        for &connections in &invoke.connections {
            for contender in &contenders {
                cases.push(Case::new(&workload.name, connections, contender.capture));
                warm_up(workload, contender, connections)?;
            }
        }
    }
    for round in 1..=invoke.rounds {
        let mut case = cases.iter_mut();
        for workload in &workloads {
            for &connections in &invoke.connections {
                for contender in &contenders {
                    eprintln!("round {round}: {}, {connections} connections, {}", workload.name, contender.capture);
                    let seen = one(workload, contender, connections, Duration::from_secs_f64(invoke.seconds))?;
                    case.next().expect("our bug: a case for each combination").rounds.push(seen);
                }
            }
        }
    }
    println!("{}", table::markdown(&cases));
    println!(
        "Medians of {} rounds of {} s. Floor: a bare hyper echo in a process of its own. CPU: user and system time of the \
         server process per request, archiving included. Load, servers and disk share {} cores.",
        invoke.rounds,
        invoke.seconds,
        std::thread::available_parallelism().map_or(0, std::num::NonZero::get),
    );
    Ok(())
}

fn warm_up(workload: &Workload, contender: &Contender, connections: usize) -> Result<()> {
    one(workload, contender, connections, Duration::from_millis(200)).map(drop)
}

fn one(workload: &Workload, contender: &Contender, connections: usize, duration: Duration) -> Result<Round> {
    let address = contender.process.address();
    let request = request(address, workload);
    let before = contender.process.cpu()?;
    let seen = Load { address, connections, request: &request, duration }.run()?;
    // What a call leaves behind, sealing and archiving, belongs to its price and must not burden the next round.
    let after = contender.process.cpu_at_rest()?;
    if seen.refused > 0 {
        bail!("{} of {} calls were not answered with 200: {}", seen.refused, seen.requests, seen.first_refusal);
    }
    if seen.dropped > 0 {
        eprintln!("  {} of {} captures dropped; the first: {}", seen.dropped, seen.requests, seen.first_drop);
    }
    Ok(Round {
        requests_per_second: seen.requests as f64 / seen.took.as_secs_f64(),
        p50_us: seen.percentile_us(0.50),
        p99_us: seen.percentile_us(0.99),
        cpu_us: (after - before).as_secs_f64() * 1e6 / seen.requests as f64,
        dropped: seen.dropped as f64 / seen.requests as f64,
    })
}

fn request(address: SocketAddr, workload: &Workload) -> Vec<u8> {
    let head = format!(
        "POST /endpoints/{}/invocations HTTP/1.1\r\nhost: {address}\r\ncontent-type: text/csv\r\naccept: text/csv\r\n\
         content-length: {}\r\n\r\n",
        workload.endpoint,
        workload.body.len()
    );
    let mut request = head.into_bytes();
    request.extend_from_slice(&workload.body);
    request
}

fn workloads() -> Result<Vec<Workload>> {
    let patients = cache::checkout().join("demo/patients.csv");
    let text = std::fs::read_to_string(&patients).with_context(|| format!("cannot read {}", patients.display()))?;
    let rows: Vec<&str> = text.lines().skip(1).collect();
    let full = rows.iter().scan(0, |bytes, row| {
        *bytes += row.len() + 1;
        (*bytes <= 1025).then_some(*row)
    });
    let full: Vec<&str> = full.collect();
    let row = rows.first().context("demo/patients.csv is empty")?;
    Ok(vec![
        Workload { name: "echo, 1 KB".to_owned(), endpoint: "echo", body: vec![b'7'; 1024] },
        Workload {
            name: format!("tree, 1 KB ({} rows)", full.len()),
            endpoint: "tree",
            body: full.join("\n").into_bytes(),
        },
        Workload { name: "tree, 1 row".to_owned(), endpoint: "tree", body: row.as_bytes().to_vec() },
    ])
}
