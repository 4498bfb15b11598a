//! Reliability diagrams and the Brier score.
//!
//! A bin of equal width holds what lies above its lower and not above its upper end (zero goes into the first). A bin of
//! equal mass holds a tenth of the forecasts in their order; equal forecasts are never parted, so bins may be uneven.
//!
//! The expected calibration error is the mean distance between the mean forecast of a bin and the share of it that came
//! true, weighted by forecasts. The Brier score parts, by the bins of equal width, into
//! `reliability − resolution + uncertainty + within bins` (Murphy 1973, with the terms that Stephenson, Coelho and
//! Jolliffe 2008 add for forecasts that differ inside a bin).

use serde::Serialize;

use super::Forecast;

/// Bins of a diagram.
const BINS: usize = 10;
/// Quantile of the normal distribution for an interval of 95 %.
const Z: f64 = 1.959_963_984_540_054;

/// A bar of the diagram.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Bin {
    /// Smallest forecast that belongs here: the end of the bin, of bins of equal mass the smallest there is.
    pub lower: f64,
    /// Largest forecast that belongs here.
    pub upper: f64,
    /// Forecasts.
    pub rows: u64,
    /// Their mean.
    pub mean_probability: f64,
    /// The share that came true.
    pub observed: f64,
    /// Where the true share lies with 95 % confidence (Wilson 1927).
    pub interval: [f64; 2],
}

/// A reliability diagram.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Reliability {
    /// Bins with forecasts, ascending.
    pub bins: Vec<Bin>,
    /// Expected calibration error.
    pub expected_error: f64,
    /// Largest distance of one bin.
    pub maximum_error: f64,
}

/// Mean squared distance between forecast and outcome, and what it consists of.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Brier {
    /// The score; 0 is perfect.
    pub score: f64,
    /// How far forecasts are from what comes true; 0 is perfect.
    pub reliability: f64,
    /// How far forecasts tell rows apart; more is better.
    pub resolution: f64,
    /// How uncertain outcomes are without a model.
    pub uncertainty: f64,
    /// What differs inside bins.
    pub within_bins: f64,
}

/// The diagram with ten bins of the same width.
#[must_use]
pub fn equal_width(forecasts: &[Forecast]) -> Reliability {
    let mut bins: Vec<Sums> = vec![Sums::default(); BINS];
    for forecast in forecasts {
        let place = (0..BINS - 1).find(|&place| forecast.probability <= end(place)).unwrap_or(BINS - 1);
        bins[place].add(*forecast);
    }
    let ends = |place: usize| (if place == 0 { 0.0 } else { end(place - 1) }, end(place));
    Reliability::of(bins.iter().enumerate().map(|(place, sums)| (ends(place), *sums)))
}

fn end(place: usize) -> f64 {
    (place + 1) as f64 / BINS as f64
}

/// The diagram with ten bins of (nearly) the same number of forecasts.
#[must_use]
pub fn equal_mass(forecasts: &[Forecast]) -> Reliability {
    let mut sorted = forecasts.to_vec();
    sorted.sort_unstable_by(|a, b| a.probability.total_cmp(&b.probability));
    let mut bins: Vec<((f64, f64), Sums)> = vec![((f64::INFINITY, f64::NEG_INFINITY), Sums::default()); BINS];
    let mut first = 0;
    for group in sorted.chunk_by(|a, b| a.probability == b.probability) {
        let ((lower, upper), sums) = &mut bins[first * BINS / sorted.len()];
        *lower = lower.min(group[0].probability);
        *upper = upper.max(group[0].probability);
        group.iter().for_each(|forecast| sums.add(*forecast));
        first += group.len();
    }
    Reliability::of(bins.into_iter())
}

#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    rows: u64,
    probability: f64,
    came_true: u64,
}

impl Sums {
    fn add(&mut self, forecast: Forecast) {
        self.rows += 1;
        self.probability += forecast.probability;
        self.came_true += u64::from(forecast.came_true);
    }
}

impl Reliability {
    fn of(bins: impl Iterator<Item = ((f64, f64), Sums)>) -> Self {
        let bins: Vec<Bin> = bins
            .filter(|(_, sums)| sums.rows > 0)
            .map(|((lower, upper), sums)| Bin {
                lower,
                upper,
                rows: sums.rows,
                mean_probability: sums.probability / sums.rows as f64,
                observed: sums.came_true as f64 / sums.rows as f64,
                interval: wilson(sums.came_true, sums.rows),
            })
            .collect();
        let rows: u64 = bins.iter().map(|bin| bin.rows).sum();
        let distance = |bin: &Bin| (bin.mean_probability - bin.observed).abs();
        Self {
            expected_error: bins.iter().map(|bin| bin.rows as f64 * distance(bin)).sum::<f64>() / rows as f64,
            maximum_error: bins.iter().map(distance).fold(0.0, f64::max),
            bins,
        }
    }
}

impl Brier {
    pub(super) fn of(forecasts: &[Forecast], diagram: &Reliability) -> Self {
        let rows = forecasts.len() as f64;
        let outcome = |forecast: &Forecast| f64::from(u8::from(forecast.came_true));
        let base = forecasts.iter().map(outcome).sum::<f64>() / rows;
        let score =
            forecasts.iter().map(|forecast| (forecast.probability - outcome(forecast)).powi(2)).sum::<f64>() / rows;
        let weighted =
            |part: &dyn Fn(&Bin) -> f64| diagram.bins.iter().map(|bin| bin.rows as f64 * part(bin)).sum::<f64>() / rows;
        let reliability = weighted(&|bin| (bin.mean_probability - bin.observed).powi(2));
        let resolution = weighted(&|bin| (bin.observed - base).powi(2));
        let uncertainty = base * (1.0 - base);
        Self {
            score,
            reliability,
            resolution,
            uncertainty,
            within_bins: score - reliability + resolution - uncertainty,
        }
    }
}

/// Wilson's interval for a share.
fn wilson(part: u64, whole: u64) -> [f64; 2] {
    let (n, share) = (whole as f64, part as f64 / whole as f64);
    let squared = Z * Z;
    let centre = (share + squared / (2.0 * n)) / (1.0 + squared / n);
    let half = Z / (1.0 + squared / n) * (share * (1.0 - share) / n + squared / (4.0 * n * n)).sqrt();
    [(centre - half).max(0.0), (centre + half).min(1.0)]
}
