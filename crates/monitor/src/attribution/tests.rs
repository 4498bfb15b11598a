//! Against Shapley values from their definition and scikit-learn's rankings (`tests/data/make_attribution_references.py`).

use captura_attribution::record::{Feature, Record};
use serde_json::{Value, json};

use super::*;

fn references() -> Value {
    let path = format!("{}/tests/data/attribution_references.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

fn records(value: &Value) -> Vec<Record> {
    let cell = |number: &f64| Feature::Cell(number.to_string().into());
    value.as_array().unwrap().iter().map(|row| numbers(row).iter().map(cell).collect()).collect()
}

/// The function of the references.
fn tangle(x: &[f64]) -> Vec<f64> {
    let [a, b, c, d, e] = x else { panic!("five features") };
    vec![a * b + 2.0 * c - d * d, 1.0 / (1.0 + (-(a - b * e + 0.5 * d.abs())).exp())]
}

/// Explains rows with requests of so many questions; what was answered to each is what the function says.
fn explained(
    rows: &[Record],
    baseline: &[Record],
    settings: Settings,
    per_request: usize,
    of: fn(&[f64]) -> Vec<f64>,
) -> (Vec<f64>, Vec<Explained>) {
    let wording = Wording::of(&Predictor::default(), &[]).unwrap();
    let mut explaining = Explaining::new(rows, baseline, &wording, settings);
    while let Some((body, count)) = explaining.request(per_request, 1 << 20).unwrap() {
        let text = String::from_utf8(body).unwrap();
        let row = |line: &str| of(&line.split(',').map(|cell| cell.parse().unwrap()).collect::<Vec<_>>());
        let answers: Vec<Vec<f64>> = text.lines().map(row).collect();
        assert_eq!(answers.len(), count);
        explaining.take(&answers).unwrap();
    }
    explaining.finish()
}

#[test]
fn with_every_subset_attributions_are_shapleys_whatever_the_size_of_requests() {
    let reference = &references()["shapley"];
    let (rows, baseline) = (records(&reference["rows"]), records(&reference["baseline"]));
    let settings = Settings { samples: usize::MAX, seed: 0, use_logit: false };
    let (expected, found) = explained(&rows, &baseline, settings, 500, tangle);
    assert_eq!((expected.len(), found.len()), (2, 6));
    for (one, values) in found.iter().zip(reference["values"].as_array().unwrap()) {
        let exact: Vec<f64> = values.as_array().unwrap().iter().flat_map(numbers).collect();
        assert!(one.added.iter().zip(&exact).all(|(one, exact)| (one - exact).abs() < 1e-9), "{one:?} {exact:?}");
        assert_eq!(one.deviations, Some(vec![0.0; 10]), "nothing was left to chance");
    }
    assert_eq!((expected, found), explained(&rows, &baseline, settings, 7, tangle));
}

#[test]
fn with_some_subsets_attributions_add_up_and_their_error_is_told() {
    let rows: Vec<Record> =
        (0..4).map(|row| (0..12).map(|f| Feature::Cell(format!("{}", row * f % 5).into())).collect()).collect();
    let baseline: Vec<Record> = vec![(0..12).map(|_| Feature::Cell("-1".into())).collect()];
    let of = |x: &[f64]| vec![x.windows(2).map(|pair| pair[0] * pair[1]).sum::<f64>() + x[0] * x[5] * x[11]];
    let settings = Settings { samples: 200, seed: 3, use_logit: false };
    let (expected, found) = explained(&rows, &baseline, settings, 64, of);
    for one in &found {
        let sum: f64 = one.added.iter().sum();
        assert!((sum + expected[0] - one.prediction[0]).abs() < 1e-9);
        assert!(one.deviations.as_ref().unwrap().iter().any(|&deviation| deviation > 0.0));
    }
}

#[test]
fn log_odds_are_explained_where_asked_for_and_of_probabilities_only() {
    let cell = |text: &str| vec![Feature::Cell(text.into()), Feature::Cell("1".into())];
    let settings = Settings { samples: usize::MAX, seed: 0, use_logit: true };
    let sigmoid = |x: &[f64]| vec![1.0 / (1.0 + (-x[0]).exp())];
    let (expected, found) = explained(&[cell("2")], &[cell("-1")], settings, 5, sigmoid);
    assert!((expected[0] + 1.0).abs() < 1e-12 && (found[0].added[0] - 3.0).abs() < 1e-12, "{found:?}");
    assert_eq!(found[0].added[1], 0.0, "what is as in the baseline adds nothing");
    let wording = Wording::of(&Predictor::default(), &[]).unwrap();
    let (rows, baseline) = ([cell("2")], [cell("-1")]);
    let refused = Explaining::new(&rows, &baseline, &wording, settings).take(&[vec![1.5]]).unwrap_err();
    assert!(refused.0.contains("use_logit"), "{refused}");
}

#[test]
fn a_budget_is_spread_over_rows_and_never_too_thin() {
    let budget = Budget { calls: 100, rows_per_call: 500, rows: 100, ..Budget::default() };
    assert_eq!(budget.samples(None, 8, 100, 1), 254, "every subset there is");
    assert_eq!(budget.samples(None, 30, 100, 1), 500, "as many as let every row be explained");
    assert_eq!(budget.samples(None, 30, 100, 10), 124, "but not so few that nothing would be known");
    assert_eq!(budget.samples(None, 30, 2, 1), 2_108);
    assert_eq!(budget.samples(Some(10), 30, 100, 1), 10);
}

fn asked(predictor: &Predictor, rows: &[Record]) -> String {
    let wording = Wording::of(predictor, &["a".into(), "b \"x\"".into()]).unwrap();
    let settings = Settings { samples: 1, seed: 0, use_logit: false };
    let (body, _) = Explaining::new(rows, rows, &wording, settings).request(2, 1 << 20).unwrap().unwrap();
    String::from_utf8(body).unwrap()
}

#[test]
fn requests_are_written_as_clarifys_templates_say() {
    let rows: Vec<Record> = vec![
        vec![Feature::Cell("1.50".into()), Feature::Json(json!("x,y"))],
        vec![Feature::Cell("".into()), Feature::Json(json!("z"))],
    ];
    let of = |content_type: &str, content: Option<&str>, record: Option<&str>| Predictor {
        content_type: Some(content_type.into()),
        content_template: content.map(str::to_owned),
        record_template: record.map(str::to_owned),
        ..Predictor::default()
    };
    assert_eq!(asked(&of("text/csv", None, None), &rows), "1.50,\"x,y\"\n,z");
    assert_eq!(
        asked(&of("application/jsonlines", None, None), &rows),
        "{\"features\":[1.50,\"x,y\"]}\n{\"features\":[null,\"z\"]}"
    );
    assert_eq!(asked(&of("application/json", None, None), &rows), r#"{"instances":[[1.50,"x,y"],[null,"z"]]}"#);
    let named = of("application/json", Some(r#"{"rows": $records}"#), Some(r#"{"f": $features_kvp}"#));
    assert_eq!(
        asked(&named, &rows[..1]),
        r#"{"rows": [{"f": {"a":1.50,"b \"x\"":"x,y"}},{"f": {"a":1.50,"b \"x\"":"x,y"}}]}"#
    );
    for (predictor, why) in [
        (of("application/json", Some("{}"), None), "$records"),
        (of("application/jsonlines", Some("{}"), None), "$features"),
        (of("image/png", None, None), "image/png"),
    ] {
        assert!(Wording::of(&predictor, &[]).unwrap_err().0.contains(why));
    }
}

#[test]
fn answers_are_read_where_the_configuration_says() {
    let numbers = |place: Option<&str>, content_type: &str, body: &str| {
        let predictor = Predictor { probability: place.map(str::to_owned), ..Predictor::default() };
        Wording::of(&predictor, &[]).unwrap().numbers(Some(content_type), body.as_bytes(), 2)
    };
    assert_eq!(numbers(None, "text/csv; charset=utf-8", "0.1\n0.2\n").unwrap(), [[0.1], [0.2]]);
    assert_eq!(numbers(Some("1"), "text/csv", "a,0.1\nb,0.2").unwrap(), [[0.1], [0.2]]);
    assert_eq!(
        numbers(Some("score"), "application/jsonlines", "{\"score\":1}\n{\"score\":[2]}").unwrap(),
        [[1.0], [2.0]]
    );
    let document = r#"{"predictions":[{"score":0.1},{"score":0.2}]}"#;
    assert_eq!(numbers(Some("predictions[*].score"), "application/json", document).unwrap(), [[0.1], [0.2]]);
    assert!(numbers(Some("nothing"), "application/json", document).unwrap_err().contains("nothing there"));
    assert!(numbers(None, "text/csv", "0.1").unwrap_err().contains("1 records to 2"));
}

#[test]
fn rankings_are_scored_as_scikit_learn_scores_them() {
    for case in references()["ndcg"].as_array().unwrap() {
        let found = ndcg(&numbers(&case["worth"]), &numbers(&case["scores"])).unwrap();
        assert!((found - case["ndcg"].as_f64().unwrap()).abs() < 1e-12, "{found} {case}");
    }
    assert_eq!(ndcg(&[0.0, 0.0], &[1.0, 2.0]), None);
    // The guide's example of a college: the ranking is turned round.
    assert!(ndcg(&[0.7, 0.5, 0.05], &[0.1, 0.2, 0.7]).unwrap() < NDCG_THRESHOLD);
}

/// Rows in which feature `f` adds about `means[f]`, give or take `noise`.
fn local(means: &[f64], rows: usize, noise: f64, seed: u64) -> LocalValues {
    let mut dice = crate::dice::Dice::new(seed, 9);
    let row = |_| means.iter().map(|mean| mean + noise * (dice.unit() - 0.5)).collect();
    LocalValues {
        features: (0..means.len()).map(|feature| format!("f{feature}")).collect(),
        labels: vec!["label0".into()],
        rows: (0..rows).map(row).collect(),
        deviations: None,
    }
}

fn baseline_of(means: &[f64]) -> Explanations {
    let values = means.iter().enumerate().map(|(feature, &mean)| (format!("f{feature}"), mean)).collect();
    let one = LabelExplanation { global_shap_values: Features(values), expected_value: 0.0 };
    Explanations { kernel_shap: Labels(vec![("label0".into(), one)]), ..Explanations::default() }
}

fn verdict(now: &LocalValues, before: &[f64], by_value: bool) -> AttributionDrift {
    let ranking = Ranking { aggregation: Aggregation::MeanAbs, threshold: NDCG_THRESHOLD, by_value, seed: 1 };
    drift(now, &baseline_of(before), None, &ranking).remove(0)
}

#[test]
fn a_ranking_has_drifted_is_stable_or_cannot_be_told() {
    let before = [1.0, 0.8, 0.1, 0.05];
    assert_eq!(verdict(&local(&before, 100, 0.1, 1), &before, false).verdict, AttributionVerdict::Stable);
    let turned = local(&[0.05, 0.1, 0.8, 1.0], 100, 0.1, 1);
    let drifted = verdict(&turned, &before, false);
    assert_eq!(drifted.verdict, AttributionVerdict::Drifted);
    let violations = AttributionViolations::of(std::slice::from_ref(&drifted), NDCG_THRESHOLD);
    let score = drifted.ndcg.unwrap();
    assert_eq!(
        serde_json::to_value(&violations).unwrap(),
        json!({"version": "1.0", "violations": [{"label": "label0", "metric_name": "shap",
            "constraint_check_type": "feature_attribution_drift_check",
            "description": format!("Feature attribution drift {score} exceeds threshold 0.9")}]})
    );
    let few = LocalValues { rows: turned.rows[..5].to_vec(), ..turned };
    let not_enough = verdict(&few, &before, false);
    assert_eq!(not_enough.verdict, AttributionVerdict::NotEnoughData);
    assert_eq!(verdict(&few, &before, true).verdict, AttributionVerdict::Drifted, "by value alone, as asked");
    let unknown = verdict(&few, &[0.0; 4], false);
    assert_eq!(unknown.verdict, AttributionVerdict::NotComparable);

    assert_eq!(untold(std::slice::from_ref(&drifted), 100), None);
    let said = untold(&[drifted, not_enough, unknown], 5).unwrap();
    assert!(said.contains("(label0): 5 rows were explained, and fewer than 30 are not judged."), "{said}");
    assert!(said.ends_with("The baseline has nothing to compare the ranking of features with (label0)."), "{said}");
}

#[test]
fn what_chance_turns_round_is_no_drift() {
    // One feature counts, and which of the others comes next is chance; then two that count alike, and far apart from a baseline.
    let now = local(&[0.5, 0.5], 40, 1.0, 5);
    let found = verdict(&now, &[1.0, 0.2], false);
    let [low, high] = found.interval.unwrap();
    assert!(low < NDCG_THRESHOLD && high >= NDCG_THRESHOLD, "{found:?}");
    assert_eq!(found.verdict, AttributionVerdict::NotEnoughData);
}

#[test]
fn global_values_are_aggregated_as_clarify_does_and_their_intervals_hold() {
    let rows = vec![vec![-1.0], vec![2.0], vec![4.0], vec![-3.0]];
    let local_values = LocalValues { features: vec!["f".into()], labels: vec!["y".into()], rows, deviations: None };
    let of = |aggregation| global(&local_values, aggregation, 0)[0][0].value;
    assert_eq!((of(Aggregation::MeanAbs), of(Aggregation::MeanSq), of(Aggregation::Median)), (2.5, 7.5, 0.5));
    let held = (0..200).filter(|&seed| {
        let found = global(&local(&[3.0], 60, 2.0, seed), Aggregation::MeanAbs, seed);
        let [low, high] = found[0][0].interval.unwrap();
        (low..=high).contains(&3.0)
    });
    let held = held.count();
    assert!((180..=200).contains(&held), "{held} of 200 intervals of 95 % held the mean");
}

#[test]
fn local_values_are_read_as_they_were_written() {
    let mut values = local(&[0.1, -0.25], 3, 1e-7, 1);
    values.features[0] = "with, comma".into();
    values.labels = vec!["a".into(), "b".into()];
    values.features = vec!["with, comma".into()];
    let text = values.csv();
    assert!(text.starts_with("\"with, comma_a\",\"with, comma_b\"\n"), "{text}");
    assert_eq!(LocalValues::read(&text, &values.features, &values.labels).unwrap(), values);
    assert_eq!(LocalValues::read(&text, &["other".into()], &values.labels), None);
}

#[test]
fn a_baseline_of_the_data_stands_for_its_groups() {
    let row = |number: f64, text: &str| vec![Feature::Cell(number.to_string().into()), Feature::Json(json!(text))];
    let rows: Vec<Record> = (0..60)
        .map(|i| if i % 3 == 0 { row(100.0 + f64::from(i % 2), "b") } else { row(f64::from(i % 2), "a") })
        .collect();
    let mut centres = clustered(&rows, 2, 4);
    centres.sort_by_key(|centre| centre[0].as_cell().len());
    assert_eq!(centres[0][1].as_cell(), "a");
    assert_eq!(centres[1][1].as_cell(), "b");
    assert!(centres.iter().all(|centre| centre[0].number().unwrap().fract() == 0.0), "whole as the data: {centres:?}");
    assert_eq!(clustered(&rows, 1, 0).len(), 1);
    assert_eq!(clustered(&rows[..1], 5, 0).len(), 1, "no more centres than different rows");
}

#[test]
fn configurations_are_clarifys_and_what_is_not_computed_is_refused() {
    let parsed = AttributionConfig::parse(&json!({
        "dataset_type": "text/csv", "headers": ["age", "y"], "label": "y",
        "methods": {"shap": {"baseline": [[40, "x", null]], "num_samples": 20, "agg_method": "mean_sq", "use_logit": true, "seed": 7},
            "report": {"name": "report"}},
        "predictor": {"endpoint_name": "e", "accept_type": "text/csv", "label": 0, "label_headers": ["p"]}
    }))
    .unwrap();
    assert_eq!((parsed.agg_method, parsed.num_samples, parsed.seed), (Aggregation::MeanSq, Some(20), 7));
    let ShapBaseline::Rows(rows) = &parsed.baseline else { panic!("{parsed:?}") };
    assert_eq!(rows[0].iter().map(Feature::as_cell).collect::<Vec<_>>(), ["40", "x", ""]);
    assert_eq!((parsed.predictor.label.as_deref(), parsed.label.as_deref()), (Some("0"), Some("y")));
    assert!(parsed.save_local_shap_values);
    for (shap, why) in [
        (json!({"shap": {"text_config": {"granularity": "token"}}}), "text_config"),
        (json!({"shap": {"agg_method": "sum"}}), "sum"),
        (json!({"shap": {"baseline": []}}), "without rows"),
        (json!({"pre_training_bias": {"methods": "all"}}), "no methods.shap"),
    ] {
        let error = AttributionConfig::parse(&json!({"methods": shap})).unwrap_err();
        assert!(error.0.contains(why), "{error}");
    }
}
