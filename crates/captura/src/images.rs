//! `[[models.images]]`: which backend runs which image, as the operator writes it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use captura_backends::process::{ProcessRule, Sandbox};
use captura_backends::remote::RemoteRule;
use captura_backends::{BackendKind, ImageRule};
use serde::Deserialize;

use crate::units::Size;

/// One line of the table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    /// Pattern on the whole image name; `*` stands for any run of characters.
    image: String,
    /// `onnx`, `trees`, `echo`, `process`, `remote`, …
    backend: BackendKind,
    /// *process*: program and arguments.
    command: Option<Vec<String>>,
    /// *process*: environment besides the model's own; it wins over that.
    env: Option<BTreeMap<String, String>>,
    /// *process*: where the program starts; else in a folder of its own.
    working_dir: Option<PathBuf>,
    /// *process*: most address space of each of its processes; with `cgroup`, most memory of the whole instance.
    memory_max: Option<Size>,
    /// *process*: most processes and threads of the instance with `cgroup`, else of the deployment; needs root.
    processes_max: Option<u64>,
    /// *process*: most that it may write; its folder is a disk in memory then, which needs root.
    disk_max: Option<Size>,
    /// *process*: a control group of version 2 with the controllers memory and pids, delegated to the server and without
    /// processes of its own.
    cgroup: Option<PathBuf>,
    /// *process*: `uid`, `uid:gid` or a name; else, when the server is root, a user id of the deployment's own.
    user: Option<String>,
    /// *process*: further folders and files that the program may read.
    readable: Option<Vec<PathBuf>>,
    /// *process*: whether the program may open connections and further ports.
    network: Option<bool>,
    /// *process*: `strict`, `degraded` or `off`.
    sandbox: Option<SandboxName>,
    /// *remote*: where invocations go.
    url: Option<String>,
    /// *remote*: path of the health check; without one the server is taken to be healthy.
    ping: Option<String>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum SandboxName {
    Strict,
    Degraded,
    Off,
}

/// A line of the table, checked.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "Line")]
pub(crate) struct ImageLine(pub(crate) ImageRule);

impl TryFrom<Line> for ImageLine {
    type Error = String;

    fn try_from(line: Line) -> Result<Self, String> {
        line.refuse_strangers()?;
        let rule = match line.backend {
            BackendKind::Process => {
                let command = line.command.filter(|command| command.iter().any(|word| !word.is_empty()));
                let rule = ProcessRule {
                    command: command
                        .ok_or("backend = \"process\" needs a command, e.g. [\"python3\", \"serve.py\"]")?,
                    env: line.env.unwrap_or_default(),
                    working_dir: line.working_dir,
                    memory_max_bytes: line.memory_max.map(|size| size.0),
                    processes_max: line.processes_max,
                    disk_max_bytes: line.disk_max.map(|size| size.0),
                    cgroup: line.cgroup,
                    user: line.user,
                    readable: line.readable.unwrap_or_default(),
                    network: line.network.unwrap_or(false),
                    sandbox: match line.sandbox {
                        None | Some(SandboxName::Strict) => Sandbox::Strict,
                        Some(SandboxName::Degraded) => Sandbox::Degraded,
                        Some(SandboxName::Off) => Sandbox::Off,
                    },
                };
                ImageRule::process(line.image, rule)
            }
            BackendKind::Remote => {
                let url = line.url.ok_or("backend = \"remote\" needs a url, e.g. \"http://127.0.0.1:9000\"")?;
                let url = url.parse().map_err(|error: captura_backends::remote::InvalidRemoteUrl| error.to_string())?;
                if line.ping.as_ref().is_some_and(|ping| !ping.starts_with('/')) {
                    return Err("ping is a path and begins with /".to_owned());
                }
                ImageRule::remote(line.image, RemoteRule { url, ping: line.ping })
            }
            kind => ImageRule::new(line.image, kind),
        };
        Ok(Self(rule))
    }
}

impl Line {
    /// A setting that another backend knows would silently do nothing.
    fn refuse_strangers(&self) -> Result<(), String> {
        let process = [
            ("command", self.command.is_some()),
            ("env", self.env.is_some()),
            ("working_dir", self.working_dir.is_some()),
            ("memory_max", self.memory_max.is_some()),
            ("processes_max", self.processes_max.is_some()),
            ("disk_max", self.disk_max.is_some()),
            ("cgroup", self.cgroup.is_some()),
            ("user", self.user.is_some()),
            ("readable", self.readable.is_some()),
            ("network", self.network.is_some()),
            ("sandbox", self.sandbox.is_some()),
        ];
        let remote = [("url", self.url.is_some()), ("ping", self.ping.is_some())];
        let strangers = [
            (self.backend != BackendKind::Process, "process", &process[..]),
            (self.backend != BackendKind::Remote, "remote", &remote[..]),
        ];
        for (is_other, owner, keys) in strangers {
            if let Some((key, _)) = keys.iter().find(|(_, is_set)| is_other && *is_set) {
                return Err(format!("`{key}` means nothing to backend = \"{}\", only to \"{owner}\"", self.backend));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    struct Table {
        images: Vec<ImageLine>,
    }

    fn rule(text: &str) -> Result<ImageRule, String> {
        let table = toml::from_str::<Table>(&format!("[[images]]\nimage = \"x\"\n{text}"));
        table.map(|mut table| table.images.remove(0).0).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn a_process_rule_is_read_whole() {
        let text = "backend = \"process\"\ncommand = [\"serve\", \"--fast\"]\nmemory_max = \"2GiB\"\nuser = \"7\"\n\
                    processes_max = 90\ndisk_max = \"1GiB\"\ncgroup = \"/sys/fs/cgroup/captura\"\n\
                    env = { A = \"b\" }\nworking_dir = \"/srv\"\nreadable = [\"/srv\"]\nnetwork = true\n\
                    sandbox = \"degraded\"";
        let expected = ProcessRule {
            command: vec!["serve".into(), "--fast".into()],
            env: [("A".to_owned(), "b".to_owned())].into(),
            working_dir: Some("/srv".into()),
            memory_max_bytes: Some(2 << 30),
            processes_max: Some(90),
            disk_max_bytes: Some(1 << 30),
            cgroup: Some("/sys/fs/cgroup/captura".into()),
            user: Some("7".into()),
            readable: vec!["/srv".into()],
            network: true,
            sandbox: Sandbox::Degraded,
        };
        assert_eq!(rule(text).unwrap(), ImageRule::process("x", expected));
    }

    #[test]
    fn a_remote_rule_is_read_whole() {
        let found = rule("backend = \"remote\"\nurl = \"http://10.0.0.7:9000/predict\"\nping = \"/health\"").unwrap();
        let url = "http://10.0.0.7:9000/predict".parse().unwrap();
        assert_eq!(found, ImageRule::remote("x", RemoteRule { url, ping: Some("/health".into()) }));
    }

    #[test]
    fn what_a_backend_needs_must_be_there_and_what_it_does_not_know_must_not() {
        for (text, words) in [
            ("backend = \"process\"", "needs a command"),
            ("backend = \"process\"\ncommand = []", "needs a command"),
            (
                "backend = \"process\"\ncommand = [\"a\"]\nurl = \"http://a\"",
                "`url` means nothing to backend = \"process\"",
            ),
            ("backend = \"remote\"", "needs a url"),
            ("backend = \"remote\"\nurl = \"ftp://a\"", "only http and https"),
            ("backend = \"remote\"\nurl = \"http://a\"\nping = \"x\"", "begins with /"),
            ("backend = \"trees\"\ncommand = [\"a\"]", "`command` means nothing to backend = \"trees\""),
        ] {
            let error = rule(text).unwrap_err();
            assert!(error.contains(words), "{text}: {error}");
        }
    }
}
