use proptest::prelude::*;
use serde_json::Value as Json;

use super::*;

fn references() -> Json {
    serde_json::from_str(include_str!("../../tests/data/bias_references.json")).unwrap()
}

fn flags(value: &Json) -> Vec<bool> {
    value.as_array().unwrap().iter().map(|item| item.as_u64() == Some(1)).collect()
}

#[track_caller]
fn close(found: f64, expected: &Json, what: &str) {
    let expected = match expected.as_str() {
        Some("Infinity") => f64::INFINITY,
        Some("-Infinity") => f64::NEG_INFINITY,
        _ => expected.as_f64().unwrap(),
    };
    assert!(found == expected || (found - expected).abs() <= 1e-12, "{what}: {found} is not {expected}");
}

#[test]
fn metrics_are_those_of_clarify_s_library_and_of_fairlearn() {
    for case in references()["cases"].as_array().unwrap() {
        let (facet, actual, predicted) = (flags(&case["facet"]), flags(&case["actual"]), flags(&case["predicted"]));
        let groups: Vec<u32> =
            case["group"].as_array().unwrap().iter().map(|group| group.as_u64().unwrap() as u32).collect();
        let rows = (0..facet.len()).map(|row| Row {
            facet: facet[row],
            actual: actual[row],
            predicted: predicted[row],
            group: groups[row],
        });
        let counts = Counts::of(rows);
        let mut seen = 0;
        for (stage, name) in [(Stage::PreTraining, "pre_training"), (Stage::PostTraining, "post_training")] {
            for (metric, value) in metrics(stage, &counts, true) {
                close(value.unwrap(), &case[name][metric], metric);
                seen += 1;
            }
        }
        assert_eq!(seen, 20);
        let numbers: Vec<Vec<f64>> = case["features"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect())
            .collect();
        let side = |wanted: bool| -> Vec<(&[f64], bool)> {
            (0..facet.len())
                .filter(|&row| facet[row] == wanted)
                .map(|row| (&numbers[row][..], predicted[row]))
                .collect()
        };
        let found = flip_test(&FlipRows { without: side(false), with: side(true) }).unwrap();
        close(found, &case["post_training"]["FT"], "FT");
        // Fairlearn turns differences and ratios so that groups have no order.
        let value = |stage, name: &str| {
            metrics(stage, &counts, true).into_iter().find(|metric| metric.0 == name).unwrap().1.unwrap()
        };
        let fairlearn = &case["fairlearn"];
        close(value(Stage::PostTraining, "DPPL").abs(), &fairlearn["demographic_parity_difference"], "DPPL");
        close(value(Stage::PostTraining, "RD").abs(), &fairlearn["equal_opportunity_difference"], "RD");
        let ratio = value(Stage::PostTraining, "DI");
        close(ratio.min(1.0 / ratio), &fairlearn["demographic_parity_ratio"], "DI");
    }
}

#[test]
fn what_cannot_be_computed_says_why() {
    let row = |facet, actual| Row { facet, actual, predicted: false, group: 0 };
    let reason = |rows: Vec<Row>, stage, name: &str| {
        metrics(stage, &Counts::of(rows.into_iter()), false).into_iter().find(|metric| metric.0 == name).unwrap().1
    };
    let only = vec![row(true, true), row(true, false)];
    assert_eq!(reason(only.clone(), Stage::PreTraining, "CI"), Err("every row has the facet"));
    assert_eq!(reason(vec![row(false, true)], Stage::PreTraining, "DPL"), Err("no row has the facet"));
    assert_eq!(reason(only, Stage::PreTraining, "CDDL"), Err("there is no group variable"));
    let denied = vec![row(true, true), row(false, true)];
    assert_eq!(reason(denied, Stage::PostTraining, "GE"), Err("every prediction is a false negative"));
    assert_eq!(flip_test(&FlipRows::default()), None);
}

#[test]
fn a_kind_of_label_that_one_side_never_has_is_infinitely_surprising() {
    let rows = [(true, false), (false, false), (false, true)].map(|(facet, actual)| Row {
        facet,
        actual,
        predicted: actual,
        group: 0,
    });
    let found = metrics(Stage::PreTraining, &Counts::of(rows.into_iter()), false);
    let value = |name: &str| found.iter().find(|metric| metric.0 == name).unwrap().1.unwrap();
    assert_eq!((value("KL"), value("TVD"), value("KS")), (f64::INFINITY, 0.5, 0.5));
    assert!(value("JS").is_finite());
}

proptest! {
    #[test]
    fn balance_and_swapped_sides_behave(
        rows in prop::collection::vec((any::<bool>(), any::<bool>(), any::<bool>(), 0_u32..3), 8..200),
    ) {
        let row = |&(facet, actual, predicted, group): &(bool, bool, bool, u32)| Row { facet, actual, predicted, group };
        let counts = Counts::of(rows.iter().map(row));
        let swapped = Counts::of(rows.iter().map(|r| Row { facet: !r.0, ..row(r) }));
        // Both sides alike: every row once with and once without the facet.
        let balanced = Counts::of(rows.iter().flat_map(|r| [row(r), Row { facet: !r.0, ..row(r) }]));
        for stage in [Stage::PreTraining, Stage::PostTraining] {
            for (name, value) in metrics(stage, &balanced, true) {
                let balance = if name == "DI" && value != Ok(0.0) { 1.0 } else { 0.0 };
                if !["GE", "CDDL", "CDDPL"].contains(&name) && let Ok(value) = value {
                    prop_assert!((value - balance).abs() < 1e-12, "{}: {}", name, value);
                }
            }
            let pairs = metrics(stage, &counts, true).into_iter().zip(metrics(stage, &swapped, true));
            for ((name, value), (_, other)) in pairs {
                let (Ok(value), Ok(other)) = (value, other) else { continue };
                match name {
                    "KL" | "DI" | "CDDL" | "CDDPL" => {}
                    "JS" | "KS" | "LP" | "TVD" | "GE" => prop_assert!((value - other).abs() < 1e-12, "{}", name),
                    _ => prop_assert!(value == -other || (value + other).abs() < 1e-12, "{}: {} {}", name, value, other),
                }
            }
        }
    }
}
