//! Everything a change must pass, step by step, with each step's time and everything that was left out.
//!
//! Invariant: a step that did not run is in the closing table with its reason; with `CI=true` a missing thing is an error.
//! All steps run even when one fails, so that one run tells the whole story.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::cache::{self, Cache};
use crate::clients::{self, Extent};
use crate::docker::{self, Provided};
use crate::program::Program;
use crate::{setup, stores, tidy};

enum Outcome {
    Passed,
    Failed(String),
}

struct Step {
    name: &'static str,
    outcome: Outcome,
    took: Duration,
}

struct Run {
    cache: Cache,
    steps: Vec<Step>,
    skipped: Vec<String>,
}

/// Whether this run is the one that decides: there a thing that cannot be had is an error, not a skip.
pub(crate) fn is_deciding() -> bool {
    std::env::var("CI").is_ok_and(|value| value == "true" || value == "1")
}

pub(crate) fn run() -> Result<()> {
    let mut run = Run { cache: Cache::locate()?, steps: Vec::new(), skipped: Vec::new() };
    run.skipped.push("advisories: the database of known vulnerabilities is on the network; run `cargo deny check advisories` where there is one".to_owned());
    run.step("builds", |run| own_builds_only(&run.cache));
    run.step("setup", |run| {
        let missing = setup::provide(&run.cache)?;
        run.skipped.extend(missing.iter().map(ToString::to_string));
        if is_deciding() && !missing.is_empty() {
            bail!("what the tests need is missing, and CI=true");
        }
        Ok(())
    });
    run.step("fmt", |run| run.cargo(&["fmt", "--all", "--", "--check"]).run());
    run.step("clippy", |run| run.cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]).run());
    run.step("tidy", |_| tidy::run());
    run.step("deny", |run| {
        let deny = run.cache.tool("cargo-deny");
        if !deny.exists() {
            return Ok(()); // setup has said why
        }
        // What other platforms would build is checked too, and must have been fetched for that.
        Program::cargo().args(["fetch", "--quiet"]).run()?;
        let checks = ["--offline", "check", "licenses", "bans", "sources"];
        Program::new(deny).args(checks).run()
    });
    run.step("build", |run| run.cargo(&["build", "--workspace", "--bins"]).run());
    let mut clients = None;
    run.step("clients", |run| {
        clients = Some(clients::provide(&run.cache, Extent::Quick)?);
        Ok(())
    });
    let mut engine = None;
    run.step("docker", |run| {
        match docker::provide(&run.cache) {
            Ok(Provided::Running(running)) => engine = Some(running),
            // Where it cannot be had at all nothing is broken; where it should have started and did not, something is.
            Ok(Provided::NotHere(why)) => run.skipped.push(format!("no Docker: {why}")),
            Err(error) if is_deciding() => return Err(error),
            Err(error) => run.skipped.push(format!("no Docker: {error:#}")),
        }
        Ok(())
    });
    run.step("test", |run| {
        let library = run.cache.onnxruntime_library();
        let mut tests = run.cargo(&["test", "--workspace", "--no-fail-fast"]).env("CAPTURA_PYTHON", run.cache.python());
        if library.exists() {
            tests = tests.env("ORT_DYLIB_PATH", library);
        }
        let binary = run.cache.target().join("debug/captura");
        if binary.exists() {
            tests = tests.env("CAPTURA_BIN", binary);
        }
        if let Some(folder) = &clients {
            tests = tests.env("CAPTURA_RUST_CLIENTS", folder);
        }
        match stores::garage(&run.cache) {
            Some(garage) => tests = tests.env("CAPTURA_GARAGE", garage),
            None => run
                .skipped
                .push("a store that others wrote: `cargo xtask stores` builds Garage, which takes long".to_owned()),
        }
        for (name, value) in engine.iter().flat_map(|engine| engine.environment(&run.cache)) {
            tests = tests.env(name, value);
        }
        tests.run()
    });
    drop(engine);
    run.step("docs", |run| run.cargo(&["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings").run());
    run.close()
}

/// In the folder of builds: which checkout they are of.
const CHECKOUT_FILE: &str = "checkout";

/// Throws away what another checkout has built of our own crates. Cargo tells fresh from stale by the age of files, so an
/// older checkout would otherwise pass with a newer one's programs, which also look for their data in that one's folder.
fn own_builds_only(cache: &Cache) -> Result<()> {
    let stamp = cache.target().join(CHECKOUT_FILE);
    let checkout = cache::checkout();
    if std::fs::read(&stamp).is_ok_and(|built_from| built_from == checkout.as_os_str().as_encoded_bytes()) {
        return Ok(());
    }
    Program::cargo().args(["clean", "--workspace", "--quiet"]).env("CARGO_TARGET_DIR", cache.target()).run()?;
    std::fs::create_dir_all(cache.target())?;
    Ok(std::fs::write(&stamp, checkout.as_os_str().as_encoded_bytes())?)
}

impl Run {
    fn cargo(&self, arguments: &[&str]) -> Program {
        Program::cargo().args(arguments).env("CARGO_TARGET_DIR", self.cache.target())
    }

    fn step(&mut self, name: &'static str, act: impl FnOnce(&mut Run) -> Result<()>) {
        println!("── {name}");
        let began = Instant::now();
        let outcome = match act(self) {
            Ok(()) => Outcome::Passed,
            Err(error) => {
                eprintln!("{name} failed: {error:#}");
                Outcome::Failed(format!("{error:#}"))
            }
        };
        let took = began.elapsed();
        println!("── {name}: {:.1} s\n", took.as_secs_f64());
        self.steps.push(Step { name, outcome, took });
    }

    fn close(self) -> Result<()> {
        println!("{:<8} {:>8}  result", "step", "seconds");
        for step in &self.steps {
            let result = match &step.outcome {
                Outcome::Passed => "ok".to_owned(),
                Outcome::Failed(why) => format!("FAILED: {}", why.lines().next().unwrap_or_default()),
            };
            println!("{:<8} {:>8.1}  {result}", step.name, step.took.as_secs_f64());
        }
        let total: Duration = self.steps.iter().map(|step| step.took).sum();
        println!("{:<8} {:>8.1}", "total", total.as_secs_f64());
        for skipped in &self.skipped {
            println!("skipped: {skipped}");
        }
        let failed = self.steps.iter().filter(|step| matches!(step.outcome, Outcome::Failed(_))).count();
        if failed > 0 {
            bail!("{failed} of {} steps failed", self.steps.len());
        }
        Ok(())
    }
}
