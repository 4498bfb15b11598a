//! The scrape: every meter of the data plane as OpenMetrics text.
//!
//! Capture's figures are read from its ledger at this moment; the ledger is the only book of them.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use captura_capture::ledger::Account;
use captura_route::{Holder, MemoryBudget};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use crate::admission::Gate;
use crate::metrics::Histogram;
use crate::premises::Premises;

/// What the text is.
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

const END: &str = "# EOF\n";

/// The text of a scrape.
pub(crate) fn text(premises: &Premises) -> String {
    let mut registry = Registry::with_prefix("captura");
    registry.register_collector(Box::new(Figures::read(premises)));
    let mut text = String::new();
    text::encode_registry(&mut text, &registry).expect("our bug: a String takes everything");
    if let Some(more) = &premises.settings.more_metrics {
        more(&mut text);
        text.truncate(text.strip_suffix(END).unwrap_or(&text).len());
        if !text.ends_with('\n') {
            text.push('\n');
        }
    }
    text.push_str(END);
    text
}

/// Everything that is scraped, read at one moment.
#[derive(Debug)]
struct Figures {
    variants: Vec<(VariantLabels, Arc<Gate>)>,
    accounts: Vec<Account>,
    imbalance: u64,
    queue_bytes: u64,
    journal_bytes: u64,
    refusals: Vec<(&'static str, u64)>,
    memory: MemoryBudget,
    connections: u64,
    connections_refused: u64,
    connections_cut: u64,
}

type VariantLabels = [(&'static str, String); 2];

fn labels(endpoint: &str, variant: &str) -> VariantLabels {
    [("endpoint", endpoint.to_owned()), ("variant", variant.to_owned())]
}

impl Figures {
    fn read(premises: &Premises) -> Self {
        let gates = premises.preparer.means.gates.list();
        let ledger = premises.capture.ledger();
        let meters = &premises.meters;
        Self {
            variants: gates.into_iter().map(|((e, v), gate)| (labels(e.as_str(), v.as_str()), gate)).collect(),
            imbalance: ledger.imbalance(),
            accounts: ledger.accounts,
            queue_bytes: premises.capture.queue_bytes(),
            journal_bytes: premises.capture.journal_bytes(),
            refusals: meters.refusals().collect(),
            memory: premises.settings.memory.clone(),
            connections: meters.connections.load(Ordering::Relaxed),
            connections_refused: meters.connections_refused.load(Ordering::Relaxed),
            connections_cut: meters.connections_cut.load(Ordering::Relaxed),
        }
    }

    fn variants(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut requests =
            encoder.encode_descriptor("requests", "Invocations that ended, by status", None, MetricType::Counter)?;
        for (labels, gate) in &self.variants {
            for (code, count) in gate.meters.requests() {
                let labels = [labels[0].clone(), labels[1].clone(), ("code", code.to_string())];
                requests.encode_family(&labels)?.encode_counter::<NoLabelSet, _, f64>(&count, None)?;
            }
        }
        let mut in_flight = encoder.encode_descriptor("inflight", "Invocations in flight", None, MetricType::Gauge)?;
        for (labels, gate) in &self.variants {
            in_flight.encode_family(labels)?.encode_gauge(&i64::from(gate.in_flight()))?;
        }
        let help = "Copies of calls that a shadow variant had no room for";
        self.counter(encoder, "shadow_copies_dropped", help, |gate| &gate.meters.copies_dropped)?;
        let help = "Streamed answers of which only the begin was captured";
        self.counter(encoder, "capture_cut", help, |gate| &gate.meters.captures_cut)?;
        let duration = "Time from the arrival of an invocation to its reply";
        self.histogram(encoder, "request_duration_seconds", duration, |gate| &gate.meters.duration)?;
        let overhead = "Time from the arrival of an invocation to its reply, less the time in the model";
        self.histogram(encoder, "overhead_seconds", overhead, |gate| &gate.meters.overhead)
    }

    /// A counter of those variants that have something to count.
    fn counter(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        name: &str,
        help: &str,
        of: impl Fn(&Gate) -> &AtomicU64,
    ) -> fmt::Result {
        let mut counter = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (labels, gate) in &self.variants {
            let count = of(gate).load(Ordering::Relaxed);
            if count > 0 {
                counter.encode_family(labels)?.encode_counter::<NoLabelSet, _, f64>(&count, None)?;
            }
        }
        Ok(())
    }

    fn histogram(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        name: &str,
        help: &str,
        of: impl Fn(&Gate) -> &Histogram,
    ) -> fmt::Result {
        let mut histogram = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
        for (labels, gate) in &self.variants {
            let (sum, count, buckets) = of(gate).read();
            histogram.encode_family(labels)?.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)?;
        }
        Ok(())
    }

    fn capture(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Invocations by what became of their record";
        let mut records = encoder.encode_descriptor("capture_records", help, None, MetricType::Counter)?;
        for account in &self.accounts {
            let kept = [("captured", account.captured), ("sampled_out", account.sampled_out)];
            let kept = kept.into_iter().map(|(outcome, count)| (outcome, "", count));
            let dropped = account.dropped.iter().map(|(reason, count)| ("dropped", reason.as_str(), *count));
            for (outcome, reason, count) in kept.chain(dropped) {
                if count == 0 && outcome == "dropped" {
                    continue;
                }
                let [endpoint, variant] = labels(&account.endpoint, &account.variant);
                let labels = [endpoint, variant, ("outcome", outcome.into()), ("reason", reason.into())];
                records.encode_family(&labels)?.encode_counter::<NoLabelSet, _, f64>(&count, None)?;
            }
        }
        gauge(encoder, "capture_queue_bytes", "Records accepted and not yet written, bytes", self.queue_bytes)?;
        gauge(encoder, "journal_bytes", "Journal on disk, bytes", self.journal_bytes)?;
        gauge(encoder, "ledger_imbalance", "What the identities of the ledger miss; 0 is balanced", self.imbalance)
    }

    fn door(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Requests that did not become an invocation";
        let mut refused = encoder.encode_descriptor("refused", help, None, MetricType::Counter)?;
        for (reason, count) in &self.refusals {
            refused.encode_family(&[("reason", *reason)])?.encode_counter::<NoLabelSet, _, f64>(count, None)?;
        }
        gauge(encoder, "memory_budget_bytes", "Memory for what comes from outside, bytes", self.memory.limit_bytes())?;
        let help = "Of the memory budget, what is taken, by holder, bytes";
        let mut taken = encoder.encode_descriptor("memory_bytes", help, None, MetricType::Gauge)?;
        for holder in Holder::ALL {
            let bytes = i64::try_from(self.memory.used_by(holder)).unwrap_or(i64::MAX);
            taken.encode_family(&[("holder", holder.as_str())])?.encode_gauge(&bytes)?;
        }
        gauge(encoder, "connections", "Connections open", self.connections)?;
        let refused = "Connections turned away because there were too many";
        counter(encoder, "connections_refused", refused, self.connections_refused)?;
        let cut = "Connections closed because the caller was too slow";
        counter(encoder, "connections_cut", cut, self.connections_cut)
    }
}

impl Collector for Figures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.variants(&mut encoder)?;
        self.capture(&mut encoder)?;
        self.door(&mut encoder)
    }
}

fn gauge(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: u64) -> fmt::Result {
    let value = i64::try_from(value).unwrap_or(i64::MAX);
    encoder.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(&value)
}

fn counter(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: u64) -> fmt::Result {
    let mut encoder = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    encoder.encode_counter::<NoLabelSet, _, f64>(&value, None)
}
