//! Disks that fail. A call that comes back as captured is in the journal, whatever failed before or after.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::time::Duration;

use captura_route::WhenUnavailable;

use super::*;
use crate::journal::faulty_disk::{Call, Fault, FaultyDisk};
use crate::{Captured, DropReason};

const PATIENCE: Duration = Duration::from_secs(20);

/// What the life below was told of its records.
#[derive(Default)]
struct Told {
    acknowledged: BTreeSet<u64>,
    uploaded: BTreeSet<u64>,
}

/// A short life of a journal that meets every kind of call.
async fn short_life(dir: &Path, disk: &FaultyDisk, told: &mut Told) {
    let clock = Clock::fixed(Timestamp::from_unix_us(0));
    let Ok((capture, _)) = Capture::open(settings(dir), Arc::new(disk.clone()), clock) else { return };
    let written = capture.stream(&policy(Durability::AckAfterWrite));
    let synced = capture.stream(&policy_of("fraud", Some(kept(Durability::AckAfterFsync))));
    for number in 0..8 {
        let stream = if number % 2 == 0 { &written } else { &synced };
        let captured = call(stream, number).captured().await;
        if matches!(captured, Captured::Written(_) | Captured::Durable(_)) {
            told.acknowledged.insert(number);
        }
        if number == 3 || number == 5 {
            capture.seal().await;
        }
        balanced(&capture);
    }
    if let Some(segment) = capture.sealed().first() {
        let records: Vec<u64> =
            SegmentReader::open(&segment.path).unwrap().flatten().map(|record| number_of(&record)).collect();
        if capture.free(&segment.name, &all_of(segment)).is_ok() {
            told.uploaded.extend(records);
        }
    }
    balanced(&capture);
    let _ = capture.close().await;
    balanced(&capture);
}

fn check_after(dir: &Path, told: &Told, what: &str) {
    let (capture, report) = open_on(FaultyDisk::default(), settings(dir));
    balanced(&capture);
    let found = read_sealed(&capture);
    let unique: BTreeSet<u64> = found.iter().copied().collect();
    assert_eq!(unique.len(), found.len(), "{what}: a record stands twice: {found:?}");
    for number in &told.acknowledged {
        assert!(
            unique.contains(number) != told.uploaded.contains(number),
            "{what}: acknowledged record {number}; journal {unique:?}, uploaded {:?}, {report:?}",
            told.uploaded
        );
    }
}

#[tokio::test]
async fn whichever_call_fails_once_nothing_acknowledged_is_lost() {
    for n in 0.. {
        let dir = tempfile::tempdir().unwrap();
        let disk = FaultyDisk::default();
        let mut told = Told::default();
        disk.set(Some(Fault::nth(n)));
        short_life(dir.path(), &disk, &mut told).await;
        let struck = disk.struck();
        disk.set(None);
        check_after(dir.path(), &told, &format!("call {n} failed"));
        assert_eq!(disk.breaches(), 0, "call {n} failed, and a file was synced after its sync had failed");
        if struck == 0 {
            assert!(n > 60, "the life has only {n} calls");
            break;
        }
    }
}

#[tokio::test]
async fn whichever_write_finds_the_disk_full_nothing_acknowledged_is_lost() {
    for n in 0.. {
        let dir = tempfile::tempdir().unwrap();
        let disk = FaultyDisk::default();
        let mut told = Told::default();
        let error = ErrorKind::StorageFull;
        disk.set(Some(Fault { call: Some(Call::Write), after: n, times: 1, error, short_bytes: 100 }));
        short_life(dir.path(), &disk, &mut told).await;
        let struck = disk.struck();
        disk.set(None);
        check_after(dir.path(), &told, &format!("write {n} found the disk full"));
        if struck == 0 {
            break;
        }
    }
}

#[tokio::test]
async fn a_start_survives_any_call_that_fails_for_ever() {
    let calls = [
        Call::Create,
        Call::Open,
        Call::Write,
        Call::Read,
        Call::Sync,
        Call::Allocate,
        Call::SetLen,
        Call::Rename,
        Call::Remove,
        Call::SyncDir,
    ];
    for failing in calls {
        let dir = tempfile::tempdir().unwrap();
        {
            let (capture, _) = open_on(FaultyDisk::default(), settings(dir.path()));
            calls_of(&capture, 0..3).await;
        }
        let disk = FaultyDisk::default();
        disk.set(Some(Fault::always(failing, ErrorKind::Other)));
        let (capture, _) = open_on(disk.clone(), settings(dir.path()));
        balanced(&capture);
        disk.set(None);
        until_written(&capture).await;
        assert_eq!(disk.breaches(), 0, "{failing:?}");
    }
}

async fn calls_of(capture: &Capture, numbers: std::ops::Range<u64>) {
    calls(&capture.stream(&policy(Durability::AckAfterWrite)), numbers).await;
}

/// Calls until one is captured: the journal heals by itself.
async fn until_written(capture: &Capture) -> u64 {
    let stream = capture.stream(&policy(Durability::AckAfterWrite));
    let healing = async {
        let mut tries = 0;
        while !matches!(call(&stream, 1_000).captured().await, Captured::Written(_)) {
            tries += 1;
            tokio::task::yield_now().await;
        }
        tries
    };
    tokio::time::timeout(PATIENCE, healing).await.expect("the journal did not heal")
}

#[tokio::test]
async fn a_full_disk_is_booked_exactly_and_heals_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let disk = FaultyDisk::default();
    let (capture, _) = open_on(disk.clone(), settings(dir.path()));
    let stream = capture.stream(&policy(Durability::AckAfterWrite));
    calls(&stream, 0..5).await;
    disk.set_free_bytes(Some(0));
    let error = ErrorKind::StorageFull;
    disk.set(Some(Fault { call: Some(Call::Write), after: 0, times: u64::MAX, error, short_bytes: 50 }));
    let dropped = calls(&stream, 5..10).await;
    assert!(dropped.iter().all(|captured| *captured == Captured::Dropped(DropReason::DiskFull)), "{dropped:?}");
    assert_eq!(capture.unavailable(), Some(DropReason::DiskFull));
    assert_eq!(capture.ledger().accounts[0].dropped[&DropReason::DiskFull], 5);
    balanced(&capture);
    disk.set(None);
    disk.set_free_bytes(None);
    let tries = until_written(&capture).await;
    assert_eq!(capture.ledger().accounts[0].dropped[&DropReason::DiskFull], 5 + tries);
    capture.close().await.unwrap();
    assert_eq!(read_sealed(&capture), [0, 1, 2, 3, 4, 1_000]);
    balanced(&capture);
}

#[tokio::test]
async fn too_little_free_space_refuses_calls_that_must_be_captured_and_serves_the_others() {
    let dir = tempfile::tempdir().unwrap();
    let disk = FaultyDisk::default();
    disk.set_free_bytes(Some(10));
    let mut picky = settings(dir.path());
    picky.min_free_bytes = 1_000;
    let (capture, _) = open_on(disk.clone(), picky);
    let mut must = kept(Durability::AckAfterFsync);
    must.when_unavailable = WhenUnavailable::Refuse;
    let must = capture.stream(&policy_of("must", Some(must)));
    assert_eq!(must.begin(invocation(1, 40)).unwrap_err().reason, DropReason::DiskFull);
    let may = capture.stream(&policy(Durability::AckAfterWrite));
    assert_eq!(call(&may, 1).captured().await, Captured::Dropped(DropReason::DiskFull));
    disk.set_free_bytes(None);
    until_written(&capture).await;
    assert!(must.begin(invocation(2, 40)).is_ok());
}

#[tokio::test]
async fn a_failed_sync_moves_the_segment_to_a_new_inode_and_is_never_repeated() {
    let dir = tempfile::tempdir().unwrap();
    let disk = FaultyDisk::default();
    let (capture, _) = open_on(disk.clone(), settings(dir.path()));
    let stream = capture.stream(&policy(Durability::AckAfterFsync));
    calls(&stream, 0..3).await;
    disk.set(Some(Fault { times: 1, ..Fault::always(Call::Sync, ErrorKind::Other) }));
    let captured = calls(&stream, 3..6).await;
    assert!(captured.iter().all(|captured| matches!(captured, Captured::Durable(_))), "{captured:?}");
    assert_eq!((disk.struck(), disk.breaches()), (1, 0));
    capture.close().await.unwrap();
    assert_eq!(read_sealed(&capture), (0..6).collect::<Vec<_>>());
    assert_eq!(SegmentReader::open(&capture.sealed()[0].path).unwrap().digest_matches(), Some(true));
    balanced(&capture);
}

#[tokio::test]
async fn while_no_sync_succeeds_nothing_is_called_durable_and_nothing_written_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let disk = FaultyDisk::default();
    let (capture, _) = open_on(disk.clone(), settings(dir.path()));
    let synced = capture.stream(&policy(Durability::AckAfterFsync));
    calls(&capture.stream(&policy(Durability::AckAfterWrite)), 0..3).await;
    disk.set(Some(Fault::always(Call::Sync, ErrorKind::Other)));
    let captured = calls(&synced, 3..6).await;
    assert!(captured.iter().all(|captured| *captured == Captured::Dropped(DropReason::IoError)), "{captured:?}");
    balanced(&capture);
    disk.set(None);
    until_written(&capture).await;
    capture.close().await.unwrap();
    let found = read_sealed(&capture);
    assert_eq!(found[..3], [0, 1, 2]);
    assert_eq!(*found.last().unwrap(), 1_000);
    assert_eq!(disk.breaches(), 0);
    balanced(&capture);
}

#[tokio::test]
async fn a_full_spool_stops_and_a_freed_segment_starts_the_capture() {
    let dir = tempfile::tempdir().unwrap();
    let disk = FaultyDisk::default();
    let mut small = settings(dir.path());
    small.spool_max_bytes = 20_000;
    let (capture, _) = open_on(disk, small);
    let stream = capture.stream(&policy(Durability::AckAfterWrite));
    let mut number = 0;
    let filling = async {
        while !matches!(call(&stream, number).captured().await, Captured::Dropped(DropReason::SpoolFull)) {
            number += 1;
            capture.seal().await;
        }
    };
    tokio::time::timeout(PATIENCE, filling).await.expect("the spool did not fill");
    for segment in capture.sealed() {
        capture.free(&segment.name, &all_of(&segment)).unwrap();
    }
    until_written(&capture).await;
    balanced(&capture);
}

#[tokio::test]
async fn a_rename_that_fails_is_done_again() {
    let dir = tempfile::tempdir().unwrap();
    let disk = FaultyDisk::default();
    let (capture, _) = open_on(disk.clone(), settings(dir.path()));
    calls_of(&capture, 0..3).await;
    let mut changed = capture.sealed_changed();
    disk.set(Some(Fault { times: 2, ..Fault::always(Call::Rename, ErrorKind::Other) }));
    capture.seal().await;
    tokio::time::timeout(PATIENCE, changed.changed()).await.unwrap().unwrap();
    assert_eq!(read_sealed(&capture), [0, 1, 2]);
    balanced(&capture);
}

#[tokio::test]
async fn whatever_fails_for_a_while_when_a_segment_is_to_be_sealed_it_is_sealed_afterwards() {
    let calls = [Call::Create, Call::Write, Call::Sync, Call::Allocate, Call::SetLen, Call::Rename, Call::SyncDir];
    for failing in calls {
        let dir = tempfile::tempdir().unwrap();
        let disk = FaultyDisk::default();
        let (capture, _) = open_on(disk.clone(), settings(dir.path()));
        let captured = super::calls(&capture.stream(&policy(Durability::AckAfterFsync)), 0..3).await;
        assert!(captured.iter().all(|captured| matches!(captured, Captured::Durable(_))));
        let mut changed = capture.sealed_changed();
        disk.set(Some(Fault::always(failing, ErrorKind::Other)));
        capture.seal().await;
        disk.set(None);
        if capture.sealed().is_empty() {
            let sealed = tokio::time::timeout(PATIENCE, changed.changed()).await;
            assert!(sealed.is_ok(), "after {failing:?} had failed the segment was never sealed");
        }
        assert_eq!(read_sealed(&capture), [0, 1, 2], "{failing:?}");
        let mut reader = SegmentReader::open(&capture.sealed()[0].path).unwrap();
        assert_eq!(reader.digest_matches(), Some(true), "{failing:?}");
        assert_eq!(disk.breaches(), 0, "{failing:?}");
        balanced(&capture);
        capture.close().await.unwrap();
    }
}

#[tokio::test]
async fn nobody_waits_for_ever_on_a_disk_that_syncs_nothing_any_more() {
    let dir = tempfile::tempdir().unwrap();
    let disk = FaultyDisk::default();
    let mut crowded = settings(dir.path());
    crowded.sync_bytes = 100;
    let (capture, _) = open_on(disk.clone(), crowded);
    let stream = capture.stream(&policy(Durability::AckAfterWrite));
    disk.set(Some(Fault::always(Call::Sync, ErrorKind::Other)));
    let mut dropped = 0;
    for number in 0..40 {
        let tickets: Vec<_> = (0..20).map(|more| call(&stream, number * 20 + more)).collect();
        for ticket in tickets {
            let captured = tokio::time::timeout(PATIENCE, ticket.captured()).await.expect("the call hangs");
            dropped += u64::from(matches!(captured, Captured::Dropped(DropReason::IoError)));
        }
    }
    assert!(dropped > 0);
    balanced(&capture);
    disk.set(None);
    until_written(&capture).await;
    capture.close().await.unwrap();
    assert_eq!(capture.ledger().accounts[0].in_flight, 0);
    balanced(&capture);
}

#[tokio::test]
async fn a_segment_that_cannot_be_sealed_is_tried_a_few_times_a_second_and_not_in_a_circle() {
    let dir = tempfile::tempdir().unwrap();
    let disk = FaultyDisk::default();
    let (capture, _) = open_on(disk.clone(), settings(dir.path()));
    calls_of(&capture, 0..3).await;
    disk.set(Some(Fault::always(Call::Sync, ErrorKind::Other)));
    capture.seal().await;
    let before = disk.struck();
    // A window to count in: a keeper that goes in a circle fails some ten thousand times in it, one that waits twice or so.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let tries = disk.struck() - before;
    assert!(tries <= 40, "{tries} failures in half a second");
    disk.set(None);
    capture.close().await.unwrap();
    assert_eq!(read_sealed(&capture), [0, 1, 2]);
    balanced(&capture);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_waits_for_a_caller_that_is_writing() {
    let dir = tempfile::tempdir().unwrap();
    let disk = FaultyDisk::default();
    let (capture, _) = open_on(disk.clone(), settings(dir.path()));
    let stream = capture.stream(&policy(Durability::AckAfterWrite));
    calls(&stream, 0..3).await;
    disk.stall_writes(true);
    let writing = tokio::spawn(call(&stream, 3).captured());
    while disk.stalled() == 0 {
        tokio::task::yield_now().await;
    }
    let behind = call(&stream, 4);
    let closing = tokio::spawn({
        let capture = capture.clone();
        async move { capture.close().await }
    });
    // It may be the journal's own thread that is held up. Long enough for an end that does not wait; one that does is not hurried by it.
    for _ in 0..200_000 {
        if closing.is_finished() {
            break;
        }
        tokio::task::yield_now().await;
    }
    disk.stall_writes(false);
    closing.await.unwrap().unwrap();
    assert!(matches!(writing.await.unwrap(), Captured::Written(_)));
    assert!(matches!(tokio::time::timeout(PATIENCE, behind.captured()).await, Ok(Captured::Written(_))));
    assert_eq!(read_sealed(&capture), [0, 1, 2, 3, 4]);
    balanced(&capture);
}

#[tokio::test]
async fn what_was_written_outlives_the_process_while_a_rewritten_segment_has_no_durable_name() {
    let dir = tempfile::tempdir().unwrap();
    let disk = FaultyDisk::default();
    let (capture, _) = open_on(disk.clone(), settings(dir.path()));
    let synced = capture.stream(&policy(Durability::AckAfterFsync));
    calls(&synced, 0..2).await;
    let segment = Arc::clone(&capture.0.shared.line.lock().unwrap().current.as_ref().unwrap().segment);
    segment.progress().suspect = true;
    disk.set(Some(Fault::always(Call::SyncDir, ErrorKind::Other)));
    let before = call(&synced, 2);
    let written = call(&capture.stream(&policy(Durability::AckAfterWrite)), 3);
    assert_eq!(before.captured().await, Captured::Dropped(DropReason::IoError));
    assert!(matches!(written.captured().await, Captured::Written(_)));
    // As a late writer does.
    segment.file().write_at(b"late", 100_000).unwrap();
    assert_eq!(&std::fs::read(segment.name.path(dir.path(), "open")).unwrap()[100_000..100_004], b"late");
}
