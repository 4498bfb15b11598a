//! The book itself: consumers with their counts, and up to where in the journal it is complete.

use std::collections::{BTreeSet, HashMap};

use captura_capture::Seen;
use captura_capture::record::{Caller, Lsn, Outcome, Record};
use captura_names::Timestamp;
use serde::{Deserialize, Serialize};

use crate::counts::Counts;

/// Most consumers that are kept apart; those beyond share one place in the book.
const CONSUMERS_MAX: usize = 500;
/// The name of that place. Nobody can register it.
pub(crate) const OTHERS: &str = "other";
/// Most positions beyond a gap that are kept; a gap that stays for longer is one that no record will fill.
const GAP_MAX: usize = 65_536;

/// What is known of a consumer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Consumer {
    /// The name.
    pub name: String,
    /// When its first call arrived that the book has.
    pub first_seen: Timestamp,
    /// When its latest call arrived.
    pub last_seen: Timestamp,
    /// Its calls.
    pub calls: u64,
    /// Those that the model did not answer.
    pub errors: u64,
    /// Bytes that it sent.
    pub bytes_in: u64,
    /// Bytes that it was answered.
    pub bytes_out: u64,
    /// Copies of its calls that went to shadow variants; they are in no other number.
    #[serde(default)]
    pub shadow_copies: u64,
    /// Calls by endpoint.
    pub endpoints: Counts,
    /// Calls by the media type of what was sent.
    pub content_types: Counts,
    /// Calls by what its programs call themselves.
    pub user_agents: Counts,
    /// Calls by what the credentials have proved.
    pub principals: Counts,
    /// Calls by where they came from.
    pub source_addresses: Counts,
}

/// Sums over all consumers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Total {
    /// Calls.
    pub calls: u64,
    /// Copies for shadow variants.
    pub shadow_copies: u64,
}

/// All consumers.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Book {
    /// In the order in which they first called.
    pub(crate) consumers: Vec<Consumer>,
    /// The run of the server whose records are being counted, and its node.
    node: u32,
    epoch: u32,
    /// All records of it below this number are counted,
    counted_below: u64,
    /// and these above.
    counted_above: BTreeSet<u64>,
    #[serde(skip)]
    places: HashMap<String, usize>,
}

/// One call, from wherever it is told.
struct Call<'a> {
    consumer: &'a str,
    caller: &'a Caller,
    endpoint: &'a str,
    content_type: Option<&'a str>,
    arrived_at: Timestamp,
    outcome: Outcome,
    bytes: (u64, u64),
}

impl Book {
    /// Finds the places of consumers again after the book was read.
    pub(crate) fn index(&mut self) {
        self.places = self.consumers.iter().enumerate().map(|(at, one)| (one.name.clone(), at)).collect();
    }

    /// Whether the record is in the book.
    pub(crate) fn has(&self, lsn: Lsn) -> bool {
        match (lsn.node == self.node, lsn.epoch.cmp(&self.epoch)) {
            // What an older run has left was counted before this one began.
            (true, std::cmp::Ordering::Less) => true,
            (true, std::cmp::Ordering::Equal) => lsn.n < self.counted_below || self.counted_above.contains(&lsn.n),
            _ => false,
        }
    }

    /// Whether all records of a run below a number are in the book.
    pub(crate) fn has_all_below(&self, node: u32, epoch: u32, end_n: u64) -> bool {
        node == self.node && (epoch < self.epoch || (epoch == self.epoch && end_n <= self.counted_below))
    }

    /// Everything of older runs is counted; a new one begins.
    pub(crate) fn begin(&mut self, node: u32, epoch: u32) {
        (self.node, self.epoch, self.counted_below) = (node, epoch, 0);
        self.counted_above.clear();
    }

    /// Counts a call that was just concluded.
    pub(crate) fn saw(&mut self, seen: &Seen<'_>) {
        let invocation = seen.invocation;
        self.count(&Call {
            consumer: invocation.consumer.as_str(),
            caller: &invocation.caller,
            endpoint: invocation.endpoint.as_str(),
            content_type: invocation.request.content_type.as_deref(),
            arrived_at: invocation.arrived_at,
            outcome: seen.outcome,
            bytes: (invocation.request.body.len() as u64, seen.response_size_bytes),
        });
        if let Some(lsn) = seen.lsn {
            self.mark(lsn);
        }
    }

    /// Counts a call out of its record.
    pub(crate) fn recover(&mut self, record: &Record) {
        self.count(&Call {
            consumer: record.consumer.as_str(),
            caller: &record.caller,
            endpoint: record.policy.endpoint.as_str(),
            content_type: record.request.as_ref().and_then(|request| request.content_type.as_deref()),
            arrived_at: record.arrived_at,
            outcome: record.outcome,
            bytes: (record.request_size_bytes, record.response_size_bytes),
        });
    }

    fn mark(&mut self, lsn: Lsn) {
        if (lsn.node, lsn.epoch) != (self.node, self.epoch) {
            return;
        }
        self.counted_above.insert(lsn.n);
        if self.counted_above.len() > GAP_MAX {
            self.counted_below = self.counted_above.first().copied().unwrap_or(self.counted_below);
        }
        while self.counted_above.remove(&self.counted_below) {
            self.counted_below += 1;
        }
    }

    fn count(&mut self, call: &Call<'_>) {
        let consumer = self.place(call.consumer, call.arrived_at);
        if call.caller.is_copy {
            consumer.shadow_copies += 1;
            return;
        }
        consumer.first_seen = consumer.first_seen.min(call.arrived_at);
        consumer.last_seen = consumer.last_seen.max(call.arrived_at);
        consumer.calls += 1;
        consumer.errors += u64::from(call.outcome != Outcome::Ok);
        consumer.bytes_in = consumer.bytes_in.saturating_add(call.bytes.0);
        consumer.bytes_out = consumer.bytes_out.saturating_add(call.bytes.1);
        consumer.endpoints.count(call.endpoint);
        if let Some(content_type) = call.content_type {
            consumer.content_types.count(content_type);
        }
        if let Some(user_agent) = &call.caller.user_agent {
            consumer.user_agents.count(user_agent.as_str());
        }
        if let Some(principal) = &call.caller.principal {
            consumer.principals.count(principal.as_str());
        }
        if let Some(address) = call.caller.source_address {
            consumer.source_addresses.count(&address.to_string());
        }
    }

    fn place(&mut self, name: &str, at: Timestamp) -> &mut Consumer {
        let place = match self.places.get(name) {
            Some(place) => *place,
            None => {
                let name = if self.consumers.len() < CONSUMERS_MAX { name } else { OTHERS };
                match self.places.get(name) {
                    Some(place) => *place,
                    None => {
                        self.places.insert(name.to_owned(), self.consumers.len());
                        self.consumers.push(Consumer::new(name, at));
                        self.consumers.len() - 1
                    }
                }
            }
        };
        &mut self.consumers[place]
    }

    /// Sums over all consumers.
    pub(crate) fn total(&self) -> Total {
        let sum = |of: fn(&Consumer) -> u64| self.consumers.iter().map(of).sum();
        Total { calls: sum(|one| one.calls), shadow_copies: sum(|one| one.shadow_copies) }
    }
}

impl Consumer {
    fn new(name: &str, at: Timestamp) -> Self {
        Self {
            name: name.to_owned(),
            first_seen: at,
            last_seen: at,
            calls: 0,
            errors: 0,
            bytes_in: 0,
            bytes_out: 0,
            shadow_copies: 0,
            endpoints: Counts::default(),
            content_types: Counts::default(),
            user_agents: Counts::default(),
            principals: Counts::default(),
            source_addresses: Counts::default(),
        }
    }
}
