//! What damage costs: the records it touches, and never the start.

use proptest::prelude::*;

use super::life::copy_dir;
use super::*;
use crate::journal::faulty_disk::FaultyDisk;
use crate::journal::frame::{FRAME_HEAD_BYTES, FrameHead, SEGMENT_HEADER_BYTES, SegmentHeader};
use crate::journal::reader::read_arbitrary;
use crate::journal::segment::SegmentName;
use crate::{DropReason, OpenError};

/// A folder as SIGKILL leaves it, with these records in one open segment.
async fn killed_with(records: u64) -> tempfile::TempDir {
    let (dir, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (capture, _) = open_on(FaultyDisk::default(), settings(dir.path()));
    let stream = capture.stream(&policy(Durability::AckAfterWrite));
    calls(&stream, 0..records).await;
    copy_dir(dir.path(), copy.path());
    copy
}

fn open_segment(dir: &Path) -> std::path::PathBuf {
    SegmentName::whole(1, 1).path(dir, SegmentName::OPEN)
}

/// Where the record frames of a segment begin and end.
fn record_frames(bytes: &[u8]) -> Vec<(usize, usize)> {
    let stamp = SegmentHeader::parse(bytes).unwrap().stamp;
    let mut frames = Vec::new();
    let mut at = SEGMENT_HEADER_BYTES;
    while let Some(head) = FrameHead::parse(&bytes[at..], stamp, at as u64) {
        let end = at + usize::try_from(head.frame_bytes()).unwrap();
        if head.kind == crate::journal::frame::FrameKind::Record {
            frames.push((at, end));
        }
        at = end;
    }
    frames
}

/// Recovers a folder; answers the capture and the lost count after checking the book.
fn recover(dir: &Path) -> (Capture, RecoveryReport) {
    let (capture, report) = open_on(FaultyDisk::default(), settings(dir));
    balanced(&capture);
    (capture, report)
}

#[tokio::test]
async fn a_tail_torn_at_any_byte_costs_the_last_record_only() {
    let killed = killed_with(4).await;
    let whole = std::fs::read(open_segment(killed.path())).unwrap();
    let (start, end) = *record_frames(&whole).last().unwrap();
    for cut in start..=end {
        for keep_length in [false, true] {
            let dir = tempfile::tempdir().unwrap();
            copy_dir(killed.path(), dir.path());
            let mut torn = whole.clone();
            if keep_length {
                torn[cut..].fill(0)
            } else {
                torn.truncate(cut)
            }
            std::fs::write(open_segment(dir.path()), &torn).unwrap();
            let (capture, report) = recover(dir.path());
            // Cut inside a run of zeros at the frame's end, the frame is still whole.
            let kept = if torn.len() >= end && torn[..end] == whole[..end] { 4 } else { 3 };
            assert_eq!(read_sealed(&capture), (0..kept).collect::<Vec<_>>(), "cut at {cut}");
            assert_eq!(report.lost_unclean, 4 - kept);
            assert_eq!(report.damages, []);
        }
    }
}

#[tokio::test]
async fn damage_inside_an_open_segment_costs_the_touched_record_only() {
    let killed = killed_with(5).await;
    let whole = std::fs::read(open_segment(killed.path())).unwrap();
    let frames = record_frames(&whole);
    for (at, length) in [(0, 1), (FRAME_HEAD_BYTES + 3, 1), (0, frames[2].1 - frames[2].0)] {
        let dir = tempfile::tempdir().unwrap();
        copy_dir(killed.path(), dir.path());
        let mut damaged = whole.clone();
        damaged[frames[2].0 + at..][..length].iter_mut().for_each(|byte| *byte ^= 0x55);
        std::fs::write(open_segment(dir.path()), &damaged).unwrap();
        let (capture, report) = recover(dir.path());
        assert_eq!(report.lost_unclean, 1);
        assert_eq!((report.damages.len(), report.damages[0].1.records()), (1, 1), "{:?}", report.damages);
        let lost = report.damages[0].1.lsns.clone().unwrap();
        assert_eq!((lost.start.n, lost.end.n), (2, 3));
        let path = &capture.sealed()[0].path;
        let read: Vec<_> = SegmentReader::open(path).unwrap().collect();
        assert_eq!(read.iter().flatten().map(number_of).collect::<Vec<_>>(), [0, 1, 3, 4]);
        assert_eq!(read.iter().filter_map(|item| item.as_ref().err()).map(|damage| damage.records()).sum::<u64>(), 1);
    }
}

/// A disk that puts a piece of a segment where another belongs. Numbers of records alone would let the piece pass, and
/// everything that it jumped over would seem to stand out of order.
#[tokio::test]
async fn a_frame_that_lands_in_another_place_costs_what_it_overwrites_only() {
    let killed = killed_with(8).await;
    let whole = std::fs::read(open_segment(killed.path())).unwrap();
    let frames = record_frames(&whole);
    for (from, to) in [(6, 1), (1, 6), (4, 3), (7, 2)] {
        let dir = tempfile::tempdir().unwrap();
        copy_dir(killed.path(), dir.path());
        let mut damaged = whole.clone();
        let piece = whole[frames[from].0..frames[from].1].to_vec();
        assert_eq!(piece.len(), frames[to].1 - frames[to].0, "records of one size");
        damaged[frames[to].0..frames[to].1].copy_from_slice(&piece);
        std::fs::write(open_segment(dir.path()), &damaged).unwrap();
        let (capture, report) = recover(dir.path());
        let expected: Vec<u64> = (0..8).filter(|n| *n != to as u64).collect();
        let reader = SegmentReader::open(&capture.sealed()[0].path).unwrap();
        let found: Vec<u64> = reader.flatten().map(|record| number_of(&record)).collect();
        assert_eq!(found, expected, "{from} over {to}");
        assert_eq!((report.lost_unclean, report.damages.len()), (1, 1), "{:?}", report.damages);
        assert_eq!(report.damages[0].1.records(), 1);
    }
}

/// A small sealed segment of three records.
async fn sealed_bytes() -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let (capture, _) = open_on(FaultyDisk::default(), settings(dir.path()));
    calls(&capture.stream(&policy(Durability::AckAfterWrite)), 0..3).await;
    capture.seal().await;
    std::fs::read(&capture.sealed()[0].path).unwrap()
}

#[tokio::test]
async fn a_flip_of_any_byte_of_a_sealed_segment_is_seen_and_costs_at_most_the_touched_record() {
    let whole = sealed_bytes().await;
    let originals: Vec<Record> = SegmentReader::from_bytes(whole.clone().into()).unwrap().map(Result::unwrap).collect();
    let frames = record_frames(&whole);
    for at in 0..whole.len() {
        let mut flipped = whole.clone();
        flipped[at] ^= 1 << (at % 8);
        let mut reader = SegmentReader::from_bytes(flipped.into()).unwrap();
        let seen_outside =
            reader.header_damaged() || reader.footer().is_none() || reader.digest_matches() == Some(false);
        let items: Vec<_> = reader.collect();
        let damages = items.iter().filter(|item| item.is_err()).count();
        assert!(seen_outside || damages > 0, "the flip at {at} is not seen");
        let touched = frames.iter().position(|(start, end)| (*start..*end).contains(&at));
        let expected: Vec<&Record> = originals
            .iter()
            .enumerate()
            .filter(|(index, _)| Some(*index) != touched)
            .map(|(_, record)| record)
            .collect();
        assert_eq!(items.iter().flatten().collect::<Vec<_>>(), expected, "flip at {at}");
        let lost: u64 = items.iter().filter_map(|item| item.as_ref().err()).map(|damage| damage.records()).sum();
        assert_eq!(lost, u64::from(touched.is_some()), "flip at {at}");
    }
}

#[tokio::test]
async fn a_sealed_segment_cut_anywhere_gives_a_prefix_of_its_records() {
    let whole = sealed_bytes().await;
    for cut in 0..whole.len() {
        let Ok(reader) = SegmentReader::from_bytes(whole[..cut].to_vec().into()) else { continue };
        let numbers: Vec<u64> = reader.flatten().map(|record| number_of(&record)).collect();
        assert_eq!(numbers, (0..numbers.len() as u64).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_sealed_segment_that_vanished_is_booked_as_quarantined() {
    let dir = tempfile::tempdir().unwrap();
    let (capture, _) = open_on(FaultyDisk::default(), settings(dir.path()));
    let stream = capture.stream(&policy(Durability::AckAfterWrite));
    calls(&stream, 0..3).await;
    capture.seal().await;
    std::fs::remove_file(&capture.sealed()[0].path).unwrap();
    drop((stream, capture));
    let (capture, report) = recover(dir.path());
    assert_eq!(report.missing_segments.len(), 1);
    let account = capture.ledger().accounts[0].clone();
    assert_eq!((account.captured, account.quarantined, account.local_pending), (3, 3, 0));
    drop(capture);
    let (capture, report) = recover(dir.path());
    assert!(report.missing_segments.is_empty());
    assert_eq!(capture.ledger().accounts[0].quarantined, 3);
}

#[tokio::test]
async fn any_small_file_may_be_damaged_or_gone() {
    let dir = tempfile::tempdir().unwrap();
    {
        let (capture, _) = open_on(FaultyDisk::default(), settings(dir.path()));
        let stream = capture.stream(&policy(Durability::AckAfterWrite));
        calls(&stream, 0..4).await;
        capture.seal().await;
        calls(&stream, 4..8).await;
        let segment = capture.sealed().remove(0);
        capture.free(&segment.name, &all_of(&segment)).unwrap();
        capture.seal().await;
        calls(&stream, 8..10).await;
    }
    for name in ["identity", "book", "counters"] {
        for how in ["gone", "empty", "noise", "half"] {
            let copy = tempfile::tempdir().unwrap();
            copy_dir(dir.path(), copy.path());
            let path = copy.path().join(name);
            let content = std::fs::read(&path).unwrap();
            match how {
                "gone" => std::fs::remove_file(&path).unwrap(),
                "empty" => std::fs::write(&path, b"").unwrap(),
                "noise" => std::fs::write(&path, content.iter().map(|byte| byte ^ 0x5a).collect::<Vec<_>>()).unwrap(),
                _ => std::fs::write(&path, &content[..content.len() / 2]).unwrap(),
            }
            let (capture, _) = recover(copy.path());
            assert_eq!(read_sealed(&capture), (4..10).collect::<Vec<_>>(), "{name} {how}");
            let account = capture.ledger().accounts[0].clone();
            assert_eq!((account.captured, account.uploaded), (10, 4), "{name} {how}");
            assert_eq!(account.invoked, 10, "{name} {how}");
        }
    }
}

#[tokio::test]
async fn a_journal_of_a_newer_format_is_left_alone() {
    let killed = killed_with(2).await;
    let path = open_segment(killed.path());
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[8] = 9;
    let checksum = crc32c::crc32c(&bytes[..60]);
    bytes[60..64].copy_from_slice(&checksum.to_le_bytes());
    std::fs::write(&path, &bytes).unwrap();
    let opened = Capture::open(settings(killed.path()), Arc::new(RealDisk), Clock::system());
    assert!(matches!(opened, Err(OpenError::Unreadable(crate::Unreadable::Newer { .. }))));
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
}

#[tokio::test]
async fn recovery_repeated_changes_nothing() {
    let killed = killed_with(6).await;
    let (first, _) = recover(killed.path());
    let (book, records) = (first.ledger(), read_sealed(&first));
    drop(first);
    for _ in 0..3 {
        let (again, report) = recover(killed.path());
        assert_eq!((again.ledger(), read_sealed(&again)), (book.clone(), records.clone()));
        assert_eq!(report.lost_unclean, 0);
    }
    assert_eq!(book.accounts[0].dropped[&DropReason::LostUnclean], 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_bytes_can_be_read(bytes: Vec<u8>) {
        let _ = read_arbitrary(&bytes);
    }

    #[test]
    fn any_mutation_of_a_segment_can_be_read(
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 1..40_usize), 1..6),
        cut in any::<prop::sample::Index>(),
    ) {
        static WHOLE: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
        let whole = WHOLE.get_or_init(|| {
            tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(sealed_bytes())
        });
        let mut bytes = whole.clone();
        for (at, value, length) in edits {
            let at = at.index(bytes.len());
            let end = (at + length).min(bytes.len());
            bytes[at..end].fill(value);
        }
        let (records, _) = read_arbitrary(&bytes);
        prop_assert!(records <= 3);
        bytes.truncate(cut.index(bytes.len()));
        let (records, _) = read_arbitrary(&bytes);
        prop_assert!(records <= 3);
    }
}

#[tokio::test]
async fn counters_that_nobody_can_have_counted_are_not_believed() {
    let dir = tempfile::tempdir().unwrap();
    {
        let (capture, _) = open_on(FaultyDisk::default(), settings(dir.path()));
        calls(&capture.stream(&policy(Durability::AckAfterWrite)), 0..4).await;
    }
    let path = dir.path().join("counters");
    let mut page = std::fs::read(&path).unwrap();
    // Epoch, and the counters of the second slot.
    page[16..24].copy_from_slice(&u64::from(u32::MAX).to_le_bytes());
    let counters = (2 * 64 + 16) * 8;
    page[counters..counters + 19 * 8].fill(0xff);
    std::fs::write(&path, page).unwrap();
    let (capture, report) = recover(dir.path());
    assert_eq!(report.epoch, 2);
    let account = capture.ledger().accounts[0].clone();
    assert_eq!((account.invoked, account.captured), (4, 4));
    balanced(&capture);
}

#[tokio::test]
async fn a_segment_keeps_its_node_when_the_book_is_lost() {
    let dir = killed_with(3).await;
    std::fs::remove_file(dir.path().join("book")).unwrap();
    let (capture, _) = recover(dir.path());
    let sealed = capture.sealed().remove(0);
    let record = SegmentReader::open(&sealed.path).unwrap().next().unwrap().unwrap();
    assert_eq!(sealed.node, record.lsn.node);
}
