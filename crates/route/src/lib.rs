//! The hatch between the two planes: what control publishes, and what the gateway reads.
//!
//! Control builds a whole new [`RouteTable`] and sends it through a `watch`; the gateway reads the latest snapshot and
//! never asks. A snapshot is immutable: an update is another snapshot, so no call fails or waits while it happens.
//!
//! Invariant: everything a call needs (backend, capture policy, weights) rides in the snapshot it started with.
//! Refuses to: do IO, know HTTP or the wire's shapes.

mod backend;
mod budget;
mod caller;
mod capture_policy;
mod clock;
mod deferred;
mod figures;
mod invocation;
mod latency;
mod redaction;
mod signature;
mod table;

pub use backend::{Answer, Backend, BackendError, Chunks, Extras, Invoking, StreamedAnswer, Streaming};
pub use budget::{Held, Holder, MemoryBudget};
pub use caller::{Caller, Consumer, Principal, UserAgent};
pub use capture_policy::{CapturePolicy, CaptureSettings, Durability, WhenUnavailable};
pub use clock::Clock;
pub use deferred::{Deferred, Served};
pub use figures::{IN_PROCESS, InstanceFigures};
pub use invocation::{Invocation, ModelRequest};
pub use latency::Latency;
pub use redaction::{Exchange, Redacted, Redaction};
pub use signature::{Field, FieldType, Signature};
pub use table::{AsyncInference, Component, Endpoint, Fleet, MetricsPolicy, NoVariant, Place, RouteTable, Variant};
