//! A Docker Engine of our own for the stories about containers, begun before the tests and ended after them.
//!
//! It is Debian's, as root, with its data, socket and log in the cache folder, so that whatever Docker the machine has
//! otherwise is not touched; Debian's packages for it are installed when they are missing. Its default bridge is left out: the product makes its own networks.
//!
//! Invariant: the engine that was started here is stopped here, with its containers. One that listens on that socket
//! already (`cargo xtask docker` in another terminal) is used and left alone.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::cache::Cache;
use crate::images;
use crate::program::Program;

/// What Debian calls the engine, and the tool that makes a file system of packages.
const PACKAGES: [(&str, &str); 2] = [("dockerd", "docker.io"), ("debootstrap", "debootstrap")];
/// How long the engine may take to listen.
const START_LIMIT: Duration = Duration::from_secs(60);
/// How long it may take to stop, containers included.
const STOP_LIMIT: Duration = Duration::from_secs(60);
/// What is tried in turn: not every file system can be the lower part of an overlay.
const ATTEMPTS: [&[&str]; 2] = [&[], &["--storage-driver=vfs"]];

/// Whether there is an engine, and if not, whether there should be.
pub(crate) enum Provided {
    /// It listens, and the images are in it.
    Running(Engine),
    /// This machine is none on which it can be had; why.
    NotHere(String),
}

/// A running engine.
pub(crate) struct Engine {
    socket: PathBuf,
    /// Absent when somebody else has started it.
    process: Option<Child>,
}

/// `cargo xtask docker`
pub(crate) fn run() -> Result<()> {
    let cache = Cache::locate()?;
    match provide(&cache)? {
        Provided::NotHere(why) => bail!("no Docker: {why}"),
        Provided::Running(engine) => {
            println!("stories about containers are told with\n");
            for (name, value) in engine.environment(&cache) {
                println!("  export {name}={}", value.display());
            }
            println!("\nas long as this runs; Enter or the end of input ends it");
            BufReader::new(std::io::stdin()).read_line(&mut String::new())?;
            Ok(())
        }
    }
}

/// Starts the engine, and builds the images that are not in it yet.
pub(crate) fn provide(cache: &Cache) -> Result<Provided> {
    if !Program::new("id").arg("-u").read().is_ok_and(|id| id.trim() == "0") {
        return Ok(Provided::NotHere("Docker's engine needs root to start".to_owned()));
    }
    if !Path::new("/etc/debian_version").exists() || !Program::new("apt-get").arg("--version").succeeds() {
        return Ok(Provided::NotHere("only Debian's Docker is tried, and this is no Debian".to_owned()));
    }
    install()?;
    let engine = Engine::start(cache)?;
    images::provide(cache, &engine.socket)?;
    Ok(Provided::Running(engine))
}

fn install() -> Result<()> {
    let missing: Vec<&str> = PACKAGES
        .iter()
        .filter(|(program, _)| !Program::new(program).arg("--version").succeeds())
        .map(|&(_, package)| package)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    println!("installing Debian's {}", missing.join(", "));
    let apt = || Program::new("apt-get").env("DEBIAN_FRONTEND", "noninteractive");
    apt().args(["update", "--quiet"]).read()?;
    apt().args(["install", "--yes", "--quiet", "--no-install-recommends", "iptables"]).args(missing).read()?;
    Ok(())
}

/// A client of the engine at `socket`.
pub(crate) fn client(socket: &Path) -> Program {
    // Debian's own client speaks the engine's version; another one may come first in the path.
    let debian = Path::new("/usr/bin/docker");
    let program = if debian.exists() { debian } else { Path::new("docker") };
    Program::new(program).arg("--host").arg(format!("unix://{}", socket.display()))
}

impl Engine {
    fn start(cache: &Cache) -> Result<Engine> {
        let folder = cache.docker();
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let socket = folder.join("docker.sock");
        if client(&socket).arg("version").succeeds() {
            return Ok(Engine { socket, process: None });
        }
        let mut reasons = String::new();
        for options in ATTEMPTS {
            match Self::attempt(&folder, &socket, options) {
                Ok(engine) => return Ok(engine),
                Err(error) => reasons.push_str(&format!("\n  with {options:?}: {error:#}")),
            }
        }
        bail!("Docker's engine does not start:{reasons}")
    }

    fn attempt(folder: &Path, socket: &Path, options: &[&str]) -> Result<Engine> {
        let log_path = folder.join("log");
        let log = std::fs::File::create(&log_path)?;
        let process = Command::new("dockerd")
            .arg("--data-root")
            .arg(folder.join("data"))
            .arg("--exec-root")
            .arg(folder.join("exec"))
            .arg("--pidfile")
            .arg(folder.join("pid"))
            .arg("--host")
            .arg(format!("unix://{}", socket.display()))
            .args(["--bridge=none", "--log-level=warn"])
            .args(options)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("cannot start dockerd")?;
        let mut engine = Engine { socket: socket.to_owned(), process: Some(process) };
        let began = Instant::now();
        while !client(socket).arg("version").succeeds() {
            let ended = engine.process.as_mut().is_some_and(|process| !matches!(process.try_wait(), Ok(None)));
            if ended || began.elapsed() > START_LIMIT {
                let said = std::fs::read_to_string(&log_path).unwrap_or_default();
                let last = said.trim().lines().next_back().unwrap_or("it says nothing").to_owned();
                bail!("{last}");
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(engine)
    }

    /// What tells the stories where it is.
    pub(crate) fn environment(&self, cache: &Cache) -> [(&'static str, PathBuf); 2] {
        [("CAPTURA_DOCKER_SOCKET", self.socket.clone()), ("CAPTURA_STORY_MODELS", images::models(cache))]
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let Some(process) = &mut self.process else { return };
        // Asked, not killed: a killed engine leaves its containers and mounts behind.
        if let Some(id) = i32::try_from(process.id()).ok().and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process(id, rustix::process::Signal::TERM);
        }
        let began = Instant::now();
        while matches!(process.try_wait(), Ok(None)) {
            if began.elapsed() > STOP_LIMIT {
                let _ = process.kill();
                let _ = process.wait();
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}
