//! What rules cost on the way of a call: `cargo run --release -p captura-privacy --example redact_throughput`.
//!
//! One row of 26 columns, as a model of customers has them, under rules for none, one, five and all of its columns.

use std::sync::Arc;

use bytes::Bytes;
use captura_names::{EndpointName, EventId, InferenceId, Timestamp};
use captura_privacy::{Master, Redactor, RuleSet, Secrets, Vault};
use captura_route::{Caller, Clock, Consumer, Exchange, Invocation, ModelRequest, Redaction as _};

type Failure = Box<dyn std::error::Error>;

const ROUNDS: u64 = 50_000;

/// Time that this thread had a processor, nanoseconds: what others do on the machine does not count.
fn busy_ns() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    stat.split_whitespace().next().and_then(|nanoseconds| nanoseconds.parse().ok()).unwrap_or(0)
}

fn invocation(content_type: &str, body: String) -> Result<Invocation, Failure> {
    Ok(Invocation {
        event_id: EventId::from_bytes([7; 16]),
        arrived_at: Timestamp::from_unix_us(0),
        consumer: Consumer::anonymous(),
        caller: Caller::default(),
        endpoint: EndpointName::parse("bench")?,
        target_variant: None,
        inference_id: Some(InferenceId::parse("customer-4711")?),
        request: ModelRequest { body: body.into(), content_type: Some(content_type.into()), ..ModelRequest::default() },
    })
}

#[expect(clippy::print_stdout, reason = "an example that measures speaks to people")]
fn main() -> Result<(), Failure> {
    let secrets = Secrets(Arc::new(Vault::ephemeral(Arc::new(Master::ephemeral()?), Clock::system())));
    let row: Vec<String> = (0..26).map(|column| format!("{}.{column}", column * 7)).collect();
    let csv = invocation("text/csv", row.join(","))?;
    let json = invocation("application/json", format!("{{\"instances\":[[{}]]}}", row.join(",")))?;
    let answer = Bytes::from_static(b"0.5");
    let all: Vec<String> = (0..26).map(|column| column.to_string()).collect();
    println!("{:<28} {:>10} {:>10}", "rules for", "CSV ns", "JSON ns");
    for (columns, action) in [
        (&all[..1], "drop"),
        (&all[..5], "mask"),
        (&all[..5], "hmac"),
        (&all[..], "hmac"),
        (&all[..5], "encrypt"),
        (&all[..], "encrypt"),
    ] {
        let rules = format!(
            r#"{{"endpoints":["*"],"subject":{{"header":"inference-id"}},
                "input":[{{"columns":[{}],"action":"{action}"}}]}}"#,
            columns.join(",")
        );
        let set: RuleSet = serde_json::from_str(&rules)?;
        let redactor = Redactor::new(&set, &csv.endpoint, None, Some(secrets.clone())).ok_or("the rules do nothing")?;
        let time = |invocation: &Invocation| {
            let begin = busy_ns();
            for _ in 0..ROUNDS {
                std::hint::black_box(redactor.redact(&Exchange {
                    invocation,
                    answer: &answer,
                    answer_content_type: Some("text/csv"),
                    is_answered: true,
                    is_answer_cut: false,
                    keeps_request: true,
                    keeps_answer: true,
                }));
            }
            (busy_ns() - begin) / ROUNDS
        };
        let name = format!("{} of 26 columns, {action}", columns.len());
        println!("{name:<28} {:>10} {:>10}", time(&csv), time(&json));
    }
    Ok(())
}
