//! Personal data: what rules take out is nowhere, and who is erased stays erased, through `kill -9` too.

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use captura_e2e::connection::Connection;
use captura_e2e::deployment::Deployment;
use captura_e2e::program::{self, said};
use captura_e2e::server::{Home, Server, wait_for};
use captura_e2e::{captured, python};
use serde_json::Value;

const PERSON: &str = "canary-7f3a91";
const RULES: &str = r#"
[capture]
seal_after = "1s"
[[privacy]]
endpoints = ["people"]
subject = { column = 0 }
input = [
  { columns = [0, 1], action = "encrypt" },
  { columns = [2], action = "hmac" },
]
output = [{ columns = [0], action = "encrypt" }, { columns = [1], action = "drop" }]
custom_attributes = "drop"
inference_id = "hmac"
"#;

fn run(home: &Home, arguments: &[&str]) -> Output {
    Command::new(program::path()).args(arguments).current_dir(home.path()).output().unwrap()
}

fn erase(home: &Home, server: &Server, more: &[&str]) -> Output {
    let url = server.url();
    run(home, &[&["erase", "--subject", PERSON, "--url", &url], more].concat())
}

/// Every file below a folder that holds these bytes.
fn holding(folder: &Path, bytes: &[u8], found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            holding(&path, bytes, found);
        } else if std::fs::read(&path).unwrap().windows(bytes.len()).any(|window| window == bytes) {
            found.push(path.display().to_string());
        }
    }
}

fn assert_nowhere(home: &Home) {
    let mut found = Vec::new();
    holding(&home.data_dir(), PERSON.as_bytes(), &mut found);
    assert!(found.is_empty(), "{PERSON} is in {found:?}");
    assert!(!home.log().contains(PERSON), "{}", home.log());
}

fn reconcile(home: &Home) {
    let data_dir = home.data_dir();
    let proof = run(home, &["reconcile", "--deep", "--data-dir", data_dir.to_str().unwrap()]);
    assert_eq!(proof.status.code(), Some(0), "{}", said(&proof));
}

fn revealed(home: &Home, captures: &str) -> String {
    let data_dir = home.data_dir();
    let shown = run(home, &["privacy", "reveal", captures, "--data-dir", data_dir.to_str().unwrap()]);
    assert!(shown.status.success(), "{}", said(&shown));
    String::from_utf8(shown.stdout).unwrap()
}

fn erased(home: &Home, server: &Server) -> u64 {
    let book = run(home, &["ledger", "people", "--json", "--url", &server.url()]);
    let book: Value = serde_json::from_slice(&book.stdout).unwrap();
    book["accounts"][0]["erased"].as_u64().unwrap()
}

#[test]
fn a_person_is_sealed_in_what_is_captured_and_gone_from_it_when_they_ask() {
    let home = Home::new(RULES);
    let server = home.serve();
    let Some(told) = python::tell(&server, "privacy.py", &[PERSON, "5"]) else { return };
    assert!(told.status.success(), "{}\n-- server\n{}", said(&told), home.log());
    let folder = home.bucket("captures").join("people");
    let lines = wait_for("the archive to hold every call", Duration::from_secs(30), || {
        let lines = captured::read(&folder);
        (lines.len() >= 11).then_some(lines)
    });
    assert_nowhere(&home);
    let withheld = lines.iter().filter(|line| line.json["captura"]["requestWithheld"] == true).count();
    assert_eq!(withheld, 1, "the body that is no CSV");
    assert!(lines.iter().all(|line| line.json["captura"]["redactionPolicy"].is_string()));
    assert!(
        revealed(&home, "s3://captures/people").contains(&format!("{PERSON}@example.org")),
        "who has the keys reads on"
    );

    let data_dir = home.data_dir();
    let data_dir = data_dir.to_str().unwrap();
    let held = run(
        &home,
        &["hold", "add", "--endpoint", "peop*", "--reason", "case 12/2026", "--json", "--data-dir", data_dir],
    );
    let hold: Value = serde_json::from_slice(&held.stdout).unwrap();
    let refused = erase(&home, &server, &[]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(said(&refused).contains("case 12/2026"), "{}", said(&refused));
    let released =
        run(&home, &["hold", "release", hold[0]["id"].as_str().unwrap(), "--reason", "closed", "--data-dir", data_dir]);
    assert!(released.status.success(), "{}", said(&released));

    let certificate = home.path().join("certificate.json");
    let done = erase(&home, &server, &["--certificate", certificate.to_str().unwrap()]);
    assert!(done.status.success(), "{}\n-- server\n{}", said(&done), home.log());
    assert_eq!(erased(&home, &server), 5);
    let left = revealed(&home, "s3://captures/people");
    assert!(!left.contains(PERSON) && left.contains("somebody-else@example.org"), "{left}");
    // A single call, whoever's it is.
    let lines = captured::read(&folder);
    let line = lines.iter().find(|line| line.json["captureData"]["endpointInput"].is_object()).unwrap();
    let event_id = line.json["eventMetadata"]["eventId"].as_str().unwrap().to_owned();
    let url = server.url();
    let taken = run(&home, &["erase", "--event-id", &event_id, "--endpoint", "people", "--url", &url]);
    assert!(taken.status.success() && said(&taken).contains("1 records are taken out"), "{}", said(&taken));
    let stays = captured::read(&folder).into_iter().find(|line| line.json["eventMetadata"]["eventId"] == *event_id);
    assert_eq!(stays.unwrap().json["captureData"], serde_json::json!({}));
    assert!(server.stop().success(), "{}", home.log());
    let verify = run(&home, &["erase", "--verify", certificate.to_str().unwrap(), "--data-dir", data_dir]);
    assert_eq!(verify.status.code(), Some(0), "{}", said(&verify));
    assert_nowhere(&home);
    reconcile(&home);

    // Without a server: somebody else, on the same data directory.
    let alone = ["erase", "--subject", "somebody-else", "--stopped", "--data-dir", data_dir];
    let erased = run(&home, &alone);
    assert!(erased.status.success(), "{}", said(&erased));
    let again = run(&home, &alone);
    assert_eq!(again.status.code(), Some(2), "{}", said(&again));
    assert!(!revealed(&home, "s3://captures/people").contains("somebody-else"));
    reconcile(&home);
}

#[test]
fn an_erasure_that_is_killed_is_taken_up_by_the_next_start() {
    let home = Home::new(RULES);
    let mut server = home.serve();
    Deployment::echo("people").create(&server);
    for life in 1..=3 {
        let mut connection = Connection::open(server.address()).unwrap();
        for number in 0..20 {
            let body = format!("{PERSON},{PERSON}@example.org,{number},31");
            let headers = [("content-type", "text/csv")];
            let reply = connection.post("/endpoints/people/invocations", &headers, body.as_bytes()).unwrap();
            assert_eq!(reply.status, 200, "{}", reply.text());
        }
        let url = server.url();
        let mut asking = Command::new(program::path());
        asking.args(["erase", "--subject", PERSON, "--url", &url]);
        let mut asking =
            asking.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap();
        wait_for("the erasure to begin", Duration::from_secs(30), || {
            let notes = std::fs::read_dir(home.data_dir().join("privacy/erasures")).ok()?;
            (notes
                .filter(|note| note.as_ref().is_ok_and(|note| note.path().extension().is_some_and(|is| is == "json")))
                .count()
                >= life)
                .then_some(())
        });
        server.kill();
        asking.wait().unwrap();
        server = home.serve();
        captura_e2e::deployment::wait_in_service(&server, "people");
        wait_for("the erasure to be booked", Duration::from_secs(90), || {
            (erased(&home, &server) == 20 * life as u64).then_some(())
        });
    }
    assert!(server.stop().success(), "{}", home.log());
    assert_nowhere(&home);
    let left = revealed(&home, "s3://captures/stories");
    assert!(!left.contains(PERSON) && left.contains("[ENCRYPTED k="), "what is there stays closed: {left}");
    reconcile(&home);
}
