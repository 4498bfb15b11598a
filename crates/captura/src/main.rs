//! The binary: a doormat. Parses the command line, runs one verb, turns its outcome into an exit code.

mod cli;
mod client;
mod config;
mod observe;
mod serve;
mod units;

use std::process::ExitCode;

use clap::Parser as _;

/// Request bodies are many, short-lived and cross threads, which is where the system allocator is slow.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::run(cli::Cli::parse())
}
