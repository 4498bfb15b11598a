//! Records whose retention is over while their store is down: they leave the journal as if they had been archived and
//! then deleted.
//!
//! ```text
//! note written: expired, unsent ─ manifest written, naming the objects ─ segment freed ─ book settled by whoever removes
//! ```
//! Cut off before the manifest, the segment is gone through again; what is noted then is deleted even where the store has
//! come back in between.
//!
//! Invariant: only whole objects go, by the time of the latest call of their segment, as retention does it in stores.
//! Refuses to: know terms, clocks and holds: it asks.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use captura_capture::SegmentName;
use captura_names::Timestamp;
use tokio::time::Instant;

use super::departing::Stays;
use super::{Left, Uploader, Waiting};
use crate::manifest::ManifestObject;
use crate::removal::Removals;
use crate::segment::LeftObject;

/// How often what waits is looked through.
const LOOKED_THROUGH_EVERY: Duration = Duration::from_secs(60);

type IsOver = dyn Fn(&str, Timestamp) -> bool + Send + Sync;

/// Whether records of an endpoint that arrived until a time may not be kept any longer; nothing is over before somebody
/// says what is.
#[derive(Clone, Default)]
pub struct Overdue(Arc<OnceLock<Box<IsOver>>>);

impl Overdue {
    /// Says what is over, by name of the endpoint and time. The first word counts.
    pub fn decide(&self, is_over: impl Fn(&str, Timestamp) -> bool + Send + Sync + 'static) {
        let _ = self.0.set(Box::new(is_over));
    }

    fn has(&self, endpoint: &str, last_at: Timestamp) -> bool {
        self.0.get().is_some_and(|is_over| is_over(endpoint, last_at))
    }
}

impl std::fmt::Debug for Overdue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Overdue").field(&self.0.get().is_some()).finish()
    }
}

impl Uploader {
    /// Lets go of what has expired while it waited for a destination that fails.
    pub(super) async fn part_with_the_overdue(&mut self) {
        let now = Instant::now();
        let is_time = self.expired_at.is_none_or(|at| now.duration_since(at) >= LOOKED_THROUGH_EVERY);
        if self.overdue.0.get().is_none() || !is_time {
            return;
        }
        self.expired_at = Some(now);
        let is_due = |waiting: &Waiting| {
            let over = |last_at| waiting.left.objects.iter().any(|left| self.overdue.has(&left.endpoint, last_at));
            waiting.left.last_at.is_some_and(over)
        };
        let due: Vec<SegmentName> =
            self.waiting.iter().filter(|(_, waiting)| is_due(waiting)).map(|(name, _)| *name).collect();
        for name in due {
            let gone = self.expire(&name).await;
            self.told(&name, gone);
        }
    }

    async fn expire(&mut self, name: &SegmentName) -> Result<(), String> {
        let attempt = self.attempt(name, &|_| false).await?;
        if let Some(reason) = attempt.unreadable {
            return Err(reason);
        }
        let (Some(read), Some(waiting)) = (attempt.read, self.waiting.get_mut(name)) else { return Ok(()) };
        waiting.believe(&read)?;
        let Some(last_at) = read.last_at else { return Ok(()) };
        let (over, stays): (Vec<LeftObject>, Vec<LeftObject>) =
            attempt.left.into_iter().partition(|left| self.overdue.has(&left.endpoint, last_at));
        let over: Vec<ManifestObject> = over.into_iter().map(|left| left.object).collect();
        let records: u64 = over.iter().map(|object| object.records).sum();
        if over.is_empty() {
            return Ok(());
        }
        let (segment, now) = ((name.to_string(), waiting.segment.node), (self.settings.now)());
        Removals::at(&self.settings.journal)
            .expire_unsent((&segment.0, segment.1), &over, now)
            .map_err(|error| error.to_string())?;
        // Should the rest fail, the next attempt finds them confirmed, and nothing left of them to carry over.
        waiting.left = Left::default();
        waiting.confirmed.objects.extend(over.into_iter().map(|object| (object.uri.clone(), object)));
        let stays = if stays.is_empty() { Stays::Nothing } else { Stays::Carried(stays) };
        self.depart(name, (read, attempt.owed), stays).await?;
        tracing::warn!(segment = %name, records, "records expired while they waited for a destination that fails");
        Ok(())
    }
}
