//! Who and since when, on data whose answer is known.

use super::*;
use crate::artefact::Statistics;
use crate::dataset::{Batch, Columns, Plan, Reader};
use crate::profile::DatasetProfile;

/// A seeded generator of numbers in 0..1.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn roll(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Rows `(consumer, output, input)` as captured lines, one a second, and read back.
pub(super) fn batches(rows: &[(&str, String, String)], text: &[&str]) -> Vec<Batch> {
    let line = |(i, (consumer, output, input)): (usize, &(&str, String, String))| {
        let time = Timestamp::from_unix_us(1_767_225_600_000_000 + i as i64 * 1_000_000);
        format!(
            r#"{{"captureData":{{"endpointInput":{{"data":"{input}","encoding":"CSV"}},"endpointOutput":{{"data":"{output}","encoding":"CSV"}}}},"eventMetadata":{{"eventId":"e{i}","inferenceTime":"{time}"}},"captura":{{"consumer":"{consumer}"}}}}"#
        ) + "\n"
    };
    let lines: String = rows.iter().enumerate().map(line).collect();
    let columns = Columns::named(["p", "x"].map(String::from)).with_text(text.iter().copied());
    let mut batches = Vec::new();
    let mut reader =
        Reader::new(Plan { columns: Some(columns), with_calls: true, ..Plan::default() }, |batch| batches.push(batch));
    reader.captures("test", lines.as_bytes());
    assert_eq!(reader.finish().bad, 0);
    batches
}

fn cause(baseline: &[Batch], current: &[Batch], categorical: bool) -> Cause {
    let mut profile = DatasetProfile::default();
    baseline.iter().for_each(|batch| profile.update(batch));
    let statistics = Statistics::of(&profile);
    let mut collector = Collector::new([("x".to_owned(), categorical)]);
    current.iter().for_each(|batch| collector.take(batch));
    collector.cause(statistics.feature("x").unwrap(), 0.1).unwrap()
}

/// Three consumers with habits of their own; from `change` on `web` sends values that are `shift` higher.
fn traffic(count: usize, change: usize, shift: f64, seed: u64) -> Vec<(&'static str, String, String)> {
    let mut dice = Dice(seed);
    (0..count)
        .map(|i| {
            let consumer = ["web", "batch", "app"][i % 3];
            let habit = if consumer == "batch" { 1.0 } else { 0.0 };
            let extra = if consumer == "web" && i >= change { shift } else { 0.0 };
            (consumer, "0.5".to_owned(), format!("{}", habit + extra + dice.roll()))
        })
        .collect()
}

#[test]
fn the_consumer_that_shifts_half_way_and_the_moment_are_found() {
    let baseline = batches(&traffic(3000, usize::MAX, 0.0, 1), &[]);
    let cause = cause(&baseline, &batches(&traffic(3000, 1500, 2.0, 2), &[]), false);
    let driver = cause.driver().unwrap();
    assert_eq!((driver.consumer.as_deref(), driver.rows), (Some("web"), 1000));
    let Since::Change(change) = &driver.since else { panic!("{driver:?}") };
    assert_eq!(change.event_id.as_deref(), Some("e1500"));
    assert_eq!(change.time.unwrap().to_string(), "2026-01-01T00:25:00Z");
    assert!(change.confidence > 0.999 && change.distance_after > change.distance_before);
    assert!(cause.consumers[1..].iter().all(|consumer| !consumer.drives), "{cause:?}");
    let sentence = cause.to_string();
    assert!(
        sentence.starts_with("x: driven by web, since 2026-01-01T00:25:00Z (call e1500): its distance"),
        "{sentence}"
    );
    let json = serde_json::to_value(&cause).unwrap();
    assert_eq!(json["consumers"][0]["since"]["change"]["time"], "2026-01-01T00:25:00Z");
}

#[test]
fn a_consumer_that_was_always_different_is_not_to_blame() {
    let baseline = batches(&traffic(3000, usize::MAX, 0.0, 1), &[]);
    let cause = cause(&baseline, &batches(&traffic(3000, usize::MAX, 0.0, 3), &[]), false);
    assert_eq!(cause.driver(), None, "{cause:?}");
    assert!(cause.consumers.iter().all(|consumer| consumer.since == Since::Throughout));
}

#[test]
fn a_shift_from_the_first_row_on_has_no_moment() {
    let baseline = batches(&traffic(3000, usize::MAX, 0.0, 1), &[]);
    let cause = cause(&baseline, &batches(&traffic(3000, 0, 2.0, 4), &[]), false);
    let driver = cause.driver().unwrap();
    assert_eq!((driver.consumer.as_deref(), &driver.since), (Some("web"), &Since::Throughout));
}

#[test]
fn a_wider_spread_is_a_change_too_and_its_end_is_told_apart() {
    let mut dice = Dice(9);
    let mut rows = |wide: std::ops::Range<usize>| -> Vec<(&'static str, String, String)> {
        (0..1000)
            .map(|i| {
                let width = if wide.contains(&i) { 20.0 } else { 1.0 };
                ("web", "0".to_owned(), format!("{}", (dice.roll() - 0.5) * width))
            })
            .collect()
    };
    let baseline = batches(&rows(0..0), &[]);
    let begun = cause(&baseline, &batches(&rows(600..1000), &[]), false);
    let Since::Change(change) = &begun.driver().unwrap().since else { panic!("{begun:?}") };
    assert!((580..=620).contains(&change.rows_before), "{change:?}");
    let ended = cause(&baseline, &batches(&rows(0..600), &[]), false);
    assert!(
        matches!(&ended.driver().unwrap().since, Since::Ended(change) if (580..=620).contains(&change.rows_before))
    );
}

#[test]
fn categories_are_followed_like_numbers() {
    let mut dice = Dice(5);
    let mut rows = |change: usize| -> Vec<(&'static str, String, String)> {
        (0..900)
            .map(|i| {
                let consumer = ["web", "app"][i % 2];
                let red = if consumer == "app" && i >= change { 0.05 } else { 0.6 };
                let color = if dice.roll() < red { "red" } else { "blue" };
                (consumer, "0".to_owned(), color.to_owned())
            })
            .collect()
    };
    let baseline = batches(&rows(usize::MAX), &["x"]);
    let cause = cause(&baseline, &batches(&rows(500), &["x"]), true);
    let driver = cause.driver().unwrap();
    assert_eq!(driver.consumer.as_deref(), Some("app"));
    let Since::Change(change) = &driver.since else { panic!("{driver:?}") };
    assert!((240..=260).contains(&change.rows_before), "{change:?}");
}

#[test]
fn few_rows_are_not_enough_data_and_many_are_thinned() {
    let baseline = batches(&traffic(3000, usize::MAX, 0.0, 1), &[]);
    let few = cause(&baseline, &batches(&traffic(90, 0, 5.0, 2), &[]), false);
    assert!(few.consumers.iter().all(|consumer| consumer.since == Since::NotEnoughData && consumer.distance.is_none()));
    let many = cause(&baseline, &batches(&traffic(30_000, 15_000, 2.0, 2), &[]), false);
    let driver = many.driver().unwrap();
    let Since::Change(change) = &driver.since else { panic!("{driver:?}") };
    assert!((4_980..=5_020).contains(&change.rows_before), "{change:?}");
    assert!((9_990..=10_010).contains(&driver.rows));
}
