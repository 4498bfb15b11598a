//! What a connection is doing and since when, so that one timer can tell a slow caller from a busy server.
//!
//! hyper's own timer knows only heads, and allocates one timer per request. Here a request costs a few plain stores:
//! the connection's single timer looks at them at least every `head_timeout` and decides. As no limit is shorter than
//! that interval, or the interval is the shortest limit, no limit is overrun.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::Settings;

/// What the connection is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// A head is awaited that has begun, or that a new connection owes.
    Head = 0,
    /// Nothing is in flight.
    Idle = 1,
    /// A body is arriving.
    Body = 2,
    /// The server works; the caller owes nothing.
    Work = 3,
}

/// Shared by the connection's IO, its timer and the request in flight: three parts of one task, hence relaxed atomics.
#[derive(Debug)]
pub(crate) struct Pulse {
    started: Instant,
    phase: AtomicU8,
    since_us: AtomicU64,
    /// Bytes of the body in the current window.
    window_bytes: AtomicU64,
    /// When the caller stopped taking bytes; 0 while it takes them.
    stalled_us: AtomicU64,
    /// The latest request was refused, perhaps before all of it was read.
    refused: AtomicBool,
    limits: Limits,
}

#[derive(Debug, Clone, Copy)]
struct Limits {
    head: Duration,
    idle: Duration,
    body_window: Duration,
    body_window_min_bytes: u64,
    write_stall: Duration,
}

impl Pulse {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            started: Instant::now(),
            phase: AtomicU8::new(Phase::Head as u8),
            since_us: AtomicU64::new(0),
            window_bytes: AtomicU64::new(0),
            stalled_us: AtomicU64::new(0),
            refused: AtomicBool::new(false),
            limits: Limits {
                head: settings.head_timeout,
                idle: settings.idle_timeout,
                body_window: settings.body_window,
                body_window_min_bytes: settings.body_window_min_bytes,
                write_stall: settings.write_stall_timeout,
            },
        }
    }

    fn us(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.started).as_micros()).unwrap_or(u64::MAX)
    }

    fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Relaxed) {
            0 => Phase::Head,
            1 => Phase::Idle,
            2 => Phase::Body,
            _ => Phase::Work,
        }
    }

    /// The connection does something else from `at` on.
    pub(crate) fn enter(&self, phase: Phase, at: Instant) {
        self.phase.store(phase as u8, Ordering::Relaxed);
        self.since_us.store(self.us(at), Ordering::Relaxed);
        self.window_bytes.store(0, Ordering::Relaxed);
    }

    /// Bytes came in.
    pub(crate) fn took(&self, bytes: usize) {
        match self.phase() {
            Phase::Idle => self.enter(Phase::Head, Instant::now()),
            Phase::Body => {
                self.window_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
            }
            Phase::Head | Phase::Work => {}
        }
    }

    /// The caller took bytes, or did not.
    pub(crate) fn wrote(&self, progress: bool) {
        let stalled = self.stalled_us.load(Ordering::Relaxed) != 0;
        if progress && stalled {
            self.stalled_us.store(0, Ordering::Relaxed);
        } else if !progress && !stalled {
            self.stalled_us.store(self.us(Instant::now()).max(1), Ordering::Relaxed);
        }
    }

    /// The latest request was refused, or not.
    pub(crate) fn refuse(&self, refused: bool) {
        self.refused.store(refused, Ordering::Relaxed);
    }

    pub(crate) fn has_refused(&self) -> bool {
        self.refused.load(Ordering::Relaxed)
    }

    /// Whether nothing is in flight: the connection can be closed at once, and nobody loses anything.
    pub(crate) fn is_idle(&self) -> bool {
        self.phase() == Phase::Idle
    }

    /// When to look next.
    pub(crate) fn interval(&self) -> Duration {
        let Limits { head, idle, body_window, write_stall, .. } = self.limits;
        head.min(idle).min(body_window).min(write_stall)
    }

    /// When to look again, or `None` when a limit is overrun and the connection is to be closed.
    pub(crate) fn check(&self, now: Instant) -> Option<Instant> {
        let now_us = self.us(now);
        let since_us = self.since_us.load(Ordering::Relaxed);
        let left = |since_us: u64, limit: Duration| {
            limit.checked_sub(Duration::from_micros(now_us.saturating_sub(since_us))).filter(|left| !left.is_zero())
        };
        let mut next = self.interval();
        match self.stalled_us.load(Ordering::Relaxed) {
            0 => {}
            stalled_us => next = next.min(left(stalled_us, self.limits.write_stall)?),
        }
        match self.phase() {
            Phase::Head => next = next.min(left(since_us, self.limits.head)?),
            Phase::Idle => next = next.min(left(since_us, self.limits.idle)?),
            Phase::Work => {}
            Phase::Body => match left(since_us, self.limits.body_window) {
                Some(left) => next = next.min(left),
                None if self.window_bytes.load(Ordering::Relaxed) < self.limits.body_window_min_bytes => return None,
                None => self.enter(Phase::Body, now),
            },
        }
        Some(now + next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Steps through the looks of the timer from `start` until the connection is closed or `most` have passed.
    fn closes_after(pulse: &Pulse, start: Instant, most: Duration) -> Option<Duration> {
        let mut now = start;
        while now < start + most {
            match pulse.check(now) {
                Some(next) => now = next,
                None => return Some(now - start),
            }
        }
        None
    }

    #[test]
    fn each_phase_has_its_limit() {
        let pulse = Pulse::new(&Settings::default());
        let start = pulse.started;
        let minutes = Duration::from_secs(600);
        assert_eq!(closes_after(&pulse, start, minutes), Some(Duration::from_secs(10)));
        pulse.enter(Phase::Idle, start);
        assert_eq!(closes_after(&pulse, start, minutes), Some(Duration::from_secs(75)));
        pulse.enter(Phase::Work, start);
        assert_eq!(closes_after(&pulse, start, minutes), None);
        pulse.enter(Phase::Body, start);
        assert_eq!(closes_after(&pulse, start, minutes), Some(Duration::from_secs(30)));
    }

    #[test]
    fn a_head_that_begins_just_after_a_look_still_has_only_its_limit() {
        let pulse = Pulse::new(&Settings::default());
        pulse.enter(Phase::Idle, pulse.started);
        let next = pulse.check(pulse.started).unwrap();
        let begun = pulse.started + Duration::from_millis(1);
        pulse.enter(Phase::Head, begun);
        let next = pulse.check(next).unwrap();
        assert_eq!(next, begun + Duration::from_secs(10));
        assert_eq!(pulse.check(next), None);
    }

    #[test]
    fn a_body_must_keep_its_rate_in_every_window() {
        let settings = Settings::default();
        let pulse = Pulse::new(&settings);
        let window = settings.body_window;
        pulse.enter(Phase::Body, pulse.started);
        pulse.took(settings.body_window_min_bytes as usize);
        assert!(pulse.check(pulse.started + window).is_some());
        pulse.took(settings.body_window_min_bytes as usize - 1);
        assert!(pulse.check(pulse.started + 2 * window).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_that_takes_no_bytes_is_cut_off_and_one_that_takes_them_again_is_not() {
        let pulse = Pulse::new(&Settings::default());
        pulse.enter(Phase::Work, Instant::now());
        pulse.wrote(false);
        tokio::time::advance(Duration::from_secs(29)).await;
        assert!(pulse.check(Instant::now()).is_some());
        pulse.wrote(true);
        tokio::time::advance(Duration::from_secs(2)).await;
        assert!(pulse.check(Instant::now()).is_some());
        pulse.wrote(false);
        tokio::time::advance(Duration::from_secs(30)).await;
        assert!(pulse.check(Instant::now()).is_none());
    }
}
