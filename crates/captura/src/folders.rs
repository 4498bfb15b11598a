//! The data directory as it is made: what others on this machine may read of it.
//!
//! Invariant: what is new and holds bodies, words of models, or their environments is its owner's alone. The data directory
//! itself and the buckets, which other programs may read, are as the operator's umask has them, and so is what was there
//! before.
//! Refuses to: know what is in them.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use anyhow::Context as _;

/// The journal and what is told of its segments.
pub(crate) const JOURNAL: &str = "journal";
/// Metrics and alarms.
pub(crate) const CLOUDWATCH: &str = "cloudwatch";
/// What instances say.
pub(crate) const LOGS: &str = "logs";
/// What webhooks are still to be told.
pub(crate) const NOTICES: &str = "notices";
/// Asynchronous calls that wait.
pub(crate) const BACKLOG: &str = "backlog";
/// The book of who calls.
pub(crate) const CONSUMERS: &str = "consumers";
/// Models, configurations and endpoints. The files that SQLite puts beside it have its mode.
pub(crate) const CATALOG: &str = "catalog.sqlite";

const PRIVATE_FOLDERS: [&str; 6] = [JOURNAL, CLOUDWATCH, LOGS, NOTICES, BACKLOG, CONSUMERS];
const FOLDER_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// Makes the data directory where it is missing, and in it what is private.
pub(crate) fn make(data_dir: &Path) -> anyhow::Result<()> {
    let cannot = |path: &Path| format!("cannot create {}", path.display());
    std::fs::create_dir_all(data_dir)
        .with_context(|| format!("cannot create the data directory {}", data_dir.display()))?;
    for name in PRIVATE_FOLDERS {
        let path = data_dir.join(name);
        unless_there(DirBuilder::new().mode(FOLDER_MODE).create(&path)).with_context(|| cannot(&path))?;
    }
    let path = data_dir.join(CATALOG);
    let made: std::io::Result<File> = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(&path);
    unless_there(made.map(drop)).with_context(|| cannot(&path))
}

/// Whoever opens what is there already says what is wrong with it.
fn unless_there(made: std::io::Result<()>) -> std::io::Result<()> {
    match made {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn what_is_new_and_private_is_its_owners_alone_and_what_was_there_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let data_dir = dir.path().join("data");
        let mode = |name: &str| data_dir.join(name).metadata().unwrap().permissions().mode() & 0o777;
        std::fs::create_dir_all(data_dir.join(LOGS)).unwrap();
        std::fs::set_permissions(data_dir.join(LOGS), std::fs::Permissions::from_mode(0o750)).unwrap();
        for _ in 0..2 {
            make(&data_dir).unwrap();
            assert_eq!(mode(LOGS), 0o750);
            for name in PRIVATE_FOLDERS.into_iter().filter(|name| *name != LOGS) {
                assert_eq!(mode(name), 0o700, "{name}");
            }
            assert_eq!(mode(CATALOG), 0o600);
        }
    }
}
