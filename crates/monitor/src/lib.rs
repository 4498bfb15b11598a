//! Captured data to findings, as pure functions: data set in, profile, constraints and violations out.
//!
//! Invariant: same input, same bytes out, whatever the order of files. Refuses to: read clocks, do IO outside `job`,
//! know the gateway, control or backends.

pub mod artefact;
pub mod attribution;
pub mod bias;
pub mod calibration;
pub mod cause;
pub mod constraints;
pub mod dataset;
pub mod dice;
pub mod drift;
pub mod estimate;
mod instructions;
pub mod job;
pub mod labels;
mod notes;
pub mod profile;
pub mod quality;
pub mod report;
pub mod sketch;
mod stored;
pub mod violations;

/// So many of them, such as `1 record` or `3 records`.
#[must_use]
pub fn counted(count: u64, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}
