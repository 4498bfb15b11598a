//! Single records taken out of objects and tables: the object is written again with a tombstone in the record's place, the
//! files of tables without its rows.
//!
//! ```text
//! note written: rewritten, not done ─ object replaced ─ note written: done
//! ```
//! Cut off at any arrow, doing it again ends in the same state: a tombstone is a function of the line.
//!
//! Invariant: as many lines as before, each under its number; what is in the store is what the note or, before it is done,
//! the state before says.
//! Refuses to: rewrite a file of a table while parts are merged.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use captura_names::{EventId, S3Uri};
use object_store::ObjectStoreExt as _;
use serde_json::{Map, Value, json};

use super::{MERGED_PREFIX, RemovalError, Removed, RemovedObject, Removing, Rewritten};
use crate::batch::sha256_hex;
use crate::manifest::{Manifest, ManifestObject};
use crate::merges::{Merge, MergedFile, Merges};
use crate::profiles::forget;
use crate::rendering::TableFormat;
use crate::runs::Runs;
use crate::stores::StoreError;

/// What of captura's own member stays in a tombstone: nothing that says who called or what was said.
const STAYS: [&str; 12] = [
    "lsn",
    "shadowCopy",
    "outcome",
    "status",
    "modelLatencyUs",
    "totalLatencyUs",
    "requestSizeBytes",
    "responseSizeBytes",
    "samplingProbability",
    "modelName",
    "targetModel",
    "endpointConfigName",
];

/// What stands in the place of a line whose record was erased.
fn tombstone(line: &[u8]) -> Result<Vec<u8>, serde_json::Error> {
    let line: Value = serde_json::from_slice(line)?;
    let metadata = &line["eventMetadata"];
    let mut stays = json!({
        "captureData": {},
        "eventMetadata": { "eventId": metadata["eventId"], "inferenceTime": metadata["inferenceTime"] },
        "eventVersion": line["eventVersion"],
    });
    if let Some(own) = line["captura"].as_object() {
        let known = STAYS.iter().filter_map(|name| Some(((*name).to_owned(), own.get(*name)?.clone())));
        let mut left: Map<String, Value> = known.collect();
        left.insert("erased".into(), Value::Bool(true));
        stays["captura"] = Value::Object(left);
    }
    let mut bytes = serde_json::to_vec(&stays)?;
    bytes.push(b'\n');
    Ok(bytes)
}

impl Removing {
    /// Takes records out of an object for good; answers how many were not taken out before.
    ///
    /// # Errors
    /// When the note cannot be written, or the store does not give or take the object; doing it again goes on.
    pub async fn rewrite(
        &self,
        manifest: &Manifest,
        object: &ManifestObject,
        numbers: &Runs,
    ) -> Result<u64, RemovalError> {
        let failed = |why: String| RemovalError::Store { uri: object.uri.clone(), why };
        let mut note = self.note(manifest)?;
        let noted = note.note(object, false);
        if noted.is_expired() {
            return Ok(0);
        }
        let bytes = self.read(&object.uri).await?;
        let mut out = Vec::with_capacity(bytes.len());
        let mut own = object.runs.numbers();
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            if own.next().is_some_and(|n| numbers.contains(n)) {
                out.extend(tombstone(line).map_err(|error| failed(error.to_string()))?);
            } else {
                out.extend_from_slice(line);
            }
        }
        let before = noted.erased.count();
        for run in numbers.runs() {
            noted.erased.insert_run(*run);
        }
        let fresh = noted.erased.count() - before;
        let out = Bytes::from(out);
        noted.rewritten = Some(Rewritten::of(&out, &bytes));
        self.replace(&mut note, &object.uri, (&out, object.kms_key_id.as_deref())).await?;
        Ok(fresh)
    }

    /// Takes rows out of the files of tables that have those records of a segment.
    ///
    /// # Errors
    /// As [`Removing::rewrite`], and while parts are being merged.
    pub async fn rewrite_tables(
        &self,
        manifest: &Manifest,
        (endpoint, numbers): (&str, &Runs),
        (format, calls): (&dyn TableFormat, &BTreeSet<EventId>),
    ) -> Result<(), RemovalError> {
        let has_some = |part: &&ManifestObject| {
            part.endpoint == endpoint
                && part.runs.runs().iter().any(|run| (run.first..=run.last).any(|n| numbers.contains(n)))
        };
        let parts: Vec<&ManifestObject> = manifest.tables.iter().filter(has_some).collect();
        if parts.is_empty() {
            return Ok(());
        }
        let busy = || RemovalError::Busy(parts[0].uri.clone());
        // Made where it is missing: without it nobody merges, and nobody shall begin.
        let merges = Merges::create(&self.journal)?;
        let _lock = merges.lock()?.ok_or_else(busy)?;
        let all = merges.all()?;
        let by_source: BTreeMap<&str, &Merge> =
            all.iter().flat_map(|merge| merge.sources.iter().map(move |source| (source.uri.as_str(), merge))).collect();
        for part in &parts {
            let key = manifest.plan.tables.iter().find(|table| part.uri.starts_with(&table.to.to_string()));
            let key = key.and_then(|table| table.kms_key_id.as_deref());
            let (mut file, mut merged) = (MergedFile::from(*part), None);
            while let Some(merge) = by_source.get(file.uri.as_str()) {
                if !merge.done {
                    return Err(busy());
                }
                (file, merged) = (merge.target.clone(), Some(*merge));
            }
            let mut note = match merged {
                None => self.note(manifest)?,
                Some(merge) => {
                    let segment = format!("{MERGED_PREFIX}{}", Merge::id_of(&merge.sources));
                    let note = self.removals.read(&segment)?;
                    note.unwrap_or_else(|| Removed::of_segment(segment, manifest.node))
                }
            };
            let noted = note.objects.entry(file.uri.clone()).or_insert_with(|| RemovedObject {
                endpoint: part.endpoint.clone(),
                variant: part.variant.clone(),
                ..RemovedObject::default()
            });
            if noted.is_expired() {
                continue;
            }
            let bytes = self.read(&file.uri).await?;
            let failed = |why: String| RemovalError::Store { uri: file.uri.clone(), why };
            if let Some(out) = format.without(&bytes, calls).map_err(failed)? {
                noted.rewritten = Some(Rewritten::of(&out, &bytes));
                self.replace(&mut note, &file.uri, (&out, key)).await?;
            } else if noted.rewritten.as_ref().is_some_and(|rewritten| !rewritten.done) {
                // Cut off after the file was replaced.
                self.close(&mut note, &file.uri)?;
            }
        }
        Ok(())
    }

    async fn read(&self, uri: &str) -> Result<Bytes, RemovalError> {
        let failed = |why: String| RemovalError::Store { uri: uri.to_owned(), why };
        let (store, path) = self.resolve(uri).map_err(|error| failed(error.to_string()))?;
        let bytes = match store.get(&path).await {
            Ok(found) => found.bytes().await,
            Err(error) => Err(error),
        };
        bytes.map_err(|error| failed(error.to_string()))
    }

    /// From the note on.
    async fn replace(
        &self,
        note: &mut Removed,
        uri: &str,
        (bytes, key): (&Bytes, Option<&str>),
    ) -> Result<(), RemovalError> {
        let failed = |why: String| RemovalError::Store { uri: uri.to_owned(), why };
        self.removals.write(note)?;
        let parsed = S3Uri::parse(uri).map_err(StoreError::from);
        let resolved = parsed.and_then(|parsed| self.stores.resolve_encrypted(&parsed, key));
        let (store, path) = resolved.map_err(|error| failed(error.to_string()))?;
        store.put(&path, bytes.clone().into()).await.map_err(|error| failed(error.to_string()))?;
        let there = self.read(uri).await?;
        if there != *bytes {
            return Err(failed("the store took it and gives something else back".into()));
        }
        // Only now: whoever made one of the old bytes looks afterwards whether they are still there.
        forget(&*store, &path).await.map_err(|error| failed(error.to_string()))?;
        self.close(note, uri)
    }

    fn close(&self, note: &mut Removed, uri: &str) -> Result<(), RemovalError> {
        let rewritten = note.objects.get_mut(uri).and_then(|object| object.rewritten.as_mut());
        rewritten.expect("our bug: what is replaced was noted").done = true;
        self.removals.write(note)
    }
}

impl Rewritten {
    fn of(bytes: &Bytes, before: &Bytes) -> Self {
        Self { size_bytes: bytes.len() as u64, sha256: sha256_hex(bytes), before: sha256_hex(before), done: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::line::Line;

    #[test]
    fn a_tombstone_says_nothing_of_caller_and_bodies_is_a_line_and_its_own_tombstone() {
        let line = concat!(
            r#"{"captureData":{"endpointInput":{"observedContentType":"text/csv","mode":"INPUT","data":"secret","encoding":"CSV"}},"#,
            r#""eventMetadata":{"eventId":"55126149-826d-415a-967b-33fa7f4666f3","customAttributes":["secret"],"inferenceId":"secret","#,
            r#""inferenceTime":"2022-04-18T00:21:48Z"},"eventVersion":"0","captura":{"lsn":"000000aa-3-17","consumer":"secret","#,
            r#""principal":"secret","sourceIPAddress":"10.0.0.1","userAgent":"secret","outcome":"ok","status":200,"modelName":"m"}}"#,
        );
        let stays = tombstone(line.as_bytes()).unwrap();
        let text = String::from_utf8(stays.clone()).unwrap();
        assert!(!text.contains("secret") && !text.contains("10.0.0.1"), "{text}");
        assert_eq!(tombstone(&stays).unwrap(), stays);
        let line = Line::parse(&stays).unwrap();
        assert_eq!((line.lsn.unwrap().n, line.input, line.consumer), (17, None, None));
        let of_the_service = tombstone(
            br#"{"captureData":{},"eventMetadata":{"eventId":"55126149-826d-415a-967b-33fa7f4666f3","inferenceTime":"2022-04-18T00:21:48Z"},"eventVersion":"0"}"#,
        );
        assert!(Line::parse(&of_the_service.unwrap()).unwrap().lsn.is_none());
    }
}
