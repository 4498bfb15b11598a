//! Partial dependence: what a model answers on average when one feature has a value in every row, whatever else is in the rows
//! (J. H. Friedman, Greedy function approximation, 2001, section 8.2), in Clarify's words: `explanations.pdp` of `analysis.json`.
//!
//! ```text
//! for each feature, for each of its values, each row with that value in the place of its own
//! ```
//! Numbers are looked at in the middle of buckets of equal width between the least and the largest; of few different texts all
//! are looked at.
//!
//! Invariant: questions come in one order, whatever the sizes of the requests; a curve is complete or told as an error. Refuses
//! to: ask the model itself.

use captura_attribution::record::{Feature, Record};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Wording;
use super::asking::{Questions, Refused, agreed};

/// Different texts of a feature that are looked at; one of more is free text.
const CATEGORIES_MAX: usize = 50;
/// What Clarify says of a feature that is neither numbers nor categories.
const NOT_SUPPORTED: &str =
    "Detected data type is not supported for PDP. PDP can only be computed for numerical or categorical columns";

/// `methods.pdp` of a configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct DependenceConfig {
    /// Features, by name or place; those that add most, where none are named.
    pub features: Vec<String>,
    /// Values of a feature of numbers that are looked at.
    pub grid_resolution: usize,
    /// Features that are chosen where none are named.
    pub top_k_features: usize,
}

/// A feature's curve, an entry of `explanations.pdp`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PartialDependence {
    /// The feature.
    pub feature_name: String,
    /// What its values are.
    pub data_type: DependenceType,
    /// The values that were looked at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub feature_values: Vec<Value>,
    /// Of each of the model's outputs, the mean answer at each value.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub model_predictions: Vec<Vec<f64>>,
    /// Shares of the rows in each bucket, or with each value.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub data_distribution: Vec<f64>,
    /// Why there is no curve.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What the values of a feature are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DependenceType {
    /// Numbers.
    Numerical,
    /// Few different texts.
    Categorical,
    /// Many different texts, or nothing.
    FreeText,
}

/// A feature on its way to a curve.
struct Axis {
    /// Its place in a row.
    feature: usize,
    values: Vec<Feature>,
    /// Sums of the answers, value by value, output by output.
    sums: Vec<Vec<f64>>,
    curve: PartialDependence,
}

/// Curves on their way.
pub struct Depending<'a> {
    rows: &'a [Record],
    wording: &'a Wording,
    axes: Vec<Axis>,
    answered: usize,
    outputs: Option<usize>,
}

impl<'a> Depending<'a> {
    /// Starts; `chosen` are the places of the features.
    #[must_use]
    pub fn new(
        (names, rows): (&[String], &'a [Record]),
        chosen: &[usize],
        grid_resolution: usize,
        wording: &'a Wording,
    ) -> Self {
        let axes = chosen.iter().map(|&feature| Axis::of(&names[feature], feature, rows, grid_resolution)).collect();
        Self { rows, wording, axes, answered: 0, outputs: None }
    }

    /// How many values are looked at, all features together: for each of them every row is asked about.
    #[must_use]
    pub fn values(&self) -> usize {
        self.axes.iter().map(|axis| axis.values.len()).sum()
    }

    /// Looks only at the first rows, so that no more than so many questions are asked, and at one row at least; answers at how
    /// many.
    pub fn ask_at_most(&mut self, questions: usize) -> usize {
        let rows = (questions / self.values().max(1)).clamp(1, self.rows.len().max(1)).min(self.rows.len());
        self.rows = &self.rows[..rows];
        rows
    }

    /// The curves, those of features of which all was answered; of the others, why not.
    #[must_use]
    pub fn finish(self) -> Vec<PartialDependence> {
        let (rows, outputs) = (self.rows.len(), self.outputs.unwrap_or(0));
        let mut left = self.answered;
        let curve = |axis: Axis| {
            let questions = axis.values.len() * rows;
            let is_answered = left >= questions;
            left = left.saturating_sub(questions);
            let mut curve = axis.curve;
            if !is_answered {
                (curve.feature_values, curve.data_distribution) = (Vec::new(), Vec::new());
                curve.error = Some("the budget of calls ended before all of it was asked".to_owned());
            } else if curve.error.is_none() {
                let of = |output: usize| axis.sums.iter().map(|sums| sums[output] / rows as f64).collect();
                curve.model_predictions = (0..outputs).map(of).collect();
            }
            curve
        };
        self.axes.into_iter().map(curve).collect()
    }

    /// Which feature, value and row a question is of.
    fn question(&self, number: usize) -> Option<(usize, usize, usize)> {
        let (mut value, row) = (number / self.rows.len().max(1), number % self.rows.len().max(1));
        for (place, axis) in self.axes.iter().enumerate() {
            if value < axis.values.len() {
                return Some((place, value, row));
            }
            value -= axis.values.len();
        }
        None
    }
}

impl Questions for Depending<'_> {
    fn request(&mut self, rows_max: usize, body_max_bytes: usize) -> Result<Option<(Vec<u8>, usize)>, Refused> {
        let mut next = self.answered;
        self.wording.filled(rows_max, body_max_bytes, |first, body| {
            let Some((axis, value, row)) = self.question(next) else { return false };
            let axis = &self.axes[axis];
            let mut features: Vec<&Feature> = self.rows[row].iter().collect();
            features[axis.feature] = &axis.values[value];
            self.wording.row(first, features.into_iter(), body);
            next += 1;
            true
        })
    }

    fn take(&mut self, answers: &[Vec<f64>]) -> Result<(), Refused> {
        for numbers in answers {
            let outputs = agreed(&mut self.outputs, numbers)?;
            let question = self.question(self.answered);
            let (axis, value, _) = question.expect("our bug: answers come to what was asked");
            let sums = &mut self.axes[axis].sums[value];
            sums.resize(outputs, 0.0);
            sums.iter_mut().zip(numbers).for_each(|(sum, number)| *sum += number);
            self.answered += 1;
        }
        Ok(())
    }
}

impl Axis {
    fn of(name: &str, feature: usize, rows: &[Record], grid_resolution: usize) -> Self {
        let present: Vec<&Feature> = rows.iter().map(|row| &row[feature]).filter(|value| !is_missing(value)).collect();
        let numbers: Option<Vec<f64>> = present.iter().map(|value| value.number()).collect();
        let (data_type, values, shares) = match numbers.filter(|numbers| !numbers.is_empty()) {
            Some(numbers) => {
                let (middles, shares) = buckets(&numbers, grid_resolution);
                let values = middles.into_iter().map(|middle| Feature::Cell(middle.to_string().into())).collect();
                (DependenceType::Numerical, values, shares)
            }
            None => categories(&present),
        };
        let feature_values = values.iter().map(shown).collect();
        let error = values.is_empty().then(|| NOT_SUPPORTED.to_owned());
        let curve = PartialDependence {
            feature_name: name.to_owned(),
            data_type,
            feature_values,
            model_predictions: Vec::new(),
            data_distribution: shares,
            error,
        };
        Self { feature, sums: vec![Vec::new(); values.len()], values, curve }
    }
}

/// The middles of buckets of equal width, and the shares of the numbers in them; of one number alone, that.
fn buckets(numbers: &[f64], count: usize) -> (Vec<f64>, Vec<f64>) {
    let least = numbers.iter().copied().fold(f64::INFINITY, f64::min);
    let most = numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let width = (most - least) / count as f64;
    if width <= 0.0 || !width.is_finite() {
        return (vec![least], vec![1.0]);
    }
    let mut shares = vec![0.0; count];
    for number in numbers {
        let place = (((number - least) / width) as usize).min(count - 1);
        shares[place] += 1.0 / numbers.len() as f64;
    }
    ((0..count).map(|place| least + (place as f64 + 0.5) * width).collect(), shares)
}

/// All different values with their shares, where there are few; else none.
fn categories(present: &[&Feature]) -> (DependenceType, Vec<Feature>, Vec<f64>) {
    let mut found: Vec<(&Feature, usize)> = Vec::new();
    for value in present {
        match found.iter().position(|(known, _)| known.is_same_as(value)) {
            Some(place) => found[place].1 += 1,
            None if found.len() == CATEGORIES_MAX => return (DependenceType::FreeText, Vec::new(), Vec::new()),
            None => found.push((value, 1)),
        }
    }
    if found.is_empty() {
        return (DependenceType::FreeText, Vec::new(), Vec::new());
    }
    found.sort_by_key(|(value, _)| shown(value).to_string());
    let share = |(_, count): &(&Feature, usize)| *count as f64 / present.len() as f64;
    let shares = found.iter().map(share).collect();
    (DependenceType::Categorical, found.iter().map(|(value, _)| (*value).clone()).collect(), shares)
}

fn is_missing(value: &Feature) -> bool {
    match value {
        Feature::Cell(text) => text.is_empty(),
        Feature::Json(value) => value.is_null(),
    }
}

/// A value as JSON.
fn shown(value: &Feature) -> Value {
    match (value.number(), value) {
        (Some(number), _) => Value::from(number),
        (None, Feature::Cell(text)) => Value::from(&**text),
        (None, Feature::Json(value)) => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attribution::Predictor;

    fn rows() -> Vec<Record> {
        let row = |number: u32| {
            let sex = if number < 3 { "F" } else { "M" };
            vec![
                Feature::Cell(number.to_string().into()),
                Feature::Json(Value::from(sex)),
                Feature::Json(Value::from(format!("essay {number}"))),
            ]
        };
        (0..60).map(|number| row(number % 10)).chain((0..51).map(row)).collect()
    }

    /// Twice the first number, and 1 where the second feature is M.
    fn answer(body: &[u8], offset: f64) -> Vec<Vec<f64>> {
        let text = std::str::from_utf8(body).unwrap();
        let row = |line: &str| {
            let cells: Vec<&str> = line.split(',').collect();
            vec![2.0 * cells[0].parse::<f64>().unwrap() + offset, f64::from(u8::from(cells[1].contains('M')))]
        };
        text.lines().map(row).collect()
    }

    fn curves(rows_max: usize, questions: usize, calls: usize) -> Vec<PartialDependence> {
        let names = ["age", "sex", "essay"].map(str::to_owned);
        let wording = Wording::of(&Predictor::default(), &names).unwrap();
        let rows = rows();
        let mut depending = Depending::new((&names, &rows), &[0, 1, 2], 5, &wording);
        assert_eq!(depending.values(), 7, "five numbers and two texts");
        depending.ask_at_most(questions);
        for _ in 0..calls {
            let Some((body, count)) = depending.request(rows_max, 1 << 20).unwrap() else { break };
            let answers = answer(&body, 0.5);
            assert_eq!(answers.len(), count);
            depending.take(&answers).unwrap();
        }
        depending.finish()
    }

    #[test]
    fn a_curve_is_the_mean_answer_at_each_value_whatever_the_size_of_requests() {
        let found = curves(7, usize::MAX, usize::MAX);
        assert_eq!(found, curves(1000, usize::MAX, usize::MAX));
        let [age, sex, essay] = &found[..] else { panic!("three curves") };
        assert_eq!(age.feature_values, [5.0, 15.0, 25.0, 35.0, 45.0].map(Value::from));
        assert_eq!(age.model_predictions[0], [10.5, 30.5, 50.5, 70.5, 90.5]);
        let men = rows().iter().filter(|row| row[1].is_same_as(&Feature::Json(Value::from("M")))).count();
        assert!(age.model_predictions[1].iter().all(|mean| (mean - men as f64 / 111.0).abs() < 1e-12));
        assert_eq!(
            (sex.data_type, &sex.feature_values[..]),
            (DependenceType::Categorical, &["F".into(), "M".into()][..])
        );
        assert_eq!(sex.model_predictions[1], [0.0, 1.0]);
        for curve in [age, sex] {
            assert!((curve.data_distribution.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        }
        assert_eq!((essay.data_type, essay.error.as_deref()), (DependenceType::FreeText, Some(NOT_SUPPORTED)));
        let text = serde_json::to_value(essay).unwrap();
        assert_eq!(text.as_object().unwrap().len(), 3, "{text}");
    }

    #[test]
    fn fewer_rows_are_looked_at_where_not_all_may_be_and_what_was_not_asked_has_no_curve() {
        let few = curves(1000, 70, usize::MAX);
        assert_eq!(few[0].model_predictions[0], [10.5, 30.5, 50.5, 70.5, 90.5]);
        assert_eq!(few[0].model_predictions[1], [0.7; 5], "of the first ten rows");
        let ended = curves(10, 70, 6);
        assert_eq!(ended[0].error, None);
        assert!(ended[1].error.as_deref().unwrap().contains("budget") && ended[1].model_predictions.is_empty());
        assert!(ended[1].feature_values.is_empty() && ended[1].data_distribution.is_empty());
    }

    #[test]
    fn a_feature_of_one_value_is_a_point_and_one_without_any_is_told() {
        let wording = Wording::of(&Predictor::default(), &["a".to_owned()]).unwrap();
        let rows: Vec<Record> = ["", "4", "4.0"].iter().map(|text| vec![Feature::Cell((*text).into())]).collect();
        let one = Depending::new((&["a".to_owned()], &rows), &[0], 15, &wording);
        assert_eq!(one.axes[0].curve.feature_values, [Value::from(4.0)]);
        let none = Depending::new((&["a".to_owned()], &rows[..1]), &[0], 15, &wording);
        assert_eq!(none.finish()[0].error.as_deref(), Some(NOT_SUPPORTED));
    }
}
