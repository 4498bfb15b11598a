//! `constraint_violations.json`.

use serde::{Deserialize, Serialize};

/// The file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConstraintViolations {
    /// What does not hold, columns in order; empty when all is well.
    pub violations: Vec<Violation>,
}

/// One thing that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation {
    /// The column, or `Missing columns` / `Extra columns`.
    pub feature_name: String,
    /// Which check failed.
    pub constraint_check_type: CheckType,
    /// What was expected and what was found.
    pub description: String,
}

/// The checks, in Model Monitor's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckType {
    /// Fewer values of the type than allowed.
    DataTypeCheck,
    /// Fewer present values than in the baseline.
    CompletenessCheck,
    /// The distribution moved.
    BaselineDriftCheck,
    /// Fewer columns than the baseline.
    MissingColumnCheck,
    /// More columns than the baseline.
    ExtraColumnCheck,
    /// Values outside the domain.
    CategoricalValuesCheck,
}

/// The type's name in the file.
impl std::fmt::Display for CheckType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::DataTypeCheck => "data_type_check",
            Self::CompletenessCheck => "completeness_check",
            Self::BaselineDriftCheck => "baseline_drift_check",
            Self::MissingColumnCheck => "missing_column_check",
            Self::ExtraColumnCheck => "extra_column_check",
            Self::CategoricalValuesCheck => "categorical_values_check",
        })
    }
}
