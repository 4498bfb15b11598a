//! What is counted, and the scrape that tells it.
//!
//! Meters are plain atomics, found once per route table and not once per call. The families are laid out at the scrape,
//! from the gates of the variants and from capture's ledger, so there is one book and no second copy to drift.
//!
//! Invariant: labels come from the route table and from closed sets, never from callers.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use captura_capture::record::Outcome;

use captura_route::Latency;

use crate::fault::Refused;

/// Upper bounds of the histograms' buckets, microseconds.
pub(crate) const BUCKETS_US: [u64; 16] = [
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000, 5_000_000, 15_000_000,
    60_000_000,
];

/// Under which status calls are counted whose caller hung up.
pub(crate) const CALLER_GONE: u16 = 499;

/// Statuses that an invocation can end in; anything else is counted as the last.
const STATUSES: [u16; 6] = [200, 424, 429, 503, CALLER_GONE, 500];

/// What is counted of one variant's calls.
#[derive(Debug, Default)]
pub(crate) struct VariantMeters {
    requests: [AtomicU64; STATUSES.len()],
    /// Calls that the model itself answered with 4xx, and with 5xx.
    model_answered: [AtomicU64; 2],
    /// Time in the model.
    pub(crate) in_model: Latency,
    /// Arrival to reply.
    pub(crate) duration: Histogram,
    /// Arrival to reply, less the time in the model.
    pub(crate) overhead: Histogram,
    /// Copies for a shadow variant that had no room for them.
    pub(crate) copies_dropped: AtomicU64,
    /// Streamed answers of which only the begin was captured.
    pub(crate) captures_cut: AtomicU64,
}

impl VariantMeters {
    /// Counts a call that ended.
    pub(crate) fn ended(&self, status: u16, total: Duration, in_model: Duration) {
        self.count(status);
        self.in_model.observe(in_model);
        self.duration.observe(total);
        self.overhead.observe(total.saturating_sub(in_model));
    }

    /// Counts an error that the model itself answered with; nothing for any other outcome.
    pub(crate) fn model_ended(&self, outcome: Outcome) {
        match outcome {
            Outcome::ClientError => self.model_answered[0].fetch_add(1, Ordering::Relaxed),
            Outcome::ServerError => self.model_answered[1].fetch_add(1, Ordering::Relaxed),
            _ => return,
        };
    }

    /// Calls that the model answered with 4xx, and with 5xx.
    pub(crate) fn model_answered(&self) -> (u64, u64) {
        let [client, server] = &self.model_answered;
        (client.load(Ordering::Relaxed), server.load(Ordering::Relaxed))
    }

    /// Counts a call whose caller hung up; its durations would tell of the caller, not of the server.
    pub(crate) fn hung_up(&self) {
        self.count(CALLER_GONE);
    }

    /// Counts a copy that a shadow variant had no room for.
    pub(crate) fn copy_dropped(&self) {
        self.copies_dropped.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a streamed answer of which only the begin was captured.
    pub(crate) fn captured_cut(&self) {
        self.captures_cut.fetch_add(1, Ordering::Relaxed);
    }

    fn count(&self, status: u16) {
        let known = STATUSES.iter().position(|known| *known == status);
        self.requests[known.unwrap_or(STATUSES.len() - 1)].fetch_add(1, Ordering::Relaxed);
    }

    /// Calls by status, without those that never occurred.
    pub(crate) fn requests(&self) -> impl Iterator<Item = (u16, u64)> {
        STATUSES
            .iter()
            .zip(&self.requests)
            .map(|(status, count)| (*status, count.load(Ordering::Relaxed)))
            .filter(|(_, count)| *count > 0)
    }
}

/// A histogram of fixed buckets.
#[derive(Debug)]
pub(crate) struct Histogram {
    /// The last is everything above the highest bound.
    counts: [AtomicU64; BUCKETS_US.len() + 1],
    sum_us: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: [const { AtomicU64::new(0) }; BUCKETS_US.len() + 1], sum_us: AtomicU64::new(0) }
    }
}

impl Histogram {
    fn observe(&self, duration: Duration) {
        let us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let bucket = BUCKETS_US.iter().position(|bound| us <= *bound).unwrap_or(BUCKETS_US.len());
        self.counts[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum_us.fetch_add(us, Ordering::Relaxed);
    }

    /// Sum in microseconds, and lower bound, upper bound (both in microseconds) and count of each bucket.
    pub(crate) fn read_us(&self) -> (u64, Vec<(u64, u64, u64)>) {
        let lows = [0].into_iter().chain(BUCKETS_US);
        // Nothing is known of what lies above the highest bound; twice that is as good as any.
        let highs = BUCKETS_US.into_iter().chain([BUCKETS_US[BUCKETS_US.len() - 1] * 2]);
        let counts = self.counts.iter().map(|count| count.load(Ordering::Relaxed));
        let buckets = lows.zip(highs).zip(counts).map(|((low, high), count)| (low, high, count));
        (self.sum_us.load(Ordering::Relaxed), buckets.collect())
    }

    /// Sum in seconds, count, and the buckets by their upper bound in seconds.
    pub(crate) fn read(&self) -> (f64, u64, Vec<(f64, u64)>) {
        let counts = self.counts.each_ref().map(|count| count.load(Ordering::Relaxed));
        let bounds = BUCKETS_US.iter().map(|us| *us as f64 / 1e6).chain([f64::INFINITY]);
        let buckets = bounds.zip(counts).collect();
        (self.sum_us.load(Ordering::Relaxed) as f64 / 1e6, counts.iter().sum(), buckets)
    }
}

/// What is counted of requests that never became an invocation, and of connections.
#[derive(Debug, Default)]
pub(crate) struct DoorMeters {
    refused: [AtomicU64; Refused::REASONS.len()],
    /// Connections open now.
    pub(crate) connections: AtomicU64,
    /// Connections turned away because there were too many.
    pub(crate) connections_refused: AtomicU64,
    /// Connections closed because the caller was too slow.
    pub(crate) connections_cut: AtomicU64,
}

impl DoorMeters {
    pub(crate) fn refused(&self, refused: &Refused) {
        let reason = Refused::REASONS.iter().position(|reason| *reason == refused.reason());
        if let Some(reason) = reason {
            self.refused[reason].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Refusals by reason.
    pub(crate) fn refusals(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Refused::REASONS.into_iter().zip(&self.refused).map(|(reason, count)| (reason, count.load(Ordering::Relaxed)))
    }
}
