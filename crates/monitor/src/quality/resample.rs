//! Standard deviations as Model Monitor takes them: the metric on five random samples of 80 % of the rows.
//!
//! Invariant: the same rows, order and seed give the same numbers. Refuses to: give one for few rows.

use super::{MIN_ROWS_FOR_DEVIATION, Named};
use crate::dice::Dice;

/// Samples drawn.
const RESAMPLES: u64 = 5;
/// Share of the rows in each.
const SHARE: f64 = 0.8;

/// Deviation of each value over the samples (population form, as the data-quality statistics have it); NaN for fewer
/// than [`MIN_ROWS_FOR_DEVIATION`] rows and for values that some sample does not define.
pub(super) fn deviations(rows: usize, seed: u64, values: &dyn Fn(Option<&[u32]>) -> Named) -> Vec<f64> {
    if rows < MIN_ROWS_FOR_DEVIATION {
        return vec![f64::NAN; values(None).len()];
    }
    let samples: Vec<Named> = (0..RESAMPLES).map(|sample| values(Some(&draw(rows, seed, sample)))).collect();
    let metrics = samples[0].len();
    (0..metrics).map(|metric| deviation(samples.iter().map(|sample| sample[metric].1))).collect()
}

/// Exactly 80 % of the rows, without repetition, in their order: each row is taken with the chance that completes the
/// number.
fn draw(rows: usize, seed: u64, sample: u64) -> Vec<u32> {
    let mut dice = Dice::new(seed, sample);
    let wanted = (rows as f64 * SHARE).round() as usize;
    let mut taken = Vec::with_capacity(wanted);
    for row in 0..rows {
        if dice.below(rows - row) < wanted - taken.len() {
            taken.push(row as u32);
        }
    }
    taken
}

fn deviation(values: impl Iterator<Item = f64> + Clone) -> f64 {
    let mean = values.clone().sum::<f64>() / RESAMPLES as f64;
    (values.map(|value| (value - mean).powi(2)).sum::<f64>() / RESAMPLES as f64).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_have_four_fifths_of_the_rows_each_once() {
        for rows in [200, 201, 999] {
            let sample = draw(rows, 3, 1);
            assert_eq!(sample.len(), (rows as f64 * 0.8).round() as usize);
            assert!(sample.windows(2).all(|pair| pair[0] < pair[1]));
        }
        assert_ne!(draw(200, 3, 1), draw(200, 3, 2));
    }

    #[test]
    fn few_rows_have_no_deviation_and_constants_none_to_speak_of() {
        let constant = |_: Option<&[u32]>| vec![("accuracy", 0.5)];
        assert!(deviations(199, 0, &constant)[0].is_nan());
        assert_eq!(deviations(200, 0, &constant), [0.0]);
    }
}
