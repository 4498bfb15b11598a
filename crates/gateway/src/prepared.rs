//! A route table with everything at hand that a call needs: gates, meters and capture streams beside the backends.
//!
//! Each connection keeps the prepared table that it used last and looks at one atomic to see whether it is the current
//! one; the first connection that meets a new table prepares it, the others find it done. So a call costs one lookup of
//! its endpoint, and no call waits for a table.
//!
//! Invariant: a connection never serves from a table that is older than what was published before the call arrived.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use captura_capture::{Capture, Stream};
use captura_names::{EndpointName, VariantName};
use captura_route::{Backend, CapturePolicy, Endpoint, NoVariant, RouteTable};
use http::HeaderValue;
use tokio::sync::watch;

use crate::admission::{Gate, Gates};

/// A route table, prepared.
#[derive(Debug)]
pub(crate) struct Prepared {
    table: Arc<RouteTable>,
    endpoints: HashMap<EndpointName, PreparedEndpoint>,
}

/// An endpoint, prepared.
#[derive(Debug)]
pub(crate) struct PreparedEndpoint {
    pub(crate) endpoint: Arc<Endpoint>,
    /// In the order of the endpoint's fleets and their variants.
    fleets: Vec<Vec<PreparedVariant>>,
}

/// A variant, prepared.
pub(crate) struct PreparedVariant {
    pub(crate) name: VariantName,
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) gate: Arc<Gate>,
    pub(crate) stream: Stream,
    /// The name, as replies carry it.
    pub(crate) header: HeaderValue,
}

impl std::fmt::Debug for PreparedVariant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PreparedVariant").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Prepared {
    fn new(table: Arc<RouteTable>, gates: &Gates, capture: &Capture) -> Self {
        let endpoints = table.endpoints().map(|endpoint| {
            let variant = |backend, policy| PreparedVariant::new(backend, policy, gates, capture);
            let fleets = endpoint
                .fleets
                .iter()
                .map(|fleet| fleet.variants.iter().map(|one| variant(&one.backend, &one.capture)).collect::<Vec<_>>());
            let prepared = PreparedEndpoint { endpoint: Arc::clone(endpoint), fleets: fleets.collect() };
            (endpoint.name.clone(), prepared)
        });
        let endpoints = endpoints.collect();
        Self { table, endpoints }
    }

    /// The endpoint of that name, if it is served.
    pub(crate) fn endpoint(&self, name: &EndpointName) -> Option<&PreparedEndpoint> {
        self.endpoints.get(name)
    }
}

impl PreparedVariant {
    fn new(backend: &Arc<dyn Backend>, policy: &Arc<CapturePolicy>, gates: &Gates, capture: &Capture) -> Self {
        let name = policy.variant.clone();
        Self {
            backend: Arc::clone(backend),
            gate: gates.gate(&policy.endpoint, &name),
            stream: capture.stream(policy),
            header: HeaderValue::from_str(name.as_str()).expect("our bug: names are letters and digits"),
            name,
        }
    }
}

impl PreparedEndpoint {
    /// As [`Endpoint::pick`].
    pub(crate) fn pick(&self, target: Option<&VariantName>, dice: f64) -> Result<&PreparedVariant, NoVariant> {
        let (fleet, variant) = self.endpoint.pick(target, dice)?;
        Ok(&self.fleets[fleet][variant])
    }
}

/// Prepares tables, each one once.
#[derive(Debug)]
pub(crate) struct Preparer {
    pub(crate) gates: Gates,
    capture: Capture,
    latest: Mutex<Arc<Prepared>>,
}

impl Preparer {
    pub(crate) fn new(table: Arc<RouteTable>, gates: Gates, capture: Capture) -> Self {
        let latest = Mutex::new(Arc::new(Prepared::new(table, &gates, &capture)));
        Self { gates, capture, latest }
    }

    /// The table, prepared.
    pub(crate) fn prepare(&self, table: Arc<RouteTable>) -> Arc<Prepared> {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&latest.table, &table) {
            *latest = Arc::new(Prepared::new(table, &self.gates, &self.capture));
        }
        Arc::clone(&latest)
    }
}

/// One connection's view of the tables.
#[derive(Debug)]
pub(crate) struct Routes {
    receiver: watch::Receiver<Arc<RouteTable>>,
    prepared: Arc<Prepared>,
}

impl Routes {
    pub(crate) fn new(mut receiver: watch::Receiver<Arc<RouteTable>>, preparer: &Preparer) -> Self {
        let table = Arc::clone(&receiver.borrow_and_update());
        Self { prepared: preparer.prepare(table), receiver }
    }

    /// The current table, prepared.
    pub(crate) fn current(&mut self, preparer: &Preparer) -> &Arc<Prepared> {
        // An error says that control is gone; the last table that it left is still to be served.
        if self.receiver.has_changed().unwrap_or(true) {
            let table = Arc::clone(&self.receiver.borrow_and_update());
            if !Arc::ptr_eq(&self.prepared.table, &table) {
                self.prepared = preparer.prepare(table);
            }
        }
        &self.prepared
    }
}
