use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn references() -> Value {
    serde_json::from_str(include_str!("../../tests/data/calibration_references.json")).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|item| item.as_f64().unwrap()).collect()
}

fn of(case: &Value) -> Vec<Forecast> {
    let outcomes = numbers(&case["came_true"]);
    let pairs = numbers(&case["probabilities"]).into_iter().zip(outcomes);
    pairs.map(|(probability, outcome)| Forecast { probability, came_true: outcome == 1.0 }).collect()
}

#[track_caller]
fn close(found: f64, expected: f64, what: &str) {
    assert!((found - expected).abs() <= 1e-12, "{what}: {found} is not {expected}");
}

#[test]
fn bins_errors_and_brier_scores_are_those_of_the_references() {
    for case in references()["cases"].as_array().unwrap() {
        let calibration = Calibration::of(&of(case)).unwrap();
        for (diagram, name) in [(&calibration.equal_width, "equal_width"), (&calibration.equal_mass, "equal_mass")] {
            let expected = &case[name];
            let bins = expected["bins"].as_array().unwrap();
            assert_eq!(diagram.bins.len(), bins.len(), "{name}");
            for (bin, expected) in diagram.bins.iter().zip(bins) {
                assert_eq!(bin.rows, expected["rows"].as_u64().unwrap(), "{name}");
                close(bin.mean_probability, expected["mean"].as_f64().unwrap(), name);
                close(bin.observed, expected["observed"].as_f64().unwrap(), name);
                let interval = numbers(&expected["wilson"]);
                close(bin.interval[0], interval[0], name);
                close(bin.interval[1], interval[1], name);
            }
            close(diagram.expected_error, expected["ece"].as_f64().unwrap(), name);
            close(diagram.maximum_error, expected["mce"].as_f64().unwrap(), name);
        }
        close(calibration.brier.score, case["brier"].as_f64().unwrap(), "brier");
    }
}

#[test]
fn the_isotonic_fit_is_that_of_scikit_learn() {
    for case in references()["cases"].as_array().unwrap() {
        let isotonic = Isotonic::fit(&of(case)).unwrap();
        let expected = numbers(&case["isotonic"]["probabilities"]);
        for (score, expected) in numbers(&case["isotonic"]["scores"]).into_iter().zip(expected) {
            close(isotonic.probability(score), expected, &format!("at {score}"));
        }
    }
}

#[test]
fn a_perfect_forecaster_has_no_error_and_few_rows_are_no_answer() {
    let forecasts: Vec<Forecast> =
        (0..1000).map(|row| Forecast { probability: 0.3, came_true: row % 10 < 3 }).collect();
    let calibration = Calibration::of(&forecasts).unwrap();
    assert!(calibration.equal_width.expected_error < 1e-12 && calibration.brier.reliability < 1e-12);
    assert_eq!(calibration.equal_mass.bins.len(), 1, "equal forecasts are not parted");
    assert!(Calibration::of(&forecasts[..MIN_ROWS - 1]).is_none());
}

proptest! {
    #[test]
    fn the_parts_of_the_brier_score_add_up(rows in prop::collection::vec((0.0_f64..=1.0, any::<bool>()), 100..300)) {
        let forecasts: Vec<Forecast> =
            rows.iter().map(|&(probability, came_true)| Forecast { probability, came_true }).collect();
        let Calibration { brier, equal_width, equal_mass, .. } = Calibration::of(&forecasts).unwrap();
        let sum = brier.reliability - brier.resolution + brier.uncertainty + brier.within_bins;
        prop_assert!((sum - brier.score).abs() < 1e-12);
        // What differs inside bins is their variance less twice the covariance with the outcomes.
        let mut within = 0.0;
        for bin in &equal_width.bins {
            for forecast in forecasts.iter().filter(|f| {
                f.probability <= bin.upper && (f.probability > bin.lower || bin.lower == 0.0)
            }) {
                let off = forecast.probability - bin.mean_probability;
                let outcome = f64::from(u8::from(forecast.came_true)) - bin.observed;
                within += off * off - 2.0 * off * outcome;
            }
        }
        prop_assert!((within / forecasts.len() as f64 - brier.within_bins).abs() < 1e-9);
        for diagram in [&equal_width, &equal_mass] {
            prop_assert_eq!(diagram.bins.iter().map(|bin| bin.rows).sum::<u64>(), forecasts.len() as u64);
            prop_assert!(diagram.expected_error <= diagram.maximum_error + 1e-12);
        }
    }

    #[test]
    fn the_isotonic_fit_never_decreases_and_keeps_the_mean(
        rows in prop::collection::vec((0_u8..30, any::<bool>()), 1..200),
    ) {
        let forecasts: Vec<Forecast> = rows
            .iter()
            .map(|&(score, came_true)| Forecast { probability: f64::from(score) / 30.0, came_true })
            .collect();
        let isotonic = Isotonic::fit(&forecasts).unwrap();
        let steps: Vec<f64> = (0..=100).map(|step| isotonic.probability(f64::from(step) / 100.0)).collect();
        prop_assert!(steps.windows(2).all(|pair| pair[0] <= pair[1] + 1e-12));
        prop_assert!(steps.iter().all(|probability| (0.0..=1.0).contains(probability)));
        let fitted: f64 = forecasts.iter().map(|forecast| isotonic.probability(forecast.probability)).sum();
        let observed = forecasts.iter().filter(|forecast| forecast.came_true).count() as f64;
        prop_assert!((fitted - observed).abs() < 1e-6);
    }
}
