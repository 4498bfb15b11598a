//! Known answers, and that nothing a caller writes can hurt.

use proptest::prelude::*;

use super::*;

fn series() -> Series<'static> {
    let points = |values: &[(i64, f64)]| values.iter().copied().collect::<Points>();
    let m1 = points(&[(0, 1.0), (60, 2.0), (180, 4.0)]);
    let m2 = points(&[(0, 10.0), (60, 0.0), (120, 30.0)]);
    Series { by_id: [("m1", m1), ("m2", m2)].into(), metrics: vec!["m1", "m2"], start_s: 0, end_s: 240, period_s: 60 }
}

fn points(text: &str) -> Vec<(i64, f64)> {
    Expression::parse(text).and_then(|expression| expression.evaluate(&series())).unwrap().into_iter().collect()
}

fn problem(text: &str) -> String {
    Expression::parse(text).and_then(|expression| expression.evaluate(&series())).unwrap_err().problem
}

#[test]
fn known_answers() {
    for (text, expected) in [
        ("m1+m2", vec![(0, 11.0), (60, 2.0)]),
        ("m1/m2", vec![(0, 0.1)]),
        ("100*m1/(m1+m2)", vec![(0, 100.0 / 11.0), (60, 100.0)]),
        ("1+2*3^2-4/2", vec![(0, 17.0), (60, 17.0), (120, 17.0), (180, 17.0)]),
        ("-m1^2", vec![(0, -1.0), (60, -4.0), (180, -16.0)]),
        ("2^3^2 - 512 + m1", vec![(0, 1.0), (60, 2.0), (180, 4.0)]),
        ("SUM([m1, m2])", vec![(0, 11.0), (60, 2.0), (120, 30.0), (180, 4.0)]),
        ("SUM(METRICS())", vec![(0, 11.0), (60, 2.0), (120, 30.0), (180, 4.0)]),
        ("AVG(METRICS('2'))", vec![(0, 10.0), (60, 0.0), (120, 30.0)]),
        ("m1 / SUM(m1) * 7", vec![(0, 1.0), (60, 2.0), (180, 4.0)]),
        ("MAX(m1) - MIN(m1)", vec![(0, 3.0), (60, 3.0), (120, 3.0), (180, 3.0)]),
        ("FILL(m1, 0)", vec![(0, 1.0), (60, 2.0), (120, 0.0), (180, 4.0)]),
        ("FILL(m1, REPEAT)", vec![(0, 1.0), (60, 2.0), (120, 2.0), (180, 4.0)]),
        ("FILL(m1, LINEAR)", vec![(0, 1.0), (60, 2.0), (120, 3.0), (180, 4.0)]),
        ("fill(m1, m2)", vec![(0, 1.0), (60, 2.0), (120, 30.0), (180, 4.0)]),
        ("IF(m1 > 1, m1, 0)", vec![(0, 0.0), (60, 2.0), (180, 4.0)]),
        ("IF(m1 > 1 AND m1 < 4, m1)", vec![(60, 2.0)]),
        ("IF(!(m1 >= 2) || m1 == 4, 1, 0)", vec![(0, 1.0), (60, 0.0), (180, 1.0)]),
        ("DIFF(m1)", vec![(60, 1.0), (180, 2.0)]),
        ("RATE(m1)*60", vec![(60, 1.0), (180, 1.0)]),
        ("RUNNING_SUM(m1)", vec![(0, 1.0), (60, 3.0), (180, 7.0)]),
        ("m1/PERIOD(m1)*60", vec![(0, 1.0), (60, 2.0), (180, 4.0)]),
        ("1.5e1 + m1 - METRIC_COUNT(METRICS()) - 13", vec![(0, 1.0), (60, 2.0), (180, 4.0)]),
    ] {
        assert_eq!(points(text), expected, "{text}");
    }
}

#[test]
fn what_cannot_be_used_is_refused_with_the_reason() {
    for (text, expected) in [
        ("", "it ends too early"),
        ("m1 +", "it ends too early"),
        ("m1 m2", "m2 is not expected there"),
        ("(m1", "a '(' is not closed"),
        ("SUM(m1", "a ')' is missing"),
        ("m3", "no metric has the id m3"),
        ("m1 § 2", "'§' is not known"),
        ("1.2.3", "'1.2.3' is no number"),
        ("METRICS()", "it gives several series; SUM, AVG, MIN or MAX makes one of them"),
        ("IF(m1)", "IF takes 2 or 3 arguments, not 1"),
        ("RATE(5)", "a number has no course over time"),
        ("FILL(m1, m9)", "FILL takes a number, a series, REPEAT or LINEAR, not M9"),
    ] {
        assert_eq!(problem(text), expected, "{text}");
    }
    assert!(problem("SEARCH('{AWS/SageMaker}', 'Sum')").starts_with("the function SEARCH is not known here"));
    assert!(problem(&format!("SUM([{}1])", "1,".repeat(200))).contains("more than 100 series"));
    assert!(problem(&"(".repeat(1_000)).contains("nested deeper"));
    assert!(problem(&"1+".repeat(1_000)).contains("too many terms"));
    assert!(problem(&" ".repeat(LENGTH_MAX + 1)).contains("longer"));
}

#[test]
fn only_metrics_needs_all_metrics() {
    for (text, expected) in [("SUM(METRICS())", true), ("-IF(m1, [1, metrics('x')], m2)", true), ("m1 + m2", false)] {
        assert_eq!(Expression::parse(text).unwrap().uses_all_metrics(), expected, "{text}");
    }
}

#[test]
fn names_are_those_of_other_series() {
    let expression = Expression::parse("IF(e1 > m1, FILL(m2, REPEAT), SUM([m1, 2]))").unwrap();
    assert_eq!(expression.names(), ["e1", "m1", "m2"]);
}

proptest! {
    #[test]
    fn no_text_can_hurt(text in "[m12+*/^()<>=!&|,\\[\\] .e'A-Z-]{0,60}") {
        if let Ok(points) = Expression::parse(&text).and_then(|expression| expression.evaluate(&series())) {
            prop_assert!(points.len() <= 4);
        }
    }
}
