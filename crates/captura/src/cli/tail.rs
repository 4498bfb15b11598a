//! `captura tail`: captured exchanges as they happen.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use clap::Args;
use http::Method;

use super::{Outcome, Server, note, say};

/// How often `--follow` asks for more.
const POLL_INTERVAL: Duration = Duration::from_millis(300);

/// Most records that `--follow` takes at one look.
const MORE_AT_ONCE: usize = 1_000;

/// Captured exchanges as they happen
#[derive(Debug, Args)]
pub(crate) struct Tail {
    /// Endpoint
    name: String,
    /// Go on with new ones as they come
    #[arg(long)]
    follow: bool,
    /// How many of the latest to begin with
    #[arg(long, default_value_t = 10)]
    limit: usize,
    #[command(flatten)]
    server: Server,
}

impl Tail {
    pub(crate) async fn run(self) -> anyhow::Result<Outcome> {
        let client = self.server.client()?;
        let mut after = String::new();
        loop {
            // `--limit` is where to begin; what follows is shown whole, however much comes between two looks.
            let limit = if after.is_empty() { self.limit } else { MORE_AT_ONCE };
            let path = format!("/captura/v1/tail?endpoint={}&limit={limit}&after={after}", self.name);
            let reply = client.send(Method::GET, &path, &[], bytes::Bytes::new()).await?;
            if !reply.status.is_success() {
                anyhow::bail!("{}", reply.message());
            }
            for line in String::from_utf8_lossy(&reply.body).lines() {
                say(&if self.server.json { line.to_owned() } else { one_line(line) });
            }
            let last = reply.header("x-captura-last-lsn");
            if !last.is_empty() {
                after = last.to_owned();
            }
            if !self.follow {
                if after.is_empty() {
                    // An unknown name is an error; a known one has nothing to show yet.
                    client.operation("DescribeEndpoint", &serde_json::json!({ "EndpointName": self.name })).await?;
                    note(&format!("nothing is captured from {} since the server started", self.name));
                }
                return Ok(Outcome::Fine);
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }
}

/// Time, consumer, outcome, latency, and the beginnings of what was sent and answered.
fn one_line(line: &str) -> String {
    const SHOWN_CHARS: usize = 48;
    let Ok(record) = serde_json::from_str::<serde_json::Value>(line) else { return line.to_owned() };
    let start = |side: &str| {
        let side = &record["captureData"][side];
        let data = side["data"].as_str().unwrap_or("-");
        let decoded = if side["encoding"] == "BASE64" { BASE64.decode(data).ok() } else { None };
        let text = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
        let data = text.as_deref().unwrap_or(data);
        let visible: String = data.chars().map(|c| if c.is_control() { ' ' } else { c }).take(SHOWN_CHARS).collect();
        if data.chars().count() > SHOWN_CHARS { format!("{visible}…") } else { visible }
    };
    let own = &record["captura"];
    format!(
        "{} {:<16} {:<12} {:>6} µs  {} → {}",
        record["eventMetadata"]["inferenceTime"].as_str().unwrap_or("-"),
        own["consumer"].as_str().unwrap_or("-"),
        own["outcome"].as_str().unwrap_or("-"),
        own["totalLatencyUs"],
        start("endpointInput"),
        start("endpointOutput"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_of_callers_never_reach_the_terminal() {
        let line = r#"{"captureData":{"endpointInput":{"data":"1\u001b[2J,2"},"endpointOutput":{"data":"0.5"}},"eventMetadata":{"inferenceTime":"2026-01-01T00:00:00Z"},"captura":{"consumer":"app","outcome":"ok","totalLatencyUs":41}}"#;
        let shown = one_line(line);
        assert!(!shown.contains('\u{1b}'), "{shown:?}");
        let encoded = line.replace(r#""data":"0.5""#, r#""data":"bm8gc3VjaCBjb2x1bW4=","encoding":"BASE64""#);
        assert!(one_line(&encoded).ends_with("→ no such column"), "{}", one_line(&encoded));
        assert!(shown.contains("app") && shown.contains("41 µs") && shown.ends_with("→ 0.5"), "{shown}");
    }
}
