//! Who called, how often, and from when to when.
//!
//! Bounds: [`MAX_CONSUMERS`] consumers by name; the rows of further ones share one account.

use std::collections::BTreeMap;

use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMicrosecondType;
use captura_names::Timestamp;

use super::MAX_CONSUMERS;
use super::collector::OTHER_CONSUMERS;
use crate::dataset::Batch;

/// Rows by consumer, and the time between the first and the last call.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Callers {
    rows: BTreeMap<Option<String>, u64>,
    first: Option<Timestamp>,
    last: Option<Timestamp>,
}

impl Callers {
    /// Counts a batch that carries its calls; rows of others have no consumer and no time.
    pub fn take(&mut self, batch: &Batch) {
        let rows = batch.rows.num_rows();
        let Some(calls) = &batch.calls else {
            return self.count(None, rows as u64);
        };
        let consumers = calls.column_by_name("consumer").map(|array| array.as_string::<i32>());
        for row in 0..rows {
            self.count(consumers.filter(|array| array.is_valid(row)).map(|array| array.value(row)), 1);
        }
        if let Some(times) = calls.column_by_name("inference_time") {
            for time in times.as_primitive::<TimestampMicrosecondType>().iter().flatten() {
                let time = Timestamp::from_unix_us(time);
                self.first = Some(self.first.map_or(time, |first| first.min(time)));
                self.last = Some(self.last.map_or(time, |last| last.max(time)));
            }
        }
    }

    /// Rows by consumer, in the order of their names; `None` are those that the records do not name.
    #[must_use]
    pub fn rows(&self) -> &BTreeMap<Option<String>, u64> {
        &self.rows
    }

    /// Time of the first and of the last call, when records say.
    #[must_use]
    pub fn period(&self) -> Option<(Timestamp, Timestamp)> {
        self.first.zip(self.last)
    }

    fn count(&mut self, consumer: Option<&str>, rows: u64) {
        if let Some((_, count)) = self.rows.iter_mut().find(|(name, _)| name.as_deref() == consumer) {
            *count += rows;
            return;
        }
        let name = if self.rows.len() < MAX_CONSUMERS { consumer } else { Some(OTHER_CONSUMERS) };
        *self.rows.entry(name.map(str::to_owned)).or_default() += rows;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cause::tests::batches;

    #[test]
    fn rows_are_counted_by_consumer_and_the_period_is_told() {
        let row = |who: &'static str| (who, "0".to_owned(), "1".to_owned());
        let mut callers = Callers::default();
        batches(&[row("b"), row("a"), row("b")], &[]).iter().for_each(|batch| callers.take(batch));
        let counts: Vec<(Option<&str>, u64)> = callers.rows().iter().map(|(n, &c)| (n.as_deref(), c)).collect();
        assert_eq!(counts, [(Some("a"), 1), (Some("b"), 2)]);
        let (first, last) = callers.period().unwrap();
        assert_eq!(
            (first.to_string(), last.to_string()),
            ("2026-01-01T00:00:00Z".into(), "2026-01-01T00:00:02Z".into())
        );
    }

    #[test]
    fn consumers_beyond_the_bound_share_an_account() {
        let names: Vec<String> = (0..MAX_CONSUMERS + 9).map(|i| format!("c{i}")).collect();
        let rows: Vec<(&str, String, String)> =
            names.iter().map(|name| (name.as_str(), "0".to_owned(), "1".to_owned())).collect();
        let mut callers = Callers::default();
        batches(&rows, &[]).iter().for_each(|batch| callers.take(batch));
        assert_eq!(callers.rows().len(), MAX_CONSUMERS + 1);
        assert_eq!(callers.rows()[&Some(OTHER_CONSUMERS.to_owned())], 9);
    }
}
