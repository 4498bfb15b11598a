//! Claims of executions, and what their ends mean for alerts.

use captura_names::Timestamp;
use captura_wire::hosting::{MonitoringJob, MonitoringType, Reading, ScheduleConfig};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::NO_DATA;
use super::expression::Expression;
use super::window::Window;
use crate::catalog::{AlertStatus, CatalogError, Claim, ExecutionRow, ExecutionStatus, Plan, ScheduleRow, Work};

/// Executions that an alert may look back on, and as many more that had no data and say nothing.
const LOOK_BACK: i64 = 200;

/// The end of the second that has begun. Records have their time to the second, so whoever has just called and asks for an
/// execution now would not find these calls in a window that ends within it.
pub(crate) fn whole_second(at: Timestamp) -> Timestamp {
    const SECOND_US: i64 = 1_000_000;
    Timestamp::from_unix_us((at.unix_us() + SECOND_US - 1).div_euclid(SECOND_US) * SECOND_US)
}

/// Claims the execution of that time; `false` when somebody has. What it does is decided now.
pub(crate) fn claim(
    work: &Work<'_>,
    schedule: &ScheduleRow,
    scheduled_at: Timestamp,
    at: Timestamp,
) -> Result<bool, CatalogError> {
    let plan = plan(work, schedule, scheduled_at)?;
    let failed = plan.is_err();
    let claimed = work.claim(schedule, &Claim { scheduled_at, at, plan })?;
    if claimed && failed {
        judge_alerts(work, schedule, at)?;
    }
    Ok(claimed)
}

fn plan(
    work: &Work<'_>,
    schedule: &ScheduleRow,
    scheduled_at: Timestamp,
) -> Result<Result<Plan, String>, CatalogError> {
    let config = schedule.definition.get("MonitoringScheduleConfig").cloned().unwrap_or_default();
    let inline = config.get("MonitoringJobDefinition").and_then(Value::as_object).cloned();
    let is_inline = inline.is_some();
    let of = schedule.state.monitoring_type;
    let definition = match (inline, &schedule.state.job_definition) {
        (Some(inline), _) => inline,
        (None, Some(name)) => match work.find(of.kind(), name)? {
            Some(found) => found.definition,
            None => return Ok(Err(format!("Could not find job definition {name}."))),
        },
        (None, None) => return Ok(Err("The schedule has no job definition.".to_owned())),
    };
    let job = match job_of(of, &definition, is_inline) {
        Ok(job) => job,
        Err(reason) => return Ok(Err(reason)),
    };
    let Some(reading) = reading(&job) else { return Ok(Err("The job definition has no input.".to_owned())) };
    let times = expression_of(schedule);
    Ok(times.and_then(|(expression, times)| {
        let window = Window::of(scheduled_at, expression, &times, reading)
            .map_err(|error| format!("The offsets of the schedule and of its input {error}."))?;
        let is_finer_than_hours = expression.is_finer_than_hours() || is_out_of_turn(expression, scheduled_at);
        Ok(Plan { definition, is_inline, start: window.time.start, end: window.time.end, is_finer_than_hours })
    }))
}

/// Whether no expression would have it begin at that time; what runs once always begins in its turn.
fn is_out_of_turn(expression: Expression, scheduled_at: Timestamp) -> bool {
    expression != Expression::Now && expression.last_until(scheduled_at) != Some(scheduled_at)
}

/// When a schedule's executions begin.
pub(crate) fn expression_of(schedule: &ScheduleRow) -> Result<(Expression, ScheduleConfig), String> {
    let config = schedule.definition.get("MonitoringScheduleConfig").and_then(|config| config.get("ScheduleConfig"));
    let config = ScheduleConfig::deserialize(config.unwrap_or(&Value::Null))
        .map_err(|error| format!("The times of the schedule cannot be read: {error}."))?;
    let text = &config.schedule_expression;
    let expression =
        Expression::parse(text).ok_or_else(|| format!("The schedule expression '{text}' is not supported."))?;
    Ok((expression, config))
}

/// A stored definition as it is acted upon.
pub(crate) fn job_of(
    of: MonitoringType,
    definition: &Map<String, Value>,
    is_inline: bool,
) -> Result<MonitoringJob, String> {
    let read =
        if is_inline { MonitoringJob::of_inline(definition) } else { MonitoringJob::of_definition(of, definition) };
    read.map_err(|fault| fault.message)
}

/// How the input of a job is read.
pub(crate) fn reading(job: &MonitoringJob) -> Option<&Reading> {
    let input = &job.job_input;
    let endpoint = input.endpoint_input.as_ref().map(|endpoint| &endpoint.reading);
    endpoint.or_else(|| input.batch_transform_input.as_ref().map(|batch| &batch.reading))
}

/// Raises and settles the alerts of a schedule, by its newest executions. Those without data say nothing.
pub(crate) fn judge_alerts(work: &Work<'_>, schedule: &ScheduleRow, at: Timestamp) -> Result<(), CatalogError> {
    let newest = work.newest_executions(schedule.id, LOOK_BACK)?;
    for mut alert in work.alerts(schedule.id)? {
        let status = judged(&newest, alert.datapoints_to_alert, alert.evaluation_period);
        if status != alert.status {
            alert.status = status;
            alert.modified_at = at;
            work.change_alert(schedule, &alert)?;
        }
    }
    Ok(())
}

fn judged(newest: &[ExecutionRow], datapoints_to_alert: i64, evaluation_period: i64) -> AlertStatus {
    let says_something = |row: &&ExecutionRow| match row.status {
        ExecutionStatus::Completed | ExecutionStatus::CompletedWithViolations => true,
        ExecutionStatus::Failed => row.failure_reason.as_deref() != Some(NO_DATA),
        _ => false,
    };
    let period = usize::try_from(evaluation_period).unwrap_or(0);
    let seen = newest.iter().filter(says_something).take(period);
    let bad = seen.filter(|row| row.status != ExecutionStatus::Completed).count();
    if i64::try_from(bad).unwrap_or(i64::MAX) >= datapoints_to_alert { AlertStatus::InAlert } else { AlertStatus::Ok }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_that_ends_now_holds_the_calls_of_the_second_that_has_begun() {
        let ends_at = |us| whole_second(Timestamp::from_unix_us(us)).unix_us();
        assert_eq!([ends_at(5_000_001), ends_at(5_999_999), ends_at(6_000_000)], [6_000_000; 3]);
    }

    fn execution(status: ExecutionStatus, reason: Option<&str>) -> ExecutionRow {
        let at = Timestamp::from_unix_us(0);
        ExecutionRow {
            id: 1,
            schedule_id: 1,
            schedule: "s".into(),
            region: "r".into(),
            scheduled_at: at,
            created_at: at,
            modified_at: at,
            status,
            monitoring_type: MonitoringType::DataQuality,
            endpoint: None,
            job_definition: None,
            merge_job: None,
            processing_job: None,
            failure_reason: reason.map(str::to_owned),
            plan: None,
        }
    }

    #[test]
    fn an_alert_counts_bad_executions_among_the_newest_that_say_something() {
        use ExecutionStatus::{Completed, CompletedWithViolations, Failed, InProgress, Stopped};
        let none = execution(Failed, Some(NO_DATA));
        let broken = execution(Failed, Some("AlgorithmError"));
        let [good, bad] = [Completed, CompletedWithViolations].map(|status| execution(status, None));
        let silent = [execution(InProgress, None), execution(Stopped, None), none];
        for (newest, datapoints, period, expected) in [
            (vec![], 1, 1, AlertStatus::Ok),
            (vec![&bad], 1, 1, AlertStatus::InAlert),
            (vec![&bad], 2, 3, AlertStatus::Ok),
            (vec![&bad, &good, &bad], 2, 3, AlertStatus::InAlert),
            (vec![&good, &good, &bad, &bad], 1, 2, AlertStatus::Ok),
            (vec![&broken, &good], 1, 2, AlertStatus::InAlert),
            (vec![&silent[0], &silent[1], &silent[2], &bad], 1, 1, AlertStatus::InAlert),
            (vec![&silent[2], &good], 1, 1, AlertStatus::Ok),
        ] {
            let newest: Vec<_> = newest.into_iter().cloned().collect();
            assert_eq!(judged(&newest, datapoints, period), expected, "{newest:?}");
        }
    }
}
