//! Stories told by programs that were written with the AWS SDK for Rust, in the workspace `crates/e2e/rust`.
//!
//! They are built by `cargo xtask clients` (all) and `cargo xtask ci` (those that build quickly). Where one is not built, its
//! story says that it was skipped and why; one that `cargo xtask ci` builds must be there with `CI=true`.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use crate::program;
use crate::server::Server;

/// A program of that workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    /// Runtime, S3 and STS.
    Invocations,
    /// The control plane besides.
    Lifecycle,
}

impl Client {
    fn name(self) -> &'static str {
        match self {
            Self::Invocations => "invocations",
            Self::Lifecycle => "lifecycle",
        }
    }

    /// Where it is: in the folder `CAPTURA_RUST_CLIENTS`.
    fn path(self) -> Option<PathBuf> {
        let folder = PathBuf::from(std::env::var_os("CAPTURA_RUST_CLIENTS")?);
        Some(folder.join(self.name())).filter(|path| path.exists())
    }
}

/// Runs a program with nothing but AWS's own variables to tell it of the server; nothing when it is not built.
///
/// # Panics
/// With `CI=true` when a program is not there that must be.
pub fn tell(server: &Server, client: Client) -> Option<Output> {
    let Some(path) = client.path() else {
        let must_be_there = client == Client::Invocations && std::env::var("CI").as_deref() == Ok("true");
        assert!(!must_be_there, "the program {} is not in CAPTURA_RUST_CLIENTS", client.name());
        #[expect(clippy::print_stdout, reason = "a story that was not told says so")]
        {
            println!("skipped: {} in Rust because it is not built; `cargo xtask clients` builds it", client.name());
        }
        return None;
    };
    let mut command = Command::new(path);
    command.stdin(Stdio::null()).current_dir(program::checkout()).env_clear();
    command.env("AWS_ENDPOINT_URL", server.url()).env("AWS_REGION", "us-east-1");
    command.env("AWS_ACCESS_KEY_ID", "AKIDSTORYTELLER").env("AWS_SECRET_ACCESS_KEY", "secret");
    Some(command.output().expect("the program starts"))
}
