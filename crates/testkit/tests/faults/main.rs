//! The fault tests as every change must pass them: the same functions as `cargo xtask faults`, fewer of each.

#![expect(clippy::print_stdout, reason = "figures are for the person who ran the test")]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};

use captura_testkit::faults::{self, bad_input, life, models};
use captura_testkit::order::{Figures, Order, Told};

/// Runs a test from seed 1; the figures are printed.
fn tell(name: &str, units: u64) -> Figures {
    tell_from(name, units, 1)
}

fn tell_from(name: &str, units: u64, seed: u64) -> Figures {
    let test = faults::ALL.iter().find(|test| test.name == name).expect("our bug: a test has this name");
    let figures = test.run(&Order::of(units, seed)).held();
    println!("{name}: {figures}");
    figures
}

#[test]
fn t01_killed_under_load_it_loses_nothing_it_acknowledged() {
    let figures = tell("T01", 200);
    assert!(figures.count("calls acknowledged") > 2_000, "a load that was acknowledged so rarely proves nothing");
}

#[test]
fn t02_killed_at_any_system_call_it_loses_nothing_it_acknowledged() {
    // The 25th call of each of twenty kinds; the first ones all fall into the start.
    tell_from("T02", 20, 24 * 20 + 1);
}

#[test]
fn t04_a_power_cut_costs_nothing_durable() {
    tell("T04-ext4", 100);
}

#[test]
fn t06_whatever_a_crash_leaves_of_unsynced_writes_nothing_told_is_lost() {
    let figures = tell("T06", 200);
    assert!(figures.count("power cuts") > 200);
}

#[test]
fn t06_would_find_a_disk_that_says_synced_and_is_not() {
    let told = life::run_cuts_on_a_lying_disk(&Order::of(200, 1));
    assert!(matches!(told, Told::Broken(_)), "{told:?}");
}

#[test]
fn t07_whatever_fails_nothing_acknowledged_is_lost_and_no_failed_sync_is_repeated() {
    tell("T07", 500);
}

#[test]
fn t08_a_full_disk_costs_what_is_counted_and_told() {
    tell("T08", 5);
}

#[test]
fn t10_damage_is_found_and_costs_what_it_touches() {
    tell("T10", 300);
}

#[test]
fn t13_whatever_a_model_server_does_nobody_gets_anothers_answer() {
    tell("T13", 60);
}

#[test]
fn t13_would_find_answers_that_are_mixed_up() {
    let told = models::run_crossed(&Order::of(60, 1));
    assert!(matches!(told, Told::Broken(_)), "{told:?}");
}

#[test]
fn t26_bad_input_gets_exact_answers_and_leaves_nothing_open() {
    tell("T26", 6_000);
}

#[test]
fn t26_would_find_a_server_that_takes_everything() {
    let told = bad_input::run_against(&Order::of(50, 1), taking_everything());
    assert!(matches!(told, Told::Broken(_)), "{told:?}");
}

/// A server that says 200 to whatever comes.
fn taking_everything() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("the system gives a port");
    let address = listener.local_addr().expect("a bound listener has an address");
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
        }
    });
    address
}

#[test]
fn t14_a_store_that_was_gone_gets_everything() {
    tell("T14", 1);
}

#[test]
fn t15_a_store_that_flaps_gets_everything_once() {
    tell("T15", 4);
}

#[test]
fn t29_reconcile_finds_every_tampering_and_nothing_else() {
    tell("T29", 60);
}

#[test]
fn t22_any_life_is_the_models() {
    tell("T22", 50_000);
}
