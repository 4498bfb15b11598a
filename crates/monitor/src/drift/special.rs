//! Distribution functions that the tests of this room stand on.
//!
//! Invariant: tails are computed as tails, so that small p-values keep their digits. Refuses to: draw random numbers.

use std::f64::consts::PI;

/// Terms after which Kolmogorov's series have converged, each on its side of 1.18.
const TERMS: i32 = 12;
/// Shape of a gamma distribution beyond which its series would be long.
const LARGE_SHAPE: f64 = 400.0;
/// Halvings of an interval that exhaust the digits of a double.
const HALVINGS: usize = 200;

/// Upper tail of the limit of Kolmogorov's statistic: `P(sup |bridge| > x)`.
#[must_use]
pub fn kolmogorov_tail(x: f64) -> f64 {
    if x <= 0.0 {
        return 1.0;
    }
    if x < 1.18 {
        let term = |k: i32| (-(f64::from(2 * k - 1) * PI).powi(2) / (8.0 * x * x)).exp();
        return (1.0 - (2.0 * PI).sqrt() / x * (1..=TERMS).map(term).sum::<f64>()).clamp(0.0, 1.0);
    }
    let term = |k: i32| (if k % 2 == 1 { 2.0 } else { -2.0 }) * (-2.0 * f64::from(k * k) * x * x).exp();
    (1..=TERMS).map(term).sum::<f64>().clamp(0.0, 1.0)
}

/// The point that the limit of Kolmogorov's statistic exceeds with this probability.
#[must_use]
pub fn kolmogorov_quantile(probability: f64) -> f64 {
    falling_root(|x| kolmogorov_tail(x) - probability, 0.0, 20.0)
}

/// `P(D ≥ distance)` of two samples of `n` and `m` rows of one continuous distribution, exactly: the share of lattice
/// paths from (0, 0) to (n, m) that leave the band. With ties the true probability is smaller. Costs `n·m` steps.
#[must_use]
pub fn two_sample_tail(n: u64, m: u64, distance: f64) -> f64 {
    let (rows, columns) = (n as f64, m as f64);
    // Distances are multiples of 1/(n·m): anything closer than half of that is the same distance.
    let bound = distance - 0.5 / (rows * columns);
    let mut left: Vec<f64> = vec![0.0; m as usize + 1];
    for i in 0..=n {
        let i = i as f64;
        for j in 0..left.len() {
            let up = if j > 0 { left[j - 1] } else { 0.0 };
            let j_rows = j as f64;
            left[j] = if (i / rows - j_rows / columns).abs() >= bound {
                1.0
            } else if i + j_rows == 0.0 {
                0.0
            } else {
                (left[j] * i + up * j_rows) / (i + j_rows)
            };
        }
    }
    left[m as usize].clamp(0.0, 1.0)
}

/// Upper tail of the standard normal distribution.
#[must_use]
pub fn normal_tail(x: f64) -> f64 {
    let tail = upper_gamma(0.5, x * x / 2.0) / 2.0;
    if x >= 0.0 { tail } else { 1.0 - tail }
}

/// The point that a standard normal variable exceeds with this probability.
#[must_use]
pub fn normal_quantile(probability: f64) -> f64 {
    falling_root(|x| normal_tail(x) - probability, -40.0, 40.0)
}

/// Upper tail of the gamma distribution with this mean and variance; of no variance, a step at the mean. Beyond a shape
/// of `LARGE_SHAPE` its cube root is taken as normal (Wilson and Hilferty), which is off by less than 1e-4 there.
#[must_use]
pub fn gamma_tail(x: f64, mean: f64, variance: f64) -> f64 {
    if variance <= 0.0 || mean <= 0.0 {
        return if x <= mean { 1.0 } else { 0.0 };
    }
    let shape = mean * mean / variance;
    if shape > LARGE_SHAPE {
        let centre = 1.0 - 1.0 / (9.0 * shape);
        return normal_tail(((x.max(0.0) / mean).cbrt() - centre) * 3.0 * shape.sqrt());
    }
    upper_gamma(shape, x * mean / variance)
}

/// The point that a gamma variable of this mean and variance exceeds with this probability.
#[must_use]
pub fn gamma_quantile(probability: f64, mean: f64, variance: f64) -> f64 {
    falling_root(|x| gamma_tail(x, mean, variance) - probability, 0.0, mean + 60.0 * variance.sqrt())
}

/// Where a falling function crosses zero between `low` and `high`; one of the ends when it does not.
pub(super) fn falling_root(function: impl Fn(f64) -> f64, mut low: f64, mut high: f64) -> f64 {
    for _ in 0..HALVINGS {
        let middle = (low + high) / 2.0;
        if middle <= low || middle >= high {
            break;
        }
        if function(middle) > 0.0 {
            low = middle;
        } else {
            high = middle;
        }
    }
    (low + high) / 2.0
}

/// `Q(a, x)`, the regularised upper incomplete gamma function, by series below `a + 1` and by Lentz's continued fraction
/// above.
pub(super) fn upper_gamma(a: f64, x: f64) -> f64 {
    if x <= 0.0 {
        return 1.0;
    }
    let scale = (a * x.ln() - x - ln_gamma(a)).exp();
    if x < a + 1.0 {
        let (mut term, mut sum, mut n) = (1.0 / a, 1.0 / a, a);
        for _ in 0..1000 {
            n += 1.0;
            term *= x / n;
            sum += term;
            if term < sum * 1e-16 {
                break;
            }
        }
        return (1.0 - scale * sum).clamp(0.0, 1.0);
    }
    let tiny = 1e-300;
    let mut b = x + 1.0 - a;
    let (mut c, mut d) = (1.0 / tiny, 1.0 / b);
    let mut h = d;
    for i in 1..1000 {
        let i = f64::from(i);
        let an = -i * (i - a);
        b += 2.0;
        let guarded = |value: f64| if value.abs() < tiny { tiny } else { value };
        d = 1.0 / guarded(an * d + b);
        c = guarded(b + an / c);
        let step = d * c;
        h *= step;
        if (step - 1.0).abs() < 1e-15 {
            break;
        }
    }
    (scale * h).clamp(0.0, 1.0)
}

/// Logarithm of the gamma function by Lanczos' approximation (g = 7, nine terms), relative error below 1e-14 here.
pub(super) fn ln_gamma(x: f64) -> f64 {
    const TERMS: [f64; 8] = [
        676.520_368_121_885_1,
        -1_259.139_216_722_402_8,
        771.323_428_777_653_1,
        -176.615_029_162_140_6,
        12.507_343_278_686_905,
        -0.138_571_095_265_720_12,
        9.984_369_578_019_572e-6,
        1.505_632_735_149_311_6e-7,
    ];
    let x = x - 1.0;
    let sum =
        TERMS.iter().enumerate().fold(0.999_999_999_999_809_9, |sum, (i, term)| sum + term / (x + i as f64 + 1.0));
    let t = x + 7.5;
    0.5 * (2.0 * std::f64::consts::PI).ln() + (x + 0.5) * t.ln() - t + sum.ln()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drift::reference::{numbers, references};

    #[test]
    fn tails_match_scipy() {
        let references = references();
        for [x, p] in numbers(&references["kolmogorov"]) {
            assert!((kolmogorov_tail(x) - p).abs() <= 1e-12 + 1e-11 * p, "{x}: {} {p}", kolmogorov_tail(x));
            assert!(p > 0.999_999 || (kolmogorov_quantile(p) - x).abs() < 1e-9, "{x} {p}");
        }
        for [x, mean, variance, p] in numbers(&references["gamma"]) {
            assert!((gamma_tail(x, mean, variance) - p).abs() <= 1e-10 * p, "{x} {mean} {variance}");
            assert!((gamma_quantile(p, mean, variance) - x).abs() < 1e-8 * x);
        }
        for [x, p] in numbers(&references["normal"]) {
            assert!((normal_tail(x) - p).abs() <= 1e-11 * p, "{x}: {} {p}", normal_tail(x));
            assert!((normal_quantile(p) - x).abs() < 1e-9);
        }
    }

    #[test]
    fn the_exact_law_of_two_small_samples_matches_scipy() {
        for [n, m, distance, p] in numbers(&references()["ks_exact"]) {
            let found = two_sample_tail(n as u64, m as u64, distance);
            assert!((found - p).abs() <= 1e-9 * p + 1e-13, "{n} {m} {distance}: {found} {p}");
        }
    }
}
