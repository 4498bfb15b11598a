//! Keys by URL, of an issuer that is a small true server.

use std::collections::VecDeque;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

/// A key of RFC 8037, of no server.
const FIRST: &str =
    r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
const BOTH: &str = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},
    {"kty":"OKP","crv":"Ed25519","kid":"b","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

/// Answers each request with the next of these; how many came, and where it is.
async fn served(answers: Vec<String>) -> (String, watch::Receiver<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/jwks", listener.local_addr().unwrap());
    let (count, counted) = watch::channel(0);
    let mut answers = VecDeque::from(answers);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                match stream.read_u8().await {
                    Ok(byte) => head.push(byte),
                    Err(_) => break,
                }
            }
            assert!(head.starts_with(b"GET /jwks HTTP/1.1\r\n"), "{}", String::from_utf8_lossy(&head));
            let answer = answers.pop_front().unwrap_or_default();
            let _ = stream.write_all(answer.as_bytes()).await;
            count.send_modify(|count| *count += 1);
        }
    });
    (url, counted)
}

fn reply(status: &str, more: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{more}content-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
}

fn fetcher(url: &str) -> Fetcher {
    Fetcher { place: place(url).unwrap(), keys: Arc::default() }
}

#[tokio::test]
async fn keys_are_fetched_and_what_an_issuer_answers_badly_leaves_those_that_are_there() {
    let large = format!("{{\"keys\":[],\"x\":\"{}\"}}", "x".repeat(KEY_SET_MAX_BYTES));
    let (elsewhere, mut elsewhere_asked) = served(vec![reply("200 OK", "", BOTH)]).await;
    let bad = vec![
        reply("500 Internal Server Error", "", BOTH),
        reply("302 Found", &format!("location: {elsewhere}\r\n"), ""),
        reply("200 OK", "", "<html>"),
        reply("200 OK", "", &large),
        "HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n{\"keys\"".to_owned(),
    ];
    let count = bad.len();
    let (url, _) = served([vec![reply("200 OK", "", FIRST)], bad, vec![reply("200 OK", "", BOTH)]].concat()).await;
    let fetcher = fetcher(&url);
    fetcher.renew().await;
    assert_eq!(fetcher.keys.len(), 1);
    for at in 0..count {
        fetcher.renew().await;
        assert_eq!(fetcher.keys.len(), 1, "bad answer {at}");
    }
    fetcher.renew().await;
    assert_eq!(fetcher.keys.len(), 2);
    assert_eq!(*elsewhere_asked.borrow_and_update(), 0, "redirects are not followed");
}

#[tokio::test]
async fn a_token_of_a_new_key_has_the_keys_fetched_once_however_many_ask() {
    let (url, mut fetched) = served(vec![reply("200 OK", "", FIRST), reply("200 OK", "", BOTH)]).await;
    let fetcher = fetcher(&url);
    let keys = Arc::clone(&fetcher.keys);
    fetcher.renew().await;
    let (renewal, task) = fetcher.keep(Duration::from_secs(3_600), &Tasks::default());
    let waiting: Vec<_> = (0..20).filter_map(|_| renewal()).collect();
    assert_eq!(waiting.len(), 20, "all wait for the one that is under way");
    for wait in waiting {
        wait.await;
    }
    assert_eq!((keys.len(), *fetched.borrow_and_update()), (2, 2));
    assert!(renewal().is_none(), "a moment later nobody asks again");
    task.abort();
}

#[tokio::test(start_paused = true)]
async fn an_issuer_that_never_answers_is_given_up_and_asked_again_later() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = fetcher(&format!("http://{}/jwks", listener.local_addr().unwrap()));
    let begun = Instant::now();
    silent.renew().await;
    assert_eq!(silent.keys.len(), 0);
    assert!(begun.elapsed() >= FETCH_TIMEOUT && begun.elapsed() < FETCH_TIMEOUT * 2);
}

#[test]
fn keys_are_not_fetched_in_clear_from_elsewhere() {
    for (url, fine) in [
        ("http://127.0.0.1:9/jwks", true),
        ("http://[::1]:9/jwks", true),
        ("http://localhost/jwks", true),
        ("http://login.example/jwks", false),
        ("http://127.0.0.1.login.example/jwks", false),
        ("http://10.0.0.7/jwks", false),
    ] {
        assert_eq!(place(url).is_ok(), fine, "{url}");
    }
}
