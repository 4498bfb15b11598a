//! A key management service that speaks AWS KMS's protocol (`TrentService`, JSON 1.1), as holder of the master key.
//!
//! Invariant: every request is signed for `kms`, and bound to what the key is for; no key is in an error or a log.
//! Refuses to: make keys of the service, and to ask it for each value: one key is opened at each start.

use std::time::Duration;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use captura_privacy::KeyService;
use http::Method;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::client::{Client, Reply};
use crate::config::Kms;
use crate::credentials::Credentials;

const SERVICE: &str = "kms";
/// How long the service has for an answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// How often it is asked before a start fails.
const TRIES: u32 = 4;
/// The pause after the first failure; each later one is twice as long.
const PAUSE: Duration = Duration::from_millis(250);

/// The service and the key of it that seals.
pub(crate) struct KeyManagement {
    credentials: Credentials,
    key_id: String,
    endpoint: String,
}

impl KeyManagement {
    /// The service that the configuration names, with AWS's keys by the usual chain.
    pub(crate) fn open(kms: &Kms) -> anyhow::Result<Self> {
        let keys = apart(crate::cloud::aws_keys)?.context("keys for the key management service")?;
        let region = kms.region.clone().or(keys.region).unwrap_or_else(|| "us-east-1".into());
        let endpoint = kms.endpoint.clone().unwrap_or_else(|| format!("https://kms.{region}.amazonaws.com"));
        let credentials = Credentials::of_keys((keys.access_key_id, keys.secret, keys.session_token), region, SERVICE);
        Ok(Self { credentials, key_id: kms.key_id.clone(), endpoint })
    }

    /// One operation; a member of its answer, decoded.
    fn ask(&self, operation: &str, mut input: Value, members: &[&str]) -> Result<Vec<Zeroizing<Vec<u8>>>, String> {
        input["EncryptionContext"] = json!({ "captura": "master-key" });
        let failed = |why: String| format!("{operation} at {}: {why}", self.endpoint);
        let client = Client::new(&self.endpoint, Some(self.credentials.clone()));
        let client = client.map_err(|error| failed(format!("{error:#}")))?;
        let (target, body) = (format!("TrentService.{operation}"), Bytes::from(input.to_string()));
        let reply = apart(move || async move { asked(&client, &target, &body).await });
        let reply = reply.map_err(|error| failed(format!("{error:#}")))?.map_err(&failed)?;
        let answer: Value = serde_json::from_slice(&reply.body).map_err(|_| failed("the answer is no JSON".into()))?;
        let decoded = members.iter().map(|member| BASE64.decode(answer[*member].as_str()?).ok().map(Zeroizing::new));
        decoded.collect::<Option<_>>().ok_or_else(|| failed("the answer lacks what was asked for".into()))
    }
}

/// Asks until the service answers, or has failed often enough.
async fn asked(client: &Client, target: &str, body: &Bytes) -> Result<Reply, String> {
    let headers = [("x-amz-target", target), ("content-type", "application/x-amz-json-1.1")];
    let mut pause = PAUSE;
    for tried in 1..=TRIES {
        let sent = client.send(Method::POST, "/", &headers, body.clone());
        let why = match tokio::time::timeout(ANSWER_WITHIN, sent).await {
            Ok(Ok(reply)) if reply.status.is_success() => return Ok(reply),
            // A wrong key or permission is so the next time, too.
            Ok(Ok(reply)) if !reply.status.is_server_error() && !is_throttled(&reply) => return Err(reply.message()),
            Ok(Ok(reply)) => reply.message(),
            Ok(Err(error)) => format!("no answer: {}", error.root_cause()),
            Err(_) => format!("no answer within {} s", ANSWER_WITHIN.as_secs()),
        };
        if tried == TRIES {
            return Err(why);
        }
        tokio::time::sleep(pause).await;
        pause *= 2;
    }
    unreachable!("our bug: the last try returns")
}

fn is_throttled(reply: &Reply) -> bool {
    reply.status == http::StatusCode::TOO_MANY_REQUESTS || reply.message().contains("Throttling")
}

impl KeyService for KeyManagement {
    fn seal(&self, key: &[u8]) -> Result<Vec<u8>, String> {
        let input = json!({ "KeyId": self.key_id, "Plaintext": BASE64.encode(key) });
        self.ask("Encrypt", input, &["CiphertextBlob"]).map(|mut told| told.remove(0).to_vec())
    }

    fn open(&self, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, String> {
        let input = json!({ "KeyId": self.key_id, "CiphertextBlob": BASE64.encode(sealed) });
        self.ask("Decrypt", input, &["Plaintext"]).map(|mut told| told.remove(0))
    }

    fn generate(&self) -> Result<(Zeroizing<Vec<u8>>, Vec<u8>), String> {
        let input = json!({ "KeyId": self.key_id, "KeySpec": "AES_256" });
        let mut told = self.ask("GenerateDataKey", input, &["Plaintext", "CiphertextBlob"])?;
        let sealed = told.remove(1).to_vec();
        Ok((told.remove(0), sealed))
    }
}

/// Runs something that waits on a thread of its own: whoever needs the key can do nothing before it is there, whether or not
/// the thread is one that must not wait.
fn apart<T: Send + 'static, F: Future<Output = T>>(work: impl FnOnce() -> F + Send + 'static) -> anyhow::Result<T> {
    let run = move || anyhow::Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work()));
    let thread = std::thread::Builder::new().name("key-management".into()).spawn(run)?;
    thread.join().map_err(|_| anyhow::anyhow!("our bug: asking the key management service panicked"))?
}

#[cfg(test)]
mod tests;
