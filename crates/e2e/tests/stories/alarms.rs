//! Metrics and alarms, through the AWS SDK.

use captura_e2e::program::said;
use captura_e2e::python;
use captura_e2e::server::Home;

const EVERY_SECOND: &str = "[cloudwatch]\npublish_every = \"1s\"\n";

fn alarms_ring_in(protocol: &str) {
    let home = Home::new(EVERY_SECOND);
    let server = home.serve();
    let Some(told) = python::tell(&server, "alarms.py", &[protocol]) else { return };
    assert!(told.status.success(), "{}\n-- server\n{}", said(&told), home.log());
}

#[test]
fn an_alarm_on_an_endpoint_rings_and_calms_down_in_json() {
    alarms_ring_in("json");
}

#[test]
fn an_alarm_on_an_endpoint_rings_and_calms_down_in_the_query_protocol() {
    alarms_ring_in("query");
}

#[test]
fn an_alarm_on_an_endpoint_rings_and_calms_down_in_cbor() {
    alarms_ring_in("smithy-rpc-v2-cbor");
}

#[test]
fn instances_and_copies_are_told_one_by_one_as_often_as_the_endpoint_says() {
    let home = Home::new("");
    let server = home.serve();
    let Some(told) = python::tell(&server, "metrics.py", &[]) else { return };
    assert!(told.status.success(), "{}\n-- server\n{}", said(&told), home.log());
}
