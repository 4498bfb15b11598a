//! Scores to calibrated probabilities: the non-decreasing function that fits what came true best (isotonic regression by
//! pooling adjacent violators).
//!
//! Between its points the function is straight, beyond them flat. Invariant: it never decreases and stays within 0 to 1.

use serde::{Deserialize, Serialize};

use super::Forecast;

/// Points that are kept; of more every n-th.
const MAX_POINTS: usize = 2_000;

/// The fitted function.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Isotonic {
    /// Scores, ascending.
    scores: Vec<f64>,
    /// Probabilities there, never descending.
    probabilities: Vec<f64>,
    /// Smallest and largest score that it was fitted to.
    seen: [f64; 2],
}

#[derive(Debug, Clone, Copy)]
struct Block {
    first: f64,
    last: f64,
    rows: f64,
    sum: f64,
}

impl Block {
    fn mean(self) -> f64 {
        self.sum / self.rows
    }
}

impl Isotonic {
    /// Fits forecasts; `None` without any.
    #[must_use]
    pub fn fit(forecasts: &[Forecast]) -> Option<Self> {
        Self::fit_points(forecasts, 1)
    }

    /// Fits the means of `rows_per_point` neighbours (and of all with the same score), so that the chance in single
    /// outcomes is not taken for knowledge. `None` without forecasts.
    #[must_use]
    pub fn fit_points(forecasts: &[Forecast], rows_per_point: usize) -> Option<Self> {
        let mut sorted = forecasts.to_vec();
        sorted.sort_unstable_by(|a, b| a.probability.total_cmp(&b.probability));
        let seen = [sorted.first()?.probability, sorted.last()?.probability];
        let mut blocks: Vec<Block> = Vec::new();
        for point in points(&sorted, rows_per_point as f64) {
            let mut block = point;
            while let Some(&before) = blocks.last()
                && before.mean() >= block.mean()
            {
                blocks.pop();
                block = Block {
                    first: before.first,
                    last: block.last,
                    rows: before.rows + block.rows,
                    sum: before.sum + block.sum,
                };
            }
            blocks.push(block);
        }
        let (mut scores, mut probabilities) = (Vec::new(), Vec::new());
        for block in blocks {
            scores.push(block.first);
            probabilities.push(block.mean());
            if block.last > block.first {
                scores.push(block.last);
                probabilities.push(block.mean());
            }
        }
        thin(&mut scores);
        thin(&mut probabilities);
        Some(Self { scores, probabilities, seen })
    }

    /// The probability that a score stands for.
    #[must_use]
    pub fn probability(&self, score: f64) -> f64 {
        let above = self.scores.partition_point(|&point| point <= score);
        let (Some(before), Some(&next)) = (above.checked_sub(1), self.scores.get(above)) else {
            // Beyond an end, or at the last point.
            return if above == 0 { self.probabilities[0] } else { self.probabilities[above - 1] };
        };
        let (from, to) = (self.probabilities[before], self.probabilities[above]);
        let part = (score - self.scores[before]) / (next - self.scores[before]);
        from + (to - from) * part
    }
}

impl Isotonic {
    /// Whether a file holds a function: as many probabilities as scores, one at least, both in order.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let ascending = |values: &[f64]| values.iter().all(|value| value.is_finite()) && values.is_sorted();
        let inside = self.probabilities.iter().all(|probability| (0.0..=1.0).contains(probability));
        !self.scores.is_empty()
            && self.scores.len() == self.probabilities.len()
            && ascending(&self.scores)
            && ascending(&self.probabilities)
            && inside
    }

    /// Whether a score lies within those it was fitted to.
    #[must_use]
    pub fn has_seen(&self, score: f64) -> bool {
        (self.seen[0]..=self.seen[1]).contains(&score)
    }
}

/// Sorted forecasts as points of at least so many rows, equal scores together; a point stands at its mean score.
fn points(sorted: &[Forecast], rows_per_point: f64) -> Vec<Block> {
    let mut points: Vec<(f64, Block)> = Vec::new();
    for group in sorted.chunk_by(|a, b| a.probability == b.probability) {
        let (rows, score) = (group.len() as f64, group[0].probability);
        let sum = group.iter().filter(|forecast| forecast.came_true).count() as f64;
        match points.last_mut().filter(|(_, point)| point.rows < rows_per_point) {
            Some((scores, point)) => {
                *scores += score * rows;
                (point.rows, point.sum) = (point.rows + rows, point.sum + sum);
                let mean = *scores / point.rows;
                (point.first, point.last) = (mean, mean);
            }
            None => points.push((score * rows, Block { first: score, last: score, rows, sum })),
        }
    }
    points.into_iter().map(|(_, point)| point).collect()
}

fn thin(points: &mut Vec<f64>) {
    let count = points.len();
    if count > MAX_POINTS {
        *points = (0..MAX_POINTS).map(|place| points[place * (count - 1) / (MAX_POINTS - 1)]).collect();
    }
}
