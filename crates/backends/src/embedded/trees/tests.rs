//! The libraries' own predictions are in `tests/data/trees`, made by `tests/data/make_trees.py`.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use bytes::Bytes;
use captura_route::{Backend as _, FieldType};
use proptest::prelude::*;
use serde::Deserialize;

use super::*;

#[derive(Deserialize)]
struct Expected {
    input: String,
    rows: Vec<Vec<String>>,
}

fn data(name: &str) -> Vec<u8> {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "tests", "data", "trees", name].iter().collect();
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn load(name: &str) -> Trees {
    Trees::load(name, &data(name), &BTreeMap::new()).unwrap_or_else(|error| panic!("{error}"))
}

fn request(body: &[u8], content_type: Option<&str>, accept: Option<&str>) -> ModelRequest {
    ModelRequest {
        body: Bytes::copy_from_slice(body),
        content_type: content_type.map(Into::into),
        accept: accept.map(Into::into),
        ..ModelRequest::default()
    }
}

fn ask(model: &Trees, body: &[u8], content_type: Option<&str>, accept: Option<&str>) -> String {
    let answer = model.answer(&request(body, content_type, accept)).unwrap();
    String::from_utf8(answer.body.to_vec()).unwrap()
}

fn refused(model: &Trees, body: &str, content_type: &str) -> String {
    model.answer(&request(body.as_bytes(), Some(content_type), None)).unwrap_err().to_string()
}

fn reference() -> BTreeMap<String, Expected> {
    serde_json::from_slice(&data("expected.json")).unwrap()
}

/// Where an answer differs from the library's, for an error that names the cell.
fn differences(name: &str, answer: &str, expected: &Expected) -> Vec<String> {
    let rows: Vec<Vec<&str>> = answer.split('\n').map(|row| row.split(',').collect()).collect();
    assert_eq!(rows.len(), expected.rows.len(), "{name}");
    let mut found = Vec::new();
    for (index, (row, wanted)) in rows.iter().zip(&expected.rows).enumerate() {
        assert_eq!(row.len(), wanted.len(), "{name} row {index}");
        for (got, wanted) in row.iter().zip(wanted) {
            let same = if name.starts_with("xgb") {
                got.parse::<f32>().unwrap().to_bits() == wanted.parse::<f32>().unwrap().to_bits()
            } else {
                let (got, wanted) = (got.parse::<f64>().unwrap(), wanted.parse::<f64>().unwrap());
                (got - wanted).abs() <= 1e-12 * wanted.abs()
            };
            if !same {
                found.push(format!("{name} row {index}: {got}, not {wanted}"));
            }
        }
    }
    found
}

#[test]
fn predictions_equal_the_libraries_own() {
    let reference = reference();
    assert!(reference.len() >= 77);
    let mut found = Vec::new();
    for (name, expected) in &reference {
        let model = load(name);
        let body = data(&expected.input);
        found.extend(differences(name, &ask(&model, &body, None, None), expected));
        // One row at a time takes another way through the forest.
        let lines: Vec<&[u8]> = body.split(|byte| *byte == b'\n').take(expected.rows.len()).collect();
        let single: Vec<String> =
            lines.iter().filter(|line| !line.is_empty()).map(|line| ask(&model, line, None, None)).collect();
        found.extend(differences(name, &single.join("\n"), expected));
    }
    assert!(found.is_empty(), "{} differences, the first:\n{}", found.len(), found[..found.len().min(5)].join("\n"));
}

#[test]
fn every_content_type_and_accept_is_answered() {
    let model = load("xgb_squarederror_names.ubj");
    let plain = "-0.5,0.25,,1,2,3";
    let score = ask(&model, plain.as_bytes(), None, None);
    let bodies = [
        (plain, "text/csv"),
        ("f,e,d,c,b,a,more\n3,2,1,,0.25,-0.5,9", "text/csv; header=present"),
        ("[-0.5,0.25,null,1,2,3]", "application/json"),
        (r#"{"instances":[[-0.5,0.25,null,1,2,3]]}"#, "application/json"),
        (r#"{"instances":[{"f":3,"e":2,"d":1,"c":null,"b":0.25,"a":-0.5}]}"#, "application/json"),
        (r#"{"instances":[{"features":[-0.5,0.25,null,1,2,3]}]}"#, "application/json"),
        (r#"{"inputs":[[-0.5,0.25,null,1,2,3]]}"#, "application/json"),
        (r#"{"inputs":{"a":[-0.5],"b":[0.25],"c":[null],"d":[1],"e":[2],"f":[3]}}"#, "application/json"),
        (
            r#"{"dataframe_split":{"columns":["a","b","c","d","e","f"],"data":[[-0.5,0.25,null,1,2,3]]}}"#,
            "application/json",
        ),
        (r#"{"dataframe_records":[{"a":-0.5,"b":0.25,"c":null,"d":1,"e":2,"f":3}]}"#, "application/json"),
        ("[-0.5,0.25,NaN,1,2,3]", "application/jsonlines"),
    ];
    let answers = [
        (None, score.clone(), "text/csv; charset=utf-8"),
        (Some("*/*"), score.clone(), "text/csv; charset=utf-8"),
        (Some("text/csv"), score.clone(), "text/csv; charset=utf-8"),
        (Some("application/json"), format!("{{\"predictions\":[{{\"score\":{score}}}]}}"), "application/json"),
        (Some("application/jsonlines"), format!("{{\"score\":{score}}}"), "application/jsonlines"),
    ];
    for (body, content_type) in bodies {
        for (accept, expected, answered) in &answers {
            let answer = model.answer(&request(body.as_bytes(), Some(content_type), *accept)).unwrap();
            assert_eq!(answer.body, expected.as_bytes(), "{body} {accept:?}");
            assert_eq!(answer.content_type.as_deref(), Some(*answered));
        }
    }
}

#[test]
fn several_outputs_are_an_array_in_json() {
    let model = load("xgb_softprob.json");
    let csv = ask(&model, b"1,2,3,4,5,6", None, None);
    assert_eq!(csv.split(',').count(), 3);
    let json = ask(&model, b"1,2,3,4,5,6", None, Some("application/json"));
    assert_eq!(json, format!("{{\"predictions\":[{{\"score\":[{csv}]}}]}}"));
}

#[test]
fn the_signature_tells_names_and_types() {
    let model = load("xgb_partition_names.ubj");
    let signature = model.signature().unwrap();
    let inputs: Vec<(&str, FieldType)> = signature.inputs.iter().map(|field| (&*field.name, field.kind)).collect();
    assert_eq!(inputs[1], ("b", FieldType::Fractional));
    assert_eq!(inputs[2], ("c", FieldType::Integral));
    assert_eq!(signature.outputs[0].name, "score");
    assert_eq!(load("xgb_softprob.json").signature().unwrap().outputs[0].shape, [Some(3)]);
    assert_eq!(load("xgb_softmax.ubj").signature().unwrap().outputs[0].kind, FieldType::Integral);
    assert_eq!(load("lgb_binary.txt").signature().unwrap().inputs[5].name, "f");
    assert_eq!(load("lgb_categories.txt").signature().unwrap().inputs[2].kind, FieldType::Integral);
    assert_eq!(load("lgb_regression.txt").signature().unwrap().inputs[0].name, "Column_0");
}

#[test]
fn a_request_that_does_not_suit_is_refused_in_the_models_words() {
    let model = load("lgb_binary.txt");
    assert_eq!(refused(&model, "1,2,3", "text/csv"), "the rows have 3 columns, but the model takes 6 columns");
    assert_eq!(
        refused(&model, "0,1,2,3,4,5,6", "text/csv"),
        "the rows have 7 columns, but the model takes 6 columns; leave the label out"
    );
    assert_eq!(refused(&model, "1,2,3,4,5,6\n1,2,x,4,5,6", "text/csv"), "row 2, column 3 (c): \"x\" is not a number");
    assert_eq!(
        refused(&model, "a,b,c,d,e\n1,2,3,4,5", "text/csv; header=present"),
        "column \"f\" is missing; the body names a, b, c, d, e"
    );
    let unknown = model.answer(&request(b"1", Some("image/png"), None)).unwrap_err();
    assert_eq!(
        BackendError::from(unknown).to_string(),
        "the model answered 415: content type \"image/png\" is not supported; send text/csv, application/json or application/jsonlines"
    );
    assert_eq!(model.answer(&request(b"1", None, Some("image/png"))).unwrap_err().status(), 406);
    // Names that nobody gave bind nobody.
    let unnamed = load("lgb_regression.txt");
    let by_place = ask(&unnamed, b"1,2,3,4,5,6", None, None);
    assert_eq!(ask(&unnamed, b"u,v,w,x,y,z\n1,2,3,4,5,6", Some("text/csv;header=present"), None), by_place);
}

#[test]
fn what_cannot_be_reproduced_is_refused_with_what_to_do() {
    let reason = |name: &str, bytes: &[u8]| Trees::load(name, bytes, &BTreeMap::new()).unwrap_err().to_string();
    let linear = reason("model.txt", &data("lgb_linear_tree.txt"));
    assert_eq!(
        linear,
        "model.txt cannot be served: tree 0: leaves that hold linear models (linear_tree=true) are not supported"
    );
    assert!(reason("xgboost-model", b"\x80\x04\x95").contains("it is a Python pickle, and none of an XGBoost Booster"));
    assert!(reason("xgboost-model", b"binf\0\0").contains("booster.save_model(\"model.json\")"));
    assert!(reason("m", b"hello").contains("no XGBoost model"));
    assert!(reason("m.json", b"{\"a\":1}").contains("it is JSON, but not an XGBoost model"));
    assert!(reason("m", b"\x08\x08\x12").contains("captura/onnx"));
    let json = String::from_utf8(data("xgb_binary.json")).unwrap();
    let broken = [
        ("binary:logistic", "custom:mine", "objective \"custom:mine\" is not supported"),
        ("\"left_children\":[1,", "\"left_children\":[0,", "has more than one parent"),
        ("\"left_children\":[1,", "\"left_children\":[99,", "node 99 does not exist"),
        ("\"left_children\":[1,", "\"left_children\":[-2,", "child -2 does not exist"),
        ("\"left_children\":[1,", "\"left_children\":[1,1,", "its lists differ in length"),
        ("\"size_leaf_vector\":\"1\"", "\"size_leaf_vector\":\"3\"", "multi_output_tree"),
        ("\"num_feature\":\"6\",\"num_target", "\"num_feature\":\"1\",\"num_target", "of 1"),
        ("\"num_feature\":\"6\",\"num_target", "\"num_feature\":\"999999999\",\"num_target", "is more than 1048576"),
        ("\"base_score\":\"[", "\"base_score\":\"[x,", "base_score"),
        ("\"name\":\"gbtree\"", "\"name\":\"gbforest\"", "booster \"gbforest\" is not supported"),
        ("\"trees\":", "\"trees\":3,\"more\":", "not an XGBoost model"),
    ];
    for (from, to, expected) in broken {
        let changed = json.replacen(from, to, 1);
        assert!(changed != json, "{from}");
        let reason = reason("m.json", changed.as_bytes());
        assert!(reason.contains(expected), "{reason}");
    }
}

#[test]
fn a_lightgbm_model_that_is_cut_off_is_refused_instead_of_served_with_fewer_trees() {
    let whole = String::from_utf8(data("lgb_binary.txt")).unwrap();
    for cut in ["\nend of trees", "\nTree=7\n", "\nTree=0\n"] {
        let short = &whole[..whole.find(cut).unwrap()];
        let error = Trees::load("model.txt", short.as_bytes(), &BTreeMap::new()).unwrap_err().to_string();
        assert!(error.contains("the LightGBM model is cut off"), "{error}");
    }
}

#[test]
fn a_broken_xgboost_model_is_explained_without_the_words_of_a_programming_language() {
    let reason = |bytes: &[u8]| Trees::load("m.json", bytes, &BTreeMap::new()).unwrap_err().to_string();
    let cut = reason(&data("xgb_binary.json")[..5_000]);
    assert!(cut.contains("the JSON is cut off") && cut.contains("copy the file again"), "{cut}");
    let other = reason(b"{\"learner\": 7}");
    assert!(other.contains("it is JSON, but not an XGBoost model") && !other.contains("Raw"), "{other}");
    let missing = reason(b"{\"learner\": {}}");
    assert!(missing.contains("missing field `gradient_booster`"), "{missing}");
}

#[test]
fn few_bytes_cannot_ask_for_gigabytes_of_categories() {
    // A list of 2^17 words, and a tree of a thousand splits that all refer to it.
    let (words, splits) = (1 << 17, 1_000_usize);
    let lists = [
        format!("num_leaves={}", splits + 1),
        "num_cat=1".into(),
        format!("split_feature={}", "0 ".repeat(splits)),
        format!("threshold={}", "0 ".repeat(splits)),
        format!("decision_type={}", "1 ".repeat(splits)),
        format!("left_child={}", (1..=splits).map(|leaf| format!("-{leaf} ")).collect::<String>()),
        format!("right_child={}-{}", (1..splits).map(|node| format!("{node} ")).collect::<String>(), splits + 1),
        format!("leaf_value={}", "0 ".repeat(splits + 1)),
        format!("cat_boundaries=0 {words}"),
        format!("cat_threshold={}", "1 ".repeat(words)),
    ];
    let file = format!("tree\nmax_feature_idx=0\nobjective=regression\n\nTree=0\n{}\nend of trees\n", lists.join("\n"));
    let error = Trees::load("m", file.as_bytes(), &BTreeMap::new()).unwrap_err().to_string();
    assert!(error.contains("too many or too large categories"), "{error}");
}

#[test]
fn the_default_format_comes_from_the_environment() {
    let environment = |value: &str| BTreeMap::from([(crate::embedded::DEFAULT_ACCEPT.to_owned(), value.to_owned())]);
    let file = data("lgb_regression.txt");
    let model = Trees::load("m", &file, &environment("application/json")).unwrap();
    assert!(ask(&model, b"1,2,3,4,5,6", None, None).starts_with('{'));
    assert!(Trees::load("m", &file, &environment("text/html")).is_err());
}

#[tokio::test]
async fn small_and_large_requests_give_the_same_answer() {
    let model = load("xgb_deep.json");
    let row = "0.1,0.2,0.3,0.4,0.5,0.6\n";
    let one = model.invoke(&request(row.as_bytes(), None, None)).await.unwrap();
    let large = request(row.repeat(20_000).as_bytes(), None, None);
    assert!(model.0.cost_ns(&large.body) > INLINE_NS);
    let many = model.invoke(&large).await.unwrap();
    assert!(many.body.split(|byte| *byte == b'\n').all(|line| line == one.body));
    assert_eq!(many.body.iter().filter(|byte| **byte == b'\n').count(), 19_999);
}

#[tokio::test]
async fn a_deployed_file_is_served() {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "tests", "data", "trees", "lgb_binary.txt"].iter().collect();
    let cache = tempfile::tempdir().unwrap();
    let settings = Settings { allow_file_urls: true, ..Settings::new(cache.path()) };
    let backends = crate::Backends::new(settings, Arc::new(|_| Err("no stores here".into())));
    let spec = ModelSpec {
        image: "captura/trees".into(),
        model_data_url: Some(path.display().to_string()),
        environment: BTreeMap::new(),
        ..ModelSpec::default()
    };
    let backend = backends.load(&spec, crate::Launch::default()).await.unwrap();
    let answer = backend.invoke(&request(b"1,2,3,4,5,6", None, None)).await.unwrap();
    assert_eq!(answer.body, ask(&load("lgb_binary.txt"), b"1,2,3,4,5,6", None, None));
}

/// Loads what may be no model; where it is one, it must answer.
fn load_damaged(name: &str, bytes: &[u8]) {
    let Ok(model) = Trees::load(name, bytes, &BTreeMap::new()) else { return };
    let width = model.0.model.features().len();
    if width <= 64 {
        let row = vec!["1"; width].join(",");
        model.answer(&request(row.as_bytes(), None, None)).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn damaged_models_load_or_are_refused(
        which in 0_usize..6, at in any::<prop::sample::Index>(), bytes in proptest::collection::vec(any::<u8>(), 0..6), cut in any::<bool>(),
    ) {
        let names = ["xgb_poisson.json", "xgb_hinge.ubj", "lgb_regression.txt", "lgb_onehot.txt", "xgb_onehot.json", "xgb_linear_classes.ubj"];
        let mut file = data(names[which]);
        let at = at.index(file.len());
        if cut {
            file.truncate(at);
        }
        let end = (at + bytes.len()).min(file.len());
        file.splice(at.min(end)..end, bytes);
        load_damaged(names[which], &file);
    }

    #[test]
    fn arbitrary_ubj_ends(bytes in proptest::collection::vec(prop_oneof![any::<u8>(), prop::sample::select(b"[]{}$#iUIlLdSZTFN".to_vec())], 0..200)) {
        let _ = ubj::from_slice::<serde_json::Value>(&bytes);
        load_damaged("m.ubj", &[b"{L".as_slice(), &bytes].concat());
    }
}
