use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn references() -> Value {
    serde_json::from_str(include_str!("../../tests/data/quality_references.json")).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|item| item.as_f64().unwrap()).collect()
}

fn classes(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|item| item.as_u64().unwrap() as u32).collect()
}

fn flags(value: &Value) -> Vec<bool> {
    classes(value).into_iter().map(|class| class == 1).collect()
}

#[track_caller]
fn close(found: f64, expected: f64, what: &str) {
    let tolerance = 1e-12 * expected.abs().max(1.0);
    assert!((found - expected).abs() <= tolerance, "{what}: {found} is not {expected}");
}

#[track_caller]
fn all_close(sample: &Sample, expected: &Value, what: &str) {
    let metrics = sample.metrics(0);
    let expected = expected.as_object().unwrap();
    assert_eq!(metrics.len(), expected.len(), "{what}");
    for metric in metrics {
        close(metric.value, expected[metric.name].as_f64().unwrap(), &format!("{what}: {}", metric.name));
    }
}

fn binary(case: &Value) -> Sample {
    Sample::Binary(BinarySample {
        classes: ["0".into(), "1".into()],
        actual: flags(&case["actual"]),
        predicted: flags(&case["predicted"]),
        scores: Some(numbers(&case["scores"])),
    })
}

#[test]
fn binary_metrics_and_curves_are_those_of_scikit_learn() {
    for case in references()["binary"].as_array().unwrap() {
        let sample = binary(case);
        all_close(&sample, &case["metrics"], case["name"].as_str().unwrap());
        let Sample::Binary(inner) = &sample else { unreachable!("our bug: it is binary") };
        let rows = inner.scores.clone().unwrap().into_iter().zip(inner.actual.iter().copied()).collect();
        let curves = Curves::of(rows).unwrap();
        for (found, name) in [
            (&curves.false_positive_rates, "false_positive_rates"),
            (&curves.true_positive_rates, "true_positive_rates"),
            (&curves.precisions, "precisions"),
            (&curves.recalls, "recalls"),
        ] {
            let expected = numbers(&case["curves"][name]);
            assert_eq!(found.len(), expected.len(), "{name}");
            found.iter().zip(expected).for_each(|(&found, expected)| close(found, expected, name));
        }
    }
}

#[test]
fn multiclass_metrics_are_those_of_scikit_learn() {
    for case in references()["multiclass"].as_array().unwrap() {
        let sample = Sample::Multiclass(MulticlassSample {
            classes: (0..case["classes"].as_u64().unwrap()).map(|class| class.to_string()).collect(),
            actual: classes(&case["actual"]),
            predicted: classes(&case["predicted"]),
        });
        all_close(&sample, &case["metrics"], "multiclass");
    }
}

#[test]
fn regression_metrics_are_those_of_scikit_learn() {
    let references = references();
    let case = &references["regression"];
    let sample = Sample::Regression(RegressionSample {
        actual: numbers(&case["actual"]),
        predicted: numbers(&case["predicted"]),
    });
    all_close(&sample, &case["metrics"], "regression");
}

/// The example in AWS's documentation of the metrics (its best constant classifier is another one).
#[test]
fn the_documented_multiclass_example_comes_out() {
    let cells = [(0, 0, 1180), (0, 1, 510), (1, 0, 268), (1, 1, 138)];
    let rows = || cells.iter().flat_map(|&(actual, predicted, n)| std::iter::repeat_n((actual, predicted), n));
    let sample = Sample::Multiclass(MulticlassSample {
        classes: vec!["0".into(), "1".into()],
        actual: rows().map(|row| row.0).collect(),
        predicted: rows().map(|row| row.1).collect(),
    });
    let expected = [
        ("accuracy", 0.628_816_793_893_129_7),
        ("weighted_recall", 0.628_816_793_893_129_7),
        ("weighted_precision", 0.698_317_226_962_950_5),
        ("weighted_f0_5", 0.680_394_731_717_877_1),
        ("weighted_f1", 0.657_116_234_666_490_4),
        ("weighted_f2", 0.638_402_435_439_460_1),
    ];
    for (metric, (name, value)) in sample.metrics(0).iter().zip(expected) {
        assert_eq!(metric.name, name);
        close(metric.value, value, name);
        assert!(metric.standard_deviation > 0.0 && metric.standard_deviation < 0.02, "{metric:?}");
    }
    let text = crate::artefact::jackson(&QualityStatistics::of(&sample, &sample.metrics(0), When::default()));
    let head = "{\n  \"version\" : 0.0,\n  \"dataset\" : {\n    \"item_count\" : 2096\n  },\n  \
                \"multiclass_classification_metrics\" : {\n    \"confusion_matrix\" : {\n      \"0\" : {\n        \
                \"0\" : 1180,\n        \"1\" : 510\n      },\n      \"1\" : {\n        \"0\" : 268,\n        \"1\" : \
                138\n      }\n    },\n    \"accuracy\" : {\n      \"value\" : 0.6288167938931297,\n";
    assert!(text.starts_with(head), "{text}");
}

/// Four rows, as in AWS's documentation of the binary metrics.
#[test]
fn the_documented_binary_example_has_its_members_in_their_order() {
    let sample = Sample::Binary(BinarySample {
        classes: ["0".into(), "1".into()],
        actual: vec![false, false, false, true],
        predicted: vec![false, true, true, true],
        scores: Some(vec![0.1, 0.6, 0.7, 0.9]),
    });
    let statistics = QualityStatistics::of(&sample, &sample.metrics(0), When::default());
    let names: Vec<&str> = statistics.entries.iter().map(|entry| entry.0).collect();
    assert_eq!(
        names,
        [
            "confusion_matrix",
            "recall",
            "precision",
            "accuracy",
            "recall_best_constant_classifier",
            "precision_best_constant_classifier",
            "accuracy_best_constant_classifier",
            "true_positive_rate",
            "true_negative_rate",
            "false_positive_rate",
            "false_negative_rate",
            "receiver_operating_characteristic_curve",
            "precision_recall_curve",
            "auc",
            "f0_5",
            "f1",
            "f2",
            "f0_5_best_constant_classifier",
            "f1_best_constant_classifier",
            "f2_best_constant_classifier",
        ]
    );
    let file = serde_json::to_value(&statistics).unwrap();
    let metrics = &file["binary_classification_metrics"];
    assert_eq!(metrics["confusion_matrix"]["0"]["1"], 2, "right class first, predicted class inside");
    assert_eq!(metrics["precision"]["value"], 1.0 / 3.0);
    assert_eq!(metrics["f0_5"]["value"], 0.384_615_384_615_384_6);
    assert_eq!(metrics["f2"]["value"], 0.714_285_714_285_714_3);
    assert_eq!(metrics["auc"]["standard_deviation"], "NaN", "as text, below 200 rows");
}

#[test]
fn what_has_no_meaning_is_nan_and_not_a_number_that_looks_good() {
    let sample = Sample::Binary(BinarySample {
        classes: ["0".into(), "1".into()],
        actual: vec![false, false],
        predicted: vec![false, true],
        scores: Some(vec![0.1, 0.9]),
    });
    let metrics = sample.metrics(0);
    let value = |name: &str| metrics.iter().find(|metric| metric.name == name).unwrap().value;
    assert!(value("recall").is_nan() && value("auc").is_nan() && value("false_negative_rate").is_nan());
    assert_eq!((value("precision"), value("accuracy"), value("true_negative_rate")), (0.0, 0.5, 0.5));
    let flat = Sample::Regression(RegressionSample { actual: vec![2.0, 2.0], predicted: vec![1.0, 3.0] });
    assert!(flat.metrics(0)[3].value.is_nan(), "nothing to explain");
    let none = Sample::Regression(RegressionSample::default());
    assert!(none.metrics(0).iter().all(|metric| metric.value.is_nan()));
}

#[test]
fn deviations_come_from_the_seed() {
    let references = references();
    let sample = binary(&references["binary"][0]);
    let deviation = |seed| sample.metrics(seed)[2].standard_deviation;
    assert_eq!(deviation(1), deviation(1));
    assert_ne!(deviation(1), deviation(2));
}

proptest! {
    #[test]
    fn the_area_does_not_depend_on_the_order_and_turns_over_with_the_scores(
        rows in prop::collection::vec((0_u8..20, any::<bool>()), 2..200),
    ) {
        let rows: Vec<(f64, bool)> = rows.into_iter().map(|(score, actual)| (f64::from(score), actual)).collect();
        let area = area_under_curve(rows.clone());
        let reversed = area_under_curve(rows.iter().rev().copied().collect());
        prop_assert!(area.is_nan() && reversed.is_nan() || area == reversed);
        let negated = area_under_curve(rows.iter().map(|&(score, actual)| (-score, actual)).collect());
        prop_assert!(area.is_nan() || (area + negated - 1.0).abs() < 1e-12);
        if let Some(curves) = Curves::of(rows) {
            let steps = curves.false_positive_rates.windows(2).zip(curves.true_positive_rates.windows(2));
            let trapezoids: f64 = steps.map(|(x, y)| (x[1] - x[0]) * (y[0] + y[1]) / 2.0).sum();
            prop_assert!((trapezoids - area).abs() < 1e-9);
        }
    }

    #[test]
    fn long_curves_are_thinned_and_keep_their_ends(rows in 1_001_usize..2_500) {
        let rows: Vec<(f64, bool)> = (0..rows).map(|row| (row as f64, row % 3 == 0)).collect();
        let curves = Curves::of(rows).unwrap();
        prop_assert_eq!(curves.true_positive_rates.len(), curves::MAX_CURVE_POINTS);
        prop_assert_eq!((curves.true_positive_rates[0], *curves.true_positive_rates.last().unwrap()), (0.0, 1.0));
        prop_assert_eq!(*curves.recalls.last().unwrap(), 1.0);
    }
}
