//! Every metric that was ever told, within limits.
//!
//! Invariant: memory stays below [`Limits::bytes_max`] and series below [`Limits::series_max`]: what is oldest goes
//! first, and is counted. Refuses to: know who asks, and how long ago a sample may have been; its caller does.

mod disk;
mod frame;
mod series;
pub(crate) mod summary;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

pub use disk::DiskError;
pub(crate) use disk::{Disk, snapshot, write_synced};
pub use series::MetricId;
pub(crate) use series::{Series, Window};
pub use summary::Summary;

/// How much is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Metrics, each with its dimensions.
    pub series_max: usize,
    /// Memory of all summaries, bytes.
    pub bytes_max: usize,
    /// Samples that may wait to be written to the disk.
    pub unsaved_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { series_max: 10_000, bytes_max: 256 * 1024 * 1024, unsaved_max: 200_000 }
    }
}

/// What was given up to stay within the limits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Evicted {
    /// Whole metrics.
    pub series: u64,
    /// Summaries of metrics that stayed.
    pub summaries: u64,
    /// Samples that a restart forgets, because they came faster than the disk takes them.
    pub unsaved: u64,
}

/// Samples of one metric, unit and second or minute that are not on the disk yet.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Spot {
    pub(crate) metric: Arc<MetricId>,
    pub(crate) unit: &'static str,
    pub(crate) at_s: i64,
    pub(crate) high_resolution: bool,
}

#[derive(Debug, Default)]
struct Entry {
    by_unit: BTreeMap<&'static str, Series>,
    /// Counts up with every sample of the store; the lowest was silent for longest.
    touched: u64,
}

impl Entry {
    fn bytes(&self) -> usize {
        self.by_unit.values().map(|series| series.bytes).sum()
    }
}

/// The metrics.
#[derive(Debug)]
pub(crate) struct Store {
    limits: Limits,
    entries: HashMap<Arc<MetricId>, Entry>,
    bytes: usize,
    touches: u64,
    unsaved: HashMap<Spot, Summary>,
    evicted: Evicted,
}

impl Store {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            entries: HashMap::new(),
            bytes: 0,
            touches: 0,
            unsaved: HashMap::new(),
            evicted: Evicted::default(),
        }
    }

    /// Takes samples in, and notes them for the disk.
    pub(crate) fn record(&mut self, spot: Spot, summary: &Summary) {
        let step_s = if spot.high_resolution { 1 } else { 60 };
        let spot = Spot { at_s: spot.at_s.div_euclid(step_s) * step_s, metric: self.known(spot.metric), ..spot };
        self.add(&spot.metric, spot.unit, |series| series.add(spot.at_s, spot.high_resolution, summary));
        let is_full = self.unsaved.len() >= self.limits.unsaved_max;
        match self.unsaved.get_mut(&spot) {
            Some(waiting) => waiting.merge(summary),
            None if is_full => self.evicted.unsaved += 1,
            None => drop(self.unsaved.insert(spot, summary.clone())),
        }
    }

    /// The same id, shared.
    fn known(&self, metric: Arc<MetricId>) -> Arc<MetricId> {
        self.entries.get_key_value(&metric).map_or(metric, |(known, _)| Arc::clone(known))
    }

    /// Takes in what the disk held.
    pub(crate) fn restore(&mut self, metric: &Arc<MetricId>, unit: &'static str, add: impl FnOnce(&mut Series)) {
        self.add(metric, unit, add);
    }

    fn add(&mut self, metric: &Arc<MetricId>, unit: &'static str, add: impl FnOnce(&mut Series)) {
        if !self.entries.contains_key(metric) && self.entries.len() >= self.limits.series_max {
            self.give_up_a_series();
        }
        self.touches += 1;
        let entry = self.entries.entry(Arc::clone(metric)).or_default();
        entry.touched = self.touches;
        let series = entry.by_unit.entry(unit).or_default();
        let before = series.bytes;
        add(series);
        self.bytes = self.bytes + series.bytes - before;
        while self.bytes > self.limits.bytes_max {
            self.give_up_summaries();
        }
    }

    fn give_up_a_series(&mut self) {
        let silent = self.entries.iter().min_by_key(|(_, entry)| entry.touched).map(|(metric, _)| Arc::clone(metric));
        if let Some(entry) = silent.and_then(|metric| self.entries.remove(&metric)) {
            self.bytes -= entry.bytes();
            self.evicted.series += 1;
        }
    }

    /// Halves the history of the metric that takes most.
    fn give_up_summaries(&mut self) {
        let series = self.entries.values_mut().flat_map(|entry| entry.by_unit.values_mut());
        let Some(largest) = series.max_by_key(|series| series.bytes) else { return self.bytes = 0 };
        let before = largest.bytes;
        self.evicted.summaries += largest.halve() as u64;
        self.bytes -= before - largest.bytes;
    }

    /// Forgets what is older than its retention, and metrics of which nothing is left.
    pub(crate) fn expire(&mut self, now_s: i64) {
        for entry in self.entries.values_mut() {
            entry.by_unit.values_mut().for_each(|series| series.expire(now_s));
            entry.by_unit.retain(|_, series| !series.is_empty());
        }
        self.entries.retain(|_, entry| !entry.by_unit.is_empty());
        self.bytes = self.entries.values().map(Entry::bytes).sum();
    }

    /// Summaries by the start of their period; of one unit, or of all.
    pub(crate) fn collect(
        &self,
        metric: &MetricId,
        unit: Option<&str>,
        window: Window,
        now_s: i64,
    ) -> BTreeMap<i64, Summary> {
        let mut found = BTreeMap::new();
        let units = self.entries.get(metric).into_iter().flat_map(|entry| &entry.by_unit);
        for (_, series) in units.filter(|(kept, _)| unit.is_none_or(|unit| unit == **kept)) {
            series.collect(window, now_s, &mut found);
        }
        found
    }

    /// The unit of a metric, if it has only one.
    pub(crate) fn unit(&self, metric: &MetricId) -> Option<&'static str> {
        let units = &self.entries.get(metric)?.by_unit;
        if units.len() == 1 { units.keys().next().copied() } else { None }
    }

    /// All metrics with the time of their newest sample.
    pub(crate) fn metrics(&self) -> impl Iterator<Item = (&MetricId, i64)> {
        let newest = |entry: &Entry| entry.by_unit.values().filter_map(Series::newest_s).max().unwrap_or(0);
        self.entries.iter().map(move |(metric, entry)| (&**metric, newest(entry)))
    }

    /// Everything, for a snapshot.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&Arc<MetricId>, &'static str, &Series)> {
        self.entries
            .iter()
            .flat_map(|(metric, entry)| entry.by_unit.iter().map(move |(unit, series)| (metric, *unit, series)))
    }

    /// What is not on the disk yet; the caller writes it there.
    pub(crate) fn take_unsaved(&mut self) -> HashMap<Spot, Summary> {
        std::mem::take(&mut self.unsaved)
    }

    pub(crate) fn evicted(&self) -> Evicted {
        self.evicted
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn series_count(&self) -> usize {
        self.entries.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spot(name: &str, at_s: i64) -> Spot {
        let metric = Arc::new(MetricId::new("N", name, Vec::new()));
        Spot { metric, unit: "Count", at_s, high_resolution: false }
    }

    fn limits(series_max: usize, bytes_max: usize) -> Limits {
        Limits { series_max, bytes_max, unsaved_max: 10 }
    }

    #[test]
    fn the_metric_that_was_silent_for_longest_goes_first() {
        let mut store = Store::new(limits(2, usize::MAX));
        for name in ["a", "b", "a", "c"] {
            store.record(spot(name, 60), &Summary::of_value(1.0, 1.0));
        }
        let mut names: Vec<&str> = store.metrics().map(|(metric, _)| metric.name.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, ["a", "c"]);
        assert_eq!(store.evicted().series, 1);
    }

    #[test]
    fn memory_stays_below_its_limit_and_the_oldest_goes_first() {
        let mut store = Store::new(limits(10, 64 * 1024));
        for minute in 0..10_000 {
            store.record(spot("a", minute * 60), &Summary::of_value(1.0, 1.0));
            assert!(store.bytes() <= 64 * 1024);
        }
        assert!(store.evicted().summaries > 0);
        let window = Window { start_s: 0, end_s: 600_000, period_s: 60 };
        let kept = store.collect(&spot("a", 0).metric, None, window, 600_000);
        assert!(kept.contains_key(&(9_999 * 60)) && !kept.contains_key(&0));
    }

    #[test]
    fn samples_wait_for_the_disk_up_to_a_limit_and_together() {
        let mut store = Store::new(limits(10, usize::MAX));
        for second in 0..60 {
            store.record(spot("a", second), &Summary::of_value(1.0, 1.0));
        }
        assert_eq!(store.unsaved.values().map(|summary| summary.count).collect::<Vec<f64>>(), [60.0]);
        for minute in 0..20 {
            store.record(spot("a", minute * 60), &Summary::of_value(1.0, 1.0));
        }
        assert_eq!((store.take_unsaved().len(), store.evicted().unsaved), (10, 10));
    }

    #[test]
    fn units_are_kept_apart_and_read_together_when_none_is_asked_for() {
        let mut store = Store::new(Limits::default());
        store.record(spot("a", 60), &Summary::of_value(1.0, 1.0));
        store.record(Spot { unit: "Bytes", ..spot("a", 60) }, &Summary::of_value(5.0, 1.0));
        let window = Window { start_s: 0, end_s: 120, period_s: 60 };
        let sum = |unit| store.collect(&spot("a", 0).metric, unit, window, 120)[&60].sum;
        assert_eq!((sum(None), sum(Some("Count")), sum(Some("Bytes"))), (6.0, 1.0, 5.0));
        assert_eq!(store.unit(&spot("a", 0).metric), None);
    }
}
