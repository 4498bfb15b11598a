//! How ripe the labels are: which share of the captured calls has one, by the age of the call, and how late they come.
//!
//! Invariant: the rows of the table add up to all calls. Refuses to: read a clock; ages are counted from the moment that
//! is asked about, or else from the last one that the data knows of.

use captura_names::Timestamp;
use serde::Serialize;

const HOUR_US: i64 = 3_600_000_000;
/// Ages at which one row of the table ends and the next begins, hours.
const AGES_HOURS: [i64; 7] = [1, 6, 24, 72, 168, 336, 720];
const NAMES: [&str; 8] = [
    "under 1 hour",
    "1 to 6 hours",
    "6 to 24 hours",
    "1 to 3 days",
    "3 to 7 days",
    "7 to 14 days",
    "14 to 30 days",
    "over 30 days",
];
/// Calls without a time.
const AGELESS: &str = "without a time";

/// Captured calls, and when their labels came; two numbers for each.
#[derive(Debug, Clone, Default)]
pub struct Calls {
    /// Time of the call; delay of its label, where it has one.
    calls: Vec<(Option<i64>, Option<Option<u32>>)>,
}

/// The table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Maturity {
    /// The moment from which ages are counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub as_of: Option<String>,
    /// Captured calls.
    pub calls: u64,
    /// Those with a label.
    pub labelled: u64,
    /// `labelled / calls`.
    pub share: f64,
    /// By age, youngest first; ages without calls are left out.
    pub by_age: Vec<Age>,
    /// How late labels came, where their objects tell the hour.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay: Option<Delay>,
}

/// Calls of one age.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Age {
    /// In words.
    pub age: String,
    /// Captured calls.
    pub calls: u64,
    /// Those with a label.
    pub labelled: u64,
    /// `labelled / calls`.
    pub share: f64,
}

/// Hours from the call to the end of the hour in which its label was filed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Delay {
    /// Half of the labels came within.
    pub median_hours: u32,
    /// Nine of ten labels came within.
    pub p90_hours: u32,
    /// All labels came within.
    pub max_hours: u32,
}

impl Calls {
    /// Books a captured call. `label` is `None` when it has none, else when its label arrived, where that is known.
    pub fn push(&mut self, time: Option<Timestamp>, label: Option<Option<Timestamp>>) {
        let delay = |arrived: Option<Timestamp>| {
            let late_us = arrived?.unix_us() - time?.unix_us();
            u32::try_from((late_us + HOUR_US - 1).max(0) / HOUR_US).ok()
        };
        self.calls.push((time.map(Timestamp::unix_us), label.map(delay)));
    }

    /// The last call.
    #[must_use]
    pub fn latest(&self) -> Option<Timestamp> {
        self.calls.iter().filter_map(|call| call.0).max().map(Timestamp::from_unix_us)
    }

    /// The first call.
    #[must_use]
    pub fn earliest(&self) -> Option<Timestamp> {
        self.calls.iter().filter_map(|call| call.0).min().map(Timestamp::from_unix_us)
    }

    /// The table, seen from `as_of`.
    #[must_use]
    pub fn maturity(&self, as_of: Option<Timestamp>) -> Maturity {
        let mut counts = [(0_u64, 0_u64); NAMES.len() + 1];
        let mut delays: Vec<u32> = Vec::new();
        for (time, label) in &self.calls {
            let age = as_of.zip(*time).map(|(as_of, time)| (as_of.unix_us() - time) / HOUR_US);
            let row = age.map_or(NAMES.len(), |age| AGES_HOURS.iter().filter(|&&limit| age >= limit).count());
            counts[row].0 += 1;
            counts[row].1 += u64::from(label.is_some());
            delays.extend(label.flatten());
        }
        let names = NAMES.iter().copied().chain([AGELESS]);
        let by_age = names.zip(counts).filter(|(_, (calls, _))| *calls > 0).map(|(age, (calls, labelled))| Age {
            age: age.to_owned(),
            calls,
            labelled,
            share: share(labelled, calls),
        });
        let (calls, labelled) = counts.iter().fold((0, 0), |sum, count| (sum.0 + count.0, sum.1 + count.1));
        Maturity {
            as_of: as_of.map(|moment| moment.to_string()),
            calls,
            labelled,
            share: share(labelled, calls),
            by_age: by_age.collect(),
            delay: Delay::of(delays),
        }
    }
}

impl Delay {
    fn of(mut delays: Vec<u32>) -> Option<Self> {
        delays.sort_unstable();
        let last = delays.len().checked_sub(1)?;
        // The smallest delay that at least this share of the labels does not exceed.
        let at = |tenths: usize| delays[(delays.len() * tenths).div_ceil(10).clamp(1, delays.len()) - 1];
        Some(Self { median_hours: at(5), p90_hours: at(9), max_hours: delays[last] })
    }
}

fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}
