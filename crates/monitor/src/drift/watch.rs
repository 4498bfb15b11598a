//! Window after window with a budget of false alarms: "at most one in a month, on average".
//!
//! Whoever tests every hour at the 5 % level has a false alarm a day. Here every window turns the p-value of a column
//! into evidence that has a mean of at most 1 while nothing is wrong, `e(p) = (1 − p + p·ln p)/(p·ln² p)` (Vovk and Wang
//! 2021), and a Shiryaev–Roberts detector adds it up: `M ← (M + 1)·e`. While nothing is wrong `M − windows` cannot grow
//! on average, so the mean time until `M` reaches a bar is at least the bar, whenever one looks and however long (Shin,
//! Ramdas and Rinaldo 2024). The bar is the number of windows in the budget; columns are selected by e-BH, which keeps the
//! budget for all columns together, whatever their dependence. After an alarm everything starts anew.
//!
//! p-values hold for every sample size: Massart's inequality for numbers, Chernoff's for shares. The reference is one
//! sample for all windows, so its own error is allowed for once, in every window alike, at [`REFERENCE_RISK`].
//!
//! Invariant: the past is never reconsidered: feeding windows one at a time or again from the start tells the same.
//! Assumes: rows of a window, divided by what they are worth ([`super::bursts`]), say as much as that many drawn independently.

use std::collections::BTreeMap;

use serde::Serialize;

use super::bursts::{Blocks, Effect, Marks};
use super::compare::{MIN_ROWS, ReferenceColumn};
use super::discovery::selected;
use super::numeric_distance;
use super::sample::Sample;
use super::total;

/// Risk, once for all columns and windows, that the reference lies further from its population than allowed for.
pub const REFERENCE_RISK: f64 = 0.01;

/// Watches columns over windows.
#[derive(Debug)]
pub struct Watch<'a> {
    columns: Vec<Column<'a>>,
    tolerance: f64,
    /// Evidence of all columns together that is an alarm: windows between two false ones.
    bar: f64,
    windows: u64,
}

#[derive(Debug)]
struct Column<'a> {
    name: &'a str,
    reference: Sample<'a>,
    /// What the reference may be off.
    allowance: f64,
    /// What a row is worth.
    effect: Effect,
    /// Shiryaev–Roberts.
    evidence: f64,
    /// The same as a running product that starts anew at 1: its start is where the change is put.
    product: f64,
    since: u64,
}

/// An alarm.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Alarm {
    /// The window in which it rings, from 0.
    pub window: u64,
    /// The columns that ring, in their order.
    pub columns: Vec<AlarmColumn>,
}

/// A column that rings.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AlarmColumn {
    /// Its name.
    pub feature: String,
    /// Its evidence, in windows until a false alarm of this strength.
    pub evidence: f64,
    /// The window in which the change most likely began, from 0.
    pub since: u64,
    /// Its distance in the window that rings.
    pub distance: f64,
}

impl<'a> Watch<'a> {
    /// Watches the columns of a reference that can be compared. `windows_between` is the budget: how many windows pass
    /// between two false alarms, on average and at the least.
    #[must_use]
    pub fn new(reference: &[ReferenceColumn<'a>], tolerance: f64, windows_between: f64) -> Self {
        let samples = reference.iter().map(|column| (column.name(), column.sample()));
        let samples: Vec<(&str, Sample<'a>)> = samples.filter(|(_, sample)| sample.rows() >= MIN_ROWS).collect();
        let risk = REFERENCE_RISK / samples.len().max(1) as f64;
        let columns = samples.into_iter().map(|(name, reference)| {
            let (rows, ways) = match &reference {
                Sample::Numbers(numbers) => (numbers.effective_rows(), 2.0),
                Sample::Categories(counts) => (total(counts) as f64, ways(counts)),
                Sample::Unknown => unreachable!("our bug: the unknown has no rows"),
            };
            let allowance = ((ways / risk).ln() / (2.0 * rows)).sqrt();
            Column { name, reference, allowance, effect: Effect::default(), evidence: 0.0, product: 1.0, since: 0 }
        });
        Self { columns: columns.collect(), tolerance, bar: windows_between.max(1.0), windows: 0 }
    }

    /// What of each column is counted in [`Blocks`].
    #[must_use]
    pub fn marks(&self) -> Vec<Marks> {
        self.columns.iter().map(|column| Marks::of(&column.reference)).collect()
    }

    /// Columns that are watched.
    pub fn names(&self) -> impl Iterator<Item = &'a str> {
        self.columns.iter().map(|column| column.name)
    }

    /// Takes the next window: a sample of each column of [`Watch::names`], and how its rows came. Columns with fewer than
    /// [`MIN_ROWS`] rows, or of another kind than in the reference, say nothing this time.
    ///
    /// # Panics
    /// When there is not one sample per column.
    pub fn window(&mut self, samples: &[Sample<'_>], blocks: Vec<Blocks>) -> Option<Alarm> {
        assert_eq!(samples.len(), self.columns.len(), "our bug: one sample per watched column");
        assert_eq!(blocks.len(), self.columns.len(), "our bug: blocks for each watched column");
        let mut distances = vec![0.0; samples.len()];
        for (((column, sample), blocks), distance) in
            self.columns.iter_mut().zip(samples).zip(blocks).zip(&mut distances)
        {
            column.effect.window(blocks);
            let evidence = column.seen(sample, self.tolerance).map_or(1.0, |(seen, p_value)| {
                *distance = seen;
                evidence_of(p_value)
            });
            column.evidence = (column.evidence + 1.0) * evidence;
            column.product *= evidence;
            if column.product <= 1.0 {
                (column.product, column.since) = (1.0, self.windows + 1);
            }
        }
        let evidence: Vec<f64> = self.columns.iter().map(|column| column.evidence).collect();
        let ringing = selected(&evidence, self.bar);
        let window = self.windows;
        self.windows += 1;
        if ringing.is_empty() {
            return None;
        }
        let column = |&place: &usize| {
            let column = &self.columns[place];
            let (feature, since) = (column.name.to_owned(), column.since.min(window));
            AlarmColumn { feature, evidence: column.evidence, since, distance: distances[place] }
        };
        let columns = ringing.iter().map(column).collect();
        for column in &mut self.columns {
            (column.evidence, column.product, column.since) = (0.0, 1.0, self.windows);
        }
        Some(Alarm { window, columns })
    }
}

impl Column<'_> {
    /// Distance of a window to the reference, and how likely one as large is within tolerance and allowance.
    fn seen(&self, sample: &Sample<'_>, tolerance: f64) -> Option<(f64, f64)> {
        if sample.rows() < MIN_ROWS {
            return None;
        }
        let fine = tolerance + self.allowance;
        match (&self.reference, sample) {
            (Sample::Numbers(then), Sample::Numbers(now)) => {
                let distance = numeric_distance(&then.weighted, &now.weighted)?;
                let beyond = (distance - fine).max(0.0);
                let rows = now.effective_rows() / self.effect.rows_per_row();
                Some((distance, (2.0 * (-2.0 * rows * beyond * beyond).exp()).min(1.0)))
            }
            (Sample::Categories(then), Sample::Categories(now)) => {
                Some(shares_seen(then, now, fine, self.effect.rows_per_row()))
            }
            _ => None,
        }
    }
}

/// The largest difference of a value's share, and its p-value. All values that the reference does not have count as one:
/// how many there will be is not known beforehand.
fn shares_seen(then: &BTreeMap<&str, u64>, now: &BTreeMap<&str, u64>, fine: f64, rows_per_row: f64) -> (f64, f64) {
    let (rows_then, rows) = (total(then) as f64, total(now) as f64);
    let new: u64 = now.iter().filter(|(value, _)| !then.contains_key(*value)).map(|(_, count)| count).sum();
    let known = then.iter().map(|(value, &count)| (count, now.get(value).copied().unwrap_or(0)));
    let (mut largest, mut rate) = (0.0_f64, 0.0_f64);
    for (count_then, count) in known.chain([(0, new)]) {
        let (share_then, share) = (count_then as f64 / rows_then, count as f64 / rows);
        largest = largest.max((share - share_then).abs());
        let limit = if share > share_then { (share_then + fine).min(1.0) } else { (share_then - fine).max(0.0) };
        if (share - share_then).abs() > fine {
            rate = rate.max(divergence(share, limit));
        }
    }
    (largest, (ways(then) * (-rows / rows_per_row * rate).exp()).min(1.0))
}

/// Ways in which a share can be beyond: each value and the new ones together, above or below.
fn ways(reference: &BTreeMap<&str, u64>) -> f64 {
    2.0 * (reference.len() + 1) as f64
}

/// Of two coins, in nats: Chernoff's exponent.
fn divergence(share: f64, limit: f64) -> f64 {
    let part = |a: f64, b: f64| if a > 0.0 { a * (a / b).ln() } else { 0.0 };
    part(share, limit) + part(1.0 - share, 1.0 - limit)
}

/// Evidence of a p-value: its mean is 1 when p is uniform.
fn evidence_of(p: f64) -> f64 {
    let p = p.max(1e-300);
    if p > 1.0 - 1e-4 {
        return 0.5 + (1.0 - p) / 6.0;
    }
    let log = p.ln();
    (1.0 - p + p * log) / (p * log * log)
}

#[cfg(test)]
mod tests;
