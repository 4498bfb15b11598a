//! Every check, its text, and what switches it off.

use super::*;
use crate::dataset::{Columns, Header, Plan, Reader};

fn profile(header: &str, rows: impl IntoIterator<Item = String>, text: &[&str]) -> DatasetProfile {
    let mut profile = DatasetProfile::default();
    let columns = Columns::named(header.split(',').map(str::to_owned)).with_text(text.iter().copied());
    let mut reader = Reader::new(Plan { columns: Some(columns), ..Plan::default() }, |batch| profile.update(&batch));
    let csv: String = rows.into_iter().map(|row| row + "\n").collect();
    reader.csv("test", csv.as_bytes(), Header::No);
    reader.finish();
    profile
}

fn baseline() -> (Constraints, Statistics) {
    let rows = (0..1000).map(|i| format!("{},{}.5,{},{i}", i % 50, i % 100, ["red", "green", "blue"][i % 3]));
    let profile = profile("n,x,color,id", rows, &["color"]);
    (Constraints::suggest(&profile), Statistics::of(&profile))
}

fn descriptions(current: &DatasetProfile, change: impl FnOnce(&mut Constraints)) -> Vec<(String, CheckType, String)> {
    let (mut constraints, statistics) = baseline();
    change(&mut constraints);
    check(current, pairing_of(current), &constraints, Some(&statistics))
        .violations
        .into_iter()
        .map(|violation| (violation.feature_name, violation.constraint_check_type, violation.description))
        .collect()
}

fn pairing_of(current: &DatasetProfile) -> Pairing {
    if current.names().any(|name| name == "_c0") { Pairing::Unknown } else { Pairing::ByName }
}

fn same(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(|i| format!("{},{}.5,{},{i}", i % 50, i % 100, ["red", "green", "blue"][i % 3]))
}

fn found(feature: &str, check: CheckType, description: &str) -> (String, CheckType, String) {
    (feature.to_owned(), check, description.to_owned())
}

#[test]
fn a_baseline_satisfies_itself_and_suggests_what_real_files_hold() {
    let (constraints, _) = baseline();
    assert!(descriptions(&profile("n,x,color,id", same(1000), &["color"]), |_| ()).is_empty());
    assert_eq!(constraints.features[0].num_constraints.as_ref().unwrap().is_non_negative, Some(true));
    let domains = constraints.features[2].string_constraints.as_ref().unwrap().domains.clone();
    assert_eq!(domains.unwrap(), ["blue", "green", "red"]);
    assert_eq!(constraints.monitoring_config.datatype_check_threshold, Some(1.0));
}

#[test]
fn data_type_and_completeness_print_percentages_with_all_digits() {
    let rows = same(1000).enumerate().map(|(i, row)| match i {
        0..3 => row.replacen(&format!("{},", i % 50), "oops,", 1),
        3..10 => row.replacen(&format!("{},", i % 50), ",", 1),
        _ => row,
    });
    let current = profile("n,x,color,id", rows, &["color"]);
    assert_eq!(
        descriptions(&current, |_| ()),
        [
            found(
                "n",
                CheckType::DataTypeCheck,
                "Data type match requirement is not met. Expected data type: Integral, Expected match: 100.0%. Observed: Only 99.69788519637463% of data is Integral."
            ),
            found(
                "n",
                CheckType::CompletenessCheck,
                "Data completeness requirement is not met. Expected: 100.0%. Observed: Only 99.3%."
            ),
        ]
    );
    let lenient = descriptions(&current, |constraints| {
        constraints.monitoring_config.datatype_check_threshold = Some(0.9);
        constraints.features[0].completeness = Some(0.9);
    });
    assert!(lenient.is_empty());
}

#[test]
fn whole_numbers_satisfy_fractional_but_not_the_other_way_round() {
    let rows = (0..1000).map(|i| format!("{}.25,{},{},{i}", i % 50, i % 100, ["red", "green", "blue"][i % 3]));
    let types: Vec<String> = descriptions(&profile("n,x,color,id", rows, &["color"]), |_| ())
        .into_iter()
        .filter(|violation| violation.1 == CheckType::DataTypeCheck)
        .map(|violation| violation.0)
        .collect();
    assert_eq!(types, ["n"]);
}

#[test]
fn numbers_in_a_text_column_are_no_text() {
    let rows = (0..100).map(|i| format!("{},{}.5,{},{i}", i % 50, i % 100, i % 3));
    let violations = descriptions(&profile("n,x,color,id", rows, &["color"]), |_| ());
    assert!(violations.iter().any(|v| v.2.ends_with("Only 0.0% of data is String.")), "{violations:?}");
}

#[test]
fn drift_is_measured_by_the_configured_method() {
    let rows = (0..1000).map(|i| format!("{},{}.5,{},{i}", i % 50, i % 100 + 30, ["red", "red", "blue"][i % 3]));
    let current = profile("n,x,color,id", rows, &["color"]);
    let robust = descriptions(&current, |_| ());
    let correction = 1.8 * (2000.0_f64 / 1e6).sqrt();
    let (x, color) = ((0.8_f64 - 0.5) - correction, 667.0 / 1000.0 - 334.0 / 1000.0);
    let text = |distance: f64| format!("Baseline drift distance: {} exceeds threshold: 0.1", java_double(distance));
    assert_eq!(robust.len(), 2, "{robust:?}");
    assert_eq!((robust[0].0.as_str(), &robust[0].2), ("x", &text(x)));
    let simple = descriptions(&current, |constraints| {
        let config = constraints.monitoring_config.distribution_constraints.as_mut().unwrap();
        config.comparison_method = Some(crate::constraints::ComparisonMethod::Simple);
    });
    assert_eq!(simple[0].2, text(0.8 - 0.5));
    assert_eq!((simple[1].0.as_str(), &simple[1].2), ("color", &text(color)));
    let chi = descriptions(&current, |constraints| {
        let config = constraints.monitoring_config.distribution_constraints.as_mut().unwrap();
        config.categorical_drift_method = Some(CategoricalDriftMethod::ChiSquared);
    });
    assert!(chi[1].2.starts_with("Baseline drift p-value: ") && chi[1].2.ends_with(" is below threshold: 0.1"));
    let off = descriptions(&current, |constraints| {
        let config = constraints.monitoring_config.distribution_constraints.as_mut().unwrap();
        config.perform_comparison = Some(crate::constraints::Switch::Disabled);
    });
    assert!(off.is_empty());
}

#[test]
fn values_outside_the_domain_are_a_violation_of_their_own() {
    let rows = same(1000).enumerate().map(|(i, row)| if i < 10 { row.replacen("red", "pink", 1) } else { row });
    let violations = descriptions(&profile("n,x,color,id", rows, &["color"]), |_| ());
    assert_eq!(
        violations,
        [found("color", CheckType::CategoricalValuesCheck, "Value: 0.996 does not meet the constraint requirement!")]
    );
}

#[test]
fn missing_and_extra_columns_are_counted_and_named_when_names_are_known() {
    let numbered = |count: usize| DatasetProfile::of_columns(&(0..count).map(|i| format!("_c{i}")).collect::<Vec<_>>());
    assert_eq!(
        descriptions(&numbered(3), |_| ()),
        [found(
            "Missing columns",
            CheckType::MissingColumnCheck,
            "There are missing columns in current dataset. Number of columns in current dataset: 3, Number of columns in baseline constraints: 4"
        )]
    );
    assert_eq!(
        descriptions(&numbered(6), |_| ()),
        [found(
            "Extra columns",
            CheckType::ExtraColumnCheck,
            "There are extra columns in current dataset. Number of columns in current dataset: 6, Number of columns in baseline constraints: 4"
        )]
    );
    let renamed = descriptions(&DatasetProfile::of_columns(&["n", "x", "colour", "id"].map(String::from)), |_| ());
    assert!(renamed[0].2.ends_with("constraints: 4. The missing columns: color"), "{renamed:?}");
    assert!(renamed[1].2.ends_with("constraints: 4. The extra columns: colour"));
}

#[test]
fn a_negative_value_is_noted_and_a_disabled_column_is_left_alone() {
    let rows = same(1000).enumerate().map(|(i, row)| if i == 7 { format!("-{row}") } else { row });
    let current = profile("n,x,color,id", rows, &["color"]);
    let (constraints, statistics) = baseline();
    let findings = check(&current, Pairing::ByName, &constraints, Some(&statistics));
    assert_eq!(findings.notes, ["n: values below zero (smallest -7.0); the baseline had none"]);
    let wild = profile("n,x,color,id", (0..1000).map(|i| format!("x,{i},red,{i}")), &["color"]);
    let disabled = descriptions(&wild, |constraints| {
        constraints.monitoring_config.evaluate_constraints = Some(crate::constraints::Switch::Disabled);
    });
    assert!(disabled.is_empty());
}

#[test]
fn without_statistics_the_constraints_are_still_checked() {
    let (constraints, _) = baseline();
    let current = profile("n,x,color,id", (0..100).map(|i| format!(",{i},red,{i}")), &["color"]);
    let findings = check(&current, Pairing::ByName, &constraints, None);
    assert_eq!(findings.violations.len(), 1);
    assert!(findings.drifts.is_empty());
}

#[test]
fn absurd_numbers_in_a_baseline_do_not_overflow() {
    let (constraints, statistics) = baseline();
    let mut text = serde_json::to_value(&statistics).unwrap();
    let categorical = &mut text["features"][2]["string_statistics"]["distribution"]["categorical"]["buckets"];
    categorical[0]["count"] = u64::MAX.into();
    categorical[1]["count"] = u64::MAX.into();
    let sketch = &mut text["features"][0]["numerical_statistics"]["distribution"]["kll"]["sketch"];
    sketch["data"] = vec![vec![1.0]; 60].into();
    let statistics: Statistics = serde_json::from_value(text).unwrap();
    let current = profile("n,x,color,id", same(1000), &["color"]);
    let findings = check(&current, Pairing::ByName, &constraints, Some(&statistics));
    assert!(findings.notes[0].contains("the baseline's sketch is unusable: the sketch has 60 levels"));
    assert_eq!(findings.violations.len(), 1);
}
