//! The binary: a doormat. Parses the command line, runs one verb, turns its outcome into an exit code.

mod archive;
mod asking;
mod backlog;
mod buckets;
mod cli;
mod client;
mod cloud;
mod config;
mod consumers;
mod credentials;
mod erasing;
mod folders;
mod identity;
mod images;
mod issuers;
mod kms;
mod machine;
mod metering;
mod monitors;
mod observe;
mod privacy;
mod processing;
mod questions;
mod scaling;
mod serve;
mod stopped;
mod sts;
mod tables;
mod tasks;
mod telling;
mod trust;
mod units;

use std::process::ExitCode;

use clap::Parser as _;

/// Request bodies are many, short-lived and cross threads, which is where the system allocator is slow.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match cli::Cli::try_parse() {
        Ok(cli) => cli::run(cli),
        Err(refusal) => {
            // Nobody may be reading; the exit code tells all the same.
            let _ = refusal.print();
            // clap's own code for a misspelt command line is 2, which here means that data violates what was asked.
            if refusal.use_stderr() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
        }
    }
}
