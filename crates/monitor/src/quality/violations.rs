//! `constraints.json` and `constraint_violations.json` of model quality.
//!
//! ```text
//! { "version" : 0.0, "binary_classification_constraints" : { "recall" : { "threshold" : 0.5,
//!   "comparison_operator" : "LessThanThreshold" }, … } }
//! { "violations" : [ { "constraint_check_type" : "LessThanThreshold", "description" : "Metric auc with 0.7 +/- 0.01
//!   was LessThanThreshold '0.8'", "metric_name" : "auc" } ] }
//! ```
//!
//! Invariant: violations come in the order of the constraints. A metric that is not defined violates nothing; it is
//! named among the notes. Refuses to: suggest a threshold that is no number.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{Metric, ProblemType};
use crate::artefact::java_double;

/// When a metric violates its constraint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Operator {
    /// When it is below the threshold.
    LessThanThreshold,
    /// When it is above.
    GreaterThanThreshold,
}

/// One promise.
#[derive(Debug, Clone, PartialEq)]
pub struct QualityConstraint {
    /// Name of the metric, as in the statistics.
    pub metric: String,
    /// The threshold.
    pub threshold: f64,
    /// What violates it.
    pub operator: Operator,
}

/// The file of constraints.
#[derive(Debug, Clone, PartialEq)]
pub struct QualityConstraints {
    /// Of which problem.
    pub problem: ProblemType,
    /// In order.
    pub constraints: Vec<QualityConstraint>,
}

/// The file of violations.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QualityViolations {
    /// In the order of the constraints; empty when all is well.
    pub violations: Vec<QualityViolation>,
}

/// One broken promise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QualityViolation {
    /// The operator that held.
    pub constraint_check_type: Operator,
    /// What was found and what was promised.
    pub description: String,
    /// The metric, in Java's spelling: `truePositiveRate`.
    pub metric_name: String,
}

/// Metrics that are promised, and what violates the promise.
fn promised(problem: ProblemType) -> &'static [(&'static str, Operator)] {
    use Operator::{GreaterThanThreshold as Greater, LessThanThreshold as Less};
    match problem {
        ProblemType::BinaryClassification => &[
            ("recall", Less),
            ("precision", Less),
            ("accuracy", Less),
            ("true_positive_rate", Less),
            ("true_negative_rate", Less),
            ("false_positive_rate", Greater),
            ("false_negative_rate", Greater),
            ("auc", Less),
            ("f0_5", Less),
            ("f1", Less),
            ("f2", Less),
        ],
        ProblemType::MulticlassClassification => &[
            ("accuracy", Less),
            ("weighted_recall", Less),
            ("weighted_precision", Less),
            ("weighted_f0_5", Less),
            ("weighted_f1", Less),
            ("weighted_f2", Less),
        ],
        ProblemType::Regression => &[("mae", Greater), ("mse", Greater), ("rmse", Greater), ("r2", Less)],
    }
}

impl QualityConstraints {
    /// Constraints that hold the model to what it was at the baseline.
    #[must_use]
    pub fn suggest(problem: ProblemType, metrics: &[Metric]) -> Self {
        let value = |name: &str| metrics.iter().find(|metric| metric.name == name).map(|metric| metric.value);
        let constraint = |&(metric, operator): &(&'static str, Operator)| {
            let threshold = value(metric).filter(|value| value.is_finite())?;
            Some(QualityConstraint { metric: metric.to_owned(), threshold, operator })
        };
        Self { problem, constraints: promised(problem).iter().filter_map(constraint).collect() }
    }

    /// Holds metrics to the constraints; what could not be judged is said in the second part.
    #[must_use]
    pub fn check(&self, metrics: &[Metric]) -> (QualityViolations, Vec<String>) {
        let (mut violations, mut notes) = (Vec::new(), Vec::new());
        for constraint in &self.constraints {
            let name = &constraint.metric;
            let Some(metric) = metrics.iter().find(|metric| metric.name == name) else {
                notes.push(format!("{name}: the baseline has a constraint on it, but it is not computed here"));
                continue;
            };
            let violated = match constraint.operator {
                Operator::LessThanThreshold => metric.value < constraint.threshold,
                Operator::GreaterThanThreshold => metric.value > constraint.threshold,
            };
            if metric.value.is_nan() {
                notes.push(format!("{name}: not defined for these rows, so its constraint was not judged"));
            } else if violated {
                let (operator, java_name) = (constraint.operator, camel_case(name));
                let description = format!(
                    "Metric {java_name} with {} +/- {} was {operator:?} '{}'",
                    java_double(metric.value),
                    java_double(metric.standard_deviation),
                    java_double(constraint.threshold),
                );
                violations.push(QualityViolation {
                    constraint_check_type: operator,
                    description,
                    metric_name: java_name,
                });
            }
        }
        (QualityViolations { violations }, notes)
    }

    /// Reads the file, whatever else stands in it.
    ///
    /// # Errors
    /// Why it holds no constraints of this problem.
    pub fn parse(value: &Value, problem: ProblemType) -> Result<Self, String> {
        let section = format!("{}_constraints", problem.section());
        let members = value.get(&section).and_then(Value::as_object);
        let members = members.ok_or_else(|| format!("it has no {section:?}"))?;
        let mut constraints = Vec::new();
        for (metric, constraint) in members {
            let operator = constraint.get("comparison_operator").cloned().unwrap_or(Value::Null);
            let operator = serde_json::from_value(operator).map_err(|error| format!("{metric}: {error}"))?;
            let threshold = constraint.get("threshold").and_then(Value::as_f64);
            // A baseline that could not compute a metric writes "NaN", which promises nothing.
            let Some(threshold) = threshold else { continue };
            constraints.push(QualityConstraint { metric: metric.clone(), threshold, operator });
        }
        Ok(Self { problem, constraints })
    }
}

impl Serialize for QualityConstraints {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut members = Map::new();
        for QualityConstraint { metric, threshold, operator } in &self.constraints {
            members.insert(metric.clone(), json!({"threshold": threshold, "comparison_operator": operator}));
        }
        let mut file = Map::new();
        file.insert("version".into(), json!(0.0));
        file.insert(format!("{}_constraints", self.problem.section()), Value::Object(members));
        file.serialize(serializer)
    }
}

/// `true_positive_rate` → `truePositiveRate`; what follows an underscore and is no letter stays as it is.
fn camel_case(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut letters = name.chars().peekable();
    while let Some(letter) = letters.next() {
        match letters.peek() {
            Some(next) if letter == '_' && next.is_ascii_lowercase() => {
                out.push(next.to_ascii_uppercase());
                letters.next();
            }
            _ => out.push(letter),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metric(name: &'static str, value: f64) -> Metric {
        Metric { name, value, standard_deviation: f64::NAN }
    }

    #[test]
    fn names_are_those_of_java() {
        let names = ["auc", "true_positive_rate", "f0_5", "weighted_f0_5"].map(camel_case);
        assert_eq!(names, ["auc", "truePositiveRate", "f0_5", "weightedF0_5"]);
    }

    #[test]
    fn a_model_violates_only_what_got_worse() {
        let baseline = [metric("recall", 0.8), metric("false_positive_rate", 0.1), metric("auc", f64::NAN)];
        let constraints = QualityConstraints::suggest(ProblemType::BinaryClassification, &baseline);
        assert_eq!(constraints.constraints.len(), 2, "no threshold is made of NaN");
        let (same, _) = constraints.check(&baseline);
        assert!(same.violations.is_empty());
        let now = [metric("recall", f64::NAN), metric("false_positive_rate", 0.25)];
        let (found, notes) = constraints.check(&now);
        assert_eq!(
            serde_json::to_value(&found).unwrap(),
            json!({"violations": [{"constraint_check_type": "GreaterThanThreshold", "description":
                "Metric falsePositiveRate with 0.25 +/- NaN was GreaterThanThreshold '0.1'",
                "metric_name": "falsePositiveRate"}]})
        );
        assert!(notes[0].starts_with("recall: not defined"), "{notes:?}");
    }

    #[test]
    fn files_of_aws_and_our_own_are_read_alike() {
        let file = json!({"version": 0.0, "regression_constraints": {
            "mae": {"threshold": 2.5, "comparison_operator": "GreaterThanThreshold", "additional_properties": null},
            "r2": {"threshold": "NaN", "comparison_operator": "LessThanThreshold"}}});
        let constraints = QualityConstraints::parse(&file, ProblemType::Regression).unwrap();
        let mae = QualityConstraint { metric: "mae".into(), threshold: 2.5, operator: Operator::GreaterThanThreshold };
        assert_eq!(constraints.constraints, [mae]);
        let again = serde_json::to_value(&constraints).unwrap();
        assert_eq!(QualityConstraints::parse(&again, ProblemType::Regression).unwrap(), constraints);
        assert!(QualityConstraints::parse(&file, ProblemType::BinaryClassification).unwrap_err().contains("binary"));
    }
}
