//! Whole calls through an explainer: of functions whose answers are known, and of a trained model, against what the shap
//! library says of them (`tests/data/make_shap.py`).

use std::sync::{Arc, Mutex};

use captura_route::{Answer, Backend, BackendError, Extras, Invoking, ModelRequest};
use object_store::ObjectStoreExt as _;
use object_store::memory::InMemory;
use serde_json::{Value, json};

use super::*;
use crate::embedded::trees::Trees;
use crate::{ModelSpec, Settings, StoreResolver};

type Row = Vec<f64>;

/// A model that is a function, with the manners of a container.
#[derive(Debug)]
struct Formula {
    of: fn(&[f64]) -> Row,
    /// More records at a time are refused.
    takes: usize,
    /// What an answer to these rows looks like; a line each where nothing is said.
    words: fn(&[Row]) -> String,
    answers_in: &'static str,
    /// The bodies that came.
    asked: Mutex<Vec<ModelRequest>>,
}

impl Default for Formula {
    fn default() -> Self {
        Self { of: product, takes: usize::MAX, words: lines, answers_in: "text/csv", asked: Mutex::default() }
    }
}

fn lines(rows: &[Row]) -> String {
    rows.iter().map(|row| row.iter().map(f64::to_string).collect::<Vec<_>>().join(",") + "\n").collect()
}

/// Text cells count by their length.
fn rows_of(body: &str) -> Vec<Row> {
    let cell = |text: &str| text.parse().unwrap_or(text.len() as f64);
    let json_cell =
        |value: &Value| value.as_f64().unwrap_or_else(|| value.as_str().map_or(0.0, |text| text.len() as f64));
    let row =
        |line: &str| match serde_json::from_str::<Value>(line).ok().as_ref().and_then(|line| line["in"].as_array()) {
            Some(features) => features.iter().map(json_cell).collect(),
            None => {
                let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(line.as_bytes());
                reader.records().next().unwrap().unwrap().iter().map(cell).collect()
            }
        };
    body.lines().map(row).collect()
}

impl Formula {
    fn answer(&self, request: &ModelRequest) -> Result<Answer, BackendError> {
        self.asked.lock().unwrap().push(request.clone());
        let rows = rows_of(std::str::from_utf8(&request.body).unwrap());
        if rows.len() > self.takes {
            return Err(BackendError::refused("too many records"));
        }
        let answers: Vec<Row> = rows.iter().map(|row| (self.of)(row)).collect();
        let content_type = Some(self.answers_in.into());
        Ok(Answer { body: (self.words)(&answers).into(), content_type, ..Answer::default() })
    }

    fn sizes(&self) -> Vec<usize> {
        let asked = self.asked.lock().unwrap();
        asked.iter().map(|request| std::str::from_utf8(&request.body).unwrap().lines().count()).collect()
    }
}

impl Backend for Formula {
    fn invoke<'a>(&'a self, request: &'a ModelRequest) -> Invoking<'a> {
        Box::pin(async move { self.answer(request) })
    }

    fn extras(&self) -> Extras {
        Extras { target_model: true, sessions: true, ..Extras::default() }
    }
}

fn product(x: &[f64]) -> Row {
    vec![x[0] * x[1] + 2.0 * x[2] - x[3] * x[3]]
}

fn probability(x: &[f64]) -> Row {
    vec![1.0 / (1.0 + (-(x[0] - x[1] * x[2] + 0.5 * x[3].abs())).exp())]
}

fn classes(x: &[f64]) -> Row {
    let scores = [x[0], x[1] * x[4], -x[2] + x[3] * x[0]].map(f64::exp);
    let sum: f64 = scores.iter().sum();
    scores.iter().map(|score| score / sum).collect()
}

fn sum(x: &[f64]) -> Row {
    vec![x.iter().sum()]
}

/// A configuration with this baseline and these other members.
fn config(baseline: &str, inference: Value, more: Value) -> Value {
    let mut shap = json!({"ShapBaselineConfig": {"ShapBaseline": baseline}});
    let mut clarify = json!({});
    clarify["InferenceConfig"] = inference;
    let Value::Object(more) = more else { panic!("our bug: members are an object") };
    for (name, value) in more {
        let place = if name == "EnableExplanations" { &mut clarify } else { &mut shap };
        place[name] = value;
    }
    clarify["ShapConfig"] = shap;
    json!({ "ClarifyExplainerConfig": clarify })
}

fn no_stores() -> StoreResolver {
    Arc::new(|_| Ok(None))
}

async fn loaded(config: &Value, stores: StoreResolver) -> Result<Explainer, ExplainerSpecError> {
    let folder = tempfile::tempdir().unwrap();
    let fetcher = Fetcher::new(&Settings::new(folder.path()), stores);
    Explainer::load(&ExplainerSpec::read(config)?, &fetcher).await
}

async fn explained(model: Arc<dyn Backend>, config: &Value) -> Explained {
    Explained::new(model, loaded(config, no_stores()).await.unwrap())
}

fn call(body: &str) -> ModelRequest {
    ModelRequest {
        body: bytes::Bytes::copy_from_slice(body.as_bytes()),
        content_type: Some("text/csv".into()),
        ..ModelRequest::default()
    }
}

fn call_with(body: &str, enable: &str) -> ModelRequest {
    ModelRequest { enable_explanations: Some(enable.into()), ..call(body) }
}

async fn told(model: &Explained, request: &ModelRequest) -> Value {
    let answer = model.invoke(request).await.unwrap();
    assert_eq!(answer.content_type.as_deref(), Some("application/json"));
    serde_json::from_slice(&answer.body).unwrap()
}

async fn refused(model: &Explained, request: &ModelRequest) -> String {
    match model.invoke(request).await.unwrap_err() {
        BackendError::Model { status: 400, message, .. } => message,
        other => panic!("{other}"),
    }
}

/// Attributions of a record, one list for each feature.
fn attributions_in(told: &Value, record: usize) -> Vec<Vec<f64>> {
    let features = told["explanations"]["kernel_shap"][record].as_array().unwrap();
    let numbers = |feature: &Value| serde_json::from_value(feature["attributions"][0]["attribution"].clone()).unwrap();
    features.iter().map(numbers).collect()
}

fn csv_of(rows: &[Row]) -> String {
    lines(rows)
}

#[tokio::test]
async fn the_attributions_are_those_of_the_shap_library() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/shap");
    let cases: Vec<Value> = serde_json::from_slice(&std::fs::read(folder.join("cases.json")).unwrap()).unwrap();
    assert_eq!(cases.len(), 14);
    let trained = std::fs::read(folder.join("model.json")).unwrap();
    let image = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1".to_owned();
    for case in &cases {
        let formula = |of| Arc::new(Formula { of, ..Formula::default() }) as Arc<dyn Backend>;
        let model = match case["model"].as_str().unwrap() {
            "product" => formula(product),
            "probability" => formula(probability),
            "classes" => formula(classes),
            _ => {
                let spec = ModelSpec { image: image.clone(), ..ModelSpec::default() };
                Arc::new(Trees::load_for(&spec, "model.json", &trained).unwrap())
            }
        };
        let baseline: Vec<Row> = serde_json::from_value(case["baseline"].clone()).unwrap();
        let row: Row = serde_json::from_value(case["row"].clone()).unwrap();
        let wanted: Vec<Vec<f64>> = serde_json::from_value(case["attributions"].clone()).unwrap();
        let config = config(&csv_of(&baseline), json!({}), json!({"UseLogit": case["link"] == "logit"}));
        let told = told(&explained(model, &config).await, &call(&csv_of(&[row]))).await;
        for (found, wanted) in attributions_in(&told, 0).iter().flatten().zip(wanted.iter().flatten()) {
            assert!((found - wanted).abs() < 1e-6 * (1.0 + wanted.abs()), "{found} {wanted} {case}");
        }
    }
}

#[tokio::test]
async fn records_are_explained_by_default_and_the_answer_is_passed_on_as_it_was() {
    let model = Arc::new(Formula::default());
    let headers = json!({"FeatureHeaders": ["a", "b", "c", "d"], "LabelHeaders": ["score"]});
    let explained = explained(Arc::clone(&model) as _, &config("0,0,0,1\n1,1,0,0", headers, json!({}))).await;
    let request = ModelRequest { target_model: Some("a.tar.gz".into()), ..call("1,2,3,4\n0.5,1,1,1") };
    let told = told(&explained, &request).await;
    assert_eq!(told["version"], "1.0");
    assert_eq!(told["predictions"], json!({"content_type": "text/csv", "data": "-8\n1.5\n"}));
    assert_eq!(told["label_headers"], json!(["score"]));
    assert_eq!(told["explanations"]["kernel_shap"][1][2]["feature_header"], "c");
    // The baseline's mean prediction is 0: what is added is the prediction.
    for (record, prediction) in [-8.0, 1.5].into_iter().enumerate() {
        let sum: f64 = attributions_in(&told, record).iter().flatten().sum();
        assert!((sum - prediction).abs() < 1e-12, "{sum}");
    }
    let asked = model.asked.lock().unwrap();
    assert_eq!(asked[0].body, request.body);
    assert!(asked.iter().all(|one| one.target_model.as_deref() == Some("a.tar.gz")));
    assert!(asked.iter().all(|one| one.enable_explanations.is_none()));
    // The call, the baseline, and 14 subsets with two records for each of two records.
    drop(asked);
    assert_eq!(model.sizes(), [2, 2, 28, 28]);
}

#[tokio::test]
async fn an_expression_says_which_records_are_explained() {
    let model = Arc::new(Formula { of: sum, ..Formula::default() });
    let only_large = json!({"EnableExplanations": "[0]>`5`"});
    let explained = explained(Arc::clone(&model) as _, &config("0,0", json!({}), only_large)).await;
    let some = told(&explained, &call("1,2\n3,4")).await;
    assert_eq!(some["explanations"]["kernel_shap"][0], Value::Null);
    assert_eq!(attributions_in(&some, 1), [[3.0], [4.0]]);
    assert_eq!(told(&explained, &call("1,2")).await["explanations"], json!({}));
    // That of the call counts, and a call for nothing asks the model once, whatever its body is.
    assert_eq!(attributions_in(&told(&explained, &call_with("1,2", "`true`")).await, 0), [[1.0], [2.0]]);
    let before = model.sizes().len();
    let none = told(&explained, &call_with("9,9\n1", "`false`")).await;
    assert_eq!((none["explanations"].clone(), none["predictions"]["data"].clone()), (json!({}), json!("18\n1\n")));
    assert_eq!(model.sizes().len(), before + 1);
    for (enable, words) in [
        ("[0", "EnableExplanations is not a JMESPath expression: it ends too early"),
        ("[0]", "EnableExplanations [0] finds a number in the model's answer to record 1, and neither true nor false"),
        ("[7]>`1`", "finds nothing in the model's answer to record 1"),
        ("max(`1`)", "EnableExplanations max(`1`) of record 1: max does not take number"),
    ] {
        let message = refused(&explained, &call_with("1,2", enable)).await;
        assert!(message.contains(words), "{message}");
    }
}

#[tokio::test]
async fn json_lines_are_read_and_written_by_their_template() {
    let words = |rows: &[Row]| {
        let line = |row: &Row| json!({"probability": row, "classes": ["no", "yes"]}).to_string();
        rows.iter().map(line).collect::<Vec<_>>().join("\n")
    };
    let of = |x: &[f64]| vec![1.0 - x[0] * x[1], x[0] * x[1]];
    let model = Arc::new(Formula { of, words, answers_in: "application/jsonlines", ..Formula::default() });
    let inference = json!({
        "FeaturesAttribute": "in", "ContentTemplate": "{\"in\":$features}",
        "ProbabilityAttribute": "probability", "LabelAttribute": "classes",
    });
    let explained = explained(Arc::clone(&model) as _, &config("0,\"a,b\"", inference, json!({}))).await;
    let lines = ModelRequest { content_type: Some("application/jsonlines".into()), ..call("{\"in\":[2,5],\"id\":7}") };
    let answer = told(&explained, &lines).await;
    assert_eq!(answer["label_headers"], json!(["no", "yes"]));
    // 2×5; with the baseline's text of three letters 2×3, without the first feature nothing.
    for (found, wanted) in attributions_in(&answer, 0).iter().flatten().zip([-8.0, 8.0, -2.0, 2.0]) {
        assert!((found - wanted).abs() < 1e-12, "{found} {wanted}");
    }
    let bodies: Vec<String> =
        model.asked.lock().unwrap()[1..].iter().map(|one| String::from_utf8_lossy(&one.body).into_owned()).collect();
    assert_eq!(bodies, ["{\"in\":[0,\"a,b\"]}", "{\"in\":[2,\"a,b\"]}\n{\"in\":[0,5]}"]);
    let other = ModelRequest { body: "{\"out\":[2,5]}".into(), ..lines };
    assert!(refused(&explained, &other).await.contains("record 1: FeaturesAttribute in finds no list of features"));
}

#[tokio::test]
async fn answers_in_the_layouts_of_awss_guide_are_understood() {
    let in_one_line = |rows: &[Row]| rows.iter().map(|row| row[0].to_string()).collect::<Vec<_>>().join(",");
    let labelled = |rows: &[Row]| rows.iter().map(|row| format!("1,{}\n", row[0])).collect::<String>();
    let in_python = |rows: &[Row]| {
        rows.iter().map(|row| format!("\"['it\\'s', 'b']\",\"[{}, 0.5]\"\n", row[0])).collect::<String>()
    };
    let bracketed = |rows: &[Row]| rows.iter().map(|row| format!("[{0}, 0.5]", row[0])).collect::<Vec<_>>().join(",");
    type Words = fn(&[Row]) -> String;
    let layouts: [(Words, Value, Value, &[f64]); 4] = [
        (in_one_line, json!({}), Value::Null, &[1.0]),
        (labelled, json!({"ProbabilityIndex": 1}), Value::Null, &[1.0]),
        (in_python, json!({"ProbabilityIndex": 1, "LabelIndex": 0}), json!(["it's", "b"]), &[1.0, 0.0]),
        (bracketed, json!({}), Value::Null, &[1.0, 0.0]),
    ];
    for (words, inference, labels, first) in layouts {
        let model = Formula { of: sum, words, ..Formula::default() };
        let explained = explained(Arc::new(model), &config("0,0", inference, json!({}))).await;
        for body in ["1,2", "1,2\n3,4"] {
            let told = told(&explained, &call(body)).await;
            assert_eq!(attributions_in(&told, 0)[0], first, "{told}");
            assert_eq!(told["label_headers"], labels);
        }
    }
}

#[tokio::test]
async fn texts_and_numbers_that_are_not_replaced_are_sent_as_they_came() {
    let model = Arc::new(Formula { of: |x| vec![x[0] + x[1]], ..Formula::default() });
    let explained = explained(Arc::clone(&model) as _, &config("0,none,7.0", json!({}), json!({}))).await;
    let told = told(&explained, &call("1.50,\"a, \"\"b\"\"\",007")).await;
    assert_eq!(attributions_in(&told, 0), [[1.5], [2.0], [0.0]]);
    let bodies = model.asked.lock().unwrap();
    // The last feature is the baseline's, written otherwise, and stays as it is.
    assert_eq!(bodies[2].body, "1.50,none,007\n0,\"a, \"\"b\"\"\",007");
}

#[tokio::test]
async fn batches_become_smaller_until_the_model_takes_them_and_stay_so() {
    let model = Arc::new(Formula { of: sum, takes: 5, ..Formula::default() });
    let explained_ = explained(Arc::clone(&model) as _, &config("0,0,0,0,0,0", json!({}), json!({}))).await;
    let told_ = told(&explained_, &call("1,2,3,4,5,6")).await;
    assert_eq!(attributions_in(&told_, 0).len(), 6);
    // 62 subsets: not all at once, not an eighth of them, then one by one.
    let sizes = model.sizes();
    assert_eq!(sizes[..4], [1, 1, 62, 7]);
    assert!(sizes[4..].iter().all(|size| *size == 1) && sizes.len() == 4 + 62, "{sizes:?}");
    told(&explained_, &call("1,2,3,4,5,6")).await;
    assert!(model.sizes()[sizes.len()..].iter().all(|size| *size == 1));

    let model = Arc::new(Formula { of: sum, ..Formula::default() });
    let at_most = json!({"MaxRecordCount": 4});
    let explained = explained(Arc::clone(&model) as _, &config("0,0,0,0,0,0", at_most, json!({}))).await;
    told(&explained, &call("1,2,3,4,5,6")).await;
    assert_eq!(model.sizes()[2..], [vec![4; 15], vec![2]].concat());
}

#[tokio::test]
async fn the_number_of_samples_bounds_what_the_model_is_asked() {
    let model = Arc::new(Formula { of: sum, ..Formula::default() });
    let few = json!({"NumberOfSamples": 10, "Seed": 3});
    let baseline = vec!["0"; 20].join(",");
    let explained = explained(Arc::clone(&model) as _, &config(&baseline, json!({}), few)).await;
    let row = (1..=20).map(|number: usize| number.to_string()).collect::<Vec<_>>().join(",");
    let first = told(&explained, &call(&row)).await;
    assert_eq!(model.sizes(), [1, 1, 10]);
    let sum: f64 = attributions_in(&first, 0).iter().flatten().sum();
    assert!((sum - 210.0).abs() < 1e-9, "{sum}");
    assert_eq!(told(&explained, &call(&row)).await, first, "a seed decides");
}

#[tokio::test]
async fn what_cannot_be_explained_is_refused_with_its_reason() {
    let model = Arc::new(Formula::default());
    let explained_ = explained(Arc::clone(&model) as _, &config("0,0,0,0", json!({}), json!({}))).await;
    let json_call = ModelRequest { content_type: Some("application/json".into()), ..call("[[1,2,3,4]]") };
    let jsonl = ModelRequest { content_type: Some("application/jsonlines".into()), ..call("[1,2,3,4]") };
    for (request, words) in [
        (call("1,2,3"), "the records have 3 features, but the SHAP baseline has 4"),
        (call("1,2,3,4\n1,2"), "record 2 has 2 features, but record 1 has 4"),
        (call(""), "the body cannot be read: there are no records"),
        (json_call, "ContentType \"application/json\" is not read by the explainer, which reads text/csv and"),
        (jsonl, "no ContentTemplate"),
    ] {
        let message = refused(&explained_, &request).await;
        assert!(message.contains(words), "{message}");
    }
    assert!(model.sizes().is_empty(), "the model was asked");
    type Case = (fn(&[f64]) -> Row, fn(&[Row]) -> String, &'static str, Value, &'static str);
    let broken: [Case; 6] = [
        (sum, lines_of_words, "text/csv", json!({}), "has no number or list of numbers"),
        (
            sum,
            lines,
            "text/csv",
            json!({"ProbabilityIndex": 3}),
            "ProbabilityIndex of record 1 of the model's answer: there are 1 columns",
        ),
        (sum, lines, "application/json", json!({}), "ask for one of them with Accept"),
        (sum, |_| "1\n2\n3".into(), "text/csv", json!({}), "the model answered 3 records to 1"),
        (
            |x| vec![0.5; 1 + usize::from(x[0] == 0.0)],
            lines,
            "text/csv",
            json!({}),
            "2 numbers to a synthetic record, and 1 to the call",
        ),
        (
            |x| vec![if x[0] == 0.0 { f64::NAN } else { 1.0 }],
            lines,
            "text/csv",
            json!({}),
            "about a synthetic record: record 1",
        ),
    ];
    for (of, words, answers_in, inference, reason) in broken {
        let model = Arc::new(Formula { of, words, answers_in, ..Formula::default() });
        let explained = explained(model, &config("0,0,0,0", inference, json!({}))).await;
        let message = refused(&explained, &call("1,2,3,4")).await;
        assert!(message.contains(reason), "{message}");
    }
    let logit = explained(Arc::new(Formula::default()), &config("0,0,0,0", json!({}), json!({"UseLogit": true}))).await;
    assert!(refused(&logit, &call("1,2,3,4")).await.contains("UseLogit is for probabilities from 0 to 1"));
}

fn lines_of_words(rows: &[Row]) -> String {
    "cat\n".repeat(rows.len())
}

#[tokio::test]
async fn a_call_asks_for_no_more_than_the_limits() {
    let wide = |features: usize| vec!["0"; features].join(",");
    let model = Arc::new(Formula { of: sum, ..Formula::default() });
    let explained_ = explained(Arc::clone(&model) as _, &config(&wide(200), json!({}), json!({}))).await;
    let rows = format!("{}\n", vec!["1"; 200].join(",")).repeat(1_000);
    let message = refused(&explained_, &call(&rows)).await;
    assert!(message.contains("send fewer records, or lower NumberOfSamples"), "{message}");
    assert_eq!(model.sizes(), [1_000]);
    let many = "1,".repeat(199) + "1\n";
    let message = refused(&explained_, &call(&many.repeat(2_501))).await;
    assert!(message.contains("the body cannot be read: there are more than 500000 values"), "{message}");
    let small = json!({"MaxPayloadInMB": 1});
    let explained = explained(model, &config("0,0", small, json!({}))).await;
    let message = refused(&explained, &call(&format!("1,{}", "x".repeat(1 << 20)))).await;
    assert!(message.contains("larger than the 1048576 bytes of MaxPayloadInMB"), "{message}");
}

#[test]
fn configurations_that_cannot_be_carried_out_are_refused() {
    let with = |place: &str, value: Value| {
        let mut config = config("0,0", json!({}), json!({}));
        *config["ClarifyExplainerConfig"].pointer_mut(place).unwrap() = value;
        config
    };
    let shap = |shap: Value| with("/ShapConfig", shap);
    let baseline = |baseline: Value| shap(json!({"ShapBaselineConfig": baseline}));
    let inference = |inference: Value| with("/InferenceConfig", inference);
    let text =
        json!({"ShapBaselineConfig": {"ShapBaseline": "x"}, "TextConfig": {"Language": "fr", "Granularity": "token"}});
    let numbers =
        json!({"ShapBaselineConfig": {"ShapBaseline": "1"}, "TextConfig": {"Language": "en", "Granularity": "token"}});
    let samples = json!({"ShapBaselineConfig": {"ShapBaseline": vec!["0"; 20].join(",")}, "NumberOfSamples": 100_000});
    for (config, words) in [
        (json!({}), "ExplainerConfig names no explainer"),
        (shap(text), "TextConfig has Language fr, whose texts captura cannot cut"),
        (inference(json!({"FeatureTypes": ["text"]})), "FeatureTypes names texts, and no TextConfig says"),
        (shap(numbers), "TextConfig finds no text to cut"),
        (inference(json!({"FeatureHeaders": ["a"]})), "FeatureHeaders names 1 features, and the SHAP baseline has 2"),
        (inference(json!({"ProbabilityAttribute": "a."})), "ProbabilityAttribute is not a JMESPath expression"),
        (inference(json!({"ContentTemplate": "{}"})), "ContentTemplate needs exactly one $features"),
        (baseline(json!({})), "ShapBaselineConfig needs a ShapBaseline or a ShapBaselineUri"),
        (baseline(json!({"ShapBaseline": "1", "ShapBaselineUri": "s3://a/b"})), "exclude each other"),
        (baseline(json!({"ShapBaselineUri": "https://a/b"})), "ShapBaselineUri is no s3:// address"),
        (baseline(json!({"ShapBaseline": "1,2\n3"})), "ShapBaseline cannot be read: record 2 has 1 features"),
        (baseline(json!({"ShapBaseline": "1", "MimeType": "application/json"})), "MimeType"),
        (baseline(json!({"ShapBaseline": vec!["0"; 513].join(",")})), "has 513 features; from 1 to 512"),
        (shap(samples), "NumberOfSamples makes 100000 samples; 16384 at most"),
    ] {
        let error = ExplainerSpec::read(&config).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
    let mut config = config("0,0", json!({}), json!({"EnableExplanations": "a >"}));
    let error = ExplainerSpec::read(&config).unwrap_err().to_string();
    assert!(error.starts_with("EnableExplanations is not a JMESPath expression"), "{error}");
    config["ClarifyExplainerConfig"]["EnableExplanations"] = json!("a > `1`");
    assert!(ExplainerSpec::read(&config).is_ok());
}

#[tokio::test]
async fn a_baseline_is_fetched_from_its_store() {
    let store = Arc::new(InMemory::new());
    store.put(&"base/lines.jsonl".into(), "{\"in\":[1,1]}\n[3,5]".into()).await.unwrap();
    store.put(&"base/broken.csv".into(), "1,2\n3".into()).await.unwrap();
    let stores: StoreResolver = Arc::new(move |uri| {
        let path = object_store::path::Path::from(uri.key());
        Ok((uri.bucket() == "data").then(|| (Arc::clone(&store) as Arc<dyn object_store::ObjectStore>, path)))
    });
    let at = |uri: &str, media_type: &str| {
        let inference = json!({"FeaturesAttribute": "in", "ContentTemplate": "{\"in\":$features}"});
        let mut config = config("0", inference, json!({}));
        let baseline = json!({"ShapBaselineUri": uri, "MimeType": media_type});
        config["ClarifyExplainerConfig"]["ShapConfig"]["ShapBaselineConfig"] = baseline;
        config
    };
    let explainer =
        loaded(&at("s3://data/base/lines.jsonl", "application/jsonlines"), Arc::clone(&stores)).await.unwrap();
    let model = Explained::new(Arc::new(Formula { of: sum, ..Formula::default() }), explainer);
    assert_eq!(attributions_in(&told(&model, &call("4,4")).await, 0), [[2.0], [1.0]]);
    for (uri, words) in [
        ("s3://data/base/none.csv", "ShapBaselineUri names no object: s3://data/base/none.csv"),
        ("s3://other/base.csv", "ShapBaselineUri names no object"),
        ("s3://data/base", "ShapBaselineUri names no object"),
        (
            "s3://data/base/broken.csv",
            "ShapBaselineUri cannot be read: s3://data/base/broken.csv: record 2 has 1 features",
        ),
    ] {
        let error = loaded(&at(uri, "text/csv"), Arc::clone(&stores)).await.unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}

#[tokio::test]
async fn a_model_behind_an_explainer_is_otherwise_what_it_was() {
    let explained = explained(Arc::new(Formula::default()), &config("0,0,0,0", json!({}), json!({}))).await;
    let extras = Extras { target_model: true, explanations: true, ..Extras::default() };
    assert_eq!((explained.extras(), explained.instances()), (extras, 1));
}

/// How often a text says something good, less how often it says something bad.
fn mood(x: &str) -> f64 {
    let of = |word: &str| x.matches(word).count() as f64;
    of("good") + of("bom") - of("bad")
}

/// The mood of each text, and twice the number beside it.
#[derive(Debug)]
struct Mood;

impl Backend for Mood {
    fn invoke<'a>(&'a self, request: &'a ModelRequest) -> Invoking<'a> {
        Box::pin(async {
            let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(&*request.body);
            let score = |row: csv::StringRecord| {
                let number = row.get(1).map_or(0.0, |cell| cell.parse().unwrap());
                format!("{}\n", mood(&row[0]) + 2.0 * number)
            };
            let body: String = reader.records().map(|row| score(row.unwrap())).collect();
            Ok(Answer { body: body.into(), content_type: Some("text/csv".into()), ..Answer::default() })
        })
    }
}

async fn parts_of(language: &str, granularity: &str, baseline: &str, body: &str) -> Vec<Value> {
    let more = json!({"TextConfig": {"Language": language, "Granularity": granularity}});
    let model = explained(Arc::new(Mood), &config(baseline, json!({}), more)).await;
    told(&model, &call(body)).await["explanations"]["kernel_shap"][0].as_array().unwrap().clone()
}

/// Words, where they begin, and what they add, rounded.
fn words(feature: &Value) -> Vec<(String, u64, i64)> {
    let part = |one: &Value| {
        let (said, added) = (&one["description"], one["attribution"][0].as_f64().unwrap());
        assert!((added - added.round()).abs() < 1e-6, "{one}");
        (said["partial_text"].as_str().unwrap().to_owned(), said["start_idx"].as_u64().unwrap(), added.round() as i64)
    };
    feature["attributions"].as_array().unwrap().iter().map(part).collect()
}

#[tokio::test]
async fn the_tokens_of_a_text_are_explained_one_by_one_beside_other_features() {
    let features = parts_of("en", "token", ",0", "\"é good, not bad\",3").await;
    let part = |text: &str, start: u64, added: i64| (text.to_owned(), start, added);
    let expected = [part("é", 0, 0), part("good", 2, 1), part(",", 6, 0), part("not", 8, 0), part("bad", 12, -1)];
    assert_eq!(words(&features[0]), expected);
    let number = &features[1]["attributions"];
    assert!((number[0]["attribution"][0].as_f64().unwrap() - 6.0).abs() < 1e-6, "{number}");
    assert_eq!((number.as_array().unwrap().len(), number[0].get("description")), (1, None));
}

#[tokio::test]
async fn sentences_and_paragraphs_are_replaced_whole_by_the_baselines_text() {
    let sentences = parts_of("pt", "sentence", "bad", "\"O Sr. bom é bom. Nada aqui.\"").await;
    let part = |text: &str, start: u64, added: i64| (text.to_owned(), start, added);
    assert_eq!(words(&sentences[0]), [part("O Sr. bom é bom.", 0, 3), part("Nada aqui.", 17, 1)]);
    let paragraphs = parts_of("en", "paragraph", "x", "\"good\ngood\n\nbad\"").await;
    assert_eq!(words(&paragraphs[0]), [part("good\ngood", 0, 2), part("bad", 11, -1)]);
    let blank = parts_of("en", "token", "x", "\" \"").await;
    assert_eq!(words(&blank[0]), []);
}

#[tokio::test]
async fn a_text_of_too_many_parts_is_refused_with_what_helps() {
    let more = json!({"TextConfig": {"Language": "en", "Granularity": "token"}});
    let model = explained(Arc::new(Mood), &config("x", json!({"FeatureTypes": ["text"]}), more)).await;
    let why = refused(&model, &call(&"a ".repeat(513))).await;
    assert!(why.starts_with("record 1 has 513 tokens and other features, and 512 can be explained"), "{why}");
}
