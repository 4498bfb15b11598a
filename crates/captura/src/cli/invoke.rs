//! `captura invoke`: one call.

use std::io::Read as _;
use std::path::PathBuf;

use anyhow::Context as _;
use bytes::Bytes;
use clap::Args;
use http::Method;

use super::{Outcome, Server, note};

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
        let reply = self.server.client().send(Method::POST, &path, &headers, Bytes::from(body)).await?;
        for name in ["x-amzn-invoked-production-variant", "x-captura-event-id", "x-captura-capture"] {
            if !reply.header(name).is_empty() {
                note(&format!("{name}: {}", reply.header(name)));
            }
        }
        if !reply.status.is_success() {
            anyhow::bail!("{}", reply.message());
        }
        write_answer(&reply.body)?;
        Ok(Outcome::Fine)
    }
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
