//! The examples of AWS's documentation, known sentences, and what must hold of every rule.

use proptest::prelude::*;

use super::*;
use crate::rule::Comparison;

const ALL: [MissingData; 4] =
    [MissingData::Missing, MissingData::Ignore, MissingData::Breaching, MissingData::NotBreaching];

fn rule(periods: u32, to_alarm: u32, missing_data: MissingData) -> Rule {
    Rule {
        comparison: Comparison::GreaterThanThreshold,
        threshold: 3.0,
        evaluation_periods: periods,
        datapoints_to_alarm: to_alarm,
        missing_data,
    }
}

/// `0` is within the threshold, `X` breaches, `-` is missing; oldest first.
fn periods(drawn: &str) -> Vec<Option<Point>> {
    let value = |sign| match sign {
        '0' => Some(1.0),
        'X' => Some(5.0),
        _ => None,
    };
    let start = Timestamp::from_unix_us(1_767_225_600_000_000);
    let signs = drawn.chars().filter(|sign| *sign != ' ').enumerate();
    signs
        .map(|(index, sign)| {
            let at = start.plus_us(index as i64 * 60_000_000);
            value(sign).map(|value| Point { at, value, sample_count: Some(1.0) })
        })
        .collect()
}

/// The columns of the documentation: missing, ignore, breaching, not breaching. `keep` retains the state.
fn table(periods_and_alarm: (u32, u32), rows: &[(&str, [&str; 4])]) {
    for (drawn, expected) in rows {
        for (missing_data, expected) in ALL.into_iter().zip(expected) {
            let rule = rule(periods_and_alarm.0, periods_and_alarm.1, missing_data);
            let state = judge(&rule, &periods(drawn)).map_or("keep", State::as_str);
            assert_eq!(state, *expected, "{drawn} with {missing_data:?}");
        }
    }
}

#[test]
fn three_of_three_is_as_documented() {
    table(
        (3, 3),
        &[
            ("0 - X - X", ["OK", "OK", "OK", "OK"]),
            ("0 - - - -", ["OK", "OK", "OK", "OK"]),
            ("- - - - -", ["INSUFFICIENT_DATA", "keep", "ALARM", "OK"]),
            ("0 X X - X", ["ALARM", "ALARM", "ALARM", "ALARM"]),
            ("- - X - -", ["ALARM", "keep", "ALARM", "OK"]),
            ("- - - - X", ["INSUFFICIENT_DATA", "keep", "ALARM", "OK"]),
            ("X - - - -", ["ALARM", "keep", "ALARM", "OK"]),
        ],
    );
}

#[test]
fn two_of_three_is_as_documented() {
    table(
        (3, 2),
        &[
            ("0 - X - X", ["ALARM", "ALARM", "ALARM", "ALARM"]),
            ("0 0 X 0 X", ["ALARM", "ALARM", "ALARM", "ALARM"]),
            ("0 - X - -", ["OK", "OK", "ALARM", "OK"]),
            ("- - - - 0", ["OK", "OK", "ALARM", "OK"]),
            ("- - - X -", ["ALARM", "keep", "ALARM", "OK"]),
            ("- - - - X", ["INSUFFICIENT_DATA", "keep", "ALARM", "OK"]),
        ],
    );
}

fn sentence(rule: Rule, state: State, drawn: &str) -> String {
    match evaluate(&rule, state, &periods(drawn)) {
        Verdict::Change(judgement) => judgement.reason,
        Verdict::Stay => "stay".to_owned(),
    }
}

#[test]
fn reasons_are_the_sentences_of_cloudwatch() {
    let one = |missing| rule(1, 1, missing);
    for (rule, state, drawn, expected) in [
        (
            one(MissingData::Missing),
            State::Ok,
            "0 0 X",
            "Threshold Crossed: 1 datapoint [5.0 (01/01/26 00:02:00)] was greater than the threshold (3.0).",
        ),
        (
            one(MissingData::Missing),
            State::InsufficientData,
            "0 - -",
            "Threshold Crossed: 1 datapoint [1.0 (01/01/26 00:00:00)] was not greater than the threshold (3.0).",
        ),
        (one(MissingData::Missing), State::Ok, "- - -", "Insufficient Data: 1 datapoint was unknown."),
        (one(MissingData::Missing), State::InsufficientData, "- - -", "stay"),
        (
            one(MissingData::Breaching),
            State::Ok,
            "- - -",
            "Threshold Crossed: no datapoints were received for 1 period and 1 missing datapoint was treated as \
             [Breaching].",
        ),
        (
            rule(2, 2, MissingData::NotBreaching),
            State::Alarm,
            "- - - -",
            "Threshold Crossed: no datapoints were received for 2 periods and 2 missing datapoints were treated as \
             [NonBreaching].",
        ),
        (
            rule(3, 2, MissingData::Missing),
            State::InsufficientData,
            "0 0 X 0 X",
            "Threshold Crossed: 2 out of the last 3 datapoints [5.0 (01/01/26 00:04:00), 5.0 (01/01/26 00:02:00)] were \
             greater than the threshold (3.0) (minimum 2 datapoints for OK -> ALARM transition).",
        ),
        (
            rule(3, 3, MissingData::Missing),
            State::Alarm,
            "0 X X X 0",
            "Threshold Crossed: 1 out of the last 3 datapoints [1.0 (01/01/26 00:04:00)] was not greater than the \
             threshold (3.0) (minimum 1 datapoint for ALARM -> OK transition).",
        ),
    ] {
        assert_eq!(sentence(rule, state, drawn), expected, "{drawn}");
    }
}

#[test]
fn the_threshold_itself_breaches_only_where_it_is_included() {
    for (comparison, breaches) in [
        (Comparison::GreaterThanOrEqualToThreshold, true),
        (Comparison::GreaterThanThreshold, false),
        (Comparison::LessThanThreshold, false),
        (Comparison::LessThanOrEqualToThreshold, true),
    ] {
        assert_eq!(comparison.breaches(3.0, 3.0), breaches, "{comparison:?}");
        assert_eq!(Comparison::of_name(comparison.as_str()), Some(comparison));
    }
}

fn drawn() -> impl Strategy<Value = String> {
    proptest::collection::vec(prop_oneof![Just('0'), Just('X'), Just('-')], 12).prop_map(String::from_iter)
}

fn any_rule() -> impl Strategy<Value = Rule> {
    (1u32..=10, 1u32..=10, 0usize..4).prop_map(|(n, m, missing)| rule(n, m.min(n), ALL[missing]))
}

/// The periods that the rule looks at.
fn range(rule: &Rule, drawn: &str) -> Vec<Option<Point>> {
    let periods = periods(drawn);
    periods[periods.len() - rule.range_periods() as usize..].to_vec()
}

proptest! {
    #[test]
    fn with_enough_points_missing_ones_do_not_matter(drawn in drawn(), rule in any_rule()) {
        let range = range(&rule, &drawn);
        prop_assume!(range.iter().flatten().count() >= rule.evaluation_periods as usize);
        let verdicts = ALL.map(|missing_data| judge(&Rule { missing_data, ..rule }, &range));
        prop_assert!(verdicts.iter().all(|verdict| verdict.is_some() && *verdict == verdicts[0]));
    }

    #[test]
    fn a_point_more_that_breaches_never_calms_an_alarm(drawn in drawn(), rule in any_rule(), at in 0usize..12) {
        let calmer = range(&rule, &drawn);
        let mut louder = drawn.clone();
        if louder.as_bytes()[at] == b'0' {
            louder.replace_range(at..=at, "X");
        }
        let louder = range(&rule, &louder);
        if judge(&rule, &calmer) == Some(State::Alarm) {
            prop_assert_eq!(judge(&rule, &louder), Some(State::Alarm));
        }
    }

    #[test]
    fn missing_as_breaching_rings_whenever_missing_as_within_does(drawn in drawn(), rule in any_rule()) {
        let range = range(&rule, &drawn);
        let with = |missing_data| judge(&Rule { missing_data, ..rule }, &range);
        if with(MissingData::NotBreaching) == Some(State::Alarm) {
            prop_assert_eq!(with(MissingData::Breaching), Some(State::Alarm));
        }
    }

    #[test]
    fn a_change_is_always_to_another_state_and_fits_its_members(drawn in drawn(), rule in any_rule()) {
        for state in [State::Ok, State::Alarm, State::InsufficientData] {
            if let Verdict::Change(judgement) = evaluate(&rule, state, &range(&rule, &drawn)) {
                prop_assert_ne!(judgement.state, state);
                prop_assert!(judgement.reason.len() < 1_023);
                prop_assert!(judgement.evaluated.len() <= rule.evaluation_periods as usize);
            }
        }
    }
}
