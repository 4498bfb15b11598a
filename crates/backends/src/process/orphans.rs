//! Processes that outlived their server, and everything that an instance left behind.
//!
//! Every process of an instance carries the instance's token in its environment, and children inherit it whatever
//! group or session they move to. An instance's folder is locked as long as its server lives ([`Scratch`]), so a folder
//! that can be locked names a token whose processes nobody wants any more.

use std::fs;
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};

use super::bounds::unmount;
use crate::artifact::Scratch;

/// The variable that carries the token.
pub(super) const TOKEN: &str = "CAPTURA_INSTANCE";

/// Kills what earlier servers left running below `folder`.
pub(crate) fn kill_orphans(folder: &Path) {
    // Tokens name the folder as it is, whatever links lead to it.
    let Ok(folder) = folder.canonicalize() else { return };
    for abandoned in Scratch::abandoned(&folder) {
        let killed = kill_bearers(&token(&abandoned));
        // Its disk would keep the folder.
        unmount(&abandoned);
        if killed > 0 {
            tracing::warn!(killed, folder = ?abandoned, "processes of an earlier server were still running");
        }
    }
}

/// The token of the instance with this folder.
pub(super) fn token(folder: &Path) -> String {
    folder.display().to_string()
}

/// Kills every process whose environment carries the token, and says how many. Repeats, as they may have children while
/// this looks.
pub(super) fn kill_bearers(token: &str) -> usize {
    const ROUNDS_MAX: usize = 8;
    let wanted = format!("{TOKEN}={token}");
    let mut killed = 0;
    for _ in 0..ROUNDS_MAX {
        let bearers = bearers(wanted.as_bytes());
        if bearers.is_empty() {
            break;
        }
        killed += bearers.iter().filter(|pid| kill_process(**pid, Signal::KILL).is_ok()).count();
    }
    killed
}

fn bearers(wanted: &[u8]) -> Vec<Pid> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let bears = |pid: &i32| {
        // Those of others cannot be read, and are not ours. A dead one has no environment any more.
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable == wanted)
    };
    pids.filter(bears).filter_map(Pid::from_raw).collect()
}
