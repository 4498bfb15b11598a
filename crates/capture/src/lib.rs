//! An exchange becomes durable: sampled, framed, written to the journal, and counted in the ledger.
//!
//! Invariant: every invocation that was begun ends in exactly one account of the ledger; a record that was acknowledged
//! is in the journal as the acknowledgement said.
//! Refuses to: know HTTP or the wire, talk to object stores, decode payloads (bytes stay bytes until monitor).

mod capture;
mod destination;
pub mod journal;
pub mod ledger;
mod mark;
pub mod record;
pub mod sabotage;
pub mod sampler;
mod settings;
mod stream;
mod ticket;
mod witness;

pub use capture::{Capture, CloseError, Departure, FreeError, OpenError, RemovedRecords};
pub use destination::Destination;
pub use journal::carry::{CarryError, Numbers};
pub use journal::segment::{AccountRecords, SealedSegment, SegmentName};
pub use journal::space::SpaceFigures;
pub use journal::{Inspection, RecoveryReport, Unreadable, inspect};
pub use ledger::DropReason;
pub use mark::Mark;
pub use settings::Settings;
pub use stream::{Begun, Refused, Stream};
pub use ticket::{Captured, Ticket};
pub use witness::{Seen, Witness};

#[cfg(test)]
mod tests;
