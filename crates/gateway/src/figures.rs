//! What was counted of each variant, for those who publish it: a reading of the meters, in numbers that only go up.
//!
//! Invariant: reading touches no call; the meters are the ones that the scrape tells as well.

use std::sync::{Arc, OnceLock};

use captura_names::{EndpointName, VariantName};

use crate::admission::Gates;
use crate::metrics::CALLER_GONE;

/// A way to the meters of a gateway that outlives it. Empty until the gateway serves.
#[derive(Debug, Clone, Default)]
pub struct Meters(Arc<OnceLock<Gates>>);

/// Durations since the start, counted in buckets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Durations {
    /// Sum of all, microseconds.
    pub sum_us: u64,
    /// Lower bound, upper bound (both in microseconds) and count of each bucket.
    pub buckets: Vec<(u64, u64, u64)>,
}

/// What was counted of a variant since it was first served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VariantFigures {
    /// Its endpoint.
    pub endpoint: EndpointName,
    /// Its name.
    pub variant: VariantName,
    /// Calls that ended, whichever way.
    pub invocations: u64,
    /// Calls that the model answered with 4xx.
    pub errors_4xx: u64,
    /// Calls that the model answered with 5xx.
    pub errors_5xx: u64,
    /// Calls that got no good answer: errors of the model, timeouts, models that cannot be reached.
    pub model_errors: u64,
    /// Time in the model.
    pub model_latency: Durations,
    /// Time in the server.
    pub overhead_latency: Durations,
}

impl Meters {
    /// From here on, these are read.
    pub(crate) fn show(&self, gates: &Gates) {
        // A gateway serves once.
        let _ = self.0.set(gates.clone());
    }

    /// Reads every variant that was ever called, or is served.
    #[must_use]
    pub fn read(&self) -> Vec<VariantFigures> {
        let gates = self.0.get().map(Gates::list).unwrap_or_default();
        gates
            .into_iter()
            .map(|((endpoint, variant), gate)| {
                let meters = &gate.meters;
                let of = |wanted: &dyn Fn(u16) -> bool| -> u64 {
                    meters.requests().filter(|(status, _)| wanted(*status)).map(|(_, count)| count).sum()
                };
                let (errors_4xx, errors_5xx) = meters.model_answered();
                let durations = |(sum_us, buckets)| Durations { sum_us, buckets };
                VariantFigures {
                    endpoint,
                    variant,
                    invocations: of(&|_| true),
                    errors_4xx,
                    errors_5xx,
                    model_errors: of(&|status| status != 200 && status != CALLER_GONE),
                    model_latency: durations(meters.in_model.read()),
                    overhead_latency: durations(meters.overhead.read_us()),
                }
            })
            .collect()
    }
}
