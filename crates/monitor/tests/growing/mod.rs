//! What comes out depends on the data, not on who reads it, nor in which order objects are named.

use std::num::NonZero;
use std::path::Path;

use captura_monitor::drift::compare::Rule;
use captura_monitor::drift::windows::Budget;
use captura_monitor::job::{self, Against, Examine, Source, examine};
use captura_names::Timestamp;
use proptest::prelude::*;

use super::{Dice, line, stores, text};

/// Objects of captured lines and one of CSV; some lines are unusable, some cells text, some objects compressed.
fn objects(dir: &Path, sizes: &[usize], seed: u64) -> Vec<String> {
    let mut dice = Dice(seed);
    let begin = Timestamp::parse("2026-03-01T08:00:00Z").unwrap();
    let mut calls = 0;
    let mut all = Vec::new();
    for (number, &size) in sizes.iter().enumerate() {
        let mut lines = String::new();
        for _ in 0..size {
            calls += 1;
            let note = if dice.roll() < 0.02 { "late" } else { "" };
            let input = format!("{:.3},{:.3},{note}", dice.bell() + f64::from(calls > 900), dice.roll());
            let consumer = ["billing", "website", "partner"][(dice.roll() * 3.0) as usize];
            match dice.roll() {
                odd if odd < 0.01 => lines.push_str("not a record\n"),
                odd if odd < 0.02 => lines.push_str(&line(begin.plus_us(calls * 1_000_000), 1, consumer, "1,2")),
                _ => lines.push_str(&line(begin.plus_us(calls * 1_000_000), calls as usize, consumer, &input)),
            }
        }
        let path = dir.join(format!("{number}.jsonl"));
        if number % 3 == 1 {
            let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            std::io::Write::write_all(&mut gzip, lines.as_bytes()).unwrap();
            let path = path.with_extension("jsonl.gz");
            std::fs::write(&path, gzip.finish().unwrap()).unwrap();
            all.push(text(&path));
        } else {
            std::fs::write(&path, lines).unwrap();
            all.push(text(&path));
        }
    }
    all
}

fn read_by(threads: usize, addresses: Vec<String>) -> Source {
    Source { addresses, threads: NonZero::new(threads), ..Source::default() }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]
    #[test]
    fn neither_threads_nor_the_order_of_objects_change_anything(
        sizes in prop::collection::vec(0_usize..700, 3..7), seed in any::<u64>(), threads in 2_usize..6,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let stores = stores(dir.path());
        let addresses = objects(dir.path(), &[&[300][..], &sizes].concat(), seed);
        let reference = dir.path().join("reference.csv");
        let mut dice = Dice(seed ^ 1);
        let rows: String = (0..500).map(|i| format!("{},{:.3},{:.3},\n", i % 2, dice.bell(), dice.roll())).collect();
        std::fs::write(&reference, rows).unwrap();
        let backwards: Vec<String> = addresses.iter().rev().cloned().collect();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut seen = Vec::new();
        for (threads, addresses) in [(1, &addresses), (threads, &addresses), (threads, &backwards)] {
            let statistics = dir.path().join("statistics.json");
            let source = read_by(threads, addresses.clone());
            let summary = runtime.block_on(job::profile(&stores, &source, &text(&statistics))).unwrap();
            let request = Examine {
                source: source.clone(),
                against: Against::Data(read_by(threads, vec![text(&reference)])),
                rule: Rule::default(),
                budget: Some(Budget { window_us: 300_000_000, false_alarm_every_us: 86_400_000_000 }),
                is_pictured: false,
            };
            let found = runtime.block_on(examine(&stores, &request)).unwrap();
            seen.push((
                std::fs::read_to_string(&statistics).unwrap(),
                serde_json::to_string(&summary).unwrap(),
                serde_json::to_string(&found).unwrap(),
            ));
        }
        prop_assert_eq!(&seen[0], &seen[1]);
        prop_assert_eq!(&seen[0], &seen[2]);
    }
}

/// Kept profiles below a folder.
fn kept(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(kept(&path));
        } else if path.file_name().unwrap().to_str().unwrap().starts_with("_profile-") {
            found.push(path);
        }
    }
    found.sort();
    found
}

#[tokio::test]
async fn kept_profiles_change_nothing_are_used_and_what_does_not_fit_is_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let stores = stores(dir.path());
    let before = text(&super::capture(&dir.path().join("before"), 0..2000, usize::MAX, 1));
    let folder = super::capture(&dir.path().join("now"), 2000..9000, 4500, 2);
    let request = |keeps_profiles| Examine {
        source: Source { addresses: vec![text(&folder)], keeps_profiles, ..Source::default() },
        against: Against::Data(Source { addresses: vec![before.clone()], ..Source::default() }),
        rule: Rule::default(),
        budget: None,
        is_pictured: false,
    };
    let seen = async |keeps| serde_json::to_string(&examine(&stores, &request(keeps)).await.unwrap()).unwrap();
    let expected = seen(false).await;
    assert!(expected.contains("billing") && kept(&folder).is_empty());
    assert_eq!(seen(true).await, expected);
    let profiles = kept(&folder);
    assert_eq!(profiles.len(), 3, "one an hour: {profiles:?}");
    let made: Vec<Vec<u8>> = profiles.iter().map(|path| std::fs::read(path).unwrap()).collect();
    assert_eq!(seen(true).await, expected);
    let objects = |folder: &Path| {
        let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        entries.filter(|path| path.extension().is_some_and(|ending| ending == "jsonl")).collect::<Vec<_>>()
    };
    // What is as it was is not read: its objects could as well be anything of that size and time.
    let hour = profiles[1].parent().unwrap();
    for object in objects(hour) {
        let time = std::fs::metadata(&object).unwrap().modified().unwrap();
        let nothing = vec![b' '; std::fs::metadata(&object).unwrap().len() as usize];
        let file = std::fs::OpenOptions::new().write(true).open(&object).unwrap();
        std::io::Write::write_all(&mut &file, &nothing).unwrap();
        file.set_modified(time).unwrap();
    }
    assert_eq!(seen(true).await, expected, "the second hour came from its profile");
    // Damaged, foreign or cut ones are made again.
    let third = &profiles[2];
    for damage in [&made[2][..made[2].len() / 2], b"something else", &made[1], b""] {
        std::fs::write(third, damage).unwrap();
        assert_eq!(seen(true).await, expected);
        assert_eq!(std::fs::read(third).unwrap(), made[2]);
    }
    let mut flipped = made[2].clone();
    flipped[200] ^= 1;
    std::fs::write(third, &flipped).unwrap();
    assert_eq!(seen(true).await, expected);
    // An object that has come or gone changes the outcome at once.
    std::fs::remove_file(&objects(third.parent().unwrap())[0]).unwrap();
    let fewer = seen(true).await;
    assert_ne!(fewer, expected);
    assert_ne!(std::fs::read(third).unwrap(), made[2]);
}

#[tokio::test]
async fn of_a_window_hours_that_lie_in_it_come_from_their_profiles_and_nothing_changes() {
    let dir = tempfile::tempdir().unwrap();
    let stores = stores(dir.path());
    let before = text(&super::capture(&dir.path().join("before"), 0..2000, usize::MAX, 1));
    // From 8:00 to 11:20, and one call that was made earlier than the object says that it lies in.
    let folder = super::capture(&dir.path().join("now"), 0..12_000, 6_000, 2);
    let late = folder.join("churn/AllTraffic/2026/03/01/10/59-00-000-00000000-0000-4000-8000-000000000000.jsonl");
    let begin = Timestamp::parse("2026-03-01T08:00:00Z").unwrap();
    let earlier = line(begin.plus_us(3_000_000_000), 99_999, "billing", "9,9,9");
    let old = std::fs::read_to_string(&late).unwrap();
    let seen = async |keeps_profiles: bool, minutes: std::ops::Range<i64>, consumer: Option<&str>| {
        let at = |minute: i64| begin.plus_us(minute * 60_000_000);
        let window = Some(at(minutes.start)..at(minutes.end));
        let mut source = Source { addresses: vec![text(&folder)], keeps_profiles, ..Source::default() };
        source.selection.window = window.clone();
        source.scope.window = window;
        source.scope.consumers = consumer.into_iter().map(str::to_owned).collect();
        let against = Against::Data(Source { addresses: vec![before.clone()], ..Source::default() });
        let request = Examine { source, against, rule: Rule::default(), budget: None, is_pictured: false };
        serde_json::to_string(&examine(&stores, &request).await.unwrap()).unwrap()
    };
    let whole = 30..181;
    let expected = seen(false, whole.clone(), None).await;
    assert_eq!(seen(true, whole.clone(), None).await, expected);
    let profiles = kept(&folder);
    assert_eq!(profiles.len(), 2, "of 9 and of 10, for the others begin or end outside: {profiles:?}");
    // The hour of 9 is not read again; what is in the hour of 10 and was called before the window is left out.
    let hour = folder.join("churn/AllTraffic/2026/03/01/09");
    for entry in std::fs::read_dir(&hour).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.extension().is_some_and(|ending| ending == "jsonl") {
            let metadata = std::fs::metadata(&entry).unwrap();
            let file = std::fs::OpenOptions::new().write(true).open(&entry).unwrap();
            std::io::Write::write_all(&mut &file, &vec![b' '; metadata.len() as usize]).unwrap();
            file.set_modified(metadata.modified().unwrap()).unwrap();
        }
    }
    assert_eq!(seen(true, whole, None).await, expected);
    std::fs::write(&late, old + &earlier).unwrap();
    let hours_of_ten = 120..180;
    let expected = seen(false, hours_of_ten.clone(), None).await;
    assert!(expected.contains("\"outside\":"), "{expected}");
    for _ in 0..2 {
        assert_eq!(seen(true, hours_of_ten.clone(), None).await, expected);
    }
    let of_one = seen(true, hours_of_ten.clone(), Some("billing")).await;
    assert!(of_one.contains("kept profiles are of all callers"), "{of_one}");
}
