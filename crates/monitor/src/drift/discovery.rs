//! Many columns at once: which of them may be called drifted.
//!
//! One test in twenty errs at the 5 % level, so thirty columns without drift give one or two false alarms a run. The
//! *false discovery rate* is the expected share of false ones among the columns that are named. Benjamini and Hochberg
//! (1995) hold it for columns that are independent or vary together; Benjamini and Yekutieli (2001) hold it for any
//! dependence at the price of a factor `1 + 1/2 + … + 1/K`. Values of e-processes are selected by e-BH (Wang and Ramdas
//! 2022), which holds for any dependence at no price.

use serde::{Deserialize, Serialize};

/// What is assumed of how columns hang together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dependence {
    /// They are independent, or rise and fall together: Benjamini–Hochberg.
    #[default]
    Positive,
    /// Nothing is assumed: Benjamini–Yekutieli.
    Any,
}

/// p-values, adjusted so that all those below a level may be named at that false discovery rate.
#[must_use]
pub fn adjusted(p_values: &[f64], dependence: Dependence) -> Vec<f64> {
    let count = p_values.len() as f64;
    let price = match dependence {
        Dependence::Positive => 1.0,
        Dependence::Any => (1..=p_values.len()).map(|i| 1.0 / i as f64).sum(),
    };
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|&a, &b| p_values[a].total_cmp(&p_values[b]));
    let mut result = vec![1.0; p_values.len()];
    let mut smallest = 1.0_f64;
    for (rank, &place) in order.iter().enumerate().rev() {
        smallest = smallest.min(p_values[place] * price * count / (rank + 1) as f64);
        result[place] = smallest;
    }
    result
}

/// The places of the evidence that may be named when evidence of `bar` would be enough of a single column: the largest
/// `k` of which each reaches `bar·K/k`. Their mean over all columns then reaches `bar`.
#[must_use]
pub fn selected(evidence: &[f64], bar: f64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..evidence.len()).collect();
    order.sort_by(|&a, &b| evidence[b].total_cmp(&evidence[a]));
    let count = evidence.len() as f64;
    let most = (1..=order.len()).rev().find(|&k| evidence[order[k - 1]] >= bar * count / k as f64);
    let mut chosen = order[..most.unwrap_or(0)].to_vec();
    chosen.sort_unstable();
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drift::reference::{list, references};

    #[test]
    fn adjusted_p_values_match_scipy() {
        let references = references();
        let p_values = list(&references["discovery"]["p_values"]);
        for (name, dependence) in [("bh", Dependence::Positive), ("by", Dependence::Any)] {
            let expected = list(&references["discovery"][name]);
            for (found, expected) in adjusted(&p_values, dependence).iter().zip(expected) {
                assert!((found - expected).abs() < 1e-12, "{name}: {found} {expected}");
            }
        }
        assert!(adjusted(&[], Dependence::Any).is_empty());
    }

    #[test]
    fn evidence_shared_by_many_columns_needs_less_of_each() {
        assert!(selected(&[1.0, 1.0, 29.0, 1.0], 10.0).is_empty());
        assert_eq!(selected(&[1.0, 1.0, 40.0, 1.0], 10.0), [2]);
        assert_eq!(selected(&[20.0, 1.0, 20.0, 1.0], 10.0), [0, 2]);
    }
}
