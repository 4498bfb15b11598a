//! Containers that are run to their end: processing jobs.
//!
//! They have the bounds of models' containers (`specification.rs`) but for the file system, which is theirs to write to and
//! gone with them, and less of the processors than anything that answers callers.
//!
//! Invariant: of this machine a container sees the folders of its job; it is gone when its future is.
//! Refuses to: run an image with more rights than the operator gives to models.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bollard::models::{
    ContainerCreateBody, HostConfig, HostConfigLogConfig, Mount, MountBindOptions, MountBindOptionsPropagationEnum,
    MountType, ResourcesUlimits,
};
use tokio::sync::oneshot;

use super::error::ContainerError;
use super::image::{self, Image};
use super::instance::Life;
use super::network::{Reach, network};
use super::specification::{LOG_FILE_SIZE, OWNER_LABEL, STOP_TIMEOUT_SECONDS};
use super::{ContainerSettings, Containers, engine};
use crate::logs::LogSink;
use crate::process::BatchEnd;

/// Weight among containers; 1024 is what others have.
const CPU_SHARES: i64 = 64;

/// A container to be run to its end.
#[derive(Debug)]
pub struct ContainerBatch<'a> {
    /// The image, which is fetched as models' are.
    pub image: &'a str,
    /// Program in place of the image's own; the image's own where empty.
    pub entrypoint: &'a [String],
    /// Its arguments; the image's own where empty.
    pub arguments: &'a [String],
    /// Its environment.
    pub environment: &'a BTreeMap<String, String>,
    /// Its name on the network.
    pub host: &'a str,
    /// Folders of this machine, where it sees them, and whether it may only read them.
    pub mounts: &'a [(PathBuf, &'a str, bool)],
    /// Whether it reaches nothing outside.
    pub is_isolated: bool,
    /// Who gets what it writes, line by line.
    pub log: LogSink,
}

impl Containers {
    /// Runs a container. When `stop` comes, or its sender is gone, it is asked to end and after `grace` killed.
    ///
    /// # Errors
    /// Why it cannot be started.
    pub async fn run(
        &self,
        wanted: ContainerBatch<'_>,
        stop: oneshot::Receiver<()>,
        grace: Duration,
    ) -> Result<BatchEnd, ContainerError> {
        let no_engine = |reason| ContainerError::NoEngineForJob { image: wanted.image.to_owned(), reason };
        let docker = self.docker().await.map_err(no_engine)?.clone();
        let settings = &self.inner.settings;
        let image = image::resolve(&docker, wanted.image, settings.pull).await?;
        let reach = if wanted.is_isolated { Reach::Isolated } else { Reach::Outside };
        let network = network(&docker, reach).await?;
        for (folder, _, _) in wanted.mounts.iter().filter(|(_, _, read_only)| !read_only) {
            open_to_all(folder).map_err(|error| ContainerError::Engine {
                act: "be given the job's folders",
                reason: error.to_string(),
            })?;
        }
        let body = body(&wanted, &image, &network, settings);
        let (log, token) = (wanted.log.clone(), self.inner.alive.subscribe());
        let (life, _) = Life::start(docker.clone(), (body, 0), (log, token)).await?;
        tokio::select! {
            how = life.how() => drop(how),
            _ = stop => {
                let seconds = i32::try_from(grace.as_secs()).unwrap_or(STOP_TIMEOUT_SECONDS);
                engine::ask_to_stop(&docker, life.id(), seconds).await;
                life.how().await;
            }
        }
        let code = engine::state(&docker, life.id()).await.and_then(|state| state.exit_code);
        let end = BatchEnd {
            code: code.and_then(|code| i32::try_from(code).ok()),
            how: format!("the container {}", life.how().await),
            last_words: life.last_lines(),
        };
        engine::remove(&docker, life.id()).await;
        Ok(end)
    }
}

/// What Docker is asked to create.
fn body(
    wanted: &ContainerBatch<'_>,
    image: &Image,
    network: &str,
    settings: &ContainerSettings,
) -> ContainerCreateBody {
    let words = |words: &[String]| (!words.is_empty()).then(|| words.to_vec());
    let labels = HashMap::from([
        (OWNER_LABEL.to_owned(), settings.owner.clone()),
        ("captura.image".to_owned(), image.name.clone()),
    ]);
    ContainerCreateBody {
        image: Some(image.id.clone()),
        hostname: Some(wanted.host.to_owned()),
        entrypoint: words(wanted.entrypoint),
        cmd: words(wanted.arguments),
        env: Some(wanted.environment.iter().map(|(name, value)| format!("{name}={value}")).collect()),
        labels: Some(labels),
        tty: Some(false),
        stop_signal: Some("SIGTERM".to_owned()),
        stop_timeout: Some(STOP_TIMEOUT_SECONDS.into()),
        host_config: Some(host_config(wanted, network, settings)),
        ..ContainerCreateBody::default()
    }
}

fn host_config(wanted: &ContainerBatch<'_>, network: &str, settings: &ContainerSettings) -> HostConfig {
    let memory = i64::try_from(settings.memory_max_bytes).unwrap_or(i64::MAX);
    let core = ResourcesUlimits { name: Some("core".into()), soft: Some(0), hard: Some(0) };
    let logs = HashMap::from([("max-size".to_owned(), LOG_FILE_SIZE.to_owned()), ("max-file".into(), "2".into())]);
    let bind = |(folder, target, read_only): &(PathBuf, &str, bool)| Mount {
        typ: Some(MountType::BIND),
        source: Some(folder.display().to_string()),
        target: Some((*target).to_owned()),
        read_only: Some(*read_only),
        bind_options: Some(MountBindOptions {
            propagation: Some(MountBindOptionsPropagationEnum::RPRIVATE),
            ..MountBindOptions::default()
        }),
        ..Mount::default()
    };
    HostConfig {
        privileged: Some(false),
        cap_drop: Some(vec!["ALL".to_owned()]),
        cap_add: Some(settings.capabilities.iter().map(|capability| capability.name().to_owned()).collect()),
        security_opt: Some(vec!["no-new-privileges".to_owned()]),
        readonly_rootfs: Some(false),
        mounts: Some(wanted.mounts.iter().map(bind).collect()),
        memory: Some(memory),
        memory_swap: Some(memory),
        #[expect(clippy::cast_possible_truncation, reason = "billionths of a processor; a cast of floats saturates")]
        nano_cpus: settings.cpus.map(|cpus| (cpus * 1e9) as i64),
        cpu_shares: Some(CPU_SHARES),
        pids_limit: Some(settings.pids_max.into()),
        ulimits: Some(vec![core]),
        network_mode: Some(network.to_owned()),
        ipc_mode: Some("private".to_owned()),
        log_config: Some(HostConfigLogConfig { typ: Some("json-file".to_owned()), config: Some(logs) }),
        ..HostConfig::default()
    }
}

/// Root without capabilities, and whatever user an image has, writes where everybody may. Nobody else reaches the folder: it
/// lies in one that only this server enters.
fn open_to_all(folder: &Path) -> io::Result<()> {
    let mut open = vec![folder.to_owned()];
    while let Some(at) = open.pop() {
        fs::set_permissions(&at, Permissions::from_mode(0o777))?;
        for entry in fs::read_dir(&at)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                open.push(entry.path());
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_sees_its_folders_and_has_no_more_rights_than_a_model() {
        let image = Image {
            name: "team/clean:3".into(),
            id: "sha256:1".into(),
            resolved: "team/clean@sha256:1".into(),
            labels: HashMap::new(),
            working_folder: None,
        };
        let mounts = [
            (PathBuf::from("/srv/jobs/1/opt/ml/config"), "/opt/ml/config", true),
            (PathBuf::from("/srv/jobs/1/opt/ml/processing"), "/opt/ml/processing", false),
        ];
        let environment = BTreeMap::from([("A".to_owned(), "b".to_owned())]);
        let wanted = ContainerBatch {
            image: "team/clean:3",
            entrypoint: &["python3".to_owned(), "/opt/ml/processing/input/code/clean.py".to_owned()],
            arguments: &[],
            environment: &environment,
            host: "algo-1",
            mounts: &mounts,
            is_isolated: true,
            log: LogSink::default(),
        };
        let body = body(&wanted, &image, "net", &ContainerSettings::default());
        assert_eq!((body.hostname.as_deref(), body.cmd), (Some("algo-1"), None));
        assert_eq!(body.entrypoint.unwrap().len(), 2);
        assert_eq!(body.env.unwrap(), ["A=b"]);
        let host = body.host_config.unwrap();
        assert_eq!((host.privileged, host.network_mode.as_deref()), (Some(false), Some("net")));
        assert_eq!((host.cap_drop, host.cap_add), (Some(vec!["ALL".into()]), Some(vec![])));
        assert_eq!((host.memory, host.memory_swap, host.cpu_shares), (Some(4 << 30), Some(4 << 30), Some(64)));
        let mounts = host.mounts.unwrap();
        let told = |mount: &Mount| (mount.target.clone().unwrap(), mount.read_only.unwrap(), mount.typ);
        assert_eq!(told(&mounts[0]), ("/opt/ml/config".into(), true, Some(MountType::BIND)));
        assert_eq!(told(&mounts[1]), ("/opt/ml/processing".into(), false, Some(MountType::BIND)));
        assert_eq!((host.binds, host.devices, host.pid_mode), (None, None, None));
    }
}
