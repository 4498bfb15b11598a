//! Outcomes of rows, and the samples that are made of them.
//!
//! Invariant: all lists have one entry per row; only rows with prediction and label are judged, all rows with a
//! prediction can be estimated.

use super::sample::Left;
use super::{Attribute, Attributes, BinarySample, MulticlassSample, ProblemType, RegressionSample, Sample};
use crate::estimate::FeatureRows;
use crate::labels::Calls;

/// Threshold of the positive class where none is given.
const HALF: f64 = 0.5;

/// Rows by the values of a column.
#[derive(Debug, Clone, PartialEq)]
pub struct Segment {
    /// Name of the column; `consumer` for who called.
    pub column: String,
    /// Its values.
    pub values: Vec<String>,
    /// Which of them each row has.
    pub of_row: Vec<u32>,
}

/// What the sampler hands over.
pub(super) struct Raw {
    pub(super) classes: Vec<String>,
    pub(super) predicted: Vec<f64>,
    pub(super) actual: Vec<f64>,
    pub(super) scores: Option<Vec<f64>>,
    /// `predicted` holds scores, to be held against the threshold.
    pub(super) by_score: bool,
    pub(super) segments: Vec<Segment>,
    pub(super) left: Left,
    pub(super) calls: Calls,
    pub(super) features: FeatureRows,
}

/// All rows of a job. Classes are numbers into `classes`; NaN stands for what a row does not have.
#[derive(Debug, Clone)]
pub struct Outcomes {
    /// What is predicted.
    pub problem: ProblemType,
    /// Names of the classes; of a binary problem the negative and the positive one.
    pub classes: Vec<String>,
    /// What was predicted.
    pub predicted: Vec<f64>,
    /// What was right.
    pub actual: Vec<f64>,
    /// Probabilities, where they are asked for.
    pub scores: Option<Vec<f64>>,
    /// Rows by consumer, then by the columns asked for.
    pub segments: Vec<Segment>,
    /// Rows that are not judged.
    pub left: Left,
    /// The captured calls.
    pub calls: Calls,
    /// A bounded sample of the rows' columns of numbers.
    pub features: FeatureRows,
}

impl Outcomes {
    pub(super) fn new(attributes: &Attributes, raw: Raw) -> Result<Self, Attribute> {
        let mut outcomes = Self {
            problem: attributes.problem,
            classes: raw.classes,
            predicted: raw.predicted,
            actual: raw.actual,
            scores: raw.scores,
            segments: raw.segments,
            left: raw.left,
            calls: raw.calls,
            features: raw.features,
        };
        match attributes.problem {
            ProblemType::Regression => {}
            ProblemType::MulticlassClassification => outcomes.sort_classes(),
            ProblemType::BinaryClassification => {
                outcomes.name_sides(attributes)?;
                if raw.by_score {
                    let threshold = attributes.threshold.unwrap_or(HALF);
                    for predicted in outcomes.predicted.iter_mut().filter(|score| !score.is_nan()) {
                        *predicted = f64::from(u8::from(*predicted >= threshold));
                    }
                }
            }
        }
        let predicted = outcomes.predicted.iter().zip(&outcomes.actual).filter(|(predicted, _)| !predicted.is_nan());
        let unlabelled = predicted.filter(|(_, actual)| actual.is_nan()).count() as u64;
        outcomes.left.no_label = unlabelled.saturating_sub(outcomes.left.bad_label);
        Ok(outcomes)
    }

    fn sort_classes(&mut self) {
        let mut order: Vec<usize> = (0..self.classes.len()).collect();
        order.sort_by(|&a, &b| self.classes[a].cmp(&self.classes[b]));
        let mut places = vec![0.0; order.len()];
        for (place, &class) in order.iter().enumerate() {
            places[class] = place as f64;
        }
        self.renumber(&places, true);
        self.classes = order.iter().map(|&class| std::mem::take(&mut self.classes[class])).collect();
    }

    /// Makes the classes of a binary problem the negative and the positive one.
    fn name_sides(&mut self, attributes: &Attributes) -> Result<(), Attribute> {
        let wrong = |reason: String| Attribute {
            option: "positive_label",
            attribute: attributes.positive.clone().unwrap_or_default(),
            reason,
        };
        let seen = &self.classes;
        if seen.len() > 2 {
            let shown = seen.iter().take(5).map(String::as_str).collect::<Vec<_>>().join(", ");
            return Err(wrong(format!("a binary problem has two classes; predictions and labels have {shown}, …")));
        }
        let positive = match &attributes.positive {
            Some(positive) => crate::labels::canonical(positive).map(String::from).unwrap_or_default(),
            None if seen.iter().all(|class| class == "0" || class == "1") => "1".to_owned(),
            None => return Err(wrong(format!("say which of {} is the positive class", seen.join(" and ")))),
        };
        if seen.len() == 2 && !seen.contains(&positive) {
            return Err(wrong(format!("predictions and labels have {} only", seen.join(" and "))));
        }
        let other = seen.iter().find(|class| **class != positive).cloned();
        let negative =
            other.unwrap_or_else(|| if positive == "1" { "0".to_owned() } else { format!("not {positive}") });
        let places: Vec<f64> = seen.iter().map(|class| f64::from(u8::from(*class == positive))).collect();
        let predictions_are_classes = attributes.inference.is_some();
        self.renumber(&places, predictions_are_classes);
        self.classes = vec![negative, positive];
        Ok(())
    }

    fn renumber(&mut self, places: &[f64], predicted: bool) {
        let lists = std::iter::once(&mut self.actual).chain(predicted.then_some(&mut self.predicted));
        for class in lists.flatten().filter(|class| !class.is_nan()) {
            *class = places[*class as usize];
        }
    }

    /// Rows with prediction and label.
    pub fn judged(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.actual.len()).filter(|&row| !self.actual[row].is_nan() && !self.predicted[row].is_nan())
    }

    /// The judged rows as a sample. Scores are part of it when each of its rows has one.
    #[must_use]
    pub fn sample(&self) -> Sample {
        self.sample_of(&self.judged().collect::<Vec<_>>())
    }

    /// Some of the judged rows as a sample.
    #[must_use]
    pub fn sample_of(&self, rows: &[usize]) -> Sample {
        match self.problem {
            ProblemType::Regression => Sample::Regression(RegressionSample {
                actual: rows.iter().map(|&row| self.actual[row]).collect(),
                predicted: rows.iter().map(|&row| self.predicted[row]).collect(),
            }),
            ProblemType::MulticlassClassification => Sample::Multiclass(MulticlassSample {
                classes: self.classes.clone(),
                actual: rows.iter().map(|&row| self.actual[row] as u32).collect(),
                predicted: rows.iter().map(|&row| self.predicted[row] as u32).collect(),
            }),
            ProblemType::BinaryClassification => {
                let scores = self.scores.as_ref().map(|scores| rows.iter().map(|&row| scores[row]).collect());
                Sample::Binary(BinarySample {
                    classes: [self.classes[0].clone(), self.classes[1].clone()],
                    actual: rows.iter().map(|&row| self.actual[row] == 1.0).collect(),
                    predicted: rows.iter().map(|&row| self.predicted[row] == 1.0).collect(),
                    scores: scores.filter(|scores: &Vec<f64>| scores.iter().all(|score| !score.is_nan())),
                })
            }
        }
    }

    /// What came true of a probability: that the positive class was right, or of several classes the predicted one.
    #[must_use]
    pub fn came_true(&self, row: usize) -> bool {
        match self.problem {
            ProblemType::BinaryClassification => self.actual[row] == 1.0,
            _ => self.actual[row] == self.predicted[row],
        }
    }

    /// Whether every probability there is lies in 0 to 1, so that it can be one.
    #[must_use]
    pub fn scores_are_probabilities(&self) -> bool {
        let mut scores = self.scores.iter().flatten().filter(|score| !score.is_nan());
        scores.all(|score| (0.0..=1.0).contains(score))
    }
}
