//! The one tool beside cargo: sets a machine up, checks the whole house, keeps its rules, breaks it and measures it.
//!
//! Invariant: whatever the continuous integration runs, a person runs with the same command, `cargo xtask ci`.
//! Refuses to: be a dependency of anything, contain product code, or hide what was skipped.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command-line tool speaks to the person who ran it")]
#![expect(clippy::disallowed_methods, reason = "xtask starts programs, waits for them, and reads the environment")]

mod bench;
mod cache;
mod ci;
mod clients;
mod docker;
mod faults;
mod fuzz;
mod images;
mod program;
mod recorded;
mod setup;
mod stores;
mod tidy;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Everything about captura that is not captura", disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Everything a change must pass: format, lints, house rules, licences, build, tests, documentation
    Ci,
    /// Bring what tests need into a cache folder outside the checkout; quiet when it is all there
    Setup,
    /// Build the programs written with the AWS SDK for Rust, the control plane's included, and tell their stories
    Clients,
    /// Build Garage, a store that others wrote, and tell the stories about archiving into it
    Stores,
    /// Start Docker for the stories about containers, and stop it again
    Docker,
    /// Break captura in every way it promises to survive; with --release, what came out is noted in docs/faults.md
    Faults(faults::Faults),
    /// Run the fuzz targets; what came out is noted in docs/fuzzing.md
    Fuzz(fuzz::Fuzz),
    /// Measure; one markdown table
    Bench {
        #[command(subcommand)]
        bench: bench::Bench,
    },
    /// The echo that a benchmark is compared with
    #[command(hide = true)]
    Floor,
    /// Check the house rules: arrows between crates, sizes, headers, names, paths, dependencies
    Tidy,
}

fn main() -> ExitCode {
    let done = match Arguments::parse().task {
        Task::Ci => ci::run(),
        Task::Setup => setup::run(),
        Task::Clients => clients::run(),
        Task::Stores => stores::run(),
        Task::Docker => docker::run(),
        Task::Faults(faults) => faults::run(&faults),
        Task::Fuzz(fuzz) => fuzz::run(&fuzz),
        Task::Bench { bench } => bench::run(&bench),
        Task::Floor => bench::serve_floor(),
        Task::Tidy => tidy::run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
