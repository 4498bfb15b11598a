//! Texts and shapes are those of aws/sagemaker-xgboost-container, algorithm mode.

use captura_route::Backend as _;
use std::fs;
use std::path::PathBuf;

use super::super::Trees;
use super::*;

const TODAY: &str = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1";
const EARLIER: &str = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:0.90-2-cpu-py3";
const FIRST: &str = "811284229777.dkr.ecr.us-east-1.amazonaws.com/xgboost:1";
const ROW: &str = "-0.5,0.25,,1,2,3";

fn load(image: &str, file: &str, environment: &[(&str, &str)]) -> Result<Trees, LoadError> {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "tests", "data", file].iter().collect();
    let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let spec = ModelSpec { image: image.to_owned(), model_data_url: None, environment, ..ModelSpec::default() };
    Trees::load_for(&spec, "xgboost-model", &fs::read(path).unwrap())
}

fn request(body: &str, content_type: Option<&str>, accept: Option<&str>) -> ModelRequest {
    ModelRequest {
        body: Bytes::copy_from_slice(body.as_bytes()),
        content_type: content_type.map(Into::into),
        accept: accept.map(Into::into),
        ..ModelRequest::default()
    }
}

fn ask(model: &Trees, body: &str, content_type: &str, accept: Option<&str>) -> String {
    let answer = model.answer(&request(body, Some(content_type), accept)).unwrap();
    String::from_utf8(answer.body.to_vec()).unwrap()
}

fn refused(model: &Trees, body: &str, content_type: &str, accept: Option<&str>) -> (u16, String) {
    let refusal = model.answer(&request(body, Some(content_type), accept)).unwrap_err();
    (refusal.status(), refusal.to_string())
}

/// Single precision as Python prints it after `tolist()`.
fn widened(shortest: &str) -> String {
    let mut body = Vec::new();
    PythonValue::Float(f64::from(shortest.trim().parse::<f32>().unwrap())).write_str(&mut body);
    String::from_utf8(body).unwrap()
}

#[test]
fn numbers_are_single_precision_widened_and_rows_are_laid_out_by_version() {
    let plain = load("captura/trees", "xgboost/xgb1_7_binary.bin", &[]).unwrap();
    let score = widened(&ask(&plain, ROW, "text/csv", None));
    assert!(score.len() > 12, "{score}");
    let two = format!("{ROW}\n{ROW}");
    for (image, one_row, two_rows) in [
        (TODAY, format!("{score}\n"), format!("{score}\n{score}\n")),
        (EARLIER, score.clone(), format!("{score},{score}")),
        (FIRST, score.clone(), format!("{score},{score}")),
    ] {
        let model = load(image, "xgboost/xgb1_7_binary.bin", &[]).unwrap();
        assert_eq!(ask(&model, ROW, "text/csv", None), one_row, "{image}");
        assert_eq!(ask(&model, &two, "text/csv", Some("*/*")), two_rows, "{image}");
        let json = ask(&model, &two, "csv", Some("application/json"));
        assert_eq!(json, format!("{{\"predictions\": [{{\"score\": {score}}}, {{\"score\": {score}}}]}}"));
        let lines = ask(&model, &two, "text/csv; label_size=1", Some("application/jsonlines"));
        assert_eq!(lines, format!("{{\"score\": {score}}}\n{{\"score\": {score}}}\n"));
    }
}

#[test]
fn several_outputs_are_cells_of_a_line_or_lists() {
    let plain = load("captura/trees", "xgboost/xgb1_7_softprob.bin", &[]).unwrap();
    let scores: Vec<String> = ask(&plain, ROW, "text/csv", None).split(',').map(widened).collect();
    let (cells, list) = (scores.join(","), scores.join(", "));
    let today = load(TODAY, "xgboost/xgb1_7_softprob.bin", &[]).unwrap();
    assert_eq!(ask(&today, ROW, "text/csv", None), format!("{cells}\n"));
    let json = ask(&today, ROW, "text/csv", Some("application/json"));
    assert_eq!(json, format!("{{\"predictions\": [{{\"score\": [{list}]}}]}}"));
    let earlier = load(EARLIER, "xgboost/xgb1_7_softprob.bin", &[]).unwrap();
    assert_eq!(ask(&earlier, &format!("{ROW}\n{ROW}"), "text/csv", None), format!("[{list}],[{list}]"));
}

#[test]
fn libsvm_counts_from_zero_unless_it_cannot() {
    let model = load(TODAY, "xgboost/xgb1_7_binary.bin", &[]).unwrap();
    let score = ask(&model, ROW, "text/csv", None);
    let from_zero = "0 0:-0.5 1:0.25 3:1 4:2 5:3";
    for content_type in ["libsvm", "text/libsvm", "text/x-libsvm; charset=utf-8", "application/octet-stream"] {
        assert_eq!(ask(&model, from_zero, content_type, None), score, "{content_type}");
    }
    let without_type = model.answer(&request(from_zero, None, None)).unwrap();
    assert_eq!(without_type.body, score);
    assert_eq!(model.answer(&request(ROW, None, None)).unwrap().body, score);
    assert_eq!(ask(&model, "0 1:-0.5 2:0.25 4:1 5:2 6:3", "text/libsvm", None), score);
    // Feature 0 is missing here, not the body shifted.
    let sparse = ask(&model, ",0.25,,1,2,3", "text/csv", None);
    assert_eq!(ask(&model, "1:0.25 3:1 4:2 5:3", "text/libsvm", None), sparse);
    let (status, text) = refused(&model, "0 0:1 6:3", "text/libsvm", None);
    let words = "Feature size of libsvm inference data 7 is larger than feature size of trained model 6.";
    assert_eq!((status, text), (400, format!("Unable to evaluate payload provided: {words}")));
    let (status, text) = refused(&model, "0 a:1", "text/libsvm", None);
    assert_eq!(status, 415);
    assert!(text.starts_with("Loading libsvm data failed with Exception, please ensure data is in libsvm format:\n"));
    assert!(text.ends_with("\"a:1\" is no index:value"), "{text}");
}

#[test]
fn many_sparse_rows_are_widened_in_blocks() {
    let model = load(TODAY, "xgboost/xgb1_7_binary.bin", &[]).unwrap();
    let rows = BLOCK_NUMBERS / 6 + 3;
    let (first, last) = ("0:9", "5:-9");
    let body = format!("{}{last}", format!("{first}\n").repeat(rows));
    let answer = ask(&model, &body, "text/libsvm", None);
    let lines: Vec<&str> = answer.lines().collect();
    assert_eq!(lines.len(), rows + 1);
    let alone = ask(&model, first, "text/libsvm", None);
    assert!(lines[..rows].iter().all(|line| *line == alone.trim()));
    assert_eq!(lines[rows], ask(&model, last, "text/libsvm", None).trim());
}

#[test]
fn the_number_of_features_is_checked_as_the_container_does() {
    let pickled = load(TODAY, "xgboost/xgb1_7_named_p4.pkl", &[]).unwrap();
    let saved = load(TODAY, "xgboost/xgb1_7_binary.bin", &[]).unwrap();
    let text = |found: usize| {
        let words = format!(
            "Feature size of csv inference data {found} is not consistent with feature size of trained model 6."
        );
        (400, format!("Unable to evaluate payload provided: {words}"))
    };
    for model in [&pickled, &saved] {
        assert_eq!(refused(model, "1,2,3,4,5,6,7", "text/csv", None), text(7));
        assert_eq!(ask(model, "1,2,3,4,5", "text/csv", None), ask(model, "1,2,3,4,5,", "text/csv", None));
    }
    assert_eq!(refused(&pickled, "1,2,3", "text/csv", None), text(3));
    assert_eq!(ask(&saved, "1,2,3", "text/csv", None), ask(&saved, "1,2,3,,,", "text/csv", None));
    // The extension: a header puts columns in order.
    let named = ask(&pickled, "s3,s2,s1,bp,bmi,age\n6,5,4,3,2,1", "text/csv; header=present", None);
    assert_eq!(named, ask(&pickled, "1,2,3,4,5,6", "text/csv", None));
}

#[test]
fn what_the_container_does_not_take_or_give_is_refused_in_its_words() {
    let model = load(TODAY, "xgboost/xgb1_7_binary.bin", &[]).unwrap();
    for content_type in ["application/json", "image/png", "application/x-recordio-protobuf"] {
        let text = format!("{content_type} is not an accepted ContentType: {CONTENT_TYPES}.");
        assert_eq!(refused(&model, "[[1]]", content_type, None), (415, text));
    }
    let (status, text) = refused(&model, ROW, "text/csv; label_size=2", None);
    assert_eq!(status, 415);
    assert!(text.ends_with("Optional parameter label_size must be equal to 1"), "{text}");
    let (status, text) = refused(&model, "1,2,x,4,5,6", "text/csv", None);
    let words = "Loading csv data failed with Exception, please ensure data is in csv format:\n <class 'ValueError'>\n \
                 could not convert string to float: 'x'";
    assert_eq!((status, text.as_str()), (415, words));
    assert_eq!(refused(&model, " \n", "text/csv", None).0, 415);
    for accept in ["text/plain", "application/x-recordio-protobuf"] {
        let text = format!("Accept type {accept} is not supported. Please use supported accept types: {ACCEPTS}.");
        assert_eq!(refused(&model, ROW, "text/csv", Some(accept)), (406, text));
    }
    let empty = model.answer(&request("", Some("text/csv"), None)).unwrap();
    assert!(empty.body.is_empty());
}

#[test]
fn the_environment_names_the_default_answer() {
    let environment = [("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT", "application/json")];
    let model = load(TODAY, "xgboost/xgb1_7_binary.bin", &environment).unwrap();
    let answer = model.answer(&request(ROW, Some("text/csv"), Some("*/*"))).unwrap();
    assert_eq!(answer.content_type.as_deref(), Some("application/json"));
    let csv = model.answer(&request(ROW, Some("text/csv"), Some("text/csv"))).unwrap();
    assert_eq!(csv.content_type.as_deref(), Some("text/csv; charset=utf-8"));
}

/// Answers of one row with these parts selected: JSON's object, and CSV.
fn selected(file: &str, parts: &str) -> (String, String) {
    let model = load(TODAY, file, &[(selection::VARIABLE, parts)]).unwrap();
    let json = ask(&model, ROW, "text/csv", Some("application/jsonlines"));
    (json.trim_end().to_owned(), ask(&model, ROW, "text/csv", None))
}

fn scores(file: &str) -> Vec<f64> {
    let model = load(TODAY, file, &[]).unwrap();
    ask(&model, ROW, "text/csv", None).trim().split(',').map(|score| score.parse().unwrap()).collect()
}

fn printed(values: &[f64]) -> String {
    let mut body = Vec::new();
    score(values).write_str(&mut body);
    String::from_utf8(body).unwrap()
}

#[test]
fn parts_of_an_answer_can_be_selected() {
    let all = "raw_scores, raw_score, PROBABILITIES,probability,labels,predicted_label";
    let file = "xgboost/xgb1_7_binary.bin";
    let one = scores(file)[0];
    let (label, single, both) = (i64::from(one > 0.5), printed(&[one]), printed(&[1.0 - one, one]));
    let (json, csv) = selected(file, all);
    let wanted = format!(
        "{{\"predicted_label\": {label}, \"labels\": [0, 1], \"probability\": {single}, \"probabilities\": {both}, \
         \"raw_score\": {single}, \"raw_scores\": {both}}}"
    );
    assert_eq!(json, wanted);
    assert_eq!(csv, format!("\"{both}\",{single},\"{both}\",{single},\"[0, 1]\",{label}"));

    let file = "xgboost/xgb1_7_softprob.bin";
    let three = scores(file);
    let largest = three.iter().copied().fold(0.0, f64::max);
    let label = three.iter().position(|score| *score == largest).unwrap();
    let (json, _) = selected(file, "predicted_label,labels,probability,raw_scores");
    let wanted = format!(
        "{{\"predicted_label\": {label}, \"labels\": [0, 1, 2], \"probability\": {}, \"raw_scores\": {}}}",
        printed(&[largest]),
        printed(&three)
    );
    assert_eq!(json, wanted);

    let (json, csv) = selected("xgboost/xgb1_7_softmax.bin", "probability,predicted_label,labels");
    assert!(
        json.starts_with("{\"predicted_label\": ") && json.contains(".0, \"labels\": [0, 1, 2], \"probability\": NaN}")
    );
    assert!(csv.starts_with("nan,") && csv.ends_with(".0,\"[0, 1, 2]\""), "{csv}");

    let file = "xgboost/xgb1_7_logitraw.bin";
    let margin = scores(file)[0];
    let (json, _) = selected(file, "predicted_label,raw_score,probability");
    let label = i64::from(margin > 0.0);
    assert_eq!(
        json,
        format!("{{\"predicted_label\": {label}, \"raw_score\": {}, \"probability\": NaN}}", printed(&[margin]))
    );

    let file = "xgboost/xgb1_7_linear_name.bin";
    let value = printed(&scores(file));
    assert_eq!(
        selected(file, "predicted_score,labels").0,
        format!("{{\"predicted_score\": {value}, \"labels\": NaN}}")
    );
}

#[test]
fn what_cannot_be_selected_is_said() {
    let parts = [(selection::VARIABLE, "predicted_score")];
    let poisson = load(TODAY, "xgboost/xgb1_7_poisson.bin", &parts).unwrap();
    let text = "Objective `count:poisson` unsupported for selectable inference predictions.";
    assert_eq!(refused(&poisson, ROW, "text/csv", None), (500, text.to_owned()));
    let error = load(TODAY, "xgboost/xgb1_7_binary.bin", &[(selection::VARIABLE, "score")]).unwrap_err().to_string();
    assert!(error.contains("SAGEMAKER_INFERENCE_OUTPUT=\"score\"; give a list of predicted_label"), "{error}");
}

#[test]
fn other_images_keep_their_conduct() {
    for (image, is) in [
        (TODAY, true),
        (EARLIER, true),
        (FIRST, true),
        ("captura/trees", false),
        ("", false),
        ("registry.example.com/xgboost:1", false),
    ] {
        assert_eq!(Container::is_image(image), is, "{image}");
    }
    for (tag, lines) in
        [("1.5-1", true), ("3.0-5", true), ("1.3-1", false), ("0.90-1-cpu-py3", false), ("latest", true)]
    {
        assert_eq!(writes_lines(&format!("x/sagemaker-xgboost:{tag}")), lines, "{tag}");
    }
    let plain = load("captura/trees", "xgboost/xgb1_7_binary.bin", &[]).unwrap();
    assert!(ask(&plain, "[[1,2,3,4,5,6]]", "application/json", None).parse::<f32>().is_ok());
}

/// Serves a folder with these files of the test data under these names.
async fn serve(files: &[(&str, &str)], environment: &[(&str, &str)]) -> Result<String, String> {
    let folder = tempfile::tempdir().unwrap();
    for (file, name) in files {
        let source: PathBuf = [env!("CARGO_MANIFEST_DIR"), "tests", "data", file].iter().collect();
        let target = folder.path().join("model").join(name);
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(source, target).unwrap();
    }
    let settings = crate::Settings { allow_file_urls: true, ..crate::Settings::new(folder.path().join("cache")) };
    let backends = crate::Backends::new(settings, std::sync::Arc::new(|_| Err("no stores here".into())));
    let spec = ModelSpec {
        image: EARLIER.into(),
        model_data_url: Some(folder.path().join("model").display().to_string()),
        environment: environment.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
        ..ModelSpec::default()
    };
    let backend = backends.load(&spec, crate::Launch::default()).await.map_err(|error| error.to_string())?;
    let answer = backend.invoke(&request(ROW, Some("text/csv"), None)).await.unwrap();
    Ok(String::from_utf8(answer.body.to_vec()).unwrap())
}

#[tokio::test]
async fn the_models_of_a_cross_validation_answer_together() {
    let (binary, forest) = ("xgboost/xgb1_7_binary.bin", "xgboost/xgb1_7_forest.bin");
    let (one, other) = (scores(binary)[0] as f32, scores(forest)[0] as f32);
    let folds = [(binary, "xgboost-model-0"), (forest, "xgboost-model-1"), ("make_xgboost.py", "notes.py")];
    let averaged = serve(&folds, &[]).await.unwrap();
    assert_eq!(averaged, printed(&[f64::from((one + other) / 2.0)]));
    let first = serve(&folds, &[("SAGEMAKER_INFERENCE_ENSEMBLE", "false")]).await.unwrap();
    assert_eq!(first, printed(&[f64::from(one)]));
    let named = serve(&[(forest, "xgboost-model"), (binary, "a")], &[]).await.unwrap();
    assert_eq!(named, printed(&[f64::from(other)]));
    let deeper = serve(&[(forest, "m/xgboost-model"), (binary, ".a")], &[]).await.unwrap();
    assert_eq!(deeper, printed(&[f64::from(other)]));
    let error = serve(&[(binary, "a"), ("xgboost/xgb1_7_gamma.bin", "b")], &[]).await.unwrap_err();
    assert!(error.contains("b cannot be served: it differs from a in features, outputs or objective"), "{error}");
}

#[test]
fn classes_are_voted_on() {
    assert_eq!(most_common(vec![2.0, 0.0, 2.0]), 2.0);
    assert_eq!(most_common(vec![2.0, 1.0]), 1.0);
}
