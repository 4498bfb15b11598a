//! From the rule and the model to a program that can be started.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Resource, Rlimit, Signal, getpid, getppid, set_parent_process_death_signal, setrlimit};

use super::bounds::{self, Bounds};
use super::identity::Identity;
use super::orphans::{TOKEN, token};
use super::rule::ProcessRule;
use super::sandbox::Prepared;

/// Most open files of a process.
const FILES_MAX: u64 = 65_536;
/// Most processes and threads of a user that runs nothing but one model's instances.
const PROCESSES_MAX: u64 = 4_096;
/// Largest file that it may write, bytes.
const FILE_MAX_BYTES: u64 = 16 * 1024 * 1024 * 1024;
/// The port, as SageMaker's containers look for it.
const PORT: &str = "SAGEMAKER_BIND_TO_PORT";
const MODEL_DIR: &str = "SM_MODEL_DIR";

/// What one start is about.
pub(super) struct Start<'a> {
    pub(super) rule: &'a ProcessRule,
    pub(super) identity: Option<&'a Identity>,
    pub(super) model: Option<&'a Path>,
    /// Folder of the instance: its home, its temporary files.
    pub(super) folder: &'a Path,
    /// What it is held to.
    pub(super) bounds: &'a Bounds,
    /// The port that it listens on.
    pub(super) port: Option<u16>,
    /// What the operator's environment passes on.
    pub(super) inherited: &'a BTreeMap<String, String>,
    /// What the model says.
    pub(super) environment: &'a BTreeMap<String, String>,
    /// How far below others it is.
    pub(super) niceness: i32,
}

impl Start<'_> {
    /// The program, ready to be started.
    ///
    /// # Errors
    /// In words for a person.
    pub(super) fn recipe(&self) -> Result<Command, String> {
        let Some((program, arguments)) = self.rule.command.split_first() else {
            return Err("the rule has no command".to_owned());
        };
        self.give_folder().map_err(|error| format!("{} cannot be prepared: {error}", self.folder.display()))?;
        let sandbox = Prepared::new(self.rule, (self.model, self.folder), self.port)?;
        #[expect(clippy::disallowed_methods, reason = "this is where models' servers are started")]
        let mut recipe = Command::new(program);
        recipe.args(arguments).env_clear().envs(self.variables());
        recipe.current_dir(self.rule.working_dir.as_deref().unwrap_or(self.folder));
        recipe.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        recipe.process_group(0);
        if let Some(identity) = self.identity {
            recipe.gid(identity.gid).uid(identity.uid);
        }
        let (limits, group) = (self.limits()?, self.bounds.door()?);
        let mut last_steps = LastSteps { parent: getpid(), group, limits, niceness: self.niceness, sandbox };
        // SAFETY: between fork and exec of a process with threads only async-signal-safe work is allowed; the steps are
        // system calls on what was prepared before, and allocate nothing.
        #[expect(unsafe_code, reason = "limits and sandbox must be put on by the child itself")]
        unsafe {
            recipe.pre_exec(move || last_steps.take());
        }
        Ok(recipe)
    }

    /// The folder belongs to whoever runs the instance, and nobody else looks in.
    fn give_folder(&self) -> io::Result<()> {
        if let Some(identity) = self.identity {
            chown(self.folder, Some(identity.uid), Some(identity.gid))?;
        }
        fs::set_permissions(self.folder, fs::Permissions::from_mode(0o700))
    }

    /// Its whole environment. Later ones win.
    fn variables(&self) -> BTreeMap<String, String> {
        let mut variables = self.inherited.clone();
        variables.extend(self.environment.clone());
        variables.extend(self.rule.env.clone());
        let folder = self.folder.display().to_string();
        variables.insert("HOME".to_owned(), folder.clone());
        variables.insert("TMPDIR".to_owned(), folder);
        if let Some(port) = self.port {
            variables.insert(PORT.to_owned(), port.to_string());
        }
        if let Some(model) = self.model {
            variables.insert(MODEL_DIR.to_owned(), model.display().to_string());
        }
        variables.insert(TOKEN.to_owned(), token(self.folder));
        variables
    }

    fn limits(&self) -> Result<Vec<(Resource, u64)>, String> {
        let mut limits = vec![(Resource::Core, 0), (Resource::Nofile, FILES_MAX), (Resource::Fsize, FILE_MAX_BYTES)];
        // In a control group these two are the group's.
        if self.rule.cgroup.is_none() {
            limits.extend(self.rule.memory_max_bytes.map(|bytes| (Resource::As, bytes)));
        }
        let has_own_user = self.identity.is_some_and(|identity| identity.is_own);
        match self.rule.processes_max.filter(|_| self.rule.cgroup.is_none()) {
            Some(_) if !has_own_user => {
                let why = "processes_max is not available: without a cgroup it needs a user id of the deployment's own, which a \
                           server that runs as root gives where the rule names no user";
                return Err(why.to_owned());
            }
            Some(count) => limits.push((Resource::Nproc, count)),
            None if has_own_user => limits.push((Resource::Nproc, PROCESSES_MAX)),
            None => {}
        }
        Ok(limits)
    }
}

/// What the child does to itself before it becomes the program.
struct LastSteps {
    parent: Pid,
    group: Option<File>,
    limits: Vec<(Resource, u64)>,
    niceness: i32,
    sandbox: Option<Prepared>,
}

impl LastSteps {
    fn take(&mut self) -> io::Result<()> {
        set_parent_process_death_signal(Some(Signal::KILL))?;
        // It may have died before it could be asked for.
        if getppid() != Some(self.parent) {
            return Err(io::Error::from_raw_os_error(libc::ESRCH));
        }
        self.group.as_ref().map_or(Ok(()), bounds::join)?;
        close_on_exec()?;
        if self.niceness != 0 {
            // Absolute: a server that runs above others does not lift its jobs.
            rustix::process::setpriority_process(None, self.niceness)?;
        }
        for (resource, most) in &self.limits {
            let most = lowest(*resource, *most);
            setrlimit(*resource, Rlimit { current: Some(most), maximum: Some(most) })?;
        }
        rustix::thread::set_no_new_privs(true)?;
        self.sandbox.as_mut().map_or(Ok(()), Prepared::put_on)
    }
}

/// The limit, or the one that is there when that is lower: raising needs a privilege.
fn lowest(resource: Resource, wanted: u64) -> u64 {
    rustix::process::getrlimit(resource).maximum.map_or(wanted, |maximum| maximum.min(wanted))
}

/// Whatever a library has opened without saying so stays here.
fn close_on_exec() -> io::Result<()> {
    const FIRST: libc::c_uint = 3;
    const CLOSE_RANGE_CLOEXEC: libc::c_uint = 4;
    // SAFETY: a system call on numbers.
    #[expect(unsafe_code, reason = "there is no safe name for close_range yet")]
    let closed = unsafe { libc::syscall(libc::SYS_close_range, FIRST, libc::c_uint::MAX, CLOSE_RANGE_CLOEXEC) };
    if closed == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
