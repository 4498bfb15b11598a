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
use captura_names::{EndpointName, InferenceComponentName, VariantName};
use captura_route::{Backend, CapturePolicy, Component, Endpoint, Extras, Fleet, NoVariant, RouteTable, Variant};
use http::HeaderValue;
use tokio::sync::watch;

use crate::admission::{Gate, Gates};
use crate::settings::Redactions;

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
    /// In the order of the endpoint's fleets.
    fleets: Vec<PreparedFleet>,
    /// In the order of the endpoint's components.
    components: Vec<PreparedVariant>,
}

/// A fleet, prepared.
#[derive(Debug)]
struct PreparedFleet {
    /// In the order of the fleet's variants.
    variants: Vec<PreparedVariant>,
    shadows: Vec<Shadow>,
}

/// A variant that gets copies of calls.
#[derive(Debug)]
pub(crate) struct Shadow {
    pub(crate) variant: Arc<PreparedVariant>,
    /// Share of the calls that are copied, 0.0 to 1.0.
    pub(crate) share: f64,
}

/// A variant, prepared.
pub(crate) struct PreparedVariant {
    pub(crate) name: VariantName,
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) gate: Arc<Gate>,
    pub(crate) stream: Stream,
    /// What the model takes of a call beside its payload.
    pub(crate) extras: Extras,
    /// The name, as replies carry it.
    pub(crate) header: HeaderValue,
}

impl std::fmt::Debug for PreparedVariant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PreparedVariant").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Prepared {
    fn new(table: Arc<RouteTable>, means: &Means) -> Self {
        let endpoints = table.endpoints().map(|endpoint| {
            let fleets = endpoint.fleets.iter().map(|fleet| PreparedFleet::new(fleet, means));
            let component = |one: &Component| PreparedVariant::new(&one.backend, &one.capture, None, means);
            let components = endpoint.components.iter().map(component);
            let prepared = PreparedEndpoint {
                fleets: fleets.collect(),
                components: components.collect(),
                endpoint: Arc::clone(endpoint),
            };
            (endpoint.name.clone(), prepared)
        });
        let endpoints = endpoints.collect();
        Self { table, endpoints }
    }

    /// The endpoint of that name, if it is served.
    pub(crate) fn endpoint(&self, name: &EndpointName) -> Option<&PreparedEndpoint> {
        self.endpoints.get(name)
    }

    /// Whether it was served before a restart and is still being loaded.
    pub(crate) fn is_returning(&self, name: &EndpointName) -> bool {
        self.table.is_returning(name)
    }
}

impl PreparedFleet {
    fn new(fleet: &Fleet, means: &Means) -> Self {
        let variant = |one: &Variant| PreparedVariant::new(&one.backend, &one.capture, one.concurrency_max, means);
        let production: f32 = fleet.variants.iter().map(|one| one.weight).sum();
        let shadows = fleet.shadows.iter().map(|one| {
            let share = if production > 0.0 { f64::from(one.weight / production).min(1.0) } else { 0.0 };
            Shadow { variant: Arc::new(variant(one)), share }
        });
        Self { shadows: shadows.collect(), variants: fleet.variants.iter().map(variant).collect() }
    }
}

impl PreparedVariant {
    fn new(
        backend: &Arc<dyn Backend>,
        policy: &Arc<CapturePolicy>,
        concurrency_max: Option<u32>,
        means: &Means,
    ) -> Self {
        let name = policy.variant.clone();
        let rules = means.redactions.as_ref().and_then(|rules_for| rules_for(&policy.endpoint, backend.signature()));
        let stream = match rules {
            Some(rules) => means.capture.redacting_stream(policy, rules),
            None => means.capture.stream(policy),
        };
        Self {
            backend: Arc::clone(backend),
            gate: means.gates.gate(&policy.endpoint, &name, concurrency_max),
            stream,
            extras: backend.extras(),
            header: HeaderValue::from_str(name.as_str()).expect("our bug: names are letters and digits"),
            name,
        }
    }
}

impl PreparedEndpoint {
    /// As [`Endpoint::pick`], with the variants that get copies.
    pub(crate) fn pick(
        &self,
        target: Option<&VariantName>,
        dice: f64,
    ) -> Result<(&PreparedVariant, &[Shadow]), NoVariant> {
        let (fleet, variant) = self.endpoint.pick(target, dice)?;
        let fleet = &self.fleets[fleet];
        Ok((&fleet.variants[variant], &fleet.shadows))
    }

    /// As [`Endpoint::pick_component`].
    pub(crate) fn component(&self, name: &InferenceComponentName, dice: f64) -> Option<&PreparedVariant> {
        self.components.get(self.endpoint.pick_component(name, dice)?)
    }
}

/// What variants are prepared with.
pub(crate) struct Means {
    pub(crate) gates: Gates,
    pub(crate) capture: Capture,
    /// Rules by which exchanges are redacted before they are kept.
    pub(crate) redactions: Option<Redactions>,
}

impl std::fmt::Debug for Means {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Means").field("gates", &self.gates).finish_non_exhaustive()
    }
}

/// Prepares tables, each one once.
#[derive(Debug)]
pub(crate) struct Preparer {
    pub(crate) means: Means,
    latest: Mutex<Arc<Prepared>>,
}

impl Preparer {
    pub(crate) fn new(table: Arc<RouteTable>, means: Means) -> Self {
        let latest = Mutex::new(Arc::new(Prepared::new(table, &means)));
        Self { means, latest }
    }

    /// The table, prepared.
    pub(crate) fn prepare(&self, table: Arc<RouteTable>) -> Arc<Prepared> {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&latest.table, &table) {
            *latest = Arc::new(Prepared::new(table, &self.means));
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
