//! `captura-faults`: one numbered fault test, as often as asked for. `cargo xtask faults` is who asks.
#![expect(clippy::print_stdout, reason = "a command-line tool speaks to the person who ran it")]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use captura_testkit::faults;
use captura_testkit::order::{Order, Told};
use clap::Parser;

#[derive(Parser)]
#[command(name = "captura-faults", about = "Breaks captura, and counts what the break has cost")]
struct Arguments {
    /// T01, T04-ext4, …; `list` names all
    test: String,
    /// With `list`: as JSON
    #[arg(long)]
    json: bool,
    /// Seed of the first unit; the n-th takes this and n
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Units at most
    #[arg(long, default_value_t = u64::MAX >> 1)]
    units: u64,
    /// Seconds at most; the unit under way is finished
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Where the figures go, as JSON
    #[arg(long)]
    report: Option<PathBuf>,
    /// Break this promise first: the test must fail then
    #[cfg(feature = "sabotage")]
    #[arg(long)]
    sabotage: Option<String>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.test == "list" && arguments.json {
        println!("{}", serde_json::to_string(faults::ALL).expect("our bug: the list is JSON"));
        return ExitCode::SUCCESS;
    }
    if arguments.test == "list" {
        for test in faults::ALL {
            println!("{:<10} a unit is {}: {}", test.name, test.unit, test.about);
        }
        return ExitCode::SUCCESS;
    }
    let Some(test) = faults::ALL.iter().find(|test| test.name == arguments.test) else {
        println!("there is no test {}; `captura-faults list` names all", arguments.test);
        return ExitCode::FAILURE;
    };
    #[cfg(feature = "sabotage")]
    if let Some(name) = &arguments.sabotage {
        captura_capture::sabotage::choose(name).expect("there is such a sabotage");
    }
    let told = test.run(&Order::within(arguments.units, arguments.seed, Duration::from_secs(arguments.seconds)));
    if let Some(path) = &arguments.report {
        std::fs::write(path, serde_json::to_vec(&told).expect("our bug: figures are JSON"))
            .expect("the report is written");
    }
    match told {
        Told::Held(figures) => {
            println!("{}: {figures}", test.name);
            ExitCode::SUCCESS
        }
        Told::Skipped(why) => {
            println!("{}: skipped: {why}", test.name);
            ExitCode::SUCCESS
        }
        Told::Broken(broken) => {
            println!("{}: BROKEN, {broken}", test.name);
            ExitCode::from(2)
        }
    }
}
