//! When a series changed: Pettitt's rank test.
//!
//! For ranks `R_i` of n ordered values, `U_t = 2·Σ_{i≤t} R_i − t·(n+1)` is the rank CUSUM; the change is put after the
//! `t` with the largest `|U_t|`, `K = max |U_t|`, and `p ≈ 2·exp(−6K²/(n³+n²))` (Pettitt 1979, Applied Statistics 28).
//! Ranks make it indifferent to the shape of the distribution; ties make it cautious. It sees one change of level; run
//! over distances from the baseline's median it also sees a change of spread. Cost: one sort.

/// A split of a series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Split {
    /// Values before the change.
    pub before: usize,
    /// How likely a split this strong is in a series without a change, at most 1.
    pub p_value: f64,
}

/// The best split of `series`; `None` of fewer than two values. NaN is not allowed.
#[must_use]
pub fn pettitt(series: &[f64]) -> Option<Split> {
    if series.len() < 2 {
        return None;
    }
    let n = series.len() as f64;
    let ranks = midranks(series);
    let (mut cusum, mut best, mut before) = (0.0, -1.0_f64, 1);
    for (i, rank) in ranks[..ranks.len() - 1].iter().enumerate() {
        cusum += 2.0 * rank - (n + 1.0);
        if cusum.abs() > best {
            (best, before) = (cusum.abs(), i + 1);
        }
    }
    let p_value = (2.0 * (-6.0 * best * best / (n * n * n + n * n)).exp()).min(1.0);
    Some(Split { before, p_value })
}

/// Ranks from 1; equal values share the mean of theirs.
fn midranks(series: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..series.len()).collect();
    order.sort_by(|&a, &b| series[a].total_cmp(&series[b]));
    let mut ranks = vec![0.0; series.len()];
    let mut start = 0;
    while start < order.len() {
        let mut end = start + 1;
        while end < order.len() && series[order[end]] == series[order[start]] {
            end += 1;
        }
        let rank = (start + 1 + end) as f64 / 2.0;
        order[start..end].iter().for_each(|&i| ranks[i] = rank);
        start = end;
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_found_where_it_is() {
        let series: Vec<f64> = (0..200).map(|i| f64::from(i * 37 % 100) + if i >= 120 { 60.0 } else { 0.0 }).collect();
        let split = pettitt(&series).unwrap();
        assert!((118..=122).contains(&split.before), "{split:?}");
        assert!(split.p_value < 1e-9);
    }

    #[test]
    fn a_steady_series_has_no_convincing_split() {
        let series: Vec<f64> = (0..200).map(|i| f64::from(i * 37 % 100)).collect();
        assert!(pettitt(&series).unwrap().p_value > 0.5);
        assert_eq!(pettitt(&[5.0; 100]).unwrap().p_value, 1.0);
        assert_eq!(pettitt(&[1.0]), None);
    }

    #[test]
    fn ties_share_their_ranks() {
        assert_eq!(midranks(&[3.0, 1.0, 3.0, 0.0]), [3.5, 2.0, 3.5, 1.0]);
    }
}
