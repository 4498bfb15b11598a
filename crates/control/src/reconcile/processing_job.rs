//! Has processing jobs run, oldest first and so many at a time, and writes down how they end.
//!
//! A job that the end of the server cut off is begun anew where that changes nothing but its outputs, and else has failed:
//! what it did to the world outside is not known, and AWS never runs a job twice.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use captura_names::{Arn, ResourceKind, Timestamp};
use captura_route::Clock;
use captura_wire::hosting::ProcessingJobStatus;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use crate::catalog::{Catalog, CatalogError, JobChange, JobRow};
use crate::jobs::{Halt, JobEnd, JobOrder, JobOutcome, JobRunner};

/// How long a job may run that says nothing: AWS's own default.
const MAX_RUNTIME: Duration = Duration::from_secs(24 * 60 * 60);
/// A job that cuts the server's life off each time is not begun for ever.
const ATTEMPTS_MAX: u32 = 3;
/// Longest message and longest reason, bytes.
const TEXT_MAX_BYTES: usize = 1_024;
/// How long the server's end waits for its jobs.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(45);

/// Ends of jobs that are not in the catalog yet, by row.
type Ends = Arc<Mutex<BTreeMap<i64, JobEnd>>>;

/// Makes processing jobs run.
pub(crate) struct JobReconciler {
    pub(crate) catalog: Catalog,
    pub(crate) clock: Clock,
    pub(crate) nudge: Arc<Notify>,
    pub(crate) account: String,
    pub(crate) runner: Arc<dyn JobRunner>,
    /// Most jobs at a time.
    pub(crate) jobs_max: usize,
    pub(crate) running: tokio::sync::Mutex<BTreeMap<i64, Running>>,
    pub(crate) ends: Ends,
}

/// A job that this process runs.
pub(crate) struct Running {
    halt: watch::Sender<Halt>,
    task: JoinHandle<()>,
}

/// What becomes of a job that is not running here.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    Begin,
    End(JobOutcome),
}

impl JobReconciler {
    /// One pass: ends are written down, stops handed on, and waiting jobs begun as far as there is room.
    ///
    /// # Errors
    /// When the catalog fails; what could not be written is written by a later pass.
    pub(crate) async fn reconcile(&self) -> Result<(), CatalogError> {
        let mut running = self.running.lock().await;
        self.write_ends(&mut running).await?;
        let open = self.catalog.run(|work| work.open_processing_jobs()).await?;
        for job in open {
            if let Some(own) = running.get(&job.id) {
                if job.status == ProcessingJobStatus::Stopping {
                    own.halt.send_if_modified(|halt| {
                        let is_new = *halt == Halt::No;
                        *halt = if is_new { Halt::Stop } else { *halt };
                        is_new
                    });
                }
                continue;
            }
            match self.next(&job) {
                Next::End(outcome) => self.write(job.id, JobEnd { outcome, exit_message: None }).await?,
                Next::Begin if running.len() < self.jobs_max => {
                    if let Some(begun) = self.begin(job).await? {
                        running.insert(begun.0, begun.1);
                    }
                }
                Next::Begin => {}
            }
        }
        Ok(())
    }

    fn next(&self, job: &JobRow) -> Next {
        if job.status == ProcessingJobStatus::Stopping {
            return Next::End(JobOutcome::Stopped(None));
        }
        // Whatever runs here is known here, so one that has begun was begun by a process that is gone.
        if job.started_at.is_none() {
            return Next::Begin;
        }
        if !self.runner.is_repeatable(&job.request.app_specification.image_uri) {
            let text = "InternalServerError: The server ended while the job ran. It is not begun again, because what it has \
                        done outside its outputs is not known; create it anew under another name.";
            return Next::End(JobOutcome::Failed(text.to_owned()));
        }
        if job.attempts >= ATTEMPTS_MAX {
            let text = format!("InternalServerError: The server ended {ATTEMPTS_MAX} times while the job ran.");
            return Next::End(JobOutcome::Failed(text));
        }
        Next::Begin
    }

    async fn begin(&self, job: JobRow) -> Result<Option<(i64, Running)>, CatalogError> {
        let (id, at) = (job.id, self.now());
        if !self.catalog.run(move |work| work.start_processing_job(id, at)).await? {
            return Ok(None);
        }
        let name = job.request.processing_job_name.to_string();
        let stated = job.request.stopping_condition.map(|condition| condition.max_runtime_in_seconds);
        let arn =
            Arn { region: job.region.clone(), account: self.account.clone(), kind: ResourceKind::ProcessingJob, name };
        tracing::info!(job = %arn.name, image = job.request.app_specification.image_uri, "a processing job begins");
        let order = JobOrder {
            arn: arn.to_string(),
            region: job.region,
            schedule_arn: job.schedule_arn,
            max_runtime: stated.map_or(MAX_RUNTIME, |seconds| Duration::from_secs(seconds.into())),
            request: job.request,
        };
        let (halt, halting) = watch::channel(Halt::No);
        let run = tokio::spawn(self.runner.run(order, halting));
        let (ends, nudge) = (Arc::clone(&self.ends), Arc::clone(&self.nudge));
        let task = tokio::spawn(async move {
            let bug = |error| JobEnd::failed(format!("InternalServerError: our bug: the job's task ended: {error}"));
            let end = run.await.unwrap_or_else(bug);
            ends.lock().unwrap_or_else(PoisonError::into_inner).insert(id, end);
            nudge.notify_one();
        });
        Ok(Some((id, Running { halt, task })))
    }

    async fn write_ends(&self, running: &mut BTreeMap<i64, Running>) -> Result<(), CatalogError> {
        loop {
            let next = self
                .ends
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .first_key_value()
                .map(|(id, end)| (*id, end.clone()));
            let Some((id, end)) = next else { return Ok(()) };
            self.write(id, end).await?;
            self.ends.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
            running.remove(&id);
        }
    }

    async fn write(&self, id: i64, end: JobEnd) -> Result<(), CatalogError> {
        let (to, failure_reason) = match end.outcome {
            JobOutcome::Completed => (ProcessingJobStatus::Completed, None),
            JobOutcome::Failed(reason) => (ProcessingJobStatus::Failed, Some(reason)),
            JobOutcome::Stopped(reason) => (ProcessingJobStatus::Stopped, reason),
        };
        tracing::info!(row = id, status = to.as_str(), reason = failure_reason, "a processing job has ended");
        let change = JobChange {
            id,
            to,
            exit_message: end.exit_message.map(|text| cut(&text)),
            failure_reason: failure_reason.map(|text| cut(&text)),
            at: self.now(),
        };
        self.catalog.run(move |work| work.end_processing_job(&change)).await
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_unix_us(self.clock.now().unix_us() / 1_000 * 1_000)
    }

    /// Ends what runs, without a word in the catalog: the next start says what becomes of it. What has ended by itself is
    /// written.
    pub(crate) async fn close(&self) {
        let mut running = self.running.lock().await;
        // Those that cannot be written now are cut off, as after a kill.
        drop(self.write_ends(&mut running).await);
        for job in running.values() {
            job.halt.send_replace(Halt::Close);
        }
        let finished = tokio::time::timeout(CLOSE_TIMEOUT, async {
            for (_, job) in std::mem::take(&mut *running) {
                // It cannot panic, and only the runtime's own end cancels it.
                let _ = job.task.await;
            }
        });
        if finished.await.is_err() {
            tracing::warn!("processing jobs did not end in time; the next start removes what is left of them");
        }
        self.ends.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, end| end.outcome == JobOutcome::Completed);
        if let Err(error) = self.write_ends(&mut running).await {
            tracing::warn!(%error, "ends of processing jobs are not written; those jobs count as cut off");
        }
    }
}

/// As much of a text as is kept.
fn cut(text: &str) -> String {
    let mut end = text.len().min(TEXT_MAX_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}
