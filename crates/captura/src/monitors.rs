//! Joins monitoring schedules to the stores, and answers the one request of them that SageMaker's API has no word for.

use std::time::Duration;

use captura_archive::Stores;
use captura_archive::level::level;
use captura_control::{Folder, Folders, Monitors};

use crate::config::Config;

/// How long a sealed segment may take to become objects.
const ARCHIVING: Duration = Duration::from_secs(10);
/// What the request's path begins and ends with.
const PATH: (&str, &str) = ("/captura/v1/monitoring-schedules/", "/executions");

/// What monitoring schedules need of the rooms around.
pub(crate) fn rooms(config: &Config, stores: &Stores) -> Monitors {
    let stores = stores.clone();
    let folders = Folders::new(move |address| {
        let stores = stores.clone();
        Box::pin(async move {
            let found = level(&stores, &address).await.map_err(|error| error.to_string())?;
            Ok(Folder { folders: found.folders, objects: found.objects })
        })
    });
    Monitors { folders, settle: config.capture.seal_after.0 + ARCHIVING }
}

/// The schedule that a path has an execution begin of.
pub(crate) fn schedule_of(path: &str) -> Option<&str> {
    let name = path.strip_prefix(PATH.0)?.strip_suffix(PATH.1)?;
    (!name.is_empty() && !name.contains('/')).then_some(name)
}
