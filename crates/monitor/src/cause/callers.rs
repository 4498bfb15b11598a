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
use crate::dataset::{Batch, Call};
use crate::stored::{Writer, Written};

/// Rows by consumer, and the time between the first and the last call.
#[derive(Debug, Clone, Default)]
pub struct Callers {
    /// In the order of their first calls.
    rows: Vec<(Option<String>, u64)>,
    /// Account of the last call, and the next one's likely too.
    last: usize,
    period: Option<(Timestamp, Timestamp)>,
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
            let times = times.as_primitive::<TimestampMicrosecondType>().iter().flatten();
            times.for_each(|time| self.see(Timestamp::from_unix_us(time)));
        }
    }

    /// Counts the rows of a call.
    pub fn hear(&mut self, call: &Call<'_>, rows: u32) {
        self.count(call.consumer, rows.into());
        if let Some(time) = call.inference_time {
            self.see(time);
        }
    }

    /// Adds what was counted of the piece of the data that comes next.
    pub fn merge(&mut self, next: &Self) {
        next.rows.iter().for_each(|(consumer, rows)| self.count(consumer.as_deref(), *rows));
        if let Some((first, last)) = next.period {
            self.see(first);
            self.see(last);
        }
    }

    /// Rows by consumer, in the order of their names; `None` are those that the records do not name.
    #[must_use]
    pub fn rows(&self) -> BTreeMap<Option<&str>, u64> {
        self.rows.iter().map(|(consumer, rows)| (consumer.as_deref(), *rows)).collect()
    }

    /// Time of the first and of the last call, when records say.
    #[must_use]
    pub fn period(&self) -> Option<(Timestamp, Timestamp)> {
        self.period
    }

    pub(crate) fn write(&self, out: &mut Writer) {
        out.count(self.rows.len());
        for (consumer, rows) in &self.rows {
            out.maybe(consumer.as_deref(), Writer::text);
            out.number(*rows);
        }
        out.maybe(self.period, |out, (first, last)| {
            out.number(first.unix_us() as u64);
            out.number(last.unix_us() as u64);
        });
    }

    pub(crate) fn read(written: &mut Written<'_>) -> Option<Self> {
        let account = |written: &mut Written<'_>| Some((written.maybe(Written::text)?, written.rows()?));
        let rows = written.list(9, account)?;
        let time = |written: &mut Written<'_>| Some(Timestamp::from_unix_us(written.rows()? as i64));
        let period = written.maybe(|written| Some((time(written)?, time(written)?)))?;
        Some(Self { rows, last: 0, period })
    }

    fn see(&mut self, time: Timestamp) {
        let (first, last) = self.period.unwrap_or((time, time));
        self.period = Some((first.min(time), last.max(time)));
    }

    fn count(&mut self, consumer: Option<&str>, rows: u64) {
        let known = |all: &[(Option<String>, u64)], name: Option<&str>| {
            all.iter().position(|(consumer, _)| consumer.as_deref() == name)
        };
        if self.rows.get(self.last).is_none_or(|(last, _)| last.as_deref() != consumer) {
            let name = match known(&self.rows, consumer) {
                None if self.rows.len() >= MAX_CONSUMERS => Some(OTHER_CONSUMERS),
                _ => consumer,
            };
            self.last = known(&self.rows, name).unwrap_or_else(|| {
                self.rows.push((name.map(str::to_owned), 0));
                self.rows.len() - 1
            });
        }
        self.rows[self.last].1 += rows;
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
        let counts: Vec<(Option<&str>, u64)> = callers.rows().into_iter().collect();
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
        assert_eq!(callers.rows()[&Some(OTHER_CONSUMERS)], 9);
    }
}
