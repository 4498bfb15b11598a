//! Profiles of hours, kept beside the objects that they are of, so that a day is not read again.
//!
//! Of a window of time, folders of hours that lie in it are taken as they are kept, where all of their calls are of that time; those at
//! its ends are read. Calls of some consumers are read.
//!
//! Data is gathered folder by folder (captured objects of an hour are in one; any other object is alone), and what was
//! gathered of the folders is merged. What is kept of a folder is exactly what would be gathered of it now: it is used when the
//! objects are the same ones (addresses, sizes, versions), their columns are planned the same way and every byte is as it was
//! written, and made again otherwise.
//!
//! ```text
//! "captura profile" 5 ─ SHA-256 of the objects' identities ─ account, profile, callers, sample ─ SHA-256 of all before
//! ```
//! Of tables that are read group by group, each group of columns has a profile of its own, without the sample of values.
//!
//! Invariant: with and without kept profiles the outcome is the same. A profile that was made of objects which changed
//! meanwhile is taken away again. Refuses to: keep anything beside objects that are no captures, or of a part of their calls.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use captura_archive::reader::Found;
use captura_names::Timestamp;
use sha2::{Digest, Sha256};

use super::gathering::{Gatherer, Gathering, Wanted};
use super::reading::{Beginning, Limit, Part, Settling, Total, read};
use super::{JobError, Source};
use crate::cause::{Callers, Collector};
use crate::dataset::{Columns, Plan, Tally};
use crate::notes;
use crate::profile::DatasetProfile;
use crate::stored::{MAX_ROWS, Writer, Written};

/// First bytes of a kept profile: what it is, and the version of its form.
const MAGIC: &[u8; 16] = b"captura profile\x05";
const HOUR_US: i64 = 3_600_000_000;
/// Values of the sample of a folder: 4 MiB.
const FOLDER_VALUES: usize = 1 << 19;
/// Folders that are gathered before they are kept, where there are few columns.
const FOLDERS_AT_ONCE: usize = 8;
/// Columns of all of them together.
const COLUMNS_OF_FOLDERS: usize = 1024;

/// Why nothing was gathered.
#[derive(Debug)]
pub(super) enum Halt {
    /// There are more columns than are to be read at once: these.
    TooWide(Columns),
    /// The job has failed.
    Failed(JobError),
}

impl From<JobError> for Halt {
    fn from(error: JobError) -> Self {
        Self::Failed(error)
    }
}

impl From<Halt> for JobError {
    fn from(halt: Halt) -> Self {
        match halt {
            Halt::Failed(error) => error,
            Halt::TooWide(_) => unreachable!("our bug: nothing is too wide where nobody says what is"),
        }
    }
}

/// Gathers what is wanted of the objects; tells beside what could not be kept. Of more than so many columns nothing, where the
/// plan is not of some of them only.
pub(super) async fn gather(
    objects: &[Found],
    source: &Source,
    plan: &Plan,
    wanted: &Wanted,
    limit: Limit,
) -> Result<(Gathering, Tally, Vec<String>), Halt> {
    let mut columns = Settling::of(plan).at_most(limit);
    let (mut keeping, mut wanted) = (None, wanted.clone());
    if source.keeps_profiles && plan.scope.consumers.is_empty() && !matches!(wanted, Wanted::Features(_)) {
        let settled = columns.settled(objects, source.header).await?;
        keeping = settled.map(|columns| Keeping::of(columns, plan));
        // Of a part of the columns no values are kept: there would be room for a few rows of them.
        let kept = if plan.only.is_some() { Wanted::Heard } else { Wanted::Everything };
        wanted = if keeping.is_some() { kept } else { wanted };
    }
    let too_wide = |columns: &Settling| columns.too_many().map_or(Ok(()), |all| Err(Halt::TooWide(all.clone())));
    too_wide(&columns)?;
    let mut whole = Whole::default();
    if source.keeps_profiles && !plan.scope.consumers.is_empty() {
        whole.notes.push(notes::READ_FOR_CONSUMERS.say(&[]));
    }
    let folders = folders(objects);
    let mut next = 0;
    while next < folders.len() {
        // Of a window's ends only a part of the calls is asked for, and read.
        let is_inside =
            |folder: &Range<usize>| keeping.as_ref().is_some_and(|kept| kept.may_have(&objects[folder.start]));
        let end = |inside: bool| folders[next..].iter().position(|folder| is_inside(folder) != inside);
        if !is_inside(&folders[next]) {
            let run = &folders[next..end(false).map_or(folders.len(), |count| next + count)];
            fresh(objects, run, (source, &wanted), &mut columns, |_, made| whole.add(made)).await?;
            too_wide(&columns)?;
            next += run.len();
            continue;
        }
        let keeping = keeping.as_ref().expect("our bug: folders are inside of what is kept");
        let inside = &folders[next..end(true).map_or(folders.len(), |count| next + count)];
        if let Some(folder) = keeping.find(&objects[inside[0].clone()]).await {
            whole.take((objects, inside[0].clone()), folder, (source, &wanted), (keeping, &mut columns)).await?;
            next += 1;
            continue;
        }
        let (mut run, mut found) = (1, None);
        while run < inside.len().min(keeping.folders_at_once()) && found.is_none() {
            found = keeping.find(&objects[inside[run].clone()]).await;
            run += usize::from(found.is_none());
        }
        let (mut made, mut all) = (Vec::new(), columns.of_everything());
        fresh(objects, &inside[..run], (source, &wanted), &mut all, |folder, one| made.push((folder, one))).await?;
        for (folder, made) in made {
            whole.notes.extend(keeping.keep(&objects[folder.clone()], &made).await.err());
            whole.take((objects, folder), made, (source, &wanted), (keeping, &mut columns)).await?;
        }
        next += run;
        if let Some(folder) = found {
            whole.take((objects, inside[run].clone()), folder, (source, &wanted), (keeping, &mut columns)).await?;
            next += 1;
        }
    }
    whole.tally.matching = whole.tally.matching.max(columns.matching());
    whole.notes.dedup();
    Ok((whole.made, whole.tally, whole.notes))
}

type Folder = (Gathering, Tally);

/// Reads these folders, and tells of each what was made of it; not of those without a record.
async fn fresh(
    objects: &[Found],
    folders: &[Range<usize>],
    (source, wanted): (&Source, &Wanted),
    columns: &mut Settling,
    mut done: impl FnMut(Range<usize>, Folder),
) -> Result<(), JobError> {
    let Some((first, last)) = folders.first().zip(folders.last()) else { return Ok(()) };
    let thinned = Arc::new(Mutex::new(Thinned::default()));
    let begin = {
        let (wanted, thinned, start) = (wanted.clone(), Arc::clone(&thinned), first.start);
        move |piece: Beginning<'_>| {
            let thinned = thinned.lock().unwrap_or_else(PoisonError::into_inner);
            let here = thinned.folder.contains(&(start + piece.object));
            let strides = if here { thinned.strides.clone() } else { Vec::new() };
            drop(thinned);
            wanted.begin(&piece, strides)
        }
    };
    let mut coming = folders.iter();
    let mut open: Option<Open> = None;
    let take = |part: Part<Gatherer>| {
        let object = first.start + part.object;
        if open.as_ref().is_none_or(|open| !open.folder.contains(&object)) {
            let folder = coming.find(|folder| folder.contains(&object)).expect("our bug: every object is in a folder");
            let next = Open { folder: folder.clone(), made: Gathering::default(), total: Total::default() };
            if let Some(whole) = open.replace(next) {
                done(whole.folder.clone(), whole.closed());
            }
        }
        let open = open.as_mut().expect("our bug: there is one now");
        open.made.merge(open.total.add(part).end());
        let strides = open.made.sample.as_ref().map(Collector::strides).unwrap_or_default();
        *thinned.lock().unwrap_or_else(PoisonError::into_inner) = Thinned { folder: open.folder.clone(), strides };
    };
    read(&objects[first.start..last.end], source, columns, begin, take).await?;
    if let Some(whole) = open {
        done(whole.folder.clone(), whole.closed());
    }
    Ok(())
}

/// Rows that no piece to come of a folder need keep, whatever it keeps first: they would be dropped when it is merged.
#[derive(Default)]
struct Thinned {
    folder: Range<usize>,
    strides: Vec<(Option<String>, u64)>,
}

/// A folder of which pieces come in.
struct Open {
    folder: Range<usize>,
    made: Gathering,
    total: Total,
}

impl Open {
    fn closed(self) -> Folder {
        let sample = self.made.sample.map(|sample| sample.bounded(FOLDER_VALUES));
        (Gathering { sample, ..self.made }, self.total.tally)
    }
}

#[derive(Default)]
struct Whole {
    made: Gathering,
    tally: Tally,
    notes: Vec<String>,
}

impl Whole {
    fn add(&mut self, (made, tally): Folder) {
        self.made.merge(made);
        self.tally.add(tally, 0);
    }

    /// Adds what is known of all calls in a folder, where all of them are asked for; else those that are asked for are read.
    async fn take(
        &mut self,
        (objects, place): (&[Found], Range<usize>),
        folder: Folder,
        how: (&Source, &Wanted),
        (keeping, columns): (&Keeping, &mut Settling),
    ) -> Result<(), JobError> {
        if keeping.window.as_ref().is_none_or(|window| folder.1.times.are_within(window)) {
            self.add(folder);
            return Ok(());
        }
        fresh(objects, &[place], how, columns, |_, made| self.add(made)).await
    }
}

/// Objects that are gathered together: captured ones by their folder, each other one alone.
fn folders(objects: &[Found]) -> Vec<Range<usize>> {
    let folder = |found: &Found| {
        let (folder, _) = found.address.rsplit_once('/')?;
        found.key.as_ref().map(|_| folder.to_owned())
    };
    let mut all: Vec<Range<usize>> = Vec::new();
    let mut last = None;
    for (place, found) in objects.iter().enumerate() {
        let here = folder(found);
        match all.last_mut() {
            Some(range) if here.is_some() && here == last => range.end = place + 1,
            _ => all.push(place..place + 1),
        }
        last = here;
    }
    all
}

/// Profiles of one plan of columns.
struct Keeping {
    /// The name of the profiles beside their objects.
    id: String,
    /// All columns, and those that are kept.
    names: Vec<String>,
    kept: Vec<String>,
    /// The time that is asked for; all of it where nothing is said.
    window: Option<Range<Timestamp>>,
}

impl Keeping {
    fn of(columns: &Columns, asked: &Plan) -> Self {
        let naming = &asked.naming;
        let mut plan = Writer::default();
        plan.bytes(MAGIC);
        for (name, text) in columns.names.iter().zip(&columns.text) {
            plan.text(name);
            plan.flag(*text);
        }
        if !naming.changes_nothing() {
            plan.bytes(&serde_json::to_vec(&**naming).expect("our bug: names are lists and maps"));
        }
        let mut kept = columns.names.clone();
        if let Some(only) = &asked.only {
            kept = columns.only(only).names;
            plan.count(kept.len());
            kept.iter().for_each(|name| plan.text(name));
        }
        let digest: [u8; 32] = Sha256::digest(&plan.0).into();
        let id = digest[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        Self { id, names: columns.names.clone(), kept, window: asked.scope.window.clone() }
    }

    fn folders_at_once(&self) -> usize {
        (COLUMNS_OF_FOLDERS / self.kept.len().max(1)).clamp(1, FOLDERS_AT_ONCE)
    }

    /// Whether all calls of a folder may be asked for: those of objects that are named by their hour lie in it.
    fn may_have(&self, first: &Found) -> bool {
        let Some(window) = &self.window else { return true };
        first.key.as_ref().is_some_and(|key| {
            let hour_us = key.started_at.unix_us().div_euclid(HOUR_US) * HOUR_US;
            window.start.unix_us() <= hour_us && hour_us + HOUR_US <= window.end.unix_us()
        })
    }

    async fn find(&self, objects: &[Found]) -> Option<Folder> {
        let first = objects.first().filter(|found| found.key.is_some())?;
        self.decoded(&first.profile(&self.id).await?, objects)
    }

    /// Keeps what was made of a folder.
    async fn keep(&self, objects: &[Found], made: &Folder) -> Result<(), String> {
        let Some(first) = objects.first().filter(|found| found.key.is_some()) else { return Ok(()) };
        let failed = |error: String| format!("profiles cannot be kept beside captured objects: {error}");
        first.keep_profile(&self.id, encoded(objects, made).into()).await.map_err(failed)?;
        for found in objects {
            // Of what was erased or has expired meanwhile nothing may stay.
            if !found.is_as_found().await {
                return first.drop_profile(&self.id).await.map_err(failed);
            }
        }
        Ok(())
    }

    fn decoded(&self, bytes: &[u8], objects: &[Found]) -> Option<Folder> {
        let (content, digest) = bytes.split_at_checked(bytes.len().checked_sub(32)?)?;
        let content = content.strip_prefix(MAGIC)?.strip_prefix(&identity(objects))?;
        if digest != Sha256::digest(&bytes[..bytes.len() - 32]).as_slice() {
            return None;
        }
        let mut written = Written(content);
        let tally: Tally = serde_json::from_slice(written.bytes()?).ok()?;
        let profile = DatasetProfile::read(&mut written)?;
        let callers = Callers::read(&mut written)?;
        let sample = written.maybe(Collector::read)?;
        let counts = [tally.records, tally.used, tally.rows, tally.bad, tally.unanswered, tally.outside];
        let mut counts = counts.iter().chain(tally.widths.values()).chain(tally.strangers.values());
        let fits = counts.all(|&count| count <= MAX_ROWS)
            && tally.columns.names == self.names
            && (profile.columns.is_empty() || profile.names().eq(self.kept.iter().map(String::as_str)))
            && sample.as_ref().is_none_or(|sample| sample.is_of(&self.kept));
        (written.is_over() && fits).then_some((Gathering { profile, callers, sample }, tally))
    }
}

fn encoded(objects: &[Found], (made, tally): &Folder) -> Vec<u8> {
    let mut out = Writer(MAGIC.to_vec());
    out.0.extend_from_slice(&identity(objects));
    out.bytes(&serde_json::to_vec(tally).expect("our bug: an account is numbers and names"));
    made.profile.write(&mut out);
    made.callers.write(&mut out);
    out.maybe(made.sample.as_ref(), |out, sample| sample.write(out));
    let digest: [u8; 32] = Sha256::digest(&out.0).into();
    out.0.extend_from_slice(&digest);
    out.0
}

/// Another one when an object is another, has come or has gone.
fn identity(objects: &[Found]) -> [u8; 32] {
    let mut all = Writer::default();
    for found in objects {
        all.text(&found.address);
        all.number(found.size_bytes);
        all.text(&found.version);
    }
    Sha256::digest(&all.0).into()
}

#[cfg(test)]
mod tests {
    use captura_archive::reader::{Selection, list};
    use captura_archive::{StoreSettings, Stores};
    use proptest::prelude::*;

    use super::*;

    /// A folder of two captured calls, what is gathered of it, and by which plan.
    fn gathered(dir: &std::path::Path) -> (Vec<Found>, Keeping, Folder) {
        let hour = dir.join("e/v/2026/03/01/08");
        std::fs::create_dir_all(&hour).unwrap();
        let line = |id: u8, consumer: &str| {
            format!(
                r#"{{"captureData":{{"endpointInput":{{"mode":"INPUT","data":"{id},x{id}","encoding":"CSV"}}}},"eventMetadata":{{"eventId":"{id}","inferenceTime":"2026-03-01T08:00:00Z"}},"eventVersion":"0","captura":{{"consumer":"{consumer}"}}}}"#
            ) + "\n"
        };
        let object = hour.join("00-00-000-00000000-0000-4000-8000-000000000000.jsonl");
        std::fs::write(object, line(1, "a") + &line(2, "b") + "nonsense\n").unwrap();
        let stores = Stores::new(StoreSettings { data_dir: dir.to_owned(), mappings: Default::default() });
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let found = list(&stores, &dir.display().to_string(), &Selection::default()).await.unwrap();
            let source = Source { keeps_profiles: true, ..Source::default() };
            let mut columns = Settling::of(&Plan::default());
            let keeping = columns.settled(&found, source.header).await.unwrap();
            let keeping = keeping.map(|columns| Keeping::of(columns, &Plan::default())).unwrap();
            let (made, tally, notes) =
                gather(&found, &source, &Plan::default(), &Wanted::Profile, Limit::NONE).await.unwrap();
            assert!(notes.is_empty() && tally.rows == 2 && tally.bad == 1);
            (found, keeping, (made, tally))
        })
    }

    fn sealed(mut content: Vec<u8>) -> Vec<u8> {
        let digest: [u8; 32] = Sha256::digest(&content).into();
        content.extend_from_slice(&digest);
        content
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3))]
        #[test]
        fn what_somebody_else_sealed_is_read_as_a_profile_or_not_at_all(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 300),
        ) {
            let dir = tempfile::tempdir().unwrap();
            let (found, keeping, folder) = gathered(dir.path());
            let bytes = encoded(&found, &folder);
            let read = keeping.decoded(&bytes, &found).unwrap();
            prop_assert_eq!(encoded(&found, &read), bytes.clone());
            let content = &bytes[..bytes.len() - 32];
            for (at, byte) in changes {
                let mut changed = content.to_vec();
                let place = 48 + at.index(content.len() - 48);
                changed[place] = byte;
                if let Some(other) = keeping.decoded(&sealed(changed), &found) {
                    let mut whole = Whole::default();
                    whole.add(other.clone());
                    whole.add(other);
                    whole.add((folder.0.clone(), folder.1.clone()));
                }
            }
        }
    }
}
