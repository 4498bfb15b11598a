//! Rows that come in bursts of like ones, and how many rows they are worth.
//!
//! Rows of one call, or of calls that follow one another, are often alike; two hundred rows in bursts of five say as much as forty
//! drawn one by one. Rows are therefore put into blocks of whole calls, and how much more the shares of a block vary than those of
//! as many independent rows would (the design effect of cluster samples; Kish 1965) is what a row is divided by. The shares are
//! those of rows below the quartiles of the reference, or of its commonest values, so that no value can weigh more than another.
//!
//! Invariant: what is said of a window depends on it and those before it. An effect is never below 1: rows that are spread more
//! evenly than by chance are not worth more for it. Refuses to: know why rows are alike.

use super::sample::Sample;

/// Rows from which on a block ends with its call.
const BLOCK_ROWS: u32 = 32;
/// Blocks below which nothing is known, and rows are taken as independent.
const BLOCKS_MIN: f64 = 8.0;
/// Shares that are looked at.
const MARKS: usize = 3;

/// What of a column's rows is counted.
#[derive(Debug, Clone, PartialEq)]
pub enum Marks {
    /// Whether a number is at most each of these.
    Below(Vec<f64>),
    /// Whether a text is each of these.
    Among(Vec<String>),
}

impl Marks {
    /// Those of a reference: its quartiles, or its commonest values.
    #[must_use]
    pub fn of(reference: &Sample<'_>) -> Self {
        match reference {
            Sample::Numbers(numbers) => {
                let total: u64 = numbers.weighted.iter().map(|(_, weight)| weight).sum();
                let quantile = |part: usize| {
                    let (mut seen, wanted) = (0, total * part as u64 / (MARKS as u64 + 1));
                    let at = numbers.weighted.iter().find(|(_, weight)| {
                        seen += weight;
                        seen > wanted
                    });
                    at.map(|(value, _)| *value)
                };
                Self::Below((1..=MARKS).filter_map(quantile).collect())
            }
            Sample::Categories(counts) => {
                let mut common: Vec<(&str, u64)> = counts.iter().map(|(value, count)| (*value, *count)).collect();
                common.sort_by(|one, other| other.1.cmp(&one.1).then(one.0.cmp(other.0)));
                Self::Among(common.into_iter().take(MARKS).map(|(value, _)| value.to_owned()).collect())
            }
            Sample::Unknown => Self::Below(Vec::new()),
        }
    }

    fn number(&self, value: f64) -> [bool; MARKS] {
        match self {
            Self::Below(marks) => std::array::from_fn(|mark| marks.get(mark).is_some_and(|mark| value <= *mark)),
            Self::Among(_) => self.text(&crate::dataset::number_text(value)),
        }
    }

    fn text(&self, value: &str) -> [bool; MARKS] {
        match self {
            Self::Below(_) => [false; MARKS],
            Self::Among(marks) => std::array::from_fn(|mark| marks.get(mark).is_some_and(|mark| mark == value)),
        }
    }
}

/// The blocks of one column in one window.
#[derive(Debug, Clone, Default)]
pub struct Blocks {
    rows: u32,
    counts: [u32; MARKS],
    // Of the blocks that have ended: how many, and sums over them that do not need the window's mean beforehand.
    blocks: f64,
    total_rows: f64,
    rows_squared: f64,
    totals: [f64; MARKS],
    squares: [f64; MARKS],
    products: [f64; MARKS],
}

impl Blocks {
    /// Takes the next row; `begins` when it is the first of its call.
    pub fn number(&mut self, marks: &Marks, value: f64, begins: bool) {
        self.row(marks.number(value), begins);
    }

    /// The same, of a text.
    pub fn text(&mut self, marks: &Marks, value: &str, begins: bool) {
        self.row(marks.text(value), begins);
    }

    fn row(&mut self, marked: [bool; MARKS], begins: bool) {
        if begins && self.rows >= BLOCK_ROWS {
            self.end();
        }
        self.rows += 1;
        for (count, marked) in self.counts.iter_mut().zip(marked) {
            *count += u32::from(marked);
        }
    }

    fn end(&mut self) {
        let rows = f64::from(std::mem::take(&mut self.rows));
        self.blocks += 1.0;
        self.total_rows += rows;
        self.rows_squared += rows * rows;
        for (mark, count) in std::mem::take(&mut self.counts).into_iter().enumerate() {
            let count = f64::from(count);
            self.totals[mark] += count;
            self.squares[mark] += count * count;
            self.products[mark] += count * rows;
        }
    }
}

/// How much more blocks vary than they would, over all windows until now.
#[derive(Debug, Clone, Default)]
pub struct Effect {
    found: f64,
    expected: f64,
    blocks: f64,
}

impl Effect {
    /// Takes a window's blocks in.
    pub fn window(&mut self, mut blocks: Blocks) {
        // What is left is a block when it is not much smaller than one.
        if blocks.rows >= BLOCK_ROWS / 2 {
            blocks.end();
        }
        if blocks.blocks < 2.0 {
            return;
        }
        for mark in 0..MARKS {
            let share = blocks.totals[mark] / blocks.total_rows;
            // Σ (count − rows · share)², with what estimating the share takes off put back.
            let spread =
                blocks.squares[mark] - 2.0 * share * blocks.products[mark] + share * share * blocks.rows_squared;
            self.found += spread * blocks.blocks / (blocks.blocks - 1.0);
            self.expected += blocks.total_rows * share * (1.0 - share);
        }
        self.blocks += blocks.blocks;
    }

    /// By how much rows are to be divided: 1 where they are independent, or nothing is known yet.
    #[must_use]
    pub fn rows_per_row(&self) -> f64 {
        if self.blocks < BLOCKS_MIN || self.expected <= 0.0 {
            return 1.0;
        }
        // Three shares of a few blocks say little: what they may be off is added, so that chance errs towards too few rows.
        let error = (2.0 / self.blocks).sqrt();
        (self.found / self.expected * (1.0 + error)).max(1.0)
    }
}
