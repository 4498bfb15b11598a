//! How much room records have: on the disk, in the journal's share of it, and less what is promised.
//!
//! Room is measured once a second and counted down by every record that is handed in, so it is true in between. A call
//! that must be captured has room set aside before its model runs, and no other record takes that.
//!
//! Invariant: room that is set aside is taken by nobody else; what is not there is refused, never hoped for.
//! Refuses to: write.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::writer::{Shared, lock};
use crate::ledger::DropReason;
use crate::settings::AMPLE_FREE_BYTES;

/// The last part of the journal that destinations may not fill while they fail: one of so many.
const KEPT_FOR_OTHERS: u64 = 8;
/// They get records again when one of so many parts more is free.
const TAKEN_AGAIN: u64 = 16;
/// Over about this time the rate of growth is averaged.
const RATE_OVER: Duration = Duration::from_secs(60);

/// Room for records, shared by callers and the keeper.
#[derive(Debug, Default)]
pub(crate) struct Space {
    /// Room as it was measured, less what came since.
    room_bytes: AtomicU64,
    /// Of that, set aside.
    reserved_bytes: AtomicU64,
    /// Whether the disk is what limits the room, rather than the journal's share.
    disk_is_tight: AtomicBool,
    /// With less room than this, records for failing destinations are held back.
    mark_bytes: AtomicU64,
    /// Whether they are.
    holds_back: AtomicBool,
    /// Everything ever handed in.
    taken_bytes: AtomicU64,
    measured: Mutex<Measured>,
}

#[derive(Debug, Default)]
struct Measured {
    at: Option<Instant>,
    taken_bytes: u64,
    bytes_per_second: f64,
    figures: SpaceFigures,
}

/// The space that records have, at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SpaceFigures {
    /// What the journal holds, bytes.
    pub spool_bytes: u64,
    /// What it may hold, bytes.
    pub spool_max_bytes: u64,
    /// Free on the disk, bytes.
    pub disk_free_bytes: u64,
    /// Hundredths of the disk in use; `None` where nobody knows.
    pub disk_used_percent: Option<u8>,
    /// Whether the disk is so full that somebody should look.
    pub disk_alarm: bool,
    /// Whether capture stands still because of the disk.
    pub disk_stop: bool,
    /// Room for further records, bytes, less what is set aside.
    pub room_bytes: u64,
    /// Seconds until the room is used up if records come as in the last minute and none leave; `None` while none come.
    pub spool_seconds_left: Option<f64>,
}

impl Space {
    /// What leaves no room: the disk, or the bound of the journal.
    pub(crate) fn reason(&self) -> DropReason {
        if self.disk_is_tight.load(Ordering::Relaxed) { DropReason::DiskFull } else { DropReason::SpoolFull }
    }

    /// Whether a record fits that nothing was set aside for.
    pub(crate) fn check(&self, bytes: u64) -> Result<(), DropReason> {
        let needed = self.reserved_bytes.load(Ordering::Relaxed).saturating_add(bytes);
        if needed > self.room_bytes.load(Ordering::Relaxed) { Err(self.reason()) } else { Ok(()) }
    }

    /// Sets room aside.
    pub(crate) fn reserve(&self, bytes: u64) -> Result<(), DropReason> {
        let reserved = self.reserved_bytes.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        if reserved > self.room_bytes.load(Ordering::Relaxed) {
            self.give_back(bytes);
            return Err(self.reason());
        }
        Ok(())
    }

    pub(crate) fn give_back(&self, bytes: u64) {
        self.reserved_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// A record was handed in; whether records for failing destinations are to be held back from now on. Called by one at a
    /// time.
    pub(crate) fn used(&self, bytes: u64) -> bool {
        self.taken_bytes.fetch_add(bytes, Ordering::Relaxed);
        let left = self.room_bytes.load(Ordering::Relaxed).saturating_sub(bytes);
        self.room_bytes.store(left, Ordering::Relaxed);
        left < self.mark_bytes.load(Ordering::Relaxed) && !self.holds_back.swap(true, Ordering::Relaxed)
    }

    /// There is so much room, in a journal of so many bytes. Whether records for failing destinations are held back now;
    /// between two marks that stays as it was.
    fn measured(&self, room: u64, spool: u64) -> bool {
        let capacity = spool.saturating_add(room);
        let mark = capacity / KEPT_FOR_OTHERS;
        self.room_bytes.store(room, Ordering::Relaxed);
        self.mark_bytes.store(mark, Ordering::Relaxed);
        let before = self.holds_back.load(Ordering::Relaxed);
        let holds_back = room < mark || (before && room < mark + capacity / TAKEN_AGAIN);
        self.holds_back.store(holds_back, Ordering::Relaxed);
        holds_back
    }
}

impl Measured {
    /// The rate of growth, averaged so that a minute ago weighs a third.
    fn rate(&mut self, taken_bytes: u64) -> f64 {
        let now = Instant::now();
        if let Some(at) = self.at {
            let seconds = now.duration_since(at).as_secs_f64();
            if seconds < 0.1 {
                return self.bytes_per_second;
            }
            let recent = (taken_bytes - self.taken_bytes) as f64 / seconds;
            let weight = 1.0 - (-seconds / RATE_OVER.as_secs_f64()).exp();
            self.bytes_per_second += weight * (recent - self.bytes_per_second);
        }
        (self.at, self.taken_bytes) = (Some(now), taken_bytes);
        self.bytes_per_second
    }
}

/// Hundredths of the disk in use.
fn used_percent(free: u64, size: Option<u64>) -> Option<u8> {
    let size = size.filter(|size| *size > 0)?;
    u8::try_from(u128::from(size.saturating_sub(free)) * 100 / u128::from(size)).ok()
}

impl Shared {
    /// Looks how much room there is, and stops or starts the capture accordingly.
    pub(crate) fn measure_space(&self) {
        let settings = &self.settings;
        // A disk that does not even answer this is judged by its writes.
        let free = self.disk.free_bytes(&settings.dir).unwrap_or(u64::MAX);
        let percent = used_percent(free, self.disk.size_bytes(&settings.dir).unwrap_or(None));
        let beyond = |mark: u8| free < AMPLE_FREE_BYTES && percent.is_some_and(|percent| percent >= mark);
        let disk_stop = free < settings.min_free_bytes || beyond(settings.stop_percent);
        let spool = self.count_spool();
        if disk_stop {
            self.block(DropReason::DiskFull);
        } else if lock(&self.line).current.is_some() {
            self.unblock(DropReason::DiskFull);
        }
        if spool >= settings.spool_max_bytes {
            self.block(DropReason::SpoolFull);
        } else {
            self.unblock(DropReason::SpoolFull);
        }
        let on_disk = if disk_stop { 0 } else { free - settings.min_free_bytes };
        let share = settings.spool_max_bytes.saturating_sub(spool);
        let space = &self.space;
        space.disk_is_tight.store(on_disk < share, Ordering::Relaxed);
        let holds_back = {
            // Under the lock of the line no record comes in between.
            let _line = lock(&self.line);
            space.measured(on_disk.min(share), spool)
        };
        let mut measured = space.measured.lock().unwrap_or_else(PoisonError::into_inner);
        let rate = measured.rate(space.taken_bytes.load(Ordering::Relaxed));
        let room = on_disk.min(share).saturating_sub(space.reserved_bytes.load(Ordering::Relaxed));
        let alarm = disk_stop || beyond(settings.alarm_percent);
        if alarm && !measured.figures.disk_alarm {
            tracing::warn!(free_bytes = free, used_percent = percent, "the disk of the journal is getting full");
        }
        measured.figures = SpaceFigures {
            spool_bytes: spool,
            spool_max_bytes: settings.spool_max_bytes,
            disk_free_bytes: free,
            disk_used_percent: percent,
            disk_alarm: alarm,
            disk_stop,
            room_bytes: room,
            spool_seconds_left: (rate >= 1.0).then(|| room as f64 / rate),
        };
        drop(measured);
        self.destinations.hold_back(holds_back);
    }

    pub(crate) fn space_figures(&self) -> SpaceFigures {
        self.space.measured.lock().unwrap_or_else(PoisonError::into_inner).figures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_aside_is_taken_by_nobody_else() {
        let space = Space::default();
        space.room_bytes.store(100, Ordering::Relaxed);
        space.reserve(60).unwrap();
        assert_eq!(space.check(41), Err(DropReason::SpoolFull));
        assert_eq!(space.reserve(41), Err(DropReason::SpoolFull));
        space.check(40).unwrap();
        space.used(40);
        assert!(space.check(1).is_err());
        space.give_back(60);
        space.check(60).unwrap();
        space.disk_is_tight.store(true, Ordering::Relaxed);
        assert_eq!(space.reserve(61), Err(DropReason::DiskFull));
    }

    #[test]
    fn failing_destinations_get_nothing_of_the_last_eighth_and_something_again_when_more_is_free() {
        let space = Space::default();
        let held_back = |spool| space.measured(1600 - spool, spool);
        assert!(!held_back(1400));
        assert!(space.used(1) && !space.used(1), "said once, by the record that passes the mark");
        assert!(held_back(1401));
        assert!(held_back(1301));
        assert!(!held_back(1300));
        assert!(!held_back(1400));
    }

    #[test]
    fn a_disk_counts_as_its_files_and_what_is_free() {
        assert_eq!(used_percent(15, Some(100)), Some(85));
        assert_eq!(used_percent(0, Some(100)), Some(100));
        assert_eq!(used_percent(u64::MAX, Some(100)), Some(0));
        assert_eq!((used_percent(1, None), used_percent(1, Some(0))), (None, None));
    }
}
