//! Reading the objects of a source until the columns are right.

use captura_archive::Stores;
use captura_archive::reader::{Found, list};

use super::{JobError, Source};
use crate::dataset::{Batch, Columns, Matching, Plan, Reader, Tally};
use crate::profile::DatasetProfile;

/// Most passes over the data to settle its columns: one for the width, one for names, one for texts, and the good one.
pub const MAX_PASSES: usize = 4;

/// A finished pass.
pub(super) struct Pass {
    pub(super) profile: DatasetProfile,
    pub(super) tally: Tally,
    pub(super) objects: u64,
    /// How many columns were known before the data was seen.
    pub(super) columns_given: Option<usize>,
    plan: Plan,
}

/// The objects of a source in the order of their addresses, each once.
pub(super) async fn open(stores: &Stores, source: &Source) -> Result<Vec<Found>, JobError> {
    let mut all = Vec::new();
    for address in &source.addresses {
        all.extend(list(stores, address, &source.selection).await?);
    }
    all.sort_by(|a, b| a.address.cmp(&b.address));
    all.dedup_by(|a, b| a.address == b.address);
    Ok(all)
}

impl Pass {
    /// Profiles the objects. `columns` are what is known beforehand; `fixed` when they are promises to check against
    /// rather than names to use.
    ///
    /// # Errors
    /// When an object cannot be fetched or no row can be used.
    pub(super) async fn run(
        objects: &[Found],
        source: &Source,
        columns: Option<Columns>,
        fixed: bool,
    ) -> Result<Self, JobError> {
        let columns_given = columns.as_ref().map(Columns::len);
        let promised = columns.as_ref().filter(|_| fixed).map_or(0, Columns::len);
        let mut plan = Plan { columns, with_calls: false };
        for passes_left in (0..MAX_PASSES).rev() {
            let mut profile = DatasetProfile::default();
            let tally = read(objects, source, &plan, |batch| profile.update(&batch)).await?;
            match better(&plan, &tally, promised) {
                Some(better) if passes_left > 0 => plan = better,
                _ if tally.rows == 0 => return Err(no_rows(&tally)),
                _ => return Ok(Self { profile, tally, objects: objects.len() as u64, columns_given, plan }),
            }
        }
        unreachable!("our bug: the last pass always ends the loop")
    }

    /// Whether the rows have another width than the columns that were given, and no names to match by.
    pub(super) fn is_unpaired(&self) -> bool {
        let another = self.columns_given.is_some_and(|given| given != self.profile.columns.len());
        another && self.tally.matching == Matching::ByPosition
    }

    /// Reads the same rows once more, with their calls.
    ///
    /// # Errors
    /// When an object cannot be fetched.
    pub(super) async fn again(
        &self,
        objects: &[Found],
        source: &Source,
        sink: impl FnMut(Batch),
    ) -> Result<(), JobError> {
        let plan = Plan { with_calls: true, ..self.plan.clone() };
        read(objects, source, &plan, sink).await.map(|_| ())
    }
}

async fn read(objects: &[Found], source: &Source, plan: &Plan, sink: impl FnMut(Batch)) -> Result<Tally, JobError> {
    let mut reader = Reader::new(plan.clone(), sink);
    for object in objects {
        let bytes = object.fetch().await?;
        if is_captures(&object.address, &bytes) {
            reader.captures(&object.address, &bytes);
        } else {
            reader.csv(&object.address, &bytes, source.header);
        }
    }
    Ok(reader.finish())
}

/// Captured lines by name, or when the first thing in the object is a JSON object.
pub(super) fn is_captures(address: &str, bytes: &[u8]) -> bool {
    let name = address.strip_suffix(".gz").unwrap_or(address);
    match name.rsplit_once('.').map(|(_, ending)| ending) {
        Some("jsonl") => true,
        Some("csv") => false,
        _ => bytes.trim_ascii_start().first() == Some(&b'{'),
    }
}

/// A plan that fits the data better than the one it was read with; `None` when that one fits.
fn better(plan: &Plan, tally: &Tally, promised: usize) -> Option<Plan> {
    let with = |columns: Columns| Some(Plan { columns: Some(columns), ..plan.clone() });
    let expected = tally.columns.len();
    // The promised width wins a tie, so that a handful of odd rows does not hide the columns.
    let rank = |(width, rows): &(&usize, &u64)| (**rows, **width == promised, **width == expected);
    if let Some((&width, _)) = tally.widths.iter().max_by_key(rank)
        && width != expected
        && tally.matching != Matching::ByName
    {
        return with(Columns::numbered(width));
    }
    if !tally.strangers.is_empty() {
        let mut columns = Columns::named(tally.columns.names.iter().chain(tally.strangers.keys()).cloned());
        columns.text[..expected].clone_from_slice(&tally.columns.text);
        return with(columns);
    }
    if !tally.promoted.is_empty() {
        return with(tally.columns.clone());
    }
    None
}

fn no_rows(tally: &Tally) -> JobError {
    let first = tally.described.first().map_or_else(String::new, |bad| {
        format!("; the first unusable one is {} line {}: {}", bad.source, bad.line, bad.reason)
    });
    JobError::NoRows { records: tally.records, bad: tally.bad, unanswered: tally.unanswered, first }
}
