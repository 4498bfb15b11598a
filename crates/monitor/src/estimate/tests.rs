use super::*;
use crate::dice::Dice;
use crate::labels::Calls;
use crate::quality::{Left, Sample};

/// A bell of mean 0 and deviation 1.
fn bell(dice: &mut Dice) -> f64 {
    (0..12).map(|_| dice.unit()).sum::<f64>() - 6.0
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

fn outcomes(problem: ProblemType, rows: usize) -> Outcomes {
    Outcomes {
        problem,
        classes: vec!["0".into(), "1".into()],
        predicted: Vec::with_capacity(rows),
        actual: Vec::with_capacity(rows),
        scores: None,
        segments: Vec::new(),
        left: Left::default(),
        calls: Calls::default(),
        features: FeatureRows::new(&["x".to_owned(), "prediction".to_owned()], None),
    }
}

/// A classifier with overconfident scores on inputs around `centre`; `flipped` inputs mean the other label.
fn classifier(rows: usize, centre: f64, flipped: f64, seed: u64) -> Outcomes {
    let mut dice = Dice::new(seed, 0);
    let mut found = outcomes(ProblemType::BinaryClassification, rows);
    let mut scores = Vec::new();
    for _ in 0..rows {
        let x = centre + bell(&mut dice);
        let mut positive = dice.unit() < sigmoid(1.5 * x);
        if dice.unit() < flipped {
            positive = !positive;
        }
        let score = sigmoid(4.0 * x);
        scores.push(score);
        found.predicted.push(f64::from(u8::from(score >= 0.5)));
        found.actual.push(f64::from(u8::from(positive)));
    }
    found.scores = Some(scores);
    found
}

fn without_labels(mut outcomes: Outcomes) -> Outcomes {
    outcomes.actual.fill(f64::NAN);
    outcomes
}

fn value(sample: &Sample, name: &str) -> f64 {
    sample.metrics(0).iter().find(|metric| metric.name == name).unwrap().value
}

#[test]
fn a_shift_of_inputs_is_foreseen_without_a_single_label() {
    let baseline = classifier(20_000, 0.0, 0.0, 1);
    let estimator = Estimator::learn(&baseline).unwrap();
    // Closer to the boundary on one side: harder rows, and more of one class.
    let now = classifier(20_000, 0.8, 0.0, 2);
    let realized = now.sample();
    let report = estimator.estimate(&without_labels(now), &[]).unwrap();
    let mut moved: f64 = 0.0;
    for estimate in &report.estimates {
        let truth = value(&realized, estimate.metric);
        assert!((estimate.value - truth).abs() < 0.02, "{estimate:?} but {truth}");
        assert!(estimate.on_labelled_rows.is_none() && estimate.realized.is_none());
        moved = moved.max((truth - value(&baseline.sample(), estimate.metric)).abs());
    }
    assert!(moved > 0.1, "the shift does change the metrics: {moved}");
    assert_eq!((report.rows, report.learned_from), (20_000, 20_000));
}

#[test]
fn concept_drift_is_not_foreseen_as_the_limits_say() {
    let estimator = Estimator::learn(&classifier(20_000, 0.0, 0.0, 1)).unwrap();
    let now = classifier(20_000, 0.0, 0.3, 2);
    let metrics = now.sample().metrics(0);
    let report = estimator.estimate(&now, &metrics).unwrap();
    let accuracy = &report.estimates[0];
    assert!(accuracy.value - accuracy.realized.unwrap() > 0.1, "{accuracy:?}");
    assert_eq!(accuracy.on_labelled_rows, Some(accuracy.value), "all rows are labelled");
    assert!(report.limits[0].contains("concept drift"));
}

#[test]
fn intervals_cover_what_labels_bring_nineteen_times_of_twenty() {
    let estimator = Estimator::learn(&classifier(50_000, 0.0, 0.0, 1)).unwrap();
    let mut covered = [0; 5];
    for seed in 0..200 {
        let now = classifier(500, 0.0, 0.0, 100 + seed);
        let realized = now.sample();
        let report = estimator.estimate(&without_labels(now), &[]).unwrap();
        for (covered, estimate) in covered.iter_mut().zip(&report.estimates) {
            let truth = value(&realized, estimate.metric);
            *covered += u32::from((estimate.low..=estimate.high).contains(&truth));
        }
        assert!(report.estimates[5].low.is_nan(), "that of the area is not known");
    }
    assert!(covered.iter().all(|&times| (180..=200).contains(&times)), "{covered:?} of 200");
}

/// A regression model whose errors grow with `x`, on inputs from `low` to `low + 1`.
fn regression(rows: usize, low: f64, seed: u64) -> Outcomes {
    let mut dice = Dice::new(seed, 0);
    let mut found = outcomes(ProblemType::Regression, rows);
    let mut features = Vec::new();
    for row in 0..rows {
        let x = low + dice.unit();
        let prediction = 3.0 * x;
        features.push(Features { row, values: [x, prediction].into() });
        found.predicted.push(prediction);
        found.actual.push(prediction + bell(&mut dice) * (0.2 + x * x));
    }
    found.features.rows = features.into_iter().take(MAX_FEATURE_ROWS).collect();
    found
}

#[test]
fn losses_are_foreseen_where_rows_become_harder() {
    let baseline = regression(6_000, 0.0, 1);
    let estimator = Estimator::learn(&baseline).unwrap();
    let estimator: Estimator = serde_json::from_str(&serde_json::to_string(&estimator).unwrap()).unwrap();
    let now = regression(5_000, 0.5, 2);
    let inside = (0..5_000).filter(|&row| now.features.rows[row].values[0] <= 1.0).collect::<Vec<_>>();
    let now = Outcomes {
        predicted: inside.iter().map(|&row| now.predicted[row]).collect(),
        actual: inside.iter().map(|&row| now.actual[row]).collect(),
        features: FeatureRows {
            rows: inside
                .iter()
                .enumerate()
                .map(|(row, &from)| Features { row, values: now.features.rows[from].values.clone() })
                .collect(),
            ..now.features.clone()
        },
        ..now
    };
    let truth = now.sample();
    let report = estimator.estimate(&without_labels(now), &[]).unwrap();
    for (estimate, tolerance) in report.estimates.iter().zip([0.06, 0.12, 0.06]) {
        let truth = value(&truth, estimate.metric);
        assert!((estimate.value / truth - 1.0).abs() < tolerance, "{estimate:?} but {truth}");
    }
    assert!(value(&baseline.sample(), "mae") < 0.75 * report.estimates[0].value, "the baseline's own would mislead");
    assert!(report.beyond_baseline < 0.01, "{}", report.beyond_baseline);
    let far = estimator.estimate(&without_labels(regression(1_000, 5.0, 3)), &[]).unwrap();
    assert_eq!(far.beyond_baseline, 1.0, "and rows like nothing before are said to be so");
}

#[test]
fn too_little_to_learn_from_and_other_problems_are_refused() {
    let few = classifier(MIN_ROWS_TO_LEARN - 1, 0.0, 0.0, 1);
    assert!(Estimator::learn(&few).unwrap_err().contains("too few"));
    let mut blind = classifier(1_000, 0.0, 0.0, 1);
    blind.scores = None;
    assert!(Estimator::learn(&blind).unwrap_err().contains("without a probability"));
    let estimator = Estimator::learn(&classifier(1_000, 0.0, 0.0, 1)).unwrap();
    assert!(estimator.estimate(&regression(1_000, 0.0, 1), &[]).unwrap_err().contains("another problem"));
    assert!(estimator.estimate(&blind, &[]).unwrap_err().contains("no probabilities"));
    let other = Estimator::learn(&regression(1_000, 0.0, 1)).unwrap();
    let mut narrow = regression(10, 0.0, 1);
    narrow.features.names = vec!["y".into()];
    assert!(other.estimate(&narrow, &[]).unwrap_err().contains("no name in common"));
}

#[test]
fn several_classes_have_the_accuracy_that_confidence_promises() {
    let rows: Vec<Confidence> = [0.9, 0.8, 0.7]
        .iter()
        .map(|&probability| Confidence { score: probability, probability, predicted_positive: false })
        .collect();
    let [accuracy] = of_multiclass(&rows)[..] else { panic!("one metric") };
    assert!((accuracy.value - 0.8).abs() < 1e-12);
    assert!((accuracy.standard_error - (0.09_f64 + 0.16 + 0.21).sqrt() / 3.0).abs() < 1e-12);
}

#[test]
fn a_damaged_estimator_is_refused_before_it_is_used() {
    let now = classifier(1_000, 0.0, 0.0, 1);
    let sound = serde_json::to_value(Estimator::learn(&now).unwrap()).unwrap();
    for (member, value) in [
        ("probabilities", serde_json::json!([])),
        ("scores", serde_json::json!([])),
        ("probabilities", serde_json::json!([7.0])),
    ] {
        let mut damaged = sound.clone();
        damaged["calibration"][member] = value;
        let estimator: Estimator = serde_json::from_value(damaged).unwrap();
        assert!(estimator.estimate(&now, &[]).unwrap_err().contains("damaged"));
    }
}
