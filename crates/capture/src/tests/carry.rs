//! Parts of segments, carried over for destinations that fail.

use std::collections::BTreeSet;

use super::*;
use crate::journal::faulty_disk::{Fault, FaultyDisk};
use crate::{Departure, Numbers};

struct These(BTreeSet<u64>);

impl Numbers for These {
    fn has(&self, n: u64) -> bool {
        self.0.contains(&n)
    }

    fn count(&self) -> u64 {
        self.0.len() as u64
    }
}

/// Ten records in a sealed segment: even ones of `churn`, odd ones of `lost`.
async fn shared_segment(capture: &Capture) -> SealedSegment {
    let churn = capture.stream(&policy(Durability::AckAfterWrite));
    let mut elsewhere = kept(Durability::AckAfterWrite);
    elsewhere.destination = S3Uri::parse("s3://broken/d").unwrap();
    let lost = capture.stream(&policy_of("lost", Some(elsewhere)));
    for number in 0..10 {
        call(if number % 2 == 0 { &churn } else { &lost }, number).captured().await;
    }
    capture.seal().await;
    capture.sealed().remove(0)
}

fn uploaded() -> Vec<AccountRecords> {
    vec![AccountRecords { endpoint: "churn".into(), variant: "AllTraffic".into(), records: 5 }]
}

fn odd() -> These {
    These((0..10).filter(|n| n % 2 == 1).collect())
}

/// The records and the sound of what is sealed.
fn told(capture: &Capture) -> Vec<u64> {
    for segment in capture.sealed() {
        let mut reader = SegmentReader::open(&segment.path).unwrap();
        assert_eq!(reader.digest_matches(), Some(true));
        assert_eq!(reader.footer().unwrap().accounts, segment.accounts);
    }
    read_sealed(capture)
}

#[tokio::test]
async fn a_part_takes_the_place_of_its_segment_and_survives_restarts() {
    let dir = tempfile::tempdir().unwrap();
    let (capture, _) = open(dir.path());
    let segment = shared_segment(&capture).await;
    let part = capture.carry(&segment.name, &odd()).unwrap();
    assert_eq!((part.first_n, part.end_n, part.records, part.node), (1, 10, 5, segment.node));
    assert_eq!(capture.sealed(), std::slice::from_ref(&segment), "it counts when the other goes");
    capture
        .let_go(&segment.name, &Departure { uploaded: &uploaded(), carried: Some(&part), ..Default::default() })
        .unwrap();
    assert!(!segment.path.exists());
    assert_eq!(told(&capture), [1, 3, 5, 7, 9]);
    balanced(&capture);
    drop(capture);
    let (capture, report) = open(dir.path());
    assert_eq!((report.lost_unclean, report.damages.len(), report.missing_segments.len()), (0, 0, 0));
    assert_eq!(capture.sealed(), std::slice::from_ref(&part));
    // What is left can be split again, and go at last.
    let again = capture.carry(&part.name, &These([3, 9].into())).unwrap();
    let two = vec![AccountRecords { endpoint: "lost".into(), variant: "AllTraffic".into(), records: 3 }];
    capture.let_go(&part.name, &Departure { uploaded: &two, carried: Some(&again), ..Default::default() }).unwrap();
    assert_eq!(told(&capture), [3, 9]);
    capture.let_go(&again.name, &Departure { evicted: &again.accounts, ..Default::default() }).unwrap();
    let account = capture.ledger().account("lost", "AllTraffic").unwrap().clone();
    assert_eq!((account.uploaded, account.evicted, account.local_pending), (3, 2, 0));
    balanced(&capture);
    drop(capture);
    let (capture, _) = open(dir.path());
    assert_eq!(capture.ledger().account("lost", "AllTraffic").unwrap().evicted, 2);
    balanced(&capture);
}

#[tokio::test]
async fn a_part_that_was_made_and_not_booked_is_removed_by_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let (capture, _) = open(dir.path());
    let segment = shared_segment(&capture).await;
    let part = capture.carry(&segment.name, &odd()).unwrap();
    drop(capture);
    assert_eq!(crate::inspect(dir.path()).unwrap().sealed.len(), 1);
    let (capture, _) = open(dir.path());
    assert!(!part.path.exists());
    assert_eq!(told(&capture), (0..10).collect::<Vec<_>>());
    balanced(&capture);
}

#[tokio::test]
async fn whichever_call_fails_while_a_part_is_made_and_booked_every_record_counts_once() {
    for n in 0.. {
        let dir = tempfile::tempdir().unwrap();
        let disk = FaultyDisk::default();
        let (capture, _) = open_on(disk.clone(), settings(dir.path()));
        let segment = shared_segment(&capture).await;
        disk.set(Some(Fault::nth(n)));
        let gone = capture.carry(&segment.name, &odd()).map_err(drop).and_then(|part| {
            let departure = Departure { uploaded: &uploaded(), carried: Some(&part), ..Default::default() };
            capture.let_go(&segment.name, &departure).map_err(drop)
        });
        let struck = disk.struck();
        disk.set(None);
        balanced(&capture);
        let expected: Vec<u64> = if gone.is_ok() { vec![1, 3, 5, 7, 9] } else { (0..10).collect() };
        assert_eq!(told(&capture), expected, "call {n} failed");
        // The process dies here.
        let copy = tempfile::tempdir().unwrap();
        super::life::copy_dir(dir.path(), copy.path());
        let (recovered, _) = open(copy.path());
        balanced(&recovered);
        let found = told(&recovered);
        let uploaded = recovered.ledger().account("churn", "AllTraffic").unwrap().uploaded;
        assert_eq!(found.len() as u64 + uploaded, 10, "call {n} failed: {found:?}");
        if struck == 0 {
            assert!(n > 8, "making a part has only {n} calls");
            break;
        }
        // The same once more, and now it works.
        if gone.is_err() {
            let part = capture.carry(&segment.name, &odd()).unwrap();
            let departure = Departure { uploaded: &self::uploaded(), carried: Some(&part), ..Default::default() };
            capture.let_go(&segment.name, &departure).unwrap();
            assert_eq!(told(&capture), [1, 3, 5, 7, 9]);
        }
        assert_eq!(disk.breaches(), 0);
    }
}

#[tokio::test]
async fn a_part_of_records_that_are_not_there_is_not_made() {
    let dir = tempfile::tempdir().unwrap();
    let (capture, _) = open(dir.path());
    let segment = shared_segment(&capture).await;
    assert!(matches!(
        capture.carry(&segment.name, &These([3, 77].into())),
        Err(crate::CarryError::Incomplete { found: 1, wanted: 2, .. })
    ));
    assert!(matches!(capture.carry(&segment.name.next_part(), &odd()), Err(crate::CarryError::Unknown(_))));
    assert_eq!(told(&capture).len(), 10);
}

#[tokio::test]
async fn when_the_journal_is_nearly_full_failing_destinations_get_no_more_and_the_others_do() {
    let dir = tempfile::tempdir().unwrap();
    let mut small = settings(dir.path());
    small.spool_max_bytes = 40_000;
    let (capture, _) = open_on(FaultyDisk::default(), small);
    let mut elsewhere = kept(Durability::AckAfterWrite);
    elsewhere.destination = S3Uri::parse("s3://broken/d").unwrap();
    let broken = elsewhere.destination.clone();
    let lost = capture.stream(&policy_of("lost", Some(elsewhere)));
    let churn = capture.stream(&policy(Durability::AckAfterWrite));
    capture.mark_failing(&broken, true);
    let spool_full = crate::Captured::Dropped(crate::DropReason::SpoolFull);
    let mut number = 0;
    let filling = async {
        while lost.begin(invocation(number, 400)).unwrap().conclude(answered()).captured().await != spool_full {
            number += 1;
            capture.seal().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), filling).await.expect("the failing destination fills it");
    assert!(capture.journal_bytes() < 40_000);
    assert!(matches!(call(&churn, 1).captured().await, crate::Captured::Written(_)), "the others go on");
    let listed = capture.destinations();
    assert_eq!(listed.iter().filter(|one| one.held_back).map(|one| &one.uri).collect::<Vec<_>>(), [&broken]);
    capture.mark_failing(&broken, false);
    assert!(matches!(call(&lost, 1).captured().await, crate::Captured::Written(_)), "healed");
    balanced(&capture);
}

#[tokio::test]
async fn what_is_held_back_on_a_nearly_full_disk_is_told_as_a_full_disk() {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(dir.path());
    let nearly_full = settings.min_free_bytes + 2_000;
    let disk = FaultyDisk::default();
    let (capture, _) = open_on(disk.clone(), settings);
    let mut elsewhere = kept(Durability::AckAfterWrite);
    elsewhere.destination = S3Uri::parse("s3://broken/d").unwrap();
    let broken = elsewhere.destination.clone();
    let lost = capture.stream(&policy_of("lost", Some(elsewhere)));
    for number in 0..40 {
        assert!(matches!(call(&lost, number).captured().await, crate::Captured::Written(_)));
    }
    disk.set_free_bytes(Some(nearly_full));
    capture.mark_failing(&broken, true);
    let holding_back = async {
        loop {
            capture.seal().await;
            if let crate::Captured::Dropped(reason) = call(&lost, 41).captured().await {
                break reason;
            }
        }
    };
    let reason = tokio::time::timeout(std::time::Duration::from_secs(20), holding_back).await.expect("it is held back");
    assert_eq!(reason, crate::DropReason::DiskFull);
    balanced(&capture);
}

#[tokio::test]
async fn room_that_is_set_aside_for_one_call_is_not_taken_by_others() {
    let dir = tempfile::tempdir().unwrap();
    let mut small = settings(dir.path());
    small.spool_max_bytes = 40_000;
    small.response_reserve_bytes = 20_000;
    let (capture, _) = open_on(FaultyDisk::default(), small);
    let mut must = kept(Durability::AckAfterWrite);
    must.when_unavailable = WhenUnavailable::Refuse;
    let must = capture.stream(&policy_of("must", Some(must)));
    let may = capture.stream(&policy(Durability::AckAfterWrite));
    let begun = must.begin(invocation(1, 40)).unwrap();
    assert_eq!(must.begin(invocation(2, 19_000)).unwrap_err().reason, crate::DropReason::SpoolFull);
    let spool_full = crate::Captured::Dropped(crate::DropReason::SpoolFull);
    for number in 0.. {
        if call(&may, number).captured().await == spool_full {
            break;
        }
    }
    let mut answer = answered();
    answer.response.body = vec![b'x'; 19_000].into();
    assert!(matches!(begun.conclude(answer).captured().await, crate::Captured::Written(_)));
    balanced(&capture);
}
