//! The shelf with a library on command, and the libraries themselves: one over files, one over a server.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use captura_route::Answer;
use tokio::sync::Semaphore;

use super::*;
use crate::{Backends, LoadError, ModelSpec, Settings};

/// Loads models that answer with their key.
#[derive(Debug)]
struct OnCommand {
    /// Loads and unloads as they were begun, `+a`, `-a`.
    events: Mutex<Vec<String>>,
    /// Each permit lets one load end; nothing for loads that end at once.
    gate: Option<Semaphore>,
    /// Each permit lets one call end; nothing for calls that end at once.
    calls: Option<Arc<Semaphore>>,
    /// Most models that have room.
    room: usize,
    loaded: AtomicUsize,
    fails: AtomicBool,
    panics: AtomicBool,
}

impl Default for OnCommand {
    fn default() -> Self {
        Self {
            events: Mutex::default(),
            gate: None,
            calls: None,
            room: usize::MAX,
            loaded: AtomicUsize::new(0),
            fails: AtomicBool::new(false),
            panics: AtomicBool::new(false),
        }
    }
}

impl OnCommand {
    fn events(&self) -> Vec<String> {
        self.events.lock().unwrap().clone()
    }
}

#[derive(Debug)]
struct Keyed(String, Option<Arc<Semaphore>>);

impl Backend for Keyed {
    fn invoke<'a>(&'a self, _: &'a ModelRequest) -> Invoking<'a> {
        Box::pin(async {
            if let Some(calls) = &self.1 {
                calls.acquire().await.unwrap().forget();
            }
            Ok(Answer { body: self.0.clone().into(), ..Answer::default() })
        })
    }
}

impl Library for OnCommand {
    fn load<'a>(&'a self, key: &'a ModelKey) -> Pending<'a, Result<Volume, NotLoaded>> {
        Box::pin(async move {
            self.events.lock().unwrap().push(format!("+{key}"));
            if let Some(gate) = &self.gate {
                gate.acquire().await.unwrap().forget();
            }
            assert!(!self.panics.load(Ordering::SeqCst), "the library panics because a test asked it to");
            if self.fails.load(Ordering::SeqCst) {
                return Err(NotLoaded::Failed(failed(500, "it is broken".into())));
            }
            if self.loaded.load(Ordering::SeqCst) >= self.room {
                return Err(NotLoaded::NoRoom(failed(507, "no memory".into())));
            }
            self.loaded.fetch_add(1, Ordering::SeqCst);
            Ok(Volume { backend: Arc::new(Keyed(key.to_string(), self.calls.clone())), bytes: 10 })
        })
    }

    fn unload<'a>(&'a self, key: &'a ModelKey) -> Pending<'a, ()> {
        Box::pin(async move {
            self.loaded.fetch_sub(1, Ordering::SeqCst);
            self.events.lock().unwrap().push(format!("-{key}"));
        })
    }
}

const CACHED: MultiModelSpec = MultiModelSpec { is_cached: true };

fn limits(models_max: usize, bytes_max: u64) -> MultiModelLimits {
    MultiModelLimits { models_max, bytes_max }
}

fn shelf(library: OnCommand, spec: MultiModelSpec, limits: MultiModelLimits) -> (Arc<OnCommand>, Arc<MultiModel>) {
    let library = Arc::new(library);
    (Arc::clone(&library), Arc::new(MultiModel::new(library, spec, limits)))
}

fn request(key: &str) -> ModelRequest {
    ModelRequest { target_model: Some(key.into()), body: "1,2".into(), ..ModelRequest::default() }
}

async fn ask(models: &MultiModel, key: &str) -> Result<String, BackendError> {
    let answer = models.invoke(&request(key)).await?;
    Ok(String::from_utf8(answer.body.to_vec()).unwrap())
}

/// Begins a call and gives the others a chance until it waits.
async fn begun(models: &Arc<MultiModel>, key: &'static str) -> tokio::task::JoinHandle<Result<String, BackendError>> {
    let models = Arc::clone(models);
    let call = tokio::spawn(async move { ask(&models, key).await });
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    call
}

#[tokio::test]
async fn a_model_is_loaded_on_its_first_use_and_once_for_all_who_wait() {
    let gated = OnCommand { gate: Some(Semaphore::new(0)), ..OnCommand::default() };
    let (library, models) = shelf(gated, CACHED, MultiModelLimits::default());
    assert!(models.extras().target_model);
    let calls = [begun(&models, "a").await, begun(&models, "a").await, begun(&models, "b").await];
    library.gate.as_ref().unwrap().add_permits(2);
    let mut answers = Vec::new();
    for call in calls {
        answers.push(call.await.unwrap().unwrap());
    }
    assert_eq!(answers, ["a", "a", "b"]);
    assert_eq!(ask(&models, "a").await.unwrap(), "a");
    assert_eq!(library.events(), ["+a", "+b"]);
}

#[tokio::test]
async fn what_was_used_least_recently_makes_room() {
    for limits in [limits(2, u64::MAX), limits(100, 29)] {
        let (library, models) = shelf(OnCommand::default(), CACHED, limits);
        for key in ["a", "b", "a", "c", "a"] {
            assert_eq!(ask(&models, key).await.unwrap(), key);
        }
        assert_eq!(library.events(), ["+a", "+b", "+c", "-b"], "{limits:?}");
    }
}

#[tokio::test]
async fn a_model_with_calls_is_not_unloaded() {
    let calls = Arc::new(Semaphore::new(0));
    let held = OnCommand { calls: Some(Arc::clone(&calls)), ..OnCommand::default() };
    let (library, models) = shelf(held, CACHED, limits(1, u64::MAX));
    let busy = begun(&models, "a").await;
    let other = begun(&models, "b").await;
    assert_eq!(library.events(), ["+a", "+b"]);
    calls.add_permits(3);
    assert_eq!((busy.await.unwrap().unwrap(), other.await.unwrap().unwrap()), ("a".into(), "b".into()));
    assert_eq!(ask(&models, "c").await.unwrap(), "c");
    assert_eq!(library.events()[2..], ["+c", "-a", "-b"], "both are free now, and one is allowed");
}

#[tokio::test]
async fn a_model_larger_than_all_may_be_is_refused() {
    let (library, models) = shelf(OnCommand::default(), CACHED, limits(5, 9));
    let error = ask(&models, "a").await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the model answered 507: The model a has 10 bytes, and all models together may have 9."
    );
    assert_eq!(library.events(), ["+a", "-a"]);
}

#[tokio::test]
async fn a_server_without_room_gets_some_and_is_asked_again() {
    let small = OnCommand { room: 1, ..OnCommand::default() };
    let (library, models) = shelf(small, CACHED, MultiModelLimits::default());
    assert_eq!(ask(&models, "a").await.unwrap(), "a");
    assert_eq!(ask(&models, "b").await.unwrap(), "b");
    assert_eq!(library.events(), ["+a", "+b", "-a", "+b"]);
    let none = OnCommand { room: 0, ..OnCommand::default() };
    let (_, models) = shelf(none, CACHED, MultiModelLimits::default());
    let error = ask(&models, "a").await.unwrap_err();
    assert_eq!(error.to_string(), "the model answered 507: no memory", "nothing is there that could make room");
}

#[tokio::test(start_paused = true)]
async fn a_slow_model_is_not_ready_and_goes_on_loading() {
    let gated = OnCommand { gate: Some(Semaphore::new(0)), ..OnCommand::default() };
    let (library, models) = shelf(gated, CACHED, MultiModelLimits::default());
    let error = ask(&models, "a").await.unwrap_err();
    assert_eq!(error.to_string(), "the model is not ready: a is still being loaded");
    library.gate.as_ref().unwrap().add_permits(1);
    assert_eq!(ask(&models, "a").await.unwrap(), "a");
    assert_eq!(library.events(), ["+a"]);
}

#[tokio::test(start_paused = true)]
async fn a_load_without_end_is_given_up_and_the_next_call_begins_another() {
    let gated = OnCommand { gate: Some(Semaphore::new(0)), ..OnCommand::default() };
    let (library, models) = shelf(gated, CACHED, MultiModelLimits::default());
    let said = loop {
        match ask(&models, "a").await.unwrap_err() {
            BackendError::NotReady(_) => {}
            error => break error.to_string(),
        }
    };
    assert_eq!(said, "the model answered 500: The model a did not load within 360 s.");
    library.gate.as_ref().unwrap().add_permits(1);
    assert_eq!(ask(&models, "a").await.unwrap(), "a");
}

#[tokio::test]
async fn without_a_cache_a_model_goes_when_its_calls_have_ended() {
    let (library, models) =
        shelf(OnCommand::default(), MultiModelSpec { is_cached: false }, MultiModelLimits::default());
    for _ in 0..2 {
        assert_eq!(ask(&models, "a").await.unwrap(), "a");
    }
    while library.events().len() < 4 {
        tokio::task::yield_now().await;
    }
    assert_eq!(library.events(), ["+a", "-a", "+a", "-a"]);
}

#[tokio::test]
async fn a_load_that_fails_or_panics_leaves_its_place_free() {
    let (library, models) = shelf(OnCommand::default(), CACHED, MultiModelLimits::default());
    library.fails.store(true, Ordering::SeqCst);
    assert_eq!(ask(&models, "a").await.unwrap_err().to_string(), "the model answered 500: it is broken");
    library.fails.store(false, Ordering::SeqCst);
    library.panics.store(true, Ordering::SeqCst);
    assert!(ask(&models, "a").await.unwrap_err().to_string().contains("a bug of captura"));
    library.panics.store(false, Ordering::SeqCst);
    assert_eq!(ask(&models, "a").await.unwrap(), "a");
}

#[tokio::test(start_paused = true)]
async fn loads_under_way_are_bounded() {
    let gated = OnCommand { gate: Some(Semaphore::new(0)), ..OnCommand::default() };
    let (_, models) = shelf(gated, CACHED, MultiModelLimits::default());
    let mut waiting = Vec::new();
    for index in 0..LOADS_MAX {
        let models = Arc::clone(&models);
        waiting.push(tokio::spawn(async move { ask(&models, &format!("model-{index}")).await }));
    }
    while models.shelf.loading() < LOADS_MAX {
        tokio::task::yield_now().await;
    }
    let error = ask(&models, "one-more").await.unwrap_err();
    assert_eq!(error.to_string(), "the model is not ready: 64 models are being loaded; one-more has to wait");
    drop(waiting);
}

#[tokio::test]
async fn a_key_that_leads_out_never_reaches_the_library() {
    let (library, models) = shelf(OnCommand::default(), CACHED, MultiModelLimits::default());
    for key in ["../secrets", "/etc/passwd", ""] {
        let error = ask(&models, key).await.unwrap_err();
        assert!(matches!(error, BackendError::NoSuchTarget(_)), "{error:?}");
    }
    assert_eq!(library.events(), [""; 0]);
}

/// A loader of embedded models whose files lie in a folder.
async fn embedded(
    image: &str,
    files: &[(&str, &[u8])],
) -> (tempfile::TempDir, Result<Arc<crate::Replicas>, LoadError>) {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let path = folder.path().join("models").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    let settings = Settings { allow_file_urls: true, ..Settings::new(folder.path().join("cache")) };
    let backends = Backends::new(settings, Arc::new(|_| Ok(None)));
    let spec = ModelSpec {
        image: image.into(),
        model_data_url: Some(folder.path().join("models").display().to_string()),
        multi_model: Some(CACHED),
        ..ModelSpec::default()
    };
    let loaded = backends.load(&spec, crate::Launch::default()).await;
    (folder, loaded)
}

#[tokio::test]
async fn embedded_models_are_found_below_the_prefix() {
    let (_folder, models) = embedded("captura/echo", &[("north.bin", b"x"), ("eu/south.bin", b"y")]).await;
    let models = models.unwrap();
    assert!(models.extras().target_model);
    for key in ["north.bin", "eu/south.bin"] {
        assert_eq!(models.invoke(&request(key)).await.unwrap().body, "1,2");
    }
    let error = models.invoke(&request("west.bin")).await.unwrap_err();
    let BackendError::NoSuchTarget(text) = &error else { panic!("{error:?}") };
    assert!(text.starts_with("Failed to download model data(bucket: -, key: "), "{text}");
}

#[tokio::test]
async fn an_embedded_model_that_is_none_is_the_models_error() {
    let (_folder, models) = embedded("captura/trees", &[("bad.json", b"{}")]).await;
    let error = models.unwrap().invoke(&request("bad.json")).await.unwrap_err();
    let BackendError::Model { status: 500, message, .. } = &error else { panic!("{error:?}") };
    assert!(message.starts_with("The model bad.json cannot be loaded: "), "{message}");
}

#[test]
fn a_missing_object_is_told_in_sagemakers_words() {
    let missing = ArtifactError::Missing { url: "s3://models/churn/west.tar.gz".into() };
    assert_eq!(
        not_fetched("s3://models/churn/west.tar.gz", &missing).to_string(),
        "Failed to download model data(bucket: models, key: churn/west.tar.gz). Please ensure that there is an object \
         located at the URL and that the role passed to CreateModel has permissions to download the model."
    );
}

/// A server with many models, as the contract has it: it reads what it is told to load.
mod server {
    use super::*;
    use std::path::PathBuf;

    use bytes::Bytes;
    use http::{Request, Response};
    use http_body_util::{BodyExt as _, Full};
    use hyper::body::Incoming;
    use hyper::service::service_fn;
    use hyper_util::rt::TokioIo;
    use tokio::net::TcpListener;

    use crate::http_contract::{Address, ContractClient, ContractSettings};

    #[derive(Debug, Default)]
    pub(super) struct Server {
        /// Content of the models by their identifiers.
        models: Mutex<HashMap<String, String>>,
        pub(super) requests: Mutex<Vec<String>>,
        room: usize,
    }

    pub(super) async fn start(room: usize) -> (Arc<Server>, ContractClient) {
        let server = Arc::new(Server { room, ..Server::default() });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::clone(&server);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let server = Arc::clone(&shared);
                let service = service_fn(move |request| {
                    let server = Arc::clone(&server);
                    async move { Ok::<_, std::convert::Infallible>(server.answer(request).await) }
                });
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
                );
            }
        });
        (server, ContractClient::new(Address::Tcp(address), ContractSettings::default()).unwrap())
    }

    impl Server {
        async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
            let (head, body) = request.into_parts();
            let body = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
            let target = head.headers.get("x-amzn-sagemaker-target-model").map_or("", |value| value.to_str().unwrap());
            self.requests.lock().unwrap().push(format!("{} {target}", head.method));
            let mut models = self.models.lock().unwrap();
            let path = head.uri.path().trim_start_matches("/models").trim_start_matches('/');
            let (status, said) = match (head.method.as_str(), path.strip_suffix("/invoke")) {
                ("POST", Some(identifier)) => match models.get(identifier) {
                    Some(content) => (200, format!("{content}({body})")),
                    None => (404, "no such model".to_owned()),
                },
                ("POST", None) => {
                    let told: serde_json::Value = serde_json::from_str(&body).unwrap();
                    let identifier = told["model_name"].as_str().unwrap().to_owned();
                    if models.contains_key(&identifier) {
                        (409, "already loaded".to_owned())
                    } else if models.len() >= self.room {
                        (507, "out of memory".to_owned())
                    } else {
                        let file = PathBuf::from(told["url"].as_str().unwrap()).join("model.txt");
                        models.insert(identifier, std::fs::read_to_string(file).unwrap());
                        (200, String::new())
                    }
                }
                ("DELETE", _) => (if models.remove(path).is_some() { 200 } else { 404 }, String::new()),
                other => panic!("{other:?}"),
            };
            Response::builder().status(status).body(Full::from(said)).unwrap()
        }
    }
}

fn archive(content: &str) -> Vec<u8> {
    let mut builder = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
    let mut header = tar::Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    builder.append_data(&mut header, "model.txt", content.as_bytes()).unwrap();
    builder.into_inner().unwrap().finish().unwrap()
}

#[tokio::test]
async fn a_server_is_told_which_models_to_load_and_to_unload() {
    let (server, client) = server::start(1).await;
    let folder = tempfile::tempdir().unwrap();
    for name in ["north", "south"] {
        std::fs::write(folder.path().join(format!("{name}.tar.gz")), archive(name)).unwrap();
    }
    let settings = Settings { allow_file_urls: true, ..Settings::new(folder.path().join("cache")) };
    let fetcher = crate::artifact::Fetcher::new(&settings, Arc::new(|_| Ok(None)));
    let prefix = folder.path().display().to_string();
    let many = ManyModels { fetcher, prefix, spec: CACHED, limits: MultiModelLimits::default() };
    let models = Arc::new(many.folder(None, None).unwrap());
    let many = many.served_by(client, Arc::clone(&models));
    for (key, answer) in
        [("north.tar.gz", "north(1,2)"), ("south.tar.gz", "south(1,2)"), ("south.tar.gz", "south(1,2)")]
    {
        assert_eq!(ask(&many, key).await.unwrap(), answer);
    }
    assert_eq!(
        *server.requests.lock().unwrap(),
        ["POST ", "POST north.tar.gz", "POST ", "DELETE ", "POST ", "POST south.tar.gz", "POST south.tar.gz"],
        "the second model has no room until the first is gone"
    );
    assert_eq!(std::fs::read_dir(models.path()).unwrap().count(), 1, "files of unloaded models are gone");
    let error = ask(&many, "west.tar.gz").await.unwrap_err();
    assert!(matches!(error, BackendError::NoSuchTarget(_)), "{error:?}");
}

#[tokio::test]
async fn a_model_that_a_server_has_already_is_used_as_it_is() {
    let (_server, client) = server::start(5).await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("model.txt"), "north").unwrap();
    let path = folder.path().display().to_string();
    client.load_model("abc", &path).await.unwrap();
    client.load_model("abc", &path).await.unwrap();
    let answer = client.for_model("abc").invoke(&request("north")).await.unwrap();
    assert_eq!(answer.body, "north(1,2)");
    client.unload_model("abc").await.unwrap();
    client.unload_model("abc").await.unwrap();
}
