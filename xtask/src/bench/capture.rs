//! `cargo xtask bench capture`: the price of the promise, in one run on one machine.
//!
//! Three questions, each to servers of their own: what each durability costs beside capture off; how many records a second
//! get from the street into objects, beside what the disk takes; and how much memory is held while the store is down.
//! Bodies are of 1 KB, the model is the echo, so nearly all that is measured is captura.
//!
//! Refuses to: assert figures; see `bench`.

use std::fs::File;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use serde_json::Value;

use super::load::{Load, Seen};
use super::process::{Process, Served};
use super::table::median;
use crate::program::Program;

/// Echoed by every contender.
const BODY: [u8; 1024] = [b'7'; 1024];
const MIB: u64 = 1 << 20;
/// How often the book is asked whether the archive is through.
const BOOK_PAUSE: Duration = Duration::from_millis(50);
/// An archive that needs longer than this is not keeping up with anything.
const ARCHIVE_LIMIT: Duration = Duration::from_secs(600);
/// A port on which nothing listens: the discard service, below those that systems give out.
const NOBODY: &str = "http://127.0.0.1:9";

#[derive(Args)]
pub(crate) struct Capture {
    /// Rounds over all durabilities; the medians count
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds of load in each round of each durability
    #[arg(long, default_value_t = 4.0)]
    seconds: f64,
    /// Connections, each waiting for its reply before the next call
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Seconds of load on the archive, and again with the store down
    #[arg(long, default_value_t = 20.0)]
    long_seconds: f64,
    /// Folder for the servers' data, on the disk that is to be measured
    #[arg(long)]
    pub(super) dir: Option<PathBuf>,
}

struct Contender {
    name: &'static str,
    process: Process,
    rounds: Vec<Round>,
}

struct Round {
    requests_per_second: f64,
    p50_us: f64,
    p99_us: f64,
    resident_bytes: u64,
    dropped: u64,
}

pub(super) fn measure(wanted: &Capture, captura: &Path, folder: &Path) -> Result<()> {
    durabilities(wanted, captura, folder)?;
    archive(wanted, captura, folder)?;
    store_down(wanted, captura, folder)
}

/// What each durability costs. The servers take turns, so that a ratio comes from runs that are seconds apart.
fn durabilities(wanted: &Capture, captura: &Path, folder: &Path) -> Result<()> {
    let mut contenders = Vec::new();
    for name in ["off", "best-effort", "ack-after-write", "ack-after-fsync"] {
        let durability = ["--capture", "100", "--durability", name];
        let deploy = if name == "off" { &[][..] } else { &durability };
        let process = serve(captura, folder, name, "", deploy)?;
        call(process.address(), wanted.connections, Duration::from_millis(300))?;
        contenders.push(Contender { name, process, rounds: Vec::new() });
    }
    for round in 1..=wanted.rounds {
        for contender in &mut contenders {
            eprintln!("round {round}: {}", contender.name);
            let address = contender.process.address();
            let seen = call(address, wanted.connections, Duration::from_secs_f64(wanted.seconds))?;
            // What is left to archive must not burden the next round.
            contender.process.cpu_at_rest()?;
            contender.rounds.push(Round {
                requests_per_second: rate(&seen),
                p50_us: seen.percentile_us(0.50),
                p99_us: seen.percentile_us(0.99),
                resident_bytes: contender.process.resident()?.1,
                dropped: seen.dropped,
            });
        }
    }
    println!("{}", markdown(&contenders));
    println!(
        "Medians of {} rounds of {} s, echo of 1 KB, {} connections; memory is the most that was resident.\n",
        wanted.rounds, wanted.seconds, wanted.connections
    );
    Ok(())
}

fn markdown(contenders: &[Contender]) -> String {
    let of = |contender: &Contender, figure: fn(&Round) -> f64| {
        median(&contender.rounds.iter().map(figure).collect::<Vec<_>>())
    };
    let off = of(&contenders[0], |round| round.requests_per_second);
    let mut out = "| capture | requests/s | of capture off | p50 µs | p99 µs | memory MiB | dropped |\n\
                   | --- | ---: | ---: | ---: | ---: | ---: | ---: |\n"
        .to_owned();
    for contender in contenders {
        let requests_per_second = of(contender, |round| round.requests_per_second);
        let dropped: u64 = contender.rounds.iter().map(|round| round.dropped).sum();
        out += &format!(
            "| {} | {requests_per_second:.0} | {:.2} | {:.0} | {:.0} | {:.0} | {dropped} |\n",
            contender.name,
            requests_per_second / off,
            of(contender, |round| round.p50_us),
            of(contender, |round| round.p99_us),
            of(contender, |round| (round.resident_bytes / MIB) as f64),
        );
    }
    out
}

/// How many records a second get from the street into confirmed objects, from the first call until nothing is pending.
fn archive(wanted: &Capture, captura: &Path, folder: &Path) -> Result<()> {
    eprintln!("archive");
    let process = serve(captura, folder, "archive", "", &["--capture", "100"])?;
    let began = Instant::now();
    let seen = call(process.address(), wanted.connections, Duration::from_secs_f64(wanted.long_seconds))?;
    let loaded = began.elapsed();
    let behind = account(captura, process.address())?.1;
    let uploaded = loop {
        let (uploaded, pending) = account(captura, process.address())?;
        if pending == 0 {
            break uploaded;
        }
        if began.elapsed() > loaded + ARCHIVE_LIMIT {
            bail!("{pending} records are not archived {} s after the last call", ARCHIVE_LIMIT.as_secs());
        }
        std::thread::sleep(BOOK_PAUSE);
    };
    let archived = began.elapsed();
    let objects = bytes_below(&folder.join("archive/data/buckets"))?;
    let floor = disk_floor(&folder.join("floor"), objects)?;
    let per_record = objects as f64 / uploaded as f64;
    println!("| archive | |\n| --- | ---: |");
    println!("| calls per second, all captured | {:.0} |", rate(&seen));
    println!("| records not yet archived at the end of {:.1} s of load | {behind} |", loaded.as_secs_f64());
    println!("| records in objects {:.1} s after the first call | {uploaded} |", archived.as_secs_f64());
    println!("| records per second from the street into objects | {:.0} |", uploaded as f64 / archived.as_secs_f64());
    println!("| bytes of objects per record | {per_record:.0} |");
    println!("| disk: the same bytes written once and synced, records per second | {:.0} |\n", floor / per_record);
    Ok(())
}

/// How much memory is held while calls are captured for a store that nobody answers for.
fn store_down(wanted: &Capture, captura: &Path, folder: &Path) -> Result<()> {
    const SLICES: u32 = 5;
    let configuration = format!(
        "[stores.down]\nurl = \"s3://down\"\noptions = {{ endpoint = \"{NOBODY}\", allow_http = \"true\", region = \
         \"us-east-1\", access_key_id = \"a\", secret_access_key = \"b\" }}\n"
    );
    let deploy = ["--capture", "100", "--capture-to", "s3://down/captures"];
    let process = serve(captura, folder, "down", &configuration, &deploy)?;
    println!("| store down, s of load | records waiting | resident MiB | dropped |\n| ---: | ---: | ---: | ---: |");
    for slice in 1..=SLICES {
        eprintln!("store down: {slice} of {SLICES}");
        let seconds = Duration::from_secs_f64(wanted.long_seconds / f64::from(SLICES));
        let seen = call(process.address(), wanted.connections, seconds)?;
        let (_, pending) = account(captura, process.address())?;
        let resident = process.resident()?.0 / MIB;
        let so_far = wanted.long_seconds * f64::from(slice) / f64::from(SLICES);
        println!("| {so_far:.0} | {pending} | {resident} | {} |", seen.dropped);
    }
    println!("\nThe most that was resident: {} MiB.", process.resident()?.1 / MIB);
    Ok(())
}

fn serve(captura: &Path, folder: &Path, name: &str, configuration: &str, deploy: &[&str]) -> Result<Process> {
    let endpoints = [("echo", "captura/echo".into())];
    Process::serving(captura, folder, &Served { name, configuration, endpoints: &endpoints, deploy })
}

fn call(address: SocketAddr, connections: usize, duration: Duration) -> Result<Seen> {
    let head = format!(
        "POST /endpoints/echo/invocations HTTP/1.1\r\nhost: {address}\r\ncontent-type: text/csv\r\n\
         content-length: {}\r\n\r\n",
        BODY.len()
    );
    let request = [head.as_bytes(), &BODY].concat();
    let seen = Load { address, connections, request: &request, duration }.run()?;
    if seen.refused > 0 {
        bail!("{} of {} calls were not answered with 200: {}", seen.refused, seen.requests, seen.first_refusal);
    }
    if seen.dropped > 0 {
        eprintln!("  {} of {} captures dropped; the first: {}", seen.dropped, seen.requests, seen.first_drop);
    }
    Ok(seen)
}

fn rate(seen: &Seen) -> f64 {
    seen.requests as f64 / seen.took.as_secs_f64()
}

/// Records in objects, and records in the journal only.
fn account(captura: &Path, address: SocketAddr) -> Result<(u64, u64)> {
    let book =
        Program::new(captura).args(["ledger", "--json"]).env("CAPTURA_URL", format!("http://{address}")).read()?;
    let book: Value = serde_json::from_str(&book).context("cannot understand the ledger")?;
    let figure = |name: &str| {
        let accounts = book["accounts"].as_array().into_iter().flatten();
        accounts.map(|account| account[name].as_u64()).sum::<Option<u64>>().with_context(|| format!("no {name}"))
    };
    Ok((figure("uploaded")?, figure("local_pending")?))
}

fn bytes_below(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() { bytes_below(&entry.path())? } else { metadata.len() };
    }
    Ok(bytes)
}

/// Bytes per second that the disk takes in one file, its sync included.
fn disk_floor(path: &Path, bytes: u64) -> Result<f64> {
    let block = vec![b'7'; MIB as usize];
    let mut file = File::create(path).context("cannot make the file that measures the disk")?;
    let began = Instant::now();
    for _ in 0..bytes.div_ceil(MIB) {
        file.write_all(&block)?;
    }
    file.sync_all()?;
    Ok((bytes.div_ceil(MIB) * MIB) as f64 / began.elapsed().as_secs_f64())
}
