//! The door behind the gateway to the buckets.

use std::sync::Arc;

use captura_archive::Stores;
use captura_buckets::{Buckets, Settings};
use captura_gateway::BucketDoor;
use captura_route::Clock;
use captura_tasks::Tasks;

use crate::config::{AuthMode, Config};

/// The door for the gateway. A bucket may stand before any name that is allowed with a wildcard; where signatures count it
/// stands in the path only, because that is where policies look for it.
pub(crate) fn door(
    config: &Config,
    stores: &Stores,
    allowed_hosts: &[String],
    (clock, tasks): (&Clock, &Tasks),
) -> BucketDoor {
    let clock = clock.clone();
    let wildcards = allowed_hosts.iter().filter_map(|host| host.strip_prefix("*.")).map(str::to_ascii_lowercase);
    let domains = wildcards.filter(|_| config.auth.mode == AuthMode::Open);
    let buckets = Arc::new(Buckets::open(Settings {
        data_dir: config.server.data_dir.clone(),
        stores: stores.clone(),
        region: config.aws.region.clone(),
        account: config.aws.account.clone(),
        domains: domains.collect(),
        now: Arc::new(move || clock.now()),
        tasks: tasks.clone(),
    }));
    Arc::new(move |request| {
        let buckets = Arc::clone(&buckets);
        Box::pin(async move { buckets.answer(request).await })
    })
}
