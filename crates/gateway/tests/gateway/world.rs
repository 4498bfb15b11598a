//! A gateway on a free port, models that misbehave on request, and a client that sends exactly the bytes it is told.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use captura_capture::Capture;
use captura_gateway::{Door, Doors, Gateway, Meters, Runner, Settings};
use captura_names::{EndpointConfigName, EndpointName, ModelName, Percent, S3Uri, VariantName};
use captura_route::{
    Answer, Backend, BackendError, CapturePolicy, CaptureSettings, Chunks, Clock, Durability, Endpoint, Extras, Fleet,
    Invoking, MetricsPolicy, ModelRequest, RouteTable, StreamedAnswer, Streaming, Variant, WhenUnavailable,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, oneshot, watch};
use tokio::task::JoinHandle;

/// A model that does what its request's body asks for; see [`Model::answer`].
#[derive(Debug, Default)]
pub(crate) struct Model {
    /// Sent back as `x-model`'s stand-in: custom attributes, so that tests see which model answered.
    pub(crate) name: &'static str,
    /// Calls that reached the model.
    pub(crate) calls: AtomicU32,
    /// `wait` waits for this.
    pub(crate) go: Arc<Notify>,
    /// What it takes beside a payload.
    pub(crate) extras: Extras,
    /// Pieces of streamed answers that were asked for.
    pub(crate) pieces: Arc<AtomicU32>,
}

fn in_container(error: BackendError) -> BackendError {
    let hostname = captura_names::ContainerHostname::parse("container-2").unwrap();
    BackendError::InContainer { hostname, error: Box::new(error) }
}

impl Model {
    pub(crate) fn named(name: &'static str) -> Arc<Self> {
        Arc::new(Self { name, ..Self::default() })
    }

    async fn answer(&self, request: &ModelRequest) -> Result<Answer, BackendError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let model = |status: u16, message: &str| BackendError::Model {
            status,
            message: message.into(),
            body: Bytes::copy_from_slice(message.as_bytes()),
        };
        match &*request.body {
            b"refuse" => Err(model(400, "column age is missing")),
            b"fail" => Err(model(500, "out of memory")),
            b"time out" => Err(BackendError::TimedOut { timeout_ms: 60_000 }),
            b"no such" => Err(BackendError::NoSuchTarget("Model x does not exist.".into())),
            b"in container" => Err(in_container(model(400, "column age is missing"))),
            b"late in container" => Err(in_container(BackendError::TimedOut { timeout_ms: 60_000 })),
            b"not ready" => Err(BackendError::NotReady("loading".into())),
            b"unavailable" => Err(BackendError::Unavailable("connection refused".into())),
            b"go away" => Err(BackendError::WentAway("connection reset".into())),
            b"panic" => panic!("the model panics because a test asked it to"),
            b"never" => std::future::pending().await,
            b"wait" => {
                self.go.notified().await;
                Ok(self.echo(request))
            }
            b"crlf" => Ok(Answer { content_type: Some("text/csv\r\nset-cookie: a=b".into()), ..self.echo(request) }),
            b"long" => Ok(Answer { custom_attributes: Some("x".repeat(1_025).into()), ..self.echo(request) }),
            b"large" => Ok(Answer { body: Bytes::from(vec![b'x'; 64 << 20]), ..Answer::default() }),
            b"mute" => Ok(Answer::default()),
            b"tell" => Ok(self.tell(request)),
            _ => Ok(self.echo(request)),
        }
    }

    /// The pieces that a body `stream:a|b|…` asks for. `wait` waits, `never` never comes, `break`, `slow` and `panic` end
    /// the stream badly; every other piece is sent.
    fn pieces(&self, script: &str) -> Chunks {
        let pieces: VecDeque<String> = script.split('|').map(str::to_owned).collect();
        let state = (pieces, Arc::clone(&self.go), Arc::clone(&self.pieces));
        Box::pin(futures_util::stream::unfold(state, |(mut pieces, go, asked)| async move {
            loop {
                asked.fetch_add(1, Ordering::SeqCst);
                let piece = match &*pieces.pop_front()? {
                    "wait" => {
                        go.notified().await;
                        continue;
                    }
                    "never" => std::future::pending().await,
                    "break" => Err(BackendError::Unavailable("connection reset".into())),
                    "slow" => Err(BackendError::TimedOut { timeout_ms: 60_000 }),
                    "panic" => panic!("the model panics in the middle of a stream, because a test asked it to"),
                    "large" => Ok(Bytes::from(vec![b'x'; 3 << 20])),
                    piece => Ok(Bytes::copy_from_slice(piece.as_bytes())),
                };
                return Some((piece, (pieces, go, asked)));
            }
        }))
    }

    /// What it was told beside the payload; opens and closes sessions.
    fn tell(&self, request: &ModelRequest) -> Answer {
        let told = |member: &Option<Box<str>>| member.as_deref().unwrap_or("-").to_owned();
        let session = told(&request.session_id);
        let begins = session == "NEW_SESSION";
        let (model, explain) = (told(&request.target_model), told(&request.enable_explanations));
        Answer {
            body: format!("model={model} session={session} explain={explain}").into(),
            new_session_id: begins.then(|| "s-1; Expires=2026-01-31T00:00:00Z".into()),
            closed_session_id: (!begins).then(|| session.into()),
            ..Answer::default()
        }
    }

    fn echo(&self, request: &ModelRequest) -> Answer {
        Answer {
            body: request.body.clone(),
            content_type: request.content_type.clone(),
            custom_attributes: request.custom_attributes.clone().or_else(|| Some(self.name.into())),
            ..Answer::default()
        }
    }
}

impl Backend for Model {
    fn invoke<'a>(&'a self, request: &'a ModelRequest) -> Invoking<'a> {
        if &*request.body == b"panic at once" {
            panic!("the model panics before it has begun, because a test asked it to");
        }
        Box::pin(self.answer(request))
    }

    fn invoke_streaming<'a>(&'a self, request: &'a ModelRequest) -> Streaming<'a> {
        Box::pin(async move {
            let Some(script) = request.body.strip_prefix(b"stream:") else {
                return self.answer(request).await.map(StreamedAnswer::whole);
            };
            self.calls.fetch_add(1, Ordering::SeqCst);
            let chunks = self.pieces(std::str::from_utf8(script).unwrap());
            Ok(StreamedAnswer { head: Answer { body: Bytes::new(), ..self.echo(request) }, chunks })
        })
    }

    fn extras(&self) -> Extras {
        self.extras
    }
}

/// Capture of everything, in the server's default mode.
pub(crate) fn everything() -> CaptureSettings {
    CaptureSettings {
        enabled: true,
        sampling: Percent::ALL,
        input: true,
        output: true,
        destination: S3Uri::parse("s3://captures/churn").unwrap(),
        csv_content_types: vec!["text/csv".into()],
        json_content_types: vec![],
        kms_key_id: None,
        durability: Durability::AckAfterWrite,
        when_unavailable: WhenUnavailable::Serve,
    }
}

/// A variant of the endpoint `churn`: name, weight, model.
pub(crate) fn variant((name, weight, model): (&str, f32, &Arc<Model>), settings: Option<&CaptureSettings>) -> Variant {
    let name = VariantName::parse(name).unwrap();
    let capture = CapturePolicy {
        endpoint: EndpointName::parse("churn").unwrap(),
        variant: name.clone(),
        model: ModelName::parse("churn-1").unwrap(),
        endpoint_config: EndpointConfigName::parse("churn-config").unwrap(),
        settings: settings.cloned(),
        signature: None,
        redaction: None,
    };
    let backend: Arc<dyn Backend> = Arc::clone(model) as _;
    Variant { name, weight, backend, capture: Arc::new(capture), concurrency_max: None }
}

/// An endpoint `churn` of these variants.
pub(crate) fn endpoint(variants: &[(&str, f32, &Arc<Model>)], settings: Option<&CaptureSettings>) -> Endpoint {
    let name = EndpointName::parse("churn").unwrap();
    let variants = variants.iter().map(|one| variant(*one, settings));
    let fleet = Fleet { weight: 1.0, variants: variants.collect(), shadows: Vec::new() };
    let (region, account) = ("eu-west-1".into(), "123456789012".into());
    let (components, metrics) = (Vec::new(), MetricsPolicy::default());
    Endpoint { name, region, account, fleets: vec![fleet], components, async_inference: None, metrics }
}

pub(crate) fn table(variants: &[(&str, f32, &Arc<Model>)]) -> Arc<RouteTable> {
    Arc::new(RouteTable::new([endpoint(variants, None)]))
}

pub(crate) fn captured_table(model: &Arc<Model>, settings: &CaptureSettings) -> Arc<RouteTable> {
    Arc::new(RouteTable::new([endpoint(&[("AllTraffic", 1.0, model)], Some(settings))]))
}

fn open_capture(dir: &std::path::Path) -> (Capture, captura_capture::RecoveryReport) {
    let settings = captura_capture::Settings::new(dir);
    Capture::open(settings, Arc::new(captura_capture::journal::disk::RealDisk), Clock::system()).unwrap()
}

/// A running gateway. Its door answers with the method, path and body that came through it; `/panic` panics, `/wait`
/// waits for the model's `go` and counts its beginning and its end as calls.
pub(crate) struct World {
    pub(crate) address: std::net::SocketAddr,
    pub(crate) model: Arc<Model>,
    pub(crate) table: watch::Sender<Arc<RouteTable>>,
    pub(crate) capture: Capture,
    pub(crate) meters: Meters,
    pub(crate) runner: Runner,
    /// Removed with the world.
    _journal: tempfile::TempDir,
    stop: Option<oneshot::Sender<()>>,
    serving: JoinHandle<std::io::Result<()>>,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(Settings::default()).await
    }

    pub(crate) async fn with(settings: Settings) -> Self {
        let model = Model::named("first");
        let journal = tempfile::tempdir().unwrap();
        let (sender, receiver) = watch::channel(table(&[("AllTraffic", 1.0, &model)]));
        let (capture, _) = open_capture(journal.path());
        let model_behind = Arc::clone(&model);
        let door: Door = Arc::new(move |request: http::Request<Bytes>| {
            let model = Arc::clone(&model_behind);
            Box::pin(async move {
                if request.uri().path() == "/wait" {
                    model.calls.fetch_add(1, Ordering::SeqCst);
                    model.go.notified().await;
                    model.calls.fetch_add(1, Ordering::SeqCst);
                }
                if request.uri().path() == "/panic" {
                    panic!("the door panics because a test asked it to");
                }
                let body = format!("{} {} {:?}", request.method(), request.uri(), request.body());
                http::Response::new(Bytes::from(body))
            })
        });
        let gateway =
            Gateway::new(settings, receiver, capture.clone(), Clock::system(), Doors { other: door, buckets: None });
        let meters = gateway.meters();
        let runner = gateway.runner();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let serving = tokio::spawn(gateway.serve(listener, async move { drop(stopped.await) }));
        Self { address, model, table: sender, capture, meters, runner, _journal: journal, stop: Some(stop), serving }
    }

    pub(crate) async fn client(&self) -> Client {
        Client { stream: TcpStream::connect(self.address).await.unwrap(), buffer: Vec::new() }
    }

    /// One invocation of `churn` on a connection of its own.
    pub(crate) async fn invoke(&self, headers: &[(&str, &str)], body: &str) -> Reply {
        self.client().await.invoke("churn", headers, body.as_bytes()).await
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        let mut client = self.client().await;
        client.send(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").as_bytes()).await;
        client.reply().await.unwrap()
    }

    pub(crate) fn stop(&mut self) {
        drop(self.stop.take());
    }

    pub(crate) async fn stopped(self) {
        self.serving.await.unwrap().unwrap();
    }
}

pub(crate) struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

impl Client {
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// Sends what the server may refuse to read.
    pub(crate) async fn try_send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
    }

    /// Says that nothing more will be sent.
    pub(crate) async fn finish(&mut self) {
        let _ = self.stream.shutdown().await;
    }

    pub(crate) async fn invoke(&mut self, endpoint: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        self.send(&invocation(endpoint, headers, body)).await;
        self.reply().await.expect("a reply")
    }

    /// Begins a streamed invocation of `churn`.
    pub(crate) async fn stream(&mut self, headers: &[(&str, &str)], body: &str) {
        self.send(&request("churn/invocations-response-stream", headers, body.as_bytes())).await;
    }

    /// The next chunk of a reply in chunks; nothing at its end, whose trailers are left for [`Client::trailers`], and
    /// where the server broke it off.
    pub(crate) async fn chunk(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some(at) = self.buffer.windows(2).position(|window| window == b"\r\n") {
                let length = usize::from_str_radix(std::str::from_utf8(&self.buffer[..at]).unwrap(), 16).unwrap();
                if length == 0 {
                    self.buffer.drain(..at + 2);
                    return None;
                }
                if self.buffer.len() >= at + 4 + length {
                    let chunk = self.buffer[at + 2..at + 2 + length].to_vec();
                    self.buffer.drain(..at + 4 + length);
                    return Some(chunk);
                }
            }
            if !self.more().await {
                return None;
            }
        }
    }

    /// The trailers after the last chunk, as they stand there.
    pub(crate) async fn trailers(&mut self) -> String {
        while !self.buffer.ends_with(b"\r\n") {
            assert!(self.more().await, "the end of a reply in chunks");
        }
        String::from_utf8(std::mem::take(&mut self.buffer)).unwrap()
    }

    async fn more(&mut self) -> bool {
        matches!(self.stream.read_buf(&mut self.buffer).await, Ok(1..))
    }

    /// The next reply, or `None` when the server closed the connection instead.
    pub(crate) async fn reply(&mut self) -> Option<Reply> {
        let head_end = loop {
            if let Some(at) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break at;
            }
            if !self.more().await {
                return None;
            }
        };
        let head = String::from_utf8(self.buffer[..head_end].to_vec()).unwrap();
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers: Vec<_> =
            lines.map(|line| line.split_once(": ").unwrap()).map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
        let mut reply = Reply { status, headers, body: Vec::new() };
        let length: usize = reply.header("content-length").map_or(0, |length| length.parse().unwrap());
        while self.buffer.len() < head_end + 4 + length {
            if !self.more().await {
                return None;
            }
        }
        reply.body = self.buffer[head_end + 4..head_end + 4 + length].to_vec();
        self.buffer.drain(..head_end + 4 + length);
        Some(reply)
    }

    /// Whether the server has closed the connection, waiting until it does; anything that it still sends is an error.
    pub(crate) async fn is_closed(&mut self) -> bool {
        while self.more().await {}
        self.buffer.is_empty()
    }
}

/// The bytes of an invocation.
pub(crate) fn invocation(endpoint: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    request(&format!("{endpoint}/invocations"), headers, body)
}

/// The bytes of a request below `/endpoints/`.
pub(crate) fn request(path: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("POST /endpoints/{path} HTTP/1.1\r\nhost: localhost\r\n").into_bytes();
    for (name, value) in headers {
        bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    bytes.extend_from_slice(format!("content-length: {}\r\n\r\n", body.len()).as_bytes());
    bytes.extend_from_slice(body);
    bytes
}
