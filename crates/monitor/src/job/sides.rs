//! The two sides of an examination, and what is read of them group by group where there are many columns.
//!
//! The profile of a column takes up to 44 KB, so that of tables with more than [`COLUMNS_AT_ONCE`] columns only a group of them
//! is profiled at once, and the objects are read once for each group. The first reading finds out what the columns are. Where
//! nobody says how many are read at once, that is done of CSV, in files and bodies, and of whatever is held against such a table;
//! of JSON and Parquet, of which a part takes as long to read as all of it, all columns are profiled at once.
//!
//! Invariant: what is said of a column is the same, however many are read with it.

use std::borrow::Cow;

use captura_archive::Stores;
use captura_archive::reader::Found;

use super::examination::{Against, Examine};
use super::files::{read_artefact, read_optional};
use super::passes::{Group, Grouping, Pass, open};
use super::reading::Limit;
use super::{CONSTRAINTS, JobError, STATISTICS, Source, below};
use crate::artefact::Statistics;
use crate::cause::{Callers, Collector};
use crate::constraints::Constraints;
use crate::dataset::Columns;
use crate::drift::compare::{Reference, ReferenceColumn};
use crate::profile::{DatasetProfile, InferredType};

/// Columns that are profiled at once, where nobody says how many.
pub const COLUMNS_AT_ONCE: usize = 1024;

/// One side: objects, how to read them, and what was read.
pub(super) struct Side {
    objects: Vec<Found>,
    source: Source,
    pub(super) pass: Pass,
}

impl Side {
    pub(super) async fn open(
        stores: &Stores,
        source: Source,
        columns: (Option<Columns>, bool),
        grouping: Grouping,
    ) -> Result<Self, JobError> {
        let objects = open(stores, &source).await?;
        let pass = Pass::grouped(&objects, &source, columns, grouping).await?;
        Ok(Self { objects, source, pass })
    }

    /// Names of all columns, in order.
    pub(super) fn names(&self) -> &[String] {
        &self.pass.tally.columns.names
    }

    /// The columns of a group, or all of them where they are few enough; those of `texts` are kept as text.
    pub(super) async fn columns(&mut self, group: &Group, texts: &[&str]) -> Result<Cow<'_, DatasetProfile>, JobError> {
        if !self.pass.is_of_group() {
            return Ok(Cow::Borrowed(&self.pass.profile));
        }
        Ok(Cow::Owned(self.pass.profile_of(&self.objects, &self.source, (group, texts)).await?))
    }

    /// Who called, and what they sent of these features.
    pub(super) async fn heard(&self, features: &[(String, bool)]) -> Result<(Callers, Collector), JobError> {
        self.pass.heard(&self.objects, &self.source, features).await
    }

    /// Reads the same rows once more, with their calls.
    pub(super) async fn again(&self, sink: impl FnMut(crate::dataset::Batch)) -> Result<(), JobError> {
        self.pass.again(&self.objects, &self.source, sink).await
    }
}

/// What data is held against.
pub(super) enum Then {
    /// A baseline, and who called when it was made.
    File { statistics: Statistics, constraints: Option<Constraints>, calls: Option<Box<Side>> },
    /// Other data.
    Data(Box<Side>),
    /// Nothing.
    Nothing,
}

impl Then {
    /// Opens the reference, of which so many columns may be profiled at once.
    pub(super) async fn open(stores: &Stores, request: &Examine, at_once: Limit) -> Result<Self, JobError> {
        let grouping = Grouping::AtMost(at_once, None);
        match &request.against {
            Against::Baseline { folder, history } => {
                let statistics: Statistics = read_artefact(stores, &below(folder, STATISTICS)).await?;
                let constraints = read_optional(stores, &below(folder, CONSTRAINTS)).await?;
                let mut calls = None;
                if !history.is_empty() {
                    let mut source = Source { addresses: history.clone(), ..request.source.clone() };
                    source.selection.window = None;
                    source.scope.window = None;
                    let known = named(&Reference::File(&statistics).columns());
                    calls = Some(Box::new(Side::open(stores, source, (Some(known), true), grouping).await?));
                }
                Ok(Self::File { statistics, constraints, calls })
            }
            Against::Data(source) => {
                let names = source.names.clone().map(Columns::named);
                Ok(Self::Data(Box::new(Side::open(stores, source.clone(), (names, false), grouping).await?)))
            }
            Against::Nothing => Ok(Self::Nothing),
        }
    }

    pub(super) fn rows(&self) -> u64 {
        match self {
            Self::File { statistics, .. } => statistics.dataset.item_count,
            Self::Data(side) => side.pass.tally.rows,
            Self::Nothing => 0,
        }
    }

    /// Names of all columns, in order.
    pub(super) fn names(&self) -> Vec<String> {
        match self {
            Self::File { statistics, .. } => statistics.features.iter().map(|feature| feature.name.clone()).collect(),
            Self::Data(side) => side.names().to_vec(),
            Self::Nothing => Vec::new(),
        }
    }

    /// The columns that data is held against, those as text that are known to be.
    pub(super) fn known(&self) -> Columns {
        match self {
            Self::File { statistics, .. } => named(&Reference::File(statistics).columns()),
            Self::Data(side) => {
                let profile = Reference::Profile(&side.pass.profile).columns();
                Columns::named(side.names().iter().cloned()).with_text(texts(&profile))
            }
            Self::Nothing => Columns::default(),
        }
    }

    /// Whether there are more columns than are profiled at once.
    pub(super) fn is_of_groups(&self, at_once: Limit) -> bool {
        match self {
            Self::File { statistics, .. } => statistics.features.len() > at_once.columns,
            Self::Data(side) => side.pass.is_of_group(),
            Self::Nothing => false,
        }
    }

    /// All columns, where they are few enough.
    pub(super) fn all(&self) -> Vec<ReferenceColumn<'_>> {
        match self {
            Self::File { statistics, .. } => Reference::File(statistics).columns(),
            Self::Data(side) => Reference::Profile(&side.pass.profile).columns(),
            Self::Nothing => Vec::new(),
        }
    }

    /// What the drifted columns were like.
    pub(super) async fn statistics_of(&mut self, drifted: &[(String, bool)]) -> Result<Cow<'_, Statistics>, JobError> {
        let side = match self {
            Self::File { statistics, .. } => return Ok(Cow::Borrowed(statistics)),
            Self::Data(side) if !drifted.is_empty() => side,
            Self::Data(_) | Self::Nothing => return Ok(Cow::Owned(Statistics::of(&DatasetProfile::default()))),
        };
        let group: Group = Group::new(drifted.iter().map(|(name, _)| name.clone()).collect());
        let profile = side.columns(&group, &[]).await?;
        let columns = profile.columns.iter().filter(|column| group.contains(&column.name));
        let profile = DatasetProfile { rows: profile.rows, columns: columns.cloned().collect() };
        Ok(Cow::Owned(Statistics::of(&profile)))
    }

    /// Who called when the reference was made, and what they sent; `None` when its records do not name anybody.
    pub(super) async fn callers(&self, drifted: &[(String, bool)]) -> Result<Option<(Callers, Collector)>, JobError> {
        let (Self::File { calls: Some(side), .. } | Self::Data(side)) = self else { return Ok(None) };
        let (callers, collector) = side.heard(drifted).await?;
        Ok(callers.rows().keys().any(Option::is_some).then_some((callers, collector)))
    }
}

/// These columns, with those of text as such.
fn named(columns: &[ReferenceColumn<'_>]) -> Columns {
    Columns::named(columns.iter().map(|column| column.name().to_owned())).with_text(texts(columns))
}

/// Names of those that hold text.
pub(super) fn texts<'a>(columns: &[ReferenceColumn<'a>]) -> Vec<&'a str> {
    let is_text = |column: &&ReferenceColumn<'_>| match column {
        ReferenceColumn::File(feature) => feature.inferred_type == InferredType::String,
        ReferenceColumn::Profile(profile) => profile.inferred_type() == InferredType::String,
    };
    columns.iter().filter(is_text).map(ReferenceColumn::name).collect()
}
