//! T08: the disk fills up under calls, and has space again.

use std::time::{Duration, Instant};

use super::kills::MODES;
use crate::connection::Connection;
use crate::deployment::Deployment;
use crate::oracle::{Acknowledged, Oracle};
use crate::order::{Broken, Figures, Order, Told};
use crate::program::said;
use crate::proof;
use crate::seeded::Seeded;
use crate::server::{Home, Server, found_within};
use crate::small_disk::SmallDisk;

/// Fills in one home before everything is proven.
const FILLS_PER_HOME: usize = 25;
/// From the return of space to captures.
const HEALS_WITHIN: Duration = Duration::from_secs(5);
/// In which a full disk must have been noticed.
const NOTICED_WITHIN: Duration = Duration::from_secs(30);

pub(super) fn run(order: &Order) -> Told {
    let mut seeds = order.seeds().peekable();
    let mut figures = Figures::default();
    while let Some(first) = seeds.peek().copied() {
        let mut batch = seeds.by_ref().take(FILLS_PER_HOME);
        let home = Home::new("[capture]\nseal_after = \"1s\"\nseal_bytes = \"1MiB\"\ndisk_min_free = \"4MiB\"\n");
        let disk = match SmallDisk::mount(&home.data_dir(), "64m") {
            Ok(disk) => disk,
            Err(why) => return Told::Skipped(why),
        };
        let outcome = Clients::new(&home).live(&home, &disk, &mut batch, &mut figures);
        if let Err(what) = outcome {
            return Told::Broken(Broken { seed: first, what: format!("{what}\n-- server\n{}", home.log_end()) });
        }
    }
    Told::Held(figures)
}

/// What the callers of each mode know.
struct Clients {
    oracle: Oracle,
    calls: [u64; 3],
    told_full: [u64; 3],
    told_kept: [u64; 3],
}

impl Clients {
    fn new(home: &Home) -> Self {
        let oracle = Oracle::create(&home.path().join("oracle.jsonl"));
        Self { oracle, calls: [0; 3], told_full: [0; 3], told_kept: [0; 3] }
    }

    /// One call; gives the first word of what became of its capture, and the reason.
    fn call(&mut self, server: &Server, mode: usize, numbers: &mut Seeded) -> Result<String, String> {
        let endpoint = MODES[mode].0;
        let length = if numbers.once_in(10) { numbers.index(100_000) } else { numbers.index(2_000) };
        let body = vec![b'0' + (numbers.number() % 10) as u8; length + 1];
        let mut connection = Connection::open(server.address()).map_err(|error| error.to_string())?;
        let path = format!("/endpoints/{endpoint}/invocations");
        let reply =
            connection.post(&path, &[("content-type", "text/csv")], &body).map_err(|error| error.to_string())?;
        if reply.status != 200 || reply.body != body {
            return Err(format!("serving does not go on: {} {:.200}", reply.status, reply.text()));
        }
        self.calls[mode] += 1;
        let capture = reply.header("x-captura-capture").unwrap_or_default().to_owned();
        match capture.split(';').next().unwrap_or_default() {
            "durable" | "written" => {
                self.oracle.note(&Acknowledged::from_reply(endpoint, &body, &reply).ok_or("a promise without number")?);
                self.told_kept[mode] += 1;
            }
            "queued" => self.told_kept[mode] += 1,
            _ if capture == "dropped;reason=disk_full" => self.told_full[mode] += 1,
            _ => return Err(format!("a full disk is told as {capture}")),
        }
        Ok(capture)
    }

    fn live(
        mut self,
        home: &Home,
        disk: &SmallDisk,
        seeds: &mut dyn Iterator<Item = u64>,
        figures: &mut Figures,
    ) -> Result<(), String> {
        let server = home.serve_through(&[])?;
        for (endpoint, mode) in MODES {
            let tags = vec![("captura:durability", mode), ("captura:when-unavailable", "serve")];
            Deployment { tags, ..Deployment::echo(endpoint) }.create(&server);
        }
        for seed in seeds {
            let mut numbers = Seeded::new(seed);
            for _ in 0..numbers.between(3, 30) {
                let mode = numbers.index(MODES.len());
                self.call(&server, mode, &mut numbers)?;
            }
            disk.fill();
            let mut failed = Ok(());
            let full = found_within(NOTICED_WITHIN, || match self.call(&server, 1, &mut numbers) {
                Ok(capture) => capture.starts_with("dropped").then_some(()),
                Err(what) => {
                    failed = Err(what);
                    Some(())
                }
            });
            failed?;
            full.ok_or("a full disk was not noticed")?;
            for _ in 0..numbers.between(1, 20) {
                let mode = numbers.index(MODES.len());
                self.call(&server, mode, &mut numbers)?;
            }
            disk.empty();
            let returned = Instant::now();
            let healed = found_within(HEALS_WITHIN, || {
                let capture = self.call(&server, 1, &mut numbers).ok()?;
                capture.starts_with("written").then_some(())
            });
            healed.ok_or_else(|| format!("no capture {HEALS_WITHIN:?} after space returned"))?;
            figures.max("ms until captures after space returned", returned.elapsed().as_millis() as u64);
            figures.units += 1;
            figures.seeds += 1;
        }
        server.stop();
        self.prove(home, figures)
    }

    fn prove(&self, home: &Home, figures: &mut Figures) -> Result<(), String> {
        let accounts = proof::rest(home)?;
        let compared = proof::compare(&home.bucket("captures"), &self.oracle)?;
        if let Some(first) = compared.missing.first() {
            return Err(format!("{} acknowledged calls are lost, one is {first:?}", compared.missing.len()));
        }
        for (mode, (endpoint, _)) in MODES.iter().enumerate() {
            let account = proof::account_of(&accounts, endpoint);
            let number = |value: &serde_json::Value| value.as_u64().unwrap_or_default();
            let (captured, full) = (number(&account["captured"]), number(&account["dropped"]["disk_full"]));
            // What a best-effort caller was told to be queued may find the disk full later.
            let exact = number(&account["invoked"]) == self.calls[mode]
                && captured + full == self.calls[mode]
                && captured == compared.lines_of(endpoint) as u64
                && (full == self.told_full[mode] || (mode == 2 && full > self.told_full[mode]));
            if !exact {
                let (kept, told_full) = (self.told_kept[mode], self.told_full[mode]);
                return Err(format!("{kept} calls told kept, {told_full} told full, and the account is {account}"));
            }
            figures.add("calls dropped as disk_full, each counted and told", full);
        }
        figures.add(super::ACKNOWLEDGED, compared.promised as u64);
        figures.add("acknowledged calls lost", 0);
        let reconciled = proof::reconcile(home, &self.oracle);
        if reconciled.status.success() { Ok(()) } else { Err(said(&reconciled)) }
    }
}
