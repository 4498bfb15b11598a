//! Confirmed objects compared with their manifests, and objects that no manifest knows.

use captura_capture::record::Lsn;
use captura_capture::sabotage::{self, Sabotage};
use captura_names::S3Uri;
use futures_util::TryStreamExt as _;
use object_store::ObjectStoreExt as _;

use super::{FindingKind, Proof};
use crate::batch::sha256_hex;
use crate::layout::CapturedKey;
use crate::line::Line;
use crate::manifest::ManifestObject;
use crate::profiles::is_profile;
use crate::reconcile::oracle::Seen;
use crate::removal::RemovedObject;
use crate::runs::Runs;
use crate::stores::StoreError;

/// What an address answered.
pub(super) enum Fetched {
    Bytes(bytes::Bytes),
    Absent,
    Unreachable(String),
}

impl Proof<'_> {
    pub(super) async fn check_objects(&mut self) {
        let mut objects: Vec<(u32, bool, ManifestObject)> = Vec::new();
        let mut others: Vec<(u32, Runs)> = Vec::new();
        for manifest in self.manifests.values() {
            for object in &manifest.objects {
                if self.scope.may_have_object(manifest, object) {
                    objects.push((manifest.epoch, manifest.plan.extension, object.clone()));
                } else {
                    others.push((manifest.epoch, object.runs.clone()));
                }
            }
        }
        for (epoch, runs) in others {
            self.set_aside(epoch, &runs);
        }
        for (epoch, extension, object) in objects {
            self.check_object(epoch, extension, &object).await;
        }
    }

    pub(super) fn set_aside(&mut self, epoch: u32, runs: &Runs) {
        let node = self.state.node;
        if let Some(oracle) = &mut self.oracle {
            runs.numbers().for_each(|n| oracle.set_aside(Lsn { node, epoch, n }));
        }
    }

    pub(super) async fn fetch(&self, uri: &str) -> Fetched {
        let store = S3Uri::parse(uri).map_err(StoreError::from).and_then(|uri| self.stores.resolve_existing(&uri));
        let (store, path) = match store {
            Ok(found) => found,
            Err(StoreError::NoSuchBucket { .. }) => return Fetched::Absent,
            Err(error) => return Fetched::Unreachable(error.to_string()),
        };
        let fetched = match store.get(&path).await {
            Ok(result) => result.bytes().await,
            Err(error) => Err(error),
        };
        match fetched {
            Ok(bytes) => Fetched::Bytes(bytes),
            Err(object_store::Error::NotFound { .. }) => Fetched::Absent,
            Err(error) => Fetched::Unreachable(error.to_string()),
        }
    }

    async fn check_object(&mut self, epoch: u32, extension: bool, object: &ManifestObject) {
        // Deleted on purpose, or about to be.
        if self.removed.get(&object.uri).is_some_and(RemovedObject::is_expired) {
            return self.set_aside(epoch, &object.runs);
        }
        let lsns = self.lsns(epoch, object.runs.runs());
        let bytes = match self.fetch(&object.uri).await {
            Fetched::Bytes(bytes) => bytes,
            Fetched::Absent => return self.find(FindingKind::Missing, lsns, &object.uri, "the object is not there"),
            Fetched::Unreachable(error) => return self.doubts.push(format!("cannot read {}: {error}", object.uri)),
        };
        self.objects_checked += 1;
        if sabotage::is(Sabotage::BlindReconcile) {
            let account = (object.endpoint.clone(), object.variant.clone());
            self.found.entry(account).or_default().in_objects += object.records;
            return;
        }
        let sha256 = sha256_hex(&bytes);
        let noted = self.removed.get(&object.uri);
        let is_sound = noted.map_or(sha256 == object.sha256, |noted| noted.may_be(&sha256, &object.sha256));
        if !is_sound {
            let rewritten = noted.and_then(|noted| noted.rewritten.as_ref());
            let (says, size_bytes, expected) = rewritten
                .map_or(("manifest", object.size_bytes, &object.sha256), |rewritten| {
                    ("note on what was erased", rewritten.size_bytes, &rewritten.sha256)
                });
            let size = bytes.len();
            let reason =
                format!("{size} bytes with SHA-256 {sha256}, the {says} says {size_bytes} bytes with {expected}");
            let touched = self.touched(epoch, extension, object, &bytes).unwrap_or(lsns);
            self.find(FindingKind::Altered, touched, &object.uri, reason);
        }
        let read = self.deep || self.oracle.is_some() || self.scope.is_timed();
        let records = if read { self.read_lines(epoch, extension, object, &bytes) } else { object.records };
        let account = (object.endpoint.clone(), object.variant.clone());
        self.found.entry(account).or_default().in_objects += records;
    }

    /// Which records an alteration touches: those whose line is gone, doubled or moved. `None` when lines do not tell.
    fn touched(&self, epoch: u32, extension: bool, object: &ManifestObject, bytes: &[u8]) -> Option<Vec<String>> {
        let numbers: Vec<u64> = lines(bytes).map(|line| Some(Line::parse(line).ok()?.lsn?.n)).collect::<Option<_>>()?;
        let expected: Vec<u64> = object.runs.numbers().collect();
        if !extension || numbers == expected {
            return None;
        }
        let mut touched = Runs::default();
        let mut there = Runs::default();
        for (at, n) in numbers.iter().enumerate() {
            if !there.insert(*n) || !object.runs.contains(*n) || expected.get(at) != Some(n) {
                touched.insert(*n);
            }
        }
        for n in expected {
            if !there.contains(n) {
                touched.insert(n);
            }
        }
        Some(self.lsns(epoch, touched.runs()))
    }

    /// Reads every line: as many as records, in log order, each a record of its number. Answers how many records there are
    /// of the time that is asked for.
    fn read_lines(&mut self, epoch: u32, extension: bool, object: &ManifestObject, bytes: &[u8]) -> u64 {
        let mut expected = object.runs.numbers();
        let (mut count, mut elsewhen) = (0, 0);
        for text in lines(bytes) {
            count += 1;
            let n = expected.next();
            let line = match Line::parse(text) {
                Ok(line) => line,
                Err(error) => {
                    let reason = format!("line {count}: {error}");
                    self.find(FindingKind::Altered, Vec::new(), &object.uri, reason);
                    continue;
                }
            };
            let Some(lsn) = n.map(|n| Lsn { node: self.state.node, epoch, n }) else { continue };
            if extension && line.lsn != Some(lsn) {
                let found = line.lsn.map_or_else(|| "none".to_owned(), |found| found.to_string());
                let reason = format!("line {count} is record {found}, its place is that of {lsn}");
                self.find(FindingKind::Altered, vec![lsn.to_string()], &object.uri, reason);
            }
            if !self.scope.has_time(line.inference_time) {
                elsewhen += 1;
                if let Some(oracle) = &mut self.oracle {
                    oracle.set_aside(line.lsn.unwrap_or(lsn));
                }
                continue;
            }
            let as_travelled = line.redaction_policy.is_none();
            let body =
                |side: &Option<crate::line::Side>| side.as_ref().filter(|_| as_travelled).map(|side| side.body.clone());
            let (request, response) = (body(&line.input), body(&line.output));
            let seen = Seen { event_id: line.event_id, request: request.as_deref(), response: response.as_deref() };
            let wrong = self.oracle.as_mut().and_then(|oracle| oracle.meet(line.lsn.unwrap_or(lsn), &seen));
            if let Some(reason) = wrong {
                self.find(FindingKind::Oracle, vec![lsn.to_string()], &object.uri, reason);
            }
        }
        if count != object.records {
            let reason = format!("{count} lines for {} records", object.records);
            self.find(FindingKind::Altered, Vec::new(), &object.uri, reason);
        }
        object.records.saturating_sub(elsewhen)
    }

    /// Looks for objects under this node's prefixes that no manifest knows.
    pub(super) async fn find_strays(&mut self) {
        let known: std::collections::BTreeSet<String> =
            self.manifests.values().flat_map(|manifest| &manifest.objects).map(|object| object.uri.clone()).collect();
        for (prefix, holds_objects) in self.prefixes.clone() {
            // `…/{endpoint}/{variant}`.
            if !prefix.rsplit('/').nth(1).is_some_and(|endpoint| self.scope.has_endpoint(endpoint)) {
                continue;
            }
            let listed = match self.list(&prefix).await {
                Ok(listed) => listed,
                Err(error) if holds_objects => {
                    self.doubts.push(format!("cannot list {prefix}: {error}"));
                    continue;
                }
                // Every record for it is accounted for in the journal, and was found there.
                Err(error) => {
                    self.notes.push(format!(
                        "{prefix} cannot be read and holds nothing yet; its records are in the journal: {error}"
                    ));
                    continue;
                }
            };
            for uri in listed.into_iter().filter(|uri| !is_profile(uri)) {
                if !known.contains(&uri) && !self.unconfirmed.contains(&uri) && self.scope.may_have_stray(&uri) {
                    self.judge_stray(&uri).await;
                }
            }
        }
    }

    pub(super) async fn list(&self, prefix: &str) -> Result<Vec<String>, String> {
        let uri = S3Uri::parse(prefix).map_err(|error| error.to_string())?;
        let (store, path) = match self.stores.resolve_existing(&uri) {
            Ok(found) => found,
            Err(StoreError::NoSuchBucket { .. }) => return Ok(Vec::new()),
            Err(error) => return Err(error.to_string()),
        };
        let mut listing = store.list(Some(&path));
        let mut uris = Vec::new();
        while let Some(meta) = listing.try_next().await.map_err(|error| error.to_string())? {
            uris.push(format!("s3://{}/{}", uri.bucket(), meta.location));
        }
        uris.sort();
        Ok(uris)
    }

    async fn judge_stray(&mut self, uri: &str) {
        let bytes = match self.fetch(uri).await {
            Fetched::Bytes(bytes) => bytes,
            Fetched::Absent => return,
            Fetched::Unreachable(error) => return self.doubts.push(format!("cannot read {uri}: {error}")),
        };
        let sha256 = sha256_hex(&bytes);
        let copied = self
            .manifests
            .values()
            .flat_map(|manifest| &manifest.objects)
            .find(|object| object.sha256 == sha256)
            .map(|object| object.uri.clone());
        let asked = lines(&bytes).filter_map(|line| Line::parse(line).ok());
        let asked: Vec<Line> = asked.filter(|line| self.scope.has_time(line.inference_time)).collect();
        if asked.is_empty() && self.scope.is_timed() {
            return;
        }
        let own: Vec<String> = asked
            .iter()
            .filter_map(|line| line.lsn)
            .filter(|lsn| lsn.node == self.state.node)
            .map(|lsn| lsn.to_string())
            .collect();
        match (copied, own.is_empty()) {
            (Some(original), _) => {
                self.find(FindingKind::Stray, own, uri, format!("a copy of {original} that no manifest knows"));
            }
            (None, false) => self.find(FindingKind::Stray, own, uri, "records of this node that no manifest knows"),
            (None, true) if CapturedKey::parse(uri).is_some() => self.foreign_objects += 1,
            (None, true) => {}
        }
    }
}

fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split_inclusive(|byte| *byte == b'\n')
}
