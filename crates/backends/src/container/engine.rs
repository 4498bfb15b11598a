//! The connection to Docker, and the acts that are asked of it.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use bollard::models::ContainerState;
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, ListContainersOptionsBuilder, RemoveContainerOptionsBuilder,
    StopContainerOptionsBuilder,
};
use bollard::{API_DEFAULT_VERSION, Docker};

use super::error::{ContainerError, is_missing, words};
use super::specification::{OWNER_LABEL, STOP_TIMEOUT_SECONDS};

/// Longest time that Docker may take for one act, seconds; stopping is the slowest.
const ANSWER_TIMEOUT_SECONDS: u64 = 120;

/// Connects to the Docker that listens on `socket`; otherwise says in words why there is none.
pub(super) async fn connect(socket: &Path) -> Result<Docker, String> {
    let shown = socket.display();
    let path = socket.to_str().ok_or_else(|| format!("{shown} is no UTF-8"))?;
    let docker =
        Docker::connect_with_unix(path, ANSWER_TIMEOUT_SECONDS, API_DEFAULT_VERSION).map_err(|error| match error {
            bollard::errors::Error::SocketNotFoundError(_) => format!("there is no socket at {shown}"),
            error => format!("{shown}: {}", words(&error)),
        })?;
    // The client names no version in its requests, so every engine answers in its own.
    let version = docker.version().await.map_err(|error| format!("{shown} does not answer: {}", words(&error)))?;
    tracing::debug!(socket = %shown, version = version.version, api = version.api_version, "Docker is there");
    Ok(docker)
}

/// A container that was made and started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Started {
    pub(super) id: String,
    /// Where its server will listen; one that has ended at once has lost its address already.
    pub(super) address: Option<SocketAddr>,
}

/// Makes and starts a container; nothing is left when that fails.
pub(super) async fn start(
    docker: &Docker,
    body: bollard::models::ContainerCreateBody,
    port: u16,
) -> Result<Started, ContainerError> {
    let name = format!("captura-{}", uuid::Uuid::new_v4().simple());
    let options = CreateContainerOptionsBuilder::new().name(&name).build();
    let created = docker.create_container(Some(options), body).await;
    let id = created.map_err(ContainerError::engine("create the container"))?.id;
    let started = async {
        docker.start_container(&id, None).await.map_err(ContainerError::engine("start the container"))?;
        let seen = docker.inspect_container(&id, None).await;
        let seen = seen.map_err(ContainerError::engine("look at the container"))?;
        let networks = seen.network_settings.and_then(|settings| settings.networks).unwrap_or_default();
        let ip = networks.into_values().find_map(|endpoint| endpoint.ip_address?.parse::<IpAddr>().ok());
        Ok(Started { id: id.clone(), address: ip.map(|ip| SocketAddr::from((ip, port))) })
    };
    let started = started.await;
    if started.is_err() {
        remove(docker, &id).await;
    }
    started
}

/// What became of a container; nothing when it is gone or Docker does not say.
pub(super) async fn state(docker: &Docker, id: &str) -> Option<ContainerState> {
    docker.inspect_container(id, None).await.ok()?.state
}

/// SIGTERM, half a minute, SIGKILL, and gone.
pub(super) async fn stop(docker: &Docker, id: &str) {
    ask_to_stop(docker, id, STOP_TIMEOUT_SECONDS).await;
    remove(docker, id).await;
}

/// SIGTERM, so many seconds, SIGKILL. It stays to be looked at.
pub(super) async fn ask_to_stop(docker: &Docker, id: &str, seconds: i32) {
    let options = StopContainerOptionsBuilder::new().t(seconds).build();
    if let Err(error) = docker.stop_container(id, Some(options)).await
        && !is_missing(&error)
    {
        tracing::warn!(container = id, "a container could not be stopped: {}", words(&error));
    }
}

/// Removes a container with its volumes, running or not.
pub(super) async fn remove(docker: &Docker, id: &str) {
    let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
    match docker.remove_container(id, Some(options)).await {
        Ok(()) => {}
        Err(error) if is_missing(&error) => {}
        // Somebody else is at it already.
        Err(bollard::errors::Error::DockerResponseServerError { status_code: 409, .. }) => {}
        Err(error) => tracing::warn!(container = id, "a container could not be removed: {}", words(&error)),
    }
}

/// The containers of one owner, running or not.
pub(super) async fn owned(docker: &Docker, owner: &str) -> Result<Vec<String>, ContainerError> {
    let filters = HashMap::from([("label".to_owned(), vec![format!("{OWNER_LABEL}={owner}")])]);
    let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
    let found = docker.list_containers(Some(options)).await.map_err(ContainerError::engine("list the containers"))?;
    Ok(found.into_iter().filter_map(|container| container.id).collect())
}
