//! `constraints.json`: what a baseline promises, suggested from a profile, read back with all overrides.
//!
//! ```text
//! { "version" : 0.0, "features" : [ { "name", "inferred_type", "completeness",
//!     "num_constraints" : { "is_non_negative" } | "string_constraints" : { "domains" : [ … ] },
//!     "monitoring_config_overrides" : { … } } ],
//!   "monitoring_config" : { "evaluate_constraints", "emit_metrics", "datatype_check_threshold",
//!     "domain_content_threshold", "distribution_constraints" : { "perform_comparison", "comparison_threshold",
//!     "comparison_method", "categorical_comparison_threshold", "categorical_drift_method" } } }
//! ```
//!
//! Overrides of one feature are read from `monitoring_config_overrides` (real files), `monitoringConfigOverrides` (the
//! guide) and from inside `string_constraints` or `num_constraints` (the Python SDK). The defaults are those of real
//! files: thresholds of 1.0 for types and domains, 0.1 for distances.

use serde::{Deserialize, Serialize};

use crate::artefact::domain;
use crate::profile::{DatasetProfile, InferredType};

/// Most values of a domain.
pub const MAX_DOMAIN: usize = 120;
/// Most values of a domain as a share of the rows.
pub const MAX_DOMAIN_SHARE: f64 = 0.1;

/// The file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Constraints {
    /// Always 0.0.
    #[serde(default)]
    pub version: f64,
    /// One per column, in the order of the columns.
    pub features: Vec<FeatureConstraints>,
    /// What is checked, and how strictly.
    #[serde(default)]
    pub monitoring_config: MonitoringConfig,
}

/// What one column promises.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FeatureConstraints {
    /// Its name.
    pub name: String,
    /// Its type.
    pub inferred_type: InferredType,
    /// Smallest share of rows with a value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completeness: Option<f64>,
    /// Of numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub num_constraints: Option<NumConstraints>,
    /// Of texts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub string_constraints: Option<StringConstraints>,
    /// What is checked differently for this column.
    #[serde(default, alias = "monitoringConfigOverrides", skip_serializing_if = "Option::is_none")]
    pub monitoring_config_overrides: Option<MonitoringConfig>,
}

/// Of numbers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct NumConstraints {
    /// No value is below zero.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_non_negative: Option<bool>,
    /// Where the Python SDK may put overrides.
    #[serde(default, alias = "monitoringConfigOverrides", skip_serializing_if = "Option::is_none")]
    pub monitoring_config_overrides: Option<MonitoringConfig>,
}

/// Of texts.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct StringConstraints {
    /// The values that may occur.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domains: Option<Vec<String>>,
    /// Where the Python SDK puts overrides.
    #[serde(default, alias = "monitoringConfigOverrides", skip_serializing_if = "Option::is_none")]
    pub monitoring_config_overrides: Option<MonitoringConfig>,
}

/// `Enabled` or `Disabled`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Switch {
    /// On.
    Enabled,
    /// Off.
    Disabled,
}

/// How distances between distributions are judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ComparisonMethod {
    /// The distance less what samples of this size differ by chance.
    Robust,
    /// The distance as it is.
    Simple,
}

/// Which distance between categorical distributions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum CategoricalDriftMethod {
    /// Largest difference of proportions.
    LInfinity,
    /// p-value of the chi-square test.
    ChiSquared,
}

/// What is checked, and how strictly. Absent members take their value from the level above, in the end the default.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct MonitoringConfig {
    /// Whether anything is checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evaluate_constraints: Option<Switch>,
    /// Whether metrics are emitted; kept for the file's sake.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub emit_metrics: Option<Switch>,
    /// Share of values that must be of the type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub datatype_check_threshold: Option<f64>,
    /// Share of values that must be in the domain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain_content_threshold: Option<f64>,
    /// Comparison with the baseline's distributions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distribution_constraints: Option<DistributionConstraints>,
}

/// Comparison with the baseline's distributions.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct DistributionConstraints {
    /// Whether to compare.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub perform_comparison: Option<Switch>,
    /// Distance of numbers that is still fine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comparison_threshold: Option<f64>,
    /// How distances are judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comparison_method: Option<ComparisonMethod>,
    /// Distance of categories that is still fine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub categorical_comparison_threshold: Option<f64>,
    /// Which distance of categories.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub categorical_drift_method: Option<CategoricalDriftMethod>,
}

/// The configuration that holds for one column, complete.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rules {
    /// Whether the column is checked.
    pub evaluate: bool,
    /// Share of values that must be of the type.
    pub datatype_check_threshold: f64,
    /// Share of values that must be in the domain.
    pub domain_content_threshold: f64,
    /// Whether distributions are compared.
    pub compare: bool,
    /// Distance of numbers that is still fine.
    pub comparison_threshold: f64,
    /// How distances are judged.
    pub comparison_method: ComparisonMethod,
    /// Distance of categories that is still fine.
    pub categorical_comparison_threshold: f64,
    /// Which distance of categories.
    pub categorical_drift_method: CategoricalDriftMethod,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            evaluate: true,
            datatype_check_threshold: 1.0,
            domain_content_threshold: 1.0,
            compare: true,
            comparison_threshold: 0.1,
            comparison_method: ComparisonMethod::Robust,
            categorical_comparison_threshold: 0.1,
            categorical_drift_method: CategoricalDriftMethod::LInfinity,
        }
    }
}

impl Rules {
    fn overridden_by(mut self, config: &MonitoringConfig) -> Self {
        let set = |target: &mut bool, switch: Option<Switch>| {
            if let Some(switch) = switch {
                *target = switch == Switch::Enabled;
            }
        };
        set(&mut self.evaluate, config.evaluate_constraints);
        self.datatype_check_threshold = config.datatype_check_threshold.unwrap_or(self.datatype_check_threshold);
        self.domain_content_threshold = config.domain_content_threshold.unwrap_or(self.domain_content_threshold);
        if let Some(distribution) = &config.distribution_constraints {
            set(&mut self.compare, distribution.perform_comparison);
            self.comparison_threshold = distribution.comparison_threshold.unwrap_or(self.comparison_threshold);
            self.comparison_method = distribution.comparison_method.unwrap_or(self.comparison_method);
            self.categorical_comparison_threshold =
                distribution.categorical_comparison_threshold.unwrap_or(self.categorical_comparison_threshold);
            self.categorical_drift_method =
                distribution.categorical_drift_method.unwrap_or(self.categorical_drift_method);
        }
        self
    }

    /// As a whole configuration block, the way files carry it.
    #[must_use]
    pub fn as_config(&self) -> MonitoringConfig {
        let switch = |on: bool| Some(if on { Switch::Enabled } else { Switch::Disabled });
        MonitoringConfig {
            evaluate_constraints: switch(self.evaluate),
            emit_metrics: switch(true),
            datatype_check_threshold: Some(self.datatype_check_threshold),
            domain_content_threshold: Some(self.domain_content_threshold),
            distribution_constraints: Some(DistributionConstraints {
                perform_comparison: switch(self.compare),
                comparison_threshold: Some(self.comparison_threshold),
                comparison_method: Some(self.comparison_method),
                categorical_comparison_threshold: Some(self.categorical_comparison_threshold),
                categorical_drift_method: Some(self.categorical_drift_method),
            }),
        }
    }
}

impl Constraints {
    /// Suggests constraints that the profiled data satisfies.
    #[must_use]
    pub fn suggest(profile: &DatasetProfile) -> Self {
        let features = profile.columns.iter().map(|column| {
            let inferred_type = column.inferred_type();
            let numeric = matches!(inferred_type, InferredType::Integral | InferredType::Fractional);
            let is_non_negative = column.moments.min().filter(|_| numeric).map(|min| min >= 0.0);
            let num_constraints = is_non_negative.map(|is_non_negative| NumConstraints {
                is_non_negative: Some(is_non_negative),
                ..NumConstraints::default()
            });
            let string_constraints = domain(column).map(|counts| StringConstraints {
                domains: Some(counts.into_keys().map(str::to_owned).collect()),
                ..StringConstraints::default()
            });
            FeatureConstraints {
                name: column.name.clone(),
                inferred_type,
                completeness: Some(column.completeness()),
                num_constraints,
                string_constraints,
                monitoring_config_overrides: None,
            }
        });
        Self { version: 0.0, features: features.collect(), monitoring_config: Rules::default().as_config() }
    }

    /// The rules of one column: defaults, then the file's, then the column's own from all places they may stand in.
    #[must_use]
    pub fn rules(&self, feature: &FeatureConstraints) -> Rules {
        let inside_numbers = feature.num_constraints.as_ref().and_then(|n| n.monitoring_config_overrides.as_ref());
        let inside_strings = feature.string_constraints.as_ref().and_then(|s| s.monitoring_config_overrides.as_ref());
        [Some(&self.monitoring_config), inside_numbers, inside_strings, feature.monitoring_config_overrides.as_ref()]
            .into_iter()
            .flatten()
            .fold(Rules::default(), Rules::overridden_by)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"{"version": 0.0, "features": [
        {"name": "a", "inferred_type": "Integral", "completeness": 1.0, "num_constraints": {"is_non_negative": true},
         "monitoring_config_overrides": {"distribution_constraints": {"comparison_threshold": 0.3}}},
        {"name": "b", "inferred_type": "String", "string_constraints": {"domains": ["x"],
         "monitoring_config_overrides": {"evaluate_constraints": "Disabled"}}},
        {"name": "c", "inferred_type": "Boolean", "monitoringConfigOverrides": {"datatype_check_threshold": 0.5}},
        {"name": "d", "inferred_type": "Fractional"}],
        "monitoring_config": {"evaluate_constraints": "Enabled", "distribution_constraints": {"comparison_method": "Simple"}}}"#;

    #[test]
    fn overrides_are_found_in_all_three_places() {
        let constraints: Constraints = serde_json::from_str(FILE).unwrap();
        let rules: Vec<Rules> = constraints.features.iter().map(|feature| constraints.rules(feature)).collect();
        assert_eq!((rules[0].comparison_threshold, rules[0].comparison_method), (0.3, ComparisonMethod::Simple));
        assert_eq!((rules[1].evaluate, rules[2].datatype_check_threshold), (false, 0.5));
        assert_eq!(rules[3], Rules { comparison_method: ComparisonMethod::Simple, ..Rules::default() });
        assert_eq!(constraints.features[2].inferred_type, InferredType::Unknown);
    }
}
