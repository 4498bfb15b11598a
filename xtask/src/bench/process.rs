//! A server in a process of its own: started, deployed to, its CPU time read, ended with us.

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::cache;
use crate::program::Program;

/// Ticks of `/proc/PID/stat` in a second: fixed at 100 on Linux for every program.
const TICKS_PER_SECOND: u64 = 100;
/// A server that used at most this much of the last pause is at rest.
const REST: Duration = Duration::from_millis(10);
const REST_PAUSE: Duration = Duration::from_millis(300);
const REST_LIMIT: Duration = Duration::from_secs(60);

pub(super) struct Process {
    child: Child,
    address: SocketAddr,
}

/// What a server serves.
pub(super) struct Served<'a> {
    pub(super) name: &'a str,
    pub(super) configuration: &'a str,
    /// Endpoints with their models.
    pub(super) endpoints: &'a [(&'a str, OsString)],
    /// What `captura deploy` is told of capture; nothing = no capture.
    pub(super) deploy: &'a [&'a str],
}

impl Process {
    pub(super) fn floor() -> Result<Process> {
        let mut command = Command::new(std::env::current_exe().context("who am I")?);
        command.arg("floor");
        Process::start(command, "floor listening on http://")
    }

    /// A server with an echo and the demo's tree model; no percentage is no capture.
    pub(super) fn captura(program: &Path, folder: &Path, name: &str, percent: Option<u8>) -> Result<Process> {
        let model = cache::checkout().join("demo/model.json").into_os_string();
        let endpoints = [("echo", "captura/echo".into()), ("tree", model)];
        let percent = percent.map(|percent| percent.to_string());
        let deploy: Vec<&str> = percent.iter().flat_map(|percent| ["--capture", percent.as_str()]).collect();
        Process::serving(program, folder, &Served { name, configuration: "", endpoints: &endpoints, deploy: &deploy })
    }

    /// A server with a configuration and endpoints.
    pub(super) fn serving(program: &Path, folder: &Path, served: &Served<'_>) -> Result<Process> {
        let &Served { name, configuration: more, endpoints, deploy } = served;
        let home = folder.join(name);
        std::fs::create_dir_all(&home).with_context(|| format!("cannot make {}", home.display()))?;
        // Sealed after two seconds instead of sixty, so that archiving falls into the time that is measured.
        let configuration = home.join("captura.toml");
        let text = format!("[capture]\nseal_after = \"2s\"\n{more}");
        std::fs::write(&configuration, text).context("cannot write the configuration")?;
        let mut command = Command::new(program);
        command.args(["serve", "--listen", "127.0.0.1:0", "--config"]).arg(configuration);
        command.arg("--data-dir").arg(home.join("data"));
        command.stderr(std::fs::File::create(home.join("log")).context("cannot make the log")?);
        let process = Process::start(command, "captura listening on http://")?;
        for (endpoint, model) in endpoints {
            let deployed = Program::new(program).args(["deploy", endpoint]).arg(model).arg("--wait").args(deploy);
            deployed.env("CAPTURA_URL", format!("http://{}", process.address)).read()?;
        }
        Ok(process)
    }

    fn start(mut command: Command, ready: &str) -> Result<Process> {
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let mut child = child.with_context(|| format!("cannot start {:?}", command.get_program()))?;
        let stdout = child.stdout.take().expect("our bug: stdout is piped");
        let mut process = Process { child, address: SocketAddr::from(([0, 0, 0, 0], 0)) };
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).context("cannot read the ready line")?;
        let Some(address) = line.trim().strip_prefix(ready).and_then(|address| address.parse().ok()) else {
            bail!("{:?} did not get ready: {line:?}", command.get_program());
        };
        process.address = address;
        Ok(process)
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// User and system time so far, of all threads.
    pub(super) fn cpu(&self) -> Result<Duration> {
        let path = format!("/proc/{}/stat", self.child.id());
        let stat = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        let ticks = ticks(&stat).with_context(|| format!("cannot understand {path}"))?;
        Ok(Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND))
    }

    /// Memory that is resident now, and the most that ever was, bytes.
    pub(super) fn resident(&self) -> Result<(u64, u64)> {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        resident(&status).with_context(|| format!("cannot understand {path}"))
    }

    /// CPU time so far, once the process has nothing left to do.
    pub(super) fn cpu_at_rest(&self) -> Result<Duration> {
        let began = Instant::now();
        let mut last = self.cpu()?;
        loop {
            std::thread::sleep(REST_PAUSE);
            let now = self.cpu()?;
            if now - last <= REST || began.elapsed() > REST_LIMIT {
                return Ok(now);
            }
            last = now;
        }
    }

    /// A floor in a thread of this test instead of a process.
    #[cfg(test)]
    pub(super) fn floor_of_this_test() -> SocketAddr {
        let (say, hear) = std::sync::mpsc::sync_channel(1);
        std::thread::spawn(move || super::floor::serve_and_say(|address| say.send(address).unwrap()));
        hear.recv().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Fields 14 and 15 of `/proc/PID/stat`; the second field is a name in parentheses that may contain anything.
fn ticks(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

/// `VmRSS` and `VmHWM` of `/proc/PID/status`, which are in units of 1024 bytes.
fn resident(status: &str) -> Option<(u64, u64)> {
    let line = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        Some(line.split_ascii_whitespace().next()?.parse::<u64>().ok()? * 1024)
    };
    Some((line("VmRSS:")?, line("VmHWM:")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_memory_is_read_in_bytes() {
        let status = "Name:\tcaptura\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n";
        assert_eq!(resident(status), Some((1 << 20, 2 << 20)));
        assert_eq!(resident("Name:\tcaptura\n"), None);
    }

    #[test]
    fn cpu_time_is_found_behind_a_name_with_spaces_and_parentheses() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194560 100 0 0 0 250 30 0 0 20 0 1 0 5 6 7";
        assert_eq!(ticks(stat), Some(280));
        assert_eq!(ticks("nonsense"), None);
    }
}
