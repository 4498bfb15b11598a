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
