//! Stories of the whole: each starts the real program, calls it as its users do, and reads what it left behind.
//!
//! One binary for all of them. Few stories, each about something that no smaller boundary can see.
#![expect(clippy::unwrap_used, reason = "a story that meets something unexpected ends there")]
#![expect(clippy::print_stdout, reason = "a story that was not told says so")]
#![expect(clippy::disallowed_methods, reason = "stories start programs and wait for them")]

mod access;
mod alarms;
mod asynchronous;
mod attributing;
mod buckets;
mod callers;
mod capture;
mod clients;
mod container;
mod demo;
mod deployments;
mod explaining;
mod foreign_store;
mod lifecycle;
mod logs;
mod model;
mod models;
mod monitors;
mod notices;
mod operator;
mod privacy;
mod processing;
mod quality;
mod replicas;
mod reports;
mod rust_sdk;
mod scaling;
mod sql;
mod streaming;
mod table;
mod trouble;
