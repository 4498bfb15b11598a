//! What the operator says about a model that runs as a process.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// How a model's server is started: a line of the image table with `backend = "process"`. It comes from the operator's
/// configuration only.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProcessRule {
    /// Program and arguments.
    pub command: Vec<String>,
    /// Environment besides the model's own; it wins over that.
    pub env: BTreeMap<String, String>,
    /// Where it starts; a folder of its own when nothing is said.
    pub working_dir: Option<PathBuf>,
    /// Most address space of each of its processes, bytes; in a control group, most memory of the whole instance.
    pub memory_max_bytes: Option<u64>,
    /// Most processes and threads: of the instance in a control group, else of all instances of the deployment.
    pub processes_max: Option<u64>,
    /// Most bytes that it may write into its folder, which then is a disk in memory.
    pub disk_max_bytes: Option<u64>,
    /// A control group of version 2 that belongs to nobody else; each instance gets one of its own below it.
    pub cgroup: Option<PathBuf>,
    /// User that runs it: `uid`, `uid:gid` or a name of `/etc/passwd`. When the server is root and nothing is said, each
    /// deployment gets a user id of its own.
    pub user: Option<String>,
    /// Further folders and files that it may read and execute.
    pub readable: Vec<PathBuf>,
    /// Whether it may open connections and further ports.
    pub network: bool,
    /// How much of the sandbox must be there.
    pub sandbox: Sandbox,
}

impl ProcessRule {
    /// The same for a model that must not reach the network; nothing when the sandbox cannot promise that.
    pub(crate) fn isolated(&self) -> Option<Self> {
        (self.sandbox == Sandbox::Strict).then(|| Self { network: false, ..self.clone() })
    }
}

/// How much of the sandbox must be there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Sandbox {
    /// All of it; a kernel that lacks a part starts nothing.
    #[default]
    Strict,
    /// As much as the kernel has.
    Degraded,
    /// Resource limits and no new privileges only.
    Off,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_sandbox_isolates_whatever_the_rule_opens() {
        let open = ProcessRule { network: true, ..ProcessRule::default() };
        assert!(!open.isolated().unwrap().network);
        for sandbox in [Sandbox::Degraded, Sandbox::Off] {
            assert_eq!(ProcessRule { sandbox, ..open.clone() }.isolated(), None);
        }
    }
}
