//! Programs that are run to their end: processing jobs, the built-in analyser among them.
//!
//! They have what instances of models have (a process group, a folder, limits, a sandbox, a token by which strays are
//! found), and a lower priority than everything that answers callers.
//!
//! Invariant: what is run comes from the operator's configuration, or is this program itself; a job chooses its environment
//! only. When the future is dropped, nothing of the program is left running.
//! Refuses to: start a program outside the sandbox that its rule asks for.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::oneshot;

use super::bounds::Bounds;
use super::command::Start;
use super::identity::Identity;
use super::orphans::{kill_bearers, token};
use super::rule::ProcessRule;
use super::supervisor::{Group, LAST_WORDS_TIMEOUT, describe};
use super::{prepare_folder, spawner};
use crate::artifact::Scratch;
use crate::logs::{LogSink, LogStream, Tail, read};

/// How far below everything else jobs are: the kernel gives them what nobody else wants.
const NICENESS: i32 = 19;

/// A folder for one job, gone when this is; what a killed server left beside it is swept away, and its processes with it.
#[derive(Debug)]
pub struct JobFolder(Scratch);

impl JobFolder {
    /// A new, empty folder below `parent`, which is made. Blocks.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn new(parent: &Path) -> io::Result<Self> {
        // Whoever runs a job passes through it to the job's own folder, and sees nothing on the way.
        let parent = prepare_folder(parent).map_err(io::Error::other)?;
        Scratch::new(&parent).map(Self)
    }

    /// Where it is; absolute.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

/// A program to be run to its end.
#[derive(Debug)]
pub struct Batch<'a> {
    /// How it is run. A control group and a disk of its own are made for it where the rule asks for them.
    pub rule: &'a ProcessRule,
    /// Its folder, and everything that it may write.
    pub folder: &'a Path,
    /// What the operator's environment passes on.
    pub inherited: &'a BTreeMap<String, String>,
    /// What the job says.
    pub environment: &'a BTreeMap<String, String>,
    /// Whether it runs as another user than this server where that is root.
    pub as_other_user: bool,
    /// Who gets what it writes, line by line.
    pub log: LogSink,
    /// Its name in the log.
    pub name: String,
}

/// How a program ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchEnd {
    /// Its exit code, where it ended by itself.
    pub code: Option<i32>,
    /// In words: `it exited with status 1`.
    pub how: String,
    /// Its last lines.
    pub last_words: Vec<String>,
}

impl Batch<'_> {
    /// Runs it. When `stop` comes, or its sender is gone, it is asked to end and after `grace` killed.
    ///
    /// # Errors
    /// Why it cannot be started.
    pub async fn run(self, stop: oneshot::Receiver<()>, grace: Duration) -> Result<BatchEnd, String> {
        let program = self.rule.command.first().map_or("", String::as_str);
        let failed = |error: io::Error| format!("it cannot be started with {program:?}: {error}");
        let identity = match self.as_other_user {
            true => Identity::of(self.rule.user.as_deref()).map_err(|error| error.to_string())?,
            false => None,
        };
        if let Some(identity) = &identity {
            give(self.folder, identity).map_err(failed)?;
        }
        let bounds = Bounds::of(self.rule, self.folder)?;
        let start = Start {
            rule: self.rule,
            identity: identity.as_ref(),
            model: None,
            folder: self.folder,
            bounds: &bounds,
            port: None,
            inherited: self.inherited,
            environment: self.environment,
            niceness: NICENESS,
        };
        let mut child = spawner::spawn(start.recipe()?).await.map_err(failed)?;
        let group = Group::of(&child);
        let tail = Tail::default();
        let to = || (self.name.clone(), self.log.clone(), tail.clone());
        let stdout = child.stdout.take().map(|stream| tokio::spawn(read(stream, LogStream::Stdout, to())));
        let stderr = child.stderr.take().map(|stream| tokio::spawn(read(stream, LogStream::Stderr, to())));
        let status = tokio::select! {
            status = child.wait() => status,
            _ = stop => {
                group.terminate();
                match tokio::time::timeout(grace, child.wait()).await {
                    Ok(status) => status,
                    Err(_) => {
                        group.kill();
                        child.wait().await
                    }
                }
            }
        };
        // Whatever it has started ends with it.
        group.kill();
        let bearer = token(self.folder);
        let _ = tokio::task::spawn_blocking(move || kill_bearers(&bearer)).await;
        for mut reader in [stdout, stderr].into_iter().flatten() {
            if tokio::time::timeout(LAST_WORDS_TIMEOUT, &mut reader).await.is_err() {
                reader.abort();
            }
        }
        bounds.release().await;
        let (code, how) = match status {
            Ok(status) => (status.code(), describe(status)),
            Err(error) => (None, error.to_string()),
        };
        Ok(BatchEnd { code, how, last_words: tail.lines() })
    }
}

/// Everything in a folder belongs to whoever runs the job. Links are not followed.
fn give(folder: &Path, identity: &Identity) -> io::Result<()> {
    let mut open: Vec<PathBuf> = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                open.push(entry.path());
            } else if entry.file_type()?.is_file() {
                chown(entry.path(), Some(identity.uid), Some(identity.gid))?;
            }
        }
        chown(&folder, Some(identity.uid), Some(identity.gid))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::sync::{Arc, Mutex};

    use super::super::rule::Sandbox;
    use super::*;

    fn shell(script: &str) -> ProcessRule {
        ProcessRule {
            command: ["/bin/sh", "-c", script].map(str::to_owned).to_vec(),
            sandbox: Sandbox::Degraded,
            ..ProcessRule::default()
        }
    }

    async fn run(rule: &ProcessRule, folder: &Path, stop: oneshot::Receiver<()>) -> (BatchEnd, Vec<String>) {
        let said = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&said);
        let environment = BTreeMap::from([("GREETING".to_owned(), "hello".to_owned())]);
        let batch = Batch {
            rule,
            folder,
            inherited: &BTreeMap::from([("PATH".to_owned(), "/usr/bin:/bin".to_owned())]),
            environment: &environment,
            as_other_user: true,
            log: LogSink::new(move |_, line| sink.lock().unwrap().push(line.text)),
            name: "job".into(),
        };
        let end = batch.run(stop, Duration::from_millis(200)).await.unwrap();
        let said = said.lock().unwrap().clone();
        (end, said)
    }

    /// A folder that every user passes through, as a job's own user must.
    fn passable() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        folder
    }

    #[tokio::test]
    async fn a_program_runs_in_its_folder_below_everything_else_and_tells_how_it_ended() {
        let parent = passable();
        let folder = JobFolder::new(&parent.path().join("jobs")).unwrap();
        fs::create_dir(folder.path().join("in")).unwrap();
        fs::write(folder.path().join("in/data"), "42").unwrap();
        let (_keep, stop) = oneshot::channel();
        let rule = shell("echo $GREETING $(cat in/data); nice; echo x > in/out; exit 3");
        let (end, said) = run(&rule, folder.path(), stop).await;
        assert_eq!((end.code, end.how.as_str()), (Some(3), "it exited with status 3"));
        assert_eq!(said, ["hello 42", "19"]);
        assert_eq!(fs::read_to_string(folder.path().join("in/out")).unwrap(), "x\n");
        let path = folder.path().to_owned();
        drop(folder);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn one_that_is_stopped_is_asked_first_and_its_children_end_with_it() {
        let parent = passable();
        let folder = JobFolder::new(&parent.path().join("jobs")).unwrap();
        let (stop, stopped) = oneshot::channel();
        let rule = shell("trap 'echo asked; exit 0' TERM; setsid sleep 600 & echo up; while :; do sleep 0.05; done");
        drop(stop);
        let (end, _) = run(&rule, folder.path(), stopped).await;
        // It may have been asked before it could listen.
        assert!(end.code == Some(0) || end.how.contains("signal 15"), "{end:?}");
        assert_eq!(kill_bearers(&token(folder.path())), 0, "nothing of it is left");
    }

    #[tokio::test]
    async fn one_that_wants_more_memory_than_it_may_have_does_not_get_it() {
        let parent = passable();
        let folder = JobFolder::new(&parent.path().join("jobs")).unwrap();
        let rule =
            ProcessRule { memory_max_bytes: Some(64 << 20), ..shell("head -c 200m /dev/zero | tail -c 150m | wc -c") };
        let (_keep, stop) = oneshot::channel();
        let (end, said) = run(&rule, folder.path(), stop).await;
        assert!(!said.contains(&(150 << 20).to_string()), "{end:?} {said:?}");
    }
}
