//! Monitoring schedules: what is asked for is written as a row; the reconciler has executions begin when it is time.

use captura_names::ResourceKind;
use captura_wire::aws_json::{Fault, FaultCode};
use captura_wire::hosting::{
    MonitoringJob, MonitoringScheduleConfig, MonitoringType, ScheduleConfig, ScheduleRequest, UpdateMonitoringAlert,
    read,
};
use serde_json::{Map, Value, json};

use super::{Desk, Failure, definition_of, job_definition, tags};
use crate::catalog::{ExecutionRow, NewResource, ScheduleRow, ScheduleState, ScheduleStatus, Work};
use crate::monitoring::expression::Expression;
use crate::monitoring::{ALERT_NAME, claims, window};

const KIND: ResourceKind = ResourceKind::MonitoringSchedule;

pub(crate) async fn create(desk: &Desk, input: &Map<String, Value>) -> Result<Value, Failure> {
    let request: ScheduleRequest = read(input)?;
    tags::refuse_unusable(&request.tags)?;
    let at = desk.now();
    let mut definition = definition_of(input);
    let config = with_schedule(&mut definition, None, at.hour_path().hour)?;
    refuse_unusable_times(&config)?;
    let name = request.monitoring_schedule_name.clone();
    let arn = desk.arn(KIND, &name);
    let new = NewResource { kind: KIND, name, region: desk.region.clone(), created_at: at, definition };
    desk.act(move |desk, work| {
        let about = about(desk, work, &request.monitoring_schedule_config)?;
        let id = desk.insert(work, &new, &request.tags)?;
        let state = ScheduleState {
            status: ScheduleStatus::Pending,
            wanted: ScheduleStatus::Scheduled,
            failure_reason: None,
            modified_at: at,
            due_at: None,
            endpoint: about.endpoint,
            monitoring_type: about.monitoring_type,
            job_definition: about.job_definition,
        };
        Ok(work.begin_schedule(id, &state, ALERT_NAME)?)
    })
    .await?;
    desk.nudge.notify_one();
    Ok(json!({ "MonitoringScheduleArn": arn }))
}

pub(crate) async fn update(desk: &Desk, input: &Map<String, Value>) -> Result<Value, Failure> {
    let request: ScheduleRequest = read(input)?;
    let (at, mut definition) = (desk.now(), definition_of(input));
    let arn = desk
        .act(move |desk, work| {
            let schedule = find(desk, work, &request.monitoring_schedule_name)?;
            let before = schedule_of(&schedule.definition)?;
            let config = with_schedule(&mut definition, Some(&before), at.hour_path().hour)?;
            refuse_unusable_times(&config)?;
            let about = about(desk, work, &request.monitoring_schedule_config)?;
            definition.insert("MonitoringScheduleName".into(), json!(schedule.name));
            work.redefine(schedule.id, &definition)?;
            let state = ScheduleState {
                status: ScheduleStatus::Pending,
                failure_reason: None,
                modified_at: at,
                due_at: None,
                endpoint: about.endpoint,
                monitoring_type: about.monitoring_type,
                job_definition: about.job_definition,
                ..schedule.state
            };
            work.change_schedule(schedule.id, &state)?;
            Ok(desk.arn_in(&schedule.region, KIND, &schedule.name))
        })
        .await?;
    desk.nudge.notify_one();
    Ok(json!({ "MonitoringScheduleArn": arn }))
}

/// Lets a schedule go on; the time in which it stood still is not made up for.
pub(crate) async fn start(desk: &Desk, input: &Map<String, Value>) -> Result<Value, Failure> {
    turn(desk, input, ScheduleStatus::Scheduled).await
}

/// Lets no further execution begin; one that runs goes on.
pub(crate) async fn stop(desk: &Desk, input: &Map<String, Value>) -> Result<Value, Failure> {
    turn(desk, input, ScheduleStatus::Stopped).await
}

async fn turn(desk: &Desk, input: &Map<String, Value>, wanted: ScheduleStatus) -> Result<Value, Failure> {
    let (name, at) = (name_of(input), desk.now());
    desk.act(move |desk, work| {
        let schedule = find(desk, work, &name)?;
        let state = schedule.state;
        if state.wanted == wanted && state.status != ScheduleStatus::Failed {
            return Ok(());
        }
        let turned = ScheduleState {
            status: ScheduleStatus::Pending,
            wanted,
            failure_reason: None,
            modified_at: at,
            due_at: None,
            ..state
        };
        Ok(work.change_schedule(schedule.id, &turned)?)
    })
    .await?;
    desk.nudge.notify_one();
    Ok(json!({}))
}

pub(crate) async fn delete(desk: &Desk, input: &Map<String, Value>) -> Result<Value, Failure> {
    let name = name_of(input);
    desk.act(move |desk, work| {
        let schedule = find(desk, work, &name)?;
        if work.has_open_execution(schedule.id)? {
            return Err(Fault::validation("can't delete schedule as it has in-progress executions").into());
        }
        work.delete(KIND, &name)?;
        Ok(json!({}))
    })
    .await
}

pub(crate) async fn describe(desk: &Desk, input: &Map<String, Value>) -> Result<Value, Failure> {
    let name = name_of(input);
    desk.act(move |desk, work| {
        let schedule = find(desk, work, &name)?;
        let last = work.newest_executions(schedule.id, 1)?.pop();
        Ok(described(desk, schedule, last.as_ref()))
    })
    .await
}

fn described(desk: &Desk, schedule: ScheduleRow, last: Option<&ExecutionRow>) -> Value {
    let state = schedule.state;
    let mut members = schedule.definition;
    if let Some(inline) = members
        .get_mut("MonitoringScheduleConfig")
        .and_then(|config| config.get_mut("MonitoringJobDefinition"))
        .and_then(Value::as_object_mut)
    {
        job_definition::complete_network(inline);
    }
    let mut told = json!({
        "MonitoringScheduleArn": desk.arn_in(&schedule.region, KIND, &schedule.name),
        "MonitoringScheduleName": schedule.name,
        "MonitoringScheduleStatus": state.status.as_str(),
        "MonitoringType": state.monitoring_type,
        "CreationTime": schedule.created_at.unix_seconds(),
        "LastModifiedTime": state.modified_at.unix_seconds(),
        "MonitoringScheduleConfig": members.shift_remove("MonitoringScheduleConfig"),
    });
    let optional = [
        ("FailureReason", state.failure_reason.map(Value::String)),
        ("EndpointName", state.endpoint.map(Value::String)),
        ("LastMonitoringExecutionSummary", last.map(|last| summary(desk, last))),
    ];
    for (name, value) in optional {
        if let Some(value) = value {
            told[name] = value;
        }
    }
    told
}

/// What lists and schedules tell of an execution.
pub(super) fn summary(desk: &Desk, row: &ExecutionRow) -> Value {
    let mut told = json!({
        "MonitoringScheduleName": row.schedule,
        "ScheduledTime": row.scheduled_at.unix_seconds(),
        "CreationTime": row.created_at.unix_seconds(),
        "LastModifiedTime": row.modified_at.unix_seconds(),
        "MonitoringExecutionStatus": row.status.as_str(),
        "MonitoringType": row.monitoring_type,
    });
    let job = row.processing_job.as_deref();
    let optional = [
        ("ProcessingJobArn", job.map(|job| json!(desk.arn_in(&row.region, ResourceKind::ProcessingJob, job)))),
        ("EndpointName", row.endpoint.as_ref().map(|name| json!(name))),
        ("FailureReason", row.failure_reason.as_ref().map(|reason| json!(reason))),
        ("MonitoringJobDefinitionName", row.job_definition.as_ref().map(|name| json!(name))),
    ];
    for (name, value) in optional {
        if let Some(value) = value {
            told[name] = value;
        }
    }
    told
}

/// Has an execution begin out of turn; what a schedule itself cannot ask for in SageMaker's words.
pub(crate) async fn run_now(desk: &Desk, name: &str) -> Result<Value, Failure> {
    let (name, at) = (name.to_owned(), desk.now());
    let told = desk
        .act(move |desk, work| {
            let schedule = find(desk, work, &name)?;
            if work.has_open_execution(schedule.id)? {
                let text = format!("Schedule {name} has an execution in progress; two never run at once.");
                return Err(Fault::new(FaultCode::ResourceInUse, text).into());
            }
            claims::claim(work, &schedule, claims::whole_second(at), at)?;
            let claimed = work.newest_executions(schedule.id, 1)?.pop();
            Ok(claimed.map_or(Value::Null, |row| summary(desk, &row)))
        })
        .await?;
    desk.nudge.notify_one();
    Ok(told)
}

pub(crate) async fn update_alert(desk: &Desk, input: &Map<String, Value>) -> Result<Value, Failure> {
    let request: UpdateMonitoringAlert = read(input)?;
    if request.datapoints_to_alert > request.evaluation_period {
        let text = format!(
            "'datapointsToAlert' is {}, more than the {} executions of 'evaluationPeriod'.",
            request.datapoints_to_alert, request.evaluation_period
        );
        return Err(Fault::validation(text).into());
    }
    let at = desk.now();
    desk.act(move |desk, work| {
        let schedule = find(desk, work, &request.monitoring_schedule_name)?;
        let name = &request.monitoring_alert_name;
        let found = work.alerts(schedule.id)?.into_iter().find(|alert| alert.name.eq_ignore_ascii_case(name));
        let Some(mut alert) = found else {
            let text = format!("Could not find monitoring alert \"{name}\" of schedule {}.", schedule.name);
            return Err(Fault::new(FaultCode::ResourceNotFound, text).into());
        };
        alert.datapoints_to_alert = request.datapoints_to_alert;
        alert.evaluation_period = request.evaluation_period;
        alert.modified_at = at;
        work.change_alert(&schedule, &alert)?;
        claims::judge_alerts(work, &schedule, at)?;
        let arn = desk.arn_in(&schedule.region, KIND, &schedule.name);
        Ok(json!({ "MonitoringScheduleArn": arn, "MonitoringAlertName": alert.name }))
    })
    .await
}

/// What a schedule is about.
struct About {
    endpoint: Option<String>,
    monitoring_type: MonitoringType,
    job_definition: Option<String>,
}

fn about(desk: &Desk, work: &Work<'_>, config: &MonitoringScheduleConfig) -> Result<About, Failure> {
    let (job, monitoring_type, job_definition) = match (
        &config.monitoring_job_definition,
        &config.monitoring_job_definition_name,
        config.monitoring_type,
    ) {
        (Some(inline), None, monitoring_type) => {
            // An inline definition has no members for any other type.
            let monitoring_type = monitoring_type.unwrap_or(MonitoringType::DataQuality);
            if monitoring_type != MonitoringType::DataQuality {
                let text = format!(
                    "A MonitoringJobDefinition inside a schedule is one of DataQuality; create a {}JobDefinition and name it.",
                    monitoring_type.as_str()
                );
                return Err(Fault::validation(text).into());
            }
            let job = MonitoringJob::of_inline(inline)?;
            job_definition::refuse_unusable(&job, monitoring_type, "monitoring")?;
            (job, monitoring_type, None)
        }
        (None, Some(name), Some(monitoring_type)) => {
            let found = work.find(monitoring_type.kind(), name)?;
            let found = found.ok_or_else(|| Failure::Fault(desk.not_found(monitoring_type.kind(), name)))?;
            (MonitoringJob::of_definition(monitoring_type, &found.definition)?, monitoring_type, Some(found.name))
        }
        _ => {
            let text = "'monitoringScheduleConfig' must hold either a MonitoringJobDefinition, or a \
                        MonitoringJobDefinitionName with its MonitoringType.";
            return Err(Fault::validation(text).into());
        }
    };
    let input = job.job_input.endpoint_input.as_ref();
    job_definition::refuse_uncaptured(work, input)?;
    Ok(About { endpoint: input.map(|input| input.endpoint_name.to_string()), monitoring_type, job_definition })
}

fn refuse_unusable_times(config: &ScheduleConfig) -> Result<(), Fault> {
    let text = &config.schedule_expression;
    let Some(expression) = Expression::parse(text) else {
        return Err(Fault::validation(format!(
            "The schedule expression '{text}' is not valid. The supported expressions are cron(0 * ? * * *), \
             cron(0 [00-23] ? * * *), cron(0 [00-23]/[01-24] ? * * *) and NOW; here also rate(1 minute), rate(N minutes) \
             and rate(N hours) up to a day."
        )));
    };
    let path = "scheduleConfig.dataAnalysisStartTime' and 'scheduleConfig.dataAnalysisEndTime";
    let stated = window::stated(config).map_err(|error| Fault::validation(format!("'{path}' {error}.")))?;
    if expression == Expression::Now && stated.is_none() {
        return Err(Fault::validation(format!("'{path}' must be given where the schedule expression is NOW.")));
    }
    Ok(())
}

/// The times of a schedule: those that are asked for, else those of before, else daily at the hour that it is now.
fn with_schedule(
    definition: &mut Map<String, Value>,
    before: Option<&Value>,
    hour: u8,
) -> Result<ScheduleConfig, Fault> {
    if let Some(config) = definition.get_mut("MonitoringScheduleConfig").and_then(Value::as_object_mut) {
        let daily = || json!({ "ScheduleExpression": format!("cron(0 {hour} ? * * *)") });
        config.entry("ScheduleConfig").or_insert_with(|| before.cloned().unwrap_or_else(daily));
    }
    let stated = schedule_of(definition)?;
    read(stated.as_object().unwrap_or(&Map::new()))
}

fn schedule_of(definition: &Map<String, Value>) -> Result<Value, Fault> {
    let config = definition.get("MonitoringScheduleConfig");
    Ok(config.and_then(|config| config.get("ScheduleConfig")).cloned().unwrap_or_default())
}

pub(super) fn find(desk: &Desk, work: &Work<'_>, name: &str) -> Result<ScheduleRow, Failure> {
    work.schedule(name)?.ok_or_else(|| desk.not_found(KIND, name).into())
}

fn name_of(input: &Map<String, Value>) -> String {
    // The input was checked.
    input.get("MonitoringScheduleName").and_then(Value::as_str).unwrap_or_default().to_owned()
}
