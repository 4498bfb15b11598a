//! Rules of redaction come before a record has any bytes.

use captura_names::InferenceId;
use captura_route::{Exchange, Redacted, Redaction};

use super::*;

const CANARY: &[u8] = b"canary-7f3a";

/// Keeps the sizes of what travelled, and nothing else.
#[derive(Debug)]
struct Sizes;

impl Redaction for Sizes {
    fn policy(&self) -> &str {
        "sizes"
    }

    fn redact(&self, exchange: &Exchange<'_>) -> Redacted {
        let size = |body: &Bytes| Bytes::from(body.len().to_string());
        Redacted {
            request: size(&exchange.invocation.request.body),
            answer: if exchange.is_answered { size(exchange.answer) } else { Bytes::new() },
            custom_attributes: None,
            inference_id: InferenceId::parse("hidden").ok(),
        }
    }
}

fn files_hold_canary(folder: &std::path::Path) -> bool {
    let holds = |path: std::path::PathBuf| {
        let bytes = std::fs::read(path).unwrap_or_default();
        bytes.windows(CANARY.len()).any(|window| window == CANARY)
    };
    std::fs::read_dir(folder).unwrap().any(|entry| holds(entry.unwrap().path()))
}

#[tokio::test]
async fn no_byte_that_rules_take_out_reaches_the_disk_whether_a_call_ends_or_its_caller_hangs_up() {
    let dir = tempfile::tempdir().unwrap();
    let (capture, _) = open(dir.path());
    let stream = capture.redacting_stream(&policy(Durability::AckAfterFsync), Arc::new(Sizes));
    let secret = |number| {
        let mut sent = invocation(number, 0);
        sent.request.body = Bytes::from_static(CANARY);
        sent.request.custom_attributes = Some("canary-7f3a".into());
        sent.inference_id = InferenceId::parse("canary-7f3a").ok();
        sent
    };
    let mut conclusion = answered();
    conclusion.response.body = Bytes::from_static(b"the answer repeats canary-7f3a");
    stream.begin(secret(1)).unwrap().conclude(conclusion).captured().await;
    drop(stream.begin(secret(2)).unwrap());
    capture.seal().await;
    assert!(!files_hold_canary(dir.path()));

    let records = capture.tail(None, None, 10);
    assert_eq!(records.len(), 2);
    for record in &records {
        assert_eq!(record.policy.redaction.as_deref(), Some("sizes"));
        assert_eq!(record.request.as_ref().unwrap().body, "11");
        assert_eq!(record.request_size_bytes, 11, "sizes are those of what travelled");
        assert_eq!(record.custom_attributes, None);
        assert_eq!(record.inference_id.as_ref().unwrap().as_str(), "hidden");
        assert!(!record.is_request_withheld() && !record.is_response_cut());
    }
    assert_eq!(records[0].response.as_ref().unwrap().body, "30");
    assert_eq!(records[0].response_size_bytes, 30);
    balanced(&capture);
    capture.close().await.unwrap();
}
