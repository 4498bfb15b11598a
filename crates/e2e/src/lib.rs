//! captura from outside: started as a program, called like its users call it, killed, and read back from its files.
//!
//! What other tests need too (the server's home, clients, the oracle) comes from the test kit and is named here again.
//!
//! Invariant: nothing here knows captura's code. What a story sees, a user could see: HTTP, files, exit codes.
//! Refuses to: be part of the product, retry a failed story, or pass a story that could not be told.
#![expect(clippy::disallowed_methods, reason = "stories start programs, wait for them, and read where they were built")]

pub mod docker;
pub mod garage;
pub mod python;
pub mod rust_clients;

pub use captura_testkit::{captured, connection, deployment, oracle, program, proof, server, small_disk, traffic};
