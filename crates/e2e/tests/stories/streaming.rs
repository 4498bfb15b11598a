//! Streamed answers as the AWS SDK reads them, and their records.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use captura_e2e::program::said;
use captura_e2e::server::{Home, wait_for};
use captura_e2e::{captured, python};
use serde_json::Value;

#[test]
fn streams_come_in_pieces_and_are_captured_whole() {
    let home = Home::default();
    let server = home.serve();
    let sent = home.path().join("sent.jsonl");
    let Some(told) = python::tell(&server, "streaming.py", &[sent.to_str().unwrap()]) else { return };
    assert!(told.status.success(), "{}\n-- server\n{}", said(&told), home.log());
    let calls: Vec<Value> =
        std::fs::read_to_string(&sent).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let lines = wait_for("the archive to hold every call", Duration::from_secs(30), || {
        let lines = captured::read(&home.bucket("captures"));
        (lines.len() > calls.len()).then_some(lines)
    });
    assert_eq!(lines.len(), calls.len() + 1, "the calls that were answered, and the one that failed");
    let bytes = |text: &Value| STANDARD.decode(text.as_str().unwrap()).unwrap();
    for call in &calls {
        let line = lines.iter().find(|line| line.event_id() == call["eventId"].as_str().unwrap()).unwrap();
        assert_eq!(line.request().unwrap(), bytes(&call["request"]));
        assert_eq!(line.response().unwrap(), bytes(&call["response"]));
        assert_eq!(line.json["captura"]["outcome"], "ok");
        assert_eq!(line.json["eventMetadata"]["inferenceId"], "order-57");
    }
    let failed = lines.iter().find(|line| line.json["captura"]["outcome"] == "client_error").unwrap();
    assert_eq!(failed.json["captura"]["status"], 424);
}
