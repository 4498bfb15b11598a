//! `cargo xtask bench backends`: what going through captura adds to a model behind a socket.
//!
//! The container is a bare hyper echo. It is called directly, through captura as a remote server, and as a process that
//! captura supervises; with capture off and on. Rounds alternate between all of them, and what is added is the difference
//! of medians to the direct calls of the same connections.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::Args;

use super::load::Load;
use super::process::{Process, Served};
use super::table::median;

/// Echoed by every contender.
const BODY: [u8; 1024] = [b'7'; 1024];

#[derive(Args)]
pub(crate) struct Backends {
    /// Rounds over all cases; the medians count
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds of load in each round of each case
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Connections, each waiting for its reply before the next call
    #[arg(long, value_delimiter = ',', default_values_t = [1, 8])]
    connections: Vec<usize>,
}

/// One way to the echo.
struct Way<'a> {
    name: &'static str,
    process: &'a Process,
    path: &'static str,
}

/// What one way cost with so many connections, one figure per round.
struct Cost {
    way: &'static str,
    connections: usize,
    p50_us: Vec<f64>,
    p99_us: Vec<f64>,
    requests_per_second: Vec<f64>,
}

pub(super) fn measure(backends: &Backends, captura: &Path, folder: &Path) -> Result<()> {
    let container = Process::floor()?;
    let configuration = configuration(&container, folder)?;
    let server = |name: &str, deploy: &[&str]| {
        let endpoints = [("remote", "bench/remote:1".into()), ("process", "bench/process:1".into())];
        Process::serving(
            captura,
            folder,
            &Served { name, configuration: &configuration, endpoints: &endpoints, deploy },
        )
    };
    let (plain, capturing) = (server("plain", &[])?, server("capturing", &["--capture", "100"])?);
    let ways = [
        Way { name: "direct", process: &container, path: "/invocations" },
        Way { name: "remote", process: &plain, path: "/endpoints/remote/invocations" },
        Way { name: "process", process: &plain, path: "/endpoints/process/invocations" },
        Way { name: "process, captured", process: &capturing, path: "/endpoints/process/invocations" },
    ];
    let mut costs = Vec::new();
    for &connections in &backends.connections {
        for way in &ways {
            call(way, connections, Duration::from_millis(300))?;
            let (p50_us, p99_us, requests_per_second) = Default::default();
            costs.push(Cost { way: way.name, connections, p50_us, p99_us, requests_per_second });
        }
    }
    for round in 1..=backends.rounds {
        let mut cost = costs.iter_mut();
        for &connections in &backends.connections {
            for way in &ways {
                eprintln!("round {round}: {}, {connections} connections", way.name);
                let seen = call(way, connections, Duration::from_secs_f64(backends.seconds))?;
                let cost = cost.next().expect("our bug: a cost for each combination");
                cost.p50_us.push(seen.percentile_us(0.50));
                cost.p99_us.push(seen.percentile_us(0.99));
                cost.requests_per_second.push(seen.requests as f64 / seen.took.as_secs_f64());
            }
        }
    }
    print(&costs);
    Ok(())
}

fn call(way: &Way<'_>, connections: usize, duration: Duration) -> Result<super::load::Seen> {
    let address = way.process.address();
    let head = format!(
        "POST {} HTTP/1.1\r\nhost: {address}\r\ncontent-type: text/csv\r\ncontent-length: {}\r\n\r\n",
        way.path,
        BODY.len()
    );
    let mut request = head.into_bytes();
    request.extend_from_slice(&BODY);
    let seen = Load { address, connections, request: &request, duration }.run()?;
    if seen.refused > 0 {
        bail!("{} of {} calls were not answered with 200: {}", seen.refused, seen.requests, seen.first_refusal);
    }
    Ok(seen)
}

/// This program is the container; as root it keeps its user, who may not reach where it was built otherwise.
fn configuration(container: &Process, folder: &Path) -> Result<String> {
    let program: PathBuf = std::env::current_exe().context("who am I")?;
    let user = if rustix::process::geteuid().is_root() { "user = \"0\"\n" } else { "" };
    Ok(format!(
        "[models]\nprocess_dir = {processes:?}\n[[models.images]]\nimage = \"bench/remote*\"\nbackend = \"remote\"\nurl = \"http://{}\"\n\
         [[models.images]]\nimage = \"bench/process*\"\nbackend = \"process\"\ncommand = [{program:?}, \"floor\"]\n\
         sandbox = \"degraded\"\n{user}",
        container.address(),
        processes = folder.join("processes"),
    ))
}

fn print(costs: &[Cost]) {
    println!("| way | connections | requests/s | p50 µs | p99 µs | added p50 µs | added p99 µs |");
    println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: |");
    for cost in costs {
        let direct = costs.iter().find(|other| other.connections == cost.connections && other.way == "direct");
        let added = |of: fn(&Cost) -> &Vec<f64>| match direct {
            Some(direct) if cost.way != "direct" => format!("{:.0}", median(of(cost)) - median(of(direct))),
            _ => "–".to_owned(),
        };
        println!(
            "| {} | {} | {:.0} | {:.0} | {:.0} | {} | {} |",
            cost.way,
            cost.connections,
            median(&cost.requests_per_second),
            median(&cost.p50_us),
            median(&cost.p99_us),
            added(|cost| &cost.p50_us),
            added(|cost| &cost.p99_us),
        );
    }
}
