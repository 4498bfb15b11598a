//! Alarms over a store, without time passing.

use std::sync::Arc;

use captura_wire::cloudwatch::shapes::PutMetricAlarm;
use serde_json::json;

use super::*;
use crate::store::{Limits, MetricId, Spot, Summary};

fn definition(more: &Value) -> PutMetricAlarm {
    let mut alarm = json!({"AlarmName": "a", "Namespace": "N", "MetricName": "M", "Statistic": "Sum", "Period": 300,
        "EvaluationPeriods": 2, "Threshold": 3.0, "ComparisonOperator": "GreaterThanThreshold"});
    more.as_object().unwrap().iter().for_each(|(name, member)| alarm[name] = member.clone());
    serde_json::from_value(alarm).unwrap()
}

fn store(samples: &[(i64, f64)]) -> Store {
    let mut store = Store::new(Limits::default());
    for (at_s, value) in samples {
        let metric = Arc::new(MetricId::new("N", "M", Vec::new()));
        let spot = Spot { metric, unit: "None", at_s: *at_s, high_resolution: false };
        store.record(spot, &Summary::of_value(*value, 1.0));
    }
    store
}

fn values(condition: &Condition, store: &Store, now_s: i64) -> Vec<Option<f64>> {
    condition.periods(store, now_s).into_iter().map(|point| point.map(|point| point.value)).collect()
}

#[test]
fn long_periods_end_at_every_minute() {
    let condition = Condition::of(&definition(&json!({}))).unwrap();
    let store = store(&[(600, 1.0), (840, 2.0), (900, 4.0)]);
    // Four periods of five minutes, the newest ending at the last full minute.
    assert_eq!(values(&condition, &store, 905), [None, None, None, Some(3.0)]);
    assert_eq!(values(&condition, &store, 965), [None, None, Some(1.0), Some(6.0)]);
}

#[test]
fn percentiles_of_few_samples_change_nothing_when_they_are_ignored() {
    let more = json!({"Statistic": null, "ExtendedStatistic": "p90", "EvaluateLowSampleCountPercentile": "ignore",
        "Period": 60, "EvaluationPeriods": 1});
    let mut definition = definition(&more);
    let store = store(&[(0, 9.0)]);
    for (choice, expected) in [("ignore", 0), ("evaluate", 1)] {
        definition.evaluate_low_sample_count_percentile = Some(choice.to_owned());
        let condition = Condition::of(&definition).unwrap();
        let mut alarms = Alarms::default();
        let at = Timestamp::from_unix_us(0);
        alarms.put(definition.clone(), condition, "arn".to_owned(), at);
        let changes = alarms.evaluate(&store, Timestamp::from_unix_us(60_000_000));
        assert_eq!(changes.len(), expected, "{choice}");
    }
}

#[test]
fn an_updated_alarm_keeps_its_state_and_tags_and_is_looked_at_anew() {
    let mut alarms = Alarms::default();
    let at = |second: i64| Timestamp::from_unix_us(second * 1_000_000);
    let first = definition(&json!({"Period": 60, "EvaluationPeriods": 1, "Tags": [{"Key": "k", "Value": "v"}]}));
    alarms.put(first.clone(), Condition::of(&first).unwrap(), "arn".to_owned(), at(0));
    let store = store(&[(0, 9.0)]);
    assert_eq!(alarms.evaluate(&store, at(60)).len(), 1);
    let second = definition(&json!({"Period": 60, "EvaluationPeriods": 1, "Threshold": 10.0}));
    alarms.put(second.clone(), Condition::of(&second).unwrap(), "arn".to_owned(), at(61));
    let alarm = alarms.get("a").unwrap();
    assert_eq!((alarm.standing.state, alarm.definition.tags.len()), (State::Alarm, 1));
    assert_eq!(alarms.evaluate(&store, at(62))[0].to, State::Ok);
    let (_, bytes) = alarms.write();
    assert_eq!(Alarms::read(&bytes).unwrap().get("a").unwrap().standing.state, State::Ok);
}
