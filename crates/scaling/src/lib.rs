//! Application Auto Scaling: the number of a variant's instances follows its load.
//!
//! ```text
//! RegisterScalableTarget, PutScalingPolicy → book (one file) → keeper, every period:
//!     readings → wish of each policy → within bounds, cooldowns, suspensions → set capacity → activity
//! ```
//!
//! Metrics and capacity are reached through [`Doors`], so this room knows neither CloudWatch nor endpoints. Differences
//! from AWS: target tracking needs no alarms of its own and reads the metric directly, and a period without invocations
//! counts as a load of zero, so an idle variant is scaled in.
//!
//! Invariant: a change of capacity is an activity in the book before it is asked for, and never leaves the bounds.
//! Refuses to: scale what is not SageMaker's, act on metrics that nobody publishes, keep schedules.

mod activity;
mod book;
mod keeper;
mod ops;
mod paging;
mod resource;
mod steps;
#[cfg(test)]
mod tests;
mod tracking;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use captura_names::Timestamp;
use captura_route::Clock;
use captura_wire::aws_json::Reply;
use futures_core::future::BoxFuture;
use tokio::sync::Notify;

use crate::book::Book;
pub use crate::book::BookError;
pub use crate::resource::Resource;

/// What the operator decides about auto scaling.
#[derive(Debug, Clone)]
pub struct Settings {
    /// File of targets, policies and activities.
    pub book_path: PathBuf,
    /// Account in ARNs, twelve digits.
    pub account: String,
    /// Length of a period, in which load is measured and after which it is looked at. AWS's is a minute.
    pub period: Duration,
}

impl Settings {
    /// AWS's period.
    pub const DEFAULT_PERIOD: Duration = Duration::from_secs(60);
}

/// Readings of a metric that are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub metric_name: String,
    /// Dimensions, name and value.
    pub dimensions: Vec<(String, String)>,
    /// `Average`, `Minimum`, `Maximum`, `SampleCount` or `Sum`.
    pub statistic: String,
    /// Length of a period.
    pub period: Duration,
    /// End of the latest period.
    pub end: Timestamp,
    /// How many periods.
    pub periods: usize,
}

/// How many there are of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacity {
    /// That many are up.
    pub current: i64,
    /// That many are wanted.
    pub desired: i64,
}

/// One reading per period, oldest first; nothing where the period has no point.
pub type Readings = Arc<dyn Fn(&Query) -> Vec<Option<f64>> + Send + Sync>;
/// Tells the capacity; nothing when the resource does not exist or is not in service.
pub type TellCapacity = Arc<dyn Fn(Resource) -> BoxFuture<'static, Option<Capacity>> + Send + Sync>;
/// Tells whether a resource exists, in service or on its way there; an error is that nobody can tell.
pub type TellExistence = Arc<dyn Fn(Resource) -> BoxFuture<'static, Result<bool, String>> + Send + Sync>;
/// Asks for another capacity; refusals in words.
pub type SetCapacity = Arc<dyn Fn(Resource, i64) -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// The ways to rooms that this one does not know.
#[derive(Clone)]
pub struct Doors {
    /// To the metrics.
    pub readings: Readings,
    /// To what can be scaled.
    pub existence: TellExistence,
    /// To the number of instances.
    pub capacity: TellCapacity,
    /// To its change.
    pub set_capacity: SetCapacity,
}

/// A request.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// The header `X-Amz-Target`, e.g. `AnyScaleFrontendService.PutScalingPolicy`.
    pub target: &'a str,
    /// Region of the credential scope.
    pub region: &'a str,
    /// The body, JSON.
    pub body: Bytes,
}

/// Auto scaling. Cheap to clone.
#[derive(Clone)]
pub struct Scaling {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    settings: Settings,
    doors: Doors,
    clock: Clock,
    book: Mutex<Book>,
    /// One writer of the file at a time, so that none overtakes a newer one.
    writing: Mutex<()>,
    nudge: Notify,
}

impl Inner {
    pub(crate) fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes what is in the book outlive the process and a power cut. Blocks; the book is not held meanwhile.
    pub(crate) fn save(&self) -> Result<(), BookError> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let content = self.book().content();
        Book::write(&self.settings.book_path, &content)
    }
}

impl Scaling {
    /// Opens the book, or begins a new one.
    ///
    /// # Errors
    /// When the file is there and cannot be read.
    pub fn open(settings: Settings, doors: Doors, clock: Clock) -> Result<Self, BookError> {
        let book = Mutex::new(Book::open(&settings.book_path)?);
        Ok(Self {
            inner: Arc::new(Inner { settings, doors, clock, book, writing: Mutex::default(), nudge: Notify::new() }),
        })
    }

    /// Answers a request, whatever it is. Blocks for one small file.
    #[must_use]
    pub async fn answer(&self, request: &Request<'_>) -> Reply {
        let request_id = uuid::Uuid::new_v4().to_string();
        let answered = match ops::refuse_absent(&self.inner, request).await {
            Ok(()) => ops::answer(&self.inner, request),
            Err(fault) => Err(fault),
        };
        match answered {
            Ok(output) => {
                self.inner.nudge.notify_one();
                Reply::output(&output, &request_id)
            }
            Err(fault) => Reply::fault(&fault, &request_id),
        }
    }

    /// Which policies act now: each with the alarms whose action it is and that stand so, by the distance of each from its
    /// threshold. What was said before no longer holds.
    pub fn alarms(&self, firing: BTreeMap<String, Vec<f64>>) {
        if self.inner.book().fire(firing) {
            self.inner.nudge.notify_one();
        }
    }

    /// Looks at every target once.
    pub async fn tick(&self) {
        keeper::tick(&self.inner).await;
    }

    /// Looks at every target each period, and when something was asked for; until it is dropped.
    pub async fn run(self) {
        let mut periods = tokio::time::interval(self.inner.settings.period);
        periods.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = periods.tick() => {}
                () = self.inner.nudge.notified() => {}
            }
            self.tick().await;
        }
    }
}

impl std::fmt::Debug for Scaling {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scaling").field("settings", &self.inner.settings).finish_non_exhaustive()
    }
}
