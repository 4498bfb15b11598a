//! The tables of a question: what was named, looked at, sampled, and given its name.
//!
//! | at the address | tables |
//! | --- | --- |
//! | captured lines, an invocation table | `invocations` and `rows`; of `old=URI`: `old.invocations` and `old.rows` |
//! | CSV, JSON Lines, Parquet files | one, called as the file or folder, or as given |
//!
//! Invariant: no two sources make the same table, but that captured lines of several addresses without a name are one.

use std::collections::BTreeMap;
use std::sync::Arc;

use captura_archive::Stores;
use captura_archive::reader::{ReadError, Selection};
use captura_capture::record::{Field, Signature};
use captura_monitor::dataset::{Body, Header, Row, pairs, plain_row, record::Encoding};
use captura_table::Kind;
use datafusion::catalog::{MemorySchemaProvider, TableProvider};
use datafusion::common::TableReference;
use datafusion::prelude::SessionContext;

use crate::account::Account;
use crate::decoding::{Form, header_names};
use crate::error::SqlError;
use crate::inference::{Bodies, Columns, Sample, reconcile};
use crate::listing::parquet;
use crate::pieces::{Chunks, Framing, Object, Piece, records};
use crate::provider::{Lines, objects};
use crate::question::Question;
use crate::source::{CSV, Contents, JSON_LINES, look};

pub(crate) const CATALOG: &str = "captura";
pub(crate) const SCHEMA: &str = "public";
/// Objects of one endpoint, or of plain files, that a sample is taken from.
const SAMPLED_OBJECTS: usize = 16;
const CAPTURES: [&str; 2] = [captura_archive::layout::SUFFIX, captura_archive::layout::SUFFIX_GZIP];

/// What a question can ask.
pub(crate) struct Tables<'q> {
    context: &'q SessionContext,
    stores: &'q Stores,
    question: &'q Question,
    account: &'q Arc<Account>,
    names: Vec<String>,
}

impl<'q> Tables<'q> {
    /// Makes the tables. Without `wants_rows` the half with inputs and outputs, which is dear to find out, is left out.
    ///
    /// # Errors
    /// When an address leads nowhere, holds no table, or makes one that there is already.
    pub(crate) async fn open(
        context: &'q SessionContext,
        stores: &'q Stores,
        question: &'q Question,
        account: &'q Arc<Account>,
        wants_rows: bool,
    ) -> Result<Self, SqlError> {
        let mut tables = Self { context, stores, question, account, names: Vec::new() };
        let mut captured: BTreeMap<Option<&str>, Vec<String>> = BTreeMap::new();
        for from in &question.from {
            let (name, address) = (from.name.as_deref(), from.address.as_str());
            for contents in look(stores, address).await? {
                match contents {
                    Contents::Captures => captured.entry(name).or_default().push(address.to_owned()),
                    Contents::Table(kind, half) => {
                        let table = parquet(context, stores, address, Some(&half)).await?;
                        tables.add(name, kind.as_str(), table)?;
                    }
                    Contents::Parquet => {
                        let table = parquet(context, stores, address, None).await?;
                        tables.add(None, &name.map_or_else(|| stem(address), str::to_owned), table)?;
                    }
                    Contents::Csv => tables.plain(name, address, Framing::Csv).await?,
                    Contents::JsonLines => tables.plain(name, address, Framing::Lines).await?,
                }
            }
        }
        for (name, addresses) in captured {
            tables.captured(name, &addresses, wants_rows).await?;
        }
        Ok(tables)
    }

    pub(crate) fn into_names(self) -> Vec<String> {
        self.names
    }

    fn add(&mut self, schema: Option<&str>, name: &str, table: Arc<dyn TableProvider>) -> Result<(), SqlError> {
        let full = schema.map_or_else(|| name.to_owned(), |schema| format!("{schema}.{name}"));
        if self.names.contains(&full) {
            return Err(SqlError::TwoTables { name: full });
        }
        let refused = |error: datafusion::error::DataFusionError| SqlError::Question(error.strip_backtrace());
        let catalog = self.context.catalog(CATALOG).expect("our bug: the catalog is made with the session");
        let schema = schema.unwrap_or(SCHEMA);
        if catalog.schema(schema).is_none() {
            catalog.register_schema(schema, Arc::new(MemorySchemaProvider::new())).map_err(refused)?;
        }
        self.context.register_table(TableReference::partial(schema, name), table).map_err(refused)?;
        self.names.push(full);
        Ok(())
    }

    async fn captured(&mut self, name: Option<&str>, addresses: &[String], rows: bool) -> Result<(), SqlError> {
        let none = || Signature { inputs: Vec::new(), outputs: Vec::new() };
        let signatures = match &self.question.signature {
            Some(signature) => BTreeMap::from([(String::new(), signature.clone())]),
            None if rows => self.signatures(addresses).await?,
            None => BTreeMap::from([(String::new(), none())]),
        };
        for kind in Kind::ALL {
            let full = name.map_or_else(|| kind.to_string(), |name| format!("{name}.{kind}"));
            if kind == Kind::Rows && !rows {
                self.names.push(full);
                continue;
            }
            let signatures = match kind {
                Kind::Invocations => BTreeMap::from([(String::new(), none())]),
                Kind::Rows => signatures.clone(),
            };
            let (names, naming) = (self.question.names, Arc::clone(&self.question.naming));
            let form = Form::Captured { kind, signatures, names, naming };
            let lines = self.lines(full, addresses.to_vec(), &CAPTURES, form);
            self.add(name, kind.as_str(), lines)?;
        }
        Ok(())
    }

    fn lines(&self, name: String, addresses: Vec<String>, endings: &'static [&'static str], form: Form) -> Arc<Lines> {
        Arc::new(Lines {
            name,
            stores: self.stores.clone(),
            addresses,
            endings,
            schema: form.schema(),
            form: Arc::new(form),
            account: Arc::clone(self.account),
        })
    }

    /// What the models of captured lines take and answer, endpoint by endpoint.
    async fn signatures(&self, addresses: &[String]) -> Result<BTreeMap<String, Signature>, SqlError> {
        let mut by_endpoint: BTreeMap<String, Vec<Arc<Object>>> = BTreeMap::new();
        for object in objects(self.stores, addresses, &Selection::default(), &CAPTURES).await? {
            let endpoint = object.key.as_ref().map_or_else(String::new, |key| key.endpoint.to_string());
            by_endpoint.entry(endpoint).or_default().push(object);
        }
        let mut signatures = BTreeMap::new();
        for (endpoint, objects) in by_endpoint {
            let mut bodies = Bodies::default();
            sample(&objects, Framing::Lines, self.question.sample, |_, line| bodies.note(line, &self.question.naming))
                .await?;
            signatures.insert(endpoint, bodies.signature(&self.question.naming));
        }
        reconcile(&mut signatures);
        Ok(signatures)
    }

    async fn plain(&mut self, name: Option<&str>, address: &str, framing: Framing) -> Result<(), SqlError> {
        let endings: &'static [&'static str] = if framing == Framing::Csv { &CSV } else { &JSON_LINES };
        let objects = objects(self.stores, &[address.to_owned()], &Selection::default(), endings).await?;
        let (mut found, mut has_header, mut header) = (Columns::default(), None, Vec::new());
        let mut first: Option<Vec<u8>> = None;
        sample(&objects, framing, self.question.sample, |is_first, record| {
            if framing == Framing::Lines {
                plain_row(record).into_iter().for_each(|row| found.note(&row));
                return;
            }
            if is_first && has_header.is_none() && first.is_none() {
                first = Some(record.to_vec());
                return;
            }
            if let Some(first) = first.take() {
                // The first row of another file says nothing of this one.
                has_header = Some(is_header(&first, if is_first { &[] } else { record }));
                note_csv(&mut found, &mut header, &first, has_header == Some(true));
            }
            note_csv(&mut found, &mut header, record, is_first && has_header == Some(true));
        })
        .await?;
        if let Some(first) = first {
            has_header = Some(is_header(&first, b""));
            note_csv(&mut found, &mut header, &first, has_header == Some(true));
        }
        let columns = match found.fields("_c") {
            none if none.is_empty() => header.iter().map(|name| text(name)).collect(),
            columns => columns,
        };
        if columns.is_empty() {
            let reason = "there is not one row in it".to_owned();
            return Err(SqlError::Source { address: address.to_owned(), reason });
        }
        let name = name.map_or_else(|| stem(address), str::to_owned);
        let form = Form::Plain { columns, framing, has_header: has_header.unwrap_or_default() };
        let lines = self.lines(name.clone(), vec![address.to_owned()], endings, form);
        self.add(None, &name, lines)
    }
}

fn text(name: &str) -> Field {
    Field { name: name.to_owned(), kind: captura_capture::record::FieldType::String, shape: Vec::new() }
}

/// Records of a sample; each is told with whether it is the first of its object.
async fn sample(
    objects: &[Arc<Object>],
    framing: Framing,
    sample: Sample,
    mut each: impl FnMut(bool, &[u8]),
) -> Result<(), ReadError> {
    let some = if sample == Sample::All { objects.len() } else { objects.len().min(SAMPLED_OBJECTS) };
    let mut left = sample.records();
    for number in 0..some {
        // Spread over all of them, the first and the last included.
        let at = if some == 1 { 0 } else { number * (objects.len() - 1) / (some - 1) };
        let object = Arc::clone(&objects[at]);
        let share = left.div_ceil((some - number) as u64);
        let mut taken = 0;
        let to = object.found.size_bytes;
        let is_cut = framing == Framing::Lines && !object.found.is_gzip() && sample != Sample::All;
        let to = if is_cut { to.min(crate::pieces::CHUNK_BYTES) } else { to };
        let mut chunks = Chunks::open(Piece { object, from: 0, to }, framing).await?;
        while taken < share {
            let Some(chunk) = chunks.next().await? else { break };
            for record in records(&chunk.bytes, framing).filter(|record| !record.bytes.trim_ascii().is_empty()) {
                if taken < share {
                    each(chunk.at + record.at as u64 == 0, record.bytes);
                    taken += 1;
                }
            }
        }
        left -= taken.min(left);
    }
    Ok(())
}

fn each_csv_row(record: &[u8], mut each: impl FnMut(Row<'_>)) {
    let Ok(body) = Body::travelled(Encoding::Csv, None, record) else { return };
    for (row, _) in pairs(Some(&body), None).unwrap_or_default() {
        row.into_iter().for_each(&mut each);
    }
}

/// Takes note of a row of a sample: of its names where it is a header, else of its cells.
fn note_csv(found: &mut Columns, header: &mut Vec<String>, record: &[u8], is_header: bool) {
    if is_header {
        *header = header_names(record);
        return;
    }
    each_csv_row(record, |mut row| {
        if row.cells.len() == header.len() {
            row.names = header.iter().cloned().map(Some).collect();
        }
        if header.is_empty() || !row.names.is_empty() {
            found.note(&row);
        }
    });
}

/// Whether a file that begins with these two rows begins with names, as analyses take it.
fn is_header(first: &[u8], second: &[u8]) -> bool {
    let first = first.strip_prefix(b"\xef\xbb\xbf").unwrap_or(first);
    Header::Auto.is_at([first, b"\n", second].concat().as_slice())
}

/// What a file or folder is called, as a name that needs no quotes.
fn stem(address: &str) -> String {
    let last = address.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let stem = last.split('.').find(|part| !part.is_empty()).unwrap_or("data");
    let letter = |letter: char| if letter.is_ascii_alphanumeric() { letter.to_ascii_lowercase() } else { '_' };
    let name: String = stem.chars().map(letter).collect();
    if name.starts_with(|first: char| first.is_ascii_digit()) { format!("_{name}") } else { name }
}

#[cfg(test)]
mod unit {
    use super::stem;

    #[test]
    fn tables_are_called_as_their_files() {
        for (address, name) in [
            ("s3://a/b/Labels 2.csv.gz", "labels_2"),
            ("/x/2026.parquet", "_2026"),
            ("./lake/", "lake"),
            ("../", "data"),
        ] {
            assert_eq!(stem(address), name, "{address}");
        }
    }
}
