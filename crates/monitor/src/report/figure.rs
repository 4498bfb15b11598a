//! Small pictures of two distributions, as inline SVG: the reference as an area, the data as a line; or bars by value.
//!
//! Invariant: a picture is a few hundred bytes whatever the data, and its description tells in words what it shows.

use std::fmt::Write as _;

use super::html::{escaped, name};
use super::words::Words;
use crate::drift::outline::Histogram;

/// Width of a bin, and height of a picture, in the picture's own units.
const BIN_WIDTH: usize = 7;
/// Height of a picture.
const HEIGHT: usize = 44;

/// The picture with its labels; empty when there is nothing to draw.
pub(super) fn figure(histogram: Option<&Histogram>, words: &Words) -> String {
    match histogram {
        Some(Histogram::Numbers { range, medians, shares }) => numbers(*range, *medians, shares, words),
        Some(Histogram::Categories { values, others, different }) => bars(values, *others, *different, words),
        None => String::new(),
    }
}

fn numbers([low, high]: [f64; 2], medians: [f64; 2], [before, after]: &[Vec<f64>; 2], words: &Words) -> String {
    let most = before.iter().chain(after).copied().fold(f64::MIN_POSITIVE, f64::max);
    let y = |share: f64| HEIGHT - (share / most * (HEIGHT - 2) as f64).round() as usize;
    let mut area = format!("M0 {HEIGHT}");
    let mut line = String::new();
    for (bin, (&then, &now)) in before.iter().zip(after).enumerate() {
        let _ = write!(area, "V{}h{BIN_WIDTH}", y(then));
        let _ = write!(line, "{}{}h{BIN_WIDTH}", if bin == 0 { "M0 " } else { "V" }, y(now));
    }
    let [then, now] = medians.map(|median| words.value(median));
    let described = words.fill(words.figure_numbers, &[&then, &now]);
    format!(
        "<svg width=\"168\" height=\"{HEIGHT}\" viewBox=\"0 0 {} {HEIGHT}\" preserveAspectRatio=\"none\" role=\"img\" \
         aria-label=\"{}\"><path class=\"then\" d=\"{area}V{HEIGHT}z\"/><path class=\"now\" d=\"{line}\"/></svg><div \
         class=\"range\"><span>{}</span><span>{}</span></div>",
        before.len() * BIN_WIDTH,
        escaped(&described),
        words.value(low),
        words.value(high)
    )
}

fn bars(values: &[(String, [f64; 2])], others: Option<[f64; 2]>, different: usize, words: &Words) -> String {
    let drawn: Vec<[f64; 2]> = values.iter().map(|(_, part)| *part).chain(others).collect();
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
    let described = words.fill(words.figure_categories, &[&different.to_string()]);
    let labels: Vec<String> = values.iter().map(|(value, _)| name(value)).collect();
    format!(
        "<svg width=\"168\" height=\"{HEIGHT}\" viewBox=\"0 0 168 {HEIGHT}\" role=\"img\" aria-label=\"{}\">{picture}</svg>\
         <div class=\"values\">{}</div>",
        escaped(&described),
        labels.join(" · ")
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::drift::outline::Outline;
    use crate::drift::sample::{Numbers, Sample};
    use crate::report::Language;

    #[test]
    fn pictures_are_small_whatever_the_data() {
        let words = Words::of(Language::English);
        for values in [vec![1.0], vec![f64::MAX, -f64::MAX, 0.0], (0..5000).map(f64::from).collect()] {
            let numbers = Sample::Numbers(Numbers::of_values(&values));
            let figure = figure(Outline::of(&numbers, &numbers).histogram.as_ref(), words);
            assert!(figure.len() < 1200 && !figure.contains("NaN"), "{figure}");
        }
        let texts: Vec<String> = (0..400).map(|i| format!("<b>{i}")).collect();
        let counts: BTreeMap<&str, u64> = texts.iter().map(|text| (text.as_str(), 7)).collect();
        let counts = Sample::Categories(counts);
        let figure = figure(Outline::of(&counts, &counts).histogram.as_ref(), words);
        assert!(figure.len() < 2500 && !figure.contains("<b>"), "{figure}");
    }
}
