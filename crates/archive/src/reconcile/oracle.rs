//! What clients were told, as a file of JSON lines:
//! `{"eventId":"…","lsn":"…","capture":"written;lsn=…","requestSha256":"…","responseSha256":"…"}`.
//!
//! Lines whose `capture` begins with `durable` or `written` were acknowledged: their record must be there, with these
//! bytes. Other lines, and lines without `lsn`, promise nothing. Where a part of the story is asked for, `"endpoint"` and
//! `"at"` (RFC 3339) tell whether a line belongs to it; without them only the record can.

use std::collections::HashMap;
use std::io::BufRead;

use captura_capture::record::Lsn;
use captura_names::{EventId, Timestamp};
use serde::Deserialize;

use super::{FindingKind, Proof, Scope};
use crate::batch::sha256_hex;
use crate::line::parse_lsn;

/// Acknowledgements that wait to be found.
#[derive(Debug, Default)]
pub struct Oracle {
    told: HashMap<Lsn, Told>,
    found: u64,
}

#[derive(Debug)]
struct Told {
    event_id: EventId,
    endpoint: Option<String>,
    at: Option<Timestamp>,
    request_sha256: Option<String>,
    response_sha256: Option<String>,
    met: bool,
}

impl Told {
    /// Whether the line itself tells that it is of what is asked for.
    fn surely_belongs(&self, scope: &Scope) -> bool {
        (scope.endpoint.is_none() || self.endpoint.is_some()) && (!scope.is_timed() || self.at.is_some())
    }
}

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OracleError {
    /// It cannot be read.
    #[error("cannot read the oracle: {0}")]
    Read(#[from] std::io::Error),
    /// A line is not of the form.
    #[error("line {line} of the oracle: {reason}")]
    Line {
        /// Which line, from 1.
        line: u64,
        /// What is wrong.
        reason: String,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawTold {
    event_id: String,
    lsn: Option<String>,
    capture: String,
    endpoint: Option<String>,
    at: Option<String>,
    request_sha256: Option<String>,
    response_sha256: Option<String>,
}

/// A record as it was found.
pub(super) struct Seen<'a> {
    pub(super) event_id: EventId,
    pub(super) request: Option<&'a [u8]>,
    pub(super) response: Option<&'a [u8]>,
}

impl Oracle {
    /// Reads the file.
    ///
    /// # Errors
    /// When it cannot be read, or a line is not of the form, or two lines tell of one record.
    pub fn read(lines: impl BufRead) -> Result<Self, OracleError> {
        let mut oracle = Self::default();
        for (at, line) in lines.lines().enumerate() {
            let line = line?;
            let failed = |reason: String| OracleError::Line { line: at as u64 + 1, reason };
            if line.trim().is_empty() {
                continue;
            }
            let raw: RawTold = serde_json::from_str(&line).map_err(|error| failed(error.to_string()))?;
            let acknowledged = ["durable", "written"].iter().any(|word| raw.capture.starts_with(word));
            let (true, Some(lsn)) = (acknowledged, raw.lsn) else { continue };
            let told = Told {
                event_id: EventId::parse(&raw.event_id)
                    .ok_or_else(|| failed(format!("eventId {:?} is no UUID", raw.event_id)))?,
                endpoint: raw.endpoint,
                at: raw.at.map(|at| Timestamp::parse(&at).map_err(|error| failed(error.to_string()))).transpose()?,
                request_sha256: raw.request_sha256,
                response_sha256: raw.response_sha256,
                met: false,
            };
            let lsn = parse_lsn(&lsn).ok_or_else(|| failed(format!("lsn {lsn:?} is not like 0a1b2c3d-3-17")))?;
            if oracle.told.insert(lsn, told).is_some() {
                return Err(failed(format!("{lsn} was told twice")));
            }
        }
        Ok(oracle)
    }

    /// Without the lines that say of themselves that they are not of what is asked for.
    pub(super) fn narrowed(mut self, scope: &Scope) -> Self {
        self.told.retain(|_, told| {
            told.endpoint.as_ref().is_none_or(|endpoint| scope.has_endpoint(endpoint))
                && told.at.is_none_or(|at| scope.has_time(at))
        });
        self
    }

    /// Meets a record that was removed on purpose, or is not asked for: it is not compared, and is not lost.
    pub(super) fn set_aside(&mut self, lsn: Lsn) {
        self.told.remove(&lsn);
    }

    /// Meets a record; answers what is wrong with it.
    pub(super) fn meet(&mut self, lsn: Lsn, seen: &Seen<'_>) -> Option<String> {
        let told = self.told.get_mut(&lsn)?;
        if !std::mem::replace(&mut told.met, true) {
            self.found += 1;
        }
        if told.event_id != seen.event_id {
            return Some(format!("it is event {}, the client was told {}", seen.event_id, told.event_id));
        }
        let sides =
            [("request", &told.request_sha256, seen.request), ("response", &told.response_sha256, seen.response)];
        for (side, told, body) in sides {
            // A side that the policy does not keep cannot be compared.
            let (Some(told), Some(body)) = (told, body) else { continue };
            let found = sha256_hex(body);
            if !told.eq_ignore_ascii_case(&found) {
                return Some(format!("its {side} has SHA-256 {found}, the client knows {told}"));
            }
        }
        None
    }
}

impl Proof<'_> {
    /// Acknowledged records that were met nowhere are findings; answers how many were met.
    pub(super) fn close_oracle(&mut self) -> u64 {
        let Some(oracle) = self.oracle.take() else { return 0 };
        let unmet = oracle.told.iter().filter(|(_, told)| !told.met);
        let mut lost: Vec<(Lsn, EventId, bool)> =
            unmet.map(|(lsn, told)| (*lsn, told.event_id, told.surely_belongs(&self.scope))).collect();
        lost.sort_unstable();
        // Given up by the operator's own rule, and counted so.
        let is_evicted = |lsn: &Lsn| self.epochs.get(&lsn.epoch).is_some_and(|numbers| numbers.evicted.contains(lsn.n));
        let evicted = lost.iter().filter(|(lsn, ..)| is_evicted(lsn)).count();
        lost.retain(|(lsn, ..)| !is_evicted(lsn) && !self.is_of_another_time(*lsn));
        if evicted > 0 {
            self.notes.push(format!(
                "{evicted} acknowledged records were given up to make room, as the configuration allows"
            ));
        }
        for (lsn, event_id, surely) in lost {
            let reason = "a client was told that this record is kept, and it is nowhere";
            let (lsns, place) = (vec![lsn.to_string()], format!("event {event_id}"));
            if surely {
                self.find(FindingKind::Oracle, lsns, &place, reason);
            } else {
                self.suspect(FindingKind::Oracle, lsns, &place, reason);
            }
        }
        oracle.found
    }

    /// Whether a number is that of a segment all of whose calls arrived at other times.
    fn is_of_another_time(&self, lsn: Lsn) -> bool {
        let scope = Scope { endpoint: None, ..self.scope.clone() };
        self.manifests.values().any(|manifest| {
            let has = manifest.epoch == lsn.epoch && (manifest.first_n..manifest.end_n).contains(&lsn.n);
            has && manifest.carried.is_none() && !scope.may_have_segment(manifest)
        })
    }
}
