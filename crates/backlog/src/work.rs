//! The work: takes calls whose time has come, as many at a time as their endpoints allow, and carries each to its end.
//!
//! Invariant: an outcome is written, then told, then the call leaves the shelf; whatever happens in between, the next
//! attempt finds what the last one left. Refuses to: retry what a model has answered; only calls that could not be served
//! are tried again, until their time is over, and those under which the model or the server ended, a few times.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use captura_route::{Answer, Deferred, Served};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::task::{JoinError, JoinSet};

use crate::notice;
use crate::outcome::{Places, StoreFailed};
use crate::queue::{Fate, Inner, MEMORY_UNIT_BYTES, Settled, Taken};
use crate::settings::Doors;

/// How often the queue is looked at when nothing happens: pauses end, instances come and go, calls grow too old.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How often an outcome is offered to its store before the call is tried again as a whole.
const WRITE_ATTEMPTS: u32 = 3;

/// The work, with the calls that are under way.
pub(crate) struct Work {
    inner: Arc<Inner>,
    doors: Doors,
    stop: watch::Receiver<Option<Duration>>,
    running: JoinSet<()>,
}

impl Work {
    pub(crate) fn new(inner: Arc<Inner>, doors: Doors, stop: watch::Receiver<Option<Duration>>) -> Self {
        Self { inner, doors, stop, running: JoinSet::new() }
    }

    /// Works until the queue is told to stop.
    pub(crate) async fn run(&mut self) {
        let Self { inner, doors, stop, running } = self;
        while stop.borrow().is_none() {
            let room = inner.settings.running_max - running.len();
            for (taken, fate) in inner.take(&doors.lanes, room) {
                running.spawn(carry(taken, fate, doors.clone()));
            }
            tokio::select! {
                _ = stop.changed() => {}
                () = inner.changed.notified() => {}
                Some(ended) = running.join_next() => note(inner, ended),
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
        let grace = stop.borrow().unwrap_or_default();
        let all_done = async {
            while let Some(ended) = running.join_next().await {
                note(inner, ended);
            }
        };
        if tokio::time::timeout(grace, all_done).await.is_err() {
            tracing::info!("asynchronous invocations were still under way; they are begun again at the next start");
            running.shutdown().await;
        }
    }
}

/// Counts a call whose work panicked; it went back to its place.
fn note(inner: &Inner, ended: Result<(), JoinError>) {
    if ended.is_err_and(|error| error.is_panic()) {
        inner.settings.tasks.fell("backlog");
    }
}

/// How the work on a call ended.
enum Ended {
    Answered(Answer),
    Failed(String),
    /// An earlier run has left an answer.
    AnsweredBefore,
    /// An earlier run has left the words of a failure.
    FailedBefore,
    NotNow(String),
}

/// Carries a call to its end, or puts it back.
async fn carry(mut taken: Taken, fate: Fate, doors: Doors) {
    let inner = Arc::clone(&taken.inner);
    let name = taken.name();
    let reading = tokio::task::spawn_blocking(move || inner.shelf.read(name)).await;
    let (deferred, body) = match reading {
        Ok(Ok(call)) => call,
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::InvalidData => {
            tracing::error!(%error, "a damaged call is set aside");
            return settle(taken, Settled::Damaged).await;
        }
        Ok(Err(error)) => return taken.again(&error.to_string()),
        Err(error) => return taken.again(&error.to_string()),
    };
    let deferred = Arc::new(deferred);
    let places = Places(&doors.resolve);
    let ended = match fate {
        Fate::Run => run(&mut taken, &deferred, body, &doors).await,
        Fate::Expired => Ended::Failed("The request has expired: it waited longer than its RequestTTLSeconds.".into()),
        Fate::Gone => Ended::Failed(format!("Endpoint {} was deleted while the request waited.", deferred.endpoint)),
    };
    let written = match &ended {
        Ended::Answered(answer) => {
            write(&places, &deferred, &deferred.output, (&answer.body, answer.content_type.as_deref())).await
        }
        Ended::Failed(why) => match &deferred.failure {
            Some(at) => write(&places, &deferred, at, (&why.clone().into(), Some("text/plain"))).await,
            None => {
                tracing::warn!(endpoint = %deferred.endpoint, inference_id = %deferred.inference_id, why,
                    "an asynchronous invocation failed, and its endpoint has no S3FailurePath");
                Ok(())
            }
        },
        Ended::AnsweredBefore | Ended::FailedBefore => Ok(()),
        Ended::NotNow(why) => return taken.again(why),
    };
    if let Err(failed) = written {
        return taken.again(&failed.to_string());
    }
    // Whoever takes it next is to look for the outcome first, though the server lived on.
    taken.keep_start();
    let now = taken.inner.clock.now();
    let (notice, settled) = match ended {
        Ended::Answered(answer) => (notice::of_success(&deferred, Some(&answer), now), Settled::Completed),
        Ended::AnsweredBefore => {
            let left = places.left(&deferred.output, notice::RESPONSE_MAX_BYTES).await;
            (notice::of_success(&deferred, left.as_ref(), now), Settled::Completed)
        }
        Ended::Failed(why) => {
            let settled = if fate == Fate::Expired { Settled::Expired } else { Settled::Failed };
            (notice::of_failure(&deferred, &why, now), settled)
        }
        Ended::FailedBefore | Ended::NotNow(_) => {
            (notice::of_failure(&deferred, &why_before(&places, &deferred).await, now), Settled::Failed)
        }
    };
    // The call stays on the shelf until the notice is kept elsewhere: a server that dies in between finds the outcome at
    // its next start, and tells of it again.
    if let Some((topic, notice)) = notice
        && let Err(why) = (doors.notify)(&topic, notice).await
    {
        return taken.again(&why);
    }
    settle(taken, settled).await;
}

/// Takes the call off the shelf, where a disk that is slow holds nobody up.
async fn settle(taken: Taken, how: Settled) {
    // A panic was told by the hook; the call is back in its place.
    drop(tokio::task::spawn_blocking(move || taken.settle(how)).await);
}

/// The words of a failure that an earlier run has left.
async fn why_before(places: &Places<'_>, deferred: &Deferred) -> String {
    let left = match &deferred.failure {
        Some(failure) => places.left(failure, notice::RESPONSE_MAX_BYTES).await,
        None => None,
    };
    let words = left.and_then(|left| String::from_utf8(left.body.to_vec()).ok());
    words.unwrap_or_else(|| "See the failure location.".to_owned())
}

/// Looks for what an earlier run left, reads the payload, asks the model.
async fn run(taken: &mut Taken, deferred: &Arc<Deferred>, body: Bytes, doors: &Doors) -> Ended {
    let places = Places(&doors.resolve);
    let starts = taken.name().starts;
    if starts > 0 {
        match left_before(&places, deferred).await {
            Ok(Some(ended)) => return ended,
            Ok(None) => {}
            Err(error) => return Ended::NotNow(error.to_string()),
        }
    }
    if starts >= taken.inner.settings.starts_max {
        return Ended::Failed(format!("The model or the server ended {starts} times while it had the request."));
    }
    if let Err(error) = taken.begin() {
        return Ended::NotNow(error.to_string());
    }
    let payload = match &deferred.input {
        None => Ok((body, None)),
        Some(_) => payload(&taken.inner, &places, deferred).await,
    };
    let (body, _held) = match payload {
        Ok(payload) => payload,
        Err(StoreFailed::ForGood(why)) => return Ended::Failed(why),
        Err(StoreFailed::ForNow(why)) => return Ended::NotNow(why),
    };
    match (doors.run)(Arc::clone(deferred), body).await {
        Served::Answered(answer) => Ended::Answered(answer),
        Served::Failed(why) => Ended::Failed(why),
        Served::NotNow(why) => Ended::NotNow(why),
        Served::WentAway(why) => {
            taken.keep_start();
            Ended::NotNow(why)
        }
    }
}

/// What a run that a crash cut off may have left. Under a name that the caller chose, an object says nothing.
async fn left_before(places: &Places<'_>, deferred: &Deferred) -> Result<Option<Ended>, StoreFailed> {
    if !deferred.output_named && places.exists(&deferred.output).await? {
        return Ok(Some(Ended::AnsweredBefore));
    }
    match &deferred.failure {
        Some(failure) if places.exists(failure).await? => Ok(Some(Ended::FailedBefore)),
        _ => Ok(None),
    }
}

/// The payload, once there is memory for it. A payload larger than all of that memory is read alone.
async fn payload(
    inner: &Inner,
    places: &Places<'_>,
    deferred: &Deferred,
) -> Result<(Bytes, Option<OwnedSemaphorePermit>), StoreFailed> {
    let Some(at) = &deferred.input else { return Ok((Bytes::new(), None)) };
    let size_bytes = places.size(at, inner.settings.input_max_bytes).await?;
    let all = (inner.settings.memory_max_bytes / MEMORY_UNIT_BYTES).clamp(1, u32::MAX.into());
    let units = u32::try_from(size_bytes.div_ceil(MEMORY_UNIT_BYTES).min(all)).unwrap_or(u32::MAX);
    let held = Arc::clone(&inner.memory).acquire_many_owned(units).await;
    let held = held.expect("our bug: nobody closes the semaphore");
    Ok((places.read(at, size_bytes).await?, Some(held)))
}

async fn write(
    places: &Places<'_>,
    deferred: &Deferred,
    at: &captura_names::S3Uri,
    (body, content_type): (&Bytes, Option<&str>),
) -> Result<(), StoreFailed> {
    let mut attempt = 1;
    loop {
        match places.write(deferred, at, body, content_type).await {
            Err(StoreFailed::ForNow(why)) if attempt < WRITE_ATTEMPTS => {
                tracing::debug!(attempt, why, "an outcome is offered to its store again");
                tokio::time::sleep(LOOK_EVERY * attempt).await;
                attempt += 1;
            }
            written => return written,
        }
    }
}
