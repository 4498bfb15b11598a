//! The number of instances follows the load, and what they say can be read.

use captura_e2e::program::said;
use captura_e2e::python;

use crate::replicas::{IMAGE, home_with};

/// Periods of a second where AWS has minutes: scaling out then takes three seconds of load, scaling in fifteen of quiet.
const QUICK: &str = "[cloudwatch]\npublish_every = \"1s\"\n[scaling]\nperiod = \"1s\"\n";

#[test]
fn instances_follow_the_load_up_and_down_and_their_words_are_logs() {
    let home = home_with(QUICK);
    let server = home.serve();
    let events = home.path().join("scaling.csv");
    let Some(told) = python::tell(&server, "scaling.py", &[IMAGE, events.to_str().unwrap()]) else { return };
    assert!(told.status.success(), "{}\n-- server\n{}", said(&told), home.log());
    println!("{}", std::fs::read_to_string(events).unwrap());
}
