//! Reading the objects of a source until the columns are right.
//!
//! Invariant: what comes out depends on the objects, their addresses and the plan, not on the number of threads, nor on what of
//! it was kept from an earlier time.

use captura_archive::Stores;
use captura_archive::reader::{Found, ReadError, list, list_ending};

use super::gathering::{Gathering, Wanted};
use super::keeping::gather;
use super::reading::{Beginning, Settling, read};
use super::{JobError, Source};
use crate::cause::{Callers, Collector};
use crate::dataset::{Batch, Columns, Matching, Naming, Plan, Sink, Tally};
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
    /// Who called, and a sample of what they sent, where the pass listened.
    heard: Option<(Callers, Option<Collector>)>,
    /// What could not be kept, and why.
    pub(super) notes: Vec<String>,
}

/// The objects of a source in the order of their addresses, each once.
pub(super) async fn open(stores: &Stores, source: &Source) -> Result<Vec<Found>, JobError> {
    let mut all = Vec::new();
    for address in &source.addresses {
        all.extend(listed(stores, address, source).await?);
    }
    all.sort_by(|a, b| a.address.cmp(&b.address));
    all.dedup_by(|a, b| a.address == b.address);
    Ok(all)
}

/// Captures or other lines of JSON; where there are none, Parquet files; where there are none, CSV.
async fn listed(stores: &Stores, address: &str, source: &Source) -> Result<Vec<Found>, ReadError> {
    let mut listed = list(stores, address, &source.selection).await;
    for endings in [&[".parquet"][..], &[".csv", ".csv.gz"][..]] {
        if matches!(listed, Err(ReadError::Nothing { .. })) {
            listed = list_ending(stores, address, &source.selection, endings).await;
        }
    }
    listed
}

impl Pass {
    /// What the file of names wishes, where there is one.
    pub(super) fn naming(&self) -> &Naming {
        &self.plan.naming
    }

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
        Self::gather(objects, source, (columns, fixed), Wanted::Profile).await
    }

    /// The same, and listens to who calls, so that [`Pass::heard`] seldom has to read again.
    pub(super) async fn listening(
        objects: &[Found],
        source: &Source,
        columns: Option<Columns>,
        fixed: bool,
    ) -> Result<Self, JobError> {
        Self::gather(objects, source, (columns, fixed), Wanted::Everything).await
    }

    async fn gather(
        objects: &[Found],
        source: &Source,
        (columns, fixed): (Option<Columns>, bool),
        wanted: Wanted,
    ) -> Result<Self, JobError> {
        let columns_given = columns.as_ref().map(Columns::len);
        let promised = columns.as_ref().filter(|_| fixed).map_or(0, Columns::len);
        let mut plan = Plan { columns, with_calls: false, scope: source.scope.clone(), naming: source.naming.clone() };
        for passes_left in (0..MAX_PASSES).rev() {
            let (made, tally, notes) = gather(objects, source, &plan, &wanted).await?;
            match better(&plan, &tally, promised) {
                Some(better) if passes_left > 0 => plan = better,
                _ if tally.rows == 0 => return Err(no_rows(&tally)),
                _ => {
                    let Gathering { profile, callers, sample } = made;
                    let heard = matches!(wanted, Wanted::Everything).then_some((callers, sample));
                    let objects = objects.len() as u64;
                    return Ok(Self { profile, tally, objects, columns_given, plan, heard, notes });
                }
            }
        }
        unreachable!("our bug: the last pass always ends the loop")
    }

    /// Whether the rows have another width than the columns that were given, and no names to match by.
    pub(super) fn is_unpaired(&self) -> bool {
        let another = self.columns_given.is_some_and(|given| given != self.profile.columns.len());
        another && self.tally.matching == Matching::ByPosition
    }

    /// Who called, and what they sent of these features; `objects` are those of the pass, or others of the same columns.
    ///
    /// # Errors
    /// When an object has to be read again and cannot be fetched.
    pub(super) async fn heard(
        &self,
        objects: &[Found],
        source: &Source,
        features: &[(String, bool)],
    ) -> Result<(Callers, Collector), JobError> {
        if let Some((callers, sample)) = self.heard.as_ref().filter(|_| objects.len() as u64 == self.objects)
            && let Some(sample) = sample.as_ref().and_then(|sample| sample.only(features))
        {
            return Ok((callers.clone(), sample));
        }
        let wanted = Wanted::Features(features.to_vec());
        let (made, ..) = gather(objects, source, &self.plan, &wanted).await?;
        let sample = made.sample.unwrap_or_else(|| Collector::new(features.iter().cloned()));
        Ok((made.callers, sample))
    }

    /// Reads the same rows once more, with their calls, in the order of the objects.
    ///
    /// # Errors
    /// When an object cannot be fetched.
    pub(super) async fn again(
        &self,
        objects: &[Found],
        source: &Source,
        mut sink: impl FnMut(Batch),
    ) -> Result<(), JobError> {
        let plan = Plan { with_calls: true, ..self.plan.clone() };
        let begin = |_: Beginning<'_>| Held(Vec::new());
        read(objects, source, &mut Settling::of(&plan), begin, |part| part.sink.0.into_iter().for_each(&mut sink)).await
    }
}

/// Keeps the batches of a piece.
struct Held(Vec<Batch>);

impl Sink for Held {
    fn batch(&mut self, batch: Batch) {
        self.0.push(batch);
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
    let Tally { records, bad, unanswered, outside, .. } = *tally;
    JobError::NoRows { records, bad, unanswered, outside, first }
}
