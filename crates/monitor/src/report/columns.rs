//! The tables of columns: the worst with pictures, the rest without, as far as the page's size allows.

use std::fmt::Write as _;

use super::begin_table;
use super::figure::figure;
use super::html::{cell, name};
use super::told::{Outlines, badge};
use super::words::Words;
use crate::drift::compare::{ColumnDrift, Presence, Verdict};
use crate::drift::measure::Measure;
use crate::job::Examination;

/// Columns with pictures.
const PICTURED: usize = 100;
/// Width of the picture of an interval.
const BAR: f64 = 90.0;

/// Both tables, as long as the page stays below `limit` bytes.
pub(super) fn columns(out: &mut String, found: &Examination, words: &Words, limit: usize) {
    let worst = found.drift.worst_first();
    if worst.is_empty() {
        return;
    }
    let shown = Shown { outlines: Outlines::of(found), alone: found.is_alone() };
    let title = if found.is_alone() { words.columns_alone } else { words.columns };
    let tolerance = found.drift.rule.tolerance;
    let _ = write!(
        out,
        "<section><h2>{}</h2><div class=\"tools\"><label>{} <input id=\"filter\" type=\"search\" autocomplete=\"off\"></label>\
         <span class=\"key soft\"><svg width=\"18\" height=\"12\" aria-hidden=\"true\"><rect class=\"then\" width=\"18\" \
         height=\"12\"/></svg>{}</span><span class=\"key soft\"><svg width=\"18\" height=\"12\" aria-hidden=\"true\"><path \
         class=\"now\" d=\"M0 6h18\"/></svg>{}</span></div>",
        title, words.filter, words.key_then, words.key_now
    );
    let pictured = worst.len().min(PICTURED);
    if worst.len() > pictured {
        let counts = [pictured, worst.len()].map(|count| words.count(count as u64));
        let _ = write!(out, "<p>{}</p>", words.fill(words.pictured, &[&counts[0], &counts[1]]));
    }
    begin_table(out, title, &heads(words, true), "sortable columns");
    for column in &worst[..pictured] {
        row(out, column, &shown, words, Some(tolerance));
    }
    out.push_str("</tbody></table></div>");
    if worst.len() > pictured {
        let rest = words.fill(words.rest, &[&words.count((worst.len() - pictured) as u64)]);
        let _ = write!(out, "<details><summary>{rest}</summary>");
        begin_table(out, &rest, &heads(words, false), "sortable columns");
        let mut listed = pictured;
        while listed < worst.len() && out.len() < limit {
            row(out, worst[listed], &shown, words, None);
            listed += 1;
        }
        out.push_str("</tbody></table></div>");
        if listed < worst.len() {
            let left = words.count((worst.len() - listed) as u64);
            let _ = write!(out, "<p>{}</p>", words.fill(words.left_out, &[&left]));
        }
        out.push_str("</details>");
    }
    out.push_str("</section>");
}

/// What rows are made of beside the distances.
struct Shown<'a> {
    outlines: Outlines<'a>,
    /// Whether there is no reference.
    alone: bool,
}

fn heads(words: &Words, pictures: bool) -> Vec<(&'static str, bool)> {
    let all = words.heads.into_iter().enumerate();
    all.filter(|(place, _)| pictures || *place != 2).map(|(place, head)| (head, place < 3)).collect()
}

/// One column; with its picture when there is a tolerance to draw into it.
fn row(out: &mut String, column: &ColumnDrift, of: &Shown<'_>, words: &Words, pictured: Option<f64>) {
    let outline = of.outlines.get(&column.feature);
    let _ = write!(
        out,
        "<tr><th scope=\"row\">{}</th><td class=\"text\" data-v=\"{}\">{}",
        name(&column.feature),
        column.verdict as u8,
        badge(column.verdict, words)
    );
    if column.verdict == Verdict::NotEnoughData {
        let why = column.rows_needed.map(|rows| words.fill(words.rows_needed, &[&words.count(rows)]));
        let _ =
            write!(out, "<div class=\"range\"><span>{}</span></div>", why.as_deref().unwrap_or(words.reference_small));
    }
    out.push_str("</td>");
    if pictured.is_some() {
        let picture = figure(outline.and_then(|outline| outline.histogram.as_ref()), words);
        let _ = write!(out, "<td class=\"text\" data-v=\"\">{picture}</td>");
    }
    let decisive = column.decisive();
    let mut shown = decisive.map(|one| words.decimals(one.value, 3)).unwrap_or_default();
    if let Some((one, [low, high])) = decisive.and_then(|one| Some((one, one.interval?))) {
        let _ = write!(shown, " <span class=\"small\">{} – {}</span>", words.decimals(low, 3), words.decimals(high, 3));
        if let Some(tolerance) = pictured {
            shown += &interval(low, high, one.value, tolerance);
        }
    }
    cell(out, decisive.map(|one| one.value), &shown);
    for measure in [Measure::Wasserstein, Measure::PopulationStability, Measure::JensenShannon] {
        let found = column.measured.iter().find(|one| one.measure == measure).map(|one| one.value);
        cell(out, found, &found.map(|value| words.decimals(value, 3)).unwrap_or_default());
    }
    let missing = |side: Presence| side.missing as f64 / (side.missing + side.present).max(1) as f64;
    let (then, now) = (missing(column.reference), missing(column.current));
    let shown = if now == 0.0 && (then == 0.0 || of.alone) {
        "0".to_owned()
    } else if of.alone {
        words.percent(now)
    } else {
        format!("{} → {}", words.percent(then), words.percent(now))
    };
    cell(out, Some((now * 1e6).round() / 1e6), &shown);
    match outline.and_then(|outline| outline.means) {
        Some([then, now]) => {
            let then = if of.alone { String::new() } else { format!("{} → ", words.value(then)) };
            cell(out, Some(now), &format!("{then}{}", words.value(now)));
        }
        None => cell(out, None, ""),
    }
    cell(out, Some(column.current.present as f64), &words.count(column.current.present));
    out.push_str("</tr>");
}

/// An interval between 0 and 1, the distance in it, and the tolerance.
fn interval(low: f64, high: f64, value: f64, tolerance: f64) -> String {
    let x = |at: f64| (at.clamp(0.0, 1.0) * BAR).round();
    let (from, to) = (x(low), x(high));
    format!(
        "<svg width=\"{BAR}\" height=\"12\" aria-hidden=\"true\"><path class=\"axis\" d=\"M0 6h{BAR}\"/><path class=\"limit\" \
         d=\"M{} 0v12\"/><rect class=\"then\" x=\"{from}\" y=\"4\" width=\"{}\" height=\"4\"/><rect class=\"nowbar\" x=\"{}\" y=\"2\" \
         width=\"2\" height=\"8\"/></svg>",
        x(tolerance),
        (to - from).max(1.0),
        (x(value) - 1.0).max(0.0)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_is_drawn_where_it_lies() {
        let drawn = interval(0.1, 0.5, 0.3, 0.1);
        assert!(drawn.contains("x=\"9\" y=\"4\" width=\"36\"") && drawn.contains("M9 0v12"), "{drawn}");
    }
}
