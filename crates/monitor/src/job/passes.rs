//! Reading the objects of a source until the columns are right.
//!
//! Invariant: what comes out depends on the objects, their addresses and the plan, not on the number of threads, nor on what of
//! it was kept from an earlier time.

use std::collections::HashSet;
use std::sync::Arc;

use captura_archive::Stores;
use captura_archive::reader::{Found, ReadError, list, list_ending};

use super::gathering::{Gathering, Wanted};
use super::keeping::{Halt, gather};
use super::reading::{Beginning, Limit, Settling, read};
use super::{JobError, Source};
use crate::cause::{Callers, Collector};
use crate::dataset::{Batch, Columns, Matching, Naming, Plan, Sink, Tally};
use crate::profile::DatasetProfile;

/// Most passes over the data to settle its columns: one for the width, one for names, one for texts, and the good one.
pub const MAX_PASSES: usize = 4;

/// Names of columns that are read together.
pub(super) type Group = Arc<HashSet<String>>;

/// Which columns a pass is of.
#[derive(Debug, Clone, Default)]
pub(super) enum Grouping {
    /// All of them.
    #[default]
    Whole,
    /// All, where there are no more than so many; else this group of them, or the first ones.
    AtMost(Limit, Option<Group>),
    /// This group of them.
    Only(Group),
}

/// A finished pass.
pub(super) struct Pass {
    /// Of all columns, or of the group that the pass is of.
    pub(super) profile: DatasetProfile,
    /// The account, with the names of all columns.
    pub(super) tally: Tally,
    pub(super) objects: u64,
    /// How many columns were known before the data was seen.
    pub(super) columns_given: Option<usize>,
    plan: Plan,
    /// How many of the columns, the first ones, can be read again where they turn out to hold text.
    exact: usize,
    /// Whether the columns that were given were of another number.
    is_renumbered: bool,
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
    listed.map_err(|error| match error {
        ReadError::Nothing { address, .. } => ReadError::Nothing { address, endings: ENDINGS.to_owned() },
        other => other,
    })
}

/// What is looked for in folders.
const ENDINGS: &str = ".jsonl, .parquet or .csv (nor .jsonl.gz or .csv.gz)";

impl Grouping {
    /// The group that a pass begins with.
    fn only(&self) -> Option<Group> {
        match self {
            Self::Only(group) => Some(Arc::clone(group)),
            Self::Whole | Self::AtMost(..) => None,
        }
    }

    fn limit(&self) -> Limit {
        match self {
            Self::AtMost(limit, _) => *limit,
            Self::Whole | Self::Only(_) => Limit::NONE,
        }
    }

    /// The group that is read where there are too many columns.
    fn first_of(&self, all: &Columns) -> Group {
        match self {
            Self::AtMost(_, Some(group)) => Arc::clone(group),
            _ => Arc::new(all.names.iter().take(self.limit().columns).cloned().collect()),
        }
    }
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
        Self::gather(objects, source, (columns, fixed), (Wanted::Profile, Grouping::Whole)).await
    }

    /// The same of a group of the columns, where there are many.
    pub(super) async fn of_some(objects: &[Found], source: &Source) -> Result<Self, JobError> {
        let columns = source.names.clone().map(Columns::named);
        let grouping = Grouping::AtMost(Limit::of(source), None);
        Self::gather(objects, source, (columns, false), (Wanted::Profile, grouping)).await
    }

    /// The same, and listens to who calls, so that [`Pass::heard`] seldom has to read again.
    pub(super) async fn listening(
        objects: &[Found],
        source: &Source,
        columns: Option<Columns>,
        fixed: bool,
    ) -> Result<Self, JobError> {
        Self::grouped(objects, source, (columns, fixed), Grouping::Whole).await
    }

    /// The same of a group of the columns.
    pub(super) async fn grouped(
        objects: &[Found],
        source: &Source,
        columns: (Option<Columns>, bool),
        grouping: Grouping,
    ) -> Result<Self, JobError> {
        Self::gather(objects, source, columns, (Wanted::Everything, grouping)).await
    }

    async fn gather(
        objects: &[Found],
        source: &Source,
        (columns, fixed): (Option<Columns>, bool),
        (wanted, grouping): (Wanted, Grouping),
    ) -> Result<Self, JobError> {
        let columns_given = columns.as_ref().map(Columns::len);
        let promised = columns.as_ref().filter(|_| fixed).map_or(0, Columns::len);
        let (scope, naming) = (source.scope.clone(), source.naming.clone());
        let mut plan = Plan { columns, with_calls: false, scope, naming, only: grouping.only() };
        let (mut carried, mut exact, mut is_renumbered) = (0, None, false);
        for passes_left in (0..MAX_PASSES).rev() {
            // Of a group no values are collected: which columns' are needed is known once all are judged.
            let asked = if plan.only.is_some() { &Wanted::Heard } else { &wanted };
            let (made, tally, notes) = match gather(objects, source, &plan, asked, grouping.limit()).await {
                Err(Halt::TooWide(columns)) => {
                    plan.only = Some(grouping.first_of(&columns));
                    gather(objects, source, &plan, &Wanted::Heard, Limit::NONE).await?
                }
                gathered => gathered?,
            };
            match better(&plan, &tally, promised) {
                Some((better, reason)) if passes_left > 0 => {
                    match reason {
                        Reason::Width => (carried, is_renumbered) = (0, true),
                        Reason::Names => carried = tally.columns.len(),
                        Reason::Texts => exact = Some(usize::MAX),
                    }
                    // Of other columns others come first.
                    let only = if reason == Reason::Texts { plan.only } else { grouping.only() };
                    plan = Plan { only, ..better };
                }
                _ if tally.rows == 0 => return Err(no_rows(&tally, objects)),
                _ => {
                    let Gathering { profile, callers, sample } = made;
                    let heard = matches!(wanted, Wanted::Everything).then_some((callers, sample));
                    let objects = objects.len() as u64;
                    let exact = exact.unwrap_or(if passes_left > 0 { usize::MAX } else { carried });
                    return Ok(Self {
                        profile,
                        tally,
                        objects,
                        columns_given,
                        plan,
                        exact,
                        is_renumbered,
                        heard,
                        notes,
                    });
                }
            }
        }
        unreachable!("our bug: the last pass always ends the loop")
    }

    /// Whether the pass is of a group of the columns.
    pub(super) fn is_of_group(&self) -> bool {
        self.plan.only.is_some()
    }

    /// The profile of a group of the columns; those of `texts` are kept as text, whatever their cells look like. That of the
    /// pass itself is given away.
    ///
    /// # Errors
    /// When an object has to be read again and cannot be fetched.
    pub(super) async fn profile_of(
        &mut self,
        objects: &[Found],
        source: &Source,
        (group, texts): (&Group, &[&str]),
    ) -> Result<DatasetProfile, JobError> {
        if self.plan.only.as_ref() == Some(group) && !self.profile.columns.is_empty() {
            return Ok(std::mem::take(&mut self.profile));
        }
        self.profile = DatasetProfile::default();
        if !self.is_renumbered {
            self.declare(texts.iter().copied());
        }
        loop {
            let plan = Plan { only: Some(Arc::clone(group)), ..self.plan.clone() };
            let (made, tally, _) = gather(objects, source, &plan, &Wanted::Heard, Limit::NONE).await?;
            let exact: HashSet<&String> = tally.columns.names.iter().take(self.exact).collect();
            let promoted: Vec<&str> =
                tally.promoted.iter().filter(|name| exact.contains(name)).map(String::as_str).collect();
            if promoted.is_empty() {
                return Ok(made.profile);
            }
            self.declare(promoted.into_iter());
        }
    }

    /// Has columns read as text from now on.
    fn declare<'n>(&mut self, mut texts: impl Iterator<Item = &'n str>) {
        if let Some(first) = texts.next() {
            let columns = self.plan.columns.take().unwrap_or_else(|| self.tally.columns.clone());
            self.plan.columns = Some(columns.with_text(std::iter::once(first).chain(texts)));
        }
    }

    /// Whether the rows have another width than the columns that were given, and no names to match by.
    pub(super) fn is_unpaired(&self) -> bool {
        let another = self.columns_given.is_some_and(|given| given != self.tally.columns.len());
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
        let is_the_same = objects.len() as u64 == self.objects && source.scope == self.plan.scope;
        if let Some((callers, sample)) = self.heard.as_ref().filter(|_| is_the_same) {
            let nothing = || features.is_empty().then(|| Collector::new([]));
            if let Some(sample) = sample.as_ref().and_then(|sample| sample.only(features)).or_else(nothing) {
                return Ok((callers.clone(), sample));
            }
        }
        let wanted = Wanted::Features(features.to_vec());
        let group = features.iter().map(|(name, _)| name.clone()).collect();
        let plan = Plan { only: Some(Arc::new(group)), scope: source.scope.clone(), ..self.plan.clone() };
        let (made, ..) = gather(objects, source, &plan, &wanted, Limit::NONE).await?;
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

/// What was wrong about the columns of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reason {
    /// Most rows have another width.
    Width,
    /// Rows have names that no column has.
    Names,
    /// Columns of numbers turned out to hold text.
    Texts,
}

/// A plan that fits the data better than the one it was read with, and why; `None` when that one fits.
fn better(plan: &Plan, tally: &Tally, promised: usize) -> Option<(Plan, Reason)> {
    let with = |columns: Columns, reason| Some((Plan { columns: Some(columns), ..plan.clone() }, reason));
    let expected = tally.columns.len();
    // The promised width wins a tie, so that a handful of odd rows does not hide the columns.
    let rank = |(width, rows): &(&usize, &u64)| (**rows, **width == promised, **width == expected);
    if let Some((&width, _)) = tally.widths.iter().max_by_key(rank)
        && width != expected
        && tally.matching != Matching::ByName
    {
        return with(Columns::numbered(width), Reason::Width);
    }
    if !tally.strangers.is_empty() {
        let mut columns = Columns::named(tally.columns.names.iter().chain(tally.strangers.keys()).cloned());
        columns.text[..expected].clone_from_slice(&tally.columns.text);
        return with(columns, Reason::Names);
    }
    if !tally.promoted.is_empty() {
        return with(tally.columns.clone(), Reason::Texts);
    }
    None
}

fn no_rows(tally: &Tally, objects: &[Found]) -> JobError {
    let first = match tally.described.first() {
        Some(bad) => format!("; the first unusable one is {} line {}: {}", bad.source, bad.line, bad.reason),
        None if objects.is_empty() => {
            "; no object there is of the endpoint, the variant and the time asked for".to_owned()
        }
        None => String::new(),
    };
    let Tally { records, bad, unanswered, outside, .. } = *tally;
    JobError::NoRows { records, bad, unanswered, outside, first }
}
