//! T06, T07, T22: random lives of the capture room on a simulated disk, held against a model in memory.
//!
//! A seed chooses the calls, the faults, the moments of death and what a power cut leaves. The threads of the room run
//! as they like, so a seed that failed once is to be run a few times.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use captura_capture::journal::faulty_disk::{Call, Fault};
use captura_capture::record::Lsn;
use captura_capture::{AccountRecords, Capture, Captured};

use crate::order::{Figures, Order, Told, in_parallel};
use crate::room::{self, MODES, VARIANT, answered, invocation, policy, records};
use crate::seeded::Seeded;
use crate::sim_disk::SimDisk;

/// Longer than any call waits on a disk that answers, on a machine that does ten other things too.
const PATIENCE: Duration = Duration::from_secs(120);
/// Steps between two deaths, at most.
const STEPS_MAX: u64 = 24;

/// Lives at the same time: where a disk fails they mostly wait for it.
const LIVES_AT_ONCE: usize = 12;

/// What a kind of life is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum About {
    /// Power cuts and kills, with faults before.
    Cuts,
    /// Errors, and kills.
    Errors,
    /// Everything but power cuts, so that the model knows every count.
    Model,
}

pub(super) fn run_cuts(order: &Order) -> Told {
    run(order, About::Cuts, false)
}

pub(super) fn run_errors(order: &Order) -> Told {
    run(order, About::Errors, false)
}

pub(super) fn run_model(order: &Order) -> Told {
    run(order, About::Model, false)
}

/// T06 on a disk that says synced and is not; must find lost records.
pub fn run_cuts_on_a_lying_disk(order: &Order) -> Told {
    run(order, About::Cuts, true)
}

fn run(order: &Order, about: About, lying: bool) -> Told {
    in_parallel(order, LIVES_AT_ONCE, |seed| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        let mut life = Life::new(seed, about, lying);
        runtime.block_on(life.live())?;
        let units = match about {
            About::Cuts => 1,
            About::Errors => life.disk.struck(),
            About::Model => life.steps,
        };
        let mut figures = Figures { units, ..Figures::default() };
        figures.add("calls", life.model.calls.iter().sum());
        figures.add("records told to be kept", life.model.told.len() as u64);
        figures.add("steps", life.steps);
        figures.add("power cuts", life.cuts);
        figures.add("kills", life.kills);
        figures.add("errors injected", life.disk.struck());
        Ok(figures)
    })
}

/// What the life should have left.
#[derive(Default)]
struct Model {
    /// By mode.
    calls: [u64; 3],
    /// Records that callers hold a promise for.
    told: BTreeMap<u64, Promise>,
    /// What the archive took, and could never lose.
    archived: BTreeMap<u64, usize>,
}

/// A promise.
#[derive(Debug, Clone, Copy)]
struct Promise {
    lsn: Lsn,
    durable: bool,
}

struct Life {
    dir: tempfile::TempDir,
    disk: SimDisk,
    numbers: Seeded,
    about: About,
    capture: Option<Capture>,
    model: Model,
    /// The counters of the page are what they were counted to: no power was cut.
    exact: bool,
    next: u64,
    steps: u64,
    cuts: u64,
    kills: u64,
}

impl Life {
    fn new(seed: u64, about: About, lying: bool) -> Self {
        let disk = SimDisk::default();
        if lying {
            disk.forget_syncs();
        }
        Self {
            dir: room::folder(),
            disk,
            numbers: Seeded::new(seed),
            about,
            capture: None,
            model: Model::default(),
            exact: true,
            next: 0,
            steps: 0,
            cuts: 0,
            kills: 0,
        }
    }

    async fn live(&mut self) -> Result<(), String> {
        let deaths = self.numbers.between(1, 4);
        for _ in 0..deaths {
            if self.numbers.once_in(3) {
                // Also while it starts and recovers.
                let calls = self.numbers.between(1, 120);
                self.disk.dies_in(calls);
            }
            for _ in 0..self.numbers.between(4, STEPS_MAX) {
                self.steps += 1;
                tokio::time::timeout(PATIENCE, self.step()).await.map_err(|_| "a step hangs".to_owned())??;
                if self.disk.is_dead() && self.numbers.once_in(2) {
                    break;
                }
            }
            self.die();
            self.check()?;
        }
        Ok(())
    }

    /// The room; none while the disk does not let it open.
    fn room(&mut self) -> Option<Capture> {
        if self.capture.is_none() {
            self.capture = room::open(self.dir.path(), &self.disk).ok().map(|(capture, _)| capture);
        }
        self.capture.clone()
    }

    fn die(&mut self) {
        self.capture = None;
        let power = self.about == About::Cuts && !self.numbers.once_in(4);
        if !power {
            self.kills += 1;
            self.disk.kill();
            return;
        }
        self.cuts += 1;
        self.exact = false;
        self.disk.cut_power(&mut self.numbers);
        // The page of counters was written back at some time, or never.
        if self.numbers.once_in(2) {
            let _ = std::fs::remove_file(self.dir.path().join("counters"));
        }
    }

    async fn step(&mut self) -> Result<(), String> {
        let Some(capture) = self.room() else {
            self.disk.set_fault(None);
            return Ok(());
        };
        match self.numbers.between(0, 40) {
            0..18 => self.call(&capture).await?,
            18..23 => self.burst(&capture).await?,
            23 | 24 => {
                let (mode, number) = self.number();
                drop(capture.stream(&policy(mode)).begin(invocation(mode, number, 30)));
            }
            25..28 => capture.seal().await,
            28..32 => self.archive(&capture)?,
            32 if self.about != About::Errors => {
                // An error means that the next start takes up what is left.
                let _ = capture.close().await;
                self.capture = None;
            }
            33 if self.about != About::Errors => {
                self.kills += 1;
                self.capture = None;
                drop(capture);
                self.disk.kill();
                return Ok(());
            }
            34 | 35 => self.disk.set_fault(None),
            36 if self.about == About::Cuts => {
                let calls = self.numbers.between(1, 60);
                self.disk.dies_in(calls);
            }
            37 => {
                let room = self.numbers.between(0, 200_000);
                let full = (!self.numbers.once_in(2)).then(|| self.disk.used_bytes() + room);
                self.disk.set_capacity_bytes(full);
            }
            36..40 => self.break_something(),
            _ => {}
        }
        let ledger = capture.ledger();
        if ledger.imbalance() != 0 {
            return Err(format!("the book does not balance: {ledger:?}"));
        }
        Ok(())
    }

    fn break_something(&mut self) {
        const FAILING: [Call; 9] = [
            Call::Create,
            Call::Write,
            Call::Sync,
            Call::Sync,
            Call::Allocate,
            Call::SetLen,
            Call::Rename,
            Call::Remove,
            Call::SyncDir,
        ];
        let call = *self.numbers.pick(&FAILING);
        let error = if call == Call::Write && self.numbers.once_in(2) {
            std::io::ErrorKind::StorageFull
        } else {
            std::io::ErrorKind::Other
        };
        let (after, times) = (self.numbers.between(0, 4), self.numbers.between(1, 6));
        let short_bytes = self.numbers.index(300);
        self.disk.set_fault(Some(Fault { call: Some(call), after, times, error, short_bytes }));
    }

    /// The next call's mode and number.
    fn number(&mut self) -> (usize, u64) {
        let mode = self.numbers.index(MODES.len());
        let number = self.next;
        self.next += 1;
        self.model.calls[mode] += 1;
        (mode, number)
    }

    fn size(&mut self) -> usize {
        if self.numbers.once_in(30) { self.numbers.index(90_000) } else { 20 + self.numbers.index(2_000) }
    }

    fn told(&mut self, number: u64, captured: Captured) -> Result<(), String> {
        let (lsn, durable) = match captured {
            Captured::Durable(lsn) => (lsn, true),
            Captured::Written(lsn) => (lsn, false),
            Captured::Queued(_) | Captured::Dropped(_) => return Ok(()),
            Captured::SampledOut => return Err("everything is sampled".to_owned()),
        };
        self.model.told.insert(number, Promise { lsn, durable });
        Ok(())
    }

    async fn call(&mut self, capture: &Capture) -> Result<(), String> {
        let ((mode, number), size) = (self.number(), self.size());
        let begun = capture
            .stream(&policy(mode))
            .begin(invocation(mode, number, size))
            .map_err(|refused| refused.to_string())?;
        let captured = begun.conclude(answered()).captured().await;
        self.told(number, captured)
    }

    /// Calls that ride one write and one sync.
    async fn burst(&mut self, capture: &Capture) -> Result<(), String> {
        let mut tickets = Vec::new();
        for _ in 0..self.numbers.between(2, 9) {
            let ((mode, number), size) = (self.number(), self.size());
            let begun = capture.stream(&policy(mode)).begin(invocation(mode, number, size));
            tickets.push((number, begun.map_err(|refused| refused.to_string())?.conclude(answered())));
        }
        for (number, ticket) in tickets {
            let captured = ticket.captured().await;
            self.told(number, captured)?;
        }
        Ok(())
    }

    /// What the archive does: objects first, then the segment is let go.
    fn archive(&mut self, capture: &Capture) -> Result<(), String> {
        let Some(segment) = capture.sealed().into_iter().next() else { return Ok(()) };
        // A dead machine reads nothing.
        if self.disk.is_dead() {
            return Ok(());
        }
        let mut uploaded = [0; 3];
        for (number, record) in records(&self.disk, &segment.path)? {
            let mode = mode_of(record.policy.endpoint.as_str())?;
            uploaded[mode] += 1;
            self.model.archived.insert(number, mode);
        }
        let accounts: Vec<AccountRecords> = (0..MODES.len())
            .filter(|mode| uploaded[*mode] > 0)
            .map(|mode| AccountRecords {
                endpoint: MODES[mode].0.into(),
                variant: VARIANT.into(),
                records: uploaded[mode],
            })
            .collect();
        // A book that cannot be saved keeps the segment; it is archived again, into the same objects.
        let _ = capture.free(&segment.name, &accounts);
        Ok(())
    }

    /// After a death: a start on a sound disk finds what it must, and its book agrees.
    fn check(&mut self) -> Result<(), String> {
        self.disk.set_fault(None);
        self.disk.set_capacity_bytes(None);
        let (capture, _) = room::open(self.dir.path(), &self.disk).map_err(|error| format!("no start: {error}"))?;
        let mut pending: BTreeMap<u64, usize> = BTreeMap::new();
        for segment in capture.sealed() {
            for (number, record) in records(&self.disk, &segment.path)? {
                if pending.insert(number, mode_of(record.policy.endpoint.as_str())?).is_some() {
                    return Err(format!("the record of call {number} stands twice"));
                }
            }
        }
        self.check_told(&pending)?;
        self.check_book(&capture, &pending)?;
        if self.disk.breaches() > 0 {
            return Err("a file was synced after its sync had failed".to_owned());
        }
        self.capture = Some(capture);
        Ok(())
    }

    fn check_told(&self, pending: &BTreeMap<u64, usize>) -> Result<(), String> {
        let model = &self.model;
        // What is durable makes everything before it in the same run durable too.
        let mut durable_up_to: BTreeMap<u32, u64> = BTreeMap::new();
        for told in model.told.values().filter(|told| told.durable) {
            let last = durable_up_to.entry(told.lsn.epoch).or_default();
            *last = told.lsn.n.max(*last);
        }
        let must = |told: &Promise| {
            self.exact || told.durable || durable_up_to.get(&told.lsn.epoch).is_some_and(|last| told.lsn.n < *last)
        };
        let lost: Vec<_> = model
            .told
            .iter()
            .filter(|(number, told)| {
                must(told) && !pending.contains_key(number) && !model.archived.contains_key(number)
            })
            .collect();
        if lost.is_empty() { Ok(()) } else { Err(format!("lost: {lost:?}")) }
    }

    fn check_book(&self, capture: &Capture, pending: &BTreeMap<u64, usize>) -> Result<(), String> {
        let ledger = capture.ledger();
        if ledger.imbalance() != 0 {
            return Err(format!("after a start the book does not balance: {ledger:?}"));
        }
        for (mode, (endpoint, _)) in MODES.iter().enumerate() {
            let of_mode = |records: &BTreeMap<u64, usize>| -> BTreeSet<u64> {
                records.iter().filter(|(_, of)| **of == mode).map(|(number, _)| *number).collect()
            };
            let (pending, archived) = (of_mode(pending), of_mode(&self.model.archived));
            let gone = archived.difference(&pending).count() as u64;
            let Some(account) = ledger.account(endpoint, VARIANT) else {
                if pending.is_empty() && gone == 0 && (!self.exact || self.model.calls[mode] == 0) {
                    continue;
                }
                return Err(format!("{endpoint} has no account"));
            };
            let found = (account.uploaded, account.local_pending, account.quarantined, account.in_flight);
            if found != (gone, pending.len() as u64, 0, 0) {
                return Err(format!(
                    "{gone} records archived and {} pending, and the account is {account:?}",
                    pending.len()
                ));
            }
            if self.exact && account.invoked != self.model.calls[mode] {
                return Err(format!("{} calls, and the account is {account:?}", self.model.calls[mode]));
            }
        }
        Ok(())
    }
}

fn mode_of(endpoint: &str) -> Result<usize, String> {
    let mode = MODES.iter().position(|(name, _)| *name == endpoint);
    mode.ok_or_else(|| format!("there is no endpoint {endpoint}"))
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use super::*;

    fn failing_syncs() -> Option<Fault> {
        Some(Fault::always(Call::Sync, std::io::ErrorKind::Other))
    }

    async fn written(capture: &Capture, number: u64) -> Captured {
        let begun = capture.stream(&policy(1)).begin(invocation(1, number, 400)).unwrap();
        begun.conclude(answered()).captured().await
    }

    fn found(disk: &SimDisk, capture: &Capture) -> Vec<u64> {
        let records = capture.sealed().into_iter().flat_map(|segment| records(disk, &segment.path).unwrap());
        records.map(|(number, _)| number).collect()
    }

    #[tokio::test]
    async fn what_was_written_before_a_kill_survives_a_sync_that_fails_after_it() {
        let (dir, disk) = (room::folder(), SimDisk::default());
        let (capture, _) = room::open(dir.path(), &disk).unwrap();
        assert!(matches!(written(&capture, 0).await, Captured::Written(_)));
        drop(capture);
        disk.kill();
        disk.set_fault(Some(Fault { times: 3, ..failing_syncs().unwrap() }));
        let (capture, _) = room::open(dir.path(), &disk).unwrap();
        disk.set_fault(None);
        capture.seal().await;
        assert_eq!(found(&disk, &capture), [0]);
    }

    #[tokio::test]
    async fn a_segment_whose_sync_failed_before_a_kill_is_not_believed_to_be_durable_by_another_sync() {
        for seed in 0..40 {
            let (dir, disk) = (room::folder(), SimDisk::default());
            let (capture, _) = room::open(dir.path(), &disk).unwrap();
            disk.set_fault(failing_syncs());
            assert!(matches!(written(&capture, 0).await, Captured::Written(_)));
            let struck = disk.struck();
            while disk.struck() == struck {
                tokio::task::yield_now().await;
            }
            drop(capture);
            disk.kill();
            let (capture, _) = room::open(dir.path(), &disk).unwrap();
            assert_eq!(found(&disk, &capture), [0], "it is sealed, and so it is durable");
            drop(capture);
            disk.cut_power(&mut Seeded::new(seed));
            let (capture, _) = room::open(dir.path(), &disk).unwrap();
            assert_eq!(found(&disk, &capture), [0], "after a cut with seed {seed}");
        }
    }

    #[tokio::test]
    async fn a_freed_segment_that_cannot_be_unlinked_is_not_taken_for_a_new_one_two_starts_later() {
        let (dir, disk) = (room::folder(), SimDisk::default());
        let (capture, _) = room::open(dir.path(), &disk).unwrap();
        assert!(matches!(written(&capture, 0).await, Captured::Written(_)));
        capture.seal().await;
        // The first is of the book's half-made copy, as at the start below the segment's is the first.
        let not_unlinked = |after| Some(Fault { after, times: 1, ..Fault::always(Call::Remove, ErrorKind::Other) });
        disk.set_fault(not_unlinked(1));
        let segment = capture.sealed()[0].clone();
        capture.free(&segment.name, &segment.accounts).unwrap();
        drop(capture);
        for start in 1..=2 {
            disk.kill();
            disk.set_fault(not_unlinked(0).filter(|_| start == 1));
            let (capture, _) = room::open(dir.path(), &disk).unwrap();
            assert!(found(&disk, &capture).is_empty());
            let account = capture.ledger().accounts[0].clone();
            assert_eq!((account.captured, account.uploaded, account.local_pending), (1, 1, 0));
        }
        assert_eq!(disk.struck(), 2, "it could not be unlinked when it was freed, nor at the first start");
    }

    /// Of what was done to names before a folder is synced, a power cut keeps some and not others.
    #[tokio::test]
    async fn a_freed_segment_whose_unlinking_a_power_cut_takes_back_is_not_taken_for_a_new_one() {
        for seed in 0..64 {
            let (dir, disk) = (room::folder(), SimDisk::default());
            let (capture, _) = room::open(dir.path(), &disk).unwrap();
            assert!(matches!(written(&capture, 0).await, Captured::Written(_)));
            capture.seal().await;
            let segment = capture.sealed()[0].clone();
            capture.free(&segment.name, &segment.accounts).unwrap();
            drop(capture);
            disk.kill();
            // The next run replaces the book, and its folder is never synced.
            disk.set_fault(Some(Fault::always(Call::SyncDir, ErrorKind::Other)));
            let (capture, _) = room::open(dir.path(), &disk).unwrap();
            let _ = capture.close().await;
            drop(capture);
            assert!(disk.struck() > 0);
            disk.cut_power(&mut Seeded::new(seed));
            disk.set_fault(None);
            let (capture, _) = room::open(dir.path(), &disk).unwrap();
            assert!(found(&disk, &capture).is_empty(), "seed {seed}");
            assert_eq!(capture.ledger().accounts[0].uploaded, 1, "seed {seed}");
        }
    }

    #[tokio::test]
    async fn records_that_one_start_cannot_read_and_the_next_one_can_are_counted_once() {
        let (dir, disk) = (room::folder(), SimDisk::default());
        let (capture, _) = room::open(dir.path(), &disk).unwrap();
        for number in 0..3 {
            assert!(matches!(written(&capture, number).await, Captured::Written(_)));
        }
        drop(capture);
        disk.kill();
        // Identity and book can be read, segments cannot.
        disk.set_fault(Some(Fault { after: 2, ..Fault::always(Call::Open, std::io::ErrorKind::Other) }));
        let (capture, report) = room::open(dir.path(), &disk).unwrap();
        assert_eq!(report.lost_unclean, 3);
        drop(capture);
        disk.kill();
        let (capture, _) = room::open(dir.path(), &disk).unwrap();
        assert_eq!(found(&disk, &capture), [0, 1, 2]);
        let account = capture.ledger().accounts[0].clone();
        assert_eq!((account.invoked, account.captured, account.dropped_total()), (3, 3, 0));
    }
}
