//! `captura monitors`: monitoring schedules and what they found.

use std::time::Duration;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use captura_names::Timestamp;
use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value, json};

use super::{Outcome, Server, say, table};
use crate::client::Client;

/// Between two looks at an execution that is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Image of the built-in analyser.
const ANALYZER: &str = "captura/sagemaker-model-monitor-analyzer";
/// In whose name executions are; nobody is asked for it here, but SageMaker's API wants one.
const ROLE: &str = "arn:aws:iam::000000000000:role/captura";
/// Longest time between two executions, minutes.
const DAY_MINUTES: u64 = 24 * 60;
/// Longest page of a list.
const PAGE_MAX: u64 = 100;

/// Monitoring schedules: list, create, run, and see what they found
#[derive(Debug, Args)]
pub(crate) struct Monitors {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List the schedules
    List(List),
    /// Describe one schedule, with its alert and its last execution
    Describe(Named),
    /// What a schedule did, newest first; exits 2 when the newest that ended found violations, 3 when it could not tell
    Executions(Executions),
    /// Have an execution begin now; with --wait exits 2 when it finds violations, 3 when it cannot tell
    Run(Run),
    /// Watch an endpoint's data against a baseline, again and again
    Create(Create),
    /// Let a stopped schedule go on
    Start(Named),
    /// Let no further execution begin
    Stop(Named),
    /// Forget a schedule; what it did stays told
    Delete(Named),
}

#[derive(Debug, Args)]
struct List {
    /// Only schedules of this endpoint
    #[arg(long)]
    endpoint: Option<String>,
    #[command(flatten)]
    server: Server,
}

#[derive(Debug, Args)]
struct Named {
    /// Schedule
    name: String,
    #[command(flatten)]
    server: Server,
}

#[derive(Debug, Args)]
struct Executions {
    /// Schedule
    name: String,
    /// How many, at most
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=PAGE_MAX))]
    limit: u64,
    #[command(flatten)]
    server: Server,
}

#[derive(Debug, Args)]
struct Run {
    /// Schedule
    name: String,
    /// Wait until it has ended
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    server: Server,
}

#[derive(Debug, Args)]
struct Create {
    /// Schedule
    name: String,
    /// Endpoint whose captures are watched
    #[arg(long)]
    endpoint: String,
    /// Folder with constraints.json and statistics.json, s3://…
    #[arg(long, value_name = "URI")]
    baseline: String,
    /// How often: 1m to 24h, such as 5m, 1h, 6h, 1d
    #[arg(long, value_name = "TIME", default_value = "1h")]
    every: String,
    /// Folder for reports, s3://…
    #[arg(long, value_name = "URI")]
    out: String,
    /// Publish no metrics to CloudWatch
    #[arg(long)]
    no_metrics: bool,
    #[command(flatten)]
    server: Server,
}

impl Monitors {
    pub(crate) async fn run(self) -> anyhow::Result<Outcome> {
        match self.verb {
            Verb::List(verb) => verb.run().await,
            Verb::Describe(verb) => verb.describe().await,
            Verb::Executions(verb) => verb.run().await,
            Verb::Run(verb) => verb.run().await,
            Verb::Create(verb) => verb.run().await,
            Verb::Start(verb) => verb.turn("StartMonitoringSchedule").await,
            Verb::Stop(verb) => verb.turn("StopMonitoringSchedule").await,
            Verb::Delete(verb) => verb.turn("DeleteMonitoringSchedule").await,
        }
    }
}

impl List {
    async fn run(self) -> anyhow::Result<Outcome> {
        let client = self.server.client()?;
        let mut input = json!({ "MaxResults": PAGE_MAX, "SortBy": "Name", "SortOrder": "Ascending" });
        if let Some(endpoint) = self.endpoint {
            input["EndpointName"] = json!(endpoint);
        }
        let mut schedules: Vec<Value> = Vec::new();
        loop {
            let page = client.operation("ListMonitoringSchedules", &input).await?;
            schedules.extend(page["MonitoringScheduleSummaries"].as_array().cloned().unwrap_or_default());
            match page.get("NextToken") {
                Some(token) => input["NextToken"] = token.clone(),
                None => break,
            }
        }
        if self.server.json {
            say(&Value::Array(schedules).to_string());
            return Ok(Outcome::Fine);
        }
        let mut rows = table(&["SCHEDULE", "TYPE", "ENDPOINT", "STATUS", "CREATED"]);
        for schedule in &schedules {
            rows.add_row([
                text(&schedule["MonitoringScheduleName"]),
                text(&schedule["MonitoringType"]),
                text(&schedule["EndpointName"]),
                text(&schedule["MonitoringScheduleStatus"]),
                time(&schedule["CreationTime"]),
            ]);
        }
        say(&rows.to_string());
        Ok(Outcome::Fine)
    }
}

impl Named {
    async fn describe(self) -> anyhow::Result<Outcome> {
        let client = self.server.client()?;
        let named = json!({ "MonitoringScheduleName": self.name });
        let mut schedule = client.operation("DescribeMonitoringSchedule", &named).await?;
        let alerts = client.operation("ListMonitoringAlerts", &named).await?["MonitoringAlertSummaries"].take();
        if self.server.json {
            schedule["CapturaAlerts"] = alerts;
            say(&schedule.to_string());
            return Ok(Outcome::Fine);
        }
        let config = &schedule["MonitoringScheduleConfig"];
        say(&format!("schedule   {}", text(&schedule["MonitoringScheduleName"])));
        say(&format!("status     {}", text(&schedule["MonitoringScheduleStatus"])));
        if let Some(reason) = schedule["FailureReason"].as_str() {
            say(&format!("reason     {reason}"));
        }
        say(&format!("type       {}", text(&schedule["MonitoringType"])));
        say(&format!("endpoint   {}", text(&schedule["EndpointName"])));
        say(&format!("times      {}", text(&config["ScheduleConfig"]["ScheduleExpression"])));
        if let Some(definition) = config["MonitoringJobDefinitionName"].as_str() {
            say(&format!("definition {definition}"));
        }
        for alert in alerts.as_array().into_iter().flatten() {
            say(&format!(
                "alert      {}: {}, raised by {} of {} executions",
                text(&alert["MonitoringAlertName"]),
                text(&alert["AlertStatus"]),
                alert["DatapointsToAlert"],
                alert["EvaluationPeriod"]
            ));
        }
        let last = &schedule["LastMonitoringExecutionSummary"];
        if last.is_object() {
            say(&format!("last       {} {}", time(&last["ScheduledTime"]), told(last)));
        }
        Ok(Outcome::Fine)
    }

    async fn turn(self, operation: &str) -> anyhow::Result<Outcome> {
        let client = self.server.client()?;
        let answer = client.operation(operation, &json!({ "MonitoringScheduleName": self.name })).await?;
        if self.server.json {
            say(&answer.to_string());
        }
        Ok(Outcome::Fine)
    }
}

impl Executions {
    async fn run(self) -> anyhow::Result<Outcome> {
        let client = self.server.client()?;
        let input = json!({ "MonitoringScheduleName": self.name, "SortBy": "ScheduledTime", "MaxResults": self.limit });
        let mut page = client.operation("ListMonitoringExecutions", &input).await?;
        let executions = page["MonitoringExecutionSummaries"].take();
        let executions = executions.as_array().cloned().unwrap_or_default();
        if executions.is_empty() {
            // The list has none of a schedule that there is not, either.
            client.operation("DescribeMonitoringSchedule", &json!({ "MonitoringScheduleName": self.name })).await?;
        }
        let ended = executions.iter().map(outcome).find(Option::is_some).flatten().unwrap_or(Outcome::Fine);
        if self.server.json {
            say(&Value::Array(executions).to_string());
            return Ok(ended);
        }
        let mut rows = table(&["SCHEDULED", "JOB", "STATUS"]);
        for execution in &executions {
            let job = execution["ProcessingJobArn"].as_str().and_then(|arn| arn.rsplit('/').next()).unwrap_or("-");
            rows.add_row([time(&execution["ScheduledTime"]), job.to_owned(), told(execution)]);
        }
        say(&rows.to_string());
        Ok(ended)
    }
}

impl Run {
    async fn run(self) -> anyhow::Result<Outcome> {
        let client = self.server.client()?;
        let path = format!("/captura/v1/monitoring-schedules/{}/executions", self.name);
        let reply = client.send(Method::POST, &path, &[], Bytes::new()).await?;
        if !reply.status.is_success() {
            bail!("{}", reply.message());
        }
        let mut execution: Value = serde_json::from_slice(&reply.body).context("the answer is not JSON")?;
        let mut ended = outcome(&execution);
        while self.wait && ended.is_none() {
            tokio::time::sleep(LOOK_EVERY).await;
            execution = look(&client, &self.name, &execution["ScheduledTime"]).await?;
            ended = outcome(&execution);
        }
        if self.server.json {
            say(&execution.to_string());
        } else {
            say(&format!("{} {}", time(&execution["ScheduledTime"]), told(&execution)));
        }
        Ok(ended.unwrap_or(Outcome::Fine))
    }
}

/// The execution of that time.
async fn look(client: &Client, name: &str, scheduled: &Value) -> anyhow::Result<Value> {
    let input = json!({ "MonitoringScheduleName": name, "ScheduledTimeAfter": scheduled, "SortBy": "ScheduledTime",
        "SortOrder": "Ascending", "MaxResults": 1 });
    let mut page = client.operation("ListMonitoringExecutions", &input).await?;
    let found = page["MonitoringExecutionSummaries"].get_mut(0).map(Value::take);
    found.with_context(|| format!("the execution of schedule {name} is gone"))
}

impl Create {
    async fn run(self) -> anyhow::Result<Outcome> {
        let expression = expression(&self.every)?;
        let client = self.server.client()?;
        let folder = self.baseline.trim_end_matches('/');
        let metrics = if self.no_metrics { "Disabled" } else { "Enabled" };
        let definition = json!({
            "BaselineConfig": {
                "ConstraintsResource": { "S3Uri": format!("{folder}/constraints.json") },
                "StatisticsResource": { "S3Uri": format!("{folder}/statistics.json") },
            },
            "MonitoringInputs": [{ "EndpointInput": {
                "EndpointName": self.endpoint,
                "LocalPath": "/opt/ml/processing/input/endpoint",
            } }],
            "MonitoringOutputConfig": { "MonitoringOutputs": [{ "S3Output": {
                "S3Uri": self.out, "LocalPath": "/opt/ml/processing/output", "S3UploadMode": "EndOfJob",
            } }] },
            "MonitoringResources": { "ClusterConfig": {
                "InstanceCount": 1, "InstanceType": "ml.m5.xlarge", "VolumeSizeInGB": 20,
            } },
            "MonitoringAppSpecification": { "ImageUri": ANALYZER },
            "Environment": { "publish_cloudwatch_metrics": metrics },
            "RoleArn": ROLE,
        });
        let input = json!({
            "MonitoringScheduleName": self.name,
            "MonitoringScheduleConfig": {
                "ScheduleConfig": { "ScheduleExpression": expression },
                "MonitoringJobDefinition": definition,
            },
        });
        let answer = client.operation("CreateMonitoringSchedule", &input).await?;
        if self.server.json {
            say(&answer.to_string());
        } else {
            say(&format!("{} {expression}", text(&answer["MonitoringScheduleArn"])));
        }
        Ok(Outcome::Fine)
    }
}

/// `5m` in the words of the API: SageMaker's where it has some, else captura's own `rate(5 minutes)`.
fn expression(every: &str) -> anyhow::Result<String> {
    let wrong = || format!("--every {every:?} is not a time like 5m, 1h or 1d, in whole minutes and a day at most");
    let unit = every.chars().last().with_context(wrong)?;
    let count: u64 = every[..every.len() - unit.len_utf8()].parse().ok().with_context(wrong)?;
    let unit_minutes = match unit {
        'm' => 1,
        'h' => 60,
        'd' => DAY_MINUTES,
        _ => bail!("{}", wrong()),
    };
    let minutes = count.checked_mul(unit_minutes).filter(|minutes| (1..=DAY_MINUTES).contains(minutes));
    let minutes = minutes.with_context(wrong)?;
    Ok(match (minutes / 60, minutes % 60) {
        (1, 0) => "cron(0 * ? * * *)".to_owned(),
        (24, 0) => "cron(0 0 ? * * *)".to_owned(),
        (hours, 0) if 24 % hours == 0 => format!("cron(0 0/{hours} ? * * *)"),
        _ if minutes == 1 => "rate(1 minute)".to_owned(),
        _ => format!("rate({minutes} minutes)"),
    })
}

/// How an execution ended; nothing while it has not.
fn outcome(execution: &Value) -> Option<Outcome> {
    match execution["MonitoringExecutionStatus"].as_str()? {
        "Completed" => Some(Outcome::Fine),
        "CompletedWithViolations" => Some(Outcome::Violates),
        "Failed" | "Stopped" => Some(Outcome::CannotTell),
        _ => None,
    }
}

fn told(execution: &Value) -> String {
    let status = text(&execution["MonitoringExecutionStatus"]);
    match execution["FailureReason"].as_str() {
        Some(reason) => format!("{status}: {reason}"),
        None => status,
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| "-".to_owned(), str::to_owned)
}

fn time(value: &Value) -> String {
    value.as_f64().map_or_else(|| "-".to_owned(), |seconds| Timestamp::from_unix_seconds(seconds).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_said_in_sagemakers_words_where_it_has_some() {
        for (every, expected) in [
            ("1m", "rate(1 minute)"),
            ("5m", "rate(5 minutes)"),
            ("60m", "cron(0 * ? * * *)"),
            ("1h", "cron(0 * ? * * *)"),
            ("90m", "rate(90 minutes)"),
            ("6h", "cron(0 0/6 ? * * *)"),
            ("5h", "rate(300 minutes)"),
            ("1d", "cron(0 0 ? * * *)"),
        ] {
            assert_eq!(expression(every).unwrap(), expected);
        }
        for bad in ["", "m", "0m", "5", "5s", "-5m", "25h", "2d", "5é", "18446744073709551615d"] {
            assert!(expression(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_what_has_ended_has_an_outcome() {
        for (status, expected) in [
            ("Pending", None),
            ("InProgress", None),
            ("Stopping", None),
            ("Completed", Some(Outcome::Fine)),
            ("CompletedWithViolations", Some(Outcome::Violates)),
            ("Failed", Some(Outcome::CannotTell)),
            ("Stopped", Some(Outcome::CannotTell)),
        ] {
            assert_eq!(outcome(&json!({ "MonitoringExecutionStatus": status })), expected);
        }
    }
}
