//! What PutMetricAlarm asks for, understood: or refused, in CloudWatch's words where they are known.

use captura_alarm::{Comparison, Judgement, MissingData, Rule};
use captura_names::Timestamp;
use captura_wire::cloudwatch::shapes::{Metric, MetricStat, PutMetricAlarm};
use captura_wire::cloudwatch::{Code, Fault};
use serde_json::{Value, json};

use super::Periods;
use crate::plan::{Measure, Plan};

/// Longest evaluation range of alarms with periods below an hour, seconds.
const DAY_S: i64 = 86_400;
/// Longest evaluation range of all others, seconds.
const WEEK_S: i64 = 7 * DAY_S;
/// Most metrics and expressions of one alarm: CloudWatch's own limit is ten metrics.
const QUERIES_MAX: usize = 20;

/// When an alarm rings.
#[derive(Debug, Clone)]
pub(crate) struct Condition {
    pub(crate) rule: Rule,
    pub(crate) plan: Plan,
    /// Id of the series that is compared with the threshold.
    pub(crate) watched: String,
    pub(crate) period_s: i64,
    statistic: Option<String>,
    unit: Option<String>,
    /// Samples that a range must have before it may change the state.
    samples_needed: f64,
}

fn invalid(message: impl Into<String>) -> Fault {
    Fault::new(Code::ValidationError, message)
}

impl Condition {
    /// Understands a definition.
    pub(crate) fn of(definition: &PutMetricAlarm) -> Result<Self, Fault> {
        refuse_what_is_not_there(definition)?;
        check_actions(definition)?;
        let (plan, watched, period_s) = watched(definition)?;
        let rule = rule(definition)?;
        let range_s = period_s * i64::from(rule.evaluation_periods);
        let range_max_s = if period_s >= 3_600 { WEEK_S } else { DAY_S };
        if range_s > range_max_s {
            return Err(invalid(format!(
                "Metrics cannot be checked across more than {range_max_s} seconds (EvaluationPeriods * Period must be <= \
                 {range_max_s})."
            )));
        }
        let measure = plan.measures().find(|_| definition.metrics.is_empty());
        let ignores_few = match definition.evaluate_low_sample_count_percentile.as_deref() {
            None | Some("evaluate") => false,
            Some("ignore") => true,
            Some(other) => {
                let message = format!("Option {other} is not supported. Supported options are: evaluate, ignore.");
                return Err(invalid(message));
            }
        };
        Ok(Self {
            rule,
            watched,
            period_s,
            statistic: measure.map(|measure| measure.statistic_name.clone()),
            unit: measure.and_then(|measure| measure.unit.clone()),
            samples_needed: measure.filter(|_| ignores_few).map_or(0.0, |measure| measure.statistic.samples_needed()),
            plan,
        })
    }

    pub(super) fn has_too_few_samples(&self, periods: &Periods) -> bool {
        let newest = periods.iter().rev().take(self.rule.evaluation_periods as usize).flatten();
        let samples: f64 = newest.filter_map(|point| point.sample_count).sum();
        samples > 0.0 && samples < self.samples_needed
    }

    /// StateReasonData: what was looked at, as data.
    pub(super) fn reason_data(&self, judgement: &Judgement, periods: &Periods, now: Timestamp) -> Value {
        let recent = periods.iter().rev().take(self.rule.evaluation_periods as usize).rev();
        let recent: Vec<Value> = recent.filter_map(|point| point.map(|point| json!(point.value))).collect();
        let evaluated = judgement.evaluated.iter().map(|point| {
            let mut shown = json!({ "timestamp": moment(point.at), "value": point.value });
            if let Some(count) = point.sample_count {
                shown["sampleCount"] = json!(count);
            }
            shown
        });
        let mut data = json!({ "version": "1.0", "queryDate": moment(now) });
        if let Some(oldest) = judgement.evaluated.last() {
            data["startDate"] = json!(moment(oldest.at));
        }
        if let Some(unit) = &self.unit {
            data["unit"] = json!(unit);
        }
        if let Some(statistic) = &self.statistic {
            data["statistic"] = json!(statistic);
        }
        data["period"] = json!(self.period_s);
        data["recentDatapoints"] = json!(recent);
        data["threshold"] = json!(self.rule.threshold);
        data["evaluatedDatapoints"] = evaluated.collect();
        data
    }
}

/// `2026-11-26T11:20:00.000+0000`
pub(crate) fn moment(at: Timestamp) -> String {
    format!("{}.{:03}+0000", at.to_string().trim_end_matches('Z'), at.hour_path().millisecond)
}

fn refuse_what_is_not_there(definition: &PutMetricAlarm) -> Result<(), Fault> {
    if definition.evaluation_criteria.is_some() || definition.evaluation_interval.is_some() {
        return Err(invalid("Alarms on PromQL queries are not supported here; use MetricName or Metrics."));
    }
    if definition.threshold_metric_id.is_some() {
        return Err(invalid("Alarms on anomaly detection bands are not supported here; use Threshold."));
    }
    if !definition.alarm_name.is_ascii() {
        return Err(invalid("AlarmName must contain only ASCII characters."));
    }
    Ok(())
}

fn check_actions(definition: &PutMetricAlarm) -> Result<(), Fault> {
    let actions = [&definition.ok_actions, &definition.alarm_actions, &definition.insufficient_data_actions];
    match actions.into_iter().flatten().find(|action| !action.starts_with("arn:")) {
        Some(action) => Err(invalid(format!("Invalid arn syntax: {action}"))),
        None => Ok(()),
    }
}

/// What is watched: one metric, or the one series of several that is returned.
fn watched(definition: &PutMetricAlarm) -> Result<(Plan, String, i64), Fault> {
    if definition.metrics.is_empty() {
        let stat = match (&definition.statistic, &definition.extended_statistic) {
            (Some(one), None) | (None, Some(one)) => one.clone(),
            (Some(_), Some(_)) => {
                return Err(Fault::combination("The parameters Statistic and ExtendedStatistic cannot both be set."));
            }
            (None, None) => return Err(invalid("Exactly one of Statistic or ExtendedStatistic must be set.")),
        };
        let metric = Metric {
            namespace: definition.namespace.clone(),
            metric_name: definition.metric_name.clone(),
            dimensions: definition.dimensions.clone(),
        };
        let period = definition.period.ok_or_else(|| Fault::missing("Period"))?;
        let (measure, period_s) = Measure::of(&MetricStat { metric, period, stat, unit: definition.unit.clone() })?;
        check_alarm_period(period_s)?;
        return Ok((Plan::of_measure(measure, period_s), "m1".to_owned(), period_s));
    }
    let alone = definition.metric_name.is_none()
        && definition.namespace.is_none()
        && definition.statistic.is_none()
        && definition.extended_statistic.is_none()
        && definition.period.is_none()
        && definition.dimensions.is_empty();
    if !alone {
        return Err(Fault::combination(
            "Metrics cannot be set together with MetricName, Namespace, Dimensions, Period, Statistic or \
             ExtendedStatistic.",
        ));
    }
    if definition.metrics.len() > QUERIES_MAX {
        return Err(invalid(format!("Metrics must not have a size greater than {QUERIES_MAX}.")));
    }
    let plan = Plan::parse(&definition.metrics)?;
    let Some((watched, period_s)) = plan.only_returned() else {
        return Err(invalid("Exactly one element of the metrics list should return data."));
    };
    if !plan.has_one_period() {
        return Err(invalid("Period must not be different for the metrics of one alarm."));
    }
    check_alarm_period(period_s)?;
    let watched = watched.to_owned();
    Ok((plan, watched, period_s))
}

fn check_alarm_period(period_s: i64) -> Result<(), Fault> {
    if matches!(period_s, 1 | 5) {
        return Err(Fault::invalid("Period must be 10, 20, 30 or a multiple of 60 for an alarm."));
    }
    Ok(())
}

fn rule(definition: &PutMetricAlarm) -> Result<Rule, Fault> {
    let periods = definition.evaluation_periods.ok_or_else(|| Fault::missing("EvaluationPeriods"))?;
    let to_alarm = definition.datapoints_to_alarm.unwrap_or(periods);
    if to_alarm > periods {
        return Err(invalid("DatapointsToAlarm must be less than or equal to EvaluationPeriods."));
    }
    let comparison = definition.comparison_operator.as_deref().ok_or_else(|| Fault::missing("ComparisonOperator"))?;
    let comparison = Comparison::of_name(comparison).ok_or_else(|| {
        invalid(format!("{comparison} needs an anomaly detection band, which is not supported here."))
    })?;
    let missing_data = match definition.treat_missing_data.as_deref() {
        None => MissingData::Missing,
        Some(name) => MissingData::of_name(name).ok_or_else(|| {
            let options = "breaching, notBreaching, ignore, missing";
            invalid(format!("Option {name} is not supported. Supported options are: {options}."))
        })?,
    };
    Ok(Rule {
        comparison,
        threshold: definition.threshold.ok_or_else(|| Fault::missing("Threshold"))?,
        evaluation_periods: u32::try_from(periods).unwrap_or(u32::MAX),
        datapoints_to_alarm: u32::try_from(to_alarm).unwrap_or(u32::MAX),
        missing_data,
    })
}
