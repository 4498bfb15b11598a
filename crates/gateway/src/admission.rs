//! Who may come in: a permit for each call of a variant, or an immediate refusal.
//!
//! Invariant: permits are given back when their holder is dropped, so no way out of a call can keep one; a variant's
//! permits outlive route tables, so calls that began under an older table still count. There is no queue: waiting is
//! for the caller to decide, who alone knows how long an answer is worth having.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use captura_names::{EndpointName, VariantName};

use crate::metrics::VariantMeters;

/// The way to one variant: its permits and its meters, for as long as the process knows the variant.
#[derive(Debug)]
pub(crate) struct Gate {
    in_flight: AtomicU32,
    /// The server's limit, or a lower one of the variant's own.
    limit: AtomicU32,
    /// What is counted of the variant's calls.
    pub(crate) meters: VariantMeters,
}

impl Gate {
    fn new(limit: u32) -> Self {
        Self { in_flight: AtomicU32::new(0), limit: AtomicU32::new(limit), meters: VariantMeters::default() }
    }

    /// A permit, or `None` when as many calls are in flight as may be.
    pub(crate) fn admit(self: &Arc<Self>) -> Option<Permit> {
        // One more is counted before it is compared, so that two callers cannot both take the last permit.
        if self.in_flight.fetch_add(1, Ordering::Relaxed) < self.limit.load(Ordering::Relaxed) {
            Some(Permit { gate: Arc::clone(self), ended: false })
        } else {
            self.in_flight.fetch_sub(1, Ordering::Relaxed);
            None
        }
    }

    pub(crate) fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }
}

/// Leave to call a variant, given back on drop.
#[derive(Debug)]
pub(crate) struct Permit {
    gate: Arc<Gate>,
    ended: bool,
}

impl Permit {
    /// The call ended with that status; a permit that is dropped instead counts a caller that hung up.
    pub(crate) fn end(mut self, status: u16, total: Duration, in_model: Duration) {
        self.ended = true;
        self.gate.meters.ended(status, total, in_model);
    }
}

impl Permit {
    /// What is counted of the variant's calls.
    pub(crate) fn meters(&self) -> &VariantMeters {
        &self.gate.meters
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if !self.ended {
            self.gate.meters.hung_up();
        }
        self.gate.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Variants whose gates are kept, at most, after they have left the table. It caps the labels of the metrics too.
const GATES_MAX: usize = 1_000;

type GateKey = (EndpointName, VariantName);

/// All gates, by endpoint and variant. Clones are handles to the same ones.
#[derive(Debug, Clone)]
pub(crate) struct Gates {
    limit: u32,
    by_name: Arc<Mutex<HashMap<GateKey, Arc<Gate>>>>,
}

impl Gates {
    pub(crate) fn new(limit: u32) -> Self {
        Self { limit, by_name: Arc::default() }
    }

    /// The gate of that variant: the one there is, else a new one. From now on it lets no more calls in than the
    /// variant may take, where its configuration says so.
    pub(crate) fn gate(&self, endpoint: &EndpointName, variant: &VariantName, most: Option<u32>) -> Arc<Gate> {
        let mut gates = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        if gates.len() >= GATES_MAX {
            // Only this map holds the gate of a variant that is in no table and in no call.
            gates.retain(|_, gate| Arc::strong_count(gate) > 1);
        }
        let new = || Arc::new(Gate::new(self.limit));
        let gate = gates.entry((endpoint.clone(), variant.clone())).or_insert_with(new);
        gate.limit.store(most.unwrap_or(u32::MAX).min(self.limit), Ordering::Relaxed);
        Arc::clone(gate)
    }

    /// All gates, in the order of their names.
    pub(crate) fn list(&self) -> Vec<(GateKey, Arc<Gate>)> {
        let gates = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        let mut list: Vec<_> = gates.iter().map(|(key, gate)| (key.clone(), Arc::clone(gate))).collect();
        list.sort_by(|a, b| a.0.cmp(&b.0));
        list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(endpoint: &str, variant: &str) -> GateKey {
        (EndpointName::parse(endpoint).unwrap(), VariantName::parse(variant).unwrap())
    }

    #[test]
    fn permits_are_limited_and_come_back() {
        let gates = Gates::new(2);
        let (endpoint, variant) = key("e", "v");
        let gate = gates.gate(&endpoint, &variant, None);
        let first = gate.admit().unwrap();
        let _second = gate.admit().unwrap();
        assert!(gate.admit().is_none());
        assert_eq!(gate.in_flight(), 2);
        drop(first);
        assert!(gate.admit().is_some());
    }

    #[test]
    fn a_variant_may_take_fewer_calls_than_the_server_and_never_more() {
        let gates = Gates::new(2);
        let (endpoint, variant) = key("e", "v");
        let held = gates.gate(&endpoint, &variant, Some(1)).admit().unwrap();
        assert!(gates.gate(&endpoint, &variant, Some(1)).admit().is_none());
        let gate = gates.gate(&endpoint, &variant, Some(200));
        let _second = gate.admit().unwrap();
        assert!(gate.admit().is_none());
        drop(held);
    }

    #[test]
    fn permits_do_not_double_when_a_variant_is_published_again() {
        let gates = Gates::new(1);
        let (endpoint, variant) = key("e", "v");
        let _held = gates.gate(&endpoint, &variant, None).admit().unwrap();
        assert!(gates.gate(&endpoint, &variant, None).admit().is_none());
        assert!(gates.gate(&endpoint, &key("e", "w").1, None).admit().is_some());
    }

    #[test]
    fn gates_of_departed_variants_are_given_up_beyond_the_cap_but_never_one_in_use() {
        let gates = Gates::new(1);
        let (endpoint, variant) = key("busy", "v");
        let permit = gates.gate(&endpoint, &variant, None).admit().unwrap();
        for number in 0..GATES_MAX * 2 {
            let (endpoint, variant) = key(&format!("e{number}"), "v");
            gates.gate(&endpoint, &variant, None);
        }
        assert!(gates.list().len() <= GATES_MAX);
        assert!(gates.gate(&endpoint, &variant, None).admit().is_none());
        drop(permit);
    }
}
