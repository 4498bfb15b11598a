//! An exchange becomes durable: sampled, framed, written to the journal, and counted in the ledger.
//!
//! Invariant: every invocation that was begun ends in exactly one account of the ledger; a record that was acknowledged
//! is in the journal as the acknowledgement said.
//! Refuses to: know HTTP or the wire, talk to object stores, decode payloads (bytes stay bytes until monitor).

pub mod record;
