//! What a model's server may touch.
//!
//! Landlock gives it the program files of the machine and the model to read, its own folder to write, and its own port;
//! seccomp takes away what no model needs and what holes are made of. Both are prepared here, where memory may be
//! allocated, and put on between fork and exec.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, NetPort, PathBeneath, PathFd, Ruleset,
    RulesetAttr, RulesetCreated, RulesetCreatedAttr, Scope,
};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};

use super::rule::{ProcessRule, Sandbox};

/// What the strict sandbox asks of the kernel: files, TCP ports, signals and abstract sockets (Linux 6.12).
const WANTED: ABI = ABI::V6;
/// Folders with the programs and libraries of the machine.
const SYSTEM: &[&str] = &["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/opt", "/etc", "/proc", "/sys"];
/// Devices that any program uses.
const DEVICES: &[&str] = &["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/shm"];
/// Memory mappings of whole folders that programs share; written by some.
const EPERM: u32 = libc::EPERM as u32;

/// A sandbox, ready to be put on once.
pub(super) struct Prepared {
    landlock: Option<RulesetCreated>,
    seccomp: BpfProgram,
}

impl Prepared {
    /// Nothing when the rule wants none.
    ///
    /// # Errors
    /// What the kernel lacks, when the rule wants all of it.
    pub(super) fn new(
        rule: &ProcessRule,
        (model, writable): (Option<&Path>, &Path),
        port: Option<u16>,
    ) -> Result<Option<Self>, String> {
        let level = match rule.sandbox {
            Sandbox::Off => return Ok(None),
            Sandbox::Strict => CompatLevel::HardRequirement,
            Sandbox::Degraded => CompatLevel::BestEffort,
        };
        let landlock = landlock(rule, (model, writable), port, level);
        let landlock = landlock.map_err(|error| format!("Landlock is not all there: {error}"))?;
        let seccomp = seccomp(rule.network).map_err(|error| format!("the seccomp filter cannot be made: {error}"))?;
        Ok(Some(Self { landlock: Some(landlock), seccomp }))
    }

    /// Puts it on the calling thread. Called between fork and exec: allocates nothing.
    pub(super) fn put_on(&mut self) -> std::io::Result<()> {
        let refused = || std::io::Error::from_raw_os_error(libc::EPERM);
        if let Some(landlock) = self.landlock.take() {
            landlock.restrict_self().map_err(|_| refused())?;
        }
        seccompiler::apply_filter(&self.seccomp).map_err(|_| refused())
    }
}

fn landlock(
    rule: &ProcessRule,
    (model, writable): (Option<&Path>, &Path),
    port: Option<u16>,
    level: CompatLevel,
) -> Result<RulesetCreated, landlock::RulesetError> {
    let mut ruleset = Ruleset::default().set_compatibility(level).handle_access(AccessFs::from_all(WANTED))?;
    ruleset = ruleset.scope(Scope::from_all(WANTED))?;
    if !rule.network {
        ruleset = ruleset.handle_access(AccessNet::from_all(WANTED))?;
    }
    let mut created = ruleset.create()?;
    let read = AccessFs::from_read(WANTED);
    for path in readable(rule, model) {
        created = add(created, &path, read)?;
    }
    for device in DEVICES {
        created = add(created, Path::new(device), AccessFs::from_all(WANTED))?;
    }
    created = add(created, writable, AccessFs::from_all(WANTED))?;
    if let Some(port) = port.filter(|_| !rule.network) {
        let own = AccessNet::BindTcp | AccessNet::ConnectTcp;
        created = created.add_rule(NetPort::new(port, own))?;
    }
    Ok(created)
}

fn add(
    created: RulesetCreated,
    path: &Path,
    mut access: BitFlags<AccessFs>,
) -> Result<RulesetCreated, landlock::RulesetError> {
    // What is not there cannot be opened either.
    let Ok(opened) = PathFd::new(path) else { return Ok(created) };
    if !path.is_dir() {
        access &= AccessFs::from_file(WANTED);
    }
    created.add_rule(PathBeneath::new(opened, access))
}

/// Everything that it may read and execute.
fn readable(rule: &ProcessRule, model: Option<&Path>) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = SYSTEM.iter().map(PathBuf::from).collect();
    paths.extend(model.map(Path::to_owned));
    paths.extend(rule.working_dir.clone());
    paths.extend(rule.readable.iter().cloned());
    for word in &rule.command {
        let path = Path::new(word);
        if !path.is_absolute() {
            continue;
        }
        // A script may read what lies beside it; a program in a `bin` folder has its libraries beside that.
        let Some(folder) = path.parent() else { continue };
        let in_bin = folder.file_name().is_some_and(|name| name == "bin");
        let folder = if in_bin { folder.parent().unwrap_or(folder) } else { folder };
        if folder.parent().is_some() {
            paths.push(folder.to_owned());
        }
        paths.extend(path.canonicalize());
    }
    paths
}

/// Calls that no model needs, and that holes are made of.
fn refused_calls() -> Vec<libc::c_long> {
    vec![
        libc::SYS_ptrace,
        libc::SYS_process_vm_readv,
        libc::SYS_process_vm_writev,
        libc::SYS_mount,
        libc::SYS_umount2,
        libc::SYS_pivot_root,
        libc::SYS_chroot,
        libc::SYS_fsopen,
        libc::SYS_fsmount,
        libc::SYS_open_tree,
        libc::SYS_move_mount,
        libc::SYS_mount_setattr,
        libc::SYS_unshare,
        libc::SYS_setns,
        libc::SYS_bpf,
        libc::SYS_perf_event_open,
        libc::SYS_keyctl,
        libc::SYS_add_key,
        libc::SYS_request_key,
        libc::SYS_io_uring_setup,
        libc::SYS_io_uring_enter,
        libc::SYS_io_uring_register,
        libc::SYS_userfaultfd,
        libc::SYS_init_module,
        libc::SYS_finit_module,
        libc::SYS_delete_module,
        libc::SYS_kexec_load,
        libc::SYS_kexec_file_load,
        libc::SYS_reboot,
        libc::SYS_swapon,
        libc::SYS_swapoff,
        libc::SYS_acct,
        libc::SYS_quotactl,
        libc::SYS_settimeofday,
        libc::SYS_clock_settime,
        libc::SYS_adjtimex,
        libc::SYS_clock_adjtime,
        libc::SYS_sethostname,
        libc::SYS_setdomainname,
        libc::SYS_open_by_handle_at,
        libc::SYS_name_to_handle_at,
        libc::SYS_pidfd_getfd,
        libc::SYS_kcmp,
        libc::SYS_setuid,
        libc::SYS_setreuid,
        libc::SYS_setresuid,
        libc::SYS_setgid,
        libc::SYS_setregid,
        libc::SYS_setresgid,
        libc::SYS_setgroups,
        libc::SYS_syslog,
        libc::SYS_fanotify_init,
    ]
}

fn seccomp(network: bool) -> Result<BpfProgram, seccompiler::BackendError> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        refused_calls().into_iter().map(|call| (call, Vec::new())).collect();
    let is = |argument, value: libc::c_int| {
        SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value as u64)
    };
    let kind = |value: libc::c_int| {
        let mask = SeccompCmpOp::MaskedEq(0xff);
        SeccompCondition::new(1, SeccompCmpArgLen::Dword, mask, value as u64)
    };
    let mut sockets =
        vec![SeccompRule::new(vec![is(0, libc::AF_PACKET)?])?, SeccompRule::new(vec![is(0, libc::AF_VSOCK)?])?];
    for family in [libc::AF_INET, libc::AF_INET6] {
        sockets.push(SeccompRule::new(vec![is(0, family)?, kind(libc::SOCK_RAW)?])?);
        if !network {
            // Landlock knows TCP ports only, and a name server is asked over UDP.
            sockets.push(SeccompRule::new(vec![is(0, family)?, kind(libc::SOCK_DGRAM)?])?);
        }
    }
    rules.insert(libc::SYS_socket, sockets);
    let architecture = std::env::consts::ARCH.try_into()?;
    SeccompFilter::new(rules, SeccompAction::Allow, SeccompAction::Errno(EPERM), architecture)?.try_into()
}
