//! A store that others wrote, for the stories about archiving into one: Garage, built in the cache folder.
//!
//! Building it takes long, so only `cargo xtask stores` does; once it is there, `cargo xtask ci` tells the story too.
//!
//! Refuses to: link any of it. Garage is under the AGPL and stays a program of its own.

use std::path::PathBuf;

use anyhow::Result;

use crate::cache::Cache;
use crate::program::Program;
use crate::setup;

/// `cargo xtask stores`
pub(crate) fn run() -> Result<()> {
    let cache = Cache::locate()?;
    setup::garage(&cache)?;
    Program::cargo().args(["build", "--workspace", "--bins"]).env("CARGO_TARGET_DIR", cache.target()).run()?;
    let tests = Program::cargo().args(["test", "--workspace", "--test", "stories", "foreign_store"]);
    let tests = tests.env("CARGO_TARGET_DIR", cache.target()).env("CAPTURA_PYTHON", cache.python());
    let tests = tests.env("CAPTURA_BIN", cache.target().join("debug/captura"));
    tests.env("CAPTURA_GARAGE", cache.tool(setup::GARAGE)).run()
}

/// Garage, where it is built.
pub(crate) fn garage(cache: &Cache) -> Option<PathBuf> {
    Some(cache.tool(setup::GARAGE)).filter(|path| path.exists())
}
