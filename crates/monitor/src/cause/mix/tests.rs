//! Changes of mix and of behaviour that were made on purpose.

use super::super::tests::{Dice, batches};
use super::*;

/// Rows of `web`, `batch` and `new`; `batch` sends values that are 1 higher than those of `web`.
fn traffic(counts: [usize; 3], web: f64, seed: u64) -> Vec<(&'static str, String, String)> {
    let mut dice = Dice(seed);
    let mut rows = Vec::new();
    for (place, consumer) in ["web", "batch", "new"].into_iter().enumerate() {
        let level = [web, 1.0, 3.0][place];
        rows.extend((0..counts[place]).map(|_| (consumer, "0".to_owned(), (level + dice.roll()).to_string())));
    }
    rows
}

fn split(then: &[(&str, String, String)], now: &[(&str, String, String)], text: bool) -> Option<Split> {
    let collected = |rows: &[(&str, String, String)]| {
        let mut collector = Collector::new([("x".to_owned(), text)]);
        batches(rows, if text { &["x"] } else { &[] }).iter().for_each(|batch| collector.take(batch));
        collector
    };
    collected(now).split(&collected(then), "x")
}

fn sums(split: &Split) -> bool {
    let parts: f64 = split.consumers.iter().map(|part| part.mix + part.behaviour).sum();
    (parts - split.distance).abs() < 1e-9 && (split.mix + split.behaviour - split.distance).abs() < 1e-9
}

#[test]
fn other_shares_of_the_same_callers_are_a_change_of_mix() {
    let split = split(&traffic([800, 200, 0], 0.0, 1), &traffic([200, 800, 0], 0.0, 2), false).unwrap();
    assert_eq!(split.reason(), Reason::Mix, "{split:?}");
    assert!(sums(&split) && (split.distance - 0.6).abs() < 0.02 && split.behaviour.abs() < 0.02, "{split:?}");
    assert!(split.to_string().starts_with("x: who calls has changed (9"), "{split}");
}

#[test]
fn a_caller_that_sends_something_else_is_a_change_of_behaviour() {
    let split = split(&traffic([500, 500, 0], 0.0, 1), &traffic([500, 500, 0], 0.6, 2), false).unwrap();
    assert_eq!(split.reason(), Reason::Behaviour, "{split:?}");
    assert!(sums(&split) && split.mix.abs() < 1e-9, "{split:?}");
    assert_eq!(split.consumers[0].consumer.as_deref(), Some("web"));
    assert_eq!(split.consumers[0].shares, [0.5, 0.5]);
}

#[test]
fn a_new_caller_is_a_change_of_mix_and_named() {
    let split = split(&traffic([500, 500, 0], 0.0, 1), &traffic([500, 500, 500], 0.0, 2), false).unwrap();
    assert_eq!((split.reason(), split.consumers[0].consumer.as_deref()), (Reason::Mix, Some("new")), "{split:?}");
    assert!(sums(&split) && split.consumers[0].shares == [0.0, 1.0 / 3.0], "{split:?}");
}

#[test]
fn both_at_once_are_told_apart() {
    let split = split(&traffic([800, 200, 0], 0.0, 1), &traffic([500, 500, 0], 0.5, 2), false).unwrap();
    assert_eq!(split.reason(), Reason::Both, "{split:?}");
    assert!(sums(&split) && split.mix > 0.1 && split.behaviour > 0.1, "{split:?}");
}

#[test]
fn categories_are_split_like_numbers_and_few_rows_are_not() {
    let rows = |web: &'static str, count: usize| -> Vec<(&'static str, String, String)> {
        (0..count)
            .map(|i| if i % 2 == 0 { ("web", "0".into(), web.into()) } else { ("app", "0".into(), "red".into()) })
            .collect()
    };
    let found = split(&rows("red", 400), &rows("blue", 400), true).unwrap();
    assert!(found.reason() == Reason::Behaviour && (found.distance - 0.5).abs() < 1e-9, "{found:?}");
    assert!(matches!(&found.point, Point::Value(..)) && sums(&found));
    assert_eq!(split(&rows("red", 20), &rows("blue", 400), true), None);
    assert_eq!(split(&rows("red", 400), &rows("red", 400), true), None);
}
