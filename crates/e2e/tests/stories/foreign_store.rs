//! Captures in a store that others wrote: every record is there once, whatever happens to the store meanwhile.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use captura_e2e::deployment::Deployment;
use captura_e2e::garage::Garage;
use captura_e2e::oracle::Oracle;
use captura_e2e::program::said;
use captura_e2e::proof;
use captura_e2e::python;
use captura_e2e::server::{Home, Server, wait_for};
use captura_e2e::traffic::{Callers, Seen, Traffic};

const ENDPOINT: &str = "abroad";

/// Calls until so many more captures are acknowledged.
fn call(server: &Server, seed: u64, wanted: u64, (oracle, seen): (&Arc<Oracle>, &Arc<Seen>)) {
    let callers = Callers { address: server.address(), endpoint: ENDPOINT.to_owned(), clients: 4, seed };
    let wanted = seen.acknowledged.load(Ordering::Relaxed) + wanted;
    let traffic = Traffic::start(&callers, oracle, seen);
    wait_for("acknowledged captures", Duration::from_secs(60), || {
        (seen.acknowledged.load(Ordering::Relaxed) >= wanted).then_some(())
    });
    traffic.finish();
}

fn uploaded(server: &Server) -> u64 {
    let accounts = proof::accounts(server).unwrap();
    proof::account_of(&accounts, ENDPOINT)["uploaded"].as_u64().unwrap_or(0)
}

#[test]
fn every_record_is_once_in_a_foreign_store_that_is_killed_meanwhile() {
    let Some(mut garage) = Garage::start() else { return };
    let home = Home::new(&format!("[capture]\nseal_after = \"200ms\"\n{}", garage.configuration()));
    let oracle = Arc::new(Oracle::create(&home.path().join("oracle.jsonl")));
    let seen = Arc::new(Seen::default());
    let server = home.serve();
    Deployment { destination: "s3://garage/captured", ..Deployment::echo(ENDPOINT) }.create(&server);

    call(&server, 1, 500, (&oracle, &seen));
    wait_for("the first objects", Duration::from_secs(60), || (uploaded(&server) > 0).then_some(()));
    garage.kill();
    call(&server, 2, 500, (&oracle, &seen));
    // The server dies while the store is away, and comes back before it.
    server.kill();
    let server = home.serve();
    call(&server, 3, 500, (&oracle, &seen));
    garage.start_again();
    call(&server, 4, 500, (&oracle, &seen));
    assert!(server.stop().success(), "{}", home.log());
    assert_eq!(seen.refused.load(Ordering::Relaxed), 0, "a store that is away is nothing to callers");

    let accounts = proof::rest(&home).unwrap_or_else(|wrong| panic!("{wrong}\n{}", home.log_end()));
    let captured = proof::account_of(&accounts, ENDPOINT)["captured"].as_u64().unwrap();
    assert!(captured >= 2_000, "{accounts:?}");
    let reconciled = proof::reconcile(&home, &oracle);
    assert!(reconciled.status.success(), "{}", said(&reconciled));

    // And by a reader that knows neither captura nor its idea of the store.
    let folder = home.path().join("downloaded");
    let arguments = ["captures", folder.to_str().unwrap()];
    let Some(told) = python::tell_at(&garage.url(), "download.py", &arguments, garage.key()) else { return };
    assert!(told.status.success(), "{}", said(&told));
    let compared = proof::compare(&folder.join("captured"), &oracle).unwrap();
    assert_eq!((compared.missing.len(), compared.captured.len() as u64), (0, captured), "{:?}", compared.missing);
}
