//! An alarm as DescribeAlarms shows it.

use captura_wire::cloudwatch::shapes::{Dimension, Metric, MetricDataQuery};
use captura_wire::cloudwatch::{Output, Structure};

use super::Alarm;

impl Alarm {
    /// The MetricAlarm of the service model, members in its order.
    pub(crate) fn output(&self) -> Output {
        let definition = &self.definition;
        let standing = &self.standing;
        let list = |texts: &[String]| Output::List(texts.iter().map(Output::text).collect());
        let mut members: Structure =
            vec![("AlarmName", Output::text(&definition.alarm_name)), ("AlarmArn", Output::text(&self.arn))];
        push(&mut members, "AlarmDescription", text(&definition.alarm_description));
        members.extend([
            ("AlarmConfigurationUpdatedTimestamp", Output::Time(self.configured_at)),
            ("ActionsEnabled", Output::Boolean(self.actions_enabled())),
            ("OKActions", list(&definition.ok_actions)),
            ("AlarmActions", list(&definition.alarm_actions)),
            ("InsufficientDataActions", list(&definition.insufficient_data_actions)),
            ("StateValue", Output::text(standing.state.as_str())),
            ("StateReason", Output::text(&standing.reason)),
        ]);
        push(&mut members, "StateReasonData", text(&standing.reason_data));
        members.push(("StateUpdatedTimestamp", Output::Time(standing.updated_at)));
        push(&mut members, "MetricName", text(&definition.metric_name));
        push(&mut members, "Namespace", text(&definition.namespace));
        push(&mut members, "Statistic", text(&definition.statistic));
        members.push(("Dimensions", dimensions(&definition.dimensions)));
        push(&mut members, "Period", definition.period.map(Output::Integer));
        push(&mut members, "Unit", text(&definition.unit));
        push(&mut members, "EvaluationPeriods", definition.evaluation_periods.map(Output::Integer));
        push(&mut members, "Threshold", definition.threshold.map(Output::Double));
        push(&mut members, "ComparisonOperator", text(&definition.comparison_operator));
        push(&mut members, "ExtendedStatistic", text(&definition.extended_statistic));
        push(&mut members, "TreatMissingData", text(&definition.treat_missing_data));
        let low_samples = text(&definition.evaluate_low_sample_count_percentile);
        push(&mut members, "EvaluateLowSampleCountPercentile", low_samples);
        push(&mut members, "DatapointsToAlarm", definition.datapoints_to_alarm.map(Output::Integer));
        if !definition.metrics.is_empty() {
            members.push(("Metrics", Output::List(definition.metrics.iter().map(query).collect())));
        }
        members.push(("StateTransitionedTimestamp", Output::Time(standing.transitioned_at)));
        Output::Structure(members)
    }
}

fn push(members: &mut Structure, name: &'static str, member: Option<Output>) {
    members.extend(member.map(|member| (name, member)));
}

fn text(text: &Option<String>) -> Option<Output> {
    text.as_ref().map(Output::text)
}

pub(crate) fn dimensions(dimensions: &[Dimension]) -> Output {
    let one = |dimension: &Dimension| {
        Output::Structure(vec![("Name", Output::text(&dimension.name)), ("Value", Output::text(&dimension.value))])
    };
    Output::List(dimensions.iter().map(one).collect())
}

fn metric(metric: &Metric) -> Output {
    let mut members = Structure::new();
    push(&mut members, "Namespace", text(&metric.namespace));
    push(&mut members, "MetricName", text(&metric.metric_name));
    members.push(("Dimensions", dimensions(&metric.dimensions)));
    Output::Structure(members)
}

fn query(query: &MetricDataQuery) -> Output {
    let mut members = vec![("Id", Output::text(&query.id))];
    if let Some(stat) = &query.metric_stat {
        let mut inner = vec![
            ("Metric", metric(&stat.metric)),
            ("Period", Output::Integer(stat.period)),
            ("Stat", Output::text(&stat.stat)),
        ];
        push(&mut inner, "Unit", text(&stat.unit));
        members.push(("MetricStat", Output::Structure(inner)));
    }
    push(&mut members, "Expression", text(&query.expression));
    push(&mut members, "Label", text(&query.label));
    push(&mut members, "ReturnData", query.return_data.map(Output::Boolean));
    push(&mut members, "Period", query.period.map(Output::Integer));
    push(&mut members, "AccountId", text(&query.account_id));
    Output::Structure(members)
}
