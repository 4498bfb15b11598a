//! Windows of which it is known whether anything changed.

use super::*;
use crate::dataset::{Columns, Header, Plan, Reader};
use crate::dice::Dice;
use crate::drift::compare::Reference;
use crate::profile::DatasetProfile;

fn profile(rows: usize, shift: f64, blue: f64, dice: &mut Dice) -> DatasetProfile {
    let csv: String = (0..rows)
        .map(|_| {
            let color = if dice.unit() < blue { "blue" } else { "red" };
            format!("{},{},{color}\n", dice.normal() + shift, dice.normal())
        })
        .collect();
    let columns = Columns::named(["a", "b", "c"].map(String::from)).with_text(["c"]);
    let mut profile = DatasetProfile::default();
    let mut reader = Reader::new(Plan { columns: Some(columns), ..Plan::default() }, |batch| profile.update(&batch));
    reader.csv("test", csv.as_bytes(), Header::No);
    reader.finish();
    profile
}

/// A window whose rows were drawn one by one.
fn alone(watch: &mut Watch<'_>, profile: &DatasetProfile) -> Option<Alarm> {
    let blocks = profile.columns.iter().map(|_| Blocks::default()).collect();
    watch.window(&samples(profile), blocks)
}

fn samples(profile: &DatasetProfile) -> Vec<Sample<'_>> {
    profile.columns.iter().map(Sample::of_profile).collect()
}

#[test]
fn evidence_has_a_mean_of_one_when_nothing_is_wrong() {
    let steps = 4_000_000;
    let sum: f64 = (0..steps).map(|i| evidence_of((f64::from(i) + 0.5) / f64::from(steps))).sum();
    let mean = sum / f64::from(steps);
    // What lies below the first step is a few percent: its tail is heavy.
    assert!(mean > 0.9 && mean < 1.0, "{mean}");
    assert!((evidence_of(1.0) - 0.5).abs() < 1e-12 && evidence_of(0.0).is_finite());
    assert!(
        (evidence_of(1.0 - 1.01e-4) - evidence_of(1.0 - 0.99e-4)).abs() < 1e-5,
        "no step where the formula changes"
    );
}

#[test]
fn a_shift_that_no_window_proves_is_found_over_windows_with_its_beginning() {
    let mut dice = Dice::seeded(5);
    let then = profile(10_000, 0.0, 0.3, &mut dice);
    let reference = Reference::Profile(&then);
    let mut watch = Watch::new(&reference.columns(), 0.0, 720.0);
    assert_eq!(watch.names().collect::<Vec<_>>(), ["a", "b", "c"]);
    let mut alarm = None;
    for window in 0..160 {
        let shift = if window < 60 { 0.0 } else { 0.35 };
        let now = profile(90, shift, 0.3, &mut dice);
        alarm = alarm.or_else(|| alone(&mut watch, &now));
        assert!(window >= 60 || alarm.is_none(), "{window}");
    }
    let alarm = alarm.expect("the shift is found");
    assert_eq!(alarm.columns.iter().map(|column| column.feature.as_str()).collect::<Vec<_>>(), ["a"]);
    assert!((57..=66).contains(&alarm.columns[0].since), "{alarm:?}");
    assert!(alarm.window > 61 && alarm.columns[0].evidence >= 720.0 * 3.0, "{alarm:?}");
}

#[test]
fn categories_and_new_values_ring_and_small_windows_say_nothing() {
    let mut dice = Dice::seeded(6);
    let then = profile(20_000, 0.0, 0.3, &mut dice);
    let reference = Reference::Profile(&then);
    let mut watch = Watch::new(&reference.columns(), 0.05, 720.0);
    assert_eq!(alone(&mut watch, &profile(20, 9.0, 1.0, &mut dice)), None);
    let alarm = alone(&mut watch, &profile(2_000, 0.0, 0.6, &mut dice)).expect("twice the share is seen");
    assert_eq!((alarm.window, alarm.columns[0].feature.as_str(), alarm.columns[0].since), (1, "c", 1));
    assert_eq!(alone(&mut watch, &profile(2_000, 0.0, 0.3, &mut dice)), None, "everything starts anew");
}

#[test]
fn what_is_within_the_tolerance_never_rings() {
    let mut dice = Dice::seeded(7);
    let then = profile(10_000, 0.0, 0.3, &mut dice);
    let reference = Reference::Profile(&then);
    let mut watch = Watch::new(&reference.columns(), 0.1, 50.0);
    for _ in 0..200 {
        // A shift of 0.2 deviations is a distance of 0.08.
        assert_eq!(alone(&mut watch, &profile(400, 0.2, 0.35, &mut dice)), None);
    }
}

#[test]
fn rows_in_bursts_are_worth_what_they_say() {
    let mut dice = Dice::seeded(8);
    let then = profile(10_000, 0.0, 0.3, &mut dice);
    let reference = Reference::Profile(&then);
    let marks = Watch::new(&reference.columns(), 0.0, 720.0).marks();
    // Bursts of like rows, as calls of their own or as rows of one call; and what a row of them is worth.
    for (burst, of_one_call, worth) in [(1, false, 1.0), (5, false, 5.0), (5, true, 5.0), (50, true, 50.0)] {
        let mut effect = Effect::default();
        for _ in 0..100 {
            let mut blocks = Blocks::default();
            for _ in 0..400 / burst {
                let value = dice.normal();
                (0..burst).for_each(|row| blocks.number(&marks[0], value, row == 0 || !of_one_call));
            }
            effect.window(blocks);
        }
        let found = effect.rows_per_row();
        assert!((0.8 * worth..1.4 * worth).contains(&found), "{burst} {of_one_call}: {found}");
    }
    let mut effect = Effect::default();
    for _ in 0..100 {
        let mut blocks = Blocks::default();
        for _ in 0..40 {
            let color = if dice.unit() < 0.3 { "blue" } else { "red" };
            (0..10).for_each(|row| blocks.text(&marks[2], color, row == 0));
        }
        effect.window(blocks);
    }
    assert!((8.0..14.0).contains(&effect.rows_per_row()), "{effect:?}");
    assert!((Effect::default().rows_per_row() - 1.0).abs() < f64::EPSILON, "nothing is known yet");
}

#[test]
fn a_budget_holds_for_rows_in_bursts() {
    let mut dice = Dice::seeded(9);
    let then = profile(20_000, 0.0, 0.3, &mut dice);
    let reference = Reference::Profile(&then);
    let ring = |with_blocks: bool, dice: &mut Dice| {
        let mut watch = Watch::new(&reference.columns(), 0.0, 100.0);
        let marks = watch.marks();
        let mut alarms = 0;
        for _ in 0..300 {
            let mut blocks = vec![Blocks::default(); 3];
            let mut values = vec![Vec::new(); 2];
            let mut colors = std::collections::BTreeMap::from([("blue", 0), ("red", 0)]);
            for _ in 0..20 {
                let (a, b) = (dice.normal(), dice.normal());
                let color = if dice.unit() < 0.3 { "blue" } else { "red" };
                for row in 0..10 {
                    values[0].push(a);
                    values[1].push(b);
                    *colors.get_mut(color).unwrap() += 1;
                    if with_blocks {
                        blocks[0].number(&marks[0], a, row == 0);
                        blocks[1].number(&marks[1], b, row == 0);
                        blocks[2].text(&marks[2], color, row == 0);
                    }
                }
            }
            let numbers = values.iter().map(|values| Sample::Numbers(crate::drift::sample::Numbers::of_values(values)));
            let samples: Vec<Sample<'_>> = numbers.chain([Sample::Categories(colors)]).collect();
            alarms += u32::from(watch.window(&samples, blocks).is_some());
        }
        alarms
    };
    let (blind, seeing) = (ring(false, &mut dice), ring(true, &mut dice));
    assert!(blind > 50, "rows of which nobody knows that they are alike ring {blind} times");
    assert!(seeing <= 3, "three in 300 windows is the budget, and it rang {seeing} times");
}
