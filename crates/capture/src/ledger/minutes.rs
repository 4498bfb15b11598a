//! The book by the minute: what was invoked, kept, left out and lost in each minute, for as long as people ask.
//!
//! In `journal/minutes/`, one file a day (UTC), a JSON line for each account that changed in a minute:
//!
//! ```text
//! {"m":29402345,"e":"churn","v":"AllTraffic","c":[…],"f":0,"p":12}
//! ```
//! `m` minutes since 1970, `c` the account's counters since ever, `f` in flight, `p` pending in the journal. Counters are
//! absolute, so a line that is lost costs resolution and no count; every file begins with all accounts as the day found
//! them. What a killed process had not written yet is written by the next start for the minute in which it died.
//!
//! Invariant: over any stretch of minutes `invoked = captured + sampled out + dropped + change of in flight`, and
//! `captured = uploaded + … + change of pending`.
//! Refuses to: grow without bound: [`DAYS_KEPT`] days, [`ROWS_MAX`] rows in an answer.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};

use captura_names::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    Account, CAPTURED, COUNTERS, Counters, DROPPED, DropReason, ERASED, EVICTED, EXPIRED, INVOKED, QUARANTINED,
    REFUSED, SAMPLED_OUT, UPLOADED,
};
use crate::journal::book::counters_of;

/// Below the journal: the folder of the minutes.
pub const FOLDER: &str = "minutes";
/// Days that are kept, today included.
pub const DAYS_KEPT: i64 = 90;
/// Most rows of one answer; coarser steps make fewer.
pub const ROWS_MAX: usize = 200_000;
const MINUTES_A_DAY: i64 = 24 * 60;
const MINUTE_US: i64 = 60_000_000;
const SUFFIX: &str = ".jsonl";

/// The minute of a time.
#[must_use]
pub fn minute_of(time: Timestamp) -> i64 {
    time.unix_us().div_euclid(MINUTE_US)
}

/// When a minute begins.
#[must_use]
pub fn time_of(minute: i64) -> Timestamp {
    Timestamp::from_unix_us(minute.saturating_mul(MINUTE_US))
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Line {
    m: i64,
    e: String,
    v: String,
    c: Vec<u64>,
    f: u64,
    p: u64,
}

impl Line {
    fn of(minute: i64, account: &Account) -> Self {
        Self {
            m: minute,
            e: account.endpoint.clone(),
            v: account.variant.clone(),
            c: counters_of(account).1.to_vec(),
            f: account.in_flight,
            p: account.local_pending,
        }
    }

    /// Counters of an older captura are fewer.
    fn counters(&self) -> Counters {
        std::array::from_fn(|counter| self.c.get(counter).copied().unwrap_or(0))
    }

    fn is_same(&self, other: &Self) -> bool {
        (&self.c, self.f, self.p) == (&other.c, other.f, other.p)
    }
}

type Name = (String, String);

/// Writes the minutes of a running journal.
#[derive(Debug)]
pub(crate) struct Minutes {
    folder: PathBuf,
    day: i64,
    known: HashMap<Name, Line>,
}

impl Minutes {
    /// Takes up what is there.
    pub(crate) fn open(journal: &Path) -> io::Result<Self> {
        let folder = journal.join(FOLDER);
        std::fs::create_dir_all(&folder)?;
        let days = days(&folder)?;
        let mut minutes = Self { folder, day: days.last().copied().unwrap_or(i64::MIN), known: HashMap::new() };
        if let Some(day) = days.last() {
            cut_torn_end(&minutes.path(*day))?;
            for line in lines(&minutes.path(*day))? {
                minutes.known.insert((line.e.clone(), line.v.clone()), line);
            }
        }
        Ok(minutes)
    }

    fn path(&self, day: i64) -> PathBuf {
        path(&self.folder, day)
    }

    /// Writes the accounts as they stand at the end of `minute`, those that changed. Durable when this returns.
    pub(crate) fn write(&mut self, minute: i64, accounts: &[Account]) -> io::Result<()> {
        let day = minute.div_euclid(MINUTES_A_DAY);
        let mut text = Vec::new();
        // A day does not begin again, whatever the clock does.
        let day = day.max(self.day);
        if day > self.day {
            for line in self.known.values() {
                put(&mut text, line);
            }
        }
        let mut changed = Vec::new();
        for account in accounts {
            let line = Line::of(minute, account);
            let name = (line.e.clone(), line.v.clone());
            if self.known.get(&name).is_none_or(|known| !known.is_same(&line)) {
                put(&mut text, &line);
                changed.push((name, line));
            }
        }
        if !text.is_empty() {
            let mut file = File::options().create(true).append(true).open(self.path(day))?;
            file.write_all(&text)?;
            file.sync_data()?;
        }
        if day > self.day {
            File::open(&self.folder)?.sync_all()?;
            self.day = day;
            self.forget_old(day);
        }
        self.known.extend(changed);
        Ok(())
    }

    fn forget_old(&self, today: i64) {
        for day in days(&self.folder).unwrap_or_default() {
            if day <= today - DAYS_KEPT
                && let Err(error) = std::fs::remove_file(self.path(day))
            {
                tracing::warn!(%error, "an old day of the ledger cannot be removed");
            }
        }
    }
}

fn put(text: &mut Vec<u8>, line: &Line) {
    serde_json::to_writer(&mut *text, line).expect("our bug: a line holds only text and numbers");
    text.push(b'\n');
}

fn path(folder: &Path, day: i64) -> PathBuf {
    let date = time_of(day * MINUTES_A_DAY).to_string();
    folder.join(format!("{}{SUFFIX}", &date[..10.min(date.len())]))
}

/// Days that have a file, ascending.
fn days(folder: &Path) -> io::Result<Vec<i64>> {
    let mut days = Vec::new();
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(days),
        entries => entries?,
    };
    for entry in entries {
        let name = entry?.file_name();
        let date = name.to_str().and_then(|name| name.strip_suffix(SUFFIX));
        let time = date.and_then(|date| Timestamp::parse(&format!("{date}T00:00:00Z")).ok());
        days.extend(time.map(|time| minute_of(time).div_euclid(MINUTES_A_DAY)));
    }
    days.sort_unstable();
    Ok(days)
}

/// A write that was cut off left half a line.
fn cut_torn_end(path: &Path) -> io::Result<()> {
    let bytes = std::fs::read(path)?;
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    if whole < bytes.len() {
        File::options().write(true).open(path)?.set_len(whole as u64)?;
    }
    Ok(())
}

fn lines(path: &Path) -> io::Result<Vec<Line>> {
    let mut found = Vec::new();
    for line in BufReader::new(File::open(path)?).lines() {
        // A damaged line costs resolution only.
        found.extend(serde_json::from_str::<Line>(&line?).ok());
    }
    Ok(found)
}

/// Which minutes, and how they are put together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MinuteQuery {
    /// The first minute.
    pub from: i64,
    /// The minute after the last.
    pub to: i64,
    /// Minutes that make a row; at least one.
    pub step: i64,
    /// Only this endpoint.
    pub endpoint: Option<String>,
}

/// What happened in one row's minutes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct MinuteRow {
    /// Endpoint.
    pub endpoint: String,
    /// Variant.
    pub variant: String,
    /// When the first of its minutes began.
    pub from: String,
    /// Calls that passed the door.
    pub invoked: u64,
    /// Calls whose record entered the journal.
    pub captured: u64,
    /// Calls that the sample left out.
    pub sampled_out: u64,
    /// Calls whose record was lost, by reason; only reasons that occurred.
    pub dropped: BTreeMap<DropReason, u64>,
    /// How many more calls were in flight at the end than before.
    pub in_flight: i64,
    /// Records confirmed in the object store.
    pub uploaded: u64,
    /// How many more records were in the journal at the end than before.
    pub local_pending: i64,
    /// Records removed because their retention was over.
    pub expired: u64,
    /// Records removed because a person asked.
    pub erased: u64,
    /// Records found damaged.
    pub quarantined: u64,
    /// Records removed to make room.
    pub evicted: u64,
    /// Calls refused before the model ran; no invocations.
    pub refused: u64,
}

impl MinuteRow {
    fn add(&mut self, before: &Line, after: &Line) {
        let (old, new) = (before.counters(), after.counters());
        let grown = |counter: usize| new[counter].saturating_sub(old[counter]);
        self.invoked += grown(INVOKED);
        self.captured += grown(CAPTURED);
        self.sampled_out += grown(SAMPLED_OUT);
        self.uploaded += grown(UPLOADED);
        self.expired += grown(EXPIRED);
        self.erased += grown(ERASED);
        self.quarantined += grown(QUARANTINED);
        self.evicted += grown(EVICTED);
        self.refused += grown(REFUSED);
        for reason in DropReason::ALL {
            let dropped = grown(DROPPED + reason as usize);
            if dropped > 0 {
                *self.dropped.entry(reason).or_default() += dropped;
            }
        }
        self.in_flight += after.f.cast_signed() - before.f.cast_signed();
        self.local_pending += after.p.cast_signed() - before.p.cast_signed();
    }

    /// Records lost for any reason.
    #[must_use]
    pub fn dropped_total(&self) -> u64 {
        self.dropped.values().sum()
    }

    /// What the two identities miss; 0 when they hold.
    #[must_use]
    pub fn imbalance(&self) -> u64 {
        let ended = (self.captured + self.sampled_out + self.dropped_total()).cast_signed() + self.in_flight;
        let gone = self.uploaded + self.expired + self.erased + self.quarantined + self.evicted;
        let kept = gone.cast_signed() + self.local_pending;
        self.invoked.cast_signed().abs_diff(ended) + self.captured.cast_signed().abs_diff(kept)
    }
}

/// The answer to a [`MinuteQuery`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct MinuteBook {
    /// In the order of time, endpoint, variant.
    pub rows: Vec<MinuteRow>,
    /// Whether there are more than fit.
    pub truncated: bool,
    /// The first minute that is kept, as a time; earlier ones are gone or never were. `None` when there are none.
    pub kept_since: Option<String>,
}

/// Reads the minutes of a journal's folder, of a running server or a stopped one. `now` are the accounts as they stand,
/// where somebody knows, with the minute that has begun.
///
/// # Errors
/// When the files cannot be read.
pub fn read(journal: &Path, query: &MinuteQuery, now: Option<(i64, &[Account])>) -> io::Result<MinuteBook> {
    let folder = journal.join(FOLDER);
    let days = days(&folder)?;
    let mut sums = Sums { query, known: HashMap::new(), rows: BTreeMap::new(), truncated: false };
    let first = query.from.div_euclid(MINUTES_A_DAY);
    let last = (query.to - 1).div_euclid(MINUTES_A_DAY);
    // The last day before the stretch that has a file tells how accounts stood, where the first day has none.
    let start = days.iter().copied().filter(|day| *day <= first).max().unwrap_or(first);
    for day in days.iter().copied().filter(|day| (start..=last).contains(day)) {
        for line in lines(&path(&folder, day))? {
            sums.take(line);
        }
    }
    for account in now.iter().flat_map(|(minute, accounts)| accounts.iter().map(move |account| (minute, account))) {
        sums.take(Line::of(*account.0, account.1));
    }
    let mut rows = Vec::with_capacity(sums.rows.len());
    for ((start, ..), mut row) in sums.rows {
        row.from = time_of(start).to_string();
        rows.push(row);
    }
    let kept_since = days.first().map(|day| time_of(day * MINUTES_A_DAY).to_string());
    Ok(MinuteBook { rows, truncated: sums.truncated, kept_since })
}

struct Sums<'a> {
    query: &'a MinuteQuery,
    known: HashMap<Name, Line>,
    rows: BTreeMap<(i64, String, String), MinuteRow>,
    truncated: bool,
}

impl Sums<'_> {
    fn take(&mut self, line: Line) {
        if self.query.endpoint.as_ref().is_some_and(|endpoint| *endpoint != line.e) {
            return;
        }
        let name = (line.e.clone(), line.v.clone());
        let nothing = Line { m: 0, e: String::new(), v: String::new(), c: vec![0; COUNTERS], f: 0, p: 0 };
        let before = self.known.get(&name).unwrap_or(&nothing);
        if (self.query.from..self.query.to).contains(&line.m) && !before.is_same(&line) {
            let step = self.query.step.max(1);
            let start = self.query.from + (line.m - self.query.from).div_euclid(step) * step;
            let key = (start, name.0.clone(), name.1.clone());
            if self.rows.len() < ROWS_MAX || self.rows.contains_key(&key) {
                let row = self.rows.entry(key).or_insert_with(|| MinuteRow {
                    endpoint: name.0.clone(),
                    variant: name.1.clone(),
                    ..MinuteRow::default()
                });
                row.add(before, &line);
            } else {
                self.truncated = true;
            }
        }
        self.known.insert(name, line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(endpoint: &str, invoked: u64, captured: u64, in_flight: u64, uploaded: u64) -> Account {
        Account {
            endpoint: endpoint.into(),
            variant: "v".into(),
            invoked,
            captured,
            sampled_out: invoked - captured - in_flight,
            in_flight,
            uploaded,
            local_pending: captured - uploaded,
            ..Account::default()
        }
    }

    fn all(from: i64, to: i64, step: i64) -> MinuteQuery {
        MinuteQuery { from, to, step, endpoint: None }
    }

    fn told(book: &MinuteBook) -> Vec<(String, String, u64, u64, i64)> {
        assert!(book.rows.iter().all(|row| row.imbalance() == 0), "{book:?}");
        let row = |row: &MinuteRow| {
            (row.from[11..16].to_owned(), row.endpoint.clone(), row.invoked, row.captured, row.in_flight)
        };
        book.rows.iter().map(row).collect()
    }

    /// 23:58 of a day.
    const START: i64 = 20_000 * MINUTES_A_DAY - 2;

    #[test]
    fn minutes_tell_what_changed_in_each_across_days_and_restarts() {
        let dir = tempfile::tempdir().unwrap();
        let mut minutes = Minutes::open(dir.path()).unwrap();
        minutes.write(START, &[account("a", 10, 8, 1, 0), account("b", 1, 1, 0, 1)]).unwrap();
        minutes.write(START + 1, &[account("a", 10, 9, 0, 8), account("b", 1, 1, 0, 1)]).unwrap();
        minutes.write(START + 2, &[account("a", 12, 11, 0, 8), account("b", 1, 1, 0, 1)]).unwrap();
        drop(minutes);
        let mut minutes = Minutes::open(dir.path()).unwrap();
        minutes.write(START + 3, &[account("a", 12, 11, 0, 8), account("b", 4, 4, 0, 1)]).unwrap();
        let row = |at: &str, endpoint: &str, invoked, captured, in_flight| {
            (at.to_owned(), endpoint.to_owned(), invoked, captured, in_flight)
        };
        let book = read(dir.path(), &all(START, START + 10, 1), None).unwrap();
        let expected = [
            row("23:58", "a", 10, 8, 1),
            row("23:58", "b", 1, 1, 0),
            row("23:59", "a", 0, 1, -1),
            row("00:00", "a", 2, 2, 0),
            row("00:01", "b", 3, 3, 0),
        ];
        assert_eq!(told(&book), expected);
        // A day of its own begins with how accounts stood.
        let book = read(dir.path(), &all(START + 2, START + 10, 5), None).unwrap();
        assert_eq!(told(&book), [row("00:00", "a", 2, 2, 0), row("00:00", "b", 3, 3, 0)]);
        let now = [account("b", 9, 9, 0, 1)];
        let only = MinuteQuery { endpoint: Some("b".into()), ..all(START + 3, START + 10, 1) };
        let book = read(dir.path(), &only, Some((START + 5, &now))).unwrap();
        assert_eq!(told(&book), [row("00:01", "b", 3, 3, 0), row("00:03", "b", 5, 5, 0)]);
    }

    #[test]
    fn a_torn_end_costs_no_count_and_old_days_go() {
        let dir = tempfile::tempdir().unwrap();
        let mut minutes = Minutes::open(dir.path()).unwrap();
        minutes.write(START, &[account("a", 10, 10, 0, 0)]).unwrap();
        drop(minutes);
        let folder = dir.path().join(FOLDER);
        let file = std::fs::read_dir(&folder).unwrap().next().unwrap().unwrap().path();
        let mut torn = std::fs::read(&file).unwrap();
        torn.extend(b"{\"m\":1,\"e\":\"a");
        std::fs::write(&file, torn).unwrap();
        let mut minutes = Minutes::open(dir.path()).unwrap();
        minutes.write(START + 1, &[account("a", 15, 15, 0, 0)]).unwrap();
        let book = read(dir.path(), &all(START, START + 2, 60), None).unwrap();
        assert_eq!((book.rows.len(), book.rows[0].invoked), (1, 15));
        minutes.write(START + DAYS_KEPT * MINUTES_A_DAY + 2, &[account("a", 16, 16, 0, 0)]).unwrap();
        assert_eq!(days(&folder).unwrap().len(), 1);
        let later = START + DAYS_KEPT * MINUTES_A_DAY;
        let book = read(dir.path(), &all(later, later + 5, 1), None).unwrap();
        assert_eq!(book.rows.iter().map(|row| row.invoked).sum::<u64>(), 1, "a new day knows how the old ones ended");
    }
}
