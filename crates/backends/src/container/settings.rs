//! What the operator decides about containers.

use std::path::PathBuf;

use serde::Deserialize;

/// Docker's own place for its socket.
const SOCKET: &str = "/var/run/docker.sock";
/// Memory of one container: what a small instance of AWS has for its model.
const MEMORY_MAX_BYTES: u64 = 4 * 1024 * 1024 * 1024;
/// Processes and threads of one container; a JVM and a numeric library on a large machine have some hundreds.
const PIDS_MAX: u32 = 4096;
/// Size of each scratch folder.
const SCRATCH_MAX_BYTES: u64 = 1024 * 1024 * 1024;

/// What the operator decides about containers.
#[derive(Debug, Clone, PartialEq)]
pub struct ContainerSettings {
    /// The unix socket of Docker's API.
    pub socket: PathBuf,
    /// When an image is fetched from its registry.
    pub pull: Pull,
    /// Memory of one container, bytes; it gets no swap.
    pub memory_max_bytes: u64,
    /// Processors of one container, as a number of them; all when absent.
    pub cpus: Option<f64>,
    /// Processes and threads of one container.
    pub pids_max: u32,
    /// Folders that are empty, in memory and writable. A relative one lies in the image's working folder.
    pub scratch: Vec<String>,
    /// Size of each of those, bytes; it counts as memory of the container.
    pub scratch_max_bytes: u64,
    /// Folders of the image that each container gets a writable copy of. Everything else is read-only.
    pub writable: Vec<String>,
    /// What root may do in a container, beyond nothing.
    pub capabilities: Vec<Capability>,
    /// Names the server whose containers these are: its data directory. Containers of an earlier run of it are removed.
    pub owner: String,
}

impl Default for ContainerSettings {
    fn default() -> Self {
        let owned = |folders: &[&str]| folders.iter().map(|&folder| folder.to_owned()).collect();
        Self {
            socket: SOCKET.into(),
            pull: Pull::default(),
            memory_max_bytes: MEMORY_MAX_BYTES,
            cpus: None,
            pids_max: PIDS_MAX,
            scratch: owned(&["/tmp", "/run", "/var/tmp", "logs", ".sagemaker"]),
            scratch_max_bytes: SCRATCH_MAX_BYTES,
            writable: owned(&["/etc", "/home", "/root", "/var/log", "/var/lib/nginx"]),
            capabilities: Vec::new(),
            owner: String::new(),
        }
    }
}

/// When an image is fetched from its registry.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pull {
    /// When it is not on this machine.
    #[default]
    Missing,
    /// Before every load.
    Always,
    /// Never; images are brought by other means.
    Never,
}

/// What root may do in a container on top of nothing. None of these reaches outside the container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Capability {
    /// Give files to other users.
    Chown,
    /// Read and write files of other users.
    DacOverride,
    /// Change modes of files of other users.
    Fowner,
    /// Send signals to processes of other users.
    Kill,
    /// Listen on ports below 1024.
    NetBindService,
    /// Become another group, as servers that begin as root do for their workers.
    Setgid,
    /// Become another user, likewise.
    Setuid,
}

impl Capability {
    /// Its name in Docker's API.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Chown => "CHOWN",
            Self::DacOverride => "DAC_OVERRIDE",
            Self::Fowner => "FOWNER",
            Self::Kill => "KILL",
            Self::NetBindService => "NET_BIND_SERVICE",
            Self::Setgid => "SETGID",
            Self::Setuid => "SETUID",
        }
    }
}
