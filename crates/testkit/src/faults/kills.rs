//! T01: `kill -9` under load, in all three durability modes at once.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::connection::Connection;
use crate::deployment::Deployment;
use crate::oracle::{Acknowledged, Oracle};
use crate::order::{Broken, Figures, Order, Told};
use crate::program::said;
use crate::proof;
use crate::seeded::Seeded;
use crate::server::{Home, Server, found_within};
use crate::traffic::{Callers, Seen, Traffic};

/// Kills in one home before everything is proven: what the oracle holds must fit in memory.
const KILLS_PER_HOME: usize = 100;
/// Connections to each endpoint.
const CLIENTS: usize = 3;
const FSYNC: &str = "after-fsync";
const WRITE: &str = "after-write";
const BEST: &str = "best-effort";
/// Endpoints, one for each durability mode.
pub(super) const MODES: [(&str, &str); 3] =
    [(FSYNC, "ack-after-fsync"), (WRITE, "ack-after-write"), (BEST, "best-effort")];

/// One home, and what its clients know.
pub(super) struct Scene {
    pub(super) home: Home,
    pub(super) oracle: Arc<Oracle>,
    pub(super) seen: [Arc<Seen>; 3],
    /// Calls that only asked whether an endpoint is back, by mode.
    probes: [u64; 3],
}

impl Scene {
    pub(super) fn new(home: Home) -> Self {
        let oracle = Arc::new(Oracle::create(&home.path().join("oracle.jsonl")));
        Self { home, oracle, seen: Default::default(), probes: [0; 3] }
    }

    /// Makes the endpoints on a fresh server.
    pub(super) fn deploy(server: &Server) {
        for (endpoint, mode) in MODES {
            // What cannot be captured is answered all the same: refusals would end the load.
            let tags = vec![("captura:durability", mode), ("captura:when-unavailable", "serve")];
            Deployment { tags, ..Deployment::echo(endpoint) }.create(server);
        }
    }

    /// After a start the endpoints are loaded again; until then calls are refused, which is no loss.
    pub(super) fn wait_until_all_answer(&mut self, server: &Server) -> Result<(), String> {
        for (index, (endpoint, _)) in MODES.iter().enumerate() {
            let path = format!("/endpoints/{endpoint}/invocations");
            let reply = found_within(Duration::from_secs(30), || {
                let mut connection = Connection::open(server.address()).ok()?;
                let reply = connection.post(&path, &[("content-type", "text/csv")], b"0").ok()?;
                (reply.status == 200).then_some(reply)
            });
            let reply = reply.ok_or_else(|| format!("{endpoint} did not answer again"))?;
            self.probes[index] += 1;
            match Acknowledged::from_reply(endpoint, b"0", &reply) {
                Some(promise) => {
                    self.oracle.note(&promise);
                    let recent = &self.seen[index].recent;
                    recent.lock().expect("no client panicked").push((promise.event_id, Instant::now()));
                }
                None => {
                    let event_id = reply.header("x-captura-event-id").unwrap_or_default().to_owned();
                    self.seen[index].queued.lock().expect("no client panicked").insert(event_id);
                }
            }
        }
        Ok(())
    }

    pub(super) fn load(&self, server: &Server, numbers: &mut Seeded) -> Vec<Traffic> {
        let start = |(index, (endpoint, _)): (usize, &(&str, &str))| {
            let callers = Callers {
                address: server.address(),
                endpoint: (*endpoint).to_owned(),
                clients: CLIENTS,
                seed: numbers.number(),
            };
            Traffic::start(&callers, &self.oracle, &self.seen[index])
        };
        MODES.iter().enumerate().map(start).collect()
    }

    /// Calls that were answered with 200, and calls that may have been counted and were not answered, by mode.
    fn answered(&self, index: usize) -> (u64, u64) {
        let seen = &self.seen[index];
        let load = |count: &std::sync::atomic::AtomicU64| count.load(Ordering::Relaxed);
        let answered = load(&seen.acknowledged) + load(&seen.unacknowledged) + self.probes[index];
        (answered, load(&seen.unanswered))
    }
}

pub(super) fn run(order: &Order) -> Told {
    let mut seeds = order.seeds().peekable();
    let mut figures = Figures::default();
    while let Some(first) = seeds.peek().copied() {
        let mut batch = seeds.by_ref().take(KILLS_PER_HOME);
        if let Err(what) = one_home(&mut batch, &mut figures) {
            return Told::Broken(Broken { seed: first, what });
        }
    }
    Told::Held(figures)
}

fn one_home(seeds: &mut dyn Iterator<Item = u64>, figures: &mut Figures) -> Result<(), String> {
    let mut scene = Scene::new(Home::default());
    let outcome = kill_and_prove(&mut scene, seeds, figures);
    outcome.map_err(|what| format!("{what}\n-- server\n{}", scene.home.log_end()))
}

fn kill_and_prove(
    scene: &mut Scene,
    seeds: &mut dyn Iterator<Item = u64>,
    figures: &mut Figures,
) -> Result<(), String> {
    let server = scene.home.serve_through(&[])?;
    Scene::deploy(&server);
    let mut living = Some(server);
    for seed in seeds {
        let mut numbers = Seeded::new(seed);
        let server = match living.take() {
            Some(server) => server,
            None => scene.home.serve_through(&[])?,
        };
        figures.max("ms to start", server.started_in.as_millis() as u64);
        scene.wait_until_all_answer(&server)?;
        let load = scene.load(&server, &mut numbers);
        // Not synchronisation: the moment of death is what the seed chooses.
        std::thread::sleep(Duration::from_micros(numbers.between(1_000, 60_000)));
        server.kill();
        load.into_iter().for_each(Traffic::finish);
        let refused: u64 = scene.seen.iter().map(|seen| seen.refused.load(Ordering::Relaxed)).sum();
        if refused > 0 {
            return Err(format!("{refused} calls were refused"));
        }
        figures.units += 1;
        figures.seeds += 1;
    }
    prove(scene, figures)
}

fn prove(scene: &Scene, figures: &mut Figures) -> Result<(), String> {
    let accounts = proof::rest(&scene.home)?;
    let compared = proof::compare(&scene.home.bucket("captures"), &scene.oracle)?;
    if let Some(first) = compared.missing.first() {
        return Err(format!("{} acknowledged calls are lost, one is {first:?}", compared.missing.len()));
    }
    for (index, (endpoint, _)) in MODES.iter().enumerate() {
        let account = proof::account_of(&accounts, endpoint);
        let lost = exact(scene, index, account, compared.lines_of(endpoint) as u64)?;
        if *endpoint == BEST {
            let queued = scene.seen[index].queued.lock().expect("no client panicked");
            let missing = missing(&queued, &compared.captured);
            let (_, unanswered) = scene.answered(index);
            if missing > lost || lost > missing + unanswered {
                return Err(format!(
                    "best-effort: clients miss {missing} records and {unanswered} replies, the book counts {lost} lost"
                ));
            }
            figures.add("records lost of best-effort, all of them counted", missing);
            figures.add("calls queued", queued.len() as u64);
        }
    }
    let reconciled = proof::reconcile(&scene.home, &scene.oracle);
    if !reconciled.status.success() {
        return Err(said(&reconciled));
    }
    figures.add(super::ACKNOWLEDGED, compared.promised as u64);
    figures.add("calls captured", compared.captured.len() as u64);
    figures.add("acknowledged calls lost", 0);
    figures.add("calls twice", 0);
    Ok(())
}

fn missing(queued: &HashSet<String>, captured: &std::collections::HashMap<String, String>) -> u64 {
    queued.iter().filter(|event_id| !captured.contains_key(*event_id)).count() as u64
}

/// The account is exactly what clients and objects say. Gives what it counts as lost with the process.
fn exact(scene: &Scene, index: usize, account: &Value, lines: u64) -> Result<u64, String> {
    let number = |key: &str| account[key].as_u64().unwrap_or_default();
    let (answered, unanswered) = scene.answered(index);
    let lost = account["dropped"]["lost_unclean"].as_u64().unwrap_or_default();
    let invoked = number("invoked");
    let counted = number("captured") == lines && number("captured") + lost == invoked;
    if !counted || invoked < answered || invoked > answered + unanswered {
        return Err(format!(
            "{lines} lines, {answered} calls answered and {unanswered} not, and the account is {account}"
        ));
    }
    Ok(lost)
}
