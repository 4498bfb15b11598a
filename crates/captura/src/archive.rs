//! What the archive and the journal's disk look like from outside: lines of `/metrics`, and the destinations beside the
//! ledger.
//!
//! Invariant: labels of metrics are addresses of destinations in use and words of closed sets; what a failure said in
//! detail is for the ledger's answer only.
//! Refuses to: decide anything.

use std::fmt::Write as _;
use std::sync::Arc;

use captura_archive::Figures;
use captura_capture::Capture;
use captura_route::{Clock, RouteTable};
use serde::Serialize;
use serde_json::json;
use tokio::sync::watch;

/// Variants whose guarantees metrics tell, at most.
const VARIANTS_MAX: usize = 1_000;
/// Destinations that metrics name, at most; failing ones come first.
const DESTINATIONS_MAX: usize = 100;

/// A destination and what becomes of records for it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SeenDestination {
    /// `s3://…`, or an endpoint's place in one.
    destination: String,
    /// `ok`, `failing`: records wait in the journal; `held-back`: no more of them are taken, because the journal is nearly
    /// full; `unwritable`: it refuses, and no more are taken.
    state: &'static str,
    /// What kind of failure it is.
    reason: Option<&'static str>,
    /// What the last failure said.
    last_error: Option<String>,
    /// Attempts since it last took something.
    attempts: u32,
}

/// The archive and the disk, to be looked at.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    figures: Figures,
    capture: Capture,
    table: watch::Receiver<Arc<RouteTable>>,
    clock: Clock,
}

impl Seen {
    pub(crate) fn new(
        figures: Figures,
        capture: &Capture,
        table: &watch::Receiver<Arc<RouteTable>>,
        clock: &Clock,
    ) -> Self {
        Self { figures, capture: capture.clone(), table: table.clone(), clock: clock.clone() }
    }

    /// Every destination that is known, failing ones first.
    pub(crate) fn destinations(&self) -> Vec<SeenDestination> {
        let held_back: Vec<String> = self
            .capture
            .destinations()
            .into_iter()
            .filter(|one| one.held_back)
            .map(|one| one.uri.to_string())
            .collect();
        let seen = self.figures.snapshot().destinations.into_iter().map(|health| SeenDestination {
            state: match (health.unwritable, health.failing) {
                (true, _) => "unwritable",
                (_, true) if held_back.contains(&health.destination) => "held-back",
                (_, true) => "failing",
                _ => "ok",
            },
            destination: health.destination,
            reason: health.reason,
            last_error: health.last_error,
            attempts: health.attempts,
        });
        let mut seen: Vec<SeenDestination> = seen.collect();
        seen.sort_by(|a, b| (a.state == "ok", &a.destination).cmp(&(b.state == "ok", &b.destination)));
        seen
    }

    /// How surely the calls of each variant are captured, as lines of `/metrics`.
    fn scrape_guarantees(&self, text: &mut String) {
        let name = "captura_capture_info";
        let _ = write!(text, "# HELP {name} How surely calls are captured.\n# TYPE {name} gauge\n");
        let table = self.table.borrow().clone();
        let variants =
            table.endpoints().flat_map(|endpoint| endpoint.variants().map(move |variant| (endpoint, variant)));
        let captured = variants.filter_map(|(endpoint, variant)| {
            let settings = variant.capture.settings.as_ref().filter(|settings| settings.enabled)?;
            Some((&endpoint.name, &variant.name, settings))
        });
        let mut lines: Vec<String> = captured
            .take(VARIANTS_MAX)
            .map(|(endpoint, variant, settings)| {
                let (durability, answer) = (json!(settings.durability), json!(settings.when_unavailable));
                format!("{name}{{endpoint=\"{endpoint}\",variant=\"{variant}\",durability={durability},when_unavailable={answer}}} 1\n")
            })
            .collect();
        lines.sort();
        text.extend(lines);
    }

    /// Lines of `/metrics`.
    pub(crate) fn scrape(&self, text: &mut String) {
        self.scrape_guarantees(text);
        let archive = self.figures.snapshot();
        let lag_seconds = archive.lag_seconds(self.clock.now());
        let gauge = |text: &mut String, name: &str, help: &str, value: f64| {
            let _ = write!(text, "# HELP captura_{name} {help}\n# TYPE captura_{name} gauge\ncaptura_{name} {value}\n");
        };
        let counter = |text: &mut String, name: &str, help: &str, value: u64| {
            let _ = write!(
                text,
                "# HELP captura_{name} {help}\n# TYPE captura_{name} counter\ncaptura_{name}_total {value}\n"
            );
        };
        gauge(text, "archive_lag_seconds", "Age of the oldest sealed segment that is not archived.", lag_seconds);
        gauge(
            text,
            "archive_segments_waiting",
            "Sealed segments that are not archived.",
            archive.segments_waiting as f64,
        );
        counter(text, "archive_records", "Records in confirmed objects since the start.", archive.records_uploaded);
        counter(text, "archive_errors", "Failed attempts of the archive since the start.", archive.errors);
        let help = "Parts of tables that were not written; captured objects have their records.";
        counter(text, "table_parts_given_up", help, archive.table_parts_given_up);
        let help = "Segments let go while a part of each stayed for a failing destination, since the start.";
        counter(text, "archive_segments_carried", help, archive.segments_carried);
        counter(
            text,
            "archive_records_evicted",
            "Records given up to make room since the start.",
            archive.records_evicted,
        );
        let space = self.capture.space();
        gauge(
            text,
            "journal_max_bytes",
            "Size at which the journal takes no more records, bytes.",
            space.spool_max_bytes as f64,
        );
        gauge(text, "journal_room_bytes", "Room for further records, bytes.", space.room_bytes as f64);
        if let Some(seconds) = space.spool_seconds_left {
            let help = "Seconds until the room is used up if records come as in the last minute and none leave.";
            gauge(text, "spool_seconds_left", help, seconds);
        }
        gauge(text, "disk_free_bytes", "Free on the disk of the journal, bytes.", space.disk_free_bytes as f64);
        let help = "Whether the disk of the journal is getting full (1) or so full that capture stands still (2).";
        let alarm = u8::from(space.disk_alarm) + u8::from(space.disk_stop);
        gauge(text, "disk_alarm", help, f64::from(alarm));
        let name = "destination_failing";
        let _ = write!(
            text,
            "# HELP captura_{name} Destinations of captures; 1 while records wait or are dropped because of it.\n# TYPE captura_{name} gauge\n"
        );
        for seen in self.destinations().into_iter().take(DESTINATIONS_MAX) {
            let (state, reason) = (seen.state, seen.reason.unwrap_or_default());
            let destination = seen.destination.replace('\\', "\\\\").replace('"', "\\\"");
            let failing = u8::from(state != "ok");
            let _ = writeln!(
                text,
                "captura_{name}{{destination=\"{destination}\",state=\"{state}\",reason=\"{reason}\"}} {failing}"
            );
        }
    }
}
