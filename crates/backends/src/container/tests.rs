//! Against an engine that answers from a script and writes down what it was asked.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};

use super::*;

/// What was asked, `POST /containers/create`, without the query.
type Asked = Arc<Mutex<Vec<String>>>;
/// Method with path, and query, to status and body.
type Script = dyn Fn(&str, &str) -> (u16, &'static str) + Send + Sync;

const OWNER: &str = "/srv/captura-data";

/// The engine.
struct Engine {
    folder: tempfile::TempDir,
    asked: Asked,
}

impl Engine {
    fn start(script: impl Fn(&str, &str) -> (u16, &'static str) + Send + Sync + 'static) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("docker.sock")).unwrap();
        let (asked, script): (Asked, Arc<Script>) = (Asked::default(), Arc::new(script));
        let noted = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, Arc::clone(&noted), Arc::clone(&script)));
            }
        });
        Self { folder, asked }
    }

    fn containers(&self, pull: Pull) -> Containers {
        let socket = self.folder.path().join("docker.sock");
        Containers::new(
            ContainerSettings { socket, pull, owner: OWNER.into(), ..ContainerSettings::default() },
            AnswerLimits::default(),
        )
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

async fn answer(mut stream: UnixStream, asked: Asked, script: Arc<Script>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else { return };
        head.push(byte);
    }
    let head = String::from_utf8(head).unwrap();
    let mut words = head.split(' ');
    let (method, target) = (words.next().unwrap(), words.next().unwrap());
    let length = head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).await.unwrap();

    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let act = format!("{method} {path}");
    asked.lock().unwrap().push(act.clone());
    let (status, body) = script(&act, query);
    let reply = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
    let _ = stream.write_all(reply.as_bytes()).await;
}

/// An engine with nothing in it but the image `team/model:3`, in which every container fails to start.
fn plain(act: &str, _: &str) -> (u16, &'static str) {
    match act {
        "GET /version" => (200, r#"{"ApiVersion":"1.41"}"#),
        "GET /containers/json" => (200, "[]"),
        "GET /images/team/model:3/json" => (200, r#"{"Id":"sha256:1","Config":{"WorkingDir":"/srv"}}"#),
        "GET /networks" => (200, r#"[{"Id":"net-b"},{"Id":"net-a"}]"#),
        "POST /containers/create" => (201, r#"{"Id":"c1","Warnings":[]}"#),
        "POST /containers/c1/start" => (500, r#"{"message":"no such program: serve"}"#),
        "DELETE /containers/c1" => (204, ""),
        _ => (404, r#"{"message":"nothing there"}"#),
    }
}

fn spec(image: &str) -> ModelSpec {
    ModelSpec { image: image.into(), ..ModelSpec::default() }
}

async fn mould(containers: &Containers, image: &str) -> Result<Mould, ContainerError> {
    containers.mould(&spec(image), &Launch::default()).await
}

#[tokio::test]
async fn without_docker_the_reason_names_the_image_and_the_socket_and_what_to_do() {
    let settings = ContainerSettings { socket: "/nowhere/docker.sock".into(), ..ContainerSettings::default() };
    let said =
        mould(&Containers::new(settings, AnswerLimits::default()), "team/model:3").await.unwrap_err().to_string();
    assert!(said.contains("\"team/model:3\"") && said.contains("no socket at /nowhere/docker.sock"), "{said}");
    assert!(said.contains("[docker] socket"), "{said}");
}

#[tokio::test]
async fn what_an_earlier_run_left_is_gone_before_the_first_container_and_no_other() {
    let engine = Engine::start(|act, query| match act {
        "GET /containers/json" if query.contains("captura.data-dir%3D%2Fsrv%2Fcaptura-data") => {
            assert!(query.contains("all=true"), "stopped ones too: {query}");
            (200, r#"[{"Id":"old-1"},{"Id":"old-2"}]"#)
        }
        "DELETE /containers/old-1" | "DELETE /containers/old-2" => (204, ""),
        other => plain(other, query),
    });
    let containers = engine.containers(Pull::Never);
    mould(&containers, "team/model:3").await.unwrap();
    let asked = engine.asked();
    let at = |act: &str| asked.iter().position(|found| found == act).unwrap_or_else(|| panic!("{act} in {asked:?}"));
    let image = at("GET /images/team/model:3/json");
    assert!(at("DELETE /containers/old-1") < image && at("DELETE /containers/old-2") < image, "{asked:?}");
    mould(&containers, "team/model:3").await.unwrap();
    assert_eq!(engine.asked().iter().filter(|act| act.starts_with("DELETE")).count(), 2, "once");
}

#[tokio::test]
async fn an_image_is_pulled_when_the_policy_says_so() {
    for (pull, image, pulls) in [
        (Pull::Never, "team/model:3", 0),
        (Pull::Missing, "team/model:3", 0),
        (Pull::Always, "team/model:3", 1),
        (Pull::Missing, "team/other", 1),
    ] {
        let engine = Engine::start(|act, query| match act {
            "POST /images/create" if query.contains("team%2Fother") => {
                assert!(query.contains("tag=latest"), "{query}");
                (200, r#"{"errorDetail":{"message":"pull access denied"},"error":"pull access denied"}"#)
            }
            "POST /images/create" => (200, r#"{"status":"Status: Image is up to date"}"#),
            other => plain(other, query),
        });
        let made = mould(&engine.containers(pull), image).await;
        let pulled = engine.asked().iter().filter(|act| *act == "POST /images/create").count();
        assert_eq!(pulled, pulls, "{pull:?} {image}");
        if image == "team/other" {
            let said = made.unwrap_err().to_string();
            assert_eq!(said, "the image \"team/other\" cannot be pulled: pull access denied");
        }
    }
    let engine = Engine::start(plain);
    let said = mould(&engine.containers(Pull::Never), "team/other").await.unwrap_err().to_string();
    assert_eq!(said, "the image \"team/other\" is not on this machine, and [docker] pull = \"never\"");
}

#[tokio::test]
async fn a_container_that_cannot_be_started_is_removed_and_the_engines_words_are_the_reason() {
    let engine = Engine::start(plain);
    let mould = mould(&engine.containers(Pull::Never), "team/model:3").await.unwrap();
    assert_eq!(mould.network, "net-a", "everybody takes the same of several networks");
    let said = mould.start().await.unwrap_err().to_string();
    assert_eq!(said, "Docker could not start the container: no such program: serve");
    assert_eq!(engine.asked().last().map(String::as_str), Some("DELETE /containers/c1"));
}

#[tokio::test]
async fn the_servers_end_waits_for_a_container_whose_start_was_given_up() {
    let engine = Engine::start(|act, query| match act {
        "POST /containers/c1/start" => (204, ""),
        "GET /containers/c1/json" => {
            (200, r#"{"Id":"c1","NetworkSettings":{"Networks":{"n":{"IPAddress":"127.0.0.1"}}}}"#)
        }
        other => plain(other, query),
    });
    let containers = engine.containers(Pull::Never);
    let mould = mould(&containers, "team/model:3").await.unwrap();
    // Given up as soon as it has begun.
    let mut start = Box::pin(mould.start());
    assert!(futures_util::poll!(&mut start).is_pending());
    drop(start);
    containers.close().await;
    assert!(engine.asked().iter().any(|act| act == "DELETE /containers/c1"), "{:?}", engine.asked());
}

#[tokio::test]
async fn a_port_that_is_none_is_refused_before_anything_is_asked() {
    let engine = Engine::start(plain);
    let mut spec = spec("team/model:3");
    for port in ["", "0", "65536", "http"] {
        spec.environment.insert(PORT_VARIABLE.into(), port.into());
        let refused = engine.containers(Pull::Never).mould(&spec, &Launch::default()).await;
        assert!(matches!(refused, Err(ContainerError::Port(said)) if said == port));
    }
    assert_eq!(engine.asked(), Vec::<String>::new());
    spec.environment.insert(PORT_VARIABLE.into(), "9000".into());
    assert_eq!(engine.containers(Pull::Never).mould(&spec, &Launch::default()).await.unwrap().port, 9000);
}
