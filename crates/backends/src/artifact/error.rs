//! Why a model's files cannot be had, in words for the person who named them.

use std::io;
use std::path::PathBuf;

use super::extract::ExtractError;

/// Why a model's files cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    /// The address has a scheme that is not read here.
    #[error("the model data {url:?} cannot be read: only s3:// addresses are read here, and local files where allowed")]
    Scheme {
        /// The address.
        url: String,
    },
    /// The address is not well formed.
    #[error("the model data {url:?} cannot be read: {reason}")]
    Address {
        /// The address.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Local paths are not allowed on this server.
    #[error("the model data {url:?} cannot be read: this server does not read local paths; put the model into s3://")]
    LocalNotAllowed {
        /// The address.
        url: String,
    },
    /// Nothing is there.
    #[error("there is no model data at {url}")]
    Missing {
        /// The address.
        url: String,
    },
    /// The object store does not answer, or there is none for the bucket.
    #[error("the model data at {url} cannot be read: {reason}")]
    Store {
        /// The address.
        url: String,
        /// What the store said.
        reason: String,
    },
    /// More than the limits allow.
    #[error("the model data at {url} is larger than the limits of this server: {reason}")]
    TooLarge {
        /// The address.
        url: String,
        /// Which limit.
        reason: String,
    },
    /// The archive was not unpacked.
    #[error("the model archive at {url} was not unpacked: {source}")]
    Extract {
        /// The address.
        url: String,
        /// Why not.
        source: ExtractError,
    },
    /// The data is not what was pinned.
    #[error("DigestMismatch: the model data at {url} has the SHA-256 {found}, and the model is pinned to {wanted}")]
    Digest {
        /// The address.
        url: String,
        /// The digest that it has.
        found: String,
        /// The digest that it must have.
        wanted: String,
    },
    /// The server stops.
    #[error("the server shuts down")]
    ShuttingDown,
    /// A local file could not be read or written.
    #[error("{path}: {source}")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}
