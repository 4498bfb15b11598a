//! From what is served to the table that the gateway reads.
//!
//! Every change is a whole new table, sent at once: a call finds an endpoint as it was before or as it is after.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use captura_names::EndpointName;
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
    /// Endpoints that are still being loaded after a start. Whoever holds it sends: one table at a time, so that none
    /// overtakes a newer one.
    returning: Mutex<BTreeSet<EndpointName>>,
    account: String,
}

impl Publisher {
    pub(crate) fn new(table: watch::Sender<Arc<RouteTable>>, account: String) -> Self {
        let (standing, components) = (watch::Sender::new(Arc::default()), watch::Sender::new(Arc::default()));
        Self { table, standing, components, returning: Mutex::default(), account }
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
        let returning = self.turn();
        self.send(standing, &self.components.borrow().clone(), &returning);
        self.standing.send_replace(Arc::new(standing.clone()));
    }

    /// Publishes inference components beside what is served.
    pub(crate) fn publish_components(&self, components: ComponentsByEndpoint) {
        let returning = self.turn();
        let (standing, components) = (self.standing.borrow().clone(), Arc::new(components));
        self.send(&standing, &components, &returning);
        self.components.send_replace(components);
    }

    /// Publishes which endpoints are still being loaded after a start, where these are others than before.
    pub(crate) fn publish_returning(&self, endpoints: BTreeSet<EndpointName>) {
        let mut returning = self.turn();
        if *returning != endpoints {
            *returning = endpoints;
            self.send(&self.standing.borrow().clone(), &self.components.borrow().clone(), &returning);
        }
    }

    fn turn(&self) -> MutexGuard<'_, BTreeSet<EndpointName>> {
        self.returning.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send(&self, standing: &Standing, components: &ComponentsByEndpoint, returning: &BTreeSet<EndpointName>) {
        let endpoints = standing.iter().map(|(id, served)| Endpoint {
            name: served.name.clone(),
            region: served.region.clone(),
            account: self.account.clone(),
            fleets: served.published(),
            components: components.get(id).cloned().unwrap_or_default(),
            async_inference: served.async_inference.clone(),
            metrics: served.metrics,
        });
        self.table.send_replace(Arc::new(RouteTable::new(endpoints).with_returning(returning.clone())));
    }
}
