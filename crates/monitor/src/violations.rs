//! A profile against what a baseline promises: every check of Model Monitor, in its texts.
//!
//! Columns are paired by name (positional names come from the baseline, so that is by position when the data has none).
//! Invariant: violations come in the order of the baseline's columns, column checks first, and depend on the profile
//! and the baseline only. What AWS has no check type for (negative values, too little data) is said in
//! [`Findings::notes`], not among the violations.

use std::collections::{HashMap, HashSet};

use serde::Serialize;

use crate::artefact::{CheckType, FeatureStatistics, Statistics, Violation, java_double};
use crate::constraints::{CategoricalDriftMethod, Constraints, FeatureConstraints, Rules};
use crate::drift::{categorical_distance, chi_square_p_value, judged, numeric_distance, total};
use crate::notes;
use crate::profile::{ColumnProfile, DatasetProfile, InferredType};

/// What a check found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Findings {
    /// What does not hold.
    pub violations: Vec<Violation>,
    /// Every comparison with the baseline's distributions, drifted or not.
    pub drifts: Vec<FeatureDrift>,
    /// What a person should know and AWS's file has no place for.
    pub notes: Vec<String>,
}

/// The comparison of one column with the baseline.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FeatureDrift {
    /// The column.
    pub feature: String,
    /// Distance as the configured method judges it; of `ChiSquared` the p-value.
    pub distance: f64,
    /// The threshold it was compared with.
    pub threshold: f64,
    /// Whether it counts as drift.
    pub drifted: bool,
    /// Whether the column is compared by categories.
    pub categorical: bool,
}

/// Whether the columns of the data are those of the baseline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pairing {
    /// Columns of the same name are the same; names the baseline gave by position count.
    ByName,
    /// Rows have another width and no names of their own, so no column can be told to be one of the baseline's.
    Unknown,
}

/// Checks a profile against constraints and, where the baseline's statistics are there, against its distributions.
/// Without pairing only the number of columns is checked.
#[must_use]
pub fn check(
    current: &DatasetProfile,
    pairing: Pairing,
    constraints: &Constraints,
    baseline: Option<&Statistics>,
) -> Findings {
    let mut checking = Checking::of(pairing, constraints, baseline);
    checking.take(&current.columns);
    checking.end(&current.names().collect::<Vec<_>>())
}

/// A check of columns that come some at a time.
pub(crate) struct Checking<'a> {
    pairing: Pairing,
    constraints: &'a Constraints,
    statistics: HashMap<&'a str, &'a FeatureStatistics>,
    /// By the places of the features in the constraints.
    found: Vec<Findings>,
}

impl<'a> Checking<'a> {
    pub(crate) fn of(pairing: Pairing, constraints: &'a Constraints, baseline: Option<&'a Statistics>) -> Self {
        let statistics = baseline.into_iter().flat_map(|baseline| &baseline.features);
        Self {
            pairing,
            constraints,
            statistics: statistics.map(|feature| (feature.name.as_str(), feature)).collect(),
            found: vec![Findings::default(); constraints.features.len()],
        }
    }

    /// Checks some of the columns.
    pub(crate) fn take(&mut self, columns: &[ColumnProfile]) {
        let by_name: HashMap<&str, &ColumnProfile> =
            columns.iter().map(|column| (column.name.as_str(), column)).collect();
        for (feature, findings) in self.constraints.features.iter().zip(&mut self.found) {
            let rules = self.constraints.rules(feature);
            let is_checked = rules.evaluate && self.pairing == Pairing::ByName;
            let Some(column) = by_name.get(feature.name.as_str()).filter(|_| is_checked) else { continue };
            check_type(column, feature, &rules, findings);
            check_completeness(column, feature, findings);
            check_domain(column, feature, &rules, findings);
            note_sign(column, feature, findings);
            if let Some(statistics) = self.statistics.get(feature.name.as_str()).filter(|_| rules.compare) {
                check_drift(column, statistics, &rules, findings);
            }
        }
    }

    /// What was found of all columns, which have these names.
    pub(crate) fn end(self, names: &[&str]) -> Findings {
        let mut findings = Findings::default();
        if self.constraints.monitoring_config.evaluate_constraints != Some(crate::constraints::Switch::Disabled) {
            check_columns(names, self.pairing, self.constraints, &mut findings);
        }
        for mut found in self.found {
            findings.violations.append(&mut found.violations);
            findings.drifts.append(&mut found.drifts);
            findings.notes.append(&mut found.notes);
        }
        findings
    }
}

fn check_columns(names: &[&str], pairing: Pairing, constraints: &Constraints, findings: &mut Findings) {
    let known: HashSet<&str> = names.iter().copied().filter(|_| pairing == Pairing::ByName).collect();
    let (now, then) = (names.len(), constraints.features.len());
    let promised: HashSet<&str> = constraints.features.iter().map(|f| f.name.as_str()).collect();
    let paired = known.iter().filter(|name| promised.contains(*name)).count();
    let mut violation = |kind: &str, constraint_check_type, names: Vec<&str>| {
        let mut description = format!(
            "There are {kind} columns in current dataset. Number of columns in current dataset: {now}, Number of columns \
             in baseline constraints: {then}"
        );
        if paired > 0 {
            description.push_str(&format!(". The {kind} columns: {}", names.join(", ")));
        }
        let mut feature_name = format!("{kind} columns");
        feature_name[..1].make_ascii_uppercase();
        findings.violations.push(Violation { feature_name, constraint_check_type, description });
    };
    let missing: Vec<&str> =
        constraints.features.iter().map(|f| f.name.as_str()).filter(|n| !known.contains(n)).collect();
    let extra: Vec<&str> = names.iter().copied().filter(|name| !promised.contains(name)).collect();
    if now < then || (now == then && !missing.is_empty()) || (paired > 0 && !missing.is_empty()) {
        violation("missing", CheckType::MissingColumnCheck, missing);
    }
    if now > then || (now == then && !extra.is_empty()) || (paired > 0 && !extra.is_empty()) {
        violation("extra", CheckType::ExtraColumnCheck, extra);
    }
}

fn check_type(column: &ColumnProfile, feature: &FeatureConstraints, rules: &Rules, findings: &mut Findings) {
    let present = column.present();
    let kinds = column.kinds;
    let matching = match feature.inferred_type {
        InferredType::Unknown => return,
        InferredType::Integral => kinds.integral,
        InferredType::Fractional => kinds.integral + kinds.fractional,
        // Any value can be text, so a text column is only wrong when it holds nothing but numbers it did not hold before.
        InferredType::String if kinds.text == 0 && share_in_domain(column, feature) != Some(1.0) => 0,
        InferredType::String => present,
    };
    if present > 0 && (matching as f64 / present as f64) < rules.datatype_check_threshold {
        let expected = format!("{:?}", feature.inferred_type);
        let description = format!(
            "Data type match requirement is not met. Expected data type: {expected}, Expected match: {}%. Observed: Only \
             {}% of data is {expected}.",
            percent(rules.datatype_check_threshold),
            percent(matching as f64 / present as f64),
        );
        findings.push(feature, CheckType::DataTypeCheck, description);
    }
}

fn check_completeness(column: &ColumnProfile, feature: &FeatureConstraints, findings: &mut Findings) {
    let observed = column.completeness();
    if let Some(expected) = feature.completeness.filter(|&expected| observed < expected) {
        let description = format!(
            "Data completeness requirement is not met. Expected: {}%. Observed: Only {}%.",
            percent(expected),
            percent(observed)
        );
        findings.push(feature, CheckType::CompletenessCheck, description);
    }
}

fn check_domain(column: &ColumnProfile, feature: &FeatureConstraints, rules: &Rules, findings: &mut Findings) {
    let Some(share) = share_in_domain(column, feature) else { return };
    if share < rules.domain_content_threshold {
        let description = format!("Value: {} does not meet the constraint requirement!", java_double(share));
        findings.push(feature, CheckType::CategoricalValuesCheck, description);
    }
}

/// Share of the present values inside the domain; `None` without a domain or without values. A column with so many
/// values that they were not counted has at least one outside; how many is not known, so none counts as inside.
fn share_in_domain(column: &ColumnProfile, feature: &FeatureConstraints) -> Option<f64> {
    let domains = feature.string_constraints.as_ref()?.domains.as_ref()?;
    let present = column.present();
    if present == 0 {
        return None;
    }
    let Some(counts) = column.categories.counts() else { return Some(0.0) };
    let inside: u64 = domains.iter().filter_map(|value| counts.get(value.as_str())).sum();
    Some(inside as f64 / present as f64)
}

fn note_sign(column: &ColumnProfile, feature: &FeatureConstraints, findings: &mut Findings) {
    let promised = feature.num_constraints.as_ref().and_then(|constraints| constraints.is_non_negative);
    if let (Some(true), Some(min)) = (promised, column.moments.min())
        && min < 0.0
    {
        findings.notes.push(notes::BELOW_ZERO.say(&[&feature.name, &java_double(min)]));
    }
}

fn check_drift(column: &ColumnProfile, baseline: &FeatureStatistics, rules: &Rules, findings: &mut Findings) {
    let sketch = match baseline.sketch() {
        Ok(sketch) => sketch,
        Err(error) => {
            return findings.notes.push(notes::SKETCH_UNUSABLE.say(&[&column.name, &error.to_string()]));
        }
    };
    let compared = match (sketch, baseline.categories(), column.categories.counts()) {
        (Some(sketch), _, _) => {
            let (n, m) = (sketch.rows(), column.quantiles.rows());
            numeric_distance(&sketch.weighted(), &column.quantiles.weighted())
                .map(|distance| (judged(distance, rules.comparison_method, n, m), rules.comparison_threshold, false))
        }
        (None, Some(then), Some(now)) if rules.categorical_drift_method == CategoricalDriftMethod::ChiSquared => {
            let p_value = chi_square_p_value(&then, &now);
            if p_value.is_none() {
                findings.notes.push(notes::TOO_FEW_FOR_CHI_SQUARE.say(&[&column.name]));
            }
            p_value.map(|p_value| (p_value, rules.categorical_comparison_threshold, true))
        }
        (None, Some(then), Some(now)) => {
            let (n, m) = (total(&then), total(&now));
            categorical_distance(&then, &now).map(|distance| {
                (judged(distance, rules.comparison_method, n, m), rules.categorical_comparison_threshold, true)
            })
        }
        _ => None,
    };
    let Some((distance, threshold, categorical)) = compared else { return };
    let chi_squared = categorical && rules.categorical_drift_method == CategoricalDriftMethod::ChiSquared;
    let drifted = if chi_squared { distance < threshold } else { distance > threshold };
    findings.drifts.push(FeatureDrift { feature: column.name.clone(), distance, threshold, drifted, categorical });
    if drifted {
        let (distance, threshold) = (java_double(distance), java_double(threshold));
        let description = if chi_squared {
            format!("Baseline drift p-value: {distance} is below threshold: {threshold}")
        } else {
            format!("Baseline drift distance: {distance} exceeds threshold: {threshold}")
        };
        findings.violations.push(Violation {
            feature_name: column.name.clone(),
            constraint_check_type: CheckType::BaselineDriftCheck,
            description,
        });
    }
}

impl Findings {
    fn push(&mut self, feature: &FeatureConstraints, constraint_check_type: CheckType, description: String) {
        self.violations.push(Violation { feature_name: feature.name.clone(), constraint_check_type, description });
    }
}

/// A share as a percentage with all its digits, the way AWS prints it: `100.0`, `95.23809523809524`.
fn percent(share: f64) -> String {
    java_double(share * 100.0)
}

#[cfg(test)]
mod tests;
