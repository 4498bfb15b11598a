//! One metric's summaries at the resolutions that CloudWatch keeps.

use std::collections::BTreeMap;

use captura_wire::cloudwatch::shapes::Dimension;

use super::summary::Summary;

/// One resolution: seconds per summary, and seconds that summaries are kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Level {
    pub(crate) step_s: i64,
    pub(crate) retention_s: i64,
}

const HOUR_S: i64 = 3_600;
const DAY_S: i64 = 24 * HOUR_S;

/// Finest first; the first holds high-resolution samples only.
pub(crate) const LEVELS: [Level; 4] = [
    Level { step_s: 1, retention_s: 3 * HOUR_S },
    Level { step_s: 60, retention_s: 15 * DAY_S },
    Level { step_s: 300, retention_s: 63 * DAY_S },
    Level { step_s: HOUR_S, retention_s: 455 * DAY_S },
];

/// What one summary costs in a map, bytes, its buckets aside.
const SUMMARY_BYTES: usize = size_of::<(i64, Summary)>() * 3 / 2;

/// What tells one metric from another.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MetricId {
    /// Namespace, such as `AWS/SageMaker`.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// In the order of their names.
    pub dimensions: Vec<Dimension>,
}

impl MetricId {
    /// The metric of that name; the order of dimensions means nothing.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>, mut dimensions: Vec<Dimension>) -> Self {
        dimensions.sort();
        Self { namespace: namespace.into(), name: name.into(), dimensions }
    }
}

/// Summaries of one metric in one unit.
#[derive(Debug, Default)]
pub(crate) struct Series {
    levels: [BTreeMap<i64, Summary>; LEVELS.len()],
    pub(crate) bytes: usize,
}

impl Series {
    /// Adds samples of one second (high resolution) or one minute to every level that takes them.
    pub(crate) fn add(&mut self, at_s: i64, high_resolution: bool, summary: &Summary) {
        for level in usize::from(!high_resolution)..LEVELS.len() {
            self.add_at(level, at_s, summary);
        }
    }

    /// Adds to one level only, as a snapshot is read back.
    pub(crate) fn add_at(&mut self, level: usize, at_s: i64, summary: &Summary) {
        let (Some(summaries), Some(Level { step_s, .. })) = (self.levels.get_mut(level), LEVELS.get(level)) else {
            return;
        };
        let start = at_s.div_euclid(*step_s) * step_s;
        match summaries.get_mut(&start) {
            Some(kept) => {
                self.bytes -= kept.heap_bytes();
                kept.merge(summary);
                self.bytes += kept.heap_bytes();
            }
            None => {
                let new = summary.clone();
                self.bytes += SUMMARY_BYTES + new.heap_bytes();
                summaries.insert(start, new);
            }
        }
    }

    /// Every summary with its level and time.
    pub(crate) fn all(&self) -> impl Iterator<Item = (usize, i64, &Summary)> {
        let levels = self.levels.iter().enumerate();
        levels.flat_map(|(level, summaries)| summaries.iter().map(move |(at, summary)| (level, *at, summary)))
    }

    /// Time of the newest summary.
    pub(crate) fn newest_s(&self) -> Option<i64> {
        self.levels.iter().take(2).filter_map(|summaries| summaries.keys().next_back()).copied().max()
    }

    /// Merges what lies in `[start, end)` into periods counted from `start`.
    pub(crate) fn collect(&self, window: Window, now_s: i64, into: &mut BTreeMap<i64, Summary>) {
        let Window { start_s, end_s, period_s } = window;
        if start_s >= end_s {
            return;
        }
        for (at, summary) in self.levels[level_for(window, now_s)].range(start_s..end_s) {
            let period = start_s + (at - start_s).div_euclid(period_s) * period_s;
            match into.get_mut(&period) {
                Some(kept) => kept.merge(summary),
                None => drop(into.insert(period, summary.clone())),
            }
        }
    }

    /// Forgets what is older than its retention.
    pub(crate) fn expire(&mut self, now_s: i64) {
        for (summaries, level) in self.levels.iter_mut().zip(LEVELS) {
            let kept = summaries.split_off(&(now_s - level.retention_s));
            self.bytes -= bytes_of(summaries);
            *summaries = kept;
        }
    }

    /// Forgets the older half of the level that takes most; how many summaries that were.
    pub(crate) fn halve(&mut self) -> usize {
        let largest = self.levels.iter_mut().max_by_key(|summaries| summaries.len());
        let Some(largest) = largest.filter(|summaries| !summaries.is_empty()) else { return 0 };
        let cut = *largest.keys().nth(largest.len().div_ceil(2)).unwrap_or(&i64::MAX);
        let kept = largest.split_off(&cut);
        let forgotten = std::mem::replace(largest, kept);
        self.bytes -= bytes_of(&forgotten);
        forgotten.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.levels.iter().all(BTreeMap::is_empty)
    }
}

fn bytes_of(summaries: &BTreeMap<i64, Summary>) -> usize {
    summaries.values().map(|summary| SUMMARY_BYTES + summary.heap_bytes()).sum()
}

/// A stretch of time in periods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) start_s: i64,
    pub(crate) end_s: i64,
    pub(crate) period_s: i64,
}

/// The finest level that fits the period and still holds the start, else the coarsest that fits.
fn level_for(window: Window, now_s: i64) -> usize {
    let fits = |level: &usize| {
        let step_s = LEVELS[*level].step_s;
        window.period_s % step_s == 0 && window.start_s % step_s == 0
    };
    // Periods of minutes are read from minutes even where seconds are kept: not every sample is of high resolution.
    let first = usize::from(window.period_s % 60 == 0 && window.start_s % 60 == 0);
    let fitting: Vec<usize> = (first..LEVELS.len()).filter(fits).collect();
    let holding = fitting.iter().find(|level| window.start_s >= now_s - LEVELS[**level].retention_s);
    holding.or(fitting.last()).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collect(series: &Series, window: (i64, i64, i64), now_s: i64) -> Vec<(i64, f64)> {
        let mut into = BTreeMap::new();
        let (start_s, end_s, period_s) = window;
        series.collect(Window { start_s, end_s, period_s }, now_s, &mut into);
        into.into_iter().map(|(at, summary)| (at, summary.sum)).collect()
    }

    #[test]
    fn samples_are_found_at_every_resolution() {
        let mut series = Series::default();
        for second in 0..600 {
            series.add(second, true, &Summary::of_value(1.0, 1.0));
        }
        assert_eq!(collect(&series, (0, 30, 10), 600), [(0, 10.0), (10, 10.0), (20, 10.0)]);
        assert_eq!(collect(&series, (60, 180, 60), 600), [(60, 60.0), (120, 60.0)]);
        assert_eq!(collect(&series, (0, 600, 300), 600), [(0, 300.0), (300, 300.0)]);
        assert_eq!(collect(&series, (0, 3_600, 3_600), 600), [(0, 600.0)]);
        assert_eq!(collect(&series, (30, 90, 30), 600), [(30, 30.0), (60, 30.0)]);
        assert_eq!(collect(&series, (600, 0, 60), 600), []);
    }

    #[test]
    fn samples_of_standard_resolution_have_no_seconds() {
        let mut series = Series::default();
        series.add(61, false, &Summary::of_value(1.0, 1.0));
        assert_eq!(collect(&series, (60, 120, 10), 120), []);
        assert_eq!(collect(&series, (60, 120, 60), 120), [(60, 1.0)]);
    }

    #[test]
    fn each_resolution_is_kept_as_long_as_cloudwatch_keeps_it() {
        let mut series = Series::default();
        series.add(0, true, &Summary::of_value(1.0, 1.0));
        let counts = |series: &Series| series.levels.each_ref().map(BTreeMap::len);
        for (now_s, expected) in [
            (3 * HOUR_S, [1, 1, 1, 1]),
            (3 * HOUR_S + 1, [0, 1, 1, 1]),
            (15 * DAY_S + 1, [0, 0, 1, 1]),
            (63 * DAY_S + 1, [0, 0, 0, 1]),
            (455 * DAY_S + 1, [0, 0, 0, 0]),
        ] {
            series.expire(now_s);
            assert_eq!(counts(&series), expected, "at {now_s}");
        }
        assert_eq!(series.bytes, 0);
    }

    #[test]
    fn what_is_older_than_its_minutes_is_read_from_coarser_summaries() {
        let mut series = Series::default();
        series.add(0, false, &Summary::of_value(1.0, 1.0));
        series.expire(20 * DAY_S);
        assert_eq!(collect(&series, (0, 3_600, 60), 20 * DAY_S), []);
        assert_eq!(collect(&series, (0, 3_600, 300), 20 * DAY_S), [(0, 1.0)]);
        assert_eq!(collect(&series, (0, 3_600, 3_600), 100 * DAY_S), [(0, 1.0)]);
    }
}
