//! T02: the server is killed at the N-th call of each kind that it makes of the system, N from 1, over a life that starts,
//! recovers, takes calls, seals, uploads, lets segments go, and ends.

use std::collections::HashMap;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::kills::{MODES, Scene};
use crate::connection::Connection;
use crate::oracle::Acknowledged;
use crate::order::{Broken, Figures, Order, Told};
use crate::program::said;
use crate::proof;
use crate::server::{Home, Server, found_within};

/// Kinds of calls. Those of files come first; those of sockets and memory are moments like any other.
const CALLS: [&str; 20] = [
    "pwrite64",
    "fdatasync",
    "openat",
    "rename",
    "unlink",
    "fsync",
    "fallocate",
    "ftruncate",
    "write",
    "linkat",
    "link",
    "mkdir",
    "pread64",
    "read",
    "close",
    "statx",
    "mmap",
    "munmap",
    "recvfrom",
    "epoll_wait",
];
/// Points in one home before everything is proven.
const POINTS_PER_HOME: usize = 20;
/// Calls of one life.
const INVOCATIONS: usize = 9;
/// In which a life that nobody kills has archived everything.
const RESTS_WITHIN: Duration = Duration::from_secs(10);

pub(super) fn run(order: &Order) -> Told {
    let strace = Command::new("strace").arg("-V").stdout(Stdio::null()).status();
    if !strace.is_ok_and(|status| status.success()) {
        return Told::Skipped("no strace".to_owned());
    }
    let mut seeds = order.seeds().peekable();
    let mut figures = Figures::default();
    // From which N on a kind of call is not made in the whole life.
    let mut past: HashMap<&str, u64> = HashMap::new();
    while let Some(first) = seeds.peek().copied() {
        let home = Home::new("[capture]\nseal_after = \"150ms\"\nseal_bytes = \"128KiB\"\n");
        let mut scene = Scene::new(home);
        let mut batch = seeds.by_ref().take(POINTS_PER_HOME);
        let outcome = points(&mut scene, &mut batch, &mut past, &mut figures);
        if let Err(what) = outcome {
            let what = format!("{what}\n-- server\n{}", scene.home.log_end());
            return Told::Broken(Broken { seed: first, what });
        }
    }
    Told::Held(figures)
}

/// The point of a seed: kind of call, and which one of it.
fn point(seed: u64) -> (&'static str, u64) {
    let kinds = CALLS.len() as u64;
    (CALLS[usize::try_from((seed - 1) % kinds).unwrap_or(0)], (seed - 1) / kinds + 1)
}

fn points(
    scene: &mut Scene,
    seeds: &mut dyn Iterator<Item = u64>,
    past: &mut HashMap<&str, u64>,
    figures: &mut Figures,
) -> Result<(), String> {
    let server = scene.home.serve_through(&[])?;
    Scene::deploy(&server);
    if !server.stop().success() {
        return Err("a quiet life did not end in order".to_owned());
    }
    for seed in seeds {
        figures.seeds += 1;
        let (call, n) = point(seed);
        if past.get(call).is_some_and(|end| n >= *end) {
            continue;
        }
        let inject = format!("inject={call}:signal=KILL:when={n}");
        let trace = format!("trace={call}");
        // The tracer steps aside, so that the process is the server itself.
        let prefix = ["strace", "-D", "-f", "-qq", "-o", "/dev/null", "-e", &trace, "-e", &inject];
        let prefix = prefix.map(str::to_owned);
        // A server that dies while it starts has met its point too.
        let end = match scene.home.serve_through(&prefix) {
            Ok(server) => life(scene, server),
            Err(_) => End::Killed,
        };
        match end {
            End::InOrder => {
                past.insert(call, n);
            }
            End::Killed => {
                figures.units += 1;
                figures.add(&format!("at {call}"), 1);
            }
            End::Slow => figures.add("lives that took too long to tell", 1),
        }
    }
    proof::rest(&scene.home)?;
    let compared = proof::compare(&scene.home.bucket("captures"), &scene.oracle)?;
    if let Some(lost) = compared.missing.first() {
        return Err(format!("{} acknowledged calls are lost, one is {lost:?}", compared.missing.len()));
    }
    figures.add(super::ACKNOWLEDGED, compared.promised as u64);
    figures.add("acknowledged calls lost", 0);
    let reconciled = proof::reconcile(&scene.home, &scene.oracle);
    if reconciled.status.success() { Ok(()) } else { Err(said(&reconciled)) }
}

/// How a life ended.
enum End {
    Killed,
    InOrder,
    /// Not within the time, and nobody killed it; what it promised counts all the same.
    Slow,
}

/// What became of a server that gave no answer.
fn ended(mut server: Server) -> End {
    let gone = found_within(Duration::from_secs(1), || server.is_gone().then_some(()));
    server.kill();
    if gone.is_some() { End::Killed } else { End::Slow }
}

/// Calls, waits for the archive, and ends the server.
fn life(scene: &Scene, server: Server) -> End {
    for number in 0..INVOCATIONS {
        let endpoint = MODES[number % MODES.len()].0;
        let body = format!("{number},1");
        let path = format!("/endpoints/{endpoint}/invocations");
        let answered = found_within(Duration::from_secs(10), || {
            let Ok(mut connection) = Connection::open(server.address()) else { return Some(None) };
            match connection.post(&path, &[("content-type", "text/csv")], body.as_bytes()) {
                Ok(reply) if reply.status == 200 => Some(Some(reply)),
                // Not loaded yet.
                Ok(_) => None,
                Err(_) => Some(None),
            }
        });
        let Some(Some(reply)) = answered else { return ended(server) };
        if let Some(promise) = Acknowledged::from_reply(endpoint, body.as_bytes(), &reply) {
            scene.oracle.note(&promise);
        }
    }
    let rested = found_within(RESTS_WITHIN, || match proof::accounts(&server) {
        Ok(accounts) => accounts.iter().all(|account| account["local_pending"] == 0).then_some(true),
        Err(_) => Some(false),
    });
    if rested != Some(true) {
        return ended(server);
    }
    if server.stop().success() { End::InOrder } else { End::Killed }
}
