//! The page: what it says, how large it gets, and what data may not do to it.

use std::collections::BTreeMap;

use super::*;
use crate::artefact::{CheckType, Violation};
use crate::dataset::{BadRecord, Matching};
use crate::dice::Dice;
use crate::drift::compare::{Reference, Rule, compare};
use crate::drift::outline::Outline;
use crate::drift::sample::Sample;
use crate::job::{ConsumerRows, Summary};
use crate::profile::DatasetProfile;

/// Columns of these names with `rows` numbers each; those at even places shift.
fn profile(names: &[String], rows: usize, shift: f64, seed: u64) -> DatasetProfile {
    let mut dice = Dice::seeded(seed);
    let mut profile = DatasetProfile::of_columns(names);
    profile.rows = rows as u64;
    for (place, column) in profile.columns.iter_mut().enumerate() {
        let shift = if place % 2 == 0 { shift } else { 0.0 };
        (0..rows).for_each(|_| column.quantiles.insert(dice.normal() + shift));
        column.kinds.fractional = rows as u64;
    }
    profile
}

fn summary(names: &[String], rows: u64) -> Summary {
    Summary {
        objects: 3,
        records: rows,
        used: rows,
        bad: 0,
        unanswered: 0,
        outside: 0,
        rows,
        described: Vec::new(),
        widths: BTreeMap::new(),
        columns: names.to_vec(),
        output_column: None,
        matching: Matching::ByName,
        completeness: 1.0,
        notes: Vec::new(),
        written: Vec::new(),
    }
}

fn examined(names: &[String], rows: usize, shift: f64) -> Examination {
    let (then, now) = (profile(names, rows, 0.0, 1), profile(names, rows, shift, 2));
    Examination {
        data: summary(names, rows as u64),
        reference_rows: then.rows,
        period: None,
        drift: compare(Reference::Profile(&then), &now, Rule::default()),
        violations: None,
        causes: Vec::new(),
        splits: Vec::new(),
        consumers: Vec::new(),
        watched: None,
        outlines: then
            .columns
            .iter()
            .zip(&now.columns)
            .map(|(then, now)| Outline::of(&Sample::of_profile(then), &Sample::of_profile(now)))
            .collect(),
    }
}

fn names(count: usize, name: impl Fn(usize) -> String) -> Vec<String> {
    (0..count).map(name).collect()
}

fn known() -> Grounds {
    Grounds::Known { share: 1.0, invocations: 12_345, dropped: 0, sampled_out: 0, in_flight: 0, elsewhere: 0 }
}

#[test]
fn the_page_says_what_it_stands_on_and_what_drifted_in_both_languages() {
    let found = examined(&names(4, |i| format!("c{i}")), 1_000, 1.0);
    let english = page("s3://captures/churn", &known(), &found, Language::English);
    for text in [
        "This report stands on 100\u{a0}% of 12,345 invocations (0 dropped, 0 sampled out).",
        "2 of 4 columns have drifted.",
        "<html lang=\"en\">",
        "<bdi>c0</bdi></b> — Values up to ",
        "stable",
    ] {
        assert!(english.contains(text), "{text}");
    }
    let portuguese = page("s3://captures/churn", &known(), &found, Language::Portuguese);
    for text in ["se apoia em 100\u{a0}% de 12.345 invocações", "2 de 4 colunas se desviaram.", "<html lang=\"pt\">"]
    {
        assert!(portuguese.contains(text), "{text}");
    }
    assert_eq!(english, page("s3://captures/churn", &known(), &found, Language::English), "same input, same bytes");
}

#[test]
fn a_share_is_never_rounded_up_to_all() {
    let found = examined(&names(1, |i| format!("c{i}")), 100, 0.0);
    let grounds = Grounds::Known {
        share: 0.999_999,
        invocations: 1_000_000,
        dropped: 1,
        sampled_out: 0,
        in_flight: 2,
        elsewhere: 0,
    };
    let page_of = |grounds: &Grounds| page("x", grounds, &found, Language::English);
    assert!(
        page_of(&grounds).contains("99.99\u{a0}% of 1,000,000 invocations (1 dropped, 0 sampled out, 2 in flight)")
    );
    assert!(page_of(&Grounds::Unknown("no <ledger>".into())).contains("it cannot tell: no &lt;ledger&gt;."));
}

#[test]
fn few_rows_are_no_pass() {
    let found = examined(&names(3, |i| format!("c{i}")), 60, 0.0);
    let page = page("x", &known(), &found, Language::English);
    assert!(page.contains("There is not enough data to tell.") && page.contains("not enough data"));
}

#[test]
fn nothing_that_data_says_becomes_markup() {
    let evil = "\"><script>alert(1)</script><img src=https://evil.example/x onerror=alert(1)>'&\u{202e}";
    let mut found = examined(&names(3, |i| format!("{evil}{i}")), 500, 2.0);
    found.drift.missing_columns = vec![evil.into()];
    found.violations = Some(vec![Violation {
        feature_name: evil.into(),
        constraint_check_type: CheckType::DataTypeCheck,
        description: evil.into(),
    }]);
    found.consumers = vec![ConsumerRows { consumer: Some(evil.into()), reference: Some(3), current: 5 }];
    found.data.notes = vec![evil.into()];
    found.data.described = vec![BadRecord { source: evil.into(), line: 7, reason: evil.into() }];
    let page = page(evil, &Grounds::Unknown(evil.into()), &found, Language::English);
    assert_eq!(page.matches("<script>").count(), 1, "its own");
    assert!(!page.contains("<img") && !page.contains('\u{202e}') && !page.contains("onerror=alert(1)>'"));
    // A name that is shown is no address that is asked: the only quotes of attributes are the page's own.
    for attribute in ["src=\"", "href=\"", "url(", "@import"] {
        assert!(!page.contains(attribute), "{attribute}");
    }
}

#[test]
fn ten_thousand_columns_are_listed_in_less_than_five_megabytes() {
    let found = examined(&names(10_000, |i| format!("feature_number_{i}")), 40, 3.0);
    let page = page("x", &known(), &found, Language::English);
    assert!(page.len() < 4_500_000, "{}", page.len());
    assert_eq!(page.matches("<th scope=\"row\">").count(), 10_000);
    assert!(page.contains("The first 100 of 10,000 columns have pictures"));
}

#[test]
fn the_longest_names_do_not_make_the_page_longer_than_it_may_be() {
    let mut found = examined(&names(12_000, |i| format!("{}{i}", "\"<&é".repeat(60))), 31, 3.0);
    found.data.notes = vec!["&".repeat(100_000); 300];
    found.consumers = names(65, |i| format!("{i}{}", "\"".repeat(1000)))
        .into_iter()
        .map(|name| ConsumerRows { consumer: Some(name), reference: None, current: 1 })
        .collect();
    found.violations = Some(vec![
        Violation {
            feature_name: "\"".repeat(5000),
            constraint_check_type: CheckType::DataTypeCheck,
            description: "\"".repeat(5000),
        };
        12_000
    ]);
    let page = page(&"&".repeat(9000), &known(), &found, Language::Portuguese);
    assert!(page.len() < MAX_BYTES, "{}", page.len());
    assert!(page.contains("captura drift --json tem todas"));
}
