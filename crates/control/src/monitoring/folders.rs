//! The door to the stores: what lies in a folder. Control reads no objects and no lists of them by itself.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use captura_names::Timestamp;

/// Longest time for one look.
const LOOK_TIMEOUT: Duration = Duration::from_secs(30);

/// What lies in a folder of a store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Folder {
    /// Names of the folders in it.
    pub folders: Vec<String>,
    /// Names of the objects in it.
    pub objects: Vec<String>,
}

/// A look into a folder, under way; why it cannot be looked into, when it cannot.
pub type Looking = Pin<Box<dyn Future<Output = Result<Folder, String>> + Send>>;

/// Looks into folders of stores, by their addresses. A folder that is not there is an empty one.
#[derive(Clone)]
pub struct Folders(Arc<dyn Fn(String) -> Looking + Send + Sync>);

impl Folders {
    /// Folders that are looked into by that function.
    pub fn new(look: impl Fn(String) -> Looking + Send + Sync + 'static) -> Self {
        Self(Arc::new(look))
    }

    async fn look(&self, address: &str) -> Result<Folder, String> {
        match tokio::time::timeout(LOOK_TIMEOUT, (self.0)(address.to_owned())).await {
            Ok(found) => found,
            Err(_) => Err(format!("{address}: no answer in {} s", LOOK_TIMEOUT.as_secs())),
        }
    }

    /// The hours of each variant that have objects: `{root}/{variant}/yyyy/mm/dd/hh/…`.
    pub(crate) async fn variants(&self, root: &str, hours: &[Timestamp]) -> Result<Vec<String>, String> {
        let mut found = Vec::new();
        let mut variants = self.look(root).await?.folders;
        variants.sort_unstable();
        for variant in variants {
            for hour in self.hours(&format!("{root}/{variant}"), hours).await? {
                found.push(format!("{variant}/{hour}"));
            }
        }
        Ok(found)
    }

    /// The hours that have objects: `{root}/yyyy/mm/dd/hh/…`.
    pub(crate) async fn hours(&self, root: &str, hours: &[Timestamp]) -> Result<Vec<String>, String> {
        let mut found = Vec::new();
        for hour in hours {
            let hour = hour.hour_path().to_string();
            let folder = self.look(&format!("{root}/{hour}")).await?;
            if !folder.objects.is_empty() || !folder.folders.is_empty() {
                found.push(hour);
            }
        }
        Ok(found)
    }

    /// The objects of those hours: `{root}/yyyy/mm/dd/hh/{object}`.
    pub(crate) async fn objects(&self, root: &str, hours: &[Timestamp]) -> Result<Vec<String>, String> {
        let mut found = Vec::new();
        for hour in hours {
            let hour = hour.hour_path().to_string();
            let objects = self.look(&format!("{root}/{hour}")).await?.objects;
            found.extend(objects.into_iter().map(|object| format!("{hour}/{object}")));
        }
        Ok(found)
    }
}

impl Default for Folders {
    /// Every folder is empty.
    fn default() -> Self {
        Self::new(|_| Box::pin(async { Ok(Folder::default()) }))
    }
}

impl fmt::Debug for Folders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Folders")
    }
}
