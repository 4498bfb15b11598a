//! The numbered tests. Each breaks one thing, again and again, and counts what it cost.

pub mod bad_input;
pub mod damage;
pub mod full;
pub mod honesty;
pub mod kills;
pub mod life;
pub mod models;
pub mod points;
pub mod power;
pub mod stores;

use serde::Serialize;

use crate::order::{Broken, Order, Told};

/// A numbered test.
#[derive(Debug, Serialize)]
pub struct Test {
    /// `T01`; a variant is set off by a hyphen.
    pub name: &'static str,
    /// What is counted: `kill`, `power cut`.
    pub unit: &'static str,
    /// What is broken, and what must hold.
    pub about: &'static str,
    /// Units after which it has shown enough at one commit.
    pub goal: u64,
    /// Its share of the time, beside the others'.
    pub weight: u64,
    /// Whether it starts the program `captura`; else it calls the room that it tests.
    pub starts_captura: bool,
    #[serde(skip)]
    run: fn(&Order) -> Told,
}

/// What tests of acknowledged calls count.
pub(crate) const ACKNOWLEDGED: &str = "calls acknowledged";

impl Test {
    /// Runs it. Where calls are counted and none was acknowledged, nothing could be lost and nothing was shown: that is
    /// no promise that held.
    #[must_use]
    pub fn run(&self, order: &Order) -> Told {
        match (self.run)(order) {
            Told::Held(figures) if figures.counts.get(ACKNOWLEDGED) == Some(&0) => {
                let seed = order.seeds().next().unwrap_or_default();
                let what = format!("no call was acknowledged in {} units, so they show nothing", figures.units);
                Told::Broken(Broken { seed, what })
            }
            told => told,
        }
    }
}

/// All tests, in the order of their worth.
pub const ALL: &[Test] = &[
    Test {
        name: "T01",
        unit: "kill",
        about: "kill -9 under load, clients in all three durability modes: nothing acknowledged is lost or twice, best-effort loses exactly what it counts",
        goal: 3_000,
        weight: 20,
        starts_captura: true,
        run: kills::run,
    },
    Test {
        name: "T02",
        unit: "point",
        about: "killed at the N-th system call of each kind, N from 1, over start, recovery, calls, seal, upload and end: nothing acknowledged is lost",
        goal: 3_000,
        weight: 15,
        starts_captura: true,
        run: points::run,
    },
    Test {
        name: "T04-ext4",
        unit: "power cut",
        about: "the power goes under load, ext4: nothing durable is lost, of what was written only the youngest",
        goal: 2_000,
        weight: 15,
        starts_captura: true,
        run: power::run_ext4,
    },
    Test {
        name: "T04-xfs",
        unit: "power cut",
        about: "the same on XFS",
        goal: 500,
        weight: 5,
        starts_captura: true,
        run: power::run_xfs,
    },
    Test {
        name: "T06",
        unit: "life of the capture room",
        about: "a simulated disk: unsynced writes are dropped, reordered and torn at every crash: what was told is found",
        goal: 100_000,
        weight: 15,
        starts_captura: false,
        run: life::run_cuts,
    },
    Test {
        name: "T07",
        unit: "injected I/O error",
        about: "reads, writes, syncs, renames fail: nothing acknowledged is lost, no file is synced after its sync failed",
        goal: 5_000,
        weight: 5,
        starts_captura: false,
        run: life::run_errors,
    },
    Test {
        name: "T22",
        unit: "transition",
        about: "calls, seals, uploads, ends, kills, full disks in any order: the book and the records are the model's",
        goal: 5_000_000,
        weight: 10,
        starts_captura: false,
        run: life::run_model,
    },
    Test {
        name: "T08",
        unit: "fill",
        about: "the disk fills up under calls: no acknowledged call is lost, every drop is counted and told, it heals in 5 s",
        goal: 500,
        weight: 10,
        starts_captura: true,
        run: full::run,
    },
    Test {
        name: "T10",
        unit: "mutated segment",
        about: "bits flip, blocks are zeroed, segments cut, deleted, swapped: found every time, no untouched record lost",
        goal: 50_000,
        weight: 5,
        starts_captura: false,
        run: damage::run,
    },
    Test {
        name: "T29",
        unit: "tampering",
        about: "objects, manifests, records deleted, doubled, altered, reordered: reconcile finds each, and nothing in clean copies",
        goal: 10_000,
        weight: 10,
        starts_captura: true,
        run: honesty::run,
    },
    Test {
        name: "T14",
        unit: "outage",
        about: "the store is gone or silent while calls go on: all of it is archived once it is back, nothing is given up",
        goal: 500,
        weight: 6,
        starts_captura: true,
        run: stores::run_outages,
    },
    Test {
        name: "T15",
        unit: "round of storm",
        about: "the store flaps, replies are lost after it has done its part, the server is killed: every object once, none missing, no upload left half-done",
        goal: 2_000,
        weight: 10,
        starts_captura: true,
        run: stores::run_flaps,
    },
    Test {
        name: "T13",
        unit: "six calls on one connection",
        about: "a model server dies, lies, answers twice, late, endlessly: nobody gets another answer than theirs, every call is captured with its outcome",
        goal: 5_000,
        weight: 5,
        starts_captura: true,
        run: models::run,
    },
    Test {
        name: "T26",
        unit: "request",
        about: "names, headers, framing, limits, JSON, request lines and noise: exact statuses, no error of the server, no connection left",
        goal: 100_000,
        weight: 5,
        starts_captura: true,
        run: bad_input::run,
    },
];
