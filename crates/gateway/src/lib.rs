//! The data plane's front door: HTTP in, one invocation through its life, HTTP out.
//!
//! Invariant: no request waits on control, SQL or the object store; every limit has a name; the order of an
//! invocation's life is known to `invoke` alone. Refuses to: import control, archive, backends or monitor.

mod admission;
mod body;
mod certificate;
mod choice;
mod connection;
mod deferred;
mod dispatch;
mod fault;
mod figures;
mod head;
mod hosts;
mod identity;
mod invoke;
mod life;
mod metrics;
mod own;
mod premises;
mod prepared;
mod pulse;
mod reply;
mod scrape;
mod server;
mod settings;
mod shadow;
mod streaming;
mod tls;
mod verification;

pub use deferred::Runner;
pub use figures::{Durations, Meters, VariantFigures};
pub use own::{OwnCall, OwnOutcome};
pub use server::Gateway;
pub use settings::{BacklogDoor, BodyError, BucketDoor, Door, Doors, MoreMetrics, PiecewiseBody, Redactions, Settings};
pub use tls::{ClientAuth, Tls, TlsError};
