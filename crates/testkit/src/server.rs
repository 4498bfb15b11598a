//! A running `captura serve` on a free port: started, killed, started again, and gone with the story.
//!
//! Invariant: a dropped server is a dead process. Its log goes to a file, so that a failed story can show it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::program;

/// How long a start may take before the story gives up; recovery of a story's journal takes milliseconds.
const START_LIMIT: Duration = Duration::from_secs(60);
/// The contract gives a draining server 30 s.
const STOP_LIMIT: Duration = Duration::from_secs(45);

/// A folder that one server after another lives in: `data/`, `captura.toml`, `server.log`.
pub struct Home {
    folder: tempfile::TempDir,
}

impl Default for Home {
    fn default() -> Self {
        Self::new("[capture]\nseal_after = \"1s\"\n")
    }
}

impl Home {
    /// A fresh home with this configuration. Data, address and log are given on the command line.
    ///
    /// # Panics
    /// When the temporary folder cannot be made.
    pub fn new(configuration: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("captura-story-").tempdir().expect("a temporary folder");
        std::fs::write(folder.path().join("captura.toml"), configuration).expect("the configuration is written");
        Self { folder }
    }

    /// The home's own folder; a story may keep files beside the server's.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The server's data folder.
    pub fn data_dir(&self) -> PathBuf {
        self.path().join("data")
    }

    /// Objects of a local bucket.
    pub fn bucket(&self, name: &str) -> PathBuf {
        self.data_dir().join("buckets").join(name)
    }

    /// Everything the servers of this home logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.path().join("server.log")).unwrap_or_default()
    }

    /// The last lines of it.
    pub fn log_end(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }

    /// The command that serves this home.
    pub fn command(&self) -> Command {
        self.command_through(&[])
    }

    /// The command that serves this home, started by another program that becomes it: `strace …`, `unshare …`.
    ///
    /// # Panics
    /// When the log cannot be opened.
    pub fn command_through(&self, prefix: &[String]) -> Command {
        let log = std::fs::File::options().create(true).append(true).open(self.path().join("server.log"));
        let mut command = match prefix.split_first() {
            Some((first, rest)) => {
                let mut command = Command::new(first);
                command.args(rest).arg(program::path());
                command
            }
            None => Command::new(program::path()),
        };
        command.arg("serve").args(["--listen", "127.0.0.1:0"]);
        command.arg("--config").arg(self.path().join("captura.toml")).arg("--data-dir").arg(self.data_dir());
        command.current_dir(self.path()).stdin(Stdio::null()).stdout(Stdio::piped());
        command.stderr(log.expect("the log can be opened"));
        command
    }

    /// Starts a server and waits for its ready line.
    ///
    /// # Panics
    /// When it does not get ready, with its log.
    pub fn serve(&self) -> Server {
        self.serve_through(&[]).unwrap_or_else(|why| panic!("{why}\n{}", self.log()))
    }

    /// The same through another program; when the server does not get ready, why.
    ///
    /// # Errors
    /// What it said instead of its ready line, and how it ended.
    ///
    /// # Panics
    /// When the program cannot be started.
    pub fn serve_through(&self, prefix: &[String]) -> Result<Server, String> {
        let began = Instant::now();
        let mut child = self.command_through(prefix).spawn().unwrap_or_else(|error| {
            panic!("cannot start {}: {error}", program::path().display());
        });
        let stdout = child.stdout.take().expect("our bug: stdout is piped");
        let (ready, line) = mpsc::sync_channel(1);
        std::thread::spawn(move || {
            let mut line = String::new();
            let read = BufReader::new(stdout).read_line(&mut line);
            let _ = ready.send(read.map(|_| line));
        });
        let line = line.recv_timeout(START_LIMIT);
        let mut server = Server { child, address: SocketAddr::from(([0, 0, 0, 0], 0)), started_in: began.elapsed() };
        let address = match &line {
            Ok(Ok(line)) => {
                let found = line.trim().strip_prefix("captura listening on http");
                found.and_then(|found| found.trim_start_matches(['s', ':', '/']).parse().ok())
            }
            _ => None,
        };
        match address {
            Some(address) => server.address = address,
            None => {
                let _ = server.child.kill();
                return Err(format!("no ready line but {line:?}, exit {:?}", server.child.wait()));
            }
        }
        Ok(server)
    }
}

/// A process that serves.
pub struct Server {
    child: Child,
    address: SocketAddr,
    /// From the start of the process to its ready line.
    pub started_in: Duration,
}

impl Server {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Process id, for those who measure it.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether the process has ended.
    pub fn is_gone(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|ended| ended.is_some())
    }

    /// `kill -9`, and waits until it is gone.
    ///
    /// # Panics
    /// When the process cannot be killed, which does not happen.
    pub fn kill(mut self) {
        self.child.kill().expect("the process is ours to kill");
        self.child.wait().expect("a killed process ends");
    }

    /// SIGTERM, and waits for it to drain and end.
    ///
    /// # Panics
    /// When it is still there after the time the contract gives it.
    pub fn stop(mut self) -> ExitStatus {
        let id = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("our bug: a child has an id");
        kill_process(id, Signal::TERM).expect("the process is ours to stop");
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("the process is ours to wait for") {
                return status;
            }
            assert!(began.elapsed() < STOP_LIMIT, "still running {STOP_LIMIT:?} after SIGTERM");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::io::stdout().flush();
    }
}

/// Looks again and again until `look` finds something; for what another process does in its own time.
///
/// # Panics
/// When nothing is found within `limit`.
pub fn wait_for<T>(what: &str, limit: Duration, look: impl FnMut() -> Option<T>) -> T {
    found_within(limit, look).unwrap_or_else(|| panic!("waited {limit:?} in vain for {what}"))
}

/// The same, for what may be missing because a promise was broken.
pub fn found_within<T>(limit: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let began = Instant::now();
    let mut pause = Duration::from_millis(10);
    loop {
        if let Some(found) = look() {
            return Some(found);
        }
        if began.elapsed() >= limit {
            return None;
        }
        std::thread::sleep(pause);
        pause = (pause * 3 / 2).min(Duration::from_millis(500));
    }
}
