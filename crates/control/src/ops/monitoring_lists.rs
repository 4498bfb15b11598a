//! Lists of job definitions, schedules, executions, alerts and what became of alerts.

use captura_names::ResourceKind;
use captura_wire::hosting::{MonitoringListRequest, MonitoringSortBy, MonitoringType, Operation, SortOrder, read};
use serde_json::{Map, Value, json};

use super::listing::{read_token, write_token};
use super::{Desk, Failure, monitoring_schedule};
use crate::catalog::{Cursor, Filter, Order};

/// Length of a page when the request does not say.
const DEFAULT_PAGE_LENGTH: u32 = 10;
/// The same for what became of alerts.
const DEFAULT_HISTORY_LENGTH: u32 = 100;

/// A list that is asked for.
struct Asked {
    request: MonitoringListRequest,
    limit: usize,
    order: Order,
    belongs_to: String,
}

impl Asked {
    /// Reads a request; `keys` are the columns by name, time of creation, scheduled time and status.
    fn of(operation: Operation, input: &Map<String, Value>, keys: [&'static str; 4]) -> Result<Self, Failure> {
        let request: MonitoringListRequest = read(input)?;
        let mut members: Vec<_> =
            input.iter().filter(|(name, _)| *name != "NextToken" && *name != "MaxResults").collect();
        members.sort_by_key(|(name, _)| name.as_str());
        let belongs_to = json!([operation.name(), members]).to_string();
        let limit = request.max_results.unwrap_or(match operation {
            Operation::ListMonitoringAlertHistory => DEFAULT_HISTORY_LENGTH,
            _ => DEFAULT_PAGE_LENGTH,
        });
        let key = match request.sort_by.unwrap_or(MonitoringSortBy::CreationTime) {
            MonitoringSortBy::Name => keys[0],
            MonitoringSortBy::CreationTime => keys[1],
            MonitoringSortBy::ScheduledTime => keys[2],
            MonitoringSortBy::Status => keys[3],
        };
        let order = Order {
            key,
            descending: request.sort_order.unwrap_or(SortOrder::Descending) == SortOrder::Descending,
            after: request.next_token.as_deref().map(|token| read_token(token, &belongs_to)).transpose()?,
            // One more than asked for tells whether there is another page.
            limit: limit + 1,
        };
        Ok(Self { request, limit: limit as usize, order, belongs_to })
    }

    fn page<T>(&self, key: &str, mut rows: Vec<(T, Cursor)>, told: impl Fn(T) -> Value) -> Value {
        let has_more = rows.len() > self.limit;
        rows.truncate(self.limit);
        let token = rows.last().filter(|_| has_more).map(|(_, cursor)| write_token(cursor, &self.belongs_to));
        let items: Vec<Value> = rows.into_iter().map(|(row, _)| told(row)).collect();
        let mut output = Map::from_iter([(key.to_owned(), Value::Array(items))]);
        if let Some(token) = token {
            output.insert("NextToken".to_owned(), Value::String(token));
        }
        Value::Object(output)
    }
}

pub(crate) async fn job_definitions(
    desk: &Desk,
    of: MonitoringType,
    input: &Map<String, Value>,
) -> Result<Value, Failure> {
    let keys = ["r.name", "r.created_us", "r.created_us", "r.name"];
    let asked = Asked::of(Operation::ListJobDefinitions(of), input, keys)?;
    let request = &asked.request;
    let mut filter = Filter::default()
        .text("instr(lower(r.name), lower(?)) > 0", request.name_contains.as_deref())
        .moment("r.created_us < ?", request.creation_time_before)
        .moment("r.created_us >= ?", request.creation_time_after);
    if let Some(endpoint) = &request.endpoint_name {
        filter = filter.text("endpoint = ? COLLATE NOCASE", Some(endpoint.as_str()));
    }
    let order = asked.order.clone();
    let rows = desk.act(move |_, work| Ok(work.job_definitions(of, filter, &order)?)).await?;
    Ok(asked.page("JobDefinitionSummaries", rows, |row| {
        let mut told = json!({
            "MonitoringJobDefinitionName": row.name,
            "MonitoringJobDefinitionArn": desk.arn_in(&row.region, of.kind(), &row.name),
            "CreationTime": row.created_at.unix_seconds(),
        });
        if let Some(endpoint) = row.endpoint {
            told["EndpointName"] = Value::String(endpoint);
        }
        told
    }))
}

pub(crate) async fn schedules(desk: &Desk, input: &Map<String, Value>) -> Result<Value, Failure> {
    let keys = ["r.name", "r.created_us", "r.created_us", "m.status"];
    let asked = Asked::of(Operation::ListMonitoringSchedules, input, keys)?;
    let request = &asked.request;
    let filter = Filter::default()
        .text("instr(lower(r.name), lower(?)) > 0", request.name_contains.as_deref())
        .moment("r.created_us < ?", request.creation_time_before)
        .moment("r.created_us >= ?", request.creation_time_after)
        .moment("m.modified_us < ?", request.last_modified_time_before)
        .moment("m.modified_us >= ?", request.last_modified_time_after)
        .text("m.status = ?", request.status_equals.as_deref())
        .text("m.endpoint = ?", request.endpoint_name.as_ref().map(|name| name.as_str()))
        .text("m.job_definition = ?", request.monitoring_job_definition_name.as_deref())
        .text("m.monitoring_type = ?", request.monitoring_type_equals.map(MonitoringType::as_str));
    let order = asked.order.clone();
    let rows = desk.act(move |_, work| Ok(work.schedules(filter, &order)?)).await?;
    Ok(asked.page("MonitoringScheduleSummaries", rows, |row| {
        let mut told = json!({
            "MonitoringScheduleName": row.name,
            "MonitoringScheduleArn": desk.arn_in(&row.region, ResourceKind::MonitoringSchedule, &row.name),
            "CreationTime": row.created_at.unix_seconds(),
            "LastModifiedTime": row.modified_at.unix_seconds(),
            "MonitoringScheduleStatus": row.status,
            "MonitoringType": row.monitoring_type,
        });
        if let Some(endpoint) = row.endpoint {
            told["EndpointName"] = Value::String(endpoint);
        }
        if let Some(definition) = row.job_definition {
            told["MonitoringJobDefinitionName"] = Value::String(definition);
        }
        told
    }))
}

pub(crate) async fn executions(desk: &Desk, input: &Map<String, Value>) -> Result<Value, Failure> {
    let keys = ["e.schedule", "e.created_us", "e.scheduled_us", "e.status"];
    let asked = Asked::of(Operation::ListMonitoringExecutions, input, keys)?;
    let request = &asked.request;
    let filter = Filter::default()
        .text("e.schedule = ?", request.monitoring_schedule_name.as_deref())
        .text("e.endpoint = ?", request.endpoint_name.as_ref().map(|name| name.as_str()))
        .moment("e.scheduled_us < ?", request.scheduled_time_before)
        .moment("e.scheduled_us >= ?", request.scheduled_time_after)
        .moment("e.created_us < ?", request.creation_time_before)
        .moment("e.created_us >= ?", request.creation_time_after)
        .moment("e.modified_us < ?", request.last_modified_time_before)
        .moment("e.modified_us >= ?", request.last_modified_time_after)
        .text("e.status = ?", request.status_equals.as_deref())
        .text("e.job_definition = ?", request.monitoring_job_definition_name.as_deref())
        .text("e.monitoring_type = ?", request.monitoring_type_equals.map(MonitoringType::as_str));
    let order = asked.order.clone();
    let rows = desk.act(move |_, work| Ok(work.executions(filter, &order)?)).await?;
    Ok(asked.page("MonitoringExecutionSummaries", rows, |row| monitoring_schedule::summary(desk, &row)))
}

pub(crate) async fn alerts(desk: &Desk, input: &Map<String, Value>) -> Result<Value, Failure> {
    let request: MonitoringListRequest = read(input)?;
    if request.next_token.is_some() {
        return Err(super::listing::invalid_token().into());
    }
    let name = request.monitoring_schedule_name.unwrap_or_default();
    desk.act(move |desk, work| {
        let schedule = monitoring_schedule::find(desk, work, &name)?;
        // A schedule has one alert, so there is one page.
        let told = work.alerts(schedule.id)?.into_iter().map(|alert| {
            json!({
                "MonitoringAlertName": alert.name,
                "CreationTime": alert.created_at.unix_seconds(),
                "LastModifiedTime": alert.modified_at.unix_seconds(),
                "AlertStatus": alert.status.as_str(),
                "DatapointsToAlert": alert.datapoints_to_alert,
                "EvaluationPeriod": alert.evaluation_period,
                "Actions": { "ModelDashboardIndicator": { "Enabled": true } },
            })
        });
        Ok(json!({ "MonitoringAlertSummaries": told.collect::<Vec<_>>() }))
    })
    .await
}

pub(crate) async fn alert_history(desk: &Desk, input: &Map<String, Value>) -> Result<Value, Failure> {
    let keys = ["a.alert", "a.created_us", "a.created_us", "a.status"];
    let asked = Asked::of(Operation::ListMonitoringAlertHistory, input, keys)?;
    let request = &asked.request;
    let filter = Filter::default()
        .text("a.schedule = ?", request.monitoring_schedule_name.as_deref())
        .text("a.alert = ?", request.monitoring_alert_name.as_deref())
        .moment("a.created_us < ?", request.creation_time_before)
        .moment("a.created_us >= ?", request.creation_time_after)
        .text("a.status = ?", request.status_equals.as_deref());
    let order = asked.order.clone();
    let rows = desk.act(move |_, work| Ok(work.alert_changes(filter, &order)?)).await?;
    Ok(asked.page("MonitoringAlertHistory", rows, |row| {
        json!({
            "MonitoringScheduleName": row.schedule,
            "MonitoringAlertName": row.alert,
            "CreationTime": row.created_at.unix_seconds(),
            "AlertStatus": row.status,
        })
    }))
}
