//! Captured data to findings, as pure functions: data set in, profile, constraints and violations out.
//!
//! Invariant: same input, same bytes out, whatever the order of files. Refuses to: read clocks, do IO outside `job`,
//! know the gateway, control or backends.
