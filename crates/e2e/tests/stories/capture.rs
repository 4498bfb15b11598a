//! What is found in the bucket is what was sent, byte for byte, in SageMaker's record.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use captura_e2e::program::{self, said};
use captura_e2e::server::{Home, wait_for};
use captura_e2e::{captured, python};
use serde_json::{Value, json};

/// SageMaker's record up to `eventVersion`, written by hand: what it must be, not what captura's code says it is.
fn expected(call: &Value, inference_time: &str) -> String {
    let side = |mode: &str, content_type: &Value, data: &Value| {
        let bytes = STANDARD.decode(data.as_str().unwrap()).unwrap();
        let media_type = content_type.as_str().unwrap().split(';').next().unwrap();
        let named = match media_type {
            "text/csv" => Some("CSV"),
            "application/json" => Some("JSON"),
            _ => None,
        };
        let (encoding, text) = match (named, String::from_utf8(bytes)) {
            (Some(encoding), Ok(text)) => (encoding, json!(text)),
            _ => ("BASE64", data.clone()),
        };
        format!(
            "{{\"observedContentType\":{content_type},\"mode\":\"{mode}\",\"data\":{text},\"encoding\":\"{encoding}\"}}"
        )
    };
    let input = side("INPUT", &call["contentType"], &call["request"]);
    let output = side("OUTPUT", &call["answeredContentType"], &call["response"]);
    let mut metadata = format!("\"eventId\":{}", call["eventId"]);
    if call["customAttributes"].is_string() {
        metadata.push_str(&format!(",\"customAttributes\":[{}]", call["customAttributes"]));
    }
    if call["inferenceId"].is_string() {
        metadata.push_str(&format!(",\"inferenceId\":{}", call["inferenceId"]));
    }
    format!(
        "{{\"captureData\":{{\"endpointInput\":{input},\"endpointOutput\":{output}}},\
         \"eventMetadata\":{{{metadata},\"inferenceTime\":\"{inference_time}\"}},\"eventVersion\":\"0\",\"captura\":{{"
    )
}

#[test]
fn captured_objects_hold_what_was_sent_and_answered_byte_for_byte() {
    let home = Home::default();
    let server = home.serve();
    let sent = home.path().join("sent.jsonl");
    let Some(told) = python::tell(&server, "capture.py", &[sent.to_str().unwrap()]) else { return };
    assert!(told.status.success(), "{}\n-- server\n{}", said(&told), home.log());
    let calls: Vec<Value> =
        std::fs::read_to_string(&sent).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();

    // The trailing slash of the destination does not become an empty folder.
    let folder = home.bucket("captures").join("bytes/echo/AllTraffic");
    let lines = wait_for("the archive to hold every call", Duration::from_secs(30), || {
        let lines = captured::read(&folder);
        (lines.len() >= calls.len()).then_some(lines)
    });
    assert_eq!(lines.len(), calls.len(), "each call is captured once");
    for (call, line) in calls.iter().zip(&lines) {
        assert!(call["capture"].as_str().unwrap().starts_with("written;lsn="), "{call}");
        let inference_time = line.json["eventMetadata"]["inferenceTime"].as_str().unwrap();
        assert_eq!(inference_time.len(), "2026-01-01T00:00:00Z".len(), "whole seconds: {inference_time}");
        let expected = expected(call, inference_time);
        let shown = expected.len().min(2000);
        assert!(line.line.starts_with(&expected), "expected {}\nfound    {:.2000}", &expected[..shown], line.line);
        assert_eq!(line.json["captura"]["consumer"], "AKIDSTORYTELLER");
        assert_eq!(line.json["captura"]["outcome"], "ok");
    }
    assert!(server.stop().success(), "{}", home.log());
    let reconciled =
        program::run(["reconcile".as_ref(), "--deep".as_ref(), "--data-dir".as_ref(), home.data_dir().as_os_str()]);
    assert!(reconciled.status.success(), "{}", said(&reconciled));
}
