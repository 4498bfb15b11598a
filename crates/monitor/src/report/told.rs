//! Verdicts, points and causes in plain words.

use std::collections::HashMap;
use std::fmt::Write as _;

use super::MAX_TOLD;
use super::html::{escaped, name};
use super::words::Words;
use crate::cause::mix::{Reason, Split};
use crate::cause::{Cause, Since};
use crate::drift::compare::{ColumnDrift, Verdict};
use crate::drift::outline::{Outline, Point};
use crate::job::Examination;

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

/// What is shown of every column, by name.
pub(super) struct Outlines<'a> {
    by_name: HashMap<&'a str, &'a Outline>,
}

impl<'a> Outlines<'a> {
    pub(super) fn of(found: &'a Examination) -> Self {
        let names = found.drift.columns.iter().map(|column| column.feature.as_str());
        Self { by_name: names.zip(&found.outlines).collect() }
    }

    pub(super) fn get(&self, feature: &str) -> Option<&'a Outline> {
        self.by_name.get(feature).copied()
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
    let outlines = Outlines::of(found);
    let _ = write!(out, "<section><h2>{}</h2><ul class=\"told\">", words.what_changed);
    for column in drifted.iter().take(MAX_TOLD) {
        let _ = write!(out, "<li><p><b>{}</b>", name(&column.feature));
        if let Some(point) = outlines.get(&column.feature).and_then(|outline| outline.point.as_ref()) {
            let _ = write!(out, " — {}", point_told(point, words));
        }
        let _ = write!(out, "</p><p class=\"soft\">{}", distance(column, words));
        if let Some(cause) = found.causes.iter().find(|cause| cause.feature == column.feature && cause.is_telling()) {
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
fn point_told(point: &Point, words: &Words) -> String {
    let (Point::UpTo(_, shares) | Point::Value(_, shares)) = point;
    let [before, after] = shares.map(|share| words.percent(share));
    match point {
        Point::UpTo(value, _) => words.fill(words.up_to, &[&words.value(*value), &before, &after]),
        Point::Value(value, _) => words.fill(words.with_value, &[&name(value), &before, &after]),
    }
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
