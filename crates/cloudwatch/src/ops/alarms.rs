//! Operations on alarms.

use captura_alarm::State;
use captura_wire::cloudwatch::shapes::{
    AlarmNames, DescribeAlarmHistory, DescribeAlarms, DescribeAlarmsForMetric, PutMetricAlarm, SetAlarmState,
};
use captura_wire::cloudwatch::{Code, Fault, Output};

use super::{Done, page};
use crate::alarms::{ALARMS_MAX, Alarm, Condition, Standing};
use crate::store::MetricId;
use crate::{Cloudwatch, lock};

/// Alarms of a page when nothing is said; also the most.
const PAGE_MAX: usize = 100;
/// Longest name of a region.
const REGION_MAX_LENGTH: usize = 32;

pub(super) fn put(cloudwatch: &Cloudwatch, definition: PutMetricAlarm, region: &str) -> Result<Done, Fault> {
    check_region(region)?;
    let condition = Condition::of(&definition)?;
    super::tags::check(&definition.tags)?;
    let mut alarms = lock(&cloudwatch.0.alarms);
    if alarms.len() >= ALARMS_MAX && alarms.get(&definition.alarm_name).is_none() {
        let message = format!("The maximum limit of {ALARMS_MAX} alarms is reached.");
        return Err(Fault::new(Code::LimitExceeded, message));
    }
    let account = &cloudwatch.0.settings.account;
    let arn = format!("arn:aws:cloudwatch:{region}:{account}:alarm:{}", definition.alarm_name);
    alarms.put(definition, condition, arn, cloudwatch.0.clock.now());
    Ok(Done::changed())
}

/// The region comes out of a signature that an open server does not check, and goes into ARNs.
fn check_region(region: &str) -> Result<(), Fault> {
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if !region.is_empty() && region.len() <= REGION_MAX_LENGTH && region.bytes().all(is_word) {
        return Ok(());
    }
    let shown: String = region.chars().take(REGION_MAX_LENGTH).collect();
    let message = format!("The credential scope names {shown:?}, which is not a region like us-east-1.");
    Err(Fault::new(Code::ValidationError, message))
}

pub(super) fn describe(cloudwatch: &Cloudwatch, input: &DescribeAlarms) -> Result<Done, Fault> {
    if !input.alarm_names.is_empty() && input.alarm_name_prefix.is_some() {
        return Err(Fault::combination("AlarmNames and AlarmNamePrefix cannot both be set."));
    }
    // Composite alarms are not made here, so none has children or parents, and a list of them is empty.
    let metric_alarms = input.alarm_types.is_empty() || input.alarm_types.iter().any(|kind| kind == "MetricAlarm");
    let none = !metric_alarms || input.children_of_alarm_name.is_some() || input.parents_of_alarm_name.is_some();
    let wanted = |name: &str, alarm: &Alarm| {
        let state = alarm.standing.state;
        !none
            && (input.alarm_names.is_empty() || input.alarm_names.iter().any(|wanted| wanted == name))
            && input.alarm_name_prefix.as_ref().is_none_or(|prefix| name.starts_with(prefix.as_str()))
            && input.state_value.as_ref().is_none_or(|wanted| state.as_str() == wanted)
            && input.action_prefix.as_ref().is_none_or(|prefix| has_action(alarm, prefix))
    };
    let alarms = lock(&cloudwatch.0.alarms);
    let found = alarms.iter().filter(|(name, alarm)| wanted(name, alarm));
    let found = found.map(|(name, alarm)| (name.clone(), alarm));
    let size = input.max_records.unwrap_or(PAGE_MAX).min(PAGE_MAX);
    let (found, next) = page(found, input.next_token.as_deref(), size)?;
    let mut output = vec![
        ("CompositeAlarms", Output::List(Vec::new())),
        ("MetricAlarms", Output::List(found.into_iter().map(Alarm::output).collect())),
    ];
    output.extend(next.map(|token| ("NextToken", Output::Text(token))));
    Ok(Done::output(output))
}

fn has_action(alarm: &Alarm, prefix: &str) -> bool {
    let states = [State::Ok, State::Alarm, State::InsufficientData];
    states.into_iter().flat_map(|state| alarm.actions(state)).any(|action| action.starts_with(prefix))
}

pub(super) fn describe_for_metric(cloudwatch: &Cloudwatch, input: DescribeAlarmsForMetric) -> Result<Done, Fault> {
    let metric = MetricId::new(input.namespace, input.metric_name, input.dimensions);
    let watches = |alarm: &Alarm| {
        let one = &alarm.definition;
        let (Some(namespace), Some(name)) = (&one.namespace, &one.metric_name) else { return false };
        let same = |wanted: &Option<String>, found: &Option<String>| wanted.is_none() || wanted == found;
        MetricId::new(namespace, name, one.dimensions.clone()) == metric
            && same(&input.statistic, &one.statistic)
            && same(&input.extended_statistic, &one.extended_statistic)
            && same(&input.unit, &one.unit)
            && (input.period.is_none() || input.period == one.period)
    };
    let alarms = lock(&cloudwatch.0.alarms);
    let found = alarms.iter().filter(|(_, alarm)| watches(alarm)).map(|(_, alarm)| alarm.output());
    Ok(Done::output(vec![("MetricAlarms", Output::List(found.collect()))]))
}

pub(super) fn history(cloudwatch: &Cloudwatch, input: &DescribeAlarmHistory) -> Result<Done, Fault> {
    let ascending = input.scan_by.as_deref() == Some("TimestampAscending");
    let alarms = lock(&cloudwatch.0.alarms);
    let mut entries = Vec::new();
    for (name, alarm) in
        alarms.iter().filter(|(name, _)| input.alarm_name.as_ref().is_none_or(|wanted| wanted == *name))
    {
        for (number, entry) in alarm.history.iter().enumerate() {
            let wanted = input.history_item_type.as_ref().is_none_or(|kind| kind == entry.kind.as_str())
                && input.start_date.is_none_or(|start| entry.at >= start)
                && input.end_date.is_none_or(|end| entry.at <= end);
            if wanted {
                let at = if ascending { entry.at.unix_us() } else { i64::MAX - entry.at.unix_us() };
                let number = if ascending { number } else { usize::MAX - number };
                entries.push((format!("{at:020} {number:020} {name}"), entry.output(name)));
            }
        }
    }
    entries.sort_by(|a, b| a.0.cmp(&b.0));
    let size = input.max_records.unwrap_or(PAGE_MAX).min(PAGE_MAX);
    let (found, next) = page(entries.into_iter(), input.next_token.as_deref(), size)?;
    let mut output = vec![("AlarmHistoryItems", Output::List(found))];
    output.extend(next.map(|token| ("NextToken", Output::Text(token))));
    Ok(Done::output(output))
}

pub(super) fn set_state(cloudwatch: &Cloudwatch, input: SetAlarmState) -> Result<Done, Fault> {
    let data = input.state_reason_data.as_deref();
    if data.is_some_and(|data| serde_json::from_str::<serde_json::Value>(data).is_err()) {
        return Err(Fault::new(Code::InvalidFormat, "StateReasonData is not valid JSON."));
    }
    let state = State::of_name(&input.state_value).ok_or_else(|| Fault::invalid("StateValue is not a state."))?;
    let now = cloudwatch.0.clock.now();
    let standing = Standing {
        state,
        reason: input.state_reason,
        reason_data: input.state_reason_data,
        updated_at: now,
        transitioned_at: now,
    };
    let changes = lock(&cloudwatch.0.alarms).set(&input.alarm_name, standing);
    let changes = changes.ok_or_else(|| Fault::new(Code::ResourceNotFound, "Unknown alarm name"))?;
    Ok(Done { changes, ..Done::changed() })
}

pub(super) fn delete(cloudwatch: &Cloudwatch, input: &AlarmNames) -> Result<Done, Fault> {
    let mut alarms = lock(&cloudwatch.0.alarms);
    // All or none, as on AWS.
    let unknown: Vec<&str> =
        input.alarm_names.iter().filter(|name| alarms.get(name).is_none()).map(String::as_str).collect();
    if !unknown.is_empty() {
        let message = format!("Alarms not found: {}", unknown.join(", "));
        return Err(Fault::new(Code::ResourceNotFound, message));
    }
    alarms.remove(&input.alarm_names);
    Ok(Done::changed())
}

pub(super) fn enable_actions(cloudwatch: &Cloudwatch, input: &AlarmNames, enabled: bool) -> Result<Done, Fault> {
    let now = cloudwatch.0.clock.now();
    lock(&cloudwatch.0.alarms).enable_actions(&input.alarm_names, enabled, now);
    Ok(Done::changed())
}
