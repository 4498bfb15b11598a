//! A file system of our own whose power can be cut: an image file behind a loop device. Root only.
//!
//! The cut is `FS_IOC_SHUTDOWN` without a flush of the log: from that moment nothing reaches the device, not even what
//! the file system had promised itself, and the next mount replays the log as after a power loss. What this does not
//! model: a device that tears or reorders its own writes; the simulated disk does.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::ioctl::{Setter, ioctl, opcode};

use crate::server::found_within;

/// A file with holes, which takes what is written: a fast machine fills 256 MiB between two proofs.
const SIZE_BYTES: u64 = 1 << 30;

/// `FS_IOC_SHUTDOWN`, 0x8004587d.
const SHUTDOWN: rustix::ioctl::Opcode = opcode::read::<u32>(b'X', 125);
/// In which a file system that nobody uses is gone.
const GONE_WITHIN: Duration = Duration::from_secs(20);
/// The log is not flushed either.
const NO_LOG_FLUSH: u32 = 2;

/// A kind of file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// With its default, ordered journal.
    Ext4,
    /// With its default log.
    Xfs,
}

impl Kind {
    /// `ext4`, `xfs`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
        }
    }

    fn make(self) -> Command {
        let mut command = Command::new(format!("mkfs.{}", self.name()));
        command.args(match self {
            Self::Ext4 => ["-q", "-F"],
            Self::Xfs => ["-q", "-f"],
        });
        command
    }
}

/// A mounted file system.
pub struct PowerCut {
    at: PathBuf,
    device: String,
    kind: Kind,
}

fn done(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| format!("cannot start {command:?}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}

impl PowerCut {
    /// Makes a file system in the file `image` and mounts it.
    ///
    /// # Errors
    /// Why it cannot be had: not root, no such file system, no loop devices.
    pub fn make(kind: Kind, image: &Path, at: &Path) -> Result<Self, String> {
        if !rustix::process::geteuid().is_root() {
            return Err("not root".to_owned());
        }
        let file = File::create(image).map_err(|error| error.to_string())?;
        file.set_len(SIZE_BYTES).map_err(|error| error.to_string())?;
        done(kind.make().arg(image))?;
        std::fs::create_dir_all(at).map_err(|error| error.to_string())?;
        let device = done(Command::new("losetup").args(["-f", "--show"]).arg(image))?;
        let disk = Self { at: at.to_owned(), device, kind };
        disk.mount()?;
        Ok(disk)
    }

    fn mount(&self) -> Result<(), String> {
        done(Command::new("mount").arg(&self.device).arg(&self.at)).map(drop)
    }

    /// Cuts the power. Whoever has files open there gets errors from now on.
    ///
    /// # Errors
    /// When the file system does not know how.
    pub fn cut(&self) -> Result<(), String> {
        let folder = File::open(&self.at).map_err(|error| error.to_string())?;
        #[expect(unsafe_code, reason = "a system call that has no safe name; it takes a number and keeps nothing")]
        let cut = unsafe { ioctl(&folder, Setter::<SHUTDOWN, u32>::new(NO_LOG_FLUSH)) };
        cut.map_err(|error| format!("the power cannot be cut: {error}"))
    }

    /// Brings the power back, once everybody who had files open is gone.
    ///
    /// # Errors
    /// When it cannot be unmounted or mounted.
    pub fn restore(&self) -> Result<(), String> {
        done(Command::new("umount").arg(&self.at))?;
        // A server in a mount namespace of its own keeps the file system for a moment after its death. Mounted again too
        // early, it would be the same one, with everything in its memory.
        let alive = Path::new("/sys/fs").join(self.kind.name()).join(self.device.trim_start_matches("/dev/"));
        found_within(GONE_WITHIN, || (!alive.exists()).then_some(()))
            .ok_or_else(|| format!("{} is still there {GONE_WITHIN:?} after it was unmounted", alive.display()))?;
        self.mount()
    }
}

impl Drop for PowerCut {
    fn drop(&mut self) {
        // Lazily: a failed test may still have its server on it.
        let _ = done(Command::new("umount").arg("-l").arg(&self.at));
        let _ = done(Command::new("losetup").arg("-d").arg(&self.device));
    }
}
