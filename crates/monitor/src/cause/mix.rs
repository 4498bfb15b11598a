//! Mix or behaviour: has the population of callers changed, or what callers send?
//!
//! With `w` the consumers' shares of the rows and `F` their distributions, then (0) and now (1), the difference of the
//! whole at any point is `Σ (w₁−w₀)·(F̄_c − F̄) + Σ w̄_c·(F₁_c − F₀_c)`, bars being the mean of then and now: the first sum is
//! the mix, the second behaviour, and both split by consumer without a rest. It is taken at the point where the two
//! distributions differ most, so it splits the Kolmogorov–Smirnov distance of numbers and the L-infinity of categories.
//! A consumer that was not there then, or is not now, counts as unchanged in what it sends: its coming or going is mix.
//!
//! Invariant: the parts of the consumers sum to the distance. Refuses to: split what was read from fewer than
//! [`MIN_ROWS`] rows on a side.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;

use super::collector::Series;
use super::{Collector, MIN_ROWS};

/// Share of the distance above which one of the two is called the reason.
const CLEARLY: f64 = 0.75;

/// The distance of a feature, split.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Split {
    /// The feature.
    pub feature: String,
    /// Where the distributions differ most.
    pub point: Point,
    /// The difference there, of all rows; above zero.
    pub distance: f64,
    /// The part of it that comes from other consumers, or the same in other shares.
    pub mix: f64,
    /// The part of it that comes from consumers that send something else.
    pub behaviour: f64,
    /// Each consumer's part, the largest first.
    pub consumers: Vec<ConsumerPart>,
}

/// A point of a distribution.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Point {
    /// Rows with values up to this one became fewer (`true`) or more.
    UpTo(f64, bool),
    /// Rows with this value became fewer (`true`) or more.
    Value(String, bool),
}

/// The part of one consumer.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConsumerPart {
    /// Who; `None` when the records do not say.
    pub consumer: Option<String>,
    /// Its share of the rows, then and now.
    pub shares: [f64; 2],
    /// Its part of the mix.
    pub mix: f64,
    /// Its part of the behaviour.
    pub behaviour: f64,
}

/// What changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Who calls.
    Mix,
    /// What callers send.
    Behaviour,
    /// Both.
    Both,
}

impl Split {
    /// What changed, above all.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self.behaviour / self.distance {
            share if share >= CLEARLY => Reason::Behaviour,
            share if share <= 1.0 - CLEARLY => Reason::Mix,
            _ => Reason::Both,
        }
    }
}

/// One sentence for a person.
impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // One part can be more than all of it, when the other works against it.
        let percent = |part: f64| format!("{:.0} %", 100.0 * (part / self.distance).clamp(0.0, 1.0));
        let first = self.consumers.first();
        let who = first.and_then(|part| part.consumer.as_deref()).unwrap_or("callers the records do not name");
        write!(f, "{}: ", self.feature)?;
        match self.reason() {
            Reason::Behaviour => write!(f, "consumers send something else ({} of it), ", percent(self.behaviour))?,
            Reason::Mix => write!(f, "who calls has changed ({} of it), ", percent(self.mix))?,
            Reason::Both => {
                let (mix, behaviour) = (percent(self.mix), percent(self.behaviour));
                write!(f, "who calls has changed ({mix}) and what consumers send ({behaviour}), ")?;
            }
        }
        let [then, now] = first.map_or([0.0; 2], |part| part.shares);
        write!(f, "above all {who} ({:.0} % of the rows then, {:.0} % now)", 100.0 * then, 100.0 * now)
    }
}

/// One consumer on both sides.
struct Sides<'s, 'a> {
    consumer: Option<String>,
    sides: [Option<&'s Series<'a>>; 2],
}

impl Collector {
    /// Splits the distance of a feature that both collected; `None` when a side has too few rows or nothing differs.
    #[must_use]
    pub fn split(&self, reference: &Self, feature: &str) -> Option<Split> {
        let series = [reference.series(reference.feature(feature)?), self.series(self.feature(feature)?)];
        let categorical = self.is_categorical(feature);
        let rows = series.each_ref().map(|side| side.iter().map(rows_of).sum::<f64>());
        let kept = series.each_ref().map(|side| side.iter().map(|one| one.values.len()).sum::<usize>());
        if kept.iter().any(|&rows| rows < MIN_ROWS) {
            return None;
        }
        let (point, signed) = if categorical { worst_value(&series, rows)? } else { worst_number(&series, rows)? };
        let sign = signed.signum();
        let totals =
            [0, 1].map(|side| series[side].iter().map(|one| rows_of(one) * at(one, &point)).sum::<f64>() / rows[side]);
        let middle = (totals[0] + totals[1]) / 2.0;
        let mut consumers: Vec<ConsumerPart> = paired(&series)
            .into_iter()
            .map(|Sides { consumer, sides }| {
                let shares = [0, 1].map(|side| sides[side].map_or(0.0, rows_of) / rows[side]);
                let seen = sides.map(|side| side.filter(|one| !one.values.is_empty()).map(|one| at(one, &point)));
                let then = seen[0].or(seen[1]).unwrap_or(middle);
                let now = seen[1].or(seen[0]).unwrap_or(middle);
                let mix = sign * (shares[1] - shares[0]) * ((then + now) / 2.0 - middle);
                let behaviour = sign * (shares[0] + shares[1]) / 2.0 * (now - then);
                ConsumerPart { consumer, shares, mix, behaviour }
            })
            .collect();
        let weight = |part: &ConsumerPart| (part.mix + part.behaviour).abs();
        consumers.sort_by(|a, b| weight(b).total_cmp(&weight(a)));
        let sum = |of: fn(&ConsumerPart) -> f64| consumers.iter().map(of).sum::<f64>();
        Some(Split {
            feature: feature.to_owned(),
            point,
            distance: signed.abs(),
            mix: sum(|part| part.mix),
            behaviour: sum(|part| part.behaviour),
            consumers,
        })
    }
}

fn rows_of(series: &Series<'_>) -> f64 {
    series.values.len() as f64 * series.weight as f64
}

/// A consumer's share of rows at the point: up to a number, or with a value.
fn at(series: &Series<'_>, point: &Point) -> f64 {
    let count = match point {
        Point::UpTo(limit, _) => series.values.iter().filter(|&&value| value <= *limit).count(),
        Point::Value(text, _) => series.values.iter().filter(|&&value| series.category(value) == text).count(),
    };
    if series.values.is_empty() { 0.0 } else { count as f64 / series.values.len() as f64 }
}

fn worst_number(series: &[Vec<Series<'_>>; 2], rows: [f64; 2]) -> Option<(Point, f64)> {
    let mut steps: Vec<(f64, f64)> = Vec::new();
    for (side, sign) in [(0, -1.0), (1, 1.0)] {
        for one in &series[side] {
            steps.extend(one.values.iter().map(|&value| (value, sign * one.weight as f64 / rows[side])));
        }
    }
    steps.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let (mut difference, mut worst, mut place) = (0.0, 0.0_f64, 0.0);
    for (i, &(value, step)) in steps.iter().enumerate() {
        difference += step;
        if steps.get(i + 1).is_none_or(|next| next.0 > value) && difference.abs() > worst.abs() {
            (worst, place) = (difference, value);
        }
    }
    // What is left of rounding is no difference.
    (worst.abs() > 1e-9).then_some((Point::UpTo(place, worst < 0.0), worst))
}

fn worst_value(series: &[Vec<Series<'_>>; 2], rows: [f64; 2]) -> Option<(Point, f64)> {
    let mut differences: BTreeMap<&str, f64> = BTreeMap::new();
    for (side, sign) in [(0, -1.0), (1, 1.0)] {
        for one in &series[side] {
            for &value in &one.values {
                *differences.entry(one.category(value)).or_default() += sign * one.weight as f64 / rows[side];
            }
        }
    }
    let (text, worst) = differences.into_iter().max_by(|a, b| a.1.abs().total_cmp(&b.1.abs()))?;
    (worst.abs() > 1e-9).then(|| (Point::Value(text.to_owned(), worst < 0.0), worst))
}

fn paired<'s, 'a>(series: &'s [Vec<Series<'a>>; 2]) -> Vec<Sides<'s, 'a>> {
    let names: BTreeSet<&Option<String>> = series.iter().flatten().map(|one| &one.consumer).collect();
    let find = |side: usize, name: &Option<String>| series[side].iter().find(|one| one.consumer == *name);
    names.into_iter().map(|name| Sides { consumer: name.clone(), sides: [find(0, name), find(1, name)] }).collect()
}

#[cfg(test)]
mod tests;
