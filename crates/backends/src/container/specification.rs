//! What a container may do: nothing that a model's server does not need.
//!
//! Invariant: every container has no capabilities but those that the operator names, cannot gain any, runs on a
//! read-only file system with bounded memory, processes and processors, and sees of this machine its model's folder
//! and those of additional data, read-only. Nothing of the model resource can change that: it chooses an image and an environment.
//! Refuses to: mount anything else, share a namespace with the host, publish a port.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use bollard::models::{
    ContainerCreateBody, HostConfig, HostConfigLogConfig, Mount, MountBindOptions, MountBindOptionsPropagationEnum,
    MountType, ResourcesUlimits,
};

use super::image::Image;
use super::settings::ContainerSettings;
use crate::multi_model::MULTI_MODEL_VARIABLE;

/// Where SageMaker's containers find their model.
pub(super) const MODEL_FOLDER: &str = "/opt/ml/model";
/// Where containers with many models find them.
pub(super) const MODELS_FOLDER: &str = "/opt/ml/models";
/// Containers find additional data in folders below this one.
const ADDITIONAL_FOLDER: &str = "/opt/ml/additional-model-data-sources";
/// The label by which an image says that it can have many models.
pub(super) const MULTI_MODEL_LABEL: &str = "com.amazonaws.sagemaker.capabilities.multi-models";
/// The environment variable that names the port to listen on.
pub(super) const PORT_VARIABLE: &str = "SAGEMAKER_BIND_TO_PORT";
/// The label by which an image says that it listens where it is told to.
const ACCEPTS_PORT_LABEL: &str = "com.amazonaws.sagemaker.capabilities.accept-bind-to-port";
/// Ports that such an image may use for itself; each container has them all, for it has an address of its own.
const SAFE_PORTS: (&str, &str) = ("SAGEMAKER_SAFE_PORT_RANGE", "9000-9999");
/// Says whose container it is.
pub(super) const OWNER_LABEL: &str = "captura.data-dir";
/// Docker's own copy of a container's output: two files of this size, for `docker logs`.
pub(super) const LOG_FILE_SIZE: &str = "8m";
/// How long a container may take to stop after SIGTERM, seconds.
pub(super) const STOP_TIMEOUT_SECONDS: i32 = 30;

/// One container to be made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    /// The image, as it was resolved.
    pub(super) image: &'a Image,
    /// The model's environment.
    pub(super) environment: &'a BTreeMap<String, String>,
    /// The model's files, absolute.
    pub(super) model_folder: Option<&'a Path>,
    /// Whether the folder is for many models, which come and go.
    pub(super) has_many: bool,
    /// Folders of additional data by their names.
    pub(super) channels: &'a [(&'a str, &'a Path)],
    /// The network's id.
    pub(super) network: &'a str,
    /// The port that its server is told to listen on.
    pub(super) port: u16,
}

/// What Docker is asked to create.
pub(super) fn specification(wanted: Wanted<'_>, settings: &ContainerSettings) -> ContainerCreateBody {
    let labels = HashMap::from([
        (OWNER_LABEL.to_owned(), settings.owner.clone()),
        ("captura.image".to_owned(), wanted.image.name.clone()),
    ]);
    ContainerCreateBody {
        // The id, not the name: what was looked at is what runs.
        image: Some(wanted.image.id.clone()),
        cmd: Some(vec!["serve".to_owned()]),
        env: Some(environment(wanted)),
        labels: Some(labels),
        tty: Some(false),
        stop_signal: Some("SIGTERM".to_owned()),
        stop_timeout: Some(STOP_TIMEOUT_SECONDS.into()),
        host_config: Some(host_config(wanted, settings)),
        ..ContainerCreateBody::default()
    }
}

/// The model's environment, and what SageMaker adds to it.
fn environment(wanted: Wanted<'_>) -> Vec<String> {
    let mut all = wanted.environment.clone();
    all.insert(PORT_VARIABLE.to_owned(), wanted.port.to_string());
    if wanted.has_many {
        all.insert(MULTI_MODEL_VARIABLE.to_owned(), "true".to_owned());
    }
    if wanted.image.labels.get(ACCEPTS_PORT_LABEL).is_some_and(|value| value == "true") {
        all.entry(SAFE_PORTS.0.to_owned()).or_insert_with(|| SAFE_PORTS.1.to_owned());
    }
    all.into_iter().map(|(name, value)| format!("{name}={value}")).collect()
}

fn host_config(wanted: Wanted<'_>, settings: &ContainerSettings) -> HostConfig {
    let memory = i64::try_from(settings.memory_max_bytes).unwrap_or(i64::MAX);
    // Open files are bounded by what the engine itself may have; some machines let nobody have more than little.
    let core = ResourcesUlimits { name: Some("core".into()), soft: Some(0), hard: Some(0) };
    let logs = HashMap::from([("max-size".to_owned(), LOG_FILE_SIZE.to_owned()), ("max-file".into(), "2".into())]);
    HostConfig {
        privileged: Some(false),
        cap_drop: Some(vec!["ALL".to_owned()]),
        cap_add: Some(settings.capabilities.iter().map(|capability| capability.name().to_owned()).collect()),
        security_opt: Some(vec!["no-new-privileges".to_owned()]),
        readonly_rootfs: Some(true),
        tmpfs: Some(scratch(wanted.image, settings)),
        mounts: Some(mounts(wanted, settings)),
        memory: Some(memory),
        memory_swap: Some(memory),
        #[expect(clippy::cast_possible_truncation, reason = "billionths of a processor; a cast of floats saturates")]
        nano_cpus: settings.cpus.map(|cpus| (cpus * 1e9) as i64),
        pids_limit: Some(settings.pids_max.into()),
        ulimits: Some(vec![core]),
        network_mode: Some(wanted.network.to_owned()),
        ipc_mode: Some("private".to_owned()),
        log_config: Some(HostConfigLogConfig { typ: Some("json-file".to_owned()), config: Some(logs) }),
        ..HostConfig::default()
    }
}

/// The folders in memory, with how they are mounted.
fn scratch(image: &Image, settings: &ContainerSettings) -> HashMap<String, String> {
    let options = format!("rw,nosuid,nodev,size={},mode=1777", settings.scratch_max_bytes);
    let inside = Path::new(image.working_folder.as_deref().unwrap_or("/"));
    let place = |folder: &String| Path::new("/").join(inside).join(folder).display().to_string();
    settings.scratch.iter().map(|folder| (place(folder), options.clone())).collect()
}

/// The model's folder, and a fresh volume for each folder that must be writable; Docker copies what the image has there.
fn mounts(wanted: Wanted<'_>, settings: &ContainerSettings) -> Vec<Mount> {
    let target = if wanted.has_many { MODELS_FOLDER } else { MODEL_FOLDER };
    let bind = |folder: &Path, target: String| Mount {
        typ: Some(MountType::BIND),
        source: Some(folder.display().to_string()),
        target: Some(target),
        read_only: Some(true),
        bind_options: Some(MountBindOptions {
            propagation: Some(MountBindOptionsPropagationEnum::RPRIVATE),
            ..MountBindOptions::default()
        }),
        ..Mount::default()
    };
    let model = wanted.model_folder.map(|folder| bind(folder, target.to_owned()));
    let channels = wanted.channels.iter().map(|(name, folder)| bind(folder, format!("{ADDITIONAL_FOLDER}/{name}")));
    let copied = settings.writable.iter().map(|folder| Mount {
        typ: Some(MountType::VOLUME),
        target: Some(folder.clone()),
        ..Mount::default()
    });
    model.into_iter().chain(channels).chain(copied).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(labels: &[(&str, &str)]) -> Image {
        Image {
            name: "team/model:3".into(),
            id: "sha256:1".into(),
            resolved: "team/model@sha256:1".into(),
            labels: labels.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect(),
            working_folder: Some("/opt/program".into()),
        }
    }

    fn made(environment: &[(&str, &str)], labels: &[(&str, &str)]) -> ContainerCreateBody {
        let environment = environment.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        let wanted = Wanted {
            image: &image(labels),
            environment: &environment,
            model_folder: Some(Path::new("/srv/models/1")),
            has_many: false,
            channels: &[],
            network: "net",
            port: 8080,
        };
        specification(wanted, &ContainerSettings { owner: "/srv/data".into(), ..ContainerSettings::default() })
    }

    #[test]
    fn a_container_gets_the_least_that_a_model_server_needs() {
        let body = made(&[], &[]);
        assert_eq!((body.image.as_deref(), body.cmd), (Some("sha256:1"), Some(vec!["serve".into()])));
        assert_eq!(body.labels.unwrap()[OWNER_LABEL], "/srv/data");
        let host = body.host_config.unwrap();
        assert_eq!((host.privileged, host.readonly_rootfs), (Some(false), Some(true)));
        assert_eq!((host.cap_drop, host.cap_add), (Some(vec!["ALL".into()]), Some(vec![])));
        assert_eq!(host.security_opt, Some(vec!["no-new-privileges".into()]));
        assert_eq!((host.memory, host.memory_swap, host.pids_limit), (Some(4 << 30), Some(4 << 30), Some(4096)));
        assert_eq!((host.pid_mode, host.uts_mode, host.userns_mode, host.cgroup_parent), (None, None, None, None));
        assert_eq!((host.network_mode.as_deref(), host.ipc_mode.as_deref()), (Some("net"), Some("private")));
        assert_eq!((host.port_bindings, host.publish_all_ports, host.binds, host.devices), (None, None, None, None));
        assert_eq!((host.volumes_from, host.device_requests, host.extra_hosts), (None, None, None));
    }

    #[test]
    fn the_only_folder_of_this_machine_that_it_sees_is_its_models_and_that_is_read_only() {
        let mounts = made(&[("DOCKER_HOST", "unix:///var/run/docker.sock")], &[]).host_config.unwrap().mounts.unwrap();
        let (binds, volumes): (Vec<_>, Vec<_>) = mounts.iter().partition(|mount| mount.typ == Some(MountType::BIND));
        assert_eq!(binds.len(), 1);
        assert_eq!(binds[0].source.as_deref(), Some("/srv/models/1"));
        assert_eq!((binds[0].target.as_deref(), binds[0].read_only), (Some("/opt/ml/model"), Some(true)));
        assert!(volumes.iter().all(|mount| mount.typ == Some(MountType::VOLUME) && mount.source.is_none()));
    }

    #[test]
    fn the_environment_is_the_models_and_says_which_port() {
        let plain = made(&[("B", "x=y"), ("A", "1"), (PORT_VARIABLE, "9")], &[]).env.unwrap();
        assert_eq!(plain, ["A=1", "B=x=y", "SAGEMAKER_BIND_TO_PORT=8080"]);
        let told = made(&[], &[(ACCEPTS_PORT_LABEL, "true")]).env.unwrap();
        assert_eq!(told, ["SAGEMAKER_BIND_TO_PORT=8080", "SAGEMAKER_SAFE_PORT_RANGE=9000-9999"]);
    }

    #[test]
    fn scratch_folders_are_in_memory_and_bounded_and_relative_ones_lie_where_the_image_works() {
        let tmpfs = made(&[], &[]).host_config.unwrap().tmpfs.unwrap();
        let mut places: Vec<&str> = tmpfs.keys().map(String::as_str).collect();
        places.sort_unstable();
        assert_eq!(places, ["/opt/program/.sagemaker", "/opt/program/logs", "/run", "/tmp", "/var/tmp"]);
        assert!(tmpfs.values().all(|options| options.contains("size=1073741824") && options.contains("nosuid")));
    }
}
