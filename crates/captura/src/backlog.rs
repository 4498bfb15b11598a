//! Wiring of asynchronous invocations: the queue between the gateway, which accepts and runs calls, and the stores. No
//! logic.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use captura_archive::Stores;
use captura_backlog::{Backlog, Doors, OpenError, RealDisk, Settings, Use};
use captura_gateway::{BacklogDoor, Runner};
use captura_privacy::Terms;
use captura_route::{Clock, Held, Holder, MemoryBudget, Served};
use captura_tasks::Tasks;

use crate::folders;
use crate::telling::Teller;

/// Opens the queue of a data directory.
pub(crate) fn open((data_dir, account): (&Path, &str), clock: &Clock, tasks: &Tasks) -> Result<Backlog, OpenError> {
    let settings = Settings { tasks: tasks.clone(), ..Settings::new(data_dir.join(folders::BACKLOG), account) };
    Backlog::open(settings, Arc::new(RealDisk), clock.clone())
}

/// Memory of a payload while its call runs; without it the call goes back to its place and is tried again. One that is larger
/// than the whole budget would wait for ever: it is counted.
fn taken(memory: &MemoryBudget, body: &Bytes) -> Option<Held> {
    let bytes = body.len() as u64;
    let fits_never = bytes > memory.limit_bytes();
    let count = || memory.count(Holder::Asynchronous, bytes);
    if fits_never { Some(count()) } else { memory.take(Holder::Asynchronous, bytes) }
}

/// The way into the queue. A body waits there as it came, so it waits no longer than captures of its endpoint are kept.
pub(crate) fn door(backlog: &Backlog, terms: Option<Arc<Terms>>) -> BacklogDoor {
    let backlog = backlog.clone();
    Arc::new(move |mut deferred, body| {
        let backlog = backlog.clone();
        let end = terms.as_ref().and_then(|terms| terms.end_of(&deferred.endpoint, deferred.accepted_at));
        deferred.expires_at = deferred.expires_at.min(end.unwrap_or(deferred.expires_at));
        Box::pin(async move { backlog.accept(deferred, body).await.map_err(|error| error.to_string()) })
    })
}

/// The ways out of the queue.
pub(crate) fn doors(runner: Runner, memory: MemoryBudget, (stores, teller): (Stores, Teller)) -> Doors {
    let lanes = runner.clone();
    Doors {
        lanes: Arc::new(move |endpoint| lanes.lanes(endpoint)),
        run: Arc::new(move |deferred, body| {
            let (runner, held) = (runner.clone(), taken(&memory, &body));
            Box::pin(async move {
                let Some(held) = held else {
                    return Served::NotNow("there is no memory for its payload now".into());
                };
                let served = runner.run(&deferred, body).await;
                drop(held);
                served
            })
        }),
        resolve: Arc::new(move |at, kms_key_id, what_for| {
            let resolved = match what_for {
                Use::Read => stores.resolve_existing(at),
                Use::Write => stores.resolve_encrypted(at, kms_key_id),
            };
            resolved.map_err(|error| error.to_string())
        }),
        notify: Arc::new(move |topic, notice| {
            let (teller, topic) = (teller.clone(), topic.to_owned());
            Box::pin(async move { teller.message(topic, notice).await })
        }),
    }
}

/// The queue's lines of `/metrics`.
pub(crate) fn scrape(backlog: &Backlog, text: &mut String) {
    let figures = backlog.figures();
    let _ = write!(
        text,
        "# HELP captura_backlog_size Asynchronous invocations that wait or are under way.\n\
         # TYPE captura_backlog_size gauge\n"
    );
    for one in &figures.endpoints {
        let _ = writeln!(text, "captura_backlog_size{{endpoint=\"{}\"}} {}", one.endpoint, one.backlog_size);
    }
    let _ = write!(
        text,
        "# HELP captura_backlog_oldest_age_seconds Age of the oldest asynchronous invocation that waits.\n\
         # TYPE captura_backlog_oldest_age_seconds gauge\n"
    );
    for one in &figures.endpoints {
        let age = one.oldest_age_seconds.unwrap_or(0.0);
        let _ = writeln!(text, "captura_backlog_oldest_age_seconds{{endpoint=\"{}\"}} {age}", one.endpoint);
    }
    let _ = write!(
        text,
        "# HELP captura_backlog_ended Asynchronous invocations that ended since the start.\n\
         # TYPE captura_backlog_ended counter\n\
         captura_backlog_ended_total{{outcome=\"completed\"}} {}\n\
         captura_backlog_ended_total{{outcome=\"failed\"}} {}\n\
         captura_backlog_ended_total{{outcome=\"damaged\"}} {}\n",
        figures.completed, figures.failed, figures.damaged
    );
}
