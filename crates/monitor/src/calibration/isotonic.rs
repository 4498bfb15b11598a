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
        let mut sorted = forecasts.to_vec();
        sorted.sort_unstable_by(|a, b| a.probability.total_cmp(&b.probability));
        let mut blocks: Vec<Block> = Vec::new();
        for group in sorted.chunk_by(|a, b| a.probability == b.probability) {
            let sum = group.iter().filter(|forecast| forecast.came_true).count() as f64;
            let score = group[0].probability;
            let mut block = Block { first: score, last: score, rows: group.len() as f64, sum };
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
        if blocks.is_empty() {
            return None;
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
        Some(Self { scores, probabilities })
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
    /// Whether a score lies within those it was fitted to.
    #[must_use]
    pub fn has_seen(&self, score: f64) -> bool {
        let ends = self.scores.first().zip(self.scores.last());
        ends.is_some_and(|(first, last)| (*first..=*last).contains(&score))
    }
}

fn thin(points: &mut Vec<f64>) {
    let count = points.len();
    if count > MAX_POINTS {
        *points = (0..MAX_POINTS).map(|place| points[place * (count - 1) / (MAX_POINTS - 1)]).collect();
    }
}
