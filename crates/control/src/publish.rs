//! From what is served to the table that the gateway reads.
//!
//! Every change is a whole new table, sent at once: a call finds an endpoint as it was before or as it is after.

use std::collections::BTreeMap;
use std::sync::Arc;

use captura_names::EndpointName;
use captura_route::{Endpoint, Fleet, RouteTable, Variant};
use tokio::sync::watch;
use uuid::Uuid;

/// An endpoint that takes calls.
#[derive(Debug, Clone)]
pub(crate) struct Served {
    /// The deployment whose models are loaded.
    pub(crate) deployment: Uuid,
    pub(crate) name: EndpointName,
    pub(crate) region: String,
    /// Kept between tables, so that what hangs on a policy's identity survives changes of other endpoints.
    pub(crate) variants: Vec<Variant>,
}

/// Sends tables.
#[derive(Debug)]
pub(crate) struct Publisher {
    pub(crate) table: watch::Sender<Arc<RouteTable>>,
    pub(crate) account: String,
}

impl Publisher {
    /// Publishes what is served, by catalog row.
    pub(crate) fn publish(&self, served: &BTreeMap<i64, Served>) {
        let endpoints = served.values().map(|served| Endpoint {
            name: served.name.clone(),
            region: served.region.clone(),
            account: self.account.clone(),
            fleets: vec![Fleet { weight: 1.0, variants: served.variants.clone(), shadows: Vec::new() }],
            components: Vec::new(),
            async_inference: None,
        });
        self.table.send_replace(Arc::new(RouteTable::new(endpoints)));
    }
}
