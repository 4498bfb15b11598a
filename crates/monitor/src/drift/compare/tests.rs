//! Verdicts on columns of which it is known whether they changed.

use super::*;
use crate::dataset::{Columns, Header, Plan, Reader};
use crate::dice::Dice;

/// Columns: numbers, shifted numbers, colors, identifiers, sometimes missing.
fn profile(rows: usize, shift: f64, seed: u64) -> DatasetProfile {
    let mut dice = Dice::seeded(seed);
    let csv: String = (0..rows)
        .map(|i| {
            let color = ["red", "blue", "green"][(dice.unit() * dice.unit() * 3.0) as usize];
            let gap = if dice.unit() < 0.9 { String::new() } else { "1".to_owned() };
            format!("{},{},{color},id{seed}-{i},{gap}\n", dice.normal(), dice.normal() + shift)
        })
        .collect();
    let names = ["same", "shifted", "color", "id", "gap"].map(String::from);
    let columns = Columns::named(names).with_text(["color", "id"]);
    let mut profile = DatasetProfile::default();
    let mut reader = Reader::new(Plan { columns: Some(columns), ..Plan::default() }, |batch| profile.update(&batch));
    reader.csv("test", csv.as_bytes(), Header::No);
    reader.finish();
    profile
}

fn verdicts(drift: &DatasetDrift) -> Vec<Verdict> {
    drift.columns.iter().map(|column| column.verdict).collect()
}

#[test]
fn a_shifted_column_drifts_and_its_neighbours_are_stable() {
    let then = profile(10_000, 0.0, 1);
    let drift = compare(Reference::Profile(&then), &profile(4_000, 0.6, 2), Rule::default());
    use Verdict::{Drifted, NotComparable, Stable};
    assert_eq!(verdicts(&drift), [Stable, Drifted, Stable, NotComparable, Stable]);
    let worst = drift.worst_first();
    assert_eq!((worst[0].feature.as_str(), drift.count(Drifted)), ("shifted", 1));
    let [low, high] = worst[0].decisive().unwrap().interval.unwrap();
    // Two normal populations 0.6 apart differ by 0.2358.
    assert!(low > 0.2 && low < 0.2358 && high > 0.2358, "{low} {high}");
    assert!(worst[0].adjusted_p_value.unwrap() < 1e-6);
}

#[test]
fn a_baseline_file_gives_the_verdicts_of_the_profile_it_was_made_from() {
    let then = profile(9_000, 0.0, 1);
    let now = profile(3_000, 0.3, 2);
    let by_profile = compare(Reference::Profile(&then), &now, Rule::default());
    let by_file = compare(Reference::File(&Statistics::of(&then)), &now, Rule::default());
    assert_eq!(by_profile, by_file);
}

#[test]
fn a_change_within_the_tolerance_is_a_change_and_no_drift() {
    let then = profile(10_000, 0.0, 1);
    // A distance of 0.0797.
    let drift = compare(Reference::Profile(&then), &profile(10_000, 0.2, 2), Rule::default());
    assert_eq!(drift.columns[1].verdict, Verdict::Changed);
    let any = compare(Reference::Profile(&then), &profile(10_000, 0.2, 2), Rule { tolerance: 0.0, ..Rule::default() });
    assert_eq!((any.columns[1].verdict, any.columns[0].verdict), (Verdict::Drifted, Verdict::Stable));
}

#[test]
fn few_rows_are_not_enough_data_and_it_is_said_how_many_would_be() {
    let then = profile(10_000, 0.0, 1);
    let drift = compare(Reference::Profile(&then), &profile(100, 0.0, 2), Rule::default());
    assert_eq!((drift.columns[0].verdict, drift.columns[0].rows_needed), (Verdict::NotEnoughData, Some(188)));
    assert_eq!((drift.columns[4].verdict, drift.columns[4].rows_needed), (Verdict::NotEnoughData, Some(224)));
    let few = compare(Reference::Profile(&then), &profile(20, 0.0, 2), Rule::default());
    assert!(few.columns[0].rows_needed.unwrap() > 180, "the least that is judged would not be enough: {few:?}");
    let any = compare(Reference::Profile(&then), &profile(20, 0.0, 2), Rule { tolerance: 0.0, ..Rule::default() });
    assert_eq!(any.columns[0].rows_needed, Some(MIN_ROWS));
    let enough = compare(Reference::Profile(&then), &profile(200, 0.0, 2), Rule::default());
    assert_eq!(enough.columns[0].verdict, Verdict::Stable);
    let gross = compare(Reference::Profile(&then), &profile(100, 3.0, 2), Rule::default());
    assert_eq!(gross.columns[1].verdict, Verdict::Drifted, "what is beyond doubt needs no more rows");
    let small = compare(Reference::Profile(&profile(100, 0.0, 3)), &profile(9_000, 0.0, 2), Rule::default());
    assert_eq!((small.columns[0].verdict, small.columns[0].rows_needed), (Verdict::NotEnoughData, None));
}

#[test]
fn columns_that_come_and_go_are_named() {
    let then = profile(500, 0.0, 1);
    let mut now = profile(500, 0.0, 2);
    now.columns[0].name = "renamed".into();
    let drift = compare(Reference::Profile(&then), &now, Rule::default());
    assert_eq!((drift.missing_columns, drift.new_columns), (vec!["same".to_owned()], vec!["renamed".to_owned()]));
}

#[test]
fn any_measure_may_decide() {
    let then = profile(10_000, 0.0, 1);
    for numbers_by in [Measure::Wasserstein, Measure::PopulationStability, Measure::JensenShannon] {
        let rule = Rule { numbers_by, categories_by: Measure::JensenShannon, ..Rule::default() };
        let drift = compare(Reference::Profile(&then), &profile(5_000, 0.8, 2), rule);
        assert_eq!(drift.columns[1].decisive().unwrap().measure, numbers_by);
        assert_eq!((drift.columns[1].verdict, drift.columns[0].verdict), (Verdict::Drifted, Verdict::Stable));
    }
}
