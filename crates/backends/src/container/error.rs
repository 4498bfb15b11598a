//! Why a model cannot run as a container, in words for the person who deployed it.

use std::time::Duration;

/// Why a model cannot run as a container.
#[derive(Debug, thiserror::Error)]
pub enum ContainerError {
    /// Docker cannot be reached.
    #[error(
        "the image {image:?} would run as a container, and there is no Docker to run it: {reason}. Start Docker, name \
         its socket in [docker] socket, or give the image a rule in [[models.images]]"
    )]
    NoEngine {
        /// The image of the model.
        image: String,
        /// Why Docker cannot be reached.
        reason: String,
    },
    /// Docker cannot be reached, for a processing job.
    #[error(
        "the image {image:?} would run as a container, and there is no Docker to run it: {reason}. Start Docker, name \
         its socket in [docker] socket, or give the image a rule in [[processing.images]]"
    )]
    NoEngineForJob {
        /// The image of the job.
        image: String,
        /// Why Docker cannot be reached.
        reason: String,
    },
    /// The image is not here, and it is not to be fetched.
    #[error("the image {image:?} is not on this machine, and [docker] pull = \"never\"")]
    NoImage {
        /// The image of the model.
        image: String,
    },
    /// The image cannot be fetched.
    #[error("the image {image:?} cannot be pulled: {reason}")]
    Pull {
        /// The image of the model.
        image: String,
        /// What Docker says.
        reason: String,
    },
    /// The image cannot have many models.
    #[error(
        "the image {image:?} has no label com.amazonaws.sagemaker.capabilities.multi-models=true, so it cannot serve \
         a model with Mode MultiModel"
    )]
    NotMultiModel {
        /// The image of the model.
        image: String,
    },
    /// Docker refused or failed.
    #[error("Docker could not {act}: {reason}")]
    Engine {
        /// What it was asked for, `create the container`.
        act: &'static str,
        /// What it says.
        reason: String,
    },
    /// A key of the model's environment has a value that cannot be used.
    #[error("the model's environment has SAGEMAKER_BIND_TO_PORT={0:?}; give a port, 1 to 65535")]
    Port(String),
    /// The container ended before its server was healthy.
    #[error("the container {how} before it was healthy. {said}")]
    Ended {
        /// How it ended, `ended with status 1`.
        how: String,
        /// The last of what it said, in a sentence.
        said: String,
    },
    /// The container's server did not get healthy.
    #[error("the container was not healthy within {} s: {why}. {said}", .timeout.as_secs())]
    Unhealthy {
        /// How long it was waited for.
        timeout: Duration,
        /// What the last health check found.
        why: String,
        /// The last of what it said, in a sentence.
        said: String,
    },
}

impl ContainerError {
    /// Docker's failure of an act.
    pub(super) fn engine(act: &'static str) -> impl Fn(bollard::errors::Error) -> Self {
        move |error| Self::Engine { act, reason: words(&error) }
    }
}

/// What Docker said, without the frame that its client puts around it.
pub(super) fn words(error: &bollard::errors::Error) -> String {
    match error {
        bollard::errors::Error::DockerResponseServerError { message, .. } => message.trim().to_owned(),
        bollard::errors::Error::DockerStreamError { error } => error.trim().to_owned(),
        bollard::errors::Error::RequestTimeoutError => "it did not answer in time".to_owned(),
        other => {
            let mut text = other.to_string();
            let mut cause = std::error::Error::source(other);
            while let Some(next) = cause {
                text = format!("{text}: {next}");
                cause = next.source();
            }
            text
        }
    }
}

/// Whether Docker says that there is no such thing.
pub(super) fn is_missing(error: &bollard::errors::Error) -> bool {
    matches!(error, bollard::errors::Error::DockerResponseServerError { status_code: 404, .. })
}
