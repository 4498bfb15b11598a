//! Why a model cannot be served, in words for the person who deployed it.

use captura_names::ContainerHostname;

use crate::artifact::{ArtifactError, ModelFileError};
use crate::container::ContainerError;
use crate::embedded::onnx::LibraryError;

/// Why a model cannot be served. The text becomes the endpoint's `FailureReason`.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// No rule of the image table matches.
    #[error("no backend here runs the image {image:?}; this server runs images that match {known}")]
    UnknownImage {
        /// The image of the model.
        image: String,
        /// The patterns of the table.
        known: String,
    },
    /// The image needs model data, and the model names none.
    #[error("the image {image:?} needs a model, and the model has no ModelDataUrl")]
    NoModelData {
        /// The image of the model.
        image: String,
    },
    /// The model's files cannot be had.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    /// None of the files, or more than one, is the model.
    #[error(transparent)]
    ModelFile(#[from] ModelFileError),
    /// A key of the model's environment has a value that cannot be used.
    #[error("the model's environment has {name}={value:?}; {wanted}")]
    Environment {
        /// The key.
        name: &'static str,
        /// Its value.
        value: String,
        /// What would be right.
        wanted: &'static str,
    },
    /// There is no ONNX Runtime.
    #[error(transparent)]
    OnnxLibrary(#[from] LibraryError),
    /// It cannot run as a container.
    #[error(transparent)]
    Container(#[from] ContainerError),
    /// An instance cannot be started, or is not healthy in time.
    #[error("{reason}")]
    Start {
        /// What happened, and what the instance said last.
        reason: String,
    },
    /// The image is a URL, and its host is not among those that models may name.
    #[error(
        "the image {image:?} names a remote server that this server may not call; the operator can add its host to \
         remote_hosts under [models]"
    )]
    RemoteNotAllowed {
        /// The image of the model.
        image: String,
    },
    /// The image is a URL that cannot be used.
    #[error(transparent)]
    RemoteUrl(#[from] crate::remote::InvalidRemoteUrl),
    /// Only containers have folders for it.
    #[error(
        "the image {image:?} does not run as a container here, and only containers get the folders of \
         AdditionalModelDataSources"
    )]
    AdditionalData {
        /// The image of the model.
        image: String,
    },
    /// Many models cannot be given to a server elsewhere.
    #[error("the image {image:?} is a remote server, which cannot get the models of a container with Mode MultiModel")]
    ManyModelsElsewhere {
        /// The image of the model.
        image: String,
    },
    /// One of several containers cannot be served.
    #[error("container {hostname}: {error}")]
    InContainer {
        /// Which one.
        hostname: ContainerHostname,
        /// Why not.
        error: Box<Self>,
    },
    /// The model must not reach the network, and what runs it cannot promise that.
    #[error(
        "the model asks for network isolation, and the image {image:?} runs {where_it_runs}; set EnableNetworkIsolation \
         to false, or run it elsewhere"
    )]
    NotIsolated {
        /// The image.
        image: String,
        /// What cannot promise it.
        where_it_runs: &'static str,
    },
    /// More instances than a machine can be asked for.
    #[error("{wanted} instances are asked for, and this server runs {most} of one model at most")]
    TooManyInstances {
        /// As many.
        wanted: usize,
        /// The limit.
        most: usize,
    },
    /// Its answers cannot be explained.
    #[error("the explainer: {0}")]
    Explainer(#[from] crate::explainer::ExplainerSpecError),
    /// The server stops.
    #[error("the server shuts down")]
    ShuttingDown,
    /// The model's file was read and is not a model that this backend can run.
    #[error("{file} cannot be served: {reason}")]
    Model {
        /// Name of the file inside the model's data.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
}
