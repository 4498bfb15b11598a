//! Models in the formats that SageMaker's containers left behind: `tests/data/xgboost`, made by
//! `tests/data/make_xgboost.py` with six versions of XGBoost, each noting its own predictions.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use captura_route::ModelRequest;
use proptest::prelude::*;
use serde::Deserialize;

use super::Trees;

#[derive(Deserialize)]
struct Expected {
    rows: Vec<Vec<String>>,
}

fn path(folder: &str, name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "data", folder, name].iter().collect()
}

fn data(name: &str) -> Vec<u8> {
    fs::read(path("xgboost", name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn reference() -> BTreeMap<String, Expected> {
    serde_json::from_slice(&data("expected.json")).unwrap()
}

fn body(rows: usize) -> Vec<u8> {
    let body = fs::read_to_string(path("trees", "numeric.csv")).unwrap();
    body.lines().take(rows).collect::<Vec<_>>().join("\n").into_bytes()
}

/// SageMaker names them all alike.
fn load(bytes: &[u8]) -> Result<Trees, String> {
    Trees::load("xgboost-model", bytes, &BTreeMap::new()).map_err(|error| error.to_string())
}

fn answer(model: &Trees, body: Vec<u8>) -> String {
    let answer = model.answer(&ModelRequest { body: body.into(), ..ModelRequest::default() }).unwrap();
    String::from_utf8(answer.body.to_vec()).unwrap()
}

#[test]
fn models_of_old_answer_as_the_library_that_wrote_them() {
    let reference = reference();
    assert!(reference.len() >= 85, "{}", reference.len());
    let mut found = Vec::new();
    for (name, expected) in &reference {
        let model = load(&data(name)).unwrap_or_else(|reason| panic!("{name}: {reason}"));
        let answer = answer(&model, body(expected.rows.len()));
        let lines: Vec<&str> = answer.split('\n').collect();
        assert_eq!(lines.len(), expected.rows.len(), "{name}");
        for (row, (got, wanted)) in lines.iter().zip(&expected.rows).enumerate() {
            let bits = |cells: Vec<&str>| cells.iter().map(|c| c.parse::<f32>().unwrap().to_bits()).collect::<Vec<_>>();
            if bits(got.split(',').collect()) != bits(wanted.iter().map(String::as_str).collect()) {
                found.push(format!("{name} row {row}: {got}, not {}", wanted.join(",")));
            }
        }
    }
    assert!(found.is_empty(), "{} differences:\n{}", found.len(), found.join("\n"));
}

#[test]
fn what_python_keeps_beside_the_model_is_kept() {
    let model = load(&data("xgb0_90_named_p2.pkl")).unwrap();
    let names: Vec<_> = model.0.signature.inputs.iter().map(|field| field.name.clone()).collect();
    assert_eq!(names, ["age", "bmi", "bp", "s1", "s2", "s3"]);
    // Early stopping, which 0.90 notes outside the model: some of up to 30 trees.
    let stopped = load(&data("xgb0_90_stopped_p4.pkl")).unwrap();
    assert!(stopped.trees() < 5, "{}", stopped.trees());
}

#[test]
fn a_wrapper_with_its_own_missing_value_is_refused() {
    for version in ["0_90", "1_3", "1_5", "1_7", "2_1", "3_0"] {
        let reason = load(&data(&format!("xgb{version}_missing.pkl"))).unwrap_err();
        assert!(reason.contains("takes -999 for missing") && reason.contains("save_model"), "{reason}");
    }
}

#[test]
fn the_header_of_the_binary_format_and_old_padding_do_not_matter() {
    let with_header = data("xgb1_7_binary.bin");
    let bare = with_header.strip_prefix(b"binf").unwrap();
    let padded = [&bare[..136], &[0; 4], &bare[136..]].concat();
    let wanted = answer(&load(&with_header).unwrap(), body(5));
    for bytes in [bare.to_vec(), padded] {
        assert_eq!(answer(&load(&bytes).unwrap(), body(5)), wanted);
    }
}

#[test]
fn a_binary_model_that_is_cut_off_or_odd_is_refused() {
    let whole = data("xgb0_90_binary.bin");
    for length in [200, 400, 700, whole.len() - 100, whole.len() - 1] {
        let reason = load(&whole[..length]).unwrap_err();
        assert!(reason.contains("cut off"), "{length}: {reason}");
    }
    let objective = b"binary:logistic";
    let at = whole.windows(objective.len()).position(|window| window == objective).unwrap();
    let mut custom = whole.clone();
    custom[at..at + objective.len()].copy_from_slice(b"binary:logistik");
    assert!(load(&custom).unwrap_err().contains("objective \"binary:logistik\" is not supported"));
    // Parameters of the first tree follow those of all trees.
    let tree = at + objective.len() + 8 + b"gbtree".len() + 160;
    let mut roots = whole.clone();
    roots[tree] = 2;
    assert!(load(&roots).unwrap_err().contains("it has 2 roots"));
    let mut vectors = whole.clone();
    vectors[tree + 20] = 3;
    assert!(load(&vectors).unwrap_err().contains("leaves that hold vectors"));
    let mut many = whole;
    many[tree + 4..tree + 8].copy_from_slice(&i32::MAX.to_le_bytes());
    assert!(load(&many).unwrap_err().contains("cut off"));
}

#[test]
fn the_buffer_of_a_pickle_is_explained_like_a_file() {
    let pickled = |buffer: &[u8]| {
        let length = u8::try_from(buffer.len()).unwrap();
        [b"\x80\x04cxgboost.core\nBooster\n)\x81}U\x06handleC", &[length][..], buffer, b"sb."].concat()
    };
    for (buffer, expected) in [
        (&b"nonsense"[..], "in no format that XGBoost wrote"),
        (b"CONFIG-offset:", "its model is cut off"),
        (b"CONFIG-offset:\x09\0\0\0\0\0\0\0", "its model is cut off"),
        (b"CONFIG-offset:\xff\xff\xff\xff\xff\xff\xff\xff", "its model is cut off"),
        (b"{\"Model\":{\"learner\":7}}", "not an XGBoost model"),
        (b"{\"learner\":{}}", "missing field"),
        (b"{\"Config\":{\"learner\":{}}}", "missing field `learner`"),
    ] {
        let reason = load(&pickled(buffer)).unwrap_err();
        assert!(reason.contains("the booster inside the pickle") && reason.contains(expected), "{reason}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn damaged_models_of_old_load_or_are_refused(
        which in 0_usize..6, at in any::<prop::sample::Index>(), bytes in proptest::collection::vec(any::<u8>(), 0..6), cut in any::<bool>(),
    ) {
        let names = [
            "xgb0_90_dart.bin", "xgb1_7_linear_classes.bin", "xgb0_90_named_p0.pkl", "xgb1_5_named_p2.pkl", "xgb1_7_regressor_p0.pkl",
            "xgb3_0_classifier_p4.pkl",
        ];
        let mut file = data(names[which]);
        let at = at.index(file.len());
        if cut {
            file.truncate(at);
        }
        let end = (at + bytes.len()).min(file.len());
        file.splice(at.min(end)..end, bytes);
        if let Ok(model) = load(&file)
            && model.0.signature.inputs.len() <= 64
        {
            answer(&model, vec!["1"; model.0.signature.inputs.len()].join(",").into_bytes());
        }
    }
}
