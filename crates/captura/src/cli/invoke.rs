//! `captura invoke`: one call.

use std::io::Read as _;
use std::path::PathBuf;

use anyhow::Context as _;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use bytes::Bytes;
use clap::Args;
use http::Method;
use serde_json::{Value, json};

use super::{Outcome, Server, note, say};
use crate::client::Reply;

/// One call; the answer goes to stdout, the rest to stderr
#[derive(Debug, Args)]
pub(crate) struct Invoke {
    /// Endpoint
    name: String,
    /// File with the request body; `-` reads standard input
    #[arg(long, default_value = "-")]
    body: PathBuf,
    /// Media type of the body
    #[arg(long, default_value = "text/csv")]
    content_type: String,
    /// Media type wanted
    #[arg(long)]
    accept: Option<String>,
    /// Your own id of this inference
    #[arg(long)]
    inference_id: Option<String>,
    /// Variant to call instead of the weighted choice
    #[arg(long)]
    variant: Option<String>,
    #[command(flatten)]
    server: Server,
}

impl Invoke {
    pub(crate) async fn run(self) -> anyhow::Result<Outcome> {
        let mut body = Vec::new();
        if self.body.as_os_str() == "-" {
            std::io::stdin().read_to_end(&mut body).context("cannot read the body from standard input")?;
        } else {
            body = std::fs::read(&self.body).with_context(|| format!("cannot read {}", self.body.display()))?;
        }
        let mut headers = vec![("content-type", self.content_type.as_str())];
        headers.extend(self.accept.as_deref().map(|accept| ("accept", accept)));
        headers.extend(self.inference_id.as_deref().map(|id| ("x-amzn-sagemaker-inference-id", id)));
        headers.extend(self.variant.as_deref().map(|variant| ("x-amzn-sagemaker-target-variant", variant)));
        let path = format!("/endpoints/{}/invocations", self.name);
        let reply = self.server.client()?.send(Method::POST, &path, &headers, Bytes::from(body)).await?;
        for name in ["x-amzn-invoked-production-variant", "x-captura-event-id", "x-captura-capture"] {
            if !reply.header(name).is_empty() {
                note(&format!("{name}: {}", reply.header(name)));
            }
        }
        if !reply.status.is_success() {
            anyhow::bail!("{}", reply.message());
        }
        if self.server.json {
            say(&answer_as_json(&reply).to_string());
        } else {
            write_answer(&reply.body)?;
        }
        Ok(Outcome::Fine)
    }
}

/// SageMaker's members of the answer, with the body as text, or in Base64 where it is none.
fn answer_as_json(reply: &Reply) -> Value {
    let mut answer = json!({
        "ContentType": reply.header("content-type"),
        "InvokedProductionVariant": reply.header("x-amzn-invoked-production-variant"),
        "CapturaEventId": reply.header("x-captura-event-id"),
        "CapturaCapture": reply.header("x-captura-capture"),
    });
    match std::str::from_utf8(&reply.body) {
        Ok(text) => answer["Body"] = json!(text),
        Err(_) => answer["BodyBase64"] = json!(BASE64.encode(&reply.body)),
    }
    answer
}

/// The answer's bytes as they are, with a line end only for a terminal's sake.
fn write_answer(body: &[u8]) -> anyhow::Result<()> {
    use std::io::{IsTerminal as _, Write as _};
    let mut stdout = std::io::stdout();
    stdout.write_all(body)?;
    if stdout.is_terminal() && !body.ends_with(b"\n") {
        stdout.write_all(b"\n")?;
    }
    Ok(stdout.flush()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_is_json_whatever_the_model_said() {
        let reply = |body: &'static [u8]| Reply {
            status: http::StatusCode::OK,
            headers: [(http::header::CONTENT_TYPE, http::HeaderValue::from_static("text/csv"))].into_iter().collect(),
            body: Bytes::from_static(body),
        };
        assert_eq!(answer_as_json(&reply(b"0.5,\"a\"\n"))["Body"], "0.5,\"a\"\n");
        let binary = answer_as_json(&reply(b"\xff\x00"));
        assert_eq!((&binary["BodyBase64"], &binary["ContentType"]), (&json!("/wA="), &json!("text/csv")));
    }
}
