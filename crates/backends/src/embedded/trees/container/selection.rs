//! `SAGEMAKER_INFERENCE_OUTPUT`: which parts of an answer a caller gets, as SageMaker's XGBoost container derives them.
//!
//! | objective | parts |
//! | --- | --- |
//! | `binary:logistic`, `multi:softprob` | `predicted_label`, `labels`, `probability`, `probabilities`, `raw_score`, `raw_scores` |
//! | `binary:logitraw`, `binary:hinge`, `multi:softmax` | `predicted_label`, `labels`, `raw_score`, `raw_scores` |
//! | `reg:squarederror` (`reg:linear`), `reg:logistic`, `reg:gamma`, `reg:absoluteerror`, `reg:tweedie` | `predicted_score` |
//!
//! A part that does not suit the objective is NaN. CSV keeps the order that was asked for, JSON that of the table, with
//! what does not suit last. Names that are no part at all are refused when the model is created.

use super::super::Model;
use super::{NamedRows, Scores, refusal};
use crate::LoadError;
use crate::payload::{Format, PythonValue, Refusal};

pub(super) const VARIABLE: &str = "SAGEMAKER_INFERENCE_OUTPUT";

/// All parts, in the order of JSON answers.
const PARTS: [(&str, Part); 7] = [
    ("predicted_label", Part::PredictedLabel),
    ("labels", Part::Labels),
    ("probability", Part::Probability),
    ("probabilities", Part::Probabilities),
    ("raw_score", Part::RawScore),
    ("raw_scores", Part::RawScores),
    ("predicted_score", Part::PredictedScore),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    PredictedLabel,
    Labels,
    Probability,
    Probabilities,
    RawScore,
    RawScores,
    PredictedScore,
}

/// What the container knows of an objective.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Task {
    Regression,
    Logistic,
    Logitraw,
    Hinge,
    Softmax,
    Softprob,
}

/// The chosen parts.
#[derive(Debug)]
pub(super) struct Selection {
    parts: Vec<(&'static str, Part)>,
    /// Of an objective that the container cannot take apart, its name.
    task: Result<Task, String>,
    classes: usize,
}

impl Selection {
    pub(super) fn parse(value: &str, model: &Model) -> Result<Self, LoadError> {
        let wrong = || LoadError::Environment {
            name: VARIABLE,
            value: value.to_owned(),
            wanted: "give a list of predicted_label, labels, probability, probabilities, raw_score, raw_scores, \
                     predicted_score",
        };
        let mut parts: Vec<(&'static str, Part)> = Vec::new();
        for name in value.to_ascii_lowercase().replace(' ', "").split(',') {
            let part = *PARTS.iter().find(|(known, _)| *known == name).ok_or_else(wrong)?;
            if !parts.contains(&part) {
                parts.push(part);
            }
        }
        let objective = model.objective();
        Ok(Self { parts, task: Task::of(objective).ok_or_else(|| objective.to_owned()), classes: model.classes() })
    }

    /// The chosen parts of every row.
    pub(super) fn select(&self, scores: &Scores, format: Format) -> Result<NamedRows, Refusal> {
        let task = *self.task.as_ref().map_err(|objective| {
            refusal(500, format!("Objective `{objective}` unsupported for selectable inference predictions."))
        })?;
        let mut parts = self.parts.clone();
        if format != Format::Csv {
            parts.sort_by_key(|part| (!task.has(part.1), PARTS.iter().position(|known| known == part)));
        }
        let row = |row: &[f64]| parts.iter().map(|(name, part)| (*name, self.part(task, *part, row))).collect();
        Ok(scores.rows().map(row).collect())
    }

    fn part(&self, task: Task, part: Part, row: &[f64]) -> PythonValue {
        if !task.has(part) {
            return PythonValue::Float(f64::NAN);
        }
        let first = row.first().copied().unwrap_or(f64::NAN);
        let largest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let counted = |count: usize| PythonValue::List((0..count as i64).map(PythonValue::Int).collect());
        let floats = |values: &[f64]| PythonValue::List(values.iter().copied().map(PythonValue::Float).collect());
        match (part, task) {
            (Part::PredictedLabel, Task::Logistic) => PythonValue::Int(i64::from(first > 0.5)),
            (Part::PredictedLabel, Task::Logitraw) => PythonValue::Int(i64::from(first > 0.0)),
            (Part::PredictedLabel, Task::Softprob) => {
                PythonValue::Int(row.iter().position(|score| *score >= largest).unwrap_or(0) as i64)
            }
            (Part::Labels, Task::Softmax | Task::Softprob) => counted(self.classes),
            (Part::Labels, _) => counted(2),
            (Part::Probability | Part::RawScore, Task::Softprob) => PythonValue::Float(largest),
            (Part::Probabilities | Part::RawScores, Task::Softprob) => floats(row),
            (Part::Probabilities | Part::RawScores, _) => floats(&[1.0 - first, first]),
            (Part::PredictedLabel | Part::Probability | Part::RawScore | Part::PredictedScore, _) => {
                PythonValue::Float(first)
            }
        }
    }
}

impl Task {
    /// Whether the container answers this part.
    fn has(self, part: Part) -> bool {
        match part {
            Part::PredictedScore => self == Self::Regression,
            Part::Probability | Part::Probabilities => matches!(self, Self::Logistic | Self::Softprob),
            Part::PredictedLabel | Part::Labels | Part::RawScore | Part::RawScores => self != Self::Regression,
        }
    }

    fn of(objective: &str) -> Option<Self> {
        Some(match objective {
            "reg:squarederror" | "reg:linear" | "reg:logistic" | "reg:gamma" | "reg:absoluteerror" | "reg:tweedie" => {
                Self::Regression
            }
            "binary:logistic" => Self::Logistic,
            "binary:logitraw" => Self::Logitraw,
            "binary:hinge" => Self::Hinge,
            "multi:softmax" => Self::Softmax,
            "multi:softprob" => Self::Softprob,
            _ => return None,
        })
    }
}
