//! The generated part of `docs/faults.md`: a table of the tests, and a row for each test and commit.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context as _, Result};

use super::Test;
use super::state::{Row, State};
use crate::cache;

const PAGE: &str = "docs/faults.md";
const BEGIN: &str = "<!-- figures: written by `cargo xtask faults --release` -->";
const END: &str = "<!-- end of figures -->";
const TESTS: &str = "<!-- tests: written by `cargo xtask faults --release` -->";
const TESTS_END: &str = "<!-- end of tests -->";
const HEAD: &str =
    "| test | figures | seeds | minutes | commit | date | machine |\n| --- | --- | --- | ---: | --- | --- | --- |\n";

/// `tests` are all there are.
pub(super) fn write(tests: &[Test], state: &State, commit: &str, skipped: &[(String, String)]) -> Result<()> {
    let path = cache::checkout().join(PAGE);
    let page = std::fs::read_to_string(&path).with_context(|| format!("cannot read {PAGE}"))?;
    let units: BTreeMap<&str, &str> = tests.iter().map(|test| (test.name.as_str(), test.unit.as_str())).collect();
    let mut rows: Vec<[String; 7]> = Vec::new();
    for (test, of, row) in state.rows() {
        // A test that is there no more keeps the row that stands in the page.
        if let Some(unit) = units.get(test) {
            rows.push(cells(test, unit, of, row));
        }
    }
    for (test, why) in skipped {
        let empty = || "–".to_owned();
        rows.push([test.clone(), format!("skipped: {why}"), empty(), empty(), code(commit), empty(), empty()]);
    }
    std::fs::write(&path, listed(&merged(&page, rows)?, tests)?).with_context(|| format!("cannot write {PAGE}"))
}

/// The page with the list of the tests.
fn listed(page: &str, tests: &[Test]) -> Result<String> {
    let (before, rest) = page.split_once(TESTS).context("the page has no place for the tests")?;
    let (_, after) = rest.split_once(TESTS_END).context("the page's place for tests has no end")?;
    let mut text = format!(
        "{before}{TESTS}\n\n| test | what is broken, and what must hold | a unit is a | goal |\n| --- | --- | --- | ---: |\n"
    );
    for test in tests {
        let _ = writeln!(text, "| {} | {} | {} | {} |", test.name, test.about, test.unit, grouped(test.goal));
    }
    Ok(format!("{text}\n{TESTS_END}{after}"))
}

fn code(text: &str) -> String {
    format!("`{text}`")
}

fn cells(test: &str, unit: &str, commit: &str, row: &Row) -> [String; 7] {
    let mut figures = format!("{} × {unit}", grouped(row.figures.units));
    for (name, count) in &row.figures.counts {
        let _ = match name.strip_prefix("max ") {
            Some(name) => write!(figures, "; {} {name} at most", grouped(*count)),
            None => write!(figures, "; {} {name}", grouped(*count)),
        };
    }
    if let Some(broken) = &row.broken {
        let _ = write!(figures, "; **broken**, {}", broken.replace('|', "/"));
    }
    let seeds = format!("{}–{}", row.first_seed, row.last_seed);
    let minutes = format!("{:.1}", row.seconds as f64 / 60.0);
    [test.to_owned(), figures, seeds, minutes, code(commit), row.date.clone(), row.machine.clone()]
}

/// `1234567` as `1,234,567`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The page with these rows: they replace those of the same test and commit, others stay.
fn merged(page: &str, new: Vec<[String; 7]>) -> Result<String> {
    let (before, rest) = page.split_once(BEGIN).context("the page has no place for figures")?;
    let (old, after) = rest.split_once(END).context("the page's place for figures has no end")?;
    let mut rows: Vec<[String; 7]> = old.lines().filter_map(parsed).collect();
    for row in new {
        match rows.iter_mut().find(|known| known[0] == row[0] && known[4] == row[4]) {
            Some(known) => *known = row,
            None => rows.push(row),
        }
    }
    rows.sort_by(|a, b| (&a[0], &a[5]).cmp(&(&b[0], &b[5])));
    let mut text = format!("{before}{BEGIN}\n\n{HEAD}");
    for row in rows {
        let _ = writeln!(text, "| {} |", row.join(" | "));
    }
    Ok(format!("{text}\n{END}{after}"))
}

fn parsed(line: &str) -> Option<[String; 7]> {
    let cells: Vec<String> = line.strip_prefix("| ")?.strip_suffix(" |")?.split(" | ").map(str::to_owned).collect();
    let cells: [String; 7] = cells.try_into().ok()?;
    (cells[0] != "test" && !cells[0].starts_with("---")).then_some(cells)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(test: &str, figures: &str, commit: &str) -> [String; 7] {
        [test, figures, "1–2", "0.1", commit, "2026-01-01", "m"].map(str::to_owned)
    }

    #[test]
    fn rows_of_the_same_test_and_commit_are_replaced_and_others_stay() {
        let page = format!("# Faults\n\n{BEGIN}\n{END}\n\nmore\n");
        let page = merged(&page, vec![row("T06", "5", "a"), row("T01", "1", "a")]).unwrap();
        let page = merged(&page, vec![row("T01", "2", "a"), row("T01", "3", "b")]).unwrap();
        let rows: Vec<_> =
            page.lines().filter_map(parsed).map(|[test, figures, ..]| format!("{test} {figures}")).collect();
        assert_eq!(rows, ["T01 2", "T01 3", "T06 5"]);
        assert!(page.starts_with("# Faults\n") && page.ends_with("\nmore\n"));
    }

    #[test]
    fn numbers_are_read_in_groups_of_three() {
        assert_eq!([7, 1_000, 1_234_567].map(grouped), ["7", "1,000", "1,234,567"]);
    }
}
