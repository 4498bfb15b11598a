//! The quantile sketch of `statistics.json`: KLL in the variant of open-source Deequ.
//!
//! Level `i` holds values that stand for `2^i` rows each. The top level may hold `2·(ceil(k/2)+1)` values, the level `h`
//! below it `2·(ceil(k·c^h/2)+1)`. When the levels together hold more than their capacities, every level that has
//! reached its own capacity is compacted once, from the bottom: it is sorted and every second value moves up, starting
//! with the first or the second one in turn. Of an odd number of values the largest stays behind.
//!
//! Deequ's lowest levels sort thousands of values to halve them, which is most of the work. Once a sketch has [`MANY_LEVELS`]
//! levels, from 10,996 rows on or where [`Kll::of_many`] rows are known to come, its two lowest levels are compacted together,
//! 256 values at a time: the KLL paper lets the lowest levels be as small as two values, since what they add to the error is
//! little. Until then everything is as Deequ does it. What it costs is measured in `docs/performance.md`;
//! [`Numbers`](crate::drift::sample::Numbers) counts with a standard deviation of ranks of 0.092 %.
//!
//! Invariant: the weights (`Σ len·2^level`) sum to the number of rows exactly. Same values in the same order give the
//! same sketch. Another order, or another way of merging, gives a sketch with the same error bound, not the same bytes.
//! Refuses to: hold NaN.

use super::order::{sort, sort_runs};
use super::quartering::{BLOCK, STRIDE, quarter};
use crate::stored::{Writer, Written};

/// Deequ's `c`: how much smaller each lower level is.
pub const SHRINKING_FACTOR: f64 = 0.64;
/// Deequ's `k` as Model Monitor sets it: size of the top level, in values.
pub const SKETCH_SIZE: u32 = 2048;
/// Levels from which on the two lowest ones are compacted block by block.
const MANY_LEVELS: usize = 4;
/// Level that takes what is left of a block.
const ABOVE_BLOCKS: usize = STRIDE.ilog2() as usize;
/// Values from which on a sketch need not begin as Deequ does it: of so many the error of blocks is small enough.
pub(crate) const MANY_ROWS: u64 = 12 << 10;
/// Rows a sketch from outside may stand for: doubles count exactly up to here, and no sum of sketches overflows.
const MAX_ROWS: u128 = 1 << 53;
/// Levels a sketch from outside may have: one value of a higher level would stand for more rows.
const MAX_LEVELS: usize = 54;

/// A quantile sketch over doubles.
#[derive(Debug, Clone, PartialEq)]
pub struct Kll {
    k: u32,
    c: f64,
    levels: Vec<Level>,
    /// By level, bottom first.
    capacities: Vec<usize>,
    /// Values held now, and how many may be held before a compaction.
    held: usize,
    limit: usize,
}

#[derive(Debug, Clone, Default, PartialEq)]
struct Level {
    values: Vec<f64>,
    /// Next compaction keeps the values at odd places.
    odd_next: bool,
}

/// Why numbers from outside are not a sketch.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum InvalidSketch {
    /// `k` or `c` is outside what the algorithm allows.
    #[error("sketch parameters c={c}, k={k} are not usable: c must be above 0.5 and below 1, k from 2 to 1048576")]
    Parameters {
        /// As read.
        c: f64,
        /// As read.
        k: f64,
    },
    /// A level holds something that is not a finite number.
    #[error("level {level} of the sketch holds a value that is not a finite number")]
    Value {
        /// Level, from 0.
        level: usize,
    },
    /// More levels than rows can be counted with.
    #[error("the sketch has {0} levels, more than 54")]
    TooManyLevels(usize),
    /// The weights sum to more than 2^53 rows.
    #[error("the weights of the sketch sum to more than 2^53 rows")]
    TooManyRows,
}

impl Default for Kll {
    fn default() -> Self {
        Self::with_parameters(SKETCH_SIZE, SHRINKING_FACTOR)
    }
}

impl Kll {
    fn with_parameters(k: u32, c: f64) -> Self {
        let mut sketch = Self { k, c, levels: Vec::new(), capacities: Vec::new(), held: 0, limit: 0 };
        sketch.grow();
        sketch
    }

    /// A sketch into which at least [`MANY_ROWS`] values are about to come.
    pub(crate) fn of_many() -> Self {
        let mut sketch = Self::default();
        while sketch.levels.len() < MANY_LEVELS {
            sketch.grow();
        }
        let room = sketch.limit + BLOCK / STRIDE;
        sketch.levels[ABOVE_BLOCKS].values.reserve_exact(room);
        sketch.levels[ABOVE_BLOCKS + 1].values.reserve_exact(room / 2);
        sketch
    }

    /// Rebuilds a sketch from `statistics.json`.
    ///
    /// # Errors
    /// When the parameters are unusable, a value is not finite, or there are more than 54 levels.
    pub fn from_levels(c: f64, k: f64, data: &[Vec<f64>]) -> Result<Self, InvalidSketch> {
        if !(c > 0.5 && c < 1.0 && (2.0..=1_048_576.0).contains(&k)) {
            return Err(InvalidSketch::Parameters { c, k });
        }
        if data.len() > MAX_LEVELS {
            return Err(InvalidSketch::TooManyLevels(data.len()));
        }
        if let Some(level) = data.iter().position(|values| values.iter().any(|value| !value.is_finite())) {
            return Err(InvalidSketch::Value { level });
        }
        let rows: u128 = data.iter().enumerate().map(|(level, values)| (values.len() as u128) << level).sum();
        if rows > MAX_ROWS {
            return Err(InvalidSketch::TooManyRows);
        }
        let mut sketch = Self::with_parameters(k as u32, c);
        while sketch.levels.len() < data.len() {
            sketch.grow();
        }
        for (level, values) in sketch.levels.iter_mut().zip(data) {
            level.values.clone_from(values);
        }
        sketch.held = data.iter().map(Vec::len).sum();
        Ok(sketch)
    }

    /// Adds one value.
    pub fn insert(&mut self, value: f64) {
        debug_assert!(!value.is_nan(), "our bug: NaN has no rank");
        self.insert_all(&[value]);
    }

    /// Adds values in this order, as one by one.
    pub fn insert_all(&mut self, mut values: &[f64]) {
        while !values.is_empty() {
            let lowest = self.levels[0].values.len();
            let in_blocks = self.is_in_blocks() && lowest < BLOCK;
            if let Some((block, later)) = values.split_first_chunk().filter(|_| in_blocks && lowest == 0) {
                self.take_block(block);
                values = later;
                continue;
            }
            let room = if in_blocks { BLOCK - lowest } else { self.limit.saturating_sub(self.held) + 1 };
            let (now, later) = values.split_at(values.len().min(room));
            self.levels[0].values.extend_from_slice(now);
            self.held += now.len();
            if !in_blocks && self.held > self.limit {
                self.condense();
            }
            if in_blocks && lowest + now.len() == BLOCK {
                let mut block = std::mem::take(&mut self.levels[0].values);
                self.held -= BLOCK;
                self.take_block(block.as_slice().try_into().expect("our bug: a block has its size"));
                block.clear();
                self.levels[0].values = block;
            }
            values = later;
        }
    }

    /// Whether the lowest levels are compacted block by block. Of larger sketches more is expected.
    fn is_in_blocks(&self) -> bool {
        self.levels.len() >= MANY_LEVELS && self.k <= SKETCH_SIZE
    }

    /// Takes in a quarter of a block, each value for four: what two levels would leave of each lane.
    fn take_block(&mut self, block: &[f64; BLOCK]) {
        let (below, above) = self.levels.split_at_mut(ABOVE_BLOCKS);
        let turn = usize::from(below[0].odd_next) + 2 * usize::from(below[1].odd_next);
        quarter(block, turn, &mut above[0].values);
        below[1].odd_next ^= below[0].odd_next;
        below[0].odd_next = !below[0].odd_next;
        self.held += BLOCK / STRIDE;
        if self.held > self.limit {
            self.condense();
        }
    }

    /// Takes in the rows of another sketch; the result has the error bound of one sketch over all rows.
    pub fn merge(&mut self, other: &Self) {
        while self.levels.len() < other.levels.len() {
            self.grow();
        }
        for (level, theirs) in self.levels.iter_mut().zip(&other.levels) {
            level.values.reserve_exact(theirs.values.len());
            level.values.extend_from_slice(&theirs.values);
        }
        self.held += other.held;
        while self.held > self.limit {
            self.condense();
        }
    }

    /// Gives back room that is not needed now.
    pub(crate) fn shrink(&mut self) {
        self.levels.iter_mut().for_each(|level| level.values.shrink_to_fit());
    }

    /// Rows summarised: exactly the number of values inserted.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.levels.iter().enumerate().map(|(level, part)| (part.values.len() as u64) << level).sum()
    }

    /// The sketch's parameters `(c, k)` as `statistics.json` prints them.
    #[must_use]
    pub fn parameters(&self) -> (f64, f64) {
        (self.c, f64::from(self.k))
    }

    /// The values by level, as `statistics.json` prints them.
    pub fn levels(&self) -> impl Iterator<Item = &[f64]> {
        self.levels.iter().map(|level| level.values.as_slice())
    }

    /// The values with the number of rows each stands for, smallest value first.
    #[must_use]
    pub fn weighted(&self) -> Vec<(f64, u64)> {
        let mut values: Vec<(f64, u64)> = self
            .levels
            .iter()
            .enumerate()
            .flat_map(|(level, part)| part.values.iter().map(move |&value| (value, 1_u64 << level)))
            .collect();
        values.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        values
    }

    /// Counts in `buckets` equal parts of `min..=max`, the last one closed; the counts sum to [`Kll::rows`].
    #[must_use]
    pub fn histogram(&self, min: f64, max: f64, buckets: usize) -> Vec<Bucket> {
        let edge = |i: usize| match (i, max - min) {
            (i, _) if i == buckets => max,
            (i, width) if width.is_finite() => min + width * i as f64 / buckets as f64,
            (i, _) => min * ((buckets - i) as f64 / buckets as f64) + max * (i as f64 / buckets as f64),
        };
        let mut result: Vec<Bucket> =
            (0..buckets).map(|i| Bucket { lower_bound: edge(i), upper_bound: edge(i + 1), rows: 0 }).collect();
        for (level, part) in self.levels.iter().enumerate() {
            for &value in &part.values {
                let place = result[1..].partition_point(|bucket| bucket.lower_bound <= value);
                result[place].rows += 1 << level;
            }
        }
        result
    }

    /// Writes the sketch as it is.
    pub(crate) fn write(&self, out: &mut Writer) {
        out.number(self.k.into());
        out.double(self.c);
        out.count(self.levels.len());
        for level in &self.levels {
            out.flag(level.odd_next);
            out.doubles(&level.values);
        }
    }

    /// Reads what was written; nothing of what is no sketch.
    pub(crate) fn read(written: &mut Written<'_>) -> Option<Self> {
        let (k, c) = (written.number()?, written.double()?);
        let levels = written.list(9, |written| Some((written.flag()?, written.doubles()?)))?;
        if levels.is_empty() {
            return None;
        }
        let data: Vec<Vec<f64>> = levels.iter().map(|(_, values)| values.clone()).collect();
        let mut sketch = Self::from_levels(c, k as f64, &data).ok()?;
        for (level, (odd_next, _)) in sketch.levels.iter_mut().zip(levels) {
            level.odd_next = odd_next;
        }
        Some(sketch)
    }

    fn grow(&mut self) {
        let depth = self.levels.len() as i32;
        self.levels.push(Level::default());
        self.capacities.insert(0, 2 * ((f64::from(self.k) * self.c.powi(depth) / 2.0).ceil() as usize + 1));
        self.limit = self.capacities.iter().sum();
    }

    fn condense(&mut self) {
        let in_blocks = self.is_in_blocks();
        let mut height = 0;
        while height < self.levels.len() {
            if self.levels[height].values.len() >= self.capacities[height] {
                if height + 1 == self.levels.len() {
                    self.grow();
                }
                let (below, above) = self.levels.split_at_mut(height + 1);
                let is_loose = height == 0 || (height == ABOVE_BLOCKS && in_blocks);
                below[height].compact_into(&mut above[0].values, is_loose);
            }
            height += 1;
        }
        self.held = self.levels.iter().map(|level| level.values.len()).sum();
    }
}

impl Level {
    fn compact_into(&mut self, above: &mut Vec<f64>, is_loose: bool) {
        // Values come in as they like, but go up in order.
        if is_loose {
            sort(&mut self.values);
        } else {
            sort_runs(&mut self.values);
        }
        let left_behind = if self.values.len() % 2 == 1 { self.values.pop() } else { None };
        above.extend(self.values.iter().skip(usize::from(self.odd_next)).step_by(2));
        self.odd_next = !self.odd_next;
        self.values.clear();
        self.values.extend(left_behind);
    }
}

/// One part of a histogram: `lower_bound ≤ value < upper_bound`, the last part of a histogram closed on both sides.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bucket {
    /// Where it begins.
    pub lower_bound: f64,
    /// Where it ends.
    pub upper_bound: f64,
    /// Rows inside.
    pub rows: u64,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sketch_of(values: impl IntoIterator<Item = f64>) -> Kll {
        let mut sketch = Kll::default();
        values.into_iter().for_each(|value| sketch.insert(value));
        sketch
    }

    /// Largest difference between true and estimated rank over all values, as a share of the rows.
    fn worst_rank_error(sketch: &Kll, mut values: Vec<f64>) -> f64 {
        values.sort_unstable_by(f64::total_cmp);
        let weighted = sketch.weighted();
        let (mut at, mut below, mut worst) = (0, 0_u64, 0_f64);
        for (rank, pair) in values.windows(2).enumerate() {
            while at < weighted.len() && weighted[at].0 <= pair[0] {
                below += weighted[at].1;
                at += 1;
            }
            if pair[0] < pair[1] {
                worst = worst.max((below as f64 - (rank + 1) as f64).abs());
            }
        }
        worst / values.len() as f64
    }

    fn scattered(n: u64) -> Vec<f64> {
        (0..n).map(|i| (i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 11) as f64 / (1_u64 << 53) as f64).collect()
    }

    #[test]
    fn few_rows_are_kept_exactly() {
        let sketch = sketch_of((0..2050).map(f64::from));
        assert_eq!(sketch.levels().map(<[f64]>::len).collect::<Vec<_>>(), [2050]);
    }

    #[test]
    fn one_row_more_moves_half_of_them_up() {
        let sketch = sketch_of((0..2051).map(f64::from));
        let levels: Vec<_> = sketch.levels().collect();
        assert_eq!(levels[0], [2050.0]);
        assert_eq!(&levels[1][..3], [0.0, 2.0, 4.0]);
        assert_eq!((levels[1].len(), sketch.rows()), (1025, 2051));
    }

    #[test]
    fn rank_error_stays_below_a_fifth_of_a_percent_at_two_hundred_thousand_rows() {
        for values in
            [scattered(200_000), (0..200_000).map(f64::from).collect(), (0..200_000).rev().map(f64::from).collect()]
        {
            let sketch = sketch_of(values.iter().copied());
            assert_eq!(sketch.rows(), 200_000);
            let error = worst_rank_error(&sketch, values);
            assert!(error < 0.002, "{error}");
        }
    }

    #[test]
    fn merged_sketches_keep_weight_and_error() {
        let values = scattered(100_000);
        let mut merged = Kll::default();
        for part in values.chunks(7_001) {
            merged.merge(&sketch_of(part.iter().copied()));
        }
        assert_eq!(merged.rows(), 100_000);
        let error = worst_rank_error(&merged, values);
        assert!(error < 0.003, "{error}");
    }

    #[test]
    fn histogram_holds_every_row_once() {
        let sketch = sketch_of([1.0, 1.0, 2.0, 5.0, 10.0, 10.0]);
        let rows: Vec<u64> = sketch.histogram(1.0, 10.0, 10).iter().map(|bucket| bucket.rows).collect();
        assert_eq!(rows, [2, 1, 0, 0, 1, 0, 0, 0, 0, 2]);
        let flat = sketch_of([4.0; 7]);
        assert_eq!(flat.histogram(4.0, 4.0, 10).iter().map(|bucket| bucket.rows).sum::<u64>(), 7);
    }

    #[test]
    fn unusable_sketches_are_refused() {
        assert!(matches!(Kll::from_levels(0.64, 0.0, &[]), Err(InvalidSketch::Parameters { .. })));
        assert!(matches!(Kll::from_levels(f64::NAN, 9.0, &[]), Err(InvalidSketch::Parameters { .. })));
        assert!(matches!(Kll::from_levels(0.64, 2048.0, &vec![vec![]; 55]), Err(InvalidSketch::TooManyLevels(55))));
        let infinite = [vec![1.0], vec![f64::INFINITY]];
        assert_eq!(Kll::from_levels(0.64, 2048.0, &infinite), Err(InvalidSketch::Value { level: 1 }));
    }

    /// Standard deviation of ranks over 99 quantiles and so many sketches of random rows, and the largest error among them, as
    /// shares of the rows.
    fn deviation(rows: usize, piece: usize, sketches: u64, empty: impl Fn() -> Kll) -> (f64, f64) {
        let (mut squares, mut largest) = (0.0, 0.0_f64);
        for seed in 0..sketches {
            let mut dice = crate::dice::Dice::seeded(seed);
            let mut values: Vec<f64> = (0..rows).map(|_| dice.unit()).collect();
            let mut sketch = Kll::default();
            for part in values.chunks(piece) {
                let mut of_part = empty();
                of_part.insert_all(part);
                sketch.merge(&of_part);
            }
            assert_eq!(sketch.rows(), rows as u64);
            let weighted = sketch.weighted();
            values.sort_unstable_by(f64::total_cmp);
            for percent in 1..100 {
                let edge = f64::from(percent) / 100.0;
                let exact = values.partition_point(|value| *value <= edge) as f64;
                let below: u64 = weighted.iter().filter(|pair| pair.0 <= edge).map(|pair| pair.1).sum();
                let error = (below as f64 - exact) / rows as f64;
                (squares, largest) = (squares + error * error, largest.max(error.abs()));
            }
        }
        ((squares / (99 * sketches) as f64).sqrt(), largest)
    }

    #[test]
    fn ranks_of_many_rows_deviate_less_than_drift_counts_with() {
        // Rows, and rows of the pieces that are merged.
        for (rows, piece) in
            [(MANY_ROWS as usize, 1 << 20), (16_384, 1 << 20), (25_000, 25_000), (100_000, 25_000), (1_000_000, 25_000)]
        {
            let sketches = (500_000 / rows).clamp(1, 20) as u64;
            for empty in [Kll::default, Kll::of_many] {
                let (deviation, largest) = deviation(rows, piece, sketches, empty);
                assert!(deviation < 0.000_7 && largest < 0.003, "{rows}: {deviation}, {largest}");
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn values_added_together_are_values_added_one_by_one(
            parts in prop::collection::vec(0_usize..3_000, 1..9), merged in 0_usize..6_000,
        ) {
            let values = scattered(parts.iter().sum::<usize>() as u64);
            let begin = sketch_of(scattered(merged as u64));
            let (mut together, mut one_by_one) = (begin.clone(), begin);
            let mut rest = values.as_slice();
            for part in parts {
                let (now, later) = rest.split_at(part);
                together.insert_all(now);
                rest = later;
            }
            values.iter().for_each(|&value| one_by_one.insert(value));
            prop_assert_eq!(together, one_by_one);
        }

        #[test]
        fn weight_is_conserved_and_levels_round_trip(sizes in prop::collection::vec(0_usize..9_000, 1..5)) {
            let mut merged = Kll::default();
            for (i, &size) in sizes.iter().enumerate() {
                merged.merge(&sketch_of((0..size).map(|v| (v * (i + 1)) as f64)));
            }
            prop_assert_eq!(merged.rows(), sizes.iter().sum::<usize>() as u64);
            let levels: Vec<Vec<f64>> = merged.levels().map(<[f64]>::to_vec).collect();
            let (c, k) = merged.parameters();
            let read = Kll::from_levels(c, k, &levels).unwrap();
            prop_assert_eq!(read.weighted(), merged.weighted());
        }
    }
}
