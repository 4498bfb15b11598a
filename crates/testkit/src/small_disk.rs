//! A small file system in memory, so that it can be filled. Only root may mount one.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A mounted tmpfs.
pub struct SmallDisk {
    at: PathBuf,
}

impl SmallDisk {
    /// Mounts one of this size (`48m`).
    ///
    /// # Errors
    /// Why it cannot be had.
    ///
    /// # Panics
    /// When the folder for it cannot be made.
    pub fn mount(at: &Path, size: &str) -> Result<Self, String> {
        std::fs::create_dir_all(at).expect("a folder can be made");
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", &format!("size={size}"), "captura-test"]).arg(at);
        match command.output() {
            Ok(output) if output.status.success() => Ok(Self { at: at.to_owned() }),
            Ok(output) => Err(format!("no small disk: {}", String::from_utf8_lossy(&output.stderr).trim())),
            Err(error) => Err(format!("no small disk: {error}")),
        }
    }

    /// Fills it, until not one byte fits.
    ///
    /// # Panics
    /// When the file that fills it cannot be made.
    pub fn fill(&self) {
        let filler =
            File::options().create(true).append(true).open(self.at.join("filler")).expect("a file can be made");
        for size in [1 << 20, 1 << 16, 1 << 12, 1] {
            while (&filler).write_all(&vec![1; size]).is_ok() {}
        }
    }

    /// Gives the space back.
    ///
    /// # Panics
    /// When the file that fills it is not there.
    pub fn empty(&self) {
        std::fs::remove_file(self.at.join("filler")).expect("the file that fills it is there");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a failed test may still have its server on it.
        let _ = Command::new("umount").arg("-l").arg(&self.at).status();
    }
}
