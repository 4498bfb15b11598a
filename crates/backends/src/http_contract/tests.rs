//! The contract against a server that says exactly what a test tells it to.

use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use captura_route::{Answer, Backend, BackendError, Holder, MemoryBudget, ModelRequest};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc};

use super::{Address, AnswerLimits, ContractClient, ContractSettings, Unhealthy};

/// What the server does with one request.
#[derive(Clone)]
enum Act {
    Say(Vec<u8>),
    /// Says it and closes.
    Last(Vec<u8>),
    /// Closes without a word.
    Hang,
    /// Says the first part, the second when the test has nodded.
    InTwo(Vec<u8>, Arc<Notify>, Vec<u8>),
    /// Says this again and again.
    Forever(Vec<u8>),
}

struct Fake {
    client: ContractClient,
    /// Requests as they came, by connection.
    requests: Arc<Mutex<Vec<(usize, String)>>>,
    /// Tells of each connection that the client closed.
    closed: mpsc::Receiver<usize>,
}

/// A server that does `act(connection, request)`, both counted from 0.
async fn fake(act: impl Fn(usize, usize) -> Act + Send + Sync + 'static) -> Fake {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let requests = Arc::new(Mutex::new(Vec::new()));
    let (tell, closed) = mpsc::channel(64);
    let (seen, act) = (Arc::clone(&requests), Arc::new(act));
    tokio::spawn(async move {
        for connection in 0.. {
            let (stream, _) = listener.accept().await.unwrap();
            let (seen, act, tell) = (Arc::clone(&seen), Arc::clone(&act), tell.clone());
            tokio::spawn(async move {
                serve(stream, connection, &seen, &*act).await;
                let _ = tell.send(connection).await;
            });
        }
    });
    let settings = ContractSettings {
        answers: AnswerLimits { max_bytes: 1_000, ..AnswerLimits::default() },
        ..ContractSettings::default()
    };
    let client = ContractClient::new(Address::Tcp(address), settings).unwrap();
    Fake { client, requests, closed }
}

async fn serve(
    mut stream: TcpStream,
    connection: usize,
    seen: &Mutex<Vec<(usize, String)>>,
    act: &(impl Fn(usize, usize) -> Act + ?Sized),
) {
    for request in 0.. {
        let Some(text) = read_request(&mut stream).await else { return };
        seen.lock().unwrap().push((connection, text));
        let said = match act(connection, request) {
            Act::Say(bytes) => stream.write_all(&bytes).await,
            Act::Last(bytes) => return stream.write_all(&bytes).await.unwrap(),
            Act::Hang => return,
            Act::InTwo(first, nod, second) => {
                stream.write_all(&first).await.unwrap();
                nod.notified().await;
                stream.write_all(&second).await
            }
            Act::Forever(bytes) => loop {
                if let Err(error) = stream.write_all(&bytes).await {
                    break Err(error);
                }
            },
        };
        // The client may be gone, which is what some tests are about.
        if said.is_err() {
            return;
        }
    }
}

async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut text = Vec::new();
    loop {
        let so_far = String::from_utf8_lossy(&text).into_owned();
        if let Some((head, body)) = so_far.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                return Some(so_far);
            }
        }
        let mut buffer = [0; 4_096];
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return None,
            Ok(read) => text.extend_from_slice(&buffer[..read]),
        }
    }
}

fn ok(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\ncontent-type: text/csv\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

fn request() -> ModelRequest {
    ModelRequest { body: "1,2".into(), content_type: Some("text/csv".into()), ..ModelRequest::default() }
}

async fn status_of(fake: &Fake) -> (u16, String) {
    match fake.client.invoke(&request()).await {
        Err(BackendError::Model { status, message, .. }) => (status, message),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_headers_of_the_contract_travel_both_ways_and_no_others() {
    let answer = "HTTP/1.1 200 OK\r\nContent-Type: application/json; x=1\r\nX-Amzn-SageMaker-Custom-Attributes: c=2\r\n\
                  X-Amzn-SageMaker-New-Session-Id: s; Expires=2026-01-01T00:00:00Z\r\nSet-Cookie: a=b\r\n\
                  X-Amzn-SageMaker-Closed-Session-Id: t\r\nContent-Length: 2\r\n\r\n[]";
    let fake = fake(move |_, _| Act::Say(answer.into())).await;
    let asked = ModelRequest {
        accept: Some("application/json".into()),
        custom_attributes: Some("c=1".into()),
        target_model: Some("a.tar.gz".into()),
        session_id: Some("NEW_SESSION".into()),
        enable_explanations: Some("`true`".into()),
        ..request()
    };
    let answer = fake.client.invoke(&asked).await.unwrap();
    let requests = fake.requests.lock().unwrap();
    let (head, body) = requests[0].1.split_once("\r\n\r\n").unwrap();
    let mut lines: Vec<&str> = head.lines().collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            "POST /invocations HTTP/1.1",
            "accept: application/json",
            "content-length: 3",
            "content-type: text/csv",
            "host: localhost",
            "x-amzn-sagemaker-custom-attributes: c=1",
            "x-amzn-sagemaker-enable-explanations: `true`",
            "x-amzn-sagemaker-session-id: NEW_SESSION",
            "x-amzn-sagemaker-target-model: a.tar.gz",
        ]
    );
    assert_eq!(body, "1,2");
    let Answer { body, content_type, custom_attributes, new_session_id, closed_session_id } = answer;
    assert_eq!(&*body, b"[]");
    assert_eq!(content_type.as_deref(), Some("application/json; x=1"));
    assert_eq!(custom_attributes.as_deref(), Some("c=2"));
    assert_eq!(new_session_id.as_deref(), Some("s; Expires=2026-01-01T00:00:00Z"));
    assert_eq!(closed_session_id.as_deref(), Some("t"));
}

#[tokio::test]
async fn an_error_of_the_model_comes_with_its_status_and_words() {
    for status in [400, 415, 500, 503] {
        let text = format!("HTTP/1.1 {status} Sorry\r\ncontent-length: 5\r\n\r\nwhy:é");
        let text = text.replace("content-length: 5", "content-length: 6");
        let fake = fake(move |_, _| Act::Say(text.clone().into())).await;
        assert_eq!(status_of(&fake).await, (status, "why:é".to_owned()));
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let fake =
        fake(|_, _| Act::Say(b"HTTP/1.1 302 Found\r\nlocation: http://10.0.0.1/\r\ncontent-length: 0\r\n\r\n".into()))
            .await;
    let (status, message) = status_of(&fake).await;
    assert_eq!(status, 502);
    assert!(message.contains("302"), "{message}");
    assert_eq!(fake.requests.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn one_connection_serves_call_after_call() {
    let fake = fake(|_, _| Act::Say(ok("yes"))).await;
    for _ in 0..3 {
        assert_eq!(&*fake.client.invoke(&request()).await.unwrap().body, b"yes");
    }
    let connections: Vec<usize> = fake.requests.lock().unwrap().iter().map(|(connection, _)| *connection).collect();
    assert_eq!(connections, [0, 0, 0]);
}

#[tokio::test]
async fn a_kept_connection_that_dies_before_an_answer_is_replaced_once() {
    let fake = fake(|connection, request| match (connection, request) {
        (0, 0) | (1, 0) => Act::Say(ok("yes")),
        _ => Act::Hang,
    })
    .await;
    assert!(fake.client.invoke(&request()).await.is_ok());
    assert_eq!(&*fake.client.invoke(&request()).await.unwrap().body, b"yes");
    // The kept one dies again, and so does the new one: that is told.
    let third = fake.client.invoke(&request()).await;
    assert!(matches!(third, Err(BackendError::WentAway(_))), "{third:?}");
    let connections: Vec<usize> = fake.requests.lock().unwrap().iter().map(|(connection, _)| *connection).collect();
    assert_eq!(connections, [0, 0, 1, 1, 2]);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable_and_one_that_closes_went_away_with_the_call() {
    let fake = fake(|_, _| Act::Hang).await;
    let closed = fake.client.invoke(&request()).await;
    assert!(matches!(closed, Err(BackendError::WentAway(_))), "{closed:?}");
    assert_eq!(fake.requests.lock().unwrap().len(), 1, "a new connection is no reason to ask twice");

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = Address::Tcp(listener.local_addr().unwrap());
    drop(listener);
    let client = ContractClient::new(address, ContractSettings::default()).unwrap();
    let refused = client.invoke(&request()).await;
    assert!(matches!(refused, Err(BackendError::Unavailable(_))), "{refused:?}");
    assert!(matches!(client.ping().await, Err(Unhealthy::Unanswered(_))));
}

#[tokio::test]
async fn an_answer_that_breaks_off_or_is_no_http_is_the_models_error() {
    for bytes in [
        "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        "HTTP/1.1 2",
        "SSH-2.0-OpenSSH_9.2\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n12",
    ] {
        let fake = fake(move |_, _| Act::Last(bytes.into())).await;
        let (status, message) = status_of(&fake).await;
        assert_eq!(status, 502, "{bytes:?}: {message}");
        assert_eq!(fake.requests.lock().unwrap().len(), 1, "{bytes:?}");
    }
}

#[tokio::test]
async fn answers_without_end_are_cut_off() {
    let large = format!("HTTP/1.1 200 OK\r\ncontent-length: 1001\r\n\r\n{}", "x".repeat(1_001));
    let announced = fake(move |_, _| Act::Say(large.clone().into())).await;
    assert_eq!(status_of(&announced).await.0, 413);

    let chunk = format!("1f4\r\n{}\r\n", "x".repeat(500));
    let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let chunked = fake(move |_, _| Act::Say(format!("{head}{chunk}{chunk}{chunk}").into())).await;
    let (status, message) = status_of(&chunked).await;
    assert_eq!((status, message.contains("entire response body")), (413, true), "{message}");

    let heads =
        fake(|_, _| Act::Forever(b"HTTP/1.1 200 OK\r\nx: ".iter().chain([b'y'; 8_192].iter()).copied().collect()))
            .await;
    assert_eq!(status_of(&heads).await.0, 502);

    let many = (0..10_000).map(|number| format!("x-{number}: y\r\n")).collect::<String>();
    let many = fake(move |_, _| Act::Say(format!("HTTP/1.1 200 OK\r\n{many}\r\n").into())).await;
    assert_eq!(status_of(&many).await.0, 502);
}

#[tokio::test]
async fn an_answer_for_which_there_is_no_memory_is_not_read() {
    let chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n12345\r\n0\r\n\r\n".to_vec();
    for act in [Act::Say(ok("12345")), Act::Say(chunked)] {
        let fake = fake(move |_, _| act.clone()).await;
        let memory = fake.client.inner.settings.answers.memory.clone();
        let others = memory.take(Holder::Requests, MemoryBudget::DEFAULT_BYTES - 4).unwrap();
        let refused = fake.client.invoke(&request()).await.unwrap_err();
        assert!(matches!(refused, BackendError::Unavailable(_)), "{refused:?}");
        drop(others);
        assert_eq!(fake.client.invoke(&request()).await.unwrap().body.len(), 5);
        assert_eq!(memory.used_bytes(), 0);
    }
}

#[tokio::test]
async fn a_whole_answer_at_the_limit_passes_in_any_framing() {
    let body = "x".repeat(1_000);
    let chunked = format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3e8\r\n{body}\r\n0\r\n\r\n");
    let until_close = format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{body}");
    for act in [Act::Say(ok(&body)), Act::Say(chunked.into()), Act::Last(until_close.into())] {
        let fake = fake(move |_, _| act.clone()).await;
        for _ in 0..2 {
            assert_eq!(fake.client.invoke(&request()).await.unwrap().body.len(), 1_000);
        }
    }
}

#[tokio::test]
async fn a_streamed_piece_is_passed_on_before_the_next_is_there() {
    let nod = Arc::new(Notify::new());
    let script = Act::InTwo(
        b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n".into(),
        Arc::clone(&nod),
        b"3\r\ntwo\r\n0\r\n\r\n".into(),
    );
    let fake = fake(move |_, _| script.clone()).await;
    for _ in 0..2 {
        let mut streamed = fake.client.invoke_streaming(&request()).await.unwrap();
        assert_eq!(streamed.head.content_type.as_deref(), Some("text/plain"));
        let first = poll_fn(|context| streamed.chunks.as_mut().poll_next(context)).await.unwrap().unwrap();
        assert_eq!(&*first, b"one");
        nod.notify_one();
        let second = poll_fn(|context| streamed.chunks.as_mut().poll_next(context)).await.unwrap().unwrap();
        assert_eq!(&*second, b"two");
        assert!(poll_fn(|context| streamed.chunks.as_mut().poll_next(context)).await.is_none());
    }
    let connections: Vec<usize> = fake.requests.lock().unwrap().iter().map(|(connection, _)| *connection).collect();
    assert_eq!(connections, [0, 0], "a stream that was read to its end leaves its connection to the next");
}

#[tokio::test]
async fn a_stream_that_breaks_off_ends_in_the_models_error() {
    let bytes = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n";
    let fake = fake(|_, _| Act::Last(bytes.into())).await;
    let mut streamed = fake.client.invoke_streaming(&request()).await.unwrap();
    assert!(poll_fn(|context| streamed.chunks.as_mut().poll_next(context)).await.unwrap().is_ok());
    let broken = poll_fn(|context| streamed.chunks.as_mut().poll_next(context)).await.unwrap();
    assert!(matches!(broken, Err(BackendError::Model { status: 502, .. })), "{broken:?}");
    assert!(poll_fn(|context| streamed.chunks.as_mut().poll_next(context)).await.is_none());

    let refused = b"HTTP/1.1 400 Bad\r\ncontent-length: 2\r\n\r\nno";
    let refusing = self::fake(|_, _| Act::Say(refused.into())).await;
    let error = refusing.client.invoke_streaming(&request()).await.unwrap_err();
    assert!(matches!(error, BackendError::Model { status: 400, .. }), "{error:?}");
}

#[tokio::test]
async fn giving_a_call_up_closes_its_connection() {
    let nod = Arc::new(Notify::new());
    let script = Act::InTwo(b"HTTP/1.1 200 OK\r\n".into(), Arc::clone(&nod), b"content-length: 0\r\n\r\n".into());
    let mut fake = fake(move |_, _| script.clone()).await;
    let (client, requests) = (fake.client.clone(), Arc::clone(&fake.requests));
    let call = tokio::spawn(async move { client.invoke(&request()).await });
    while requests.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    nod.notify_one();
    assert_eq!(fake.closed.recv().await, Some(0));
}

#[tokio::test]
async fn a_ping_is_healthy_with_200_alone() {
    let healthy = fake(|_, _| Act::Say(ok(""))).await;
    assert_eq!(healthy.client.ping().await, Ok(()));
    assert!(healthy.requests.lock().unwrap()[0].1.starts_with("GET /ping HTTP/1.1\r\n"));
    let failing = fake(|_, _| Act::Say(b"HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n".into())).await;
    assert_eq!(failing.client.ping().await, Err(Unhealthy::Status(503)));
    assert_eq!(failing.client.unhealthy(Duration::from_millis(1), 3).await, Unhealthy::Status(503));
    assert_eq!(failing.requests.lock().unwrap().len(), 4);
}

#[tokio::test]
async fn a_socket_of_the_file_system_does_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.sock");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let served = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut buffer = [0; 1_024];
        let read = stream.read(&mut buffer).await.unwrap();
        stream.write_all(&ok("yes")).await.unwrap();
        String::from_utf8_lossy(&buffer[..read]).into_owned()
    });
    let client = ContractClient::new(Address::Unix(path), ContractSettings::default()).unwrap();
    assert_eq!(&*client.invoke(&request()).await.unwrap().body, b"yes");
    assert!(served.await.unwrap().starts_with("POST /invocations"));
}
