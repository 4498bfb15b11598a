//! Windows of which it is known whether anything changed.

use super::*;
use crate::dataset::{Columns, Header, Plan, Reader};
use crate::drift::compare::Reference;
use crate::drift::dice::Dice;
use crate::profile::DatasetProfile;

fn profile(rows: usize, shift: f64, blue: f64, dice: &mut Dice) -> DatasetProfile {
    let csv: String = (0..rows)
        .map(|_| {
            let color = if dice.uniform() < blue { "blue" } else { "red" };
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
    let mut dice = Dice::new(5);
    let then = profile(10_000, 0.0, 0.3, &mut dice);
    let reference = Reference::Profile(&then);
    let mut watch = Watch::new(&reference.columns(), 0.0, 720.0);
    assert_eq!(watch.names().collect::<Vec<_>>(), ["a", "b", "c"]);
    let mut alarm = None;
    for window in 0..160 {
        let shift = if window < 60 { 0.0 } else { 0.35 };
        let now = profile(90, shift, 0.3, &mut dice);
        alarm = alarm.or_else(|| watch.window(&samples(&now)));
        assert!(window >= 60 || alarm.is_none(), "{window}");
    }
    let alarm = alarm.expect("the shift is found");
    assert_eq!(alarm.columns.iter().map(|column| column.feature.as_str()).collect::<Vec<_>>(), ["a"]);
    assert!((57..=66).contains(&alarm.columns[0].since), "{alarm:?}");
    assert!(alarm.window > 61 && alarm.columns[0].evidence >= 720.0 * 3.0, "{alarm:?}");
}

#[test]
fn categories_and_new_values_ring_and_small_windows_say_nothing() {
    let mut dice = Dice::new(6);
    let then = profile(20_000, 0.0, 0.3, &mut dice);
    let reference = Reference::Profile(&then);
    let mut watch = Watch::new(&reference.columns(), 0.05, 720.0);
    assert_eq!(watch.window(&samples(&profile(20, 9.0, 1.0, &mut dice))), None);
    let alarm = watch.window(&samples(&profile(2_000, 0.0, 0.6, &mut dice))).expect("twice the share is seen");
    assert_eq!((alarm.window, alarm.columns[0].feature.as_str(), alarm.columns[0].since), (1, "c", 1));
    assert_eq!(watch.window(&samples(&profile(2_000, 0.0, 0.3, &mut dice))), None, "everything starts anew");
}

#[test]
fn what_is_within_the_tolerance_never_rings() {
    let mut dice = Dice::new(7);
    let then = profile(10_000, 0.0, 0.3, &mut dice);
    let reference = Reference::Profile(&then);
    let mut watch = Watch::new(&reference.columns(), 0.1, 50.0);
    for _ in 0..200 {
        // A shift of 0.2 deviations is a distance of 0.08.
        assert_eq!(watch.window(&samples(&profile(400, 0.2, 0.35, &mut dice))), None);
    }
}
