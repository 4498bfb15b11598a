//! Metrics and alarms kept, as CloudWatch's clients see them.
//!
//! Metrics come from clients (PutMetricData) and from the rooms of this process ([`Cloudwatch::record`]); alarms watch
//! them and tell who listens ([`Cloudwatch::untold`]). Both survive a restart: alarms and their states always, because
//! each change is on the disk before it is told or answered; metrics but for the last [`Settings::flush_every`].
//!
//! Invariant: nothing here is on the way of an invocation; memory, series, alarms and waiting samples have named limits.
//! Refuses to: carry out the actions of alarms; it says which are due, and the binary knows who does them.

mod alarms;
mod endpoints;
mod notice;
mod ops;
mod plan;
mod statistic;
mod store;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use captura_alarm::State;
use captura_names::Timestamp;
use captura_route::Clock;
use captura_tasks::Tasks;
use captura_wire::cloudwatch::{Code, Fault, Protocol, Reply, Request};
use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::MissedTickBehavior;
use uuid::Uuid;

pub use captura_alarm::State as AlarmState;
pub use captura_wire::cloudwatch::shapes::Dimension;
pub use endpoints::{Durations, EndpointMetrics, Part, Reading, dimensions};
pub use notice::StateChange;
pub use statistic::Statistic;
pub use store::{DiskError, Evicted, Limits, MetricId, Summary};

use alarms::Alarms;
use store::{Disk, Spot, Store, Window};

/// How often alarms are looked at, if they are due.
const TICK: Duration = Duration::from_secs(1);
/// How often old summaries are forgotten.
const EXPIRE_EVERY_TICKS: u64 = 60;
const ALARMS_FILE: &str = "alarms.json";

/// Where and how much.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Folder of the metrics and of the alarms.
    pub folder: PathBuf,
    /// Account in ARNs.
    pub account: String,
    /// How much is kept.
    pub limits: Limits,
    /// How often samples go to the disk: what a kill loses at most.
    pub flush_every: Duration,
    /// Begins the look at alarms again when it panics.
    pub tasks: Tasks,
}

impl Settings {
    /// Below a folder, with the default limits.
    #[must_use]
    pub fn new(folder: PathBuf, account: String) -> Self {
        Self {
            folder,
            account,
            limits: Limits::default(),
            flush_every: Duration::from_secs(5),
            tasks: Tasks::default(),
        }
    }
}

/// Metrics and alarms could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A file or folder failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The alarms' file is there and is not what this version writes.
    #[error("the alarms in {path} cannot be read: {problem}", path = path.display())]
    Alarms {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
}

/// CloudWatch. Clones are handles to the same one.
#[derive(Clone)]
pub struct Cloudwatch(Arc<Inner>);

struct Inner {
    settings: Settings,
    clock: Clock,
    store: Mutex<Store>,
    alarms: Mutex<Alarms>,
    disk: Mutex<Disk>,
    /// Version of the alarms' file.
    written: Mutex<u64>,
    /// Rings when alarms came, went or changed.
    bell: watch::Sender<()>,
    running: Mutex<Option<JoinHandle<()>>>,
}

/// A statistic over time, for other rooms.
#[derive(Debug, Clone)]
pub struct Query {
    /// Of which metric.
    pub metric: MetricId,
    /// Which statistic.
    pub statistic: Statistic,
    /// Length of a period, seconds: 1, 5, 10, 20, 30 or a multiple of 60.
    pub period_s: i64,
    /// Start of the first period; periods are counted from here.
    pub start: Timestamp,
    /// End of the last period.
    pub end: Timestamp,
}

/// Samples for [`Cloudwatch::record`].
#[derive(Debug, Clone)]
pub struct Sample {
    /// Of which metric.
    pub metric: MetricId,
    /// In which unit; one of CloudWatch's.
    pub unit: &'static str,
    /// When.
    pub at: Timestamp,
    /// Whether they are kept by the second, for three hours.
    pub high_resolution: bool,
    /// The samples.
    pub summary: Summary,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is guarded here is whole between any two statements that could panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn seconds(at: Timestamp) -> i64 {
    at.unix_us().div_euclid(1_000_000)
}

impl Cloudwatch {
    /// Opens the folder and reads what it holds. Nothing runs yet; see [`Cloudwatch::start`].
    ///
    /// # Errors
    /// When a file cannot be read or written, or the alarms are not readable.
    pub fn open(settings: Settings, clock: Clock) -> Result<Self, OpenError> {
        let mut store = Store::new(settings.limits);
        let disk = Disk::open(&settings.folder, &mut store)?;
        store.expire(seconds(clock.now()));
        let path = settings.folder.join(ALARMS_FILE);
        let alarms = match std::fs::read(&path) {
            Ok(bytes) => Alarms::read(&bytes).map_err(|problem| OpenError::Alarms { path, problem })?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Alarms::default(),
            Err(error) => return Err(DiskError::new("read", &path, error).into()),
        };
        Ok(Self(Arc::new(Inner {
            settings,
            clock,
            store: Mutex::new(store),
            alarms: Mutex::new(alarms),
            disk: Mutex::new(disk),
            written: Mutex::new(0),
            bell: watch::Sender::new(()),
            running: Mutex::new(None),
        })))
    }

    /// Begins to look at alarms and to write metrics down.
    pub fn start(&self) {
        let running = self.0.settings.tasks.spawn("alarms", self.clone(), |cloudwatch| Box::pin(cloudwatch.run()));
        *lock(&self.0.running) = Some(running);
    }

    /// Stops, and writes down what is not on the disk yet.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub async fn close(&self) -> Result<(), DiskError> {
        let running = lock(&self.0.running).take();
        if let Some(running) = running {
            running.abort();
            // Aborted is what it is meant to be.
            let _ = running.await;
        }
        self.save_alarms().await?;
        self.flush().await
    }

    async fn run(&self) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let flush_every_ticks = self.0.settings.flush_every.as_secs().max(1);
        for tick in 1_u64.. {
            ticks.tick().await;
            self.evaluate().await;
            if tick % flush_every_ticks == 0
                && let Err(error) = self.flush().await
            {
                tracing::warn!(%error, "metrics of the last seconds are not on the disk");
            }
            if tick % EXPIRE_EVERY_TICKS == 0 {
                let now_s = seconds(self.0.clock.now());
                lock(&self.0.store).expire(now_s);
            }
        }
    }

    /// Looks at every alarm that is due, and tells the changes. The running task does it each second.
    pub async fn evaluate(&self) {
        let now = self.0.clock.now();
        let changes = {
            let store = lock(&self.0.store);
            lock(&self.0.alarms).evaluate(&store, now)
        };
        if changes.is_empty() {
            return;
        }
        if let Err(error) = self.save_alarms().await {
            tracing::error!(%error, "the states of alarms are not on the disk; a restart may tell of them again");
        }
        self.tell(&changes);
    }

    fn tell(&self, changes: &[StateChange]) {
        for change in changes {
            tracing::info!(alarm = change.alarm, from = %change.from, to = %change.to, reason = change.reason, "alarm");
        }
        self.0.bell.send_replace(());
    }

    /// Writes the samples down that are not on the disk yet.
    ///
    /// # Errors
    /// When the disk does not take them; they are lost to a restart then, not to readers.
    pub async fn flush(&self) -> Result<(), DiskError> {
        let cloudwatch = self.clone();
        let flushed = spawn_blocking(move || {
            let mut disk = lock(&cloudwatch.0.disk);
            let unsaved = lock(&cloudwatch.0.store).take_unsaved();
            disk.append(unsaved)?;
            if disk.is_long() {
                // What came since belongs to the snapshot, and must not go into the new log as well.
                let snapshot = {
                    let mut store = lock(&cloudwatch.0.store);
                    drop(store.take_unsaved());
                    store::snapshot(&store)
                };
                disk.begin_anew(&snapshot)?;
            }
            Ok(())
        });
        flushed.await.expect("our bug: writing metrics down panicked")
    }

    /// Puts the alarms on the disk.
    async fn save_alarms(&self) -> Result<(), DiskError> {
        let cloudwatch = self.clone();
        let saved = spawn_blocking(move || {
            let mut written = lock(&cloudwatch.0.written);
            let (version, bytes) = lock(&cloudwatch.0.alarms).write();
            if version > *written {
                store::write_synced(&cloudwatch.0.settings.folder.join(ALARMS_FILE), &bytes)?;
                *written = version;
            }
            Ok(())
        });
        saved.await.expect("our bug: writing alarms down panicked")
    }

    /// Answers a request of a client, in its protocol. The region goes into the ARNs of new alarms.
    pub async fn answer(&self, request: &Request<'_>, region: &str) -> Reply {
        let request_id = Uuid::new_v4().to_string();
        let protocol = Protocol::of(request);
        let answered = match protocol.read(request) {
            Ok(call) => {
                let operation = call.operation;
                self.carry_out(call, region).await.map(|output| (operation, output))
            }
            Err(fault) => Err(fault),
        };
        match answered {
            Ok((operation, output)) => protocol.write(operation, output, &request_id),
            Err(fault) => protocol.write_fault(&fault, &request_id),
        }
    }

    async fn carry_out(
        &self,
        call: captura_wire::cloudwatch::Call,
        region: &str,
    ) -> Result<captura_wire::cloudwatch::Structure, Fault> {
        let done = ops::carry_out(self, call, region)?;
        if done.alarms_changed
            && let Err(error) = self.save_alarms().await
        {
            tracing::error!(%error, "alarms could not be written");
            return Err(Fault::new(
                Code::InternalServiceError,
                "The alarms could not be written to the disk. Try again.",
            ));
        }
        if done.alarms_changed {
            self.tell(&done.changes);
        }
        Ok(done.output)
    }

    /// Takes in samples of a room of this process.
    pub fn record(&self, sample: Sample) {
        let Sample { metric, unit, at, high_resolution, summary } = sample;
        let spot = Spot { metric: Arc::new(metric), unit, at_s: seconds(at), high_resolution };
        lock(&self.0.store).record(spot, &summary);
    }

    /// How an alarm stands now; `None` when there is none of that name.
    #[must_use]
    pub fn alarm_state(&self, name: &str) -> Option<State> {
        lock(&self.0.alarms).get(name).map(|alarm| alarm.standing.state)
    }

    /// Rings when alarms came, went or changed.
    #[must_use]
    pub fn bell(&self) -> watch::Receiver<()> {
        self.0.bell.subscribe()
    }

    /// Changes of state that nobody has been told of for certain, oldest first; those of an earlier process too.
    #[must_use]
    pub fn untold(&self) -> Vec<StateChange> {
        lock(&self.0.alarms).untold()
    }

    /// These changes were told, and that outlives this process: nobody is told again.
    ///
    /// # Errors
    /// When the disk does not take it; a restart may tell of them again.
    pub async fn told(&self, ids: &[Uuid]) -> Result<(), DiskError> {
        lock(&self.0.alarms).told(ids);
        self.save_alarms().await
    }

    /// Every alarm as if it had just come to stand as it does, for whoever keeps what alarms say in memory alone.
    #[must_use]
    pub fn standing(&self) -> Vec<StateChange> {
        let alarms = lock(&self.0.alarms);
        alarms.iter().map(|(_, alarm)| StateChange::new(alarm, &alarm.standing)).collect()
    }

    /// A statistic over time, by the start of its periods; periods without samples are left out.
    #[must_use]
    pub fn statistics(&self, query: &Query) -> Vec<(Timestamp, f64)> {
        let (start_s, end_s) = (seconds(query.start), seconds(query.end));
        let window = Window { start_s, end_s, period_s: query.period_s.max(1) };
        let now_s = seconds(self.0.clock.now());
        let summaries = lock(&self.0.store).collect(&query.metric, None, window, now_s);
        let value = |(at, summary): (&i64, &Summary)| {
            Some((Timestamp::from_unix_us(at * 1_000_000), query.statistic.of(summary)?))
        };
        summaries.iter().filter_map(value).collect()
    }

    /// What was given up to stay within the limits.
    #[must_use]
    pub fn evicted(&self) -> Evicted {
        lock(&self.0.store).evicted()
    }

    /// Metrics kept, and the memory of their summaries in bytes.
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        let store = lock(&self.0.store);
        (store.series_count(), store.bytes())
    }
}

impl std::fmt::Debug for Cloudwatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cloudwatch").field("settings", &self.0.settings).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
