//! Bias: whether labels and predictions differ between those who have a facet and all others, in Clarify's metrics.
//!
//! All metrics but the flip test depend on how many rows have the facet, the positive label, the positive prediction and
//! each value of the group variable; so rows are counted once, and intervals are made by drawing counts.
//!
//! Invariant: the same rows and seed give the same bytes. What cannot be computed has a reason instead of a value.
//! Refuses to: decide which groups are to be protected.

mod analysis;
mod check;
mod choice;
mod counts;
mod flip;
mod intervals;
mod metrics;

pub use analysis::{Analysis, BiasMetrics, FacetMetrics, Facets, MetricResult, read_json};
pub use check::{BiasChecked, BiasFinding, BiasViolation, BiasViolations, check};
pub use choice::{BiasConfig, Chosen, FacetConfig, InvalidConfig, Values};
pub use counts::{Counts, Row};
pub use flip::{FlipRows, MAX_FLIP_ROWS, flip_test};
pub use intervals::{Interval, RESAMPLES, intervals};
pub use metrics::{Stage, Value, description, metrics};

#[cfg(test)]
mod tests;
