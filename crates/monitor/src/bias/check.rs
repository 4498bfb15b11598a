//! `constraint_violations.json` of bias: metrics that got worse than at the baseline.
//!
//! A metric is worse when it is farther from balance: from 0, and of disparate impact, a ratio, from 1 as its logarithm
//! tells. Worse within what chance explains is no violation: the interval must lie outside what the baseline allows, as
//! Clarify's bias monitor describes it; what has no interval is judged by its value.
//!
//! Invariant: violations come in the order of the metrics. Refuses to: judge what either side could not compute.

use serde::{Deserialize, Serialize};

use super::{Analysis, FacetMetrics, Interval};

/// The file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BiasViolations {
    /// Always `1.0`.
    pub version: String,
    /// Empty when all is well.
    pub violations: Vec<BiasViolation>,
}

/// One metric that got worse.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BiasViolation {
    /// The column.
    pub facet: String,
    /// Its values.
    pub facet_value: String,
    /// The metric.
    pub metric_name: String,
    /// Always `bias_drift_check`.
    pub constraint_check_type: String,
    /// What was found and what the baseline allows.
    pub description: String,
}

/// A metric of a facet with its interval.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BiasFinding {
    /// The column.
    pub facet: String,
    /// Its values.
    pub value_or_threshold: String,
    /// The metric.
    pub metric: String,
    /// Its value; `null` where it is none or infinite.
    pub value: Option<f64>,
    /// Where it lies with 95 % confidence, where that is known.
    pub interval: Interval,
    /// Why it cannot be computed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// How far from balance.
fn distance(metric: &str, value: f64) -> f64 {
    if metric == "DI" { value.ln().abs() } else { value.abs() }
}

/// The nearest to balance that an interval comes.
fn nearest(metric: &str, [low, high]: [f64; 2]) -> f64 {
    let (balance, low) = if metric == "DI" { (1.0, low.max(0.0)) } else { (0.0, low) };
    if (low..=high).contains(&balance) { 0.0 } else { distance(metric, low).min(distance(metric, high)) }
}

/// What came of holding findings to a baseline.
#[derive(Debug, Clone, PartialEq)]
pub struct BiasChecked {
    /// What got worse; `None` where nothing could be judged.
    pub violations: Option<BiasViolations>,
    /// What was not judged, or is worse by chance only, in words.
    pub notes: Vec<String>,
}

/// Holds findings to a baseline.
#[must_use]
pub fn check(found: &[BiasFinding], baseline: &Analysis, by_value: bool) -> BiasChecked {
    let (mut violations, mut notes) = (Vec::new(), Vec::new());
    let mut judged = 0;
    for finding in found {
        let BiasFinding { facet, value_or_threshold, metric, .. } = finding;
        let name = || format!("{metric} of {facet} {value_or_threshold}");
        let Some(allowed) = allowed(baseline, finding) else {
            let unknown = !baseline_facets(baseline, finding).any(|_| true);
            let note = if unknown {
                format!("{facet} {value_or_threshold}: the baseline does not know this facet")
            } else {
                format!("{}: the baseline has no value, so it was not judged", name())
            };
            if notes.last() != Some(&note) {
                notes.push(note);
            }
            continue;
        };
        let Some(value) = finding.value else {
            let reason = finding.error.as_deref().unwrap_or("it is infinite");
            notes.push(format!("{}: not judged, {reason}", name()));
            continue;
        };
        judged += 1;
        let limit = distance(metric, allowed);
        if distance(metric, value) <= limit {
            continue;
        }
        match finding.interval.filter(|_| !by_value) {
            Some(interval) if nearest(metric, interval) <= limit => {
                notes.push(format!(
                    "{}: {value} is worse than the baseline's {allowed}, but chance may explain it",
                    name()
                ));
            }
            _ => violations.push(BiasViolation {
                facet: facet.clone(),
                facet_value: value_or_threshold.clone(),
                metric_name: metric.clone(),
                constraint_check_type: "bias_drift_check".to_owned(),
                description: format!("Metric value {value} doesn't meet the baseline constraint requirement {allowed}"),
            }),
        }
    }
    let violations = BiasViolations { version: "1.0".to_owned(), violations };
    BiasChecked { violations: (judged > 0).then_some(violations), notes }
}

/// The baseline's value of the same metric of the same facet.
fn allowed(baseline: &Analysis, finding: &BiasFinding) -> Option<f64> {
    let mut metrics = baseline_facets(baseline, finding).flat_map(|facet| &facet.metrics);
    metrics.find(|metric| metric.name == finding.metric)?.value
}

fn baseline_facets<'a>(baseline: &'a Analysis, finding: &'a BiasFinding) -> impl Iterator<Item = &'a FacetMetrics> {
    let facets = baseline.stages().flat_map(|metrics| &metrics.facets.0).filter(|facet| facet.0 == finding.facet);
    let wanted = finding.value_or_threshold.as_str();
    let same = move |value: &str| value == wanted || same_threshold(value, wanted);
    facets.flat_map(|facet| &facet.1).filter(move |facet| same(&facet.value_or_threshold))
}

/// `(40, 65]` and `(40, 71]` are the same threshold; their other ends are the largest number that was seen.
fn same_threshold(a: &str, b: &str) -> bool {
    let threshold = |text: &str| -> Option<f64> { text.strip_prefix('(')?.split_once(',')?.0.trim().parse().ok() };
    threshold(a).is_some_and(|a| threshold(b) == Some(a))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bias::read_json;

    fn baseline(metric: &str, facet_value: &str, value: &str) -> Analysis {
        read_json(&format!(
            r#"{{"version":"1.0","post_training_bias_metrics":{{"label":"y","facets":{{"sex":[{{"value_or_threshold":
            "{facet_value}","metrics":[{{"name":"{metric}","description":"","value":{value}}}]}}]}},
            "label_value_or_threshold":"1"}}}}"#
        ))
        .unwrap()
    }

    fn finding(metric: &str, value: f64, interval: Interval) -> BiasFinding {
        BiasFinding {
            facet: "sex".into(),
            value_or_threshold: "0".into(),
            metric: metric.into(),
            value: Some(value),
            interval,
            error: None,
        }
    }

    fn violates(metric: &str, before: &str, now: f64, interval: Interval) -> bool {
        let found = check(&[finding(metric, now, interval)], &baseline(metric, "0", before), false);
        let violates = !found.violations.unwrap().violations.is_empty();
        assert!(!violates || found.notes.is_empty());
        violates
    }

    #[test]
    fn farther_from_balance_violates_unless_chance_explains_it() {
        // The documentation's example: of a baseline of 0.2, 0.1 is nearer to 0 and -0.3 is farther.
        assert!(!violates("DPPL", "0.2", 0.1, None));
        assert!(violates("DPPL", "0.2", -0.3, None));
        assert!(violates("DPPL", "0.2", -0.3, Some([-0.35, -0.25])));
        assert!(!violates("DPPL", "0.2", -0.3, Some([-0.45, -0.15])));
        assert!(!violates("DI", "0.5", 1.9, None), "a ratio and its reciprocal are equally far from 1");
        assert!(violates("DI", "0.5", 2.2, Some([2.1, 2.3])));
        assert!(violates("DI", "0.8", 0.5, Some([0.4, 0.6])));
        assert!(!violates("TE", "-Infinity", 9.0, None));
    }

    #[test]
    fn violations_are_worded_as_clarify_words_them() {
        let one = |interval, by_value| check(&[finding("DAR", 0.4, interval)], &baseline("DAR", "0", "0.1"), by_value);
        let found = one(None, false).violations.unwrap();
        let violation = &found.violations[0];
        assert_eq!(violation.description, "Metric value 0.4 doesn't meet the baseline constraint requirement 0.1");
        assert_eq!(
            (violation.facet_value.as_str(), violation.constraint_check_type.as_str()),
            ("0", "bias_drift_check")
        );
        let by_chance = one(Some([0.0, 0.8]), false);
        assert!(by_chance.violations.unwrap().violations.is_empty() && by_chance.notes[0].contains("chance"));
        assert_eq!(one(Some([0.0, 0.8]), true).violations.unwrap().violations.len(), 1, "by value alone, as asked");
    }

    #[test]
    fn what_the_baseline_does_not_know_is_not_fine_but_not_judged() {
        let unknown = check(&[finding("AD", 0.4, None)], &baseline("DAR", "0", "0.1"), false);
        assert_eq!(unknown.violations, None);
        assert!(unknown.notes[0].contains("the baseline has no value"), "{unknown:?}");
        let facet = check(&[finding("AD", 0.4, None), finding("DAR", 0.4, None)], &baseline("DAR", "1", "0.1"), false);
        assert_eq!(facet.notes, ["sex 0: the baseline does not know this facet"]);
    }

    #[test]
    fn thresholds_are_the_same_whatever_the_largest_number_was() {
        assert!(same_threshold("(40, 65]", "(40, 71]") && same_threshold("(40.0, 65.5]", "(40, 71]"));
        assert!(!same_threshold("(40, 65]", "(41, 65]") && !same_threshold("0", "1"));
    }
}
