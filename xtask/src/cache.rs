//! The folder outside the checkout where builds and fetched things live, so that a second run is incremental.
//!
//! ```text
//! ${XDG_CACHE_HOME:-$HOME/.cache}/captura/
//!   target/        builds of `cargo xtask ci`
//!   clients-target/ builds of the programs written with the AWS SDK for Rust
//!   onnxruntime/   libonnxruntime.so.X.Y.Z and a plain libonnxruntime.so that points to it
//!   venv/          Python with the AWS SDK, for stories told by a real client
//!   tools/bin/     cargo-deny, garage
//!   docker/        data, socket and log of a Docker Engine of our own
//!   images/        models that the stories' images serve; stamps of what those are built from
//! ```
//!
//! Invariant: nothing here is needed to build captura, and all of it can be deleted at any time.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// Where the cached things are, whether they exist yet or not.
pub(crate) struct Cache {
    root: PathBuf,
}

impl Cache {
    pub(crate) fn locate() -> Result<Cache> {
        let base = match std::env::var_os("XDG_CACHE_HOME").filter(|value| !value.is_empty()) {
            Some(folder) => PathBuf::from(folder),
            None => PathBuf::from(std::env::var_os("HOME").context("neither XDG_CACHE_HOME nor HOME is set")?)
                .join(".cache"),
        };
        Ok(Cache { root: base.join("captura") })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Builds of the checks: `CARGO_TARGET_DIR` where the caller chose one, so that it is never second-guessed.
    pub(crate) fn target(&self) -> PathBuf {
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| self.root.join("target"), PathBuf::from)
    }

    pub(crate) fn onnxruntime(&self) -> PathBuf {
        self.root.join("onnxruntime")
    }

    pub(crate) fn onnxruntime_library(&self) -> PathBuf {
        self.onnxruntime().join("libonnxruntime.so")
    }

    pub(crate) fn venv(&self) -> PathBuf {
        self.root.join("venv")
    }

    pub(crate) fn python(&self) -> PathBuf {
        self.venv().join("bin/python")
    }

    pub(crate) fn docker(&self) -> PathBuf {
        self.root.join("docker")
    }

    pub(crate) fn images(&self) -> PathBuf {
        self.root.join("images")
    }

    pub(crate) fn tools(&self) -> PathBuf {
        self.root.join("tools")
    }

    pub(crate) fn tool(&self, name: &str) -> PathBuf {
        self.tools().join("bin").join(name)
    }
}

/// The checkout this tool was started from: cargo says at run time where, which is right even for a tool that another
/// checkout with the same cache has built.
pub(crate) fn checkout() -> PathBuf {
    let built_from = || PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let xtask = std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(built_from, PathBuf::from);
    xtask.parent().expect("our bug: xtask lies in the checkout").to_path_buf()
}
