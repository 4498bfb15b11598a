//! Chi-square test of a current sample of categories against a baseline's proportions.
//!
//! Cells too small for the approximation are pooled: when more than a fifth of the expected counts lie below 5 (Cochran's
//! rule), the categories with the smallest expected counts share one cell until the rule holds. Two cells are tested with
//! Yates' correction, and only when both expect at least 10 rows.
//! The upper tail of the chi-square distribution is the regularised incomplete gamma function `Q(df/2, x/2)`.

use std::collections::{BTreeMap, BTreeSet};

use super::special::upper_gamma;
use super::total;

/// Expected rows below which a cell counts as small.
const SMALL_CELL: f64 = 5.0;
/// Share of small cells that is still fine.
const SMALL_CELL_SHARE: f64 = 0.2;
/// Expected rows that each of only two cells needs.
const TWO_CELLS_MINIMUM: f64 = 10.0;

/// The p-value: how likely the current counts would be if the baseline's proportions still held. `None` when there are
/// too few categories or rows to say.
#[must_use]
pub fn chi_square_p_value(baseline: &BTreeMap<&str, u64>, current: &BTreeMap<&str, u64>) -> Option<f64> {
    let (total_base, total_now) = (total(baseline) as f64, total(current) as f64);
    if total_base == 0.0 || total_now == 0.0 {
        return None;
    }
    let values: BTreeSet<&str> = baseline.keys().chain(current.keys()).copied().collect();
    let count = |side: &BTreeMap<&str, u64>, value: &str| side.get(value).copied().unwrap_or(0) as f64;
    let mut cells: Vec<(f64, f64)> = values
        .into_iter()
        .map(|value| (count(baseline, value) / total_base * total_now, count(current, value)))
        .collect();
    pool(&mut cells);
    if cells.len() < 2 || cells.iter().any(|cell| cell.0 <= 0.0) {
        return None;
    }
    let two = cells.len() == 2;
    if two && cells.iter().any(|cell| cell.0 < TWO_CELLS_MINIMUM) {
        return None;
    }
    let correction = if two { 0.5 } else { 0.0 };
    let term = |&(expected, observed): &(f64, f64)| {
        let difference = ((observed - expected).abs() - correction).max(0.0);
        difference * difference / expected
    };
    Some(upper_gamma((cells.len() - 1) as f64 / 2.0, cells.iter().map(term).sum::<f64>() / 2.0))
}

/// Pools small cells, smallest first, until few enough are small. New values, which the baseline never expected, are
/// always pooled: no proportion can be divided by zero.
fn pool(cells: &mut Vec<(f64, f64)>) {
    cells.sort_by(|a, b| b.0.total_cmp(&a.0).then(b.1.total_cmp(&a.1)));
    let too_small = |cells: &[(f64, f64)]| {
        let small = cells.iter().filter(|cell| cell.0 < SMALL_CELL).count();
        small as f64 > SMALL_CELL_SHARE * cells.len() as f64 || cells.iter().any(|cell| cell.0 <= 0.0)
    };
    while cells.len() > 1 && too_small(cells) {
        let (expected, observed) = cells.pop().expect("our bug: there are two cells or more");
        let last = cells.last_mut().expect("our bug: there was another cell");
        *last = (last.0 + expected, last.1 + observed);
        cells.sort_by(|a, b| b.0.total_cmp(&a.0).then(b.1.total_cmp(&a.1)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What SciPy says, see `make_references.py`.
    fn references() -> serde_json::Value {
        serde_json::from_str(include_str!("../../tests/data/references.json")).unwrap()
    }

    #[test]
    fn tails_match_scipy() {
        for [x, df, p] in
            references()["chi2_tails"].as_array().unwrap().iter().map(|row| [0, 1, 2].map(|i| row[i].as_f64().unwrap()))
        {
            let found = upper_gamma(df / 2.0, x / 2.0);
            assert!((found - p).abs() <= 1e-11 * p, "{x} {df}: {found} {p}");
        }
    }

    #[test]
    fn a_fit_without_small_cells_matches_scipy() {
        let references = references();
        let counts = |name: &str| -> BTreeMap<String, u64> {
            serde_json::from_value(references["chi2_fit"][name].clone()).unwrap()
        };
        let (baseline, current) = (counts("baseline"), counts("current"));
        let baseline: BTreeMap<&str, u64> = baseline.iter().map(|(name, count)| (name.as_str(), *count)).collect();
        let current: BTreeMap<&str, u64> = current.iter().map(|(name, count)| (name.as_str(), *count)).collect();
        let expected = references["chi2_fit"]["p_value"].as_f64().unwrap();
        assert!((chi_square_p_value(&baseline, &current).unwrap() - expected).abs() < 1e-12);
    }

    #[test]
    fn new_values_and_small_cells_are_pooled() {
        let baseline = BTreeMap::from([("a", 500), ("b", 480), ("c", 15), ("d", 5)]);
        let same = BTreeMap::from([("a", 50), ("b", 48), ("c", 1), ("d", 1)]);
        let new = BTreeMap::from([("a", 40), ("z", 60)]);
        assert!(chi_square_p_value(&baseline, &same).unwrap() > 0.5);
        assert!(chi_square_p_value(&baseline, &new).unwrap() < 0.1);
        assert_eq!(chi_square_p_value(&baseline, &BTreeMap::new()), None);
        assert_eq!(chi_square_p_value(&BTreeMap::from([("a", 9)]), &BTreeMap::from([("a", 9)])), None);
    }
}
