//! From what is served to the table that the gateway reads.
//!
//! Every change is a whole new table, sent at once: a call finds an endpoint as it was before or as it is after.

use std::sync::Arc;

use captura_route::{Endpoint, RouteTable};
use tokio::sync::watch;

use crate::fleet::{Standing, StandingView};

/// Sends tables.
#[derive(Debug)]
pub(crate) struct Publisher {
    table: watch::Sender<Arc<RouteTable>>,
    standing: watch::Sender<Arc<Standing>>,
    account: String,
}

impl Publisher {
    pub(crate) fn new(table: watch::Sender<Arc<RouteTable>>, account: String) -> Self {
        Self { table, standing: watch::Sender::new(Arc::default()), account }
    }

    /// What was last published, for those who only look.
    pub(crate) fn view(&self) -> StandingView {
        self.standing.subscribe()
    }

    /// Publishes what is served.
    pub(crate) fn publish(&self, standing: &Standing) {
        let endpoints = standing.values().map(|served| Endpoint {
            name: served.name.clone(),
            region: served.region.clone(),
            account: self.account.clone(),
            fleets: served.published(),
            components: Vec::new(),
            async_inference: served.async_inference.clone(),
        });
        self.table.send_replace(Arc::new(RouteTable::new(endpoints)));
        self.standing.send_replace(Arc::new(standing.clone()));
    }
}
