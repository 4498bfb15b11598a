//! Models that a server loads by itself when it is told to: the `/models` part of the container contract.

use std::path::PathBuf;
use std::sync::Arc;

use captura_route::BackendError;

use super::{Library, ModelKey, MultiModel, MultiModelLimits, MultiModelSpec, NotLoaded, Volume, failed, not_fetched};
use crate::artifact::{Artifact, ArtifactError, Fetcher, Scratch, make_open_folder, open_up};
use crate::http_contract::{ContractClient, LoadRefused};
use crate::replicas::Pending;

/// The folder that one server finds its models in, and everything in it.
#[derive(Debug)]
pub(crate) struct ModelsFolder {
    scratch: Scratch,
    /// How the server sees it.
    seen_as: String,
}

impl ModelsFolder {
    /// A folder that the server sees under the path `seen_as`, or as it is; open to a group, or to everybody.
    ///
    /// # Errors
    /// When they cannot be let in.
    fn new(scratch: Scratch, seen_as: Option<&str>, group: Option<u32>) -> Result<Self, ArtifactError> {
        let path = scratch.path();
        let opened = match group {
            None => open_up(path),
            Some(group) => scratch.share_with(group),
        };
        opened.map_err(|source| ArtifactError::File { path: path.to_owned(), source })?;
        let seen_as = seen_as.map_or_else(|| path.display().to_string(), str::to_owned);
        Ok(Self { scratch, seen_as })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &std::path::Path {
        self.scratch.path()
    }

    fn place_of(&self, identifier: &str) -> PathBuf {
        self.scratch.path().join(identifier)
    }
}

/// Where the models come from that servers of one model have.
#[derive(Clone)]
pub(crate) struct ManyModels {
    pub(crate) fetcher: Fetcher,
    pub(crate) prefix: String,
    pub(crate) spec: MultiModelSpec,
    pub(crate) limits: MultiModelLimits,
}

impl ManyModels {
    /// An empty folder for the models of one server; see [`ModelsFolder`].
    ///
    /// # Errors
    /// When it cannot be made, or opened to its readers.
    pub(crate) fn folder(&self, seen_as: Option<&str>, group: Option<u32>) -> Result<ModelsFolder, ArtifactError> {
        ModelsFolder::new(self.fetcher.scratch()?, seen_as, group)
    }

    /// The models as one server has them.
    pub(crate) fn served_by(&self, client: ContractClient, folder: Arc<ModelsFolder>) -> MultiModel {
        let (fetcher, prefix) = (self.fetcher.clone(), self.prefix.clone());
        MultiModel::new(Arc::new(ContractLibrary { client, fetcher, prefix, folder }), self.spec, self.limits)
    }
}

impl std::fmt::Debug for ManyModels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ManyModels").field("prefix", &self.prefix).field("spec", &self.spec).finish_non_exhaustive()
    }
}

/// Models of one server, below a prefix.
struct ContractLibrary {
    client: ContractClient,
    fetcher: Fetcher,
    prefix: String,
    folder: Arc<ModelsFolder>,
}

impl ContractLibrary {
    async fn load(&self, key: &ModelKey) -> Result<Volume, NotLoaded> {
        let (url, identifier) = (key.below(&self.prefix), key.identifier());
        let fetched = self.fetcher.fetch_copy(&url).await;
        let artifact = fetched.map_err(|error| NotLoaded::Failed(not_fetched(&url, &error)))?;
        let place = self.folder.place_of(&identifier);
        let put = tokio::task::spawn_blocking(move || {
            let bytes = artifact.bytes();
            put(&artifact, &place).map(|()| bytes)
        });
        let bytes = match put.await {
            Ok(Ok(bytes)) => bytes,
            Ok(Err(error)) => {
                return Err(NotLoaded::Failed(failed(500, format!("The model {key} cannot be stored: {error}"))));
            }
            Err(_) => return Err(NotLoaded::Failed(BackendError::Unavailable("the server shuts down".into()))),
        };
        let seen_as = format!("{}/{identifier}/model", self.folder.seen_as);
        match self.client.load_model(&identifier, &seen_as).await {
            Ok(()) => {}
            Err(refused) => {
                self.remove(&identifier).await;
                return Err(match refused {
                    LoadRefused::NoRoom(error) => NotLoaded::NoRoom(error),
                    LoadRefused::Failed(error) => NotLoaded::Failed(error),
                });
            }
        }
        Ok(Volume { backend: Arc::new(self.client.for_model(&identifier)), bytes })
    }

    async fn unload(&self, key: &ModelKey) {
        let identifier = key.identifier();
        if let Err(error) = self.client.unload_model(&identifier).await {
            tracing::warn!(model = %key, "a server did not unload a model: {error}");
        }
        self.remove(&identifier).await;
    }

    async fn remove(&self, identifier: &str) {
        let place = self.folder.place_of(identifier);
        if let Err(error) = tokio::fs::remove_dir_all(&place).await {
            tracing::debug!(?place, "files of a model are left until their server ends: {error}");
        }
    }
}

/// Moves a model's files to where the server looks for them.
fn put(artifact: &Artifact, place: &std::path::Path) -> Result<(), ArtifactError> {
    let failed = |source| ArtifactError::File { path: place.to_owned(), source };
    // What an earlier load left, that was given up in the middle.
    if place.exists() {
        std::fs::remove_dir_all(place).map_err(failed)?;
    }
    make_open_folder(place).map_err(failed)?;
    std::fs::rename(artifact.root(), place.join("model")).map_err(failed)
}

impl Library for ContractLibrary {
    fn load<'a>(&'a self, key: &'a ModelKey) -> Pending<'a, Result<Volume, NotLoaded>> {
        Box::pin(self.load(key))
    }

    fn unload<'a>(&'a self, key: &'a ModelKey) -> Pending<'a, ()> {
        Box::pin(self.unload(key))
    }
}

impl std::fmt::Debug for ContractLibrary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ContractLibrary").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}
