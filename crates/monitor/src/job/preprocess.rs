//! A user's `preprocess_handler` over captured records, before any job reads them.
//!
//! ```text
//! captured records ── door ──▶ rows for each ──▶ the same records with those rows as their body, in a scratch folder ──▶ any job
//! ```
//! It is done once, however often a job reads its data. What a record says of its call stays as it was; calls that nobody asked for or the
//! model did not answer, and lines that are no records, are handed on untouched, so that they are counted where all such are.
//!
//! Invariant: records keep their order, and every record is handed on, left out or counted as failed. Refuses to: run a script
//! itself, or take tables for records.

use captura_archive::Stores;
use captura_archive::document;
use captura_archive::reader::{OBJECT_SIZE_MAX_BYTES, Selection};
use serde_json::{Value, json};

use super::passes::open;
use super::pieces::is_captures;
use super::{JobError, Source, Summary};
use crate::dataset::record::CapturedRecord;
use crate::dataset::{BadRecord, MAX_DESCRIBED, Scope};
use crate::notes;

/// Records that are handed over at once.
const BATCH_RECORDS: usize = 1_024;

/// What was made of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Preprocessed {
    /// A JSON list of rows: objects of named cells, or lists of cells.
    Rows(String),
    /// It is left out.
    Skipped,
    /// It could not be handled, and why.
    Failed(String),
}

/// Who runs the script: a process, or a function in tests.
pub trait RecordPreprocessor: Send {
    /// What becomes of these records, each a captured line, in their order.
    ///
    /// # Errors
    /// When no record can be handled any more; in words for a person.
    fn handle(&mut self, records: &[&[u8]]) -> Result<Vec<Preprocessed>, String>;
}

/// What became of the records.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PreprocessAccount {
    /// Records that were handed over.
    pub records: u64,
    /// Records that were left out.
    pub skipped: u64,
    /// Records on which the script failed.
    pub failed: u64,
    /// The first of those.
    pub described: Vec<BadRecord>,
}

impl PreprocessAccount {
    /// Counts records that never came to a job as its bad ones.
    pub fn add_to(self, summary: &mut Summary) {
        summary.records += self.failed;
        summary.bad += self.failed;
        if self.failed > 0 {
            summary.notes.push(notes::PREPROCESSOR_FAILED.say(&[&self.failed.to_string(), &self.records.to_string()]));
        }
        if self.skipped > 0 {
            summary
                .notes
                .push(notes::PREPROCESSOR_LEFT_OUT.say(&[&self.skipped.to_string(), &self.records.to_string()]));
        }
        summary.described.splice(0..0, self.described);
        summary.described.truncate(MAX_DESCRIBED);
    }
}

/// Has all captured records of a source handled, and gives a source of what came of them, below `scratch`.
///
/// # Errors
/// When something cannot be read or written, an object is a table, the script cannot go on, or no row is left.
pub async fn preprocess(
    stores: &Stores,
    source: &Source,
    preprocessor: &mut dyn RecordPreprocessor,
    scratch: &str,
) -> Result<(Source, PreprocessAccount), JobError> {
    let (mut account, mut all) = (PreprocessAccount::default(), Untouched::default());
    let mut rows = 0;
    for (place, object) in open(stores, source).await?.into_iter().enumerate() {
        let bytes = object.fetch().await?;
        if !is_captures(&object.address, &bytes) {
            let address = object.address;
            return Err(JobError::Script(format!(
                "a record preprocessor is for captured records, and {address} is a table"
            )));
        }
        let mut handling = Handling {
            preprocessor: &mut *preprocessor,
            scope: &source.scope,
            address: &object.address,
            account: &mut account,
            out: Vec::new(),
        };
        rows += handling.object(&bytes, &mut all)?;
        document::write(stores, &format!("{scratch}/{place:08}.jsonl"), handling.out.into()).await?;
    }
    if rows == 0 {
        let first = match account.described.first() {
            Some(bad) => {
                format!("; the record preprocessor failed first on {} line {}: {}", bad.source, bad.line, bad.reason)
            }
            None => format!("; the record preprocessor left out {}", account.skipped),
        };
        let Untouched { unanswered, outside } = all;
        let records = account.records + unanswered;
        return Err(JobError::NoRows { records, bad: account.failed, unanswered, outside, first });
    }
    let addresses = vec![scratch.to_owned()];
    // What is kept of objects is kept beside them, and these go.
    let source = Source {
        addresses,
        selection: Selection::default(),
        keeps_profiles: false,
        // The script names what it returns.
        naming: Default::default(),
        ..source.clone()
    };
    Ok((source, account))
}

/// Records that are handed on as they came.
#[derive(Default)]
struct Untouched {
    unanswered: u64,
    outside: u64,
}

/// One object on its way.
struct Handling<'a> {
    preprocessor: &'a mut dyn RecordPreprocessor,
    scope: &'a Scope,
    address: &'a str,
    account: &'a mut PreprocessAccount,
    out: Vec<u8>,
}

impl Handling<'_> {
    /// How many records were handed on with rows.
    fn object(&mut self, bytes: &[u8], untouched: &mut Untouched) -> Result<u64, JobError> {
        let mut handed_on = 0;
        let mut batch: Vec<(u64, &[u8])> = Vec::with_capacity(BATCH_RECORDS);
        for (number, line) in (1..).zip(bytes.split(|&byte| byte == b'\n')) {
            let line = line.trim_ascii();
            if line.is_empty() {
                continue;
            }
            match CapturedRecord::parse(line) {
                Ok(record) if !self.scope.has(&record) => {
                    untouched.outside += 1;
                    self.line(line)?;
                }
                Ok(record) if record.answered() => batch.push((number, line)),
                Ok(_) => {
                    untouched.unanswered += 1;
                    self.line(line)?;
                }
                Err(_) => self.line(line)?,
            }
            if batch.len() == BATCH_RECORDS {
                handed_on += self.batch(&batch)?;
                batch.clear();
            }
        }
        handed_on += self.batch(&batch)?;
        Ok(handed_on)
    }

    fn batch(&mut self, batch: &[(u64, &[u8])]) -> Result<u64, JobError> {
        let lines: Vec<&[u8]> = batch.iter().map(|(_, line)| *line).collect();
        let handled = self.preprocessor.handle(&lines).map_err(JobError::Script)?;
        assert_eq!(handled.len(), batch.len(), "our bug: every record has an answer");
        self.account.records += batch.len() as u64;
        let mut handed_on = 0;
        for ((number, line), handled) in batch.iter().zip(handled) {
            match handled {
                Preprocessed::Rows(rows) => {
                    handed_on += 1;
                    self.line(&with_rows(line, &rows))?;
                }
                Preprocessed::Skipped => self.account.skipped += 1,
                Preprocessed::Failed(reason) => {
                    self.account.failed += 1;
                    if self.account.described.len() < MAX_DESCRIBED {
                        let source = self.address.to_owned();
                        let reason = format!("preprocess_handler: {reason}");
                        self.account.described.push(BadRecord { source, line: *number, reason });
                    }
                }
            }
        }
        Ok(handed_on)
    }

    fn line(&mut self, line: &[u8]) -> Result<(), JobError> {
        if (self.out.len() + line.len()) as u64 > OBJECT_SIZE_MAX_BYTES {
            return Err(JobError::Script(format!(
                "the record preprocessor makes more than {OBJECT_SIZE_MAX_BYTES} bytes of {}",
                self.address
            )));
        }
        self.out.extend_from_slice(line);
        self.out.push(b'\n');
        Ok(())
    }
}

/// The record with these rows in the place of its bodies.
fn with_rows(line: &[u8], rows: &str) -> Vec<u8> {
    let mut record: Value = serde_json::from_slice(line).expect("our bug: it was a record a moment ago");
    record["captureData"] = json!({ "endpointOutput": {
        "observedContentType": "application/json", "mode": "OUTPUT", "data": rows, "encoding": "JSON",
    } });
    record.to_string().into_bytes()
}
