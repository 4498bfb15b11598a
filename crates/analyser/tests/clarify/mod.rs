//! Jobs of Clarify's image: bias of tables, and an endpoint that is asked.

use super::*;

#[tokio::test]
async fn clarify_measures_bias_of_a_table_with_predictions() {
    let folder = Folder::of(CLARIFY, &json!({}));
    let mut rows = String::new();
    for row in 0..400 {
        let _ = writeln!(rows, "{},{},{}", if row % 2 == 0 { "F" } else { "M" }, row % 3 % 2, u8::from(row % 4 == 1));
    }
    folder.put("/opt/ml/processing/input/data/loans.csv", &rows);
    let config = json!({"dataset_type": "text/csv", "headers": ["sex", "approved", "predicted"], "label": "approved",
        "label_values_or_threshold": [1], "facet": [{"name_or_index": "sex", "value_or_threshold": ["F"]}],
        "predicted_label": "predicted",
        "methods": {"report": {"name": "report"}, "pre_training_bias": {"methods": "all"}, "post_training_bias": {"methods": "all"}}});
    folder.put("/opt/ml/processing/input/config/analysis_config.json", &config.to_string());
    assert_eq!(folder.run().await, "Completed: SageMaker XAI Analyzer ran successfully");
    let analysis = folder.found("analysis.json");
    let metrics = analysis["post_training_bias_metrics"]["facets"]["sex"][0]["metrics"].as_array().unwrap().clone();
    let dppl = metrics.iter().find(|metric| metric["name"] == "DPPL").unwrap();
    assert_eq!(dppl["value"], 0.5, "no woman is predicted to be approved, and every second man");

    for (member, value, part) in [
        ("methods", json!({"asymmetric_shapley_value": {}}), "asks for asymmetric_shapley_value"),
        ("segment_config", json!([]), "has segment_config"),
        ("methods", json!({"shap": {}}), "names nobody to ask"),
        ("predicted_label_dataset_uri", json!("s3://b/k"), "predicted_label_dataset_uri leads to no file"),
        ("dataset_type", json!("application/x-image"), "reads text/csv"),
    ] {
        let mut wanted = config.clone();
        wanted[member] = value;
        folder.put("/opt/ml/processing/input/config/analysis_config.json", &wanted.to_string());
        let said = folder.run().await;
        assert!(said.starts_with("Error: ") && said.contains(part), "{said}");
    }
}

#[tokio::test]
async fn clarify_explains_an_endpoint_that_is_there_and_its_metrics_tell_of_every_feature() {
    let folder = Folder::of(CLARIFY, &json!({}));
    let rows: String = (0..60).fold(String::new(), |mut rows, row| {
        let _ = writeln!(rows, "{},{}", row % 10, row % 7);
        rows
    });
    folder.put("/opt/ml/processing/input/data/rows.csv", &rows);
    let config = json!({"dataset_type": "text/csv", "headers": ["a", "b"], "methods": {"shap": {"baseline": [[0, 0]]}},
        "predictor": {"endpoint_name": "twice", "content_type": "text/csv"}});
    folder.put("/opt/ml/processing/input/config/analysis_config.json", &config.to_string());
    assert_eq!(folder.run().await, "Completed: SageMaker XAI Analyzer ran successfully");
    let explained = &folder.found("analysis.json")["explanations"]["kernel_shap"]["label0"];
    assert!((explained["global_shap_values"]["a"].as_f64().unwrap() - 9.0).abs() < 1e-6, "{explained}");

    // Beside them, how answers depend on the feature that adds most; then on one that is named, without SHAP values.
    let mut wanted = config.clone();
    wanted["methods"]["pdp"] = json!({"grid_resolution": 3, "top_k_features": 1});
    folder.put("/opt/ml/processing/input/config/analysis_config.json", &wanted.to_string());
    assert_eq!(folder.run().await, "Completed: SageMaker XAI Analyzer ran successfully");
    let explanations = folder.found("analysis.json")["explanations"].clone();
    assert!(explanations["kernel_shap"]["label0"].is_object(), "{explanations}");
    let curve = json!({"feature_name": "a", "data_type": "numerical", "feature_values": [1.5, 4.5, 7.5],
        "model_predictions": [[3.0, 9.0, 15.0]], "data_distribution": explanations["pdp"][0]["data_distribution"]});
    assert_eq!(explanations["pdp"], json!([curve]));
    wanted["methods"] = json!({"pdp": {"features": ["b"], "grid_resolution": 2}});
    folder.put("/opt/ml/processing/input/config/analysis_config.json", &wanted.to_string());
    assert_eq!(folder.run().await, "Completed: SageMaker XAI Analyzer ran successfully");
    let curve = folder.found("analysis.json")["explanations"]["pdp"][0].clone();
    assert_eq!((&curve["feature_name"], &curve["feature_values"]), (&json!("b"), &json!([1.5, 4.5])));
    assert_eq!(curve["model_predictions"], json!([[9.0, 9.0]]), "twice the mean of the first feature");
    for (pdp, part) in [
        (json!({"features": ["c"]}), "partial dependence on \"c\"; there are a, b"),
        (json!({}), "methods.pdp without features"),
        (json!({"features": ["a"], "grid_resolution": 0}), "it is from 1 to 1000"),
    ] {
        wanted["methods"] = json!({"pdp": pdp});
        folder.put("/opt/ml/processing/input/config/analysis_config.json", &wanted.to_string());
        let said = folder.run().await;
        assert!(said.starts_with("Error: ") && said.contains(part), "{said}");
    }
    assert!(explained["global_shap_values"]["b"].as_f64().unwrap().abs() < 1e-6, "{explained}");

    let environment = json!({"analysis_type": "MODEL_EXPLAINABILITY", "dataset_source": CAPTURES,
        "analysis_config": "/opt/ml/processing/input/config/analysis_config.json",
        "baseline_constraints": "/opt/ml/processing/baseline/constraints/analysis.json",
        "sagemaker_endpoint_name": "twice", "sagemaker_monitoring_schedule_name": "explain",
        "publish_cloudwatch_metrics": "Enabled"});
    let schedule = Folder::of(CLARIFY, &environment);
    schedule.put("/opt/ml/processing/input/config/analysis_config.json", &config.to_string());
    let baseline = folder.text("/opt/ml/processing/output/analysis.json");
    schedule.put("/opt/ml/processing/baseline/constraints/analysis.json", &baseline);
    let lines: String = (0..60)
        .map(|row| captured(row, row, &format!("{},{}", row % 10, row % 7), &(2 * (row % 10)).to_string()))
        .collect();
    schedule.put(&format!("{HOUR}/00-00-000-0b8d9c4e-8a4c-4f5e-9a57-0d5a4b0e7f11.jsonl"), &lines);
    assert_eq!(schedule.run().await, "Completed: Job completed successfully with no violations.");
    let metrics = schedule.text("/opt/ml/output/metrics/cloudwatch");
    let name = r#""Namespace":"aws/sagemaker/Endpoints/explainability-metrics","MetricName":"feature_a""#;
    assert!(metrics.contains(name) && metrics.contains(r#""Value":"KernelShap""#), "{metrics}");

    let mut elsewhere = config;
    elsewhere["predictor"] = json!({"endpoint_name": "gone"});
    folder.put("/opt/ml/processing/input/config/analysis_config.json", &elsewhere.to_string());
    assert_eq!(folder.run().await, "Error: there is no Endpoint(\"gone\")");
}

#[tokio::test]
async fn a_schedule_asks_the_model_that_its_configuration_names_before_the_endpoint_that_it_watches() {
    let environment = json!({"analysis_type": "MODEL_EXPLAINABILITY", "dataset_source": CAPTURES,
        "analysis_config": "/opt/ml/processing/input/config/analysis_config.json", "sagemaker_endpoint_name": "watched"});
    let folder = Folder::of(CLARIFY, &environment);
    folder.put(&format!("{HOUR}/00-00-000-0b8d9c4e-8a4c-4f5e-9a57-0d5a4b0e7f11.jsonl"), &captured(1, 1, "1,2", "2"));
    for (predictor, asked) in [
        (json!({"model_name": "m"}), r#"Model { model: "m", prefix: None }"#),
        (json!({"endpoint_name": "named"}), r#"Endpoint("named")"#),
        (json!({"content_type": "text/csv"}), r#"Endpoint("watched")"#),
    ] {
        let config =
            json!({"headers": ["a", "b"], "methods": {"shap": {"baseline": [[0, 0]]}}, "predictor": predictor});
        folder.put("/opt/ml/processing/input/config/analysis_config.json", &config.to_string());
        assert!(folder.run().await.ends_with(asked), "{config}: {}", folder.message());
    }
}

/// Rows that the endpoint `twice` predicts to be twice their first number.
#[tokio::test]
async fn clarify_asks_the_model_for_predictions_that_the_data_has_not() {
    let folder = Folder::of(CLARIFY, &json!({}));
    let rows: Vec<(f64, &str, usize)> =
        (0..200).map(|row| ((row % 10) as f64 / 20.0, ["F", "M"][row % 2], row % 3 % 2)).collect();
    let csv: String = rows.iter().fold(String::new(), |mut text, (score, sex, paid)| {
        let _ = writeln!(text, "{paid},{score},{sex}");
        text
    });
    folder.put("/opt/ml/processing/input/data/loans.csv", &csv);
    let config = json!({"headers": ["paid", "score", "sex"], "label": "paid", "label_values_or_threshold": [1],
        "facet": [{"name_or_index": "sex", "value_or_threshold": ["F"]}], "predictor": {"endpoint_name": "twice"},
        "probability_threshold": 0.7, "methods": {"post_training_bias": {"methods": "all"}, "shap": {"baseline": [[0, "F"]]}}});
    let dppl = |folder: &Folder| {
        let analysis = folder.found("analysis.json");
        let metrics = &analysis["post_training_bias_metrics"]["facets"]["sex"][0]["metrics"];
        metrics.as_array().unwrap().iter().find(|metric| metric["name"] == "DPPL").unwrap()["value"].as_f64().unwrap()
    };
    let share = |sex: &str, threshold: f64| {
        let own: Vec<f64> = rows.iter().filter(|row| row.1 == sex).map(|row| 2.0 * row.0).collect();
        own.iter().filter(|score| **score >= threshold).count() as f64 / own.len() as f64
    };
    folder.put("/opt/ml/processing/input/config/analysis_config.json", &config.to_string());
    assert_eq!(folder.run().await, "Completed: SageMaker XAI Analyzer ran successfully");
    assert!((dppl(&folder) - (share("M", 0.7) - share("F", 0.7))).abs() < 1e-12);
    assert!(folder.found("analysis.json")["explanations"]["kernel_shap"]["label0"].is_object(), "both in one job");

    // The same as JSON Lines and as one document, half as the threshold where nothing is said.
    std::fs::remove_dir_all(folder.path("/opt/ml/processing/input/data")).unwrap();
    let mut asked = config.clone();
    asked["headers"] = json!(["score", "sex", "paid"]);
    asked["features"] = json!("row");
    asked["label"] = json!("paid");
    asked["dataset_type"] = json!("application/jsonlines");
    asked["predictor"]["content_type"] = json!("text/csv");
    asked["methods"] = json!({"post_training_bias": {"methods": ["DPPL"]}});
    asked.as_object_mut().unwrap().remove("probability_threshold");
    let lines: String = rows.iter().fold("nonsense\n".to_owned(), |mut text, (score, sex, paid)| {
        let _ = writeln!(text, "{}", json!({"row": [score, sex], "paid": paid}));
        text
    });
    folder.put("/opt/ml/processing/input/data/loans.jsonl", &lines);
    folder.put("/opt/ml/processing/input/config/analysis_config.json", &asked.to_string());
    let found = captura_analyser::run(folder.0.path(), &OneEndpoint, &OwnScripts).await.unwrap();
    assert!(
        found.notes[0].contains("1 rows of the dataset could not be used; the first: loans.jsonl line 1"),
        "{found:?}"
    );
    assert!((dppl(&folder) - (share("M", 0.5) - share("F", 0.5))).abs() < 1e-12);

    std::fs::remove_dir_all(folder.path("/opt/ml/processing/input/data")).unwrap();
    let sheet: Vec<Value> = rows.iter().map(|(score, sex, _)| json!([score, sex])).collect();
    let paid: Vec<usize> = rows.iter().map(|row| row.2).collect();
    folder.put("/opt/ml/processing/input/data/loans.json", &json!({"sheet": sheet, "paid": paid}).to_string());
    asked["dataset_type"] = json!("application/json");
    asked["features"] = json!("sheet");
    folder.put("/opt/ml/processing/input/config/analysis_config.json", &asked.to_string());
    folder.run().await;
    assert!((dppl(&folder) - (share("M", 0.5) - share("F", 0.5))).abs() < 1e-12, "{}", folder.message());

    // Facets and predictions in files of their own, in another order.
    std::fs::remove_dir_all(folder.path("/opt/ml/processing/input/data")).unwrap();
    let beside = |of: &dyn Fn(usize) -> String| {
        (0..200).rev().fold(String::new(), |mut text, row| {
            let _ = writeln!(text, "{row},{}", of(row));
            text
        })
    };
    let own: String = (0..200).fold("id,paid\n".to_owned(), |mut text, row| {
        let _ = writeln!(text, "{row},{}", rows[row].2);
        text
    });
    folder.put("/opt/ml/processing/input/data/loans.csv", &own);
    folder.put("/opt/ml/processing/input/facet_dataset_uri/f.csv", &beside(&|row| rows[row].1.to_owned()));
    let said = |row: usize| usize::from(2.0 * rows[row].0 >= 0.5).to_string();
    folder.put("/opt/ml/processing/input/predicted_label_dataset_uri/p.csv", &beside(&said));
    let config = json!({"label": "paid", "label_values_or_threshold": [1], "joinsource_name_or_index": "id",
        "facet": [{"name_or_index": "sex", "value_or_threshold": ["F"]}], "methods": {"post_training_bias": {"methods": "all"}},
        "facet_dataset_uri": "s3://b/f.csv", "facet_headers": ["id", "sex"],
        "predicted_label_dataset_uri": "s3://b/p.csv", "predicted_label_headers": ["id", "said"]});
    folder.put("/opt/ml/processing/input/config/analysis_config.json", &config.to_string());
    assert_eq!(folder.run().await, "Completed: SageMaker XAI Analyzer ran successfully");
    assert!((dppl(&folder) - (share("M", 0.5) - share("F", 0.5))).abs() < 1e-12);
}
