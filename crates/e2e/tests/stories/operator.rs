//! What an operator meets: a second server, a wrong setting, a stop.

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use captura_e2e::deployment::Deployment;
use captura_e2e::oracle::Oracle;
use captura_e2e::program::said;
use captura_e2e::server::Home;
use captura_e2e::traffic::{Callers, Seen, Traffic};

#[test]
fn a_second_server_on_a_data_folder_exits_3_and_the_first_goes_on() {
    let home = Home::default();
    let server = home.serve();
    Deployment::echo("first").create(&server);
    let second = home.command().stderr(Stdio::piped()).output().unwrap();
    assert_eq!(second.status.code(), Some(3), "{}", said(&second));
    assert!(second.stdout.is_empty(), "no ready line: {}", said(&second));
    Deployment::echo("still-there").create(&server);
}

#[test]
fn an_unknown_setting_is_refused_with_its_place_and_the_nearest_known_one() {
    let home = Home::new("[capture]\nseal_byte = \"1MiB\"\n");
    let refused = home.command().stderr(Stdio::piped()).output().unwrap();
    assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
    let message = String::from_utf8_lossy(&refused.stderr).into_owned();
    for word in ["captura.toml:2", "seal_byte", "seal_bytes"] {
        assert!(message.contains(word), "{word} is not in {message}");
    }
}

#[test]
fn a_stopped_server_has_kept_every_call_it_acknowledged_and_its_endpoints_come_back() {
    let home = Home::default();
    let server = home.serve();
    Deployment::echo("kept").create(&server);
    let (oracle, seen) = (Arc::new(Oracle::create(&home.path().join("oracle.jsonl"))), Arc::new(Seen::default()));
    let callers = |server: &captura_e2e::server::Server| Callers {
        address: server.address(),
        endpoint: "kept".to_owned(),
        clients: 4,
        seed: 2,
    };
    let traffic = Traffic::start(&callers(&server), &oracle, &seen);
    captura_e2e::server::wait_for("some calls", std::time::Duration::from_secs(30), || {
        (seen.acknowledged.load(Ordering::Relaxed) > 200).then_some(())
    });
    assert_eq!(server.stop().code(), Some(0), "{}", home.log());
    traffic.finish();

    let server = home.serve();
    captura_e2e::deployment::wait_in_service(&server, "kept");
    drop(server);
    captura_e2e::proof::prove(&home, &oracle);
}
