//! Programs written with the AWS SDK for Rust (`crates/e2e/rust`), built in the cache folder, and the stories they tell.
//!
//! Its own workspace and its own build: nothing else needs those crates, and the control plane's alone takes minutes.

use std::path::PathBuf;

use anyhow::Result;

use crate::cache::Cache;
use crate::program::Program;

const MANIFEST: &str = "crates/e2e/rust/Cargo.toml";

/// Which programs are built.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// Those that build in a minute or two, and then from the cache.
    Quick,
    /// All, the control plane's included.
    Whole,
}

/// `cargo xtask clients`
pub(crate) fn run() -> Result<()> {
    let cache = Cache::locate()?;
    Program::cargo().args(["fmt", "--check", "--manifest-path", MANIFEST]).run()?;
    let folder = provide(&cache, Extent::Whole)?;
    let tests = Program::cargo().args(["test", "--package", "captura-e2e", "--test", "stories", "rust_sdk"]);
    tests.env("CARGO_TARGET_DIR", cache.target()).env("CAPTURA_RUST_CLIENTS", folder).run()
}

/// Builds them; gives the folder they are in.
pub(crate) fn provide(cache: &Cache, extent: Extent) -> Result<PathBuf> {
    let mut build = Program::cargo().args(["build", "--locked", "--manifest-path", MANIFEST]);
    if extent == Extent::Whole {
        build = build.args(["--features", "control-plane"]);
    }
    build.env("CARGO_TARGET_DIR", target(cache)).run()?;
    Ok(target(cache).join("debug"))
}

fn target(cache: &Cache) -> PathBuf {
    cache.root().join("clients-target")
}
