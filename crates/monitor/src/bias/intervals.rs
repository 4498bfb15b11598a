//! How far metrics may be off by chance: the normal bootstrap interval, as Clarify's bias monitor takes it.
//!
//! Drawing n rows with repetition from n rows is drawing their counts from a multinomial distribution, so a resample costs
//! as many draws as there are cells, whatever the number of rows.
//!
//! Invariant: the same counts and seed give the same intervals. Refuses to: give one where some resample makes the metric
//! infinite or impossible.

use super::counts::Counts;
use super::metrics::{Stage, Value, metrics};
use crate::dice::Dice;

/// Resamples.
pub const RESAMPLES: u64 = 500;
/// Quantile of the normal distribution for an interval of 95 %.
const Z: f64 = 1.959_963_984_540_054;
/// Metrics whose intervals end at 0.
const NEVER_NEGATIVE: [&str; 7] = ["DI", "GE", "JS", "KL", "KS", "LP", "TVD"];
/// Above this variance a binomial number is drawn from the normal distribution, whose error is far below that of
/// [`RESAMPLES`].
const NORMAL_FROM_VARIANCE: f64 = 400.0;

/// Where a metric lies with 95 % confidence.
pub type Interval = Option<[f64; 2]>;

/// Intervals of all metrics of a stage, in the order of [`metrics`].
#[must_use]
pub fn intervals(stage: Stage, counts: &Counts, grouped: bool, seed: u64) -> Vec<Interval> {
    let found = metrics(stage, counts, grouped);
    let mut sums = vec![(0.0, 0.0, true); found.len()];
    for resample in 0..RESAMPLES {
        let drawn = draw(counts, &mut Dice::new(seed, resample));
        for (sums, ((_, value), (_, around))) in
            sums.iter_mut().zip(metrics(stage, &drawn, grouped).into_iter().zip(&found))
        {
            match (value, around) {
                // Around the metric itself, so that no precision is lost.
                (Ok(value), Ok(around)) if value.is_finite() && around.is_finite() => {
                    let off = value - around;
                    (sums.0, sums.1) = (sums.0 + off, sums.1 + off * off);
                }
                _ => sums.2 = false,
            }
        }
    }
    let interval = |((name, value), (sum, squares, finite)): ((&str, Value), (f64, f64, bool))| {
        let value = value.ok().filter(|_| finite)?;
        let mean = sum / RESAMPLES as f64;
        let deviation = (squares / RESAMPLES as f64 - mean * mean).max(0.0).sqrt();
        let low = value - Z * deviation;
        let low = if NEVER_NEGATIVE.contains(&name) { low.max(0.0) } else { low };
        Some([low, value + Z * deviation])
    };
    found.into_iter().zip(sums).map(interval).collect()
}

/// As many rows again, each drawn from all of them.
fn draw(counts: &Counts, dice: &mut Dice) -> Counts {
    let (mut rows_left, mut weight_left) = (counts.rows(), counts.rows());
    let mut groups = counts.groups.clone();
    for cell in groups.iter_mut().flatten() {
        let weight = *cell;
        *cell = if weight == weight_left {
            rows_left
        } else {
            binomial(rows_left, weight as f64 / weight_left as f64, dice)
        };
        rows_left -= *cell;
        weight_left -= weight;
        if weight_left == 0 {
            rows_left = 0;
        }
    }
    Counts { groups }
}

/// How many of `trials` succeed, each with chance `share`.
fn binomial(trials: u64, share: f64, dice: &mut Dice) -> u64 {
    if share <= 0.0 || trials == 0 {
        return 0;
    }
    if share > 0.5 {
        return trials - binomial(trials, 1.0 - share, dice);
    }
    let variance = trials as f64 * share * (1.0 - share);
    if variance > NORMAL_FROM_VARIANCE {
        // Box and Muller; the other of their two numbers is not needed.
        let (radius, angle) = ((-2.0 * (1.0 - dice.unit()).ln()).sqrt(), std::f64::consts::TAU * dice.unit());
        let number = (trials as f64 * share + variance.sqrt() * radius * angle.cos()).round();
        return number.clamp(0.0, trials as f64) as u64;
    }
    // From success to success: the trials between two of them are geometric.
    let (mut successes, mut trial, per_failure) = (0, 0.0, (1.0 - share).ln());
    loop {
        trial += ((1.0 - dice.unit()).ln() / per_failure).floor() + 1.0;
        if trial > trials as f64 {
            return successes;
        }
        successes += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bias::Row;

    #[test]
    fn binomial_numbers_have_their_mean_and_variance() {
        let mut dice = Dice::new(1, 0);
        for (trials, share) in [(10, 0.3), (1000, 0.01), (1000, 0.9), (1_000_000, 0.4)] {
            let numbers: Vec<f64> = (0..4000).map(|_| binomial(trials, share, &mut dice) as f64).collect();
            let mean = numbers.iter().sum::<f64>() / 4000.0;
            let variance = numbers.iter().map(|number| (number - mean).powi(2)).sum::<f64>() / 4000.0;
            let (expected, spread) = (trials as f64 * share, trials as f64 * share * (1.0 - share));
            assert!((mean - expected).abs() < 4.0 * (spread / 4000.0).sqrt(), "{trials} {share}: {mean}");
            assert!((variance / spread - 1.0).abs() < 0.12, "{trials} {share}: {variance}");
        }
        assert_eq!((binomial(7, 0.0, &mut dice), binomial(7, 1.0, &mut dice)), (0, 7));
    }

    /// Rows whose side without the facet is accepted half the time, the side with it 35 %.
    fn population(rows: usize, dice: &mut Dice) -> Counts {
        Counts::of((0..rows).map(|row| {
            let facet = row % 4 == 0;
            let predicted = dice.unit() < if facet { 0.35 } else { 0.5 };
            Row { facet, actual: dice.unit() < 0.5, predicted, group: 0 }
        }))
    }

    #[test]
    fn intervals_cover_the_truth_nineteen_times_of_twenty() {
        let mut dice = Dice::new(11, 0);
        let (mut covered, mut narrow) = (0, 0.0_f64);
        for seed in 0..200 {
            let counts = population(400, &mut dice);
            let place = metrics(Stage::PostTraining, &counts, false).iter().position(|found| found.0 == "DPPL");
            let [low, high] = intervals(Stage::PostTraining, &counts, false, seed)[place.unwrap()].unwrap();
            covered += u32::from((low..=high).contains(&0.15));
            narrow = narrow.max(high - low);
        }
        assert!((180..=199).contains(&covered), "{covered} of 200");
        assert!(narrow < 0.3, "{narrow}");
    }

    #[test]
    fn a_metric_that_chance_may_make_infinite_has_no_interval() {
        let rows = [(true, 1), (false, 60)].into_iter().flat_map(|(facet, count)| {
            (0..count).map(move |row| Row { facet, actual: row % 2 == 0, predicted: row % 3 == 0, group: 0 })
        });
        let counts = Counts::of(rows);
        assert!(intervals(Stage::PreTraining, &counts, false, 1).iter().all(Option::is_none), "the facet may vanish");
    }
}
