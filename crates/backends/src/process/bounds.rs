//! What the kernel holds an instance to from outside: a disk of its own, and a control group for all of its processes.
//!
//! Both are the operator's to ask for, and both need what not every machine has: root, and control groups of version 2
//! with the controllers for memory and processes.
//!
//! Invariant: what was asked for and is not available starts nothing, and says what is missing. A disk and a group are gone
//! when the instance is; those of a server that was killed go with the next one's start.
//! Refuses to: look for a control group by itself; the operator names one that belongs to nobody else.

use std::ffi::CString;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::geteuid;

use super::rule::ProcessRule;
use crate::artifact::Scratch;

/// Bytes of a disk for each file that it may hold: files cost memory that no size counts.
const BYTES_OF_FILE: u64 = 16 * 1024;
/// Files that every disk may hold.
const FILES_MIN: u64 = 1_024;
/// Controllers that a control group must have.
const CONTROLLERS: [&str; 2] = ["memory", "pids"];
/// How often, and how long apart, a group is tried to be removed: its dead are counted for a moment longer.
const REMOVALS_MAX: u32 = 50;
const REMOVAL_PERIOD: Duration = Duration::from_millis(20);

/// What an instance is held to.
#[derive(Debug, Default)]
pub(super) struct Bounds {
    disk: Option<Disk>,
    group: Option<Group>,
}

impl Bounds {
    /// For the instance with this folder, which is empty yet.
    ///
    /// # Errors
    /// What is not available of what the rule asks for.
    pub(super) fn of(rule: &ProcessRule, folder: &Path) -> Result<Self, String> {
        let disk = rule.disk_max_bytes.map(|bytes| Disk::mount(folder, bytes)).transpose()?;
        let group = rule.cgroup.as_ref().map(|parent| Group::new(parent, folder, rule)).transpose()?;
        Ok(Self { disk, group })
    }

    /// The file by which a process joins the group.
    pub(super) fn door(&self) -> Result<Option<File>, String> {
        let door = self.group.as_ref().map(|group| group.door.try_clone());
        door.transpose().map_err(|error| format!("the control group cannot be opened: {error}"))
    }

    /// Ends what is left of the instance, and gives back what it had.
    pub(super) async fn release(mut self) {
        drop(self.disk.take());
        let Some(group) = self.group.take() else { return };
        group.kill();
        for _ in 0..REMOVALS_MAX {
            if fs::remove_dir(&group.folder).is_ok() {
                return;
            }
            tokio::time::sleep(REMOVAL_PERIOD).await;
        }
        tracing::warn!(group = ?group.folder, "the control group of an instance that ended cannot be removed");
    }
}

/// A file system in memory that is the instance's folder.
#[derive(Debug)]
struct Disk(PathBuf);

impl Disk {
    fn mount(folder: &Path, bytes: u64) -> Result<Self, String> {
        if !geteuid().is_root() {
            return Err(
                "disk_max is not available: only a server that runs as root can mount a disk in memory".to_owned()
            );
        }
        let files = (bytes / BYTES_OF_FILE).max(FILES_MIN);
        let options = CString::new(format!("size={bytes},nr_inodes={files},mode=0700")).expect("our bug: numbers");
        let failed = |error: io::Error| format!("disk_max is not available: {}: {error}", folder.display());
        let path = CString::new(folder.as_os_str().as_bytes()).map_err(|error| failed(error.into()))?;
        let flags = libc::MS_NOSUID | libc::MS_NODEV;
        // SAFETY: a system call on strings that outlive it.
        #[expect(unsafe_code, reason = "the safe name for it is behind a feature of a crate that everybody shares")]
        let mounted = unsafe {
            libc::mount(c"captura".as_ptr(), path.as_ptr(), c"tmpfs".as_ptr(), flags, options.as_ptr().cast())
        };
        if mounted == 0 { Ok(Self(folder.to_owned())) } else { Err(failed(io::Error::last_os_error())) }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        unmount(&self.0);
    }
}

/// Takes a disk away, if the folder is one.
pub(super) fn unmount(folder: &Path) {
    let Ok(path) = CString::new(folder.as_os_str().as_bytes()) else { return };
    // SAFETY: a system call on a string that outlives it.
    #[expect(unsafe_code, reason = "the safe name for it is behind a feature of a crate that everybody shares")]
    // Nothing was mounted, or it is not ours to take away: either way it stays as it is.
    let _ = unsafe { libc::umount2(path.as_ptr(), libc::MNT_DETACH | libc::UMOUNT_NOFOLLOW) };
}

/// A control group of version 2.
#[derive(Debug)]
struct Group {
    folder: PathBuf,
    door: File,
}

impl Group {
    /// Of the name that the instance's folder has.
    fn new(parent: &Path, place: &Path, rule: &ProcessRule) -> Result<Self, String> {
        let missing = |what: String| format!("cgroup is not available: {what}");
        let controllers = fs::read_to_string(parent.join("cgroup.controllers"));
        let controllers = controllers
            .map_err(|error| missing(format!("{} is no control group of version 2: {error}", parent.display())))?;
        if let Some(lacking) = CONTROLLERS.iter().find(|one| !controllers.split_whitespace().any(|has| has == **one)) {
            return Err(missing(format!("{} has no controller for {lacking}", parent.display())));
        }
        sweep(parent, place);
        let folder = parent.join(place.file_name().unwrap_or_default());
        let made = || -> io::Result<File> {
            fs::write(parent.join("cgroup.subtree_control"), "+memory +pids")?;
            fs::create_dir(&folder)?;
            if let Some(bytes) = rule.memory_max_bytes {
                fs::write(folder.join("memory.max"), bytes.to_string())?;
                // Killed together: half an instance answers nobody.
                fs::write(folder.join("memory.oom.group"), "1")?;
                // A kernel without swap has no such file.
                let _ = fs::write(folder.join("memory.swap.max"), "0");
            }
            if let Some(count) = rule.processes_max {
                fs::write(folder.join("pids.max"), count.to_string())?;
            }
            File::options().write(true).create(true).truncate(false).open(folder.join("cgroup.procs"))
        };
        let door = made().map_err(|error| missing(format!("{}: {error}", folder.display())))?;
        Ok(Self { folder, door })
    }

    fn kill(&self) {
        // Whoever has ended already is as dead.
        let _ = fs::write(self.folder.join("cgroup.kill"), "1");
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
        let _ = fs::remove_dir(&self.folder);
    }
}

/// Removes the groups of instances that have no folder any more beside this one: those of a server that was killed. One with
/// a living process in it stays, whoever made it.
fn sweep(parent: &Path, place: &Path) {
    let (Ok(groups), Some(folders)) = (fs::read_dir(parent), place.parent()) else { return };
    for group in groups.flatten().filter(|group| !folders.join(group.file_name()).exists()) {
        // Whatever else is there was made by somebody else.
        if group.file_name().to_str().is_some_and(|name| name.starts_with(Scratch::PREFIX)) {
            let _ = fs::remove_dir(group.path());
        }
    }
}

/// Joins a control group. Called between fork and exec: a system call, and nothing else.
pub(super) fn join(door: &File) -> io::Result<()> {
    rustix::io::write(door.as_fd(), b"0")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_no_control_group_and_one_without_controllers_are_not_available() {
        let folder = tempfile::tempdir().unwrap();
        let rule = ProcessRule { cgroup: Some(folder.path().to_owned()), ..ProcessRule::default() };
        let why = Bounds::of(&rule, Path::new("/x/loading-1")).unwrap_err();
        assert!(why.starts_with("cgroup is not available") && why.contains("no control group of version 2"), "{why}");
        fs::write(folder.path().join("cgroup.controllers"), "cpu pids\n").unwrap();
        let why = Bounds::of(&rule, Path::new("/x/loading-1")).unwrap_err();
        assert!(why.ends_with("has no controller for memory"), "{why}");
    }

    #[test]
    fn a_group_gets_the_limits_of_its_rule() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("cgroup.controllers"), "cpu memory pids\n").unwrap();
        let rule = ProcessRule {
            cgroup: Some(folder.path().to_owned()),
            memory_max_bytes: Some(1 << 30),
            processes_max: Some(40),
            ..ProcessRule::default()
        };
        let bounds = Bounds::of(&rule, Path::new("/x/loading-1")).unwrap();
        let said = |name: &str| fs::read_to_string(folder.path().join("loading-1").join(name)).unwrap_or_default();
        assert_eq!(fs::read_to_string(folder.path().join("cgroup.subtree_control")).unwrap(), "+memory +pids");
        assert_eq!([said("memory.max"), said("pids.max"), said("memory.oom.group")], ["1073741824", "40", "1"]);
        join(&bounds.door().unwrap().unwrap()).unwrap();
        assert_eq!(said("cgroup.procs"), "0", "whoever writes 0 means itself");
        drop(bounds);
        assert_eq!(said("cgroup.kill"), "1");
    }

    #[test]
    fn groups_of_instances_that_are_gone_are_removed_and_others_stay() {
        let (groups, folders) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(groups.path().join("cgroup.controllers"), "memory pids\n").unwrap();
        for name in ["loading-gone", "loading-alive", "loading-busy"] {
            fs::create_dir(groups.path().join(name)).unwrap();
        }
        // The kernel does not remove a group with processes, as it does not remove a folder with files.
        fs::write(groups.path().join("loading-busy/cgroup.procs"), "7").unwrap();
        fs::create_dir(folders.path().join("loading-alive")).unwrap();
        let rule = ProcessRule { cgroup: Some(groups.path().to_owned()), ..ProcessRule::default() };
        let _bounds = Bounds::of(&rule, &folders.path().join("loading-new")).unwrap();
        let is_there = |name: &str| groups.path().join(name).exists();
        assert_eq!(
            ["loading-gone", "loading-alive", "loading-busy", "loading-new"].map(is_there),
            [false, true, true, true]
        );
    }

    #[test]
    fn a_disk_that_a_killed_server_left_is_taken_away_with_its_folder() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("loading-gone");
        fs::create_dir(&folder).unwrap();
        fs::write(parent.path().join("loading-gone.lock"), "").unwrap();
        match Disk::mount(&folder, 1 << 20) {
            Ok(disk) => std::mem::forget(disk),
            Err(why) => return assert!(!geteuid().is_root() && why.contains("not available"), "{why}"),
        }
        let mounts = || fs::read_to_string("/proc/self/mounts").unwrap();
        let name = folder.canonicalize().unwrap().display().to_string();
        assert!(mounts().contains(&name));
        super::super::kill_orphans(parent.path());
        assert!(!mounts().contains(&name));
    }
}
