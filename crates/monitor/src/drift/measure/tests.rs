//! Measures against SciPy, and their laws against what chance does.

use std::collections::BTreeMap;

use super::*;
use crate::dice::Dice;
use crate::drift::reference::{list, references};

fn numbers(values: &[f64]) -> Sample<'static> {
    Sample::Numbers(Numbers::of_values(values))
}

fn of(measured: &[Measured], measure: Measure) -> &Measured {
    measured.iter().find(|one| one.measure == measure).unwrap()
}

fn close(found: f64, expected: f64) -> bool {
    (found - expected).abs() <= 1e-9 * expected.abs().max(1e-3)
}

fn assert_over_cells(measured: &[Measured], expected: &serde_json::Value) {
    let number = |name: &str| expected[name].as_f64().unwrap();
    assert!(close(of(measured, Measure::PopulationStability).value, number("psi")), "{measured:?}");
    assert!(close(of(measured, Measure::JensenShannon).value, number("jensen_shannon")), "{measured:?}");
    let chi_square = of(measured, Measure::ChiSquare);
    assert!(close(chi_square.value, number("chi_square")), "{chi_square:?}");
    assert!((chi_square.p_value / number("chi_square_p") - 1.0).abs() < 1e-8, "{chi_square:?}");
}

#[test]
fn measures_of_numbers_match_scipy() {
    for expected in references()["samples"].as_array().unwrap() {
        let [then, now] = ["reference", "current"].map(|side| list(&expected[side]));
        let measured = measured(&numbers(&then), &numbers(&now), 0.95);
        let ks = of(&measured, Measure::KolmogorovSmirnov);
        assert!(close(ks.value, expected["ks"].as_f64().unwrap()));
        // Beyond 100,000 lattice steps the limit stands in, which is a little cautious.
        let p_value = expected["ks_p"].as_f64().unwrap();
        let steps = then.len() * now.len();
        assert!(
            (ks.p_value / p_value - 1.0).abs() < if steps > 100_000 { 0.2 } else { 1e-6 },
            "{} {p_value}",
            ks.p_value
        );
        assert!(close(of(&measured, Measure::Wasserstein).value, expected["wasserstein"].as_f64().unwrap()));
        assert_over_cells(&measured, expected);
    }
}

#[test]
fn measures_of_categories_match_scipy() {
    for expected in references()["categories"].as_array().unwrap() {
        let [then, now] = ["reference", "current"].map(|side| list(&expected[side]));
        let names = ["a", "b", "c", "d"];
        let counts = |side: &[f64]| Sample::Categories(names.into_iter().zip(side.iter().map(|&x| x as u64)).collect());
        let measured = measured(&counts(&then), &counts(&now), 0.95);
        assert!(close(measured[0].value, expected["l_infinity"].as_f64().unwrap()), "{:?}", measured[0]);
        assert_over_cells(&measured, expected);
    }
}

#[test]
fn the_law_of_the_area_is_that_of_simulated_samples() {
    for row in references()["areas"].as_array().unwrap() {
        let [n, m, mean, worst] = [1, 2, 3, 4].map(|i| row[i].as_f64().unwrap());
        let mut dice = Dice::seeded(11);
        let mut draw = |rows: f64| -> Vec<f64> {
            (0..rows as usize)
                .map(|_| match row[0].as_str().unwrap() {
                    "normal" => dice.normal(),
                    "exponential" => -(1.0 - dice.unit()).ln(),
                    _ => dice.unit(),
                })
                .collect()
        };
        let noise = Noise::between(&Numbers::of_values(&draw(n)), &Numbers::of_values(&draw(m)), 1.0);
        assert!((noise.mean() / mean - 1.0).abs() < 0.12, "{row}: {}", noise.mean());
        assert!((noise.quantile(0.05) / worst - 1.0).abs() < 0.12, "{row}: {}", noise.quantile(0.05));
    }
}

#[test]
fn equal_samples_have_no_distance_and_far_ones_the_largest() {
    let near = numbers(&(0..500).map(f64::from).collect::<Vec<_>>());
    for one in measured(&near, &near, 0.95) {
        assert_eq!((one.value, one.p_value), (0.0, 1.0), "{one:?}");
        assert!(one.interval.is_none_or(|[low, high]| low == 0.0 && high > 0.0), "{one:?}");
    }
    let far = numbers(&(0..500).map(|i| f64::from(i) + 1e6).collect::<Vec<_>>());
    let apart = measured(&near, &far, 0.95);
    assert_eq!((apart[0].value, of(&apart, Measure::JensenShannon).value > 0.8), (1.0, true));
    assert!(apart.iter().all(|one| one.p_value < 1e-12), "{apart:?}");
    let [a, b] = [("a", 400), ("b", 400)].map(|count| Sample::Categories(BTreeMap::from([count])));
    let swapped = measured(&a, &b, 0.95);
    assert!((swapped[0].value - 1.0).abs() < 1e-12 && swapped[0].interval.unwrap()[0] > 0.97, "{swapped:?}");
}

#[test]
fn a_tolerance_is_only_exceeded_by_what_is_beyond_it() {
    let mut dice = Dice::seeded(3);
    let then: Vec<f64> = (0..4000).map(|_| dice.normal()).collect();
    let now: Vec<f64> = (0..4000).map(|_| dice.normal() + 0.2).collect();
    for one in measured(&numbers(&then), &numbers(&now), 0.95) {
        let Some([low, high]) = one.interval else { continue };
        assert!(low <= one.value && one.value <= high, "{one:?}");
        assert!(one.p_value < 1e-6 && one.p_beyond(low * 0.9) < 0.05 && one.p_beyond(high) > 0.5, "{one:?}");
    }
}

#[test]
fn what_cannot_be_measured_is_not() {
    let flat = numbers(&[4.0; 60]);
    assert!(measured(&flat, &flat, 0.95).iter().all(|one| one.measure != Measure::Wasserstein && one.p_value == 1.0));
    assert!(measured(&flat, &numbers(&[]), 0.95).is_empty());
    assert!(measured(&flat, &Sample::Categories(BTreeMap::from([("a", 3)])), 0.95).is_empty());
    let one = Sample::Categories(BTreeMap::from([("a", 80)]));
    assert!(measured(&one, &one, 0.95).iter().all(|one| one.p_value == 1.0));
}

#[test]
fn one_row_of_a_new_value_is_no_certainty() {
    let then = Sample::Categories(BTreeMap::from([("a", 6000), ("b", 4000)]));
    let now = Sample::Categories(BTreeMap::from([("a", 121), ("b", 78), ("c", 1)]));
    assert!(measured(&then, &now, 0.95).iter().all(|one| one.p_value > 0.05));
}
