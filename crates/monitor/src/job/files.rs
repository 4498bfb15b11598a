//! Artefacts in folders and stores.

use captura_archive::reader::{ReadError, Selection, list};
use captura_archive::{Stores, document};
use serde::de::DeserializeOwned;

use super::JobError;

/// Name of the statistics.
pub const STATISTICS: &str = "statistics.json";
/// Name of the constraints.
pub const CONSTRAINTS: &str = "constraints.json";
/// Name of the violations.
pub const VIOLATIONS: &str = "constraint_violations.json";

/// Writes a file and returns its address; folders on the way are made.
pub(super) async fn write(stores: &Stores, address: &str, text: String) -> Result<String, JobError> {
    document::write(stores, address, text.into()).await?;
    Ok(address.to_owned())
}

/// Reads a file that must be there.
pub(super) async fn read_artefact<T: DeserializeOwned>(stores: &Stores, address: &str) -> Result<T, JobError> {
    let missing = || JobError::ReadArtefact { address: address.to_owned(), reason: "it is not there".into() };
    read_optional(stores, address).await?.ok_or_else(missing)
}

/// Reads a file that may be absent.
pub(super) async fn read_optional<T: DeserializeOwned>(stores: &Stores, address: &str) -> Result<Option<T>, JobError> {
    let failed = |reason: String| JobError::ReadArtefact { address: address.to_owned(), reason };
    let found = match list(stores, address, &Selection::default()).await {
        Ok(found) => found,
        Err(ReadError::Nothing { .. }) => return Ok(None),
        Err(ReadError::Store(captura_archive::StoreError::LocalPath { source, .. }))
            if source.kind() == std::io::ErrorKind::NotFound =>
        {
            return Ok(None);
        }
        Err(error) => return Err(failed(error.to_string())),
    };
    let [object] = &found[..] else { return Err(failed("it is a folder, not a file".into())) };
    let bytes = object.fetch().await.map_err(|error| failed(error.to_string()))?;
    let value =
        serde_json::from_slice(&bytes).map_err(|error| failed(format!("it is not what it should be: {error}")))?;
    Ok(Some(value))
}
