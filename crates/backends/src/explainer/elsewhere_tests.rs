//! Explainers before models that run elsewhere: a supervised process, and a server that somebody else runs.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use captura_route::{Backend, ModelRequest};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::ExplainerSpec;
use crate::remote::{RemoteRule, RemoteUrl};
use crate::{Backends, ImageRule, Launch, LogSink, ModelSpec, ProcessRule, Settings};

/// Three features have so few subsets that all are asked about, and the attributions are exact.
const RECORDS: &str = "3,4,5\n1,0,2\n";
/// Of x * y + 2 * z against 0, 0, 0: half of the product for each of its factors, and all of the rest for the third.
const ATTRIBUTIONS: [[f64; 3]; 2] = [[6.0, 6.0, 10.0], [0.0, 0.0, 4.0]];

async fn explained(backends: &Backends, image: &str, launch: Launch) -> Arc<dyn Backend> {
    let config = json!({"ClarifyExplainerConfig": {"ShapConfig": {"ShapBaselineConfig": {"ShapBaseline": "0,0,0"}}}});
    let explainer = backends.explainer(&ExplainerSpec::read(&config).unwrap()).await.unwrap();
    let spec = ModelSpec { image: image.into(), ..ModelSpec::default() };
    let model = backends.load(&spec, launch).await.unwrap();
    Backends::explained(model, explainer)
}

async fn check(model: &dyn Backend) {
    let request = |enable: &str| ModelRequest {
        body: RECORDS.into(),
        content_type: Some("text/csv".into()),
        accept: Some("text/csv".into()),
        enable_explanations: Some(enable.into()),
        ..ModelRequest::default()
    };
    let answer = model.invoke(&request("`true`")).await.unwrap();
    let told: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(told["predictions"]["data"], "22.0\n4.0\n", "{told}");
    for (record, expected) in ATTRIBUTIONS.iter().enumerate() {
        let features = told["explanations"]["kernel_shap"][record].as_array().unwrap();
        let added = |one: &Value| one["attributions"][0]["attribution"][0].as_f64().unwrap();
        let near = |(one, wanted): (&Value, &f64)| (added(one) - wanted).abs() < 1e-9;
        assert!(features.len() == 3 && features.iter().zip(expected).all(near), "{told}");
    }
    let answer = model.invoke(&request("`false`")).await.unwrap();
    let told: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!((&told["predictions"]["data"], &told["explanations"]), (&json!("22.0\n4.0\n"), &json!({})));
}

#[tokio::test]
async fn a_process_is_asked_about_its_records_and_its_answer_is_explained() {
    // Under the system's own temporary folder, which every user reaches.
    let folder = tempfile::Builder::new().prefix("captura-explained-").tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o711)).unwrap();
    let program = folder.path().join("server/csv_model.py");
    std::fs::create_dir(program.parent().unwrap()).unwrap();
    std::fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fakes/csv_model.py"), &program).unwrap();
    let command = ["python3", "-u", program.to_str().unwrap()].map(str::to_owned).to_vec();
    // Fewer than the explainer asks about at once: it must go on in parts.
    let env = [("FAKE_TAKES".to_owned(), "5".to_owned())].into();
    let rule = ProcessRule { command, env, ..ProcessRule::default() };
    let settings = Settings {
        images: vec![ImageRule::process("team/*", rule)],
        process_environment: [("PATH".to_owned(), "/usr/local/bin:/usr/bin:/bin".to_owned())].into(),
        process_dir: folder.path().join("processes"),
        ..Settings::new(folder.path())
    };
    let backends = Backends::new(settings, Arc::new(|_| Err("no stores here".into())));
    let lines = Arc::new(Mutex::new(Vec::new()));
    let taken = Arc::clone(&lines);
    let log = LogSink::new(move |_, line| taken.lock().unwrap().push(line.text));
    let model = explained(&backends, "team/model:1", Launch { instances: 2, log, ..Launch::default() }).await;
    assert_eq!((model.instances(), model.extras().explanations), (2, true));
    check(&*model).await;
    drop(model);
    backends.close(Duration::from_secs(60)).await;
    let lines = lines.lock().unwrap();
    assert!(lines.iter().any(|line| line == "2 records"), "{lines:?}");
}

/// Answers calls of the contract until the connection ends.
async fn serve(mut stream: TcpStream) {
    let mut read = Vec::new();
    loop {
        let head = loop {
            if let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            if stream.read_buf(&mut read).await.unwrap_or(0) == 0 {
                return;
            }
        };
        let text = String::from_utf8(read[..head].to_vec()).unwrap().to_lowercase();
        let length = text.lines().find_map(|line| line.strip_prefix("content-length:"));
        let length: usize = length.map_or(0, |length| length.trim().parse().unwrap());
        while read.len() < head + length {
            assert!(stream.read_buf(&mut read).await.unwrap() > 0, "the body ends early");
        }
        let body = String::from_utf8(read[head..head + length].to_vec()).unwrap();
        read.drain(..head + length);
        let line = |line: &str| {
            let row: Vec<f64> = line.split(',').map(|cell| cell.parse().unwrap()).collect();
            format!("{:?}\n", row[0] * row[1] + 2.0 * row[2])
        };
        let answer: String = body.lines().map(line).collect();
        let head = format!("HTTP/1.1 200 OK\r\ncontent-type: text/csv\r\ncontent-length: {}\r\n\r\n", answer.len());
        stream.write_all((head + &answer).as_bytes()).await.unwrap();
    }
}

#[tokio::test]
async fn a_server_that_somebody_else_runs_is_explained_as_well() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(serve(stream));
        }
    });
    let url = format!("http://{address}/predict").parse::<RemoteUrl>().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings {
        images: vec![ImageRule::remote("team/*", RemoteRule { url, ping: None })],
        ..Settings::new(folder.path())
    };
    let backends = Backends::new(settings, Arc::new(|_| Err("no stores here".into())));
    let model = explained(&backends, "team/ranker", Launch::default()).await;
    check(&*model).await;
}
