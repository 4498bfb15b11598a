//! Running other programs, from the checkout's root, with errors that say what was run.

use std::ffi::OsStr;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::cache;

/// A program about to be run in the checkout.
pub(crate) struct Program {
    command: Command,
    shown: String,
}

impl Program {
    pub(crate) fn new(program: impl AsRef<OsStr>) -> Program {
        let mut command = Command::new(&program);
        command.current_dir(cache::checkout()).stdin(Stdio::null());
        Program { command, shown: program.as_ref().to_string_lossy().into_owned() }
    }

    /// The cargo that runs this tool.
    pub(crate) fn cargo() -> Program {
        let mut cargo = Program::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.shown = "cargo".to_owned();
        cargo
    }

    pub(crate) fn arg(mut self, argument: impl AsRef<OsStr>) -> Program {
        self.shown.push(' ');
        self.shown.push_str(&argument.as_ref().to_string_lossy());
        self.command.arg(argument);
        self
    }

    pub(crate) fn args<S: AsRef<OsStr>>(self, arguments: impl IntoIterator<Item = S>) -> Program {
        arguments.into_iter().fold(self, Program::arg)
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Program {
        self.command.env(name, value);
        self
    }

    /// Runs with its output shown; an error unless it ends with 0.
    pub(crate) fn run(mut self) -> Result<()> {
        let status = self.command.status().with_context(|| format!("cannot start `{}`", self.shown))?;
        if !status.success() {
            bail!("`{}` failed ({status})", self.shown);
        }
        Ok(())
    }

    /// Runs silently and gives its standard output; an error carries the last lines of what it said.
    pub(crate) fn read(mut self) -> Result<String> {
        let output = self.command.output().with_context(|| format!("cannot start `{}`", self.shown))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            let last: Vec<&str> = said.trim().lines().rev().take(8).collect();
            let last: Vec<&str> = last.into_iter().rev().collect();
            bail!("`{}` failed ({}): {}", self.shown, output.status, last.join("\n  "));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Whether it can be started and ends with 0; says nothing.
    pub(crate) fn succeeds(self) -> bool {
        self.read().is_ok()
    }
}
