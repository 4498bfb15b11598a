//! Segments that are still in the journal, read to their end.

use captura_capture::journal::reader::SegmentReader;
use captura_capture::record::Record;
use captura_names::Timestamp;

use super::{FindingKind, Proof, SegmentFile};
use crate::batch::{Batcher, Spare};
use crate::manifest::Manifests;
use crate::reconcile::oracle::Seen;
use crate::runs::{Run, Runs};
use crate::segment::damaged_run;

/// What one segment holds.
#[derive(Default)]
struct Content {
    records: Runs,
    damaged: Vec<(Run, String)>,
    /// Damage whose numbers nothing tells; in an unsealed segment its torn end.
    unclear: Vec<String>,
    /// When the first and the last of its calls arrived.
    times: Option<(Timestamp, Timestamp)>,
}

impl Proof<'_> {
    pub(super) fn read_segments(&mut self, manifests: &Manifests) {
        for file in &self.state.segments {
            match self.manifests.get(&file.name).map(|manifest| manifest.carried.clone()) {
                None => self.read_segment(file, manifests, None),
                // Killed before the freeing: what is to stay is still in this file.
                Some(Some(carried)) => self.read_segment(file, manifests, Some(&carried.numbers)),
                // Confirmed segments are in objects; their file is only waiting to be unlinked.
                Some(None) => {}
            }
        }
        for name in &self.state.missing {
            let reason = "the book names the segment, and its file is not there";
            self.suspect(FindingKind::Missing, Vec::new(), &name.to_string(), reason);
        }
    }

    /// Parts that a manifest names and that are neither in the journal nor confirmed.
    pub(super) fn find_lost_parts(&mut self) {
        let is_there = |name: &str| self.state.segments.iter().any(|file| file.name == name);
        let lost = self.manifests.values().filter_map(|manifest| {
            let carried = manifest.carried.as_ref()?;
            let known =
                self.manifests.contains_key(&carried.part) || is_there(&carried.part) || is_there(&manifest.segment);
            (!known && self.scope.may_have_segment(manifest)).then(|| (manifest.epoch, carried.clone()))
        });
        for (epoch, carried) in lost.collect::<Vec<_>>() {
            let lsns = self.lsns(epoch, carried.numbers.runs());
            self.find(
                FindingKind::Missing,
                lsns,
                &carried.part,
                "a manifest names this part, and its file is not there",
            );
        }
    }

    /// Reads a segment through; of one whose rest is confirmed only the records that are to stay.
    fn read_segment(&mut self, file: &SegmentFile, manifests: &Manifests, only: Option<&Runs>) {
        let name = file.name.clone();
        let mut reader = match SegmentReader::open(&file.path) {
            Ok(reader) => reader,
            // Killed before its head was written, a new segment is empty; recovery starts another.
            Err(_) if !file.sealed => return,
            Err(error) if self.is_asked_of(file) => {
                return self.suspect(FindingKind::Damaged, Vec::new(), &name, error.to_string());
            }
            Err(_) => return,
        };
        let digest_fails = self.deep && file.sealed && reader.digest_matches() == Some(false);
        let plan = manifests.plan_of(&name).filter(|_| only.is_none());
        let mut batcher = plan.map(|plan| Batcher::new(plan, Spare::default()));
        let mut content = Content::default();
        for item in reader.by_ref() {
            match item {
                Ok(record) if only.is_some_and(|only| !only.contains(record.lsn.n)) => {}
                Err(_) if only.is_some() => {}
                Ok(record) => {
                    self.meet_record(&record, &name, &mut content);
                    if let Some(object) = batcher.as_mut().and_then(|batcher| batcher.push(&record)) {
                        self.expect_unconfirmed(&object);
                    }
                }
                Err(damage) => match damaged_run(&damage) {
                    Some(run) => content.damaged.push((run, damage.to_string())),
                    None if damage.lsns.is_some() => {}
                    None => content.unclear.push(damage.to_string()),
                },
            }
        }
        while let Some(object) = batcher.as_mut().and_then(Batcher::finish) {
            self.expect_unconfirmed(&object);
        }
        if digest_fails && self.is_asked(file, &content) {
            let reason = "the file does not have the digest that its footer states";
            self.find(FindingKind::Damaged, Vec::new(), &name, reason);
        }
        self.enter_content(file, &name, content);
    }

    /// Whether the endpoint that is asked for has records in the segment, as booked.
    fn is_asked_of(&self, file: &SegmentFile) -> bool {
        file.accounts.is_empty() || file.accounts.iter().any(|account| self.scope.has_endpoint(&account.endpoint))
    }

    /// Whether what is damaged in the segment may be of what is asked for.
    fn is_asked(&self, file: &SegmentFile, content: &Content) -> bool {
        let (first, last) = content.times.unzip();
        self.is_asked_of(file) && self.scope.may_have(first, last)
    }

    fn meet_record(&mut self, record: &Record, place: &str, content: &mut Content) {
        self.records_read += 1;
        content.records.insert(record.lsn.n);
        let account = (record.policy.endpoint.to_string(), record.policy.variant.to_string());
        let in_time = self.scope.has_time(record.arrived_at);
        let found = self.found.entry(account).or_default();
        found.pending += 1;
        found.pending_in_time += u64::from(in_time);
        let (first, last) = content.times.unwrap_or((record.arrived_at, record.arrived_at));
        content.times = Some((first.min(record.arrived_at), last.max(record.arrived_at)));
        if let Some(settings) = &record.policy.settings {
            let (endpoint, variant) = (&record.policy.endpoint, &record.policy.variant);
            self.prefixes.entry(format!("{}/{endpoint}/{variant}", settings.destination)).or_insert(false);
        }
        if !in_time || !self.scope.has_endpoint(record.policy.endpoint.as_str()) {
            if let Some(oracle) = &mut self.oracle {
                oracle.set_aside(record.lsn);
            }
            return;
        }
        // What rules of redaction have changed cannot be compared with what a client sent.
        let as_travelled = record.policy.redaction.is_none();
        let seen = Seen {
            event_id: record.event_id,
            request: record.request.as_ref().filter(|_| as_travelled).map(|side| &side.body[..]),
            response: record.response.as_ref().filter(|_| as_travelled).map(|side| &side.body[..]),
        };
        let wrong = self.oracle.as_mut().and_then(|oracle| oracle.meet(record.lsn, &seen));
        if let Some(reason) = wrong {
            self.find(FindingKind::Oracle, vec![record.lsn.to_string()], place, reason);
        }
    }

    fn expect_unconfirmed(&mut self, object: &crate::batch::Rendered) {
        if let Some(uri) = object.destination.as_ref().and_then(|destination| destination.join(&object.key).ok()) {
            self.unconfirmed.insert(uri.to_string());
        }
    }

    fn enter_content(&mut self, file: &SegmentFile, name: &str, content: Content) {
        let epoch = file.epoch;
        let asked = self.is_asked(file, &content);
        self.enter(epoch, content.records.runs().to_vec(), name, asked);
        for (run, reason) in content.damaged {
            self.enter(epoch, vec![run], name, asked);
            let lsns = self.lsns(epoch, &[run]);
            if asked {
                self.find(FindingKind::Damaged, lsns, name, reason);
            } else {
                self.damaged_elsewhere += run.last - run.first + 1;
                self.set_aside(epoch, &Runs::gather(vec![run]).0);
            }
        }
        if file.sealed && asked {
            for reason in content.unclear {
                self.find(FindingKind::Damaged, Vec::new(), name, reason);
            }
        }
    }
}
