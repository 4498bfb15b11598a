//! Stories told through the AWS SDK for Python, in the environment that `cargo xtask setup` makes.
//!
//! Where that environment is missing, such a story says that it was skipped and why; with `CI=true` that is a failure.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use crate::program;
use crate::server::Server;

/// The environment's Python: `CAPTURA_PYTHON`, else the one in the cache folder.
fn interpreter() -> PathBuf {
    if let Some(path) = std::env::var_os("CAPTURA_PYTHON") {
        return PathBuf::from(path);
    }
    let base = std::env::var_os("XDG_CACHE_HOME").filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = base.or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")));
    base.unwrap_or_default().join("captura/venv/bin/python")
}

/// Runs `crates/e2e/python/SCRIPT ARGUMENTS…` with the SDK pointed at the server; nothing when there is no Python.
///
/// # Panics
/// With `CI=true` when there is no Python.
pub fn tell(server: &Server, script: &str, arguments: &[&str]) -> Option<Output> {
    tell_as(server, script, arguments, ("AKIDSTORYTELLER", "secret"))
}

/// The same as somebody else: an access key id and its secret.
///
/// # Panics
/// With `CI=true` when there is no Python.
pub fn tell_as(server: &Server, script: &str, arguments: &[&str], (id, secret): (&str, &str)) -> Option<Output> {
    tell_at(&server.url(), script, arguments, (id, secret))
}

/// The same at another service than captura.
///
/// # Panics
/// With `CI=true` when there is no Python.
pub fn tell_at(url: &str, script: &str, arguments: &[&str], (id, secret): (&str, &str)) -> Option<Output> {
    let mut command = command(url, script, arguments)?;
    command.env("AWS_ACCESS_KEY_ID", id).env("AWS_SECRET_ACCESS_KEY", secret);
    Some(command.output().expect("python starts"))
}

/// The same for a script that was written for AWS and waits as patiently as AWS needs it: its sleeps are cut short.
///
/// # Panics
/// With `CI=true` when there is no Python.
pub fn tell_in_a_hurry(server: &Server, script: &str, arguments: &[&str]) -> Option<Output> {
    tell_in_a_hurry_as(server, script, arguments, ("AKIDSTORYTELLER", "secret"))
}

/// The same as somebody else: an access key id and its secret.
///
/// # Panics
/// With `CI=true` when there is no Python.
pub fn tell_in_a_hurry_as(
    server: &Server,
    script: &str,
    arguments: &[&str],
    (id, secret): (&str, &str),
) -> Option<Output> {
    let mut command = command(&server.url(), script, arguments)?;
    command.env("AWS_ACCESS_KEY_ID", id).env("AWS_SECRET_ACCESS_KEY", secret);
    command.env("PYTHONPATH", program::checkout().join("crates/e2e/python/hurry"));
    Some(command.output().expect("python starts"))
}

fn command(url: &str, script: &str, arguments: &[&str]) -> Option<Command> {
    let python = interpreter();
    if !python.exists() {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "no Python with boto3 at {}", python.display());
        #[expect(clippy::print_stdout, reason = "a story that was not told says so")]
        {
            println!(
                "skipped: {script} because there is no Python with boto3 at {}; `cargo xtask setup` makes it",
                python.display()
            );
        }
        return None;
    }
    let script = program::checkout().join("crates/e2e/python").join(script);
    let mut command = Command::new(python);
    command.arg(script).args(arguments).stdin(Stdio::null());
    command.env("PYTHONDONTWRITEBYTECODE", "1").env("AWS_ENDPOINT_URL", url);
    command
        .env("AWS_DEFAULT_REGION", "us-east-1")
        .env("AWS_MAX_ATTEMPTS", "1")
        .env("AWS_EC2_METADATA_DISABLED", "true");
    command
        .env("AWS_CONFIG_FILE", "/dev/null")
        .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
        .env("NO_PROXY", "127.0.0.1");
    Some(command)
}
