//! The test kit: what it takes to break captura, and to find out what the break has cost.
//!
//! `server`, `connection`, `traffic`, `oracle`, `captured` know captura from outside only. `sim_disk`, `life` and
//! `damage` drive its capture room in this process, where a disk can be made that loses what was not synced. `faults`
//! holds the numbered tests T01 to T29, each a function from an order (how many, from which seed) to figures.
//!
//! Invariant: a test ends with figures that were counted, or with the promise that was broken and the seed that shows it.
//! A seed chooses everything but the interleaving of threads.
//! Refuses to: be part of the product, repeat what failed, or call skipped what could have been run.
#![expect(
    clippy::disallowed_methods,
    reason = "the kit starts programs, waits for them, and reads where they were built"
)]

pub mod bad_http;
pub mod captured;
pub mod connection;
pub mod deployment;
pub mod faults;
pub mod oracle;
pub mod order;
pub mod power_cut;
pub mod program;
pub mod proof;
pub mod proxy;
pub mod room;
pub mod scripted;
pub mod seeded;
pub mod server;
pub mod sim_disk;
pub mod small_disk;
pub mod traffic;
