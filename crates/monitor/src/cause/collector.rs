//! Values of features by caller, in bounded space.
//!
//! Of a caller with more than [`MAX_ROWS`] rows every second, fourth, eighth, … row is kept, counted within each piece of the
//! data from a place of its own. So what is kept of a piece does not depend on the other pieces, and collectors of pieces,
//! merged in the order of the pieces, hold what one collector of all pieces would.

use std::collections::HashMap;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef};
use arrow_schema::DataType;
use captura_names::Timestamp;

use super::{MAX_CONSUMERS, MAX_FEATURES, MAX_ROWS};
use crate::dataset::{Batch, Call, Parsed, number};
use crate::stored::{Writer, Written};

/// Where rows of consumers beyond [`MAX_CONSUMERS`] are booked.
pub(super) const OTHER_CONSUMERS: &str = "(other consumers)";
/// Different texts of one feature told apart; the further ones are one category.
const MAX_TEXTS: usize = 4096;
/// Values that are held at the most where they are collected of all columns, before it is known which are needed: 32 MiB.
const MAX_VALUES: usize = 4 << 20;
/// Stands for a missing value in a column of numbers or of category numbers.
const MISSING: f64 = f64::NAN;

/// Collects, batch by batch, what finding causes needs.
#[derive(Debug, Clone)]
pub struct Collector {
    features: Vec<Feature>,
    /// In the order of their first calls.
    accounts: Vec<Account>,
    /// Account of the last call, and the next one's likely too.
    last: usize,
    rows: u64,
    /// Where counting begins within this piece of the data.
    offset: u64,
    /// Of which callers not every row need be kept, since the pieces before have so many.
    strides: Vec<(Option<String>, u64)>,
    /// Rows of the batch to come that are kept: place in the batch, account.
    pending: Vec<(usize, usize)>,
    /// Rows of the batch to come.
    coming: usize,
    /// Values that may be held; beyond that there is nothing.
    values_max: Option<usize>,
    given_up: bool,
}

#[derive(Debug, Clone)]
struct Feature {
    name: String,
    /// Compared by category: values are numbers of `texts`.
    categorical: bool,
    numbers_of_texts: HashMap<String, usize>,
    texts: Vec<String>,
}

/// Rows of one consumer; `values[feature][row]`.
#[derive(Debug, Clone)]
struct Account {
    consumer: Option<String>,
    seen: u64,
    stride: u64,
    keys: Vec<RowKey>,
    values: Vec<Vec<f64>>,
}

/// Which call a row came from.
#[derive(Debug, Clone)]
pub(super) struct RowKey {
    pub(super) time: Option<Timestamp>,
    pub(super) event_id: Option<Box<str>>,
    /// Place in the data set, which breaks ties of the whole-second times.
    place: u64,
    /// Number within the rows of its consumer and piece, by which it is kept.
    number: u64,
}

/// The present values of one feature and one consumer, in the order of the calls.
pub(super) struct Series<'a> {
    pub(super) consumer: Option<String>,
    pub(super) values: Vec<f64>,
    /// Rows each value stands for.
    pub(super) weight: u64,
    keys: Vec<&'a RowKey>,
    texts: &'a [String],
}

impl Series<'_> {
    /// The call of the value at `place`.
    pub(super) fn key(&self, place: usize) -> &RowKey {
        self.keys[place]
    }

    pub(super) fn category(&self, value: f64) -> &str {
        self.texts.get(value as usize).map_or("", String::as_str)
    }
}

impl Collector {
    /// Collects for these features (name, whether compared by category); only the first [`MAX_FEATURES`].
    pub fn new(features: impl IntoIterator<Item = (String, bool)>) -> Self {
        Self::with(features.into_iter().take(MAX_FEATURES).collect(), None)
    }

    /// Collects the numbers of all columns, for as long as there is room for them.
    pub fn of_numbers(columns: impl IntoIterator<Item = String>) -> Self {
        Self::with(columns.into_iter().map(|name| (name, false)).collect(), Some(MAX_VALUES))
    }

    fn with(features: Vec<(String, bool)>, values_max: Option<usize>) -> Self {
        let feature =
            |(name, categorical)| Feature { name, categorical, numbers_of_texts: HashMap::new(), texts: Vec::new() };
        Self {
            features: features.into_iter().map(feature).collect(),
            accounts: Vec::new(),
            last: 0,
            rows: 0,
            offset: 0,
            strides: Vec::new(),
            pending: Vec::new(),
            coming: 0,
            values_max,
            given_up: false,
        }
    }

    /// The same, of a piece of the data in which rows are counted from here on.
    #[must_use]
    pub fn counting_from(mut self, offset: u64) -> Self {
        self.offset = offset;
        self
    }

    /// The same, of a piece of the data behind others of which only so many rows are kept: every second, fourth, … of a caller.
    #[must_use]
    pub fn keeping_every(mut self, strides: Vec<(Option<String>, u64)>) -> Self {
        self.strides = strides;
        self
    }

    /// Of which callers not every row is kept, and how many of them one stands for.
    #[must_use]
    pub fn strides(&self) -> Vec<(Option<String>, u64)> {
        let thinned = self.accounts.iter().filter(|account| account.stride > 1);
        thinned.map(|account| (account.consumer.clone(), account.stride)).collect()
    }

    /// Hears of a call with this many rows in the batch that comes next.
    pub fn hear(&mut self, call: &Call<'_>, rows: u32) {
        let place = self.account_of(call.consumer);
        let account = &mut self.accounts[place];
        for _ in 0..rows {
            let number = account.seen + self.offset;
            account.seen += 1;
            if number.is_multiple_of(account.stride) && !self.given_up {
                account.keys.push(RowKey {
                    time: call.inference_time,
                    event_id: call.event_id.map(Box::from),
                    place: self.rows,
                    number,
                });
                self.pending.push((self.coming, place));
            }
            self.rows += 1;
            self.coming += 1;
        }
    }

    /// Takes the values of the rows that it heard of.
    pub fn take_rows(&mut self, batch: &Batch) {
        debug_assert_eq!(self.coming, batch.rows.num_rows(), "our bug: it hears of every row");
        self.coming = 0;
        let pending = std::mem::take(&mut self.pending);
        if self.given_up || pending.is_empty() {
            return;
        }
        let schema = batch.rows.schema();
        for (place, feature) in self.features.iter_mut().enumerate() {
            // Where all columns are collected they are in the order of the batch.
            let here = schema.fields().get(place).is_some_and(|field| *field.name() == feature.name);
            let array = if here { Some(batch.rows.column(place)) } else { batch.rows.column_by_name(&feature.name) };
            feature.take(array, &pending, |account, value| self.accounts[account].values[place].push(value));
        }
        self.pending = pending;
        self.pending.clear();
        self.accounts.iter_mut().for_each(Account::thin);
        self.give_up_beyond_bounds();
    }

    /// Takes a batch that carries its calls; without them the rows have no consumer, time or identity.
    pub fn take(&mut self, batch: &Batch) {
        let texts = |name: &str| {
            batch.calls.as_ref().and_then(|calls| calls.column_by_name(name)).map(|a| a.as_string::<i32>())
        };
        let (event_ids, consumers) = (texts("event_id"), texts("consumer"));
        let times = batch.calls.as_ref().and_then(|calls| calls.column_by_name("inference_time"));
        let times = times.map(|array| array.as_primitive::<TimestampMicrosecondType>());
        for row in 0..batch.rows.num_rows() {
            let text = |array: Option<&'_ arrow_array::StringArray>| {
                array.filter(|array| array.is_valid(row)).map(|array| array.value(row).to_owned())
            };
            let (event_id, consumer) = (text(event_ids), text(consumers));
            let time = times.filter(|times| times.is_valid(row)).map(|times| Timestamp::from_unix_us(times.value(row)));
            let call = Call {
                event_id: event_id.as_deref(),
                consumer: consumer.as_deref(),
                inference_time: time,
                ..Call::default()
            };
            self.hear(&call, 1);
        }
        self.take_rows(batch);
    }

    /// Takes in what was collected, for the same features, of the piece of the data that comes next.
    pub fn merge(&mut self, next: &Self) {
        self.given_up |= next.given_up;
        for account in &next.accounts {
            let place = self.account_of(account.consumer.as_deref());
            let mut account = account.clone();
            account.keys.iter_mut().for_each(|key| key.place += self.rows);
            for (values, (mine, theirs)) in account.values.iter_mut().zip(self.features.iter_mut().zip(&next.features))
            {
                if mine.categorical {
                    let renumber = |value: &mut f64| match theirs.texts.get(*value as usize) {
                        Some(text) if !value.is_nan() => *value = mine.category(text),
                        _ => {}
                    };
                    values.iter_mut().for_each(renumber);
                }
            }
            self.accounts[place].merge(account);
        }
        self.rows += next.rows;
        self.give_up_beyond_bounds();
    }

    /// What was collected for these features alone, where all of them were and nothing was lost for want of room.
    #[must_use]
    pub fn only(&self, features: &[(String, bool)]) -> Option<Self> {
        let places: Option<Vec<usize>> = features
            .iter()
            .take(MAX_FEATURES)
            .map(|(name, categorical)| self.feature(name).filter(|_| !categorical && !self.given_up))
            .collect();
        let places = places?;
        let account = |account: &Account| Account {
            consumer: account.consumer.clone(),
            keys: account.keys.clone(),
            values: places.iter().map(|&place| account.values[place].clone()).collect(),
            ..*account
        };
        Some(Self {
            features: places.iter().map(|&place| self.features[place].clone()).collect(),
            accounts: self.accounts.iter().map(account).collect(),
            strides: Vec::new(),
            pending: Vec::new(),
            ..*self
        })
    }

    /// Thins those who have most until no more values than this are held.
    #[must_use]
    pub(crate) fn bounded(mut self, values_max: usize) -> Self {
        let held = |account: &Account| account.keys.len() * self.features.len();
        while self.accounts.iter().map(held).sum::<usize>() > values_max {
            let most = self.accounts.iter_mut().max_by_key(|account| account.keys.len());
            let most = most.expect("our bug: somebody holds what is too much");
            if most.keys.len() <= 1 {
                break;
            }
            most.keep_every(most.stride * 2);
        }
        self
    }

    /// Writes what was collected of numbers.
    pub(crate) fn write(&self, out: &mut Writer) {
        out.count(self.features.len());
        self.features.iter().for_each(|feature| out.text(&feature.name));
        out.number(self.rows);
        out.flag(self.given_up);
        out.count(self.accounts.len());
        for account in &self.accounts {
            out.maybe(account.consumer.as_deref(), Writer::text);
            out.number(account.seen);
            out.number(account.stride);
            out.count(account.keys.len());
            for key in &account.keys {
                out.maybe(key.time, |out, time| out.number(time.unix_us() as u64));
                out.maybe(key.event_id.as_deref(), Writer::text);
                out.number(key.place);
                out.number(key.number);
            }
            account.values.iter().for_each(|values| out.doubles(values));
        }
    }

    pub(crate) fn read(written: &mut Written<'_>) -> Option<Self> {
        let mut collector = Self::of_numbers(written.list(8, Written::text)?);
        (collector.rows, collector.given_up) = (written.rows()?, written.flag()?);
        let features = collector.features.len();
        collector.accounts = written.list(25, |written| Account::read(written, features))?;
        Some(collector)
    }

    /// Whether it collects for exactly these.
    pub(crate) fn is_of(&self, names: &[String]) -> bool {
        self.features.iter().map(|feature| &feature.name).eq(names)
    }

    pub(super) fn is_categorical(&self, name: &str) -> bool {
        self.features.iter().any(|feature| feature.name == name && feature.categorical)
    }

    pub(super) fn feature(&self, name: &str) -> Option<usize> {
        self.features.iter().position(|feature| feature.name == name)
    }

    /// The series of every consumer, in the order of their names.
    pub(super) fn series(&self, feature: usize) -> Vec<Series<'_>> {
        let texts = &self.features[feature].texts;
        let mut accounts: Vec<&Account> = self.accounts.iter().collect();
        accounts.sort_by(|a, b| a.consumer.cmp(&b.consumer));
        accounts
            .into_iter()
            .map(|account| {
                let values = &account.values[feature];
                let mut order: Vec<usize> = (0..account.keys.len()).filter(|&row| !values[row].is_nan()).collect();
                order.sort_by_key(|&row| (account.keys[row].time, account.keys[row].place));
                Series {
                    consumer: account.consumer.clone(),
                    values: order.iter().map(|&row| values[row]).collect(),
                    weight: account.stride,
                    keys: order.iter().map(|&row| &account.keys[row]).collect(),
                    texts,
                }
            })
            .collect()
    }

    fn account_of(&mut self, consumer: Option<&str>) -> usize {
        if self.accounts.get(self.last).is_some_and(|account| account.consumer.as_deref() == consumer) {
            return self.last;
        }
        let known = |accounts: &[Account], name: Option<&str>| {
            accounts.iter().position(|account| account.consumer.as_deref() == name)
        };
        let name = match known(&self.accounts, consumer) {
            None if self.accounts.len() >= MAX_CONSUMERS => Some(OTHER_CONSUMERS),
            _ => consumer,
        };
        self.last = known(&self.accounts, name).unwrap_or_else(|| {
            let mut account = Account::new(name.map(str::to_owned), self.features.len());
            if let Some((_, stride)) = self.strides.iter().find(|(consumer, _)| consumer.as_deref() == name) {
                account.stride = *stride;
            }
            self.accounts.push(account);
            self.accounts.len() - 1
        });
        self.last
    }

    fn give_up_beyond_bounds(&mut self) {
        let held: usize = self.accounts.iter().map(|account| account.keys.len() * self.features.len()).sum();
        self.given_up |= self.values_max.is_some_and(|most| held > most);
        if self.given_up {
            self.accounts.iter_mut().for_each(Account::empty);
        }
    }
}

impl Feature {
    /// The values of these rows.
    fn take(&mut self, array: Option<&ArrayRef>, rows: &[(usize, usize)], mut push: impl FnMut(usize, f64)) {
        let Some(array) = array else {
            return rows.iter().for_each(|&(_, account)| push(account, MISSING));
        };
        if *array.data_type() == DataType::Float64 {
            let array = array.as_primitive::<Float64Type>();
            for &(row, account) in rows {
                let value = array.is_valid(row).then(|| array.value(row));
                push(account, value.map_or(MISSING, |value| self.of_number(value)));
            }
            return;
        }
        let array = array.as_string::<i32>();
        for &(row, account) in rows {
            let text = array.is_valid(row).then(|| array.value(row));
            push(account, text.map_or(MISSING, |text| self.of_text(text)));
        }
    }

    fn of_number(&mut self, value: f64) -> f64 {
        if self.categorical { self.category(&crate::dataset::number_text(value)) } else { value }
    }

    fn of_text(&mut self, text: &str) -> f64 {
        if self.categorical {
            return self.category(text);
        }
        match number(text) {
            Parsed::Number { value, .. } => value,
            Parsed::Blank | Parsed::Text => MISSING,
        }
    }

    fn category(&mut self, text: &str) -> f64 {
        if let Some(&number) = self.numbers_of_texts.get(text) {
            return number as f64;
        }
        let number = self.texts.len();
        if number > MAX_TEXTS {
            return MAX_TEXTS as f64;
        }
        self.texts.push(text.to_owned());
        self.numbers_of_texts.insert(text.to_owned(), number);
        number as f64
    }
}

impl Account {
    fn new(consumer: Option<String>, features: usize) -> Self {
        Self { consumer, seen: 0, stride: 1, keys: Vec::new(), values: vec![Vec::new(); features] }
    }

    fn read(written: &mut Written<'_>, features: usize) -> Option<Self> {
        let (consumer, seen, stride) = (written.maybe(Written::text)?, written.rows()?, written.rows()?);
        let key = |written: &mut Written<'_>| {
            Some(RowKey {
                time: written.maybe(Written::rows)?.map(|time| Timestamp::from_unix_us(time as i64)),
                event_id: written.maybe(Written::text)?.map(String::into_boxed_str),
                place: written.rows()?,
                number: written.rows()?,
            })
        };
        let keys = written.list(18, key)?;
        let values: Vec<Vec<f64>> = (0..features).map(|_| written.doubles()).collect::<Option<_>>()?;
        let fits = stride.is_power_of_two() && values.iter().all(|values| values.len() == keys.len());
        fits.then_some(Self { consumer, seen, stride, keys, values })
    }

    fn merge(&mut self, mut next: Self) {
        self.seen += next.seen;
        let stride = self.stride.max(next.stride);
        self.keep_every(stride);
        next.keep_every(stride);
        self.keys.append(&mut next.keys);
        self.values.iter_mut().zip(&mut next.values).for_each(|(mine, theirs)| mine.append(theirs));
        self.thin();
    }

    fn thin(&mut self) {
        while self.keys.len() > MAX_ROWS {
            self.keep_every(self.stride * 2);
        }
    }

    fn keep_every(&mut self, stride: u64) {
        if self.stride == stride {
            return;
        }
        self.stride = stride;
        let kept: Vec<bool> = self.keys.iter().map(|key| key.number.is_multiple_of(stride)).collect();
        let mut keep = kept.iter();
        self.keys.retain(|_| *keep.next().expect("our bug: one for each row"));
        for values in &mut self.values {
            let mut keep = kept.iter();
            values.retain(|_| *keep.next().expect("our bug: one for each row"));
        }
    }

    fn empty(&mut self) {
        self.keys = Vec::new();
        self.values.iter_mut().for_each(|values| *values = Vec::new());
    }
}
