//! From calls to a page: what a data scientist does on the morning after.

use std::time::Duration;

use captura_e2e::captured;
use captura_e2e::connection::Connection;
use captura_e2e::deployment::Deployment;
use captura_e2e::program::{self, said};
use captura_e2e::server::{Home, Server, wait_for};
use serde_json::Value;

/// Calls of each half.
const CALLS: usize = 600;
/// Elements that have no end.
const VOID: [&str; 7] = ["meta", "input", "br", "path", "rect", "img", "!doctype"];

/// `web` and `app` call in turn; with `shift`, `web` sends other values.
fn call(server: &Server, endpoint: &str, shift: u64) {
    let mut connection = Connection::open(server.address()).unwrap();
    for n in 0..CALLS as u64 {
        let consumer = if n.is_multiple_of(2) { "web" } else { "app" };
        let wobble = n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 54;
        let moved = if consumer == "web" { shift } else { 0 };
        let plan = ["basic", "plus", "<script>alert(1)</script>"][(wobble % 3) as usize];
        let body = format!("{},{},{plan}", wobble + moved, n.wrapping_mul(0xD1B5_4A32_D192_ED03) >> 54);
        let credential = format!(
            "AWS4-HMAC-SHA256 Credential={consumer}/20260101/us-east-1/sagemaker/aws4_request, SignedHeaders=host, \
             Signature=00"
        );
        let headers = [("content-type", "text/csv"), ("authorization", credential.as_str())];
        let reply = connection.post(&format!("/endpoints/{endpoint}/invocations"), &headers, body.as_bytes()).unwrap();
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
}

/// Whether every element that begins ends, in the right order; scripts and styles are skipped.
fn nesting(page: &str) -> Result<usize, String> {
    let (mut open, mut rest, mut elements): (Vec<&str>, &str, usize) = (Vec::new(), page, 0);
    while let Some(start) = rest.find('<') {
        let inside = &rest[start + 1..];
        let end = inside.find('>').ok_or("a tag that does not end")?;
        let tag = &inside[..end];
        rest = &inside[end + 1..];
        if let Some(name) = tag.strip_prefix('/') {
            match open.pop() {
                Some(last) if last == name => {}
                other => return Err(format!("</{name}> ends {other:?}")),
            }
            continue;
        }
        let name = tag.split([' ', '/']).next().unwrap_or_default();
        elements += 1;
        if VOID.contains(&name) {
            continue;
        }
        open.push(name);
        if name == "script" || name == "style" {
            rest = &rest[rest.find(&format!("</{name}>")).ok_or("a script that does not end")?..];
        }
    }
    if open.is_empty() { Ok(elements) } else { Err(format!("left open: {open:?}")) }
}

#[test]
fn captured_calls_become_a_verdict_with_a_culprit_and_a_page_that_stands_on_all_of_them() {
    let home = Home::default();
    let server = home.serve();
    for (endpoint, shift) in [("then", 0), ("now", 700)] {
        Deployment::echo(endpoint).create(&server);
        call(&server, endpoint, shift);
    }
    let folder = home.bucket("captures").join("stories");
    wait_for("the archive to hold every call", Duration::from_secs(60), || {
        (captured::read(&folder).len() >= 2 * CALLS).then_some(())
    });
    let (data, url) = (home.data_dir().display().to_string(), server.url());
    let baseline = home.path().join("baseline").display().to_string();
    let run = |arguments: &[&str]| program::run(arguments.iter().chain(&["--data-dir", &data, "--url", &url]));
    let made = run(&["baseline", "s3://captures/stories/then", "--out", &baseline]);
    assert!(made.status.success(), "{}", said(&made));

    let against = ["--baseline", &baseline, "--history", "s3://captures/stories/then"];
    let found = run(&[&["drift", "s3://captures/stories/now", "--json"], &against[..]].concat());
    assert_eq!(found.status.code(), Some(2), "{}", said(&found));
    let told: Value = serde_json::from_slice(&found.stdout).unwrap();
    let verdicts: Vec<&str> =
        told["drift"]["columns"].as_array().unwrap().iter().map(|column| column["verdict"].as_str().unwrap()).collect();
    // The echo answers what it was sent, so each column is there twice.
    assert_eq!(verdicts, ["drifted", "stable", "stable", "drifted", "stable", "stable"], "{told}");
    assert_eq!(told["splits"][0]["consumers"][0]["consumer"], "web", "{told}");
    assert_eq!(told["standing"]["share"], 1.0, "{told}");
    let calm = run(&["drift", "s3://captures/stories/then", "--reference", "s3://captures/stories/then"]);
    assert_eq!(calm.status.code(), Some(0), "{}", said(&calm));

    for (language, words) in [
        ("en", ["stands on 100\u{a0}% of 600 invocations", "2 of 6 columns have drifted.", "Driven by <bdi>web</bdi>"]),
        (
            "pt",
            ["se apoia em 100\u{a0}% de 600 invocações", "2 de 6 colunas se desviaram.", "Causado por <bdi>web</bdi>"],
        ),
    ] {
        let file = home.path().join(format!("{language}.html"));
        let page = file.display().to_string();
        let told =
            run(&[&["report", "s3://captures/stories/now", "--html", &page, "--language", language], &against[..]]
                .concat());
        assert_eq!(told.status.code(), Some(0), "{}", said(&told));
        let page = std::fs::read_to_string(&file).unwrap();
        for word in words {
            assert!(page.contains(word), "{word:?} is not in the page");
        }
        assert!(page.len() < 5_000_000 && nesting(&page).unwrap() > 100, "{}", page.len());
        assert!(!page.contains("http://") && !page.contains("https://"), "the page names an address");
        assert!(page.contains("&lt;script&gt;alert(1)") && !page.contains("<script>alert"), "a value became markup");
    }
}
