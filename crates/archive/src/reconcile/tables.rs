//! Parts of tables compared with their manifests, through the notes of what they were merged into.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::objects::Fetched;
use super::{FindingKind, Proof};
use crate::batch::sha256_hex;
use crate::manifest::ManifestError;
use crate::merges::{Merge, MergedFile};
use crate::removal::RemovedObject;

/// Merges that follow each other at most, from a part to the file that has its rows; more are a circle.
const MERGES_FOLLOWED_MAX: usize = 10_000;

/// What was found of tables.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TablesProof {
    /// Files that were compared with what is noted of them.
    pub files_checked: u64,
    /// Parts that manifests confirm.
    pub parts: u64,
    /// Records in them; a record counts once for each half of a table that it is in.
    pub records: u64,
    /// Parts that were given up because their destination failed, or could not be made; the captured objects have their
    /// records.
    pub owed: Vec<String>,
}

impl Proof<'_> {
    pub(super) async fn check_tables(&mut self, merges: Result<Vec<Merge>, ManifestError>) -> TablesProof {
        let merges = match merges {
            Ok(merges) => merges,
            Err(error) => {
                self.find(FindingKind::Manifest, Vec::new(), "merged", error.to_string());
                return TablesProof::default();
            }
        };
        let by_source: BTreeMap<&str, &Merge> = merges
            .iter()
            .flat_map(|merge| merge.sources.iter().map(move |source| (source.uri.as_str(), merge)))
            .collect();
        let mut proof = TablesProof::default();
        let mut expected: BTreeMap<String, MergedFile> = BTreeMap::new();
        let mut under_way: BTreeMap<&str, &Merge> = BTreeMap::new();
        // The rows of all parts, asked for or not, must be in the files that they were merged into.
        let mut records = 0;
        let mut asked: BTreeSet<String> = BTreeSet::new();
        for part in self.manifests.values().flat_map(|manifest| &manifest.tables) {
            let is_asked = self.scope.has_endpoint(&part.endpoint) && self.scope.may_have_part(&part.uri);
            proof.parts += u64::from(is_asked);
            proof.records += if is_asked { part.records } else { 0 };
            records += part.records;
            let mut file = MergedFile::from(part);
            for _ in 0..MERGES_FOLLOWED_MAX {
                match by_source.get(file.uri.as_str()) {
                    Some(merge) if merge.done => file = merge.target.clone(),
                    Some(merge) => {
                        asked.extend(is_asked.then(|| merge.target.uri.clone()));
                        under_way.insert(&merge.target.uri, merge);
                        break;
                    }
                    // Deleted on purpose, or about to be.
                    None if self.removed.get(&file.uri).is_some_and(RemovedObject::is_expired) => {
                        proof.records -= if is_asked { part.records } else { 0 };
                        records -= part.records;
                        break;
                    }
                    None => {
                        asked.extend(is_asked.then(|| file.uri.clone()));
                        expected.insert(file.uri.clone(), file);
                        break;
                    }
                }
            }
        }
        proof.owed = self.owed_parts();
        let held = expected.values().map(|file| file.records).sum::<u64>();
        let moving = under_way.values().map(|merge| merge.target.records).sum::<u64>();
        if held + moving != records {
            let reason = format!("files of tables hold {} records, manifests {records}", held + moving);
            self.suspect(FindingKind::Manifest, Vec::new(), "merged", reason);
        }
        for file in expected.values().filter(|file| asked.contains(&file.uri)) {
            if let Some(reason) = self.difference(file, &mut proof).await {
                let kind = if reason == ABSENT { FindingKind::Missing } else { FindingKind::Altered };
                self.find(kind, Vec::new(), &file.uri, reason);
            }
        }
        for merge in under_way.values().filter(|merge| asked.contains(&merge.target.uri)) {
            self.check_merge(merge, &mut proof).await;
        }
        let mut known: BTreeSet<&str> = expected.keys().map(String::as_str).collect();
        known.extend(under_way.values().flat_map(|merge| &merge.sources).map(|source| source.uri.as_str()));
        known.extend(under_way.keys());
        let removed: Vec<String> = self.removed.keys().cloned().collect();
        known.extend(removed.iter().map(String::as_str));
        self.find_stray_parts(&known).await;
        proof
    }

    fn owed_parts(&self) -> Vec<String> {
        let owed = self.manifests.values().flat_map(|manifest| &manifest.owed);
        let owed = owed.filter(|part| self.scope.has_endpoint(&part.endpoint) && self.scope.may_have_part(&part.uri));
        let mut parts: Vec<String> = owed.map(|part| part.uri.clone()).collect();
        for manifest in self.manifests.values().filter(|manifest| self.scope.may_have_segment(manifest)) {
            parts.extend(manifest.unmade.iter().map(|reason| format!("{}: {reason}", manifest.segment)));
        }
        parts
    }

    /// Cut off on the way, a merge has its rows under the hidden name, or under its own one.
    async fn check_merge(&mut self, merge: &Merge, proof: &mut TablesProof) {
        let staged = MergedFile { uri: merge.staged.clone(), ..merge.target.clone() };
        for file in [&staged, &merge.target] {
            if self.difference(file, proof).await.is_none() {
                return;
            }
        }
        let reason = "parts were merged into it, and neither it nor what it was made of is there";
        self.find(FindingKind::Missing, Vec::new(), &merge.target.uri, reason);
    }

    async fn difference(&mut self, file: &MergedFile, proof: &mut TablesProof) -> Option<String> {
        let bytes = match self.fetch(&file.uri).await {
            Fetched::Bytes(bytes) => bytes,
            Fetched::Absent => return Some(ABSENT.to_owned()),
            Fetched::Unreachable(error) => {
                self.doubts.push(format!("cannot read {}: {error}", file.uri));
                return None;
            }
        };
        proof.files_checked += 1;
        let sha256 = sha256_hex(&bytes);
        let (size, expected) = (bytes.len(), file.size_bytes);
        let noted = self.removed.get(&file.uri);
        let is_sound = noted.map_or(sha256 == file.sha256, |noted| noted.may_be(&sha256, &file.sha256));
        (!is_sound)
            .then(|| format!("{size} bytes with SHA-256 {sha256}, it was made with {expected} and {}", file.sha256))
    }

    /// A part of this node that nothing knows doubles rows.
    async fn find_stray_parts(&mut self, known: &BTreeSet<&str>) {
        let tables: BTreeSet<String> = self
            .manifests
            .values()
            .flat_map(|manifest| &manifest.plan.tables)
            .map(|table| table.to.to_string())
            .collect();
        let node = format!("{:08x}", self.state.node);
        let ours = [format!("part-{node}-"), format!("merged-{node}-")];
        let pending: Vec<String> = self
            .state
            .segments
            .iter()
            .filter_map(|segment| Some(format!("{}{}-", ours[0], segment.name.strip_prefix("seg-")?)))
            .collect();
        for table in tables {
            let listed = match self.list(&table).await {
                Ok(listed) => listed,
                Err(error) => {
                    self.doubts.push(format!("cannot list {table}: {error}"));
                    continue;
                }
            };
            for uri in listed {
                let name = uri.rsplit('/').next().unwrap_or_default();
                let is_ours = name.ends_with(".parquet") && ours.iter().any(|start| name.starts_with(start));
                let is_pending = pending.iter().any(|start| name.starts_with(start));
                if !is_ours || is_pending || known.contains(uri.as_str()) {
                    continue;
                }
                let reason = "a part of a table that no manifest knows: its rows are there twice";
                match self.scope.has_part(&uri) {
                    Some(true) => self.find(FindingKind::Stray, Vec::new(), &uri, reason),
                    Some(false) => {}
                    None => self.suspect(FindingKind::Stray, Vec::new(), &uri, reason),
                }
            }
        }
    }
}

const ABSENT: &str = "the part is not there";
