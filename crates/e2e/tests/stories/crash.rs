//! `kill -9` under load, again and again: what was acknowledged is there, once, as it was sent.
//!
//! `CAPTURA_KILLS` says how often (20), `CAPTURA_SEED` chooses the story, `CAPTURA_CRASH_REPORT` names a file for the
//! figures; `cargo xtask crash` sets all three.

use std::collections::HashSet;
use std::process::Output;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use captura_e2e::captured;
use captura_e2e::connection::Connection;
use captura_e2e::deployment::Deployment;
use captura_e2e::oracle::{Acknowledged, Oracle, sha256};
use captura_e2e::program::{self, said};
use captura_e2e::server::{Home, Server, wait_for};
use captura_e2e::traffic::{Callers, Seeded, Seen, Traffic};
use serde_json::json;

const ENDPOINT: &str = "crash";
const CLIENTS: usize = 8;

fn setting<T: FromStr>(name: &str, otherwise: T) -> T {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(otherwise)
}

/// After a start the endpoint is loaded again; until then calls are refused, which is no loss.
fn wait_until_it_answers(server: &Server) {
    wait_for("the endpoint to answer again", Duration::from_secs(30), || {
        let mut connection = Connection::open(server.address()).ok()?;
        let path = format!("/endpoints/{ENDPOINT}/invocations");
        let reply = connection.post(&path, &[("content-type", "text/csv")], b"0").ok()?;
        (reply.status == 200).then_some(())
    });
}

/// The book, the files and the clients agree. Two witnesses: `captura reconcile`, and our own reading of the objects.
/// Gives how many calls were acknowledged and how many are captured.
pub(crate) fn prove(home: &Home, oracle: &Oracle) -> (usize, usize) {
    let promises = oracle.read();
    // One quiet life after the last kill, so that everything is sealed and archived.
    let server = home.serve();
    let bucket = home.bucket("captures");
    let mut before = 0;
    wait_for("the archive to rest with every acknowledged call in it", Duration::from_secs(120), || {
        let now = captured::count(&bucket);
        let rests = now >= promises.len() && now == before;
        before = now;
        rests.then_some(())
    });
    assert!(server.stop().success(), "{}", home.log());

    let (mut events, mut lsns) = (HashSet::new(), HashSet::new());
    let (mut kept, mut twice) = (0, Vec::new());
    captured::each(&bucket, |line| {
        if !events.insert(line.event_id().to_owned()) || !lsns.insert(line.lsn()) {
            twice.push(line.line.clone());
        }
        let Some(promise) = promises.get(line.event_id()) else { return };
        kept += 1;
        assert_eq!(line.lsn(), promise.lsn, "{promise:?}");
        assert_eq!(line.request().map(|bytes| sha256(&bytes)).as_ref(), Some(&promise.request_sha256), "{promise:?}");
        assert_eq!(line.response().map(|bytes| sha256(&bytes)).as_ref(), Some(&promise.response_sha256), "{promise:?}");
    });
    assert_eq!(twice, Vec::<String>::new(), "the same call twice in the archive");
    assert_eq!(promises.len() - kept, 0, "acknowledged calls are lost");

    let reconciled = reconcile(home, oracle);
    assert!(reconciled.status.success(), "{}", said(&reconciled));
    (promises.len(), events.len())
}

fn reconcile(home: &Home, oracle: &Oracle) -> Output {
    let (data_dir, oracle) = (home.data_dir(), oracle.path());
    let arguments = [
        "reconcile".as_ref(),
        "--deep".as_ref(),
        "--data-dir".as_ref(),
        data_dir.as_os_str(),
        "--oracle".as_ref(),
        oracle.as_os_str(),
    ];
    program::run(arguments)
}

/// Some calls, all acknowledged, archived and at rest: the oracle's and the server's books are closed.
fn a_quiet_life(home: &Home) -> Oracle {
    let oracle = Oracle::create(&home.path().join("oracle.jsonl"));
    let server = home.serve();
    Deployment::echo(ENDPOINT).create(&server);
    let mut connection = Connection::open(server.address()).unwrap();
    for number in 0..20 {
        let body = format!("{number},1");
        let path = format!("/endpoints/{ENDPOINT}/invocations");
        let reply = connection.post(&path, &[("content-type", "text/csv")], body.as_bytes()).unwrap();
        oracle.note(&Acknowledged::from_reply(ENDPOINT, body.as_bytes(), &reply).unwrap());
    }
    wait_for("the archive to hold every call", Duration::from_secs(60), || {
        (captured::count(&home.bucket("captures")) == 20).then_some(())
    });
    assert!(server.stop().success(), "{}", home.log());
    oracle
}

#[test]
fn the_proof_finds_a_line_that_is_gone_and_a_byte_that_is_another() {
    let tampered: [fn(&str) -> String; 2] = [
        |text| text.lines().skip(1).map(|line| format!("{line}\n")).collect(),
        |text| text.replacen("\"data\":\"1", "\"data\":\"8", 1),
    ];
    for tamper in tampered {
        let home = Home::default();
        let oracle = a_quiet_life(&home);
        let fine = reconcile(&home, &oracle);
        assert_eq!(fine.status.code(), Some(0), "{}", said(&fine));
        let object = captured::read(&home.bucket("captures"))[0].object.clone();
        let text = std::fs::read_to_string(&object).unwrap();
        let changed = tamper(&text);
        assert_ne!(changed, text);
        std::fs::write(&object, changed).unwrap();
        let found = reconcile(&home, &oracle);
        assert_eq!(found.status.code(), Some(2), "{}", said(&found));
    }
}

#[test]
fn killed_under_load_it_loses_nothing_it_acknowledged_and_repeats_nothing() {
    let kills: u64 = setting("CAPTURA_KILLS", 20);
    let seed: u64 = setting("CAPTURA_SEED", 20_260_101);
    let home = Home::default();
    let (oracle, seen) = (Arc::new(Oracle::create(&home.path().join("oracle.jsonl"))), Arc::new(Seen::default()));
    let mut numbers = Seeded::new(seed);
    let mut slowest_start = Duration::ZERO;

    let server = home.serve();
    Deployment::echo(ENDPOINT).create(&server);
    let mut living = Some(server);
    for kill in 0..kills {
        let server = living.take().unwrap_or_else(|| home.serve());
        slowest_start = slowest_start.max(server.started_in);
        wait_until_it_answers(&server);
        let callers = Callers {
            address: server.address(),
            endpoint: ENDPOINT.to_owned(),
            clients: CLIENTS,
            seed: numbers.number(),
        };
        let traffic = Traffic::start(&callers, &oracle, &seen);
        // Not synchronisation: the moment of death is what the seed chooses.
        std::thread::sleep(Duration::from_micros(numbers.between(5_000, 120_000)));
        server.kill();
        traffic.finish();
        assert_eq!(seen.refused.load(Ordering::Relaxed), 0, "in life {kill}\n{}", home.log());
    }

    let (acknowledged, captured) = prove(&home, &oracle);
    println!(
        "kills {kills}, seed {seed}: {acknowledged} acknowledged, {captured} captured, 0 lost, 0 twice, slowest start {slowest_start:?}"
    );
    assert!(acknowledged as u64 > kills, "a load that was acknowledged so rarely proves nothing");
    if let Ok(path) = std::env::var("CAPTURA_CRASH_REPORT") {
        let report = json!({"kills": kills, "seed": seed, "acknowledged": acknowledged, "captured": captured, "lost": 0,
            "duplicates": 0, "slowestStartMs": u64::try_from(slowest_start.as_millis()).unwrap_or(u64::MAX)});
        std::fs::write(path, report.to_string()).unwrap();
    }
}
