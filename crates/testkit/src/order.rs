//! What a fault test is asked for, and what it answers.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// How much of a test is to be run. The n-th unit (a kill, a power cut, a life) takes the seed `seed + n`.
#[derive(Debug, Clone)]
pub struct Order {
    /// Seed of the first unit.
    pub seed: u64,
    /// Units at most.
    pub units: u64,
    /// Time at most; the unit that is under way is finished.
    pub time: Duration,
    began: Instant,
}

impl Order {
    /// So many units, however long they take.
    pub fn of(units: u64, seed: u64) -> Self {
        Self { seed, units, time: Duration::MAX, began: Instant::now() }
    }

    /// At most so many units, and no more once this time is over.
    pub fn within(units: u64, seed: u64, time: Duration) -> Self {
        Self { time, ..Self::of(units, seed) }
    }

    /// The seeds, until there were enough or time is over.
    pub fn seeds(&self) -> impl Iterator<Item = u64> + use<> {
        let (began, time) = (self.began, self.time);
        (self.seed..self.seed + self.units).take_while(move |_| began.elapsed() < time)
    }
}

/// What was counted.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Figures {
    /// Units done.
    pub units: u64,
    /// Seeds used, from the first on; the next run begins behind them.
    pub seeds: u64,
    /// Other counts by name. Names that begin with `max ` are maxima, all others add up.
    pub counts: BTreeMap<String, u64>,
}

impl Figures {
    /// Adds to a count.
    pub fn add(&mut self, name: &str, count: u64) {
        *self.counts.entry(name.to_owned()).or_default() += count;
    }

    /// Keeps the largest.
    pub fn max(&mut self, name: &str, value: u64) {
        let kept = self.counts.entry(format!("max {name}")).or_default();
        *kept = value.max(*kept);
    }

    /// Adds what another part of the same test counted.
    pub fn merge(&mut self, other: Self) {
        self.units += other.units;
        self.seeds += other.seeds;
        for (name, count) in other.counts {
            let known = self.counts.entry(name.clone()).or_default();
            *known = if name.starts_with("max ") { count.max(*known) } else { *known + count };
        }
    }

    /// A count, 0 where nothing was counted.
    pub fn count(&self, name: &str) -> u64 {
        self.counts.get(name).copied().unwrap_or_default()
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} units", self.units)?;
        self.counts.iter().try_for_each(|(name, count)| write!(f, ", {count} {name}"))
    }
}

/// A promise that was not kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Broken {
    /// The seed of the unit, or of the first of the units that are proven together.
    pub seed: u64,
    /// What was found.
    pub what: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed {}: {}", self.seed, self.what)
    }
}

/// Runs a unit for each seed, some at the same time, until there were enough or time is over. Every seed that was begun
/// is finished, also when another one has shown a broken promise.
///
/// # Panics
/// When a unit panics.
pub fn in_parallel(order: &Order, threads: usize, unit: impl Fn(u64) -> Result<Figures, String> + Sync) -> Told {
    let seeds = Mutex::new(order.seeds());
    let told: Mutex<Result<Figures, Broken>> = Mutex::new(Ok(Figures::default()));
    let enough = || match &*told.lock().expect("our bug: a unit panicked") {
        Ok(figures) => figures.units >= order.units,
        Err(_) => true,
    };
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while !enough() {
                    let Some(seed) = seeds.lock().expect("our bug: a unit panicked").next() else { break };
                    let outcome = unit(seed);
                    let mut told = told.lock().expect("our bug: a unit panicked");
                    match (outcome, &mut *told) {
                        (Ok(figures), Ok(all)) => {
                            all.merge(figures);
                            all.seeds += 1;
                        }
                        (Err(what), Ok(_)) => *told = Err(Broken { seed, what }),
                        (_, Err(_)) => {}
                    }
                }
            });
        }
    });
    told.into_inner().expect("our bug: a unit panicked").into()
}

/// How a test ended. Trouble with the harness itself panics.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Told {
    /// Every promise held.
    Held(Figures),
    /// One did not.
    Broken(Broken),
    /// It cannot be run here, and why.
    Skipped(String),
}

impl Told {
    /// The figures, for tests that are part of every change.
    ///
    /// # Panics
    /// When a promise was broken.
    pub fn held(self) -> Figures {
        match self {
            Self::Held(figures) => figures,
            Self::Broken(broken) => panic!("{broken}"),
            Self::Skipped(why) => {
                let mut figures = Figures::default();
                figures.add(&format!("skipped, {why}"), 1);
                figures
            }
        }
    }
}

impl From<Result<Figures, Broken>> for Told {
    fn from(result: Result<Figures, Broken>) -> Self {
        match result {
            Ok(figures) => Self::Held(figures),
            Err(broken) => Self::Broken(broken),
        }
    }
}
