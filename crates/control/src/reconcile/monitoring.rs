//! Has executions of monitoring schedules begin when it is time, follows their jobs, and writes down how they end.
//!
//! | an execution that is | has, or waits for |
//! | --- | --- |
//! | Pending | its window to be over and archived; then its captures are looked for, and its first job begins |
//! | InProgress | the job that merges, then the job that analyses |
//!
//! A schedule whose moments passed while the server was down, or while an execution ran, makes up for the last of them
//! alone. Two executions of one schedule never run at once.
//!
//! Invariant: safe to run twice, and after a kill at any point: a claim is a row, and a job begins in the transaction that
//! writes its name into that row. Refuses to: run a job.

use std::sync::Arc;

use captura_names::{Arn, ResourceKind, Timestamp};
use captura_route::Clock;
use captura_wire::hosting::{CreateProcessingJob, MonitoringJob, MonitoringType, ProcessingJobStatus, read};
use serde_json::{Map, Value};
use tokio::sync::Notify;

use crate::catalog::{
    Catalog, CatalogError, ExecutionRow, ExecutionStatus, JobRow, Plan, ScheduleRow, ScheduleState, ScheduleStatus,
    Work,
};
use crate::monitoring::expression::Expression;
use crate::monitoring::folders::Folders;
use crate::monitoring::requests::{Baseline, EARLY_VARIABLE, Ordered};
use crate::monitoring::window::Window;
use crate::monitoring::{NO_DATA, claims};
use crate::ops::Failure;
use crate::ops::job_definition::needs_labels;
use crate::ops::processing_job::{self, NewJob};
use crate::settings::Arrivals;

/// How long after a store did not answer it is asked again, microseconds.
const RETRY_US: i64 = 5_000_000;
/// How long a store that does not answer is waited for, microseconds.
const PATIENCE_US: i64 = 900_000_000;
/// How long captures of a window are waited for that do not arrive, microseconds: less than a store is, so that it is the
/// store's failure that is told.
const ARRIVAL_PATIENCE_US: i64 = 600_000_000;
/// How often it is asked whether they have, microseconds.
const ARRIVAL_LOOK_US: i64 = 500_000;
/// Exit message of an analysis that found something.
const WITH_VIOLATIONS: &str = "CompletedWithViolations";

/// The reconciler of monitoring schedules, which keeps nothing.
pub(crate) struct MonitoringReconciler {
    pub(crate) catalog: Catalog,
    pub(crate) clock: Clock,
    /// Wakes the driver, which has jobs run.
    pub(crate) nudge: Arc<Notify>,
    pub(crate) account: String,
    pub(crate) folders: Folders,
    /// Whether all of a window has arrived in its store.
    pub(crate) arrivals: Arrivals,
}

/// What an execution works with.
struct Material {
    plan: Plan,
    job: MonitoringJob,
    captures: Option<String>,
    baseline: Baseline,
}

/// What comes next for an execution.
enum Next {
    /// Nothing now; at that time it is looked at again.
    Wait(Option<Timestamp>),
    /// This job begins.
    Merge(Map<String, Value>, String),
    /// That one begins.
    Analyse(Map<String, Value>, String),
    /// It has ended.
    End(ExecutionStatus, Option<String>),
}

impl MonitoringReconciler {
    /// One pass; tells when to look again.
    ///
    /// # Errors
    /// When the catalog fails.
    pub(crate) async fn reconcile(&self) -> Result<Option<Timestamp>, CatalogError> {
        let now = self.now();
        let mut look_at = self.catalog.run(move |work| keep_schedules(work, now)).await?;
        let open = self.catalog.run(|work| work.open_executions()).await?;
        for row in open {
            let next = self.advance(row).await?;
            look_at = look_at.into_iter().chain(next).min();
        }
        Ok(look_at)
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_unix_us(self.clock.now().unix_us() / 1_000 * 1_000)
    }

    /// Moves one execution on; tells when to look again.
    async fn advance(&self, row: ExecutionRow) -> Result<Option<Timestamp>, CatalogError> {
        let next = match row.status {
            ExecutionStatus::Pending => self.prepare(&row).await?,
            _ => self.follow(&row).await?,
        };
        let (at, account) = (self.now(), self.account.clone());
        match next {
            Next::Wait(until) => return Ok(until),
            Next::End(status, reason) => {
                self.catalog.run(move |work| end(work, row, (status, reason), at)).await?;
            }
            Next::Merge(request, name) => {
                let begun = ExecutionRow { merge_job: Some(name), ..row };
                self.catalog.run(move |work| begin(work, begun, &request, (&account, at))).await?;
            }
            Next::Analyse(request, name) => {
                let begun = ExecutionRow { processing_job: Some(name), ..row };
                self.catalog.run(move |work| begin(work, begun, &request, (&account, at))).await?;
            }
        }
        self.nudge.notify_one();
        Ok(Some(at))
    }

    /// Looks for the data of an execution that was claimed.
    async fn prepare(&self, row: &ExecutionRow) -> Result<Next, CatalogError> {
        let of = row.clone();
        let material = match self.catalog.run(move |work| material(work, &of)).await? {
            Ok(material) => material,
            Err(reason) => return Ok(Next::End(ExecutionStatus::Failed, Some(reason))),
        };
        let (now, over) = (self.now(), material.plan.end.max(row.scheduled_at));
        if now < over {
            return Ok(Next::Wait(Some(over)));
        }
        let is_early = self.is_early(row, &material.plan);
        if is_early && now < over.plus_us(ARRIVAL_PATIENCE_US) {
            return Ok(Next::Wait(Some(now.plus_us(ARRIVAL_LOOK_US))));
        }
        if is_early {
            tracing::warn!(schedule = row.schedule, scheduled = %row.scheduled_at, "an execution begins though captures of its window are on their way");
        }
        let ordered = ordered(row, &material, is_early);
        let sought = match self.seek(&ordered).await {
            Ok(sought) => sought,
            Err(reason) => return Ok(unanswered(row, (over, now), &reason)),
        };
        let Some((found, labels)) = sought else {
            return Ok(Next::End(ExecutionStatus::Failed, Some(NO_DATA.to_owned())));
        };
        Ok(match labels {
            Some(labels) => Next::Merge(ordered.merge(&found, &labels), ordered.merge_name()),
            None => Next::Analyse(ordered.analysis(&found, &material.baseline), ordered.analysis_name()),
        })
    }

    /// Whether captures of the window may still be on their way.
    fn is_early(&self, row: &ExecutionRow, plan: &Plan) -> bool {
        row.endpoint.as_ref().is_some_and(|endpoint| !self.arrivals.are_complete(endpoint, plan.end))
    }

    /// Folders with data of the window, and hours with labels where those are needed; nothing where some of it is missing.
    async fn seek(&self, ordered: &Ordered<'_>) -> Result<Option<(Vec<String>, Option<Vec<String>>)>, String> {
        let window = Window { time: ordered.plan.start..ordered.plan.end };
        let Some(root) = ordered.root() else { return Ok(None) };
        let found = if ordered.job.job_input.batch_transform_input.is_some() {
            self.folders.objects(&root, &window.hours()).await?
        } else {
            self.folders.variants(&root, &window.hours()).await?
        };
        if found.is_empty() {
            return Ok(None);
        }
        if !needs_labels(ordered.row.monitoring_type) {
            return Ok(Some((found, None)));
        }
        let Some(root) = &ordered.job.job_input.ground_truth.s3_uri else { return Ok(None) };
        let hours = window.label_hours(ordered.row.scheduled_at.plus_us(1));
        let labels = self.folders.hours(root.trim_end_matches('/'), &hours).await?;
        Ok(if labels.is_empty() { None } else { Some((found, Some(labels))) })
    }

    /// Looks how the job of an execution is.
    async fn follow(&self, row: &ExecutionRow) -> Result<Next, CatalogError> {
        let merges = row.processing_job.is_none();
        let Some(name) = row.processing_job.clone().or_else(|| row.merge_job.clone()) else {
            return Ok(Next::End(ExecutionStatus::Failed, Some("The execution has no job.".to_owned())));
        };
        let of = name.clone();
        let Some(job) = self.catalog.run(move |work| work.processing_job(&of)).await? else {
            return Ok(Next::End(ExecutionStatus::Failed, Some(format!("The processing job {name} was deleted."))));
        };
        match job.status {
            ProcessingJobStatus::InProgress => Ok(Next::Wait(None)),
            ProcessingJobStatus::Stopping if row.status == ExecutionStatus::Stopping => Ok(Next::Wait(None)),
            ProcessingJobStatus::Stopping => Ok(Next::End(ExecutionStatus::Stopping, None)),
            ProcessingJobStatus::Completed if merges => {
                self.analyse_merged(row, job.request.environment.contains_key(EARLY_VARIABLE)).await
            }
            _ => Ok(ended(&job)),
        }
    }

    /// What comes after captures were merged with labels.
    async fn analyse_merged(&self, row: &ExecutionRow, is_early: bool) -> Result<Next, CatalogError> {
        let of = row.clone();
        let material = match self.catalog.run(move |work| material(work, &of)).await? {
            Ok(material) => material,
            Err(reason) => return Ok(Next::End(ExecutionStatus::Failed, Some(reason))),
        };
        let ordered = ordered(row, &material, is_early);
        let window = Window { time: material.plan.start..material.plan.end };
        let root = ordered.merged_root();
        let sought = if ordered.job.job_input.batch_transform_input.is_some() {
            self.folders.hours(&root, &window.hours()).await
        } else {
            self.folders.variants(&root, &window.hours()).await
        };
        let found = match sought {
            Ok(found) => found,
            Err(reason) => return Ok(unanswered(row, (row.modified_at, self.now()), &reason)),
        };
        if found.is_empty() {
            return Ok(Next::End(ExecutionStatus::Failed, Some(NO_DATA.to_owned())));
        }
        Ok(Next::Analyse(ordered.analysis(&found, &material.baseline), ordered.analysis_name()))
    }
}

/// A store that does not answer is asked again for a while.
fn unanswered(row: &ExecutionRow, (since, now): (Timestamp, Timestamp), reason: &str) -> Next {
    tracing::warn!(schedule = row.schedule, scheduled = %row.scheduled_at, reason, "an execution's data cannot be looked for");
    if now > since.plus_us(PATIENCE_US) {
        return Next::End(ExecutionStatus::Failed, Some(format!("InternalServerError: {reason}")));
    }
    Next::Wait(Some(now.plus_us(RETRY_US)))
}

fn ended(job: &JobRow) -> Next {
    let message = job.exit_message.as_deref().unwrap_or_default();
    match job.status {
        ProcessingJobStatus::Completed if message.starts_with(WITH_VIOLATIONS) => {
            Next::End(ExecutionStatus::CompletedWithViolations, None)
        }
        ProcessingJobStatus::Completed => Next::End(ExecutionStatus::Completed, None),
        ProcessingJobStatus::Stopped => Next::End(ExecutionStatus::Stopped, job.failure_reason.clone()),
        // The analyser saw more than the folders: of a few minutes there may be no record in the hour's.
        _ if job.failure_reason.as_deref().is_some_and(|reason| reason.contains(NO_DATA)) => {
            Next::End(ExecutionStatus::Failed, Some(NO_DATA.to_owned()))
        }
        _ => Next::End(ExecutionStatus::Failed, job.failure_reason.clone()),
    }
}

fn ordered<'a>(row: &'a ExecutionRow, material: &'a Material, is_early: bool) -> Ordered<'a> {
    Ordered { row, plan: &material.plan, job: &material.job, captures: material.captures.as_deref(), is_early }
}

/// Settles what was asked of schedules, and claims executions that are due; tells when the next one is.
fn keep_schedules(work: &Work<'_>, now: Timestamp) -> Result<Option<Timestamp>, CatalogError> {
    let mut next_due = None;
    for schedule in work.active_schedules()? {
        let state = kept(work, &schedule, now)?;
        next_due = next_due.into_iter().chain(state.due_at.filter(|due| *due > now)).min();
    }
    Ok(next_due)
}

fn kept(work: &Work<'_>, schedule: &ScheduleRow, now: Timestamp) -> Result<ScheduleState, CatalogError> {
    let mut state = schedule.state.clone();
    let expression = match claims::expression_of(schedule) {
        Ok((expression, _)) => expression,
        Err(reason) => {
            state.status = ScheduleStatus::Failed;
            (state.failure_reason, state.due_at, state.modified_at) = (Some(reason), None, now);
            work.change_schedule(schedule.id, &state)?;
            return Ok(state);
        }
    };
    if state.status == ScheduleStatus::Pending {
        (state.status, state.modified_at) = (state.wanted, now);
        let begins = state.status == ScheduleStatus::Scheduled;
        state.due_at = begins
            .then(|| if expression == Expression::Now { Some(now) } else { expression.next_after(now) })
            .flatten();
        work.change_schedule(schedule.id, &state)?;
    }
    let Some(due) = state.due_at.filter(|due| *due <= now) else { return Ok(state) };
    if work.has_open_execution(schedule.id)? {
        return Ok(state);
    }
    // Moments that passed unused are gone, but for the last.
    let scheduled = expression.last_until(now).unwrap_or_else(|| claims::whole_second(due));
    claims::claim(work, schedule, scheduled, now)?;
    state.due_at = expression.next_after(scheduled);
    work.change_schedule(schedule.id, &state)?;
    Ok(state)
}

/// What an execution works with, or why it cannot.
fn material(work: &Work<'_>, row: &ExecutionRow) -> Result<Result<Material, String>, CatalogError> {
    let Some(plan) = row.plan.clone() else { return Ok(Err("The execution has no plan.".to_owned())) };
    let job = match claims::job_of(row.monitoring_type, &plan.definition, plan.is_inline) {
        Ok(job) => job,
        Err(reason) => return Ok(Err(reason)),
    };
    let mut captures = None;
    if let Some(name) = &row.endpoint {
        let endpoint = work.endpoint(name)?;
        let deployment = endpoint.and_then(|endpoint| endpoint.current.or(endpoint.pending));
        captures =
            deployment.and_then(|deployment| deployment.capture).map(|capture| capture.config.destination_s3_uri);
        if captures.is_none() {
            return Ok(Err(format!("Endpoint '{name}' does not exist or is not valid")));
        }
    }
    let baseline = baseline(work, row.monitoring_type, &job)?;
    Ok(Ok(Material { plan, job, captures, baseline }))
}

/// What is stated, else what the job that is named has left.
fn baseline(work: &Work<'_>, of: MonitoringType, job: &MonitoringJob) -> Result<Baseline, CatalogError> {
    let config = &job.baseline_config;
    let mut baseline = Baseline {
        constraints: config.constraints_resource.s3_uri.clone(),
        statistics: config.statistics_resource.s3_uri.clone(),
    };
    if let (None, None, Some(name)) = (&baseline.constraints, &baseline.statistics, &config.baselining_job_name) {
        let made = work.processing_job(name)?;
        let output = made.and_then(|made| made.request.processing_output_config?.outputs.into_iter().next()?.s3_output);
        if let Some(output) = output {
            let folder = output.s3_uri.trim_end_matches('/');
            // Clarify leaves one file, which has no statistics.
            let is_clarify = matches!(of, MonitoringType::ModelBias | MonitoringType::ModelExplainability);
            let constraints = if is_clarify { "analysis.json" } else { "constraints.json" };
            baseline.constraints = Some(format!("{folder}/{constraints}"));
            baseline.statistics = (!is_clarify).then(|| format!("{folder}/statistics.json"));
        }
    }
    Ok(baseline)
}

/// Begins a job of an execution and writes that it runs; both, or neither.
fn begin(
    work: &Work<'_>,
    mut row: ExecutionRow,
    request: &Map<String, Value>,
    (account, at): (&str, Timestamp),
) -> Result<(), CatalogError> {
    let schedule_arn = Arn {
        region: row.region.clone(),
        account: account.to_owned(),
        kind: ResourceKind::MonitoringSchedule,
        name: row.schedule.clone(),
    };
    let begun = read::<CreateProcessingJob>(request).map_err(Failure::from).and_then(|request| {
        let new = NewJob { request, region: row.region.clone(), schedule_arn: Some(schedule_arn.to_string()) };
        processing_job::begin(work, account, &new, at)
    });
    match begun {
        Ok(_) => {
            row.status = ExecutionStatus::InProgress;
            row.modified_at = at;
            work.change_execution(&row)
        }
        Err(Failure::Catalog(error)) => Err(error),
        Err(Failure::Fault(fault)) => {
            let none = ExecutionRow { processing_job: None, ..row };
            end(work, none, (ExecutionStatus::Failed, Some(fault.message)), at)
        }
    }
}

fn end(
    work: &Work<'_>,
    mut row: ExecutionRow,
    (status, reason): (ExecutionStatus, Option<String>),
    at: Timestamp,
) -> Result<(), CatalogError> {
    row.status = status;
    row.failure_reason = reason;
    row.modified_at = at;
    work.change_execution(&row)?;
    if status.is_final() {
        tracing::info!(schedule = row.schedule, scheduled = %row.scheduled_at, status = status.as_str(), reason = row.failure_reason, "an execution of a monitoring schedule has ended");
        if let Some(schedule) = work.schedule(&row.schedule)?.filter(|schedule| schedule.id == row.schedule_id) {
            claims::judge_alerts(work, &schedule, at)?;
        }
    }
    Ok(())
}
