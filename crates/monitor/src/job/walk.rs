//! A walk over the columns of an examination, group by group.
//!
//! Of each group both sides are profiled and compared; what is said of a column and shown of it is kept, and its profiles are
//! dropped before those of the next group are made.
//!
//! Invariant: what comes out does not depend on the size of groups, nor on the number of threads.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use super::JobError;
use super::crew::each;
use super::passes::Group;
use super::reading::Limit;
use super::sides::{Side, Then, texts};
use crate::drift::bursts::Marks;
use crate::drift::compare::{ColumnDrift, DatasetDrift, ReferenceColumn, Rule, compare_samples, judge};
use crate::drift::outline::Outline;
use crate::drift::sample::Sample;
use crate::profile::{ColumnProfile, DatasetProfile};
use crate::violations::{Checking, Findings, Pairing};

/// What is asked of every column.
#[derive(Debug, Clone, Copy)]
pub(super) struct Question {
    pub(super) rule: Rule,
    /// Whether columns are shown on a page.
    pub(super) is_pictured: bool,
    /// Whether windows of the data are watched.
    pub(super) is_watched: bool,
    /// Whether there is nothing to hold the data against, so that it is shown beside itself.
    pub(super) is_alone: bool,
    pub(super) threads: usize,
    /// Columns of a group.
    pub(super) at_once: Limit,
}

/// What was found.
pub(super) struct Walked {
    /// Every column, judged.
    pub(super) drift: DatasetDrift,
    /// Beside the columns of `drift`, where they are shown.
    pub(super) outlines: Vec<Outline>,
    /// What a baseline's constraints say.
    pub(super) findings: Option<Findings>,
    /// Cells of the data with a value.
    pub(super) present: u64,
    /// Columns of the reference that can be watched window by window.
    pub(super) watched: Vec<(String, Marks)>,
}

/// Walks over all columns.
pub(super) async fn walk(then: &mut Then, now: &mut Side, question: Question) -> Result<Walked, JobError> {
    let all_now = now.names().to_vec();
    let all_then = if matches!(then, Then::Nothing) { all_now.clone() } else { then.names() };
    let is_of_groups = then.is_of_groups(question.at_once) || now.pass.is_of_group();
    let size = if is_of_groups { question.at_once.columns } else { usize::MAX };
    let there: HashSet<&str> = all_now.iter().map(String::as_str).collect();
    let pairing = if now.pass.is_unpaired() { Pairing::Unknown } else { Pairing::ByName };
    let (file, mut data) = match then {
        Then::File { statistics, constraints, .. } => (Some((&*statistics, constraints.as_ref())), None),
        Then::Data(side) => (None, Some(side)),
        Then::Nothing => (None, None),
    };
    let checking = file.and_then(|(statistics, constraints)| Some((constraints?, statistics)));
    let checking = checking.map(|(constraints, statistics)| Checking::of(pairing, constraints, Some(statistics)));
    let mut walking = Walking::of(question, checking);
    for (number, names) in all_then.chunks(size).enumerate() {
        if is_of_groups && !names.iter().any(|name| there.contains(name.as_str())) {
            walking.drift.missing_columns.extend_from_slice(names);
            continue;
        }
        let group = group_of(names);
        let profile = match &mut data {
            Some(side) => side.columns(&group, &[]).await?,
            None if file.is_some() => Cow::default(),
            None => Cow::Owned(DatasetProfile::of_columns(names)),
        };
        let columns = match file {
            Some((statistics, _)) => {
                statistics.features[number * size..].iter().take(names.len()).map(ReferenceColumn::File).collect()
            }
            None => in_order(names, &profile),
        };
        let texts = texts(&columns);
        walking.take(&columns, &*now.columns(&group, &texts).await?);
    }
    let promised: HashSet<&str> = all_then.iter().map(String::as_str).collect();
    let new: Vec<String> = all_now.iter().filter(|name| !promised.contains(name.as_str())).cloned().collect();
    for names in new.chunks(size).filter(|_| is_of_groups) {
        walking.take(&[], &*now.columns(&group_of(names), &[]).await?);
    }
    walking.drift.new_columns = new;
    Ok(walking.end(&all_now))
}

fn group_of(names: &[String]) -> Group {
    Group::new(names.iter().cloned().collect())
}

/// The columns of these names.
fn in_order<'p>(names: &[String], profile: &'p DatasetProfile) -> Vec<ReferenceColumn<'p>> {
    let by_name: HashMap<&str, &ColumnProfile> =
        profile.columns.iter().map(|column| (column.name.as_str(), column)).collect();
    names.iter().filter_map(|name| by_name.get(name.as_str()).copied()).map(ReferenceColumn::Profile).collect()
}

/// A walk on its way.
struct Walking<'a> {
    question: Question,
    drift: DatasetDrift,
    outlines: Vec<Outline>,
    checking: Option<Checking<'a>>,
    present: u64,
    watched: Vec<(String, Marks)>,
    /// Columns of the data that were met.
    met: HashSet<String>,
}

impl<'a> Walking<'a> {
    fn of(question: Question, checking: Option<Checking<'a>>) -> Self {
        let drift = DatasetDrift {
            rule: question.rule,
            columns: Vec::new(),
            missing_columns: Vec::new(),
            new_columns: Vec::new(),
        };
        let (outlines, watched, met) = (Vec::new(), Vec::new(), HashSet::new());
        Self { question, drift, outlines, checking, present: 0, watched, met }
    }

    /// Takes columns of the reference, and a profile in which those of the data are that have their names.
    fn take(&mut self, reference: &[ReferenceColumn<'_>], profile: &DatasetProfile) {
        let by_name: HashMap<&str, &ColumnProfile> =
            profile.columns.iter().map(|column| (column.name.as_str(), column)).collect();
        for column in &profile.columns {
            if self.met.insert(column.name.clone()) {
                self.present += column.present();
            }
        }
        if let Some(checking) = &mut self.checking {
            checking.take(&profile.columns);
        }
        let mut pairs = Vec::with_capacity(reference.len());
        for column in reference {
            match by_name.get(column.name()) {
                Some(now) => pairs.push((*column, *now)),
                None => self.drift.missing_columns.push(column.name().to_owned()),
            }
        }
        let question = self.question;
        for (drift, outline) in each(question.threads, &pairs, |(then, now)| question.of(then, now)) {
            self.drift.columns.push(drift);
            self.outlines.extend(outline);
        }
        if question.is_watched {
            let samples = reference.iter().map(|column| (column.name(), column.sample()));
            let known = samples.filter(|(_, sample)| *sample != Sample::Unknown);
            self.watched.extend(known.map(|(name, sample)| (name.to_owned(), Marks::of(&sample))));
        }
    }

    fn end(mut self, names: &[String]) -> Walked {
        judge(&mut self.drift.columns, &self.question.rule);
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        Walked {
            drift: self.drift,
            outlines: self.outlines,
            findings: self.checking.map(|checking| checking.end(&names)),
            present: self.present,
            watched: self.watched,
        }
    }
}

impl Question {
    /// A column of both sides, not judged yet, and what is shown of it.
    fn of(&self, then: &ReferenceColumn<'_>, now: &ColumnProfile) -> (ColumnDrift, Option<Outline>) {
        let (before, alone) = (then.sample(), self.is_alone.then(|| Sample::of_profile(now)));
        let after = Sample::like(now, &before);
        let outline = |samples: (&Sample<'_>, &Sample<'_>)| self.is_pictured.then(|| Outline::of(samples.0, samples.1));
        let outline = outline(alone.as_ref().map_or((&before, &after), |alone| (alone, alone)));
        (compare_samples((then.presence(), &before), (now, &after), &self.rule), outline)
    }
}
