//! A small regression model: gradient boosting of shallow trees on binned numbers, least squares (Friedman 2001).
//!
//! Missing numbers go with the smallest. Invariant: the same rows give the same model; the mean of its predictions on
//! them is the mean of their targets. Refuses to: be a general learner.

use serde::{Deserialize, Serialize};

const TREES: usize = 60;
const DEPTH: usize = 3;
const RATE: f64 = 0.1;
const MIN_ROWS_OF_LEAF: usize = 30;
/// Bins of a column, the one for missing numbers included.
const BINS: usize = 33;

/// The model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Boosted {
    mean: f64,
    trees: Vec<Vec<Node>>,
}

/// A node; children are places in the tree, 0 for none, since the root is nobody's child.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Node {
    column: usize,
    /// Numbers up to this go to the first child.
    threshold: f64,
    children: [usize; 2],
    /// What a leaf adds.
    value: f64,
}

/// Columns of the rows in bins: `bins[column][row]`, and the upper ends of the bins.
struct Binned {
    ends: Vec<Vec<f64>>,
    bins: Vec<Vec<u8>>,
}

struct Split {
    column: usize,
    bin: u8,
    gain: f64,
}

impl Boosted {
    /// Fits targets to rows; all rows have the same number of columns.
    #[must_use]
    pub fn fit(rows: &[&[f64]], targets: &[f64]) -> Self {
        let mean = targets.iter().sum::<f64>() / targets.len().max(1) as f64;
        let binned = Binned::of(rows);
        let mut residuals: Vec<f64> = targets.iter().map(|target| target - mean).collect();
        let mut trees = Vec::with_capacity(TREES);
        for _ in 0..TREES {
            let mut tree = Vec::new();
            let all: Vec<u32> = (0..rows.len() as u32).collect();
            grow(&mut tree, &binned, &mut residuals, all, DEPTH);
            if tree.len() == 1 {
                break;
            }
            trees.push(tree);
        }
        Self { mean, trees }
    }

    /// What is expected of a row.
    #[must_use]
    pub fn predict(&self, row: &[f64]) -> f64 {
        let of_tree = |tree: &Vec<Node>| {
            let mut place = 0;
            while let Some(Node { column, threshold, children, value }) = tree.get(place) {
                if children[0] == 0 {
                    return *value;
                }
                let number = row.get(*column).copied().unwrap_or(f64::NAN);
                place = children[usize::from(number > *threshold)];
            }
            0.0
        };
        self.mean + self.trees.iter().map(of_tree).sum::<f64>()
    }

    /// Whether every place in it is one, so that a file can be trusted to end.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let sound = |tree: &Vec<Node>| {
            tree.iter().enumerate().all(|(place, node)| {
                let forward = |&child: &usize| child > place && child < tree.len();
                node.children == [0, 0] || node.children.iter().all(forward)
            })
        };
        self.mean.is_finite() && self.trees.iter().all(sound)
    }
}

/// Adds a node for these rows and those below it; takes what leaves say off the residuals. Returns its place.
fn grow(tree: &mut Vec<Node>, binned: &Binned, residuals: &mut [f64], rows: Vec<u32>, depth: usize) -> usize {
    let place = tree.len();
    tree.push(Node { column: 0, threshold: 0.0, children: [0, 0], value: 0.0 });
    let best = if depth == 0 { None } else { best_split(binned, residuals, &rows) };
    let Some(Split { column, bin, .. }) = best else {
        let mean = rows.iter().map(|&row| residuals[row as usize]).sum::<f64>() / rows.len().max(1) as f64;
        tree[place].value = RATE * mean;
        rows.iter().for_each(|&row| residuals[row as usize] -= RATE * mean);
        return place;
    };
    let (left, right): (Vec<u32>, Vec<u32>) =
        rows.into_iter().partition(|&row| binned.bins[column][row as usize] <= bin);
    let first = grow(tree, binned, residuals, left, depth - 1);
    let second = grow(tree, binned, residuals, right, depth - 1);
    // Bin 0 is for what is missing: a split behind it parts that from all numbers.
    let threshold = if bin == 0 { f64::MIN } else { binned.ends[column][usize::from(bin) - 1] };
    tree[place] = Node { column, threshold, children: [first, second], value: 0.0 };
    place
}

/// The split that explains most; of equal ones the first.
fn best_split(binned: &Binned, residuals: &[f64], rows: &[u32]) -> Option<Split> {
    let total: f64 = rows.iter().map(|&row| residuals[row as usize]).sum();
    let mut best: Option<Split> = None;
    for (column, bins) in binned.bins.iter().enumerate() {
        let (mut sums, mut counts) = ([0.0; BINS], [0_usize; BINS]);
        for &row in rows {
            let bin = usize::from(bins[row as usize]);
            sums[bin] += residuals[row as usize];
            counts[bin] += 1;
        }
        let (mut sum, mut count) = (0.0, 0);
        for bin in 0..binned.ends[column].len() {
            (sum, count) = (sum + sums[bin], count + counts[bin]);
            let others = rows.len() - count;
            if count < MIN_ROWS_OF_LEAF || others < MIN_ROWS_OF_LEAF {
                continue;
            }
            let gain =
                sum * sum / count as f64 + (total - sum).powi(2) / others as f64 - total * total / rows.len() as f64;
            if gain > best.as_ref().map_or(1e-12, |best| best.gain) {
                best = Some(Split { column, bin: bin as u8, gain });
            }
        }
    }
    best
}

impl Binned {
    fn of(rows: &[&[f64]]) -> Self {
        let columns = rows.first().map_or(0, |row| row.len());
        let (mut ends, mut bins) = (Vec::with_capacity(columns), Vec::with_capacity(columns));
        for column in 0..columns {
            let mut values: Vec<f64> = rows.iter().map(|row| row[column]).filter(|value| !value.is_nan()).collect();
            values.sort_unstable_by(f64::total_cmp);
            let quantile = |part: usize| values[(values.len() - 1) * part / (BINS - 2)];
            let mut column_ends: Vec<f64> =
                if values.is_empty() { Vec::new() } else { (1..BINS - 1).map(quantile).collect() };
            column_ends.dedup();
            let bin = |value: f64| {
                if value.is_nan() { 0 } else { 1 + column_ends.partition_point(|&end| end < value) as u8 }
            };
            bins.push(rows.iter().map(|row| bin(row[column]).min(BINS as u8 - 1)).collect());
            ends.push(column_ends);
        }
        Self { ends, bins }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dice::Dice;

    fn rows(count: usize) -> Vec<[f64; 3]> {
        let mut dice = Dice::new(5, 0);
        (0..count)
            .map(|_| [dice.unit(), dice.unit(), if dice.below(10) == 0 { f64::NAN } else { dice.unit() }])
            .collect()
    }

    #[test]
    fn learns_steps_interactions_and_what_missing_means() {
        let rows = rows(3000);
        let target = |row: &[f64; 3]| {
            let step = if row[0] > 0.5 { 2.0 } else { 0.0 };
            let both = if row[0] > 0.5 && row[1] < 0.3 { 1.0 } else { 0.0 };
            step + both + if row[2].is_nan() { 4.0 } else { 0.0 }
        };
        let targets: Vec<f64> = rows.iter().map(target).collect();
        let views: Vec<&[f64]> = rows.iter().map(<[f64; 3]>::as_slice).collect();
        let model = Boosted::fit(&views, &targets);
        let error: f64 = rows.iter().map(|row| (model.predict(row) - target(row)).abs()).sum::<f64>() / 3000.0;
        assert!(error < 0.1, "{error}");
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let predicted: Vec<f64> = rows.iter().map(|row| model.predict(row)).collect();
        assert!((mean(&predicted) - mean(&targets)).abs() < 1e-9);
        assert!(model.is_sound());
        assert_eq!(model, Boosted::fit(&views, &targets));
        let again: Boosted = serde_json::from_str(&serde_json::to_string(&model).unwrap()).unwrap();
        assert_eq!(again.predict(&rows[7]), model.predict(&rows[7]));
    }

    #[test]
    fn nothing_to_learn_from_is_the_mean_and_circles_are_not_sound() {
        let model = Boosted::fit(&[&[1.0], &[1.0]], &[2.0, 4.0]);
        assert_eq!(model.predict(&[9.0]), 3.0);
        assert_eq!(Boosted::fit(&[], &[]).predict(&[]), 0.0);
        let circle = r#"{"mean":0.0,"trees":[[{"column":0,"threshold":0.0,"children":[1,1],"value":0.0},
            {"column":0,"threshold":0.0,"children":[1,1],"value":0.0}]]}"#;
        assert!(!serde_json::from_str::<Boosted>(circle).unwrap().is_sound());
    }
}
