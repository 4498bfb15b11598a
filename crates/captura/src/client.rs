//! The command line's view of a server: SageMaker's API and captura's own read-only one, over HTTP.
//!
//! Invariant: uses only what any client may use. An error keeps the server's words and adds what to try.

use anyhow::{Context as _, bail};
use bytes::Bytes;
use captura_route::Clock;
use captura_wire::sigv4::{Head, amz_date};
use http::{HeaderMap, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use crate::credentials::Credentials;
use crate::trust;

/// Largest answer that is read, bytes.
const ANSWER_MAX_BYTES: usize = 256 * 1024 * 1024;
/// What this program calls itself; the book of consumers shows it.
const USER_AGENT: &str = concat!("captura/", env!("CARGO_PKG_VERSION"));
/// A connection to one server.
#[derive(Clone)]
pub(crate) struct Client {
    url: String,
    credentials: Option<Credentials>,
    http: HttpClient<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

/// An answer, whatever its status.
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Reply {
    /// A header's text, empty when absent.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The server's words, when the answer is an error.
    pub(crate) fn message(&self) -> String {
        let parsed: Option<Value> = serde_json::from_slice(&self.body).ok();
        let said = parsed
            .as_ref()
            .and_then(|body| body.get("message").or_else(|| body.get("Message")))
            .and_then(Value::as_str);
        let code = self.header("x-amzn-errortype").split(':').next().unwrap_or_default();
        match (code, said) {
            ("", Some(said)) => said.to_owned(),
            (code, Some(said)) => format!("{code}: {said}"),
            _ => format!("HTTP {}: {}", self.status, String::from_utf8_lossy(&self.body)),
        }
    }
}

impl Client {
    /// A client of the server at `url` (`http://host:port` or `https://…`), whose calls are those of `credentials`.
    ///
    /// # Errors
    /// When the certificates that are trusted cannot be read.
    pub(crate) fn new(url: &str, credentials: Option<Credentials>) -> anyhow::Result<Self> {
        let http = HttpClient::builder(TokioExecutor::new()).build(trust::connector(url)?);
        Ok(Self { url: url.trim_end_matches('/').to_owned(), credentials, http })
    }

    /// Sends one request and reads the whole answer.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> anyhow::Result<Reply> {
        let no_url = || format!("{:?} is not a URL like http://127.0.0.1:8080", self.url);
        let uri: Uri = format!("{}{path}", self.url).parse().with_context(no_url)?;
        let mut headers = headers.to_vec();
        let (now, host) = (Clock::system().now(), uri.authority().with_context(no_url)?.to_string());
        let date = amz_date(now);
        headers.extend([("host", host.as_str()), ("x-amz-date", date.as_str())]);
        let token = self.credentials.as_ref().and_then(Credentials::session_token);
        headers.extend(token.map(|token| ("x-amz-security-token", token)));
        let authorization = self.credentials.as_ref().map(|credentials| {
            let signed = headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
            let query = uri.query().unwrap_or_default();
            let head = Head { method: method.as_str(), path: uri.path(), query, headers: signed };
            credentials.authorization(&head, &body, now)
        });
        headers.extend(authorization.as_deref().map(|authorization| ("authorization", authorization)));
        headers.push(("user-agent", USER_AGENT));
        let mut request = Request::builder().method(method).uri(&uri);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(body)).with_context(no_url)?;
        let response = self.http.request(request).await.with_context(|| {
            format!(
                "no answer from {}; is `captura serve` running there? (--url, CAPTURA_URL or AWS_ENDPOINT_URL names another server)",
                self.url
            )
        })?;
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, ANSWER_MAX_BYTES)
            .collect()
            .await
            .map_err(|error| anyhow::anyhow!("{}: the answer broke off: {error}", self.url))?;
        Ok(Reply { status: parts.status, headers: parts.headers, body: body.to_bytes() })
    }

    /// Calls one operation of SageMaker's control plane; an error answer becomes an error.
    pub(crate) async fn operation(&self, name: &str, input: &Value) -> anyhow::Result<Value> {
        let reply = self.operation_reply(name, input).await?;
        if !reply.status.is_success() {
            bail!("{}", reply.message());
        }
        if reply.body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&reply.body).with_context(|| format!("{name}: the answer is not JSON"))
    }

    /// Calls one operation and gives the answer as it came.
    pub(crate) async fn operation_reply(&self, name: &str, input: &Value) -> anyhow::Result<Reply> {
        let target = format!("SageMaker.{name}");
        let headers = [("x-amz-target", target.as_str()), ("content-type", "application/x-amz-json-1.1")];
        self.send(Method::POST, "/", &headers, Bytes::from(input.to_string())).await
    }

    /// Reads one of captura's own resources as JSON.
    pub(crate) async fn observe(&self, path: &str) -> anyhow::Result<Value> {
        let reply = self.send(Method::GET, path, &[], Bytes::new()).await?;
        if !reply.status.is_success() {
            bail!("{}", reply.message());
        }
        serde_json::from_slice(&reply.body).with_context(|| format!("{path}: the answer is not JSON"))
    }
}
