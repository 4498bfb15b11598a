//! What a page shows of a column beside its distances: where the two sides differ most, their means, and a small histogram.
//!
//! It is made while the column's two distributions are at hand, so that they need not be kept until all columns are judged.
//!
//! Invariant: less than a few kilobytes, whatever the data. Histograms of numbers lie between the half-percent points of both
//! sides together; what lies outside is in the outer bins. Refuses to: draw.

use std::collections::{BTreeMap, BTreeSet};

use super::sample::{Numbers, Sample};
use super::{each_step, total};

/// Bins of a histogram.
pub const BINS: usize = 24;
/// Categories that have bars of their own.
pub const BARS: usize = 7;
/// Characters of a value that are kept; one more than a page shows.
const VALUE_CHARACTERS: usize = 81;
/// Share of rows that may lie outside on each side.
const OUTSIDE: f64 = 0.005;

/// The outline of a column. Of pairs the first is the reference's.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Outline {
    /// Where the two sides differ most.
    pub point: Option<Point>,
    /// Means, of numbers on both sides.
    pub means: Option<[f64; 2]>,
    /// The histogram, where both sides have rows.
    pub histogram: Option<Histogram>,
}

/// Where two sides differ most, with the shares of rows there.
#[derive(Debug, Clone, PartialEq)]
pub enum Point {
    /// Numbers up to this one.
    UpTo(f64, [f64; 2]),
    /// Rows with this text.
    Value(String, [f64; 2]),
}

/// A histogram of both sides.
#[derive(Debug, Clone, PartialEq)]
pub enum Histogram {
    /// Of numbers, in equal bins.
    Numbers {
        /// Where the first bin begins and the last one ends.
        range: [f64; 2],
        /// Middle values.
        medians: [f64; 2],
        /// Shares of rows by bin.
        shares: [Vec<f64>; 2],
    },
    /// Of texts.
    Categories {
        /// The commonest values, at most [`BARS`], with their shares of rows.
        values: Vec<(String, [f64; 2])>,
        /// Shares of all other values together, where there are more.
        others: Option<[f64; 2]>,
        /// Different values.
        different: usize,
    },
}

impl Outline {
    /// Of two samples.
    #[must_use]
    pub fn of(then: &Sample<'_>, now: &Sample<'_>) -> Self {
        match (then, now) {
            (Sample::Numbers(then), Sample::Numbers(now)) => {
                let comparable = then.rows > 0 && now.rows > 0;
                Self {
                    point: worst_number(then, now),
                    means: comparable.then(|| [then, now].map(|side| side.mean_and_deviation().0)),
                    histogram: comparable.then(|| histogram(then, now)),
                }
            }
            (Sample::Categories(then), Sample::Categories(now)) => Self {
                point: worst_value(then, now),
                means: None,
                histogram: (total(then) > 0 && total(now) > 0).then(|| bars(then, now)),
            },
            _ => Self::default(),
        }
    }
}

fn worst_number(then: &Numbers, now: &Numbers) -> Option<Point> {
    let mut worst: Option<(f64, [f64; 2])> = None;
    each_step(&then.weighted, &now.weighted, |next, below| {
        let shares = [below[0] as f64 / then.rows.max(1) as f64, below[1] as f64 / now.rows.max(1) as f64];
        if worst.is_none_or(|(_, most)| (shares[1] - shares[0]).abs() > (most[1] - most[0]).abs()) {
            worst = Some((next, shares));
        }
    });
    worst.map(|(value, shares)| Point::UpTo(value, shares))
}

fn worst_value(then: &BTreeMap<&str, u64>, now: &BTreeMap<&str, u64>) -> Option<Point> {
    let rows = [total(then).max(1) as f64, total(now).max(1) as f64];
    let values: BTreeSet<&str> = then.keys().chain(now.keys()).copied().collect();
    let share = |value: &str| {
        let count = |side: &BTreeMap<&str, u64>| side.get(value).copied().unwrap_or(0) as f64;
        [count(then) / rows[0], count(now) / rows[1]]
    };
    let shares = values.into_iter().map(|value| (value, share(value)));
    let worst = shares.max_by(|a, b| (a.1[1] - a.1[0]).abs().total_cmp(&(b.1[1] - b.1[0]).abs()))?;
    Some(Point::Value(kept(worst.0), worst.1))
}

/// As much of a value as is kept.
fn kept(value: &str) -> String {
    value.chars().take(VALUE_CHARACTERS).collect()
}

fn histogram(then: &Numbers, now: &Numbers) -> Histogram {
    let [low, high] = [OUTSIDE, 1.0 - OUTSIDE].map(|share| [quantile(then, share), quantile(now, share)]);
    let range = [low[0].min(low[1]), high[0].max(high[1])];
    let whole = [then, now].iter().all(|side| side.weighted.iter().all(|v| v.0.fract() == 0.0));
    let bins = Bins::between(range, whole);
    Histogram::Numbers {
        range,
        medians: [then, now].map(|side| quantile(side, 0.5)),
        shares: [then, now].map(|side| bins.shares(side)),
    }
}

/// Equal parts of a range. Of whole numbers, each part holds as many of them as the others, or the picture would have
/// teeth that the data does not have.
struct Bins {
    low: f64,
    /// Half of a bin, so that the widest range of doubles does not overflow.
    half_width: f64,
    count: usize,
}

impl Bins {
    fn between([low, high]: [f64; 2], whole: bool) -> Self {
        let values = high - low + 1.0;
        if whole && values < 1e15 {
            let width = (values / BINS as f64).ceil();
            return Self { low: low - 0.5, half_width: width / 2.0, count: (values / width).ceil() as usize };
        }
        let half_width = (high / 2.0 - low / 2.0) / BINS as f64;
        Self { low, half_width, count: BINS }
    }

    fn shares(&self, numbers: &Numbers) -> Vec<f64> {
        let mut shares = vec![0.0; self.count];
        for &(value, weight) in &numbers.weighted {
            let offset = value / 2.0 - self.low / 2.0;
            let place = if self.half_width > 0.0 { offset / self.half_width } else { self.count as f64 / 2.0 };
            shares[(place.max(0.0) as usize).min(self.count - 1)] += weight as f64 / numbers.rows as f64;
        }
        shares
    }
}

/// The value at or below which this share of the rows lies.
fn quantile(numbers: &Numbers, share: f64) -> f64 {
    let wanted = share * numbers.rows as f64;
    let mut below = 0.0;
    for &(value, weight) in &numbers.weighted {
        below += weight as f64;
        if below >= wanted {
            return value;
        }
    }
    numbers.weighted.last().map_or(0.0, |pair| pair.0)
}

fn bars(then: &BTreeMap<&str, u64>, now: &BTreeMap<&str, u64>) -> Histogram {
    let rows = [total(then) as f64, total(now) as f64];
    let mut shares: BTreeMap<&str, [f64; 2]> = BTreeMap::new();
    for (side, counts) in [then, now].into_iter().enumerate() {
        for (value, &count) in counts {
            shares.entry(value).or_default()[side] += count as f64 / rows[side];
        }
    }
    let mut shares: Vec<(&str, [f64; 2])> = shares.into_iter().collect();
    shares.sort_by(|a, b| (b.1[0] + b.1[1]).total_cmp(&(a.1[0] + a.1[1])));
    let rest = shares.iter().skip(BARS).fold([0.0; 2], |sum, (_, part)| [sum[0] + part[0], sum[1] + part[1]]);
    Histogram::Categories {
        values: shares.iter().take(BARS).map(|(value, part)| (kept(value), *part)).collect(),
        others: (shares.len() > BARS).then_some(rest),
        different: shares.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_rows_are_in_a_histogram() {
        let numbers = Numbers::of_values(&[-1e9, 1.0, 2.0, 3.0, 1e9]);
        for (whole, count) in [(true, 3), (false, BINS)] {
            let shares = Bins::between([1.0, 3.0], whole).shares(&numbers);
            assert!(shares.len() == count && (shares.iter().sum::<f64>() - 1.0).abs() < 1e-12, "{shares:?}");
        }
        assert_eq!(Bins::between([0.0, 60.0], true).count, 21, "three whole numbers in each");
    }
}
