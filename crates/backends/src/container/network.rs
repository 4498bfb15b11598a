//! The two networks that containers are on: one from which the world can be reached, and one from which it cannot.
//!
//! On neither can containers reach each other. captura reaches a container by its address on the bridge, so no port of
//! this machine is opened, and no proxy of Docker's stands in the way of a call.
//!
//! Networks are shared by all servers that use this Docker, and stay.

use std::collections::HashMap;

use bollard::Docker;
use bollard::models::NetworkCreateRequest;
use bollard::query_parameters::ListNetworksOptionsBuilder;

use super::error::ContainerError;

/// Marks the networks; its value tells them apart.
const LABEL: &str = "captura.network";
/// Whether containers on the bridge can reach each other.
const BETWEEN_CONTAINERS: &str = "com.docker.network.bridge.enable_icc";

/// Which network a container is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// The world can be reached.
    Outside,
    /// Nothing but captura: `EnableNetworkIsolation`.
    Isolated,
}

impl Reach {
    fn name(self) -> &'static str {
        match self {
            Self::Outside => "captura",
            Self::Isolated => "captura-isolated",
        }
    }
}

/// The id of the network, which is made when it is not there.
pub(super) async fn network(docker: &Docker, reach: Reach) -> Result<String, ContainerError> {
    if let Some(id) = find(docker, reach).await? {
        return Ok(id);
    }
    let request = NetworkCreateRequest {
        name: reach.name().to_owned(),
        driver: Some("bridge".to_owned()),
        internal: Some(reach == Reach::Isolated),
        options: Some(HashMap::from([(BETWEEN_CONTAINERS.to_owned(), "false".to_owned())])),
        labels: Some(HashMap::from([(LABEL.to_owned(), reach.name().to_owned())])),
        ..NetworkCreateRequest::default()
    };
    let made = docker.create_network(request).await;
    // Another server may have been faster, and Docker may or may not refuse a second one of the same name; everybody
    // takes the same one of those that are there.
    match (find(docker, reach).await?, made) {
        (Some(id), _) => Ok(id),
        (None, Err(error)) => Err(ContainerError::engine("make a network")(error)),
        (None, Ok(made)) => Ok(made.id),
    }
}

async fn find(docker: &Docker, reach: Reach) -> Result<Option<String>, ContainerError> {
    let filters = HashMap::from([("label", vec![format!("{LABEL}={}", reach.name())])]);
    let filters: HashMap<String, Vec<String>> = filters.into_iter().map(|(key, all)| (key.to_owned(), all)).collect();
    let options = ListNetworksOptionsBuilder::new().filters(&filters).build();
    let found = docker.list_networks(Some(options)).await.map_err(ContainerError::engine("list the networks"))?;
    Ok(found.into_iter().filter_map(|network| network.id).min())
}
