//! From what is served to the table that the gateway reads.
//!
//! Every change is a whole new table, sent at once: a call finds an endpoint as it was before or as it is after.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use captura_route::{Component, Endpoint, RouteTable};
use tokio::sync::watch;

use crate::fleet::{Standing, StandingView};

/// Inference components that take calls, by the catalog row of their endpoint.
pub(crate) type ComponentsByEndpoint = BTreeMap<i64, Vec<Component>>;
/// Those that were last published, for those who only look.
pub(crate) type ComponentsView = watch::Receiver<Arc<ComponentsByEndpoint>>;

/// Sends tables.
#[derive(Debug)]
pub(crate) struct Publisher {
    table: watch::Sender<Arc<RouteTable>>,
    standing: watch::Sender<Arc<Standing>>,
    components: watch::Sender<Arc<ComponentsByEndpoint>>,
    /// One table at a time, so that none overtakes a newer one.
    turn: Mutex<()>,
    account: String,
}

impl Publisher {
    pub(crate) fn new(table: watch::Sender<Arc<RouteTable>>, account: String) -> Self {
        let (standing, components) = (watch::Sender::new(Arc::default()), watch::Sender::new(Arc::default()));
        Self { table, standing, components, turn: Mutex::default(), account }
    }

    /// What was last published, for those who only look.
    pub(crate) fn view(&self) -> StandingView {
        self.standing.subscribe()
    }

    /// Inference components as they were last published.
    pub(crate) fn components(&self) -> ComponentsView {
        self.components.subscribe()
    }

    /// Publishes what is served.
    pub(crate) fn publish(&self, standing: &Standing) {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.send(standing, &self.components.borrow().clone());
        self.standing.send_replace(Arc::new(standing.clone()));
    }

    /// Publishes inference components beside what is served.
    pub(crate) fn publish_components(&self, components: ComponentsByEndpoint) {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let (standing, components) = (self.standing.borrow().clone(), Arc::new(components));
        self.send(&standing, &components);
        self.components.send_replace(components);
    }

    fn send(&self, standing: &Standing, components: &ComponentsByEndpoint) {
        let endpoints = standing.iter().map(|(id, served)| Endpoint {
            name: served.name.clone(),
            region: served.region.clone(),
            account: self.account.clone(),
            fleets: served.published(),
            components: components.get(id).cloned().unwrap_or_default(),
            async_inference: served.async_inference.clone(),
            metrics: served.metrics,
        });
        self.table.send_replace(Arc::new(RouteTable::new(endpoints)));
    }
}
