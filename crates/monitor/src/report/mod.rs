//! One self-contained HTML page for people: what the data stands on, what changed, through whom, since when.
//!
//! Invariants: same input, same bytes (no clock, no chance); less than [`MAX_BYTES`] whatever the input; nothing that came
//! from data can act as markup or script (see `html`), and a content security policy by digest forbids the page every
//! request and every script but its own. Refuses to: show a single row.

mod columns;
mod figure;
mod html;
mod told;
mod words;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use base64::Engine as _;
use sha2::{Digest as _, Sha256};

use crate::drift::compare::Verdict;
use crate::drift::windows::{TimedColumn, Watched};
use crate::job::Examination;
use html::{escape, escaped, name};
use words::Words;

/// Most bytes of a page.
pub const MAX_BYTES: usize = 5_000_000;
/// Bytes kept for the ends of the tables of columns, beside what follows them.
const SLACK_BYTES: usize = 20_000;
/// Longest description of a violation or note, characters.
const MAX_DESCRIPTION: usize = 300;
/// Most notes.
const MAX_NOTES: usize = 50;
/// Most entries of the shorter lists: violations, alarms, consumers, names, notes.
const MAX_LISTED: usize = 200;
/// Columns whose change is told in words.
const MAX_TOLD: usize = 30;
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// Of the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Language {
    /// English.
    #[default]
    English,
    /// Portuguese.
    Portuguese,
}

/// On how many of the calls the page stands: what the ledger says.
#[derive(Debug, Clone, PartialEq)]
pub enum Grounds {
    /// The ledger knows these captures.
    Known {
        /// Records read as a share of the invocations.
        share: f64,
        /// All invocations.
        invocations: u64,
        /// Lost, and known to be.
        dropped: u64,
        /// Left out on purpose.
        sampled_out: u64,
        /// Not yet answered.
        in_flight: u64,
        /// In the journal, in objects that were not read, or removed since.
        elsewhere: u64,
    },
    /// No ledger knows them.
    Unknown(String),
    /// They are tables, and no calls.
    Tables,
}

/// The page. `subject` names what was examined.
#[must_use]
pub fn page(subject: &str, grounds: &Grounds, found: &Examination, language: Language) -> String {
    let words = Words::of(language);
    let mut out = String::with_capacity(256 * 1024);
    head(&mut out, subject, words);
    header(&mut out, subject, grounds, found, words);
    out.push_str("<main>");
    told::what_changed(&mut out, found, words);
    // What follows the tables of columns is made before them: they take what it leaves.
    let mut tail = String::new();
    constraints(&mut tail, found, words);
    if let Some(watched) = &found.watched {
        windows(&mut tail, watched, words);
    }
    consumers(&mut tail, found, words);
    notes(&mut tail, found, words);
    method(&mut tail, found, words);
    columns::columns(&mut out, found, words, MAX_BYTES.saturating_sub(tail.len() + SCRIPT.len() + SLACK_BYTES));
    out.push_str(&tail);
    let _ = writeln!(out, "</main><footer>{}</footer><script>{SCRIPT}</script></body></html>", escaped(words.made_by));
    out
}

fn head(out: &mut String, subject: &str, words: &Words) {
    let digest = |text: &str| base64::engine::general_purpose::STANDARD.encode(Sha256::digest(text.as_bytes()));
    let _ = write!(
        out,
        "<!doctype html>\n<html lang=\"{}\"><head><meta charset=\"utf-8\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'sha256-{}'; script-src \
         'sha256-{}'; base-uri 'none'; form-action 'none'\"><meta name=\"viewport\" content=\"width=device-width, \
         initial-scale=1\"><meta name=\"color-scheme\" content=\"light dark\"><meta name=\"referrer\" content=\"no-referrer\">\
         <title>{}: ",
        words.code,
        digest(STYLE),
        digest(SCRIPT),
        escaped(words.title)
    );
    escape(out, &subject.chars().take(html::SHOWN_CHARACTERS).collect::<String>());
    let _ = write!(out, "</title><style>{STYLE}</style></head><body>");
}

fn header(out: &mut String, subject: &str, grounds: &Grounds, found: &Examination, words: &Words) {
    out.push_str("<header>");
    ledger(out, grounds, words);
    let _ = write!(out, "<p class=\"soft\">{}</p><h1>{}</h1>", escaped(words.title), name(subject));
    let data = &found.data;
    let counts = [data.rows, data.columns.len() as u64, data.records, data.objects];
    let mut counts: Vec<String> =
        counts.into_iter().zip(words.counted).map(|(count, noun)| words.counted(count, noun)).collect();
    counts.push(words.counted(found.reference_rows, words.counted[0]));
    let counts: Vec<&str> = counts.iter().map(String::as_str).collect();
    let account = if found.is_alone() { words.account_alone } else { words.account };
    let _ = write!(out, "<p>{}", words.fill(account, &counts));
    if let Some(period) = found.period {
        let _ = write!(out, " {}", words.fill(words.period, &[&period.from.to_string(), &period.to.to_string()]));
    }
    if data.unanswered > 0 {
        let _ = write!(out, " {}", words.fill(words.unanswered, &[&words.count(data.unanswered)]));
    }
    out.push_str("</p>");
    let (drifted, all) = (found.drift.count(Verdict::Drifted) as u64, found.drift.columns.len() as u64);
    let headline = match drifted {
        0 if found.is_alone() => words.alone,
        0 if found.cannot_tell() => words.cannot_tell,
        0 => words.drifted_none,
        1 => words.drifted_one,
        _ => words.drifted_many,
    };
    let headline = words.fill(headline, &[&words.count(drifted), &words.count(all)]);
    let _ = write!(out, "<p class=\"headline\">{headline}</p><ul class=\"counts\">");
    let tolerance = words.decimals(found.drift.rule.tolerance, 2);
    for verdict in told::VERDICTS {
        let count = found.drift.count(verdict);
        if count > 0 && !found.is_alone() {
            let means = words.fill(words.verdicts_mean[verdict as usize], &[&tolerance]);
            let shown = words.count(count as u64);
            let badge = told::badge(verdict, words);
            let _ = write!(out, "<li><b>{shown}</b>{badge}<p class=\"soft\">{means}</p></li>");
        }
    }
    out.push_str("</ul></header>");
}

/// The ledger's line: how much of the truth is in this page.
fn ledger(out: &mut String, grounds: &Grounds, words: &Words) {
    match grounds {
        Grounds::Known { share, invocations, dropped, sampled_out, in_flight, elsewhere } => {
            // Never rounded up to all of them.
            let hundredths = (share * 10_000.0).floor();
            let decimals = if hundredths % 100.0 == 0.0 { 0 } else { 2 };
            let percent = words.decimals(hundredths / 100.0, decimals) + "\u{a0}%";
            let mut more = String::new();
            for (count, text) in [(in_flight, words.in_flight), (elsewhere, words.elsewhere)] {
                if *count > 0 {
                    more += &words.fill(text, &[&words.count(*count)]);
                }
            }
            let [invocations, dropped, sampled_out] = [invocations, dropped, sampled_out].map(|n| words.count(*n));
            let line = words.fill(words.grounds, &[&percent, &invocations, &dropped, &sampled_out, &more]);
            let class = if hundredths >= 10_000.0 { "grounds" } else { "grounds partly" };
            let _ = write!(out, "<p class=\"{class}\">{}</p>", escaped(&line));
        }
        Grounds::Unknown(why) => {
            let line = words.fill(words.grounds_unknown, &[why]);
            let _ = write!(out, "<p class=\"grounds unknown\">{}</p>", escaped(&line));
        }
        Grounds::Tables => {}
    }
}

fn constraints(out: &mut String, found: &Examination, words: &Words) {
    let Some(violations) = &found.violations else { return };
    let _ = write!(out, "<section><h2>{}</h2>", words.violations);
    if violations.is_empty() {
        let _ = write!(out, "<p>{}</p></section>", words.violations_none);
        return;
    }
    begin_table(out, words.violations, &words.violation_heads.map(|head| (head, true)), "");
    for violation in violations.iter().take(MAX_LISTED) {
        let description: String = violation.description.chars().take(MAX_DESCRIPTION).collect();
        let _ = write!(
            out,
            "<tr><th scope=\"row\">{}</th><td class=\"text\">{}</td><td class=\"text wrap\">{}</td></tr>",
            name(&violation.feature_name),
            violation.constraint_check_type,
            escaped(&description)
        );
    }
    end_table(out, violations.len(), words);
    out.push_str("</section>");
}

fn windows(out: &mut String, watched: &Watched, words: &Words) {
    let time = |seconds: f64| match seconds {
        seconds if seconds >= 86_400.0 => words.value(seconds / 86_400.0) + "\u{a0}d",
        seconds if seconds >= 3_600.0 => words.value(seconds / 3_600.0) + "\u{a0}h",
        seconds if seconds >= 60.0 => words.value(seconds / 60.0) + "\u{a0}min",
        seconds => words.value(seconds) + "\u{a0}s",
    };
    let (columns, windows) = (words.count(watched.columns as u64), words.count(watched.windows));
    let (length, budget) = (time(watched.window_seconds), time(watched.false_alarm_every_seconds));
    let told = words.fill(words.windows_told, &[&columns, &windows, &length, &budget]);
    let _ = write!(out, "<section><h2>{}</h2><p>{told}</p>", words.windows);
    if watched.alarms.is_empty() {
        let _ = write!(out, "<p>{}</p></section>", words.alarms_none);
        return;
    }
    let mut by_column: BTreeMap<&str, Vec<(&str, &TimedColumn)>> = BTreeMap::new();
    for alarm in &watched.alarms {
        for column in &alarm.columns {
            by_column.entry(&column.feature).or_default().push((&alarm.at, column));
        }
    }
    let mut rung: Vec<_> = by_column.into_iter().collect();
    rung.sort_by(|a, b| a.1[0].0.cmp(b.1[0].0));
    let mut heads = words.alarm_heads.map(|head| (head, true));
    heads[3].1 = false;
    begin_table(out, words.windows, &heads, "");
    for (feature, times) in rung.iter().take(MAX_LISTED) {
        let ((first, column), (last, _)) = (times[0], times[times.len() - 1]);
        let _ = write!(
            out,
            "<tr><th scope=\"row\">{}</th><td class=\"text\">{}</td><td class=\"text\">{}</td><td>{}</td><td class=\"text\">{}</td></tr>",
            name(feature),
            escaped(first),
            escaped(&column.since),
            words.count(times.len() as u64),
            escaped(last)
        );
    }
    end_table(out, rung.len(), words);
    out.push_str("</section>");
}

fn consumers(out: &mut String, found: &Examination, words: &Words) {
    if found.consumers.iter().all(|consumer| consumer.consumer.is_none()) {
        return;
    }
    let _ = write!(out, "<section><h2>{}</h2>", words.consumers);
    let sum = |of: fn(&crate::job::ConsumerRows) -> u64| found.consumers.iter().map(of).sum::<u64>().max(1) as f64;
    let (then, now) = (sum(|one| one.reference.unwrap_or(0)), sum(|one| one.current));
    let mut heads = words.consumer_heads.map(|head| (head, false));
    heads[0].1 = true;
    begin_table(out, words.consumers, &heads, "sortable");
    for consumer in found.consumers.iter().take(MAX_LISTED) {
        let who = consumer.consumer.as_deref().unwrap_or(words.unnamed);
        let _ = write!(out, "<tr><th scope=\"row\">{}</th>", name(who));
        let count =
            |rows: Option<u64>| (rows.map(|rows| rows as f64), rows.map_or("–".into(), |rows| words.count(rows)));
        let share = |rows: Option<u64>, all: f64| {
            (rows.map(|rows| rows as f64 / all), rows.map_or("–".into(), |rows| words.percent(rows as f64 / all)))
        };
        let current = Some(consumer.current);
        for (value, shown) in
            [count(consumer.reference), count(current), share(consumer.reference, then), share(current, now)]
        {
            html::cell(out, value, &shown);
        }
        out.push_str("</tr>");
    }
    end_table(out, found.consumers.len(), words);
    if !found.is_alone() && found.consumers.iter().all(|consumer| consumer.reference.is_none()) {
        let _ = write!(out, "<p class=\"soft\">{}</p>", escaped(words.then_unknown));
    }
    out.push_str("</section>");
}

fn notes(out: &mut String, found: &Examination, words: &Words) {
    let data = &found.data;
    if data.notes.is_empty() && data.described.is_empty() {
        return;
    }
    let _ = write!(out, "<section><h2>{}</h2><ul>", words.notes);
    let bad = data
        .described
        .iter()
        .take(10)
        .map(|bad| words.fill(words.unusable, &[&bad.source, &bad.line.to_string(), &bad.reason]));
    for note in data.notes.iter().take(MAX_NOTES).map(|note| words.note(note)).chain(bad) {
        let _ = write!(out, "<li>{}</li>", escaped(&note.chars().take(MAX_DESCRIPTION).collect::<String>()));
    }
    out.push_str("</ul></section>");
}

fn method(out: &mut String, found: &Examination, words: &Words) {
    let rate = words.percent(found.drift.rule.false_discovery_rate);
    let _ = write!(out, "<section><h2>{}</h2>", words.method);
    for text in words.method_told {
        let _ = write!(out, "<p>{}</p>", escaped(&words.fill(text, &[&rate])));
    }
    out.push_str("</section>");
}

/// A table that scrolls sideways by itself, with a keyboard too. Heads say whether their cells are texts; of the class
/// `sortable` they are buttons.
fn begin_table(out: &mut String, label: &str, heads: &[(&str, bool)], class: &str) {
    let _ = write!(
        out,
        "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{}\"><table class=\"{class}\"><thead><tr>",
        escaped(label)
    );
    let sortable = class.split(' ').any(|one| one == "sortable");
    for (head, text) in heads {
        let class = if *text { " class=\"text\"" } else { "" };
        let head = escaped(head);
        let _ = if sortable {
            write!(out, "<th scope=\"col\"{class} aria-sort=\"none\"><button type=\"button\">{head}</button></th>")
        } else {
            write!(out, "<th scope=\"col\"{class}>{head}</th>")
        };
    }
    out.push_str("</tr></thead><tbody>");
}

fn end_table(out: &mut String, rows: usize, words: &Words) {
    out.push_str("</tbody></table></div>");
    if rows > MAX_LISTED {
        let more = words.count((rows - MAX_LISTED) as u64);
        let _ = write!(out, "<p class=\"soft\">{}</p>", words.fill(words.and_more, &["…", &more]));
    }
}

#[cfg(test)]
mod tests;
