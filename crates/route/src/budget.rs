//! The process's memory for bytes that come from outside: one budget, and who holds how much of it.
//!
//! Invariant: what is taken is given back when its holder is dropped, so that no way out of a call can keep any; a taker is
//! refused at once when there is not enough, never made to wait.
//! Refuses to: know what the bytes are.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What holds memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    /// Bodies of requests, until their reply has gone.
    Requests = 0,
    /// Bodies of requests whose signature is not verified yet.
    Unverified = 1,
    /// What models answer, while it is read and until the reply has gone.
    Answers = 2,
    /// Records on their way to the disk.
    Records = 3,
    /// Recent records, for `captura tail`.
    Recent = 4,
    /// Objects that are rendered and uploaded.
    Uploads = 5,
    /// Payloads of asynchronous calls that run.
    Asynchronous = 6,
}

impl Holder {
    /// All holders, in the order of their numbers.
    pub const ALL: [Self; 7] = [
        Self::Requests,
        Self::Unverified,
        Self::Answers,
        Self::Records,
        Self::Recent,
        Self::Uploads,
        Self::Asynchronous,
    ];

    /// The word used in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Unverified => "unverified",
            Self::Answers => "answers",
            Self::Records => "records",
            Self::Recent => "recent",
            Self::Uploads => "uploads",
            Self::Asynchronous => "asynchronous",
        }
    }
}

/// The budget. Clones are handles to the same one.
#[derive(Clone)]
pub struct MemoryBudget(Arc<Inner>);

struct Inner {
    limit_bytes: u64,
    used_bytes: AtomicU64,
    by_holder: [AtomicU64; Holder::ALL.len()],
}

impl MemoryBudget {
    /// The default: 256 MiB.
    pub const DEFAULT_BYTES: u64 = 256 << 20;

    /// A budget of so many bytes.
    #[must_use]
    pub fn new(limit_bytes: u64) -> Self {
        let by_holder = std::array::from_fn(|_| AtomicU64::new(0));
        Self(Arc::new(Inner { limit_bytes, used_bytes: AtomicU64::new(0), by_holder }))
    }

    /// All of it, bytes.
    #[must_use]
    pub fn limit_bytes(&self) -> u64 {
        self.0.limit_bytes
    }

    /// What is taken, bytes.
    #[must_use]
    pub fn used_bytes(&self) -> u64 {
        self.0.used_bytes.load(Ordering::Relaxed)
    }

    /// What one kind of holder has, bytes.
    #[must_use]
    pub fn used_by(&self, holder: Holder) -> u64 {
        self.0.by_holder[holder as usize].load(Ordering::Relaxed)
    }

    /// Takes `bytes` before they are read or kept; `None` when there is not enough left.
    #[must_use]
    pub fn take(&self, holder: Holder, bytes: u64) -> Option<Held> {
        self.take_within(holder, bytes, u64::MAX)
    }

    /// As [`MemoryBudget::take`], where this kind of holder may have `share_bytes` together at most.
    #[must_use]
    pub fn take_within(&self, holder: Holder, bytes: u64, share_bytes: u64) -> Option<Held> {
        self.grab(holder, bytes, share_bytes).then(|| Held { budget: self.clone(), holder, bytes, share_bytes })
    }

    /// Counts bytes that are there already, whether or not they fit: they are not available to others.
    #[must_use]
    pub fn count(&self, holder: Holder, bytes: u64) -> Held {
        self.add(holder, bytes);
        Held { budget: self.clone(), holder, bytes, share_bytes: u64::MAX }
    }

    fn add(&self, holder: Holder, bytes: u64) {
        self.0.used_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.0.by_holder[holder as usize].fetch_add(bytes, Ordering::Relaxed);
    }

    fn give_back(&self, holder: Holder, bytes: u64) {
        self.0.used_bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.0.by_holder[holder as usize].fetch_sub(bytes, Ordering::Relaxed);
    }

    fn grab(&self, holder: Holder, bytes: u64, share_bytes: u64) -> bool {
        // Nothing always fits, also when more is counted than there is.
        if bytes == 0 {
            return true;
        }
        // Counted before it is compared, so that two takers cannot both take the last bytes.
        let fits_in = |counter: &AtomicU64, limit: u64| {
            let before = counter.fetch_add(bytes, Ordering::Relaxed);
            let fits = before.checked_add(bytes).is_some_and(|used| used <= limit);
            if !fits {
                counter.fetch_sub(bytes, Ordering::Relaxed);
            }
            fits
        };
        if !fits_in(&self.0.used_bytes, self.0.limit_bytes) {
            return false;
        }
        let fits = fits_in(&self.0.by_holder[holder as usize], share_bytes);
        if !fits {
            self.0.used_bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
        fits
    }
}

impl fmt::Debug for MemoryBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MemoryBudget({} of {} bytes)", self.used_bytes(), self.limit_bytes())
    }
}

/// Bytes taken out of the budget, given back on drop.
#[derive(Debug)]
pub struct Held {
    budget: MemoryBudget,
    holder: Holder,
    bytes: u64,
    share_bytes: u64,
}

impl Held {
    /// How many.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Takes more; false, and nothing taken, when there is not enough left.
    #[must_use]
    pub fn grow(&mut self, bytes: u64) -> bool {
        let taken = self.budget.grab(self.holder, bytes, self.share_bytes);
        if taken {
            self.bytes += bytes;
        }
        taken
    }

    /// Counts bytes that are there already, whether or not they fit.
    pub fn count(&mut self, bytes: u64) {
        self.budget.add(self.holder, bytes);
        self.bytes += bytes;
    }

    /// Another holder has them from now on, without a share of its own.
    #[must_use]
    pub fn passed_to(mut self, holder: Holder) -> Self {
        self.budget.0.by_holder[self.holder as usize].fetch_sub(self.bytes, Ordering::Relaxed);
        self.budget.0.by_holder[holder as usize].fetch_add(self.bytes, Ordering::Relaxed);
        (self.holder, self.share_bytes) = (holder, u64::MAX);
        self
    }

    /// Holds what the other held too.
    pub fn absorb(&mut self, mut other: Self) {
        self.budget.0.by_holder[other.holder as usize].fetch_sub(other.bytes, Ordering::Relaxed);
        self.budget.0.by_holder[self.holder as usize].fetch_add(other.bytes, Ordering::Relaxed);
        self.bytes += std::mem::take(&mut other.bytes);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.budget.give_back(self.holder, self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_limited_and_come_back() {
        let budget = MemoryBudget::new(100);
        let mut held = budget.take(Holder::Requests, 60).unwrap();
        assert!(budget.take(Holder::Records, 41).is_none() && budget.take(Holder::Records, u64::MAX).is_none());
        assert!(held.grow(40) && !held.grow(1));
        assert_eq!((budget.used_bytes(), budget.used_by(Holder::Requests)), (100, 100));
        drop(held);
        assert_eq!((budget.used_bytes(), budget.used_by(Holder::Requests)), (0, 0));
    }

    #[test]
    fn a_share_leaves_the_rest_to_others_and_is_left_when_bytes_pass_on() {
        let budget = MemoryBudget::new(100);
        let mut first = budget.take_within(Holder::Unverified, 20, 25).unwrap();
        assert!(budget.take_within(Holder::Unverified, 6, 25).is_none() && !first.grow(6));
        let first = first.passed_to(Holder::Requests);
        assert_eq!((budget.used_by(Holder::Unverified), budget.used_by(Holder::Requests)), (0, 20));
        let second = budget.take_within(Holder::Unverified, 25, 25).unwrap();
        assert_eq!(budget.used_bytes(), 45);
        drop((first, second));
        assert_eq!(budget.used_bytes(), 0);
    }

    #[test]
    fn what_is_there_already_is_counted_beyond_the_limit_and_can_be_put_together() {
        let budget = MemoryBudget::new(10);
        let mut all = budget.count(Holder::Answers, 15);
        assert!(budget.take(Holder::Requests, 1).is_none());
        all.absorb(budget.count(Holder::Records, 5));
        assert_eq!((all.bytes(), budget.used_by(Holder::Records), budget.used_by(Holder::Answers)), (20, 0, 20));
        drop(all);
        assert_eq!(budget.used_bytes(), 0);
    }
}
