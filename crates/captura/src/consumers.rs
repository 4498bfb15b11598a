//! Wires the book of consumers to the journal, and tells what is in it.
//!
//! Invariant: no segment leaves the journal before the book that has its calls is on the disk.

use std::path::Path;

use captura_archive::journal::{Backlog, Items, Journal};
use captura_archive::runs::Runs;
use captura_capture::ledger::Snapshot;
use captura_capture::{Capture, Departure, SealedSegment, SegmentName};
use captura_consumers::{Consumer, Consumers};
use captura_keys::Registry;
use captura_names::S3Uri;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::folders;

/// Opens the book of a data directory.
pub(crate) fn open(data_dir: &Path) -> anyhow::Result<Consumers> {
    Ok(Consumers::open(&data_dir.join(folders::CONSUMERS))?)
}

/// Takes into the book what a killed server has left in the journal.
pub(crate) fn recover(consumers: &Consumers, capture: &Capture) -> anyhow::Result<()> {
    let recovered = consumers.recover(&capture.sealed(), capture.node_and_epoch())?;
    if recovered > 0 {
        tracing::info!(recovered, "calls were taken out of the journal into the book of consumers");
    }
    Ok(())
}

/// The journal for the archive.
pub(crate) fn counted(capture: &Capture, consumers: &Consumers) -> Counted {
    Counted { capture: capture.clone(), consumers: consumers.clone() }
}

/// The journal as the archive sees it, with the book written down before anything leaves.
pub(crate) struct Counted {
    pub(crate) capture: Capture,
    pub(crate) consumers: Consumers,
}

impl Journal for Counted {
    fn sealed(&self) -> Vec<SealedSegment> {
        Journal::sealed(&self.capture)
    }

    fn sealed_changed(&self) -> watch::Receiver<u64> {
        Journal::sealed_changed(&self.capture)
    }

    fn backlog(&self) -> Backlog {
        self.capture.backlog()
    }

    fn read(&self, segment: &SealedSegment) -> Result<Items, String> {
        self.capture.read(segment)
    }

    fn carry(&self, segment: &SegmentName, numbers: &Runs) -> Result<SealedSegment, String> {
        Journal::carry(&self.capture, segment, numbers)
    }

    fn let_go(&self, segment: &SegmentName, departure: &Departure<'_>) -> Result<(), String> {
        self.consumers.flush().map_err(|error| format!("the book of consumers cannot be written: {error}"))?;
        Journal::let_go(&self.capture, segment, departure)
    }

    fn destinations(&self) -> Vec<S3Uri> {
        Journal::destinations(&self.capture)
    }

    fn mark_destination(&self, destination: &S3Uri, unwritable: Option<String>) {
        self.capture.mark_destination(destination, unwritable);
    }

    fn mark_failing(&self, destination: &S3Uri, failing: bool) {
        Journal::mark_failing(&self.capture, destination, failing);
    }
}

/// All consumers, those that are registered with what is known of them, and on how much of the ledger this stands.
pub(crate) fn told(consumers: &Consumers, registry: &Registry, ledger: &Snapshot) -> Value {
    let (list, total) = consumers.list();
    let mut told: Vec<Value> = list.iter().map(shown).collect();
    for registered in registry.consumers() {
        let found = told.iter_mut().find(|one| one["name"] == *registered.name);
        let one = match found {
            Some(one) => one,
            None => {
                told.push(json!({ "name": registered.name, "calls": 0 }));
                told.last_mut().expect("our bug: it was pushed a moment ago")
            }
        };
        one["registered"] = json!(true);
        one["contact"] = json!(registered.contact);
        one["purpose"] = json!(registered.purpose);
        one["match"] = json!(registered.principals);
    }
    let concluded: u64 = ledger.accounts.iter().map(|account| account.invoked.saturating_sub(account.in_flight)).sum();
    // Calls are in the book a moment before they are concluded in the ledger, or after.
    let counted = (total.calls + total.shadow_copies).min(concluded);
    json!({ "consumers": told, "coverage": { "concluded": concluded, "counted": counted } })
}

/// A consumer as others read it: its times are text there, numbers only in the book.
fn shown(consumer: &Consumer) -> Value {
    let mut shown = json!(consumer);
    shown["firstSeen"] = json!(consumer.first_seen.to_string());
    shown["lastSeen"] = json!(consumer.last_seen.to_string());
    shown
}

#[cfg(test)]
mod tests {
    use captura_consumers::Counts;
    use captura_names::Timestamp;

    use super::*;

    #[test]
    fn the_times_of_a_consumer_are_told_as_text() {
        let at = |second: i64| Timestamp::parse("2026-01-31T23:59:00Z").unwrap().plus_us(second * 1_000_000);
        let consumer = Consumer {
            name: "ward-a".into(),
            first_seen: at(0),
            last_seen: at(9),
            calls: 2,
            errors: 0,
            bytes_in: 70,
            bytes_out: 16,
            shadow_copies: 0,
            endpoints: Counts::default(),
            content_types: Counts::default(),
            user_agents: Counts::default(),
            principals: Counts::default(),
            source_addresses: Counts::default(),
        };
        let shown = shown(&consumer);
        assert_eq!(
            (&shown["firstSeen"], &shown["lastSeen"]),
            (&json!("2026-01-31T23:59:00Z"), &json!("2026-01-31T23:59:09Z"))
        );
        assert_eq!((&shown["calls"], &shown["bytesIn"]), (&json!(2), &json!(70)));
    }
}
