//! Why an alarm changed, in the sentences that CloudWatch writes and that people's scripts match.

use std::fmt::Write as _;

use captura_names::Timestamp;

use crate::evaluate::Point;
use crate::rule::{MissingData, Rule};
use crate::state::State;

/// Points that a sentence lists; StateReason has room for 1,023 characters.
const LISTED_MAX: usize = 5;

/// The sentence for a change from one state to another.
pub(crate) fn sentence(rule: &Rule, (from, to): (State, State), points: &[Point], missing: u32) -> String {
    let total = rule.evaluation_periods;
    if to == State::InsufficientData {
        let (noun, verb) = if missing == 1 { ("datapoint", "was") } else { ("datapoints", "were") };
        return format!("Insufficient Data: {missing} {noun} {verb} unknown.");
    }
    if points.is_empty() {
        let (periods, noun, verb) = match missing {
            1 => ("period", "datapoint", "was"),
            _ => ("periods", "datapoints", "were"),
        };
        let kind = if rule.missing_data == MissingData::Breaching { "Breaching" } else { "NonBreaching" };
        return format!(
            "Threshold Crossed: no datapoints were received for {total} {periods} and {missing} missing {noun} {verb} \
             treated as [{kind}]."
        );
    }
    let alarms = to == State::Alarm;
    let named: Vec<&Point> =
        points.iter().filter(|point| rule.comparison.breaches(point.value, rule.threshold) == alarms).collect();
    let count = named.len();
    let (noun, verb) = if count == 1 { ("datapoint", "was") } else { ("datapoints", "were") };
    let mut text = if total == 1 {
        format!("Threshold Crossed: {count} {noun} {}", list(&named))
    } else {
        format!("Threshold Crossed: {count} out of the last {total} datapoints {}", list(&named))
    };
    let not = if alarms { "" } else { "not " };
    let _ = write!(text, " {verb} {not}{} the threshold ({:?})", rule.comparison.words(), rule.threshold);
    if total > 1 {
        // To leave OK takes M breaching points; to leave ALARM, so many others that M cannot be reached.
        let minimum = if alarms { rule.datapoints_to_alarm } else { total - rule.datapoints_to_alarm + 1 };
        let noun = if minimum == 1 { "datapoint" } else { "datapoints" };
        let from = if from == State::InsufficientData && alarms { State::Ok } else { from };
        let from = if from == State::InsufficientData { State::Alarm } else { from };
        let _ = write!(text, " (minimum {minimum} {noun} for {from} -> {to} transition)");
    }
    text.push('.');
    text
}

fn list(points: &[&Point]) -> String {
    let shown = points.iter().take(LISTED_MAX).map(|point| format!("{:?} ({})", point.value, moment(point.at)));
    let mut text = format!("[{}", shown.collect::<Vec<String>>().join(", "));
    if points.len() > LISTED_MAX {
        text.push_str(", ...");
    }
    text.push(']');
    text
}

/// `26/11/26 11:20:00`
fn moment(at: Timestamp) -> String {
    let p = at.hour_path();
    format!("{:02}/{:02}/{:02} {:02}:{:02}:{:02}", p.day, p.month, p.year % 100, p.hour, p.minute, p.second)
}
