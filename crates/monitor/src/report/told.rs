//! Verdicts, points and causes in plain words.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::MAX_TOLD;
use super::html::{escaped, name};
use super::words::Words;
use crate::cause::mix::{Reason, Split};
use crate::cause::{Cause, Since};
use crate::drift::compare::{ColumnDrift, ReferenceColumn, Verdict};
use crate::drift::sample::{Numbers, Sample};
use crate::drift::total;
use crate::job::Examination;
use crate::profile::ColumnProfile;

/// All verdicts, in the order of alarm.
pub(super) const VERDICTS: [Verdict; 5] =
    [Verdict::Drifted, Verdict::Changed, Verdict::NotEnoughData, Verdict::NotComparable, Verdict::Stable];

/// A verdict as a badge: its word, never its color alone.
pub(super) fn badge(verdict: Verdict, words: &Words) -> String {
    let class = match verdict {
        Verdict::Drifted => "drifted",
        Verdict::Changed => "changed",
        Verdict::NotEnoughData => "not_enough_data",
        Verdict::NotComparable => "not_comparable",
        Verdict::Stable => "stable",
    };
    format!("<span class=\"verdict {class}\">{}</span>", words.verdicts[verdict as usize])
}

/// The two sides of every column, by name.
pub(super) struct Sides<'a> {
    then: BTreeMap<&'a str, ReferenceColumn<'a>>,
    now: BTreeMap<&'a str, &'a ColumnProfile>,
    alone: bool,
}

impl<'a> Sides<'a> {
    pub(super) fn of(found: &'a Examination) -> Self {
        let then = found.reference.reference().columns();
        Self {
            then: then.into_iter().map(|column| (column.name(), column)).collect(),
            now: found.profile.columns.iter().map(|column| (column.name.as_str(), column)).collect(),
            alone: found.is_alone(),
        }
    }

    /// Whether there is no reference.
    pub(super) fn alone(&self) -> bool {
        self.alone
    }

    /// The samples of a column; without a reference twice its own.
    pub(super) fn samples(&self, feature: &str) -> Option<(Sample<'a>, Sample<'a>)> {
        if self.alone {
            let now = Sample::of_profile(self.now.get(feature)?);
            return Some((now.clone(), now));
        }
        let then = self.then.get(feature)?.sample();
        let now = Sample::like(self.now.get(feature)?, &then);
        Some((then, now))
    }
}

/// Every drifted column in a few sentences: where it differs most, how far, through whom, since when.
pub(super) fn what_changed(out: &mut String, found: &Examination, words: &Words) {
    let drifted: Vec<&ColumnDrift> =
        found.drift.worst_first().into_iter().filter(|column| column.verdict == Verdict::Drifted).collect();
    let gone = [(&found.drift.missing_columns, words.missing_columns), (&found.drift.new_columns, words.new_columns)];
    if drifted.is_empty() && gone.iter().all(|(names, _)| names.is_empty()) {
        return;
    }
    let sides = Sides::of(found);
    let _ = write!(out, "<section><h2>{}</h2><ul class=\"told\">", words.what_changed);
    for column in drifted.iter().take(MAX_TOLD) {
        let _ = write!(out, "<li><p><b>{}</b>", name(&column.feature));
        if let Some(point) = sides.samples(&column.feature).and_then(|(then, now)| point(&then, &now, words)) {
            let _ = write!(out, " — {point}");
        }
        let _ = write!(out, "</p><p class=\"soft\">{}", distance(column, words));
        if let Some(cause) = found.causes.iter().find(|cause| cause.feature == column.feature) {
            let _ = write!(out, " {}", cause_told(cause, words));
        }
        if let Some(split) = found.splits.iter().find(|split| split.feature == column.feature) {
            let _ = write!(out, " {}", split_told(split, words));
        }
        out.push_str("</p></li>");
    }
    for (names, text) in gone.into_iter().filter(|(names, _)| !names.is_empty()) {
        let shown: Vec<String> = names.iter().take(MAX_TOLD).map(|one| name(one)).collect();
        let mut list = shown.join(", ");
        if names.len() > shown.len() {
            list = words.fill(words.and_more, &[&list, &words.count((names.len() - shown.len()) as u64)]);
        }
        let _ = write!(out, "<li><p>{}</p></li>", words.fill(text, &[&list]));
    }
    out.push_str("</ul>");
    if drifted.len() > MAX_TOLD {
        let more = words.count((drifted.len() - MAX_TOLD) as u64);
        let _ = write!(out, "<p class=\"soft\">{}</p>", words.fill(words.and_more, &["…", &more]));
    }
    out.push_str("</section>");
}

fn distance(column: &ColumnDrift, words: &Words) -> String {
    let Some(decisive) = column.decisive() else { return String::new() };
    let value = words.decimals(decisive.value, 3);
    let [low, high] = decisive.interval.unwrap_or([decisive.value; 2]).map(|end| words.decimals(end, 3));
    words.fill(words.distance_told, &[&value, &escaped(&decisive.measure.to_string()), &low, &high])
}

/// Where the two sides differ most, with the shares there.
fn point(then: &Sample<'_>, now: &Sample<'_>, words: &Words) -> Option<String> {
    match (then, now) {
        (Sample::Numbers(then), Sample::Numbers(now)) => {
            let (value, shares) = worst_number(then, now)?;
            let [before, after] = shares.map(|share| words.percent(share));
            Some(words.fill(words.up_to, &[&words.value(value), &before, &after]))
        }
        (Sample::Categories(then), Sample::Categories(now)) => {
            let rows = [total(then).max(1) as f64, total(now).max(1) as f64];
            let values: BTreeSet<&str> = then.keys().chain(now.keys()).copied().collect();
            let share = |value: &str| {
                let count = |side: &BTreeMap<&str, u64>| side.get(value).copied().unwrap_or(0) as f64;
                [count(then) / rows[0], count(now) / rows[1]]
            };
            let shares = values.into_iter().map(|value| (value, share(value)));
            let worst = shares.max_by(|a, b| (a.1[1] - a.1[0]).abs().total_cmp(&(b.1[1] - b.1[0]).abs()))?;
            let [before, after] = worst.1.map(|share| words.percent(share));
            Some(words.fill(words.with_value, &[&name(worst.0), &before, &after]))
        }
        _ => None,
    }
}

fn worst_number(then: &Numbers, now: &Numbers) -> Option<(f64, [f64; 2])> {
    let (mut i, mut j, mut below) = (0, 0, [0_u64; 2]);
    let mut worst: Option<(f64, [f64; 2])> = None;
    while i < then.weighted.len() || j < now.weighted.len() {
        let next = [then.weighted.get(i), now.weighted.get(j)].into_iter().flatten().map(|pair| pair.0);
        let next = next.fold(f64::INFINITY, f64::min);
        while i < then.weighted.len() && then.weighted[i].0 <= next {
            below[0] += then.weighted[i].1;
            i += 1;
        }
        while j < now.weighted.len() && now.weighted[j].0 <= next {
            below[1] += now.weighted[j].1;
            j += 1;
        }
        let shares = [below[0] as f64 / then.rows.max(1) as f64, below[1] as f64 / now.rows.max(1) as f64];
        if worst.is_none_or(|(_, most)| (shares[1] - shares[0]).abs() > (most[1] - most[0]).abs()) {
            worst = Some((next, shares));
        }
    }
    worst
}

fn cause_told(cause: &Cause, words: &Words) -> String {
    let Some(driver) = cause.driver() else {
        let few = cause.consumers.iter().any(|consumer| consumer.since == Since::NotEnoughData);
        return (if few { words.too_few_to_name } else { words.nobody_drives }).to_owned();
    };
    let who = words.fill(words.driven, &[&name(driver.consumer.as_deref().unwrap_or(words.unnamed))]);
    let when = match &driver.since {
        Since::Change(change) => words.fill(words.since, &[&escaped(&change.to_string())]),
        Since::Ended(change) => words.fill(words.until, &[&escaped(&change.to_string())]),
        Since::Throughout | Since::NotEnoughData => words.throughout.to_owned(),
    };
    who + &when
}

fn split_told(split: &Split, words: &Words) -> String {
    let first = split.consumers.first();
    let who = name(first.and_then(|part| part.consumer.as_deref()).unwrap_or(words.unnamed));
    let [then, now] = first.map_or([0.0; 2], |part| part.shares).map(|share| words.percent(share));
    let part = |part: f64| words.percent((part / split.distance).clamp(0.0, 1.0));
    let (behaviour, mix) = (part(split.behaviour), part(split.mix));
    match split.reason() {
        Reason::Behaviour => words.fill(words.behaviour, &[&behaviour, &who]),
        Reason::Mix => words.fill(words.mix, &[&mix, &who, &then, &now]),
        Reason::Both => words.fill(words.both, &[&behaviour, &who, &then, &now, &mix]),
    }
}
