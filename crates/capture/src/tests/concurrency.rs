//! Many callers at once, and a folder copied under their feet.

use std::collections::BTreeSet;

use super::life::copy_dir;
use super::*;
use crate::Captured;
use crate::journal::faulty_disk::FaultyDisk;

const TASKS: u64 = 32;
const CALLS: u64 = 150;

fn names(dir: &Path) -> BTreeSet<String> {
    std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

async fn task(streams: Vec<crate::Stream>, task: u64, told: Arc<std::sync::Mutex<BTreeSet<u64>>>) {
    for call in 0..CALLS {
        let number = task * CALLS + call;
        let stream = &streams[usize::try_from(number).unwrap() % streams.len()];
        let size = if number.is_multiple_of(97) { 70_000 } else { 200 };
        let begun = stream.begin(invocation(number, size)).unwrap();
        tokio::task::yield_now().await;
        if number.is_multiple_of(13) {
            continue;
        }
        let captured = begun.conclude(answered()).captured().await;
        if matches!(captured, Captured::Written(_) | Captured::Durable(_)) {
            told.lock().unwrap().insert(number);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_call_of_many_tasks_is_in_the_journal_once_and_what_was_told_is_in_any_copy() {
    let dir = tempfile::tempdir().unwrap();
    let (capture, _) = open_on(FaultyDisk::default(), settings(dir.path()));
    let modes = [Durability::AckAfterFsync, Durability::AckAfterWrite, Durability::BestEffort];
    let streams: Vec<_> = modes.iter().map(|mode| capture.stream(&policy(*mode))).collect();
    let told = Arc::new(std::sync::Mutex::new(BTreeSet::new()));
    let tasks: Vec<_> = (0..TASKS).map(|n| tokio::spawn(task(streams.clone(), n, Arc::clone(&told)))).collect();
    let mut copies = 0;
    while !tasks.iter().all(tokio::task::JoinHandle::is_finished) {
        let copy = tempfile::tempdir().unwrap();
        let (before, before_told) = (names(dir.path()), told.lock().unwrap().clone());
        copy_dir(dir.path(), copy.path());
        tokio::task::yield_now().await;
        // A segment that was sealed meanwhile may be in the copy under neither name; a crash is quicker than we are.
        if names(dir.path()) != before || names(copy.path()) != before {
            continue;
        }
        let (recovered, _) = open_on(FaultyDisk::default(), settings(copy.path()));
        // What was being written while we copied may be there in part, with whole records behind it.
        let readers = recovered.sealed().into_iter().map(|segment| SegmentReader::open(&segment.path).unwrap());
        let found: BTreeSet<u64> = readers.flatten().flatten().map(|record| number_of(&record)).collect();
        let missing: Vec<_> = before_told.difference(&found).collect();
        assert!(missing.is_empty(), "{missing:?} of {} told, copy {copies}", before_told.len());
        balanced(&recovered);
        copies += 1;
    }
    for task in tasks {
        task.await.unwrap();
    }
    drop(streams);
    capture.close().await.unwrap();
    balanced(&capture);
    let mut found = read_sealed(&capture);
    found.sort_unstable();
    assert_eq!(found, (0..TASKS * CALLS).collect::<Vec<_>>());
    let lsns: Vec<u64> = capture
        .sealed()
        .iter()
        .flat_map(|segment| SegmentReader::open(&segment.path).unwrap().map(|item| item.unwrap().lsn.n))
        .collect();
    assert_eq!(lsns, (0..TASKS * CALLS).collect::<Vec<_>>(), "numbers have no gap and stand in order");
    let account = capture.ledger().accounts[0].clone();
    assert_eq!((account.invoked, account.captured, account.in_flight), (TASKS * CALLS, TASKS * CALLS, 0));
}
