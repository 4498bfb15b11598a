//! Performance of a regression model from a second model that has learned its losses (direct loss estimation).
//!
//! At the baseline, where labels are known, two small models learn the absolute and the squared error of a row from its
//! numbers, the prediction among them. Without labels they say which errors are to be expected of new rows.
//!
//! Invariant: columns are paired by name, or by place where no name is shared. Refuses to: learn from text columns.

use serde::{Deserialize, Serialize};

use super::trees::Boosted;
use super::{Estimated, FeatureRows, MIN_ROWS_TO_LEARN};
use crate::quality::Outcomes;

/// What was learned of losses.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LossModel {
    /// Columns that it looks at.
    names: Vec<String>,
    /// Smallest and largest number of each at the baseline.
    ranges: Vec<Option<[f64; 2]>>,
    absolute: Boosted,
    squared: Boosted,
    /// Mean squares of what the models leave unexplained of a row's loss.
    unexplained: [f64; 2],
}

/// Expected losses, and for which share of the rows nothing like them was learned from.
#[derive(Debug, Clone, PartialEq)]
pub struct ExpectedLosses {
    /// `mae`, `mse`, `rmse`.
    pub estimates: Vec<Estimated>,
    /// Share of rows with a number outside what the baseline had.
    pub beyond: f64,
}

impl LossModel {
    /// Learns from the judged rows of the sample.
    ///
    /// # Errors
    /// In words, why there is too little to learn from.
    pub fn learn(outcomes: &Outcomes) -> Result<Self, String> {
        let features = &outcomes.features;
        let judged = features.rows.iter().filter(|features| {
            let row = features.row;
            !outcomes.actual[row].is_nan() && !outcomes.predicted[row].is_nan()
        });
        let (mut rows, mut losses): (Vec<&[f64]>, Vec<f64>) = (Vec::new(), Vec::new());
        for features in judged {
            rows.push(&features.values);
            losses.push((outcomes.actual[features.row] - outcomes.predicted[features.row]).abs());
        }
        if rows.len() < MIN_ROWS_TO_LEARN {
            return Err(format!(
                "{} labelled rows are too few to learn losses from; it takes {MIN_ROWS_TO_LEARN}",
                rows.len()
            ));
        }
        let squares: Vec<f64> = losses.iter().map(|loss| loss * loss).collect();
        let (absolute, squared) = (Boosted::fit(&rows, &losses), Boosted::fit(&rows, &squares));
        let unexplained = |model: &Boosted, losses: &[f64]| {
            let sum: f64 = rows.iter().zip(losses).map(|(row, loss)| (model.predict(row) - loss).powi(2)).sum();
            sum / rows.len() as f64
        };
        let range = |column: usize| {
            let numbers = rows.iter().map(|row| row[column]).filter(|number| !number.is_nan());
            numbers.fold(None, |range: Option<[f64; 2]>, number| {
                let [low, high] = range.unwrap_or([number; 2]);
                Some([low.min(number), high.max(number)])
            })
        };
        Ok(Self {
            ranges: (0..features.names.len()).map(range).collect(),
            unexplained: [unexplained(&absolute, &losses), unexplained(&squared, &squares)],
            names: features.names.clone(),
            absolute,
            squared,
        })
    }

    /// What is to be expected of the rows that are `wanted`, of which the sample stands for `all`.
    ///
    /// # Errors
    /// In words, when the columns are others than those that were learned from.
    pub fn expect(
        &self,
        sample: &FeatureRows,
        all: usize,
        wanted: impl Fn(usize) -> bool,
    ) -> Result<ExpectedLosses, String> {
        let places = self.places(&sample.names)?;
        let (mut rows, mut beyond) = (0.0, 0.0);
        let mut sums = [[0.0; 2]; 2];
        for features in sample.rows.iter().filter(|features| wanted(features.row)) {
            let row: Vec<f64> =
                places.iter().map(|place| place.map_or(f64::NAN, |place| features.values[place])).collect();
            // An error below nothing is none.
            for (sums, model) in sums.iter_mut().zip([&self.absolute, &self.squared]) {
                let loss = model.predict(&row).max(0.0);
                *sums = [sums[0] + loss, sums[1] + loss * loss];
            }
            let outside = |(number, range): (&f64, &Option<[f64; 2]>)| {
                range.is_some_and(|[low, high]| *number < low || *number > high)
            };
            beyond += f64::from(u8::from(row.iter().zip(&self.ranges).any(outside)));
            rows += 1.0;
        }
        let all = (all as f64).max(rows);
        let moments = |[sum, squares]: [f64; 2], unexplained: f64| {
            let mean = sum / rows;
            let spread = (squares / rows - mean * mean).max(0.0);
            (mean, (unexplained / all + spread / rows * (1.0 - rows / all)).sqrt())
        };
        let (mae, mae_error) = moments(sums[0], self.unexplained[0]);
        let (mse, mse_error) = moments(sums[1], self.unexplained[1]);
        let rmse = mse.sqrt();
        let estimates = vec![
            Estimated { metric: "mae", value: mae, standard_error: mae_error },
            Estimated { metric: "mse", value: mse, standard_error: mse_error },
            Estimated { metric: "rmse", value: rmse, standard_error: mse_error / (2.0 * rmse) },
        ];
        Ok(ExpectedLosses { estimates, beyond: beyond / rows })
    }

    /// Whether a file holds a model that can be used.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.ranges.len() == self.names.len() && self.absolute.is_sound() && self.squared.is_sound()
    }

    fn places(&self, names: &[String]) -> Result<Vec<Option<usize>>, String> {
        let by_name: Vec<Option<usize>> =
            self.names.iter().map(|name| names.iter().position(|other| other == name)).collect();
        if by_name.iter().any(Option::is_some) {
            return Ok(by_name);
        }
        if names.len() == self.names.len() {
            return Ok((0..names.len()).map(Some).collect());
        }
        Err(format!(
            "losses were learned from {} columns, these rows have {} and no name in common with them",
            self.names.len(),
            names.len()
        ))
    }
}
