//! Small pictures of two distributions, as inline SVG: the reference as an area, the data as a line; or bars by value.
//!
//! Invariant: a picture is a few hundred bytes whatever the data, and its description tells in words what it shows.
//! Numbers are drawn between the half-percent points of both sides together; what lies outside is in the outer bins.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::html::{escaped, name};
use super::words::Words;
use crate::drift::sample::{Numbers, Sample};
use crate::drift::total;

/// Bins of a histogram.
const BINS: usize = 24;
/// Width of a bin, and height of a picture, in the picture's own units.
const BIN_WIDTH: usize = 7;
/// Height of a picture.
const HEIGHT: usize = 44;
/// Categories that have bars of their own.
const BARS: usize = 7;
/// Share of rows that may lie outside on each side.
const OUTSIDE: f64 = 0.005;

/// The picture with its labels; empty when there is nothing to draw.
pub(super) fn figure(then: &Sample<'_>, now: &Sample<'_>, words: &Words) -> String {
    match (then, now) {
        (Sample::Numbers(then), Sample::Numbers(now)) if then.rows > 0 && now.rows > 0 => histogram(then, now, words),
        (Sample::Categories(then), Sample::Categories(now)) if total(then) > 0 && total(now) > 0 => {
            bars(then, now, words)
        }
        _ => String::new(),
    }
}

fn histogram(then: &Numbers, now: &Numbers, words: &Words) -> String {
    let [low, high] = [OUTSIDE, 1.0 - OUTSIDE].map(|share| [quantile(then, share), quantile(now, share)]);
    let (low, high) = (low[0].min(low[1]), high[0].max(high[1]));
    let bins =
        Bins::between(low, high, [then, now].iter().all(|side| side.weighted.iter().all(|v| v.0.fract() == 0.0)));
    let (before, after) = (bins.shares(then), bins.shares(now));
    let most = before.iter().chain(&after).copied().fold(f64::MIN_POSITIVE, f64::max);
    let y = |share: f64| HEIGHT - (share / most * (HEIGHT - 2) as f64).round() as usize;
    let mut area = format!("M0 {HEIGHT}");
    let mut line = String::new();
    for (bin, (&then, &now)) in before.iter().zip(&after).enumerate() {
        let _ = write!(area, "V{}h{BIN_WIDTH}", y(then));
        let _ = write!(line, "{}{}h{BIN_WIDTH}", if bin == 0 { "M0 " } else { "V" }, y(now));
    }
    let median = |numbers: &Numbers| words.value(quantile(numbers, 0.5));
    let described = words.fill(words.figure_numbers, &[&median(then), &median(now)]);
    format!(
        "<svg width=\"168\" height=\"{HEIGHT}\" viewBox=\"0 0 {} {HEIGHT}\" preserveAspectRatio=\"none\" role=\"img\" \
         aria-label=\"{}\"><path class=\"then\" d=\"{area}V{HEIGHT}z\"/><path class=\"now\" d=\"{line}\"/></svg><div \
         class=\"range\"><span>{}</span><span>{}</span></div>",
        bins.count * BIN_WIDTH,
        escaped(&described),
        words.value(low),
        words.value(high)
    )
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
    fn between(low: f64, high: f64, whole: bool) -> Self {
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

fn bars(then: &BTreeMap<&str, u64>, now: &BTreeMap<&str, u64>, words: &Words) -> String {
    let rows = [total(then) as f64, total(now) as f64];
    let mut shares: BTreeMap<&str, [f64; 2]> = BTreeMap::new();
    for (side, counts) in [then, now].into_iter().enumerate() {
        for (value, &count) in counts {
            shares.entry(value).or_default()[side] += count as f64 / rows[side];
        }
    }
    let mut shares: Vec<(&str, [f64; 2])> = shares.into_iter().collect();
    shares.sort_by(|a, b| (b.1[0] + b.1[1]).total_cmp(&(a.1[0] + a.1[1])));
    let others = shares.iter().skip(BARS).fold([0.0; 2], |sum, (_, part)| [sum[0] + part[0], sum[1] + part[1]]);
    let named: Vec<&str> = shares.iter().take(BARS).map(|(value, _)| *value).collect();
    let mut drawn: Vec<[f64; 2]> = shares.iter().take(BARS).map(|(_, part)| *part).collect();
    if shares.len() > BARS {
        drawn.push(others);
    }
    let most = drawn.iter().flatten().copied().fold(f64::MIN_POSITIVE, f64::max);
    let step = 168 / drawn.len().max(2);
    let width = (step / 2 - 2).min(16);
    let mut picture = String::new();
    for (place, part) in drawn.iter().enumerate() {
        for (side, class) in [(0, "then"), (1, "nowbar")] {
            let height = (part[side] / most * (HEIGHT - 2) as f64).round() as usize;
            let x = place * step + side * (width + 1);
            let _ = write!(
                picture,
                "<rect class=\"{class}\" x=\"{x}\" y=\"{}\" width=\"{width}\" height=\"{height}\"/>",
                HEIGHT - height
            );
        }
    }
    let described = words.fill(words.figure_categories, &[&shares.len().to_string()]);
    let labels: Vec<String> = named.iter().map(|value| name(value)).collect();
    format!(
        "<svg width=\"168\" height=\"{HEIGHT}\" viewBox=\"0 0 168 {HEIGHT}\" role=\"img\" aria-label=\"{}\">{picture}</svg>\
         <div class=\"values\">{}</div>",
        escaped(&described),
        labels.join(" · ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Language;

    #[test]
    fn pictures_are_small_whatever_the_data() {
        let words = Words::of(Language::English);
        for values in [vec![1.0], vec![f64::MAX, -f64::MAX, 0.0], (0..5000).map(f64::from).collect()] {
            let numbers = Sample::Numbers(Numbers::of_values(&values));
            let figure = figure(&numbers, &numbers, words);
            assert!(figure.len() < 1200 && !figure.contains("NaN"), "{figure}");
        }
        let texts: Vec<String> = (0..400).map(|i| format!("<b>{i}")).collect();
        let counts: BTreeMap<&str, u64> = texts.iter().map(|text| (text.as_str(), 7)).collect();
        let figure = figure(&Sample::Categories(counts.clone()), &Sample::Categories(counts), words);
        assert!(figure.len() < 2500 && !figure.contains("<b>"), "{figure}");
    }

    #[test]
    fn all_rows_are_drawn() {
        let numbers = Numbers::of_values(&[-1e9, 1.0, 2.0, 3.0, 1e9]);
        for (whole, count) in [(true, 3), (false, BINS)] {
            let shares = Bins::between(1.0, 3.0, whole).shares(&numbers);
            assert!(shares.len() == count && (shares.iter().sum::<f64>() - 1.0).abs() < 1e-12, "{shares:?}");
        }
        assert_eq!(Bins::between(0.0, 60.0, true).count, 21, "three whole numbers in each");
    }
}
