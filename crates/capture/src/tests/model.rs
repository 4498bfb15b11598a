//! Random lives against a model: what was told is found, what is booked adds up.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::journal::faulty_disk::{Call, Fault, FaultyDisk};
use crate::{Captured, SegmentName};

#[derive(Debug, Clone)]
enum Step {
    Call(Durability, usize),
    HangUp,
    Off,
    Seal,
    Free,
    Close,
    Crash,
    DiskFull(u64),
    SyncFails,
    Fails(Call),
    Heal,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let durability =
        prop_oneof![Just(Durability::AckAfterFsync), Just(Durability::AckAfterWrite), Just(Durability::BestEffort)];
    let fails = prop::sample::select(vec![
        Call::Create,
        Call::Write,
        Call::Sync,
        Call::Allocate,
        Call::SetLen,
        Call::Rename,
        Call::Remove,
        Call::SyncDir,
    ]);
    let step = prop_oneof![
        12 => (durability, prop_oneof![8 => 20..2_000_usize, 1 => 60_000..150_000_usize])
            .prop_map(|(durability, size)| Step::Call(durability, size)),
        2 => Just(Step::HangUp),
        1 => Just(Step::Off),
        2 => Just(Step::Seal),
        2 => Just(Step::Free),
        1 => Just(Step::Close),
        1 => Just(Step::Crash),
        1 => (0..4_u64).prop_map(Step::DiskFull),
        1 => Just(Step::SyncFails),
        1 => fails.prop_map(Step::Fails),
        2 => Just(Step::Heal),
    ];
    prop::collection::vec(step, 1..40)
}

/// What the life should have left.
#[derive(Default)]
struct Model {
    calls: u64,
    told: BTreeSet<u64>,
    uploaded: BTreeSet<u64>,
    freed: BTreeSet<SegmentName>,
    /// Records of segments whose freeing failed: the book may say so all the same after a crash.
    perhaps_uploaded: BTreeSet<u64>,
}

struct Life {
    dir: tempfile::TempDir,
    disk: FaultyDisk,
    capture: Option<Capture>,
    model: Model,
}

impl Life {
    fn capture(&mut self) -> Capture {
        let open = || open_on(self.disk.clone(), settings(self.dir.path())).0;
        self.capture.get_or_insert_with(open).clone()
    }

    async fn step(&mut self, step: Step) {
        let capture = self.capture();
        let number = self.model.calls;
        match step {
            Step::Call(durability, size) => {
                self.model.calls += 1;
                let begun = capture.stream(&policy(durability)).begin(invocation(number, size)).unwrap();
                match begun.conclude(answered()).captured().await {
                    Captured::Written(_) | Captured::Durable(_) => {
                        self.model.told.insert(number);
                    }
                    Captured::Queued(_) | Captured::Dropped(_) => {}
                    Captured::SampledOut => panic!("everything is sampled"),
                }
            }
            Step::HangUp => {
                self.model.calls += 1;
                drop(capture.stream(&policy(Durability::AckAfterWrite)).begin(invocation(number, 30)).unwrap());
            }
            Step::Off => {
                self.model.calls += 1;
                let _ = call(&capture.stream(&policy_of("churn", None)), number).captured().await;
            }
            Step::Seal => capture.seal().await,
            Step::Free => self.free(&capture),
            Step::Close => {
                let _ = capture.close().await;
                self.capture = None;
            }
            Step::Crash => self.capture = None,
            Step::DiskFull(after) => {
                let error = std::io::ErrorKind::StorageFull;
                self.disk.set(Some(Fault { call: Some(Call::Write), after, times: 3, error, short_bytes: 77 }));
            }
            Step::SyncFails => {
                self.disk.set(Some(Fault { times: 2, ..Fault::always(Call::Sync, std::io::ErrorKind::Other) }));
            }
            Step::Fails(call) => self.disk.set(Some(Fault::always(call, std::io::ErrorKind::Other))),
            Step::Heal => self.disk.set(None),
        }
        balanced(&capture);
    }

    fn free(&mut self, capture: &Capture) {
        let Some(segment) = capture.sealed().into_iter().next() else { return };
        let records = read(&segment.path);
        if capture.free(&segment.name, &all_of(&segment)).is_ok() {
            assert!(self.model.freed.insert(segment.name), "a segment is freed once");
            self.model.uploaded.extend(records);
        } else {
            self.model.perhaps_uploaded.extend(records);
        }
    }

    fn check(mut self) {
        self.disk.set(None);
        self.capture = None;
        let capture = self.capture();
        balanced(&capture);
        let model = &self.model;
        let found = read_sealed(&capture);
        let unique: BTreeSet<u64> = found.iter().copied().collect();
        assert_eq!(found.len(), unique.len(), "a record stands twice");
        assert!(unique.is_disjoint(&model.uploaded), "a record is uploaded and pending");
        let gone: BTreeSet<u64> = model.perhaps_uploaded.difference(&unique).copied().collect();
        let uploaded: BTreeSet<u64> = model.uploaded.union(&gone).copied().collect();
        let missing: Vec<_> = model.told.iter().filter(|n| !unique.contains(n) && !uploaded.contains(n)).collect();
        assert!(missing.is_empty(), "{missing:?} were acknowledged and are lost");
        assert_eq!(self.disk.breaches(), 0);
        let ledger = capture.ledger();
        let Some(account) = ledger.account("churn", "AllTraffic") else { return assert_eq!(model.calls, 0) };
        assert_eq!((account.invoked, account.in_flight), (model.calls, 0), "{account:#?}");
        assert_eq!((account.uploaded, account.local_pending), (uploaded.len() as u64, found.len() as u64));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_life_keeps_what_it_told(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let (dir, disk) = (tempfile::tempdir().unwrap(), FaultyDisk::default());
            let mut life = Life { dir, disk, capture: None, model: Model::default() };
            for step in steps {
                life.step(step).await;
            }
            life.check();
        });
    }
}
