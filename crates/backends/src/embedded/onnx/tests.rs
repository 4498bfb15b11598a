//! Models as their users export them, against what they answer in Python (`tests/data/make_onnx.py`).
//!
//! These tests need the ONNX Runtime library. They look for it in `CAPTURA_TEST_ONNX_LIBRARY`, then in the project's
//! cache folder, and say so when they skip.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Once};

use captura_route::{Backend, BackendError, FieldType, ModelRequest};
use object_store::ObjectStoreExt;
use serde_json::{Value, json};

use crate::{Backends, Launch, LoadError, ModelSpec, Settings};

static SAID: Once = Once::new();

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/onnx")
}

/// Settings with a library, or `None` after saying that there is none.
#[expect(clippy::disallowed_methods, reason = "the test command hands the library over in the environment")]
fn settings() -> Option<Settings> {
    let named = std::env::var_os("CAPTURA_TEST_ONNX_LIBRARY").map(PathBuf::from);
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
    let library = named.or_else(|| Some(cache?.join("captura/onnxruntime/libonnxruntime.so")));
    let Some(library) = library.filter(|library| library.exists()) else {
        // Past the test harness, which keeps to itself what passing tests print.
        SAID.call_once(|| {
            let said = "skipped: no ONNX Runtime in CAPTURA_TEST_ONNX_LIBRARY or the cache folder";
            std::io::stderr().write_all(format!("{said}; `cargo xtask setup` gets it\n").as_bytes()).unwrap();
        });
        return None;
    };
    let mut settings = Settings::new(std::env::temp_dir().join("captura-test-cache"));
    settings.allow_file_urls = true;
    settings.onnx_library = Some(library);
    Some(settings)
}

async fn load_with(environment: &[(&str, &str)], path: &Path) -> Option<Result<Arc<dyn Backend>, LoadError>> {
    let backends = Backends::new(settings()?, Arc::new(|_| Err("no stores here".into())));
    let spec = ModelSpec {
        image: "captura/onnx:1".into(),
        model_data_url: Some(path.display().to_string()),
        environment: environment.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
        ..ModelSpec::default()
    };
    Some(backends.load(&spec, Launch::default()).await.map(|replicas| replicas as Arc<dyn Backend>))
}

async fn load(name: &str) -> Option<Arc<dyn Backend>> {
    Some(load_with(&[], &data().join(format!("{name}.onnx"))).await?.unwrap())
}

async fn call(backend: &dyn Backend, content_type: &str, accept: &str, body: &str) -> Result<String, BackendError> {
    let request = ModelRequest {
        body: body.to_owned().into(),
        content_type: Some(content_type.into()),
        accept: Some(accept.into()),
        ..ModelRequest::default()
    };
    Ok(String::from_utf8(backend.invoke(&request).await?.body.to_vec()).unwrap())
}

async fn refusal(backend: &dyn Backend, content_type: &str, body: &str) -> String {
    match call(backend, content_type, "text/csv", body).await.unwrap_err() {
        BackendError::Model { status: 400, message, .. } => message,
        other => panic!("not a refusal: {other}"),
    }
}

fn expected() -> BTreeMap<String, Value> {
    serde_json::from_str(&fs::read_to_string(data().join("expected.json")).unwrap()).unwrap()
}

/// Rows as a CSV body; a row of an image is its numbers one after the other.
fn csv_body(rows: &[Value]) -> String {
    let mut writer = csv::WriterBuilder::new().flexible(true).from_writer(vec![]);
    for row in rows {
        let mut cells = Vec::new();
        flatten(row, &mut cells);
        writer.write_record(cells).unwrap();
    }
    String::from_utf8(writer.into_inner().unwrap()).unwrap()
}

/// All values inside, in order, as CSV has them.
fn flatten(value: &Value, cells: &mut Vec<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| flatten(item, cells)),
        Value::Object(items) => items.values().for_each(|item| flatten(item, cells)),
        Value::Null => cells.push(String::new()),
        Value::String(text) => cells.push(text.clone()),
        other => cells.push(other.to_string()),
    }
}

/// Compares numbers as singles, everything else as text.
fn assert_same(got: &[String], wanted: &[String], context: &str) {
    assert_eq!(got.len(), wanted.len(), "{context}: {got:?} for {wanted:?}");
    for (got, wanted) in got.iter().zip(wanted) {
        match (got.parse::<f64>(), wanted.parse::<f64>()) {
            (Ok(a), Ok(b)) => assert!((a - b).abs() <= 1e-5 * b.abs().max(1.0), "{context}: {got} for {wanted}"),
            _ => assert_eq!(got, wanted, "{context}"),
        }
    }
}

fn csv_rows(answer: &str) -> Vec<Vec<String>> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(answer.as_bytes());
    reader.records().map(|record| record.unwrap().iter().map(str::to_owned).collect()).collect()
}

fn json_rows(answer: &str) -> Vec<Vec<String>> {
    let answer: Value = serde_json::from_str(answer).unwrap();
    let rows = answer["predictions"].as_array().unwrap().iter();
    let flat = rows.map(|row| {
        let mut cells = Vec::new();
        flatten(row, &mut cells);
        cells
    });
    flat.collect()
}

#[tokio::test]
async fn every_exported_model_answers_as_it_does_in_python() {
    if settings().is_none() {
        return;
    }
    let expected = expected();
    assert!(expected.len() >= 26, "{} models", expected.len());
    for (name, case) in expected {
        let backend = load(&name).await.unwrap();
        let rows = case["rows"].as_array().unwrap();
        let wanted: Vec<Vec<String>> = case["expected"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| {
                let mut cells = Vec::new();
                flatten(row, &mut cells);
                cells
            })
            .collect();
        let instances = json!({ "instances": rows }).to_string();
        let mut bodies = vec![("application/json", instances)];
        if case["content"] == "csv" {
            bodies.push(("text/csv", csv_body(rows)));
        }
        if let Some(columns) = case["columns"].as_array() {
            // By name, in another order.
            let mut records = Vec::new();
            for row in rows {
                let cells = columns.iter().zip(row.as_array().unwrap()).rev();
                records.push(Value::Object(
                    cells.map(|(name, cell)| (name.as_str().unwrap().into(), cell.clone())).collect(),
                ));
            }
            bodies.push(("application/json", json!({ "dataframe_records": records }).to_string()));
            bodies.push(("application/json", json!({ "inputs": records }).to_string()));
            bodies.push((
                "application/json",
                json!({ "dataframe_split": { "columns": columns, "data": rows } }).to_string(),
            ));
        }
        for (content_type, body) in bodies {
            let context = format!("{name}, {content_type}, {}", &body[..body.len().min(40)]);
            let as_csv = call(&*backend, content_type, "text/csv", &body).await.unwrap();
            let as_json = call(&*backend, content_type, "application/json", &body).await.unwrap();
            for rows in [csv_rows(&as_csv), json_rows(&as_json)] {
                assert_eq!(rows.len(), wanted.len(), "{context}");
                rows.iter().zip(&wanted).for_each(|(got, wanted)| assert_same(got, wanted, &context));
            }
        }
        // One row at a time says the same.
        for (row, wanted) in rows.iter().zip(&wanted) {
            let body = json!({ "instances": [row] }).to_string();
            let answer = call(&*backend, "application/json", "application/json", &body).await.unwrap();
            assert_same(&json_rows(&answer)[0], wanted, &name);
        }
    }
}

#[tokio::test]
async fn signatures_are_read_from_the_model() {
    let Some(mixed) = load("mixed_columns").await else { return };
    let signature = mixed.signature().unwrap();
    let inputs: Vec<_> =
        signature.inputs.iter().map(|field| (field.name.as_str(), field.kind, field.shape.len())).collect();
    assert_eq!(
        inputs,
        [
            ("age", FieldType::Fractional, 0),
            ("income", FieldType::Fractional, 0),
            ("visits", FieldType::Integral, 0),
            ("city", FieldType::String, 0),
            ("plan", FieldType::String, 0)
        ]
    );
    assert_eq!(signature.outputs[0].kind, FieldType::Integral);
    assert_eq!(signature.outputs[1].shape, [Some(2)]);
    let cnn = load("cnn").await.unwrap();
    assert_eq!(cnn.signature().unwrap().inputs[0].shape, [Some(1), Some(8), Some(8)]);
}

#[tokio::test]
async fn answers_have_the_shape_that_the_page_promises() {
    let Some(zipmap) = load("logreg_text_labels_zipmap").await else { return };
    let answer = call(&*zipmap, "text/csv", "application/json", "5.1,3.5,1.4,0.2").await.unwrap();
    let answer: Value = serde_json::from_str(&answer).unwrap();
    let row = answer["predictions"][0].as_object().unwrap();
    assert_eq!(row["output_label"], "setosa");
    let keys: Vec<_> = row["output_probability"].as_object().unwrap().keys().collect();
    assert_eq!(keys, ["setosa", "versicolor", "virginica"]);
    let ridge = load("scaler_ridge").await.unwrap();
    let row = ["0.01"; 10].join(",");
    let answer = call(&*ridge, "text/csv", "application/json", &row).await.unwrap();
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert!(answer["predictions"][0]["variable"].is_number(), "{answer}");
    let answer = call(&*ridge, "text/csv; charset=utf-8", "*/*", &format!("{row}\n{row}\n")).await.unwrap();
    assert_eq!(answer.lines().count(), 2);
}

#[tokio::test]
async fn requests_that_do_not_suit_are_refused_by_column() {
    let Some(mixed) = load("mixed_columns").await else { return };
    let csv = "text/csv";
    assert_eq!(
        refusal(&*mixed, csv, "old,30000,1,Porto,basic").await,
        "row 1, column 1 (age): \"old\" is not a number"
    );
    assert_eq!(
        refusal(&*mixed, csv, "40,30000,1,Porto,basic\n40,30000,1.5,Porto,basic").await,
        "row 2, column 3 (visits): 1.5 is not a whole number, and the model takes those here"
    );
    assert_eq!(
        refusal(&*mixed, csv, "40,30000,,Porto,basic").await,
        "row 1, column 3 (visits): a value is missing, and the model takes whole numbers here"
    );
    assert_eq!(
        refusal(&*mixed, csv, "40,30000,1,Porto").await,
        "the rows have 4 columns, but the model takes 5 columns: age, income, visits, city, plan"
    );
    assert_eq!(
        refusal(&*mixed, "application/json", r#"{"inputs": [{"age": 40, "income": 1, "visits": 2, "plan": "basic"}]}"#)
            .await,
        "column \"city\" is missing; the body names age, income, visits, plan"
    );
    let body = r#"{"inputs": [{"age": 40, "income": 1, "visits": 2, "city": "a\u0000b", "plan": "basic"}]}"#;
    assert_eq!(
        refusal(&*mixed, "application/json", body).await,
        "row 1, column 4 (city): the text holds a NUL character"
    );
    let body = r#"{"inputs": [{"age": [40, 41], "income": 1, "visits": 2, "city": "a", "plan": "basic"}]}"#;
    assert_eq!(
        refusal(&*mixed, "application/json", body).await,
        "column \"age\" holds 2 values a row, but the model takes 1"
    );
    let mixed_call = call(&*mixed, "image/png", "text/csv", "x").await.unwrap_err();
    assert!(matches!(mixed_call, BackendError::Model { status: 415, .. }), "{mixed_call}");
    let mixed_call = call(&*mixed, csv, "image/png", "40,30000,1,Porto,basic").await.unwrap_err();
    assert!(matches!(mixed_call, BackendError::Model { status: 406, .. }), "{mixed_call}");

    let forest = load("random_forest").await.unwrap();
    assert_eq!(refusal(&*forest, csv, "1,2,3").await, "the rows have 3 columns, but the model takes 8 columns");
    let any_size = load("cnn_any_size").await.unwrap();
    assert_eq!(
        refusal(&*any_size, "application/json", r#"{"instances": [[1, 2, 3]]}"#).await,
        "input \"image\" takes rows of shape [1, ?, ?], but the rows have the shape [3]; send nested arrays"
    );
}

#[tokio::test]
async fn a_single_input_may_be_sent_under_its_name_and_its_columns_may_be_named() {
    let Some(plain) = load("logreg_zipmap").await else { return };
    let wanted = call(&*plain, "text/csv", "text/csv", "5.1,3.5,1.4,0.2").await.unwrap();
    for body in [r#"{"inputs": {"X": [[5.1, 3.5, 1.4, 0.2]]}}"#, r#"{"instances": [{"X": [5.1, 3.5, 1.4, 0.2]}]}"#] {
        assert_eq!(call(&*plain, "application/json", "text/csv", body).await.unwrap(), wanted, "{body}");
    }
    let columns = [
        ("CAPTURA_ONNX_COLUMNS", "sl, sw, pl, pw"),
        ("CAPTURA_ONNX_OUTPUTS", "output_label"),
        ("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT", "application/json"),
    ];
    let path = data().join("logreg_zipmap.onnx");
    let named = load_with(&columns, &path).await.unwrap().unwrap();
    let names: Vec<_> = named.signature().unwrap().inputs.iter().map(|field| field.name.clone()).collect();
    assert_eq!(names, ["sl", "sw", "pl", "pw"]);
    let body = r#"{"inputs": [{"pw": 0.2, "pl": 1.4, "sw": 3.5, "sl": 5.1, "extra": 1}]}"#;
    assert_eq!(
        call(&*named, "application/json", "*/*", body).await.unwrap(),
        r#"{"predictions":[{"output_label":0}]}"#
    );
    assert_eq!(refusal(&*named, "text/csv", "1,2,x,4").await, "row 1, column 3 (pl): \"x\" is not a number");

    let wrong = load_with(&[("CAPTURA_ONNX_COLUMNS", "a,b")], &path).await.unwrap().unwrap_err().to_string();
    assert_eq!(wrong, "logreg_zipmap.onnx cannot be served: it takes 4 columns, and its environment names 2");
    let wrong = load_with(&[("CAPTURA_ONNX_OUTPUTS", "label")], &path).await.unwrap().unwrap_err().to_string();
    assert_eq!(
        wrong,
        "logreg_zipmap.onnx cannot be served: CAPTURA_ONNX_OUTPUTS names the output \"label\", \
         but it has output_label, output_probability"
    );
}

#[tokio::test]
async fn many_calls_at_once_answer_as_one_does() {
    let Some(forest) = load("random_forest").await else { return };
    let case = &expected()["random_forest"];
    // Large enough for the blocking pool, and small ones beside it.
    let large = csv_body(case["rows"].as_array().unwrap()).repeat(1000);
    let small = csv_body(&case["rows"].as_array().unwrap()[..1]);
    let alone = call(&*forest, "text/csv", "text/csv", &small).await.unwrap();
    let mut calls = tokio::task::JoinSet::new();
    for turn in 0..32 {
        let (forest, body) = (Arc::clone(&forest), if turn % 4 == 0 { large.clone() } else { small.clone() });
        calls.spawn(async move { call(&*forest, "text/csv", "text/csv", &body).await.unwrap() });
    }
    while let Some(answer) = calls.join_next().await {
        let answer = answer.unwrap();
        assert_eq!(answer.lines().next().unwrap(), alone);
        assert!(matches!(answer.lines().count(), 1 | 4000), "{}", answer.lines().count());
    }
}

#[tokio::test]
async fn what_is_no_model_is_refused_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    fs::write(&path, b"\x80\x04\x95 a pickle").unwrap();
    let Some(error) = load_with(&[], &path).await else { return };
    assert_eq!(
        error.unwrap_err().to_string(),
        "model.onnx cannot be served: it is not an ONNX model: its structure is broken"
    );
    // A graph without anything in it passes the first look; the library says what it lacks.
    fs::write(&path, b"\x3a\x02\x12\x00").unwrap();
    let error = load_with(&[], &path).await.unwrap().unwrap_err().to_string();
    assert!(error.starts_with("model.onnx cannot be served: "), "{error}");
    let error = load_with(&[("CAPTURA_ONNX_THREADS", "many")], &path).await.unwrap().unwrap_err().to_string();
    assert_eq!(error, "the model's environment has CAPTURA_ONNX_THREADS=\"many\"; it must be a number from 1 to 256");
}

/// `model.tar.gz` of a folder's files, as `tar czf` makes it.
fn archive(folder: &Path) -> Vec<u8> {
    let mut tar = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default()));
    tar.append_dir_all(".", folder).unwrap();
    tar.into_inner().unwrap().finish().unwrap()
}

#[tokio::test]
async fn a_model_with_weights_in_another_file_is_served_from_a_folder_and_from_a_store() {
    let folder = data().join("external");
    let Some(local) = load_with(&[], &folder).await else { return };
    assert_eq!(call(&*local.unwrap(), "text/csv", "text/csv", "1,2,3").await.unwrap(), "2.0,4.0,6.0");

    let cache = tempfile::tempdir().unwrap();
    let mut settings = settings().unwrap();
    settings.allow_file_urls = false;
    settings.cache_dir = cache.path().to_owned();
    let store = Arc::new(object_store::memory::InMemory::new());
    store.put(&"churn/model.tar.gz".into(), archive(&folder).into()).await.unwrap();
    let resolved = Arc::clone(&store);
    let stores = move |uri: &captura_names::S3Uri| Ok(Some((Arc::clone(&resolved) as _, uri.key().into())));
    let backends = Backends::new(settings, Arc::new(stores));
    let mut spec = ModelSpec {
        image: "captura/onnx".into(),
        model_data_url: Some("s3://models/churn/model.tar.gz".into()),
        ..ModelSpec::default()
    };
    assert!(backends.model_data_exists("s3://models/churn/model.tar.gz").await.unwrap());
    let served = backends.load(&spec, Launch::default()).await.unwrap();
    assert_eq!(fs::read_dir(cache.path().join("models")).unwrap().count(), 0, "the files are gone once it is loaded");
    assert_eq!(call(&*served, "text/csv", "text/csv", "1,2,3\n0,0,1").await.unwrap(), "2.0,4.0,6.0\n0.0,0.0,2.0");

    // Without the other file, and without any data, the reason is a sentence.
    fs::copy(folder.join("model.onnx"), cache.path().join("model.onnx")).unwrap();
    let lonely = load_with(&[], &cache.path().join("model.onnx")).await.unwrap().unwrap_err().to_string();
    assert_eq!(
        lonely,
        "model.onnx cannot be served: it keeps a tensor in \"weights.bin\", which is not part of the model data"
    );
    spec.model_data_url = None;
    let error = backends.load(&spec, Launch::default()).await.unwrap_err().to_string();
    assert_eq!(error, "the image \"captura/onnx\" needs a model, and the model has no ModelDataUrl");
}

#[tokio::test]
async fn a_call_that_is_given_up_gives_its_session_back() {
    let one_session = [("CAPTURA_ONNX_SESSIONS", "1")];
    let Some(backend) = load_with(&one_session, &data().join("endless")).await else { return };
    let backend = backend.unwrap();
    assert_eq!(call(&*backend, "text/csv", "text/csv", "0").await.unwrap(), "0.0");
    let limit = std::time::Duration::from_millis(50);
    let given_up = tokio::time::timeout(limit, call(&*backend, "text/csv", "text/csv", "1"));
    assert!(given_up.await.is_err(), "an endless run ended");
    assert_eq!(call(&*backend, "text/csv", "text/csv", "0").await.unwrap(), "0.0");
}
