//! Where the `captura` program is, built if need be, and how to run one of its verbs to its end.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

/// The program under test: `CAPTURA_BIN`, else the one that cargo builds now, so that a story never runs against
/// yesterday's program.
pub fn path() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| match std::env::var_os("CAPTURA_BIN") {
        Some(path) => PathBuf::from(path),
        None => build(),
    })
}

fn build() -> PathBuf {
    // target/<profile>/deps/stories-<hash>
    let test = std::env::current_exe().expect("a test knows its own path");
    let profile = test.parent().and_then(Path::parent).expect("our bug: tests are built into target/<profile>/deps");
    let target = profile.parent().expect("our bug: a profile's folder lies in the target folder");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(checkout()).args(["build", "--quiet", "--workspace", "--bins", "--target-dir"]).arg(target);
    if profile.ends_with("release") {
        cargo.arg("--release");
    }
    let status = cargo.status().expect("cargo starts");
    assert!(status.success(), "the program under test does not build");
    profile.join("captura")
}

/// The root of the checkout.
pub fn checkout() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("our bug: this crate lies in crates/e2e")
}

/// Runs `captura ARGUMENTS…` to its end.
///
/// # Panics
/// When the program cannot be started.
pub fn run<S: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = S>) -> Output {
    let mut command = Command::new(path());
    command.args(arguments).stdin(Stdio::null()).env_remove("CAPTURA_URL").env_remove("AWS_ENDPOINT_URL");
    command.output().unwrap_or_else(|error| panic!("cannot start {}: {error}", path().display()))
}

/// What a program said, for the message of a failed assertion.
pub fn said(output: &Output) -> String {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    format!("{}\n-- stdout\n{out}\n-- stderr\n{err}", output.status)
}
