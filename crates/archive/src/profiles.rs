//! Files that are made of captured objects and kept in their folder: profiles, which an analysis need not make again.
//!
//! Their names begin with [`PROFILE_PREFIX`] and end with [`PROFILE_SUFFIX`], which no reader takes for captures. What is in
//! them is the analysis' own. Invariant: when an object is rewritten or deleted, the profiles of its folder go, since what was
//! taken out may be in them. Refuses to: look into them.

use bytes::Bytes;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};

use crate::reader::Found;

/// How the names of profiles begin; tools of the big data world pass over names with an underscore.
pub const PROFILE_PREFIX: &str = "_profile-";
/// How they end.
pub const PROFILE_SUFFIX: &str = ".captura";

/// Whether the last part of this key is the name of a profile.
#[must_use]
pub fn is_profile(key: &str) -> bool {
    let name = key.rsplit('/').next().unwrap_or(key);
    name.starts_with(PROFILE_PREFIX) && name.ends_with(PROFILE_SUFFIX)
}

/// Deletes the profiles in the folder of an object.
pub(crate) async fn forget(store: &dyn ObjectStore, object: &Path) -> object_store::Result<()> {
    let folder = folder_of(object);
    let inside = store.list_with_delimiter(Some(&folder)).await?;
    for meta in inside.objects.into_iter().filter(|meta| is_profile(meta.location.as_ref())) {
        match store.delete(&meta.location).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn folder_of(object: &Path) -> Path {
    object.as_ref().rsplit_once('/').map_or_else(Path::default, |(folder, _)| Path::from(folder))
}

fn beside(found: &Found, id: &str) -> Path {
    folder_of(&found.place.path).join(format!("{PROFILE_PREFIX}{id}{PROFILE_SUFFIX}"))
}

impl Found {
    /// The profile of this identity in the object's folder, if there is one that can be read.
    pub async fn profile(&self, id: &str) -> Option<Bytes> {
        self.place.store.get(&beside(self, id)).await.ok()?.bytes().await.ok()
    }

    /// Keeps a profile in the object's folder.
    ///
    /// # Errors
    /// What the store says.
    pub async fn keep_profile(&self, id: &str, bytes: Bytes) -> Result<(), String> {
        let kept = self.place.store.put(&beside(self, id), bytes.into()).await;
        kept.map(drop).map_err(|error| error.to_string())
    }

    /// Takes that profile away again.
    ///
    /// # Errors
    /// What the store says.
    pub async fn drop_profile(&self, id: &str) -> Result<(), String> {
        match self.place.store.delete(&beside(self, id)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Whether the object is still the one that was found.
    pub async fn is_as_found(&self) -> bool {
        let now = self.place.store.head(&self.place.path).await;
        now.is_ok_and(|meta| meta.size == self.size_bytes && crate::reader::version_of(&meta) == self.version)
    }
}
