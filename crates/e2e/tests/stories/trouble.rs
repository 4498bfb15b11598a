//! A full disk and a destination nobody can write: serving goes on, nothing is lost uncounted, and it heals by itself.

use std::time::Duration;

use captura_e2e::connection::Connection;
use captura_e2e::deployment::Deployment;
use captura_e2e::program::{self, said};
use captura_e2e::server::{Home, Server, wait_for};
use captura_e2e::small_disk::SmallDisk;
use serde_json::Value;

/// What became of the capture of one call, which must be answered.
fn call(server: &Server, endpoint: &str) -> String {
    let mut connection = Connection::open(server.address()).unwrap();
    let path = format!("/endpoints/{endpoint}/invocations");
    let reply = connection.post(&path, &[("content-type", "text/csv")], b"1,2,3").unwrap();
    assert_eq!((reply.status, reply.text().as_str()), (200, "1,2,3"), "serving goes on");
    reply.header("x-captura-capture").unwrap().to_owned()
}

/// The account of an endpoint's only variant; the book must balance.
fn account(server: &Server, endpoint: &str) -> Value {
    let told = program::run(["ledger", endpoint, "--json", "--url", &server.url()]);
    assert!(told.status.success(), "the book does not balance: {}", said(&told));
    let book: Value = serde_json::from_slice(&told.stdout).unwrap();
    book["accounts"][0].clone()
}

#[test]
fn a_full_disk_drops_captures_with_a_reason_and_heals_when_space_returns() {
    let home = Home::new("[capture]\nseal_after = \"1s\"\nseal_bytes = \"1MiB\"\ndisk_min_free = \"4MiB\"\n");
    let data_dir = home.data_dir();
    let disk = match SmallDisk::mount(&data_dir, "48m") {
        Ok(disk) => disk,
        Err(why) => return println!("skipped: a full disk: {why}"),
    };
    let server = home.serve();
    Deployment::echo("full").create(&server);
    assert!(call(&server, "full").starts_with("written"));

    disk.fill();
    wait_for("the disk to be found full", Duration::from_secs(30), || {
        let capture = call(&server, "full");
        (capture == "dropped;reason=disk_full").then_some(())
    });
    assert!(account(&server, "full")["dropped"]["disk_full"].as_u64().unwrap() > 0);

    disk.empty();
    wait_for("captures after space returned", Duration::from_secs(30), || {
        call(&server, "full").starts_with("written").then_some(())
    });
    account(&server, "full");
    assert!(server.stop().success(), "{}", home.log());
    let reconciled =
        program::run(["reconcile".as_ref(), "--deep".as_ref(), "--data-dir".as_ref(), data_dir.as_os_str()]);
    assert!(reconciled.status.success(), "{}", said(&reconciled));
}

#[test]
fn a_destination_that_cannot_be_written_drops_captures_with_a_reason_and_serving_goes_on() {
    let home = Home::new("[capture]\nseal_after = \"1s\"\n[stores.nowhere]\nurl = \"file:///proc/captura-story\"\n");
    let server = home.serve();
    Deployment { destination: "s3://nowhere/captures", ..Deployment::echo("lost") }.create(&server);
    wait_for("the destination to be found unwritable", Duration::from_secs(60), || {
        let capture = call(&server, "lost");
        (capture == "dropped;reason=destination_unwritable").then_some(())
    });
    let account = account(&server, "lost");
    assert!(account["dropped"]["destination_unwritable"].as_u64().unwrap() > 0, "{account}");
}

/// Reconciles the stopped server of a home; answers the exit code and the report.
fn reconcile(home: &Home) -> (Option<i32>, Value) {
    let data_dir = home.data_dir();
    let told = program::run([
        "reconcile".as_ref(),
        "--deep".as_ref(),
        "--json".as_ref(),
        "--data-dir".as_ref(),
        data_dir.as_os_str(),
    ]);
    let report = serde_json::from_slice(&told.stdout).unwrap_or_else(|_| panic!("{}", said(&told)));
    (told.status.code(), report)
}

#[test]
fn one_endpoint_whose_captures_have_no_place_holds_up_nobody_elses_and_drains_when_it_heals() {
    let home = Home::new("[capture]\nseal_after = \"1s\"\ncarry_after = \"1s\"\n");
    let bucket = home.bucket("shared");
    std::fs::create_dir_all(&bucket).unwrap();
    let in_the_way = bucket.join("misplaced");
    std::fs::write(&in_the_way, "an object under the name that the endpoint's folder would have").unwrap();
    let server = home.serve();
    for name in ["misplaced", "fine"] {
        Deployment { destination: "s3://shared", ..Deployment::echo(name) }.create(&server);
    }
    for _ in 0..20 {
        assert!(call(&server, "misplaced").starts_with("written"));
        assert!(call(&server, "fine").starts_with("written"));
    }
    wait_for("the captures of the other endpoint", Duration::from_secs(60), || {
        (account(&server, "fine")["uploaded"].as_u64() == Some(20)).then_some(())
    });
    wait_for("the failing place to be named", Duration::from_secs(60), || {
        let told = program::run(["ledger", "--url", &server.url()]);
        said(&told).contains("s3://shared/misplaced cannot be written").then_some(())
    });
    let mut connection = Connection::open(server.address()).unwrap();
    let metrics = connection.get("/metrics").unwrap().text();
    let line = "captura_destination_failing{destination=\"s3://shared/misplaced\",state=\"unwritable\",reason=\"permission\"} 1";
    assert!(metrics.contains(line), "{metrics}");
    assert_eq!(account(&server, "misplaced")["local_pending"].as_u64(), Some(20));
    assert!(server.stop().success(), "{}", home.log());
    let (code, report) = reconcile(&home);
    assert_eq!((code, report["recordsRead"].as_u64()), (Some(0), Some(20)), "{report}");

    std::fs::remove_file(&in_the_way).unwrap();
    let server = home.serve();
    wait_for("the journal to drain", Duration::from_secs(60), || {
        (account(&server, "misplaced")["uploaded"].as_u64() == Some(20)).then_some(())
    });
    assert!(server.stop().success(), "{}", home.log());
    let (code, report) = reconcile(&home);
    assert_eq!((code, report["recordsRead"].as_u64()), (Some(0), Some(0)), "{report}");
}
