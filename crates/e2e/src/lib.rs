//! captura from outside: started as a program, called like its users call it, killed, and read back from its files.
//!
//! Invariant: nothing here knows captura's code. What a story sees, a user could see: HTTP, files, exit codes.
//! Refuses to: be part of the product, retry a failed story, or pass a story that could not be told.
#![expect(clippy::disallowed_methods, reason = "stories start programs, wait for them, and read where they were built")]

pub mod captured;
pub mod connection;
pub mod deployment;
pub mod docker;
pub mod oracle;
pub mod program;
pub mod python;
pub mod server;
pub mod traffic;
