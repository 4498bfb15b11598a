//! Clarify's data set as one table, whatever it is written as: lines of JSON lists in the job's own folder, which bias and
//! explanations read.
//!
//! | `dataset_type` | rows |
//! | --- | --- |
//! | `text/csv`, `application/x-parquet` | as they are |
//! | `application/jsonlines` | a line each: what `features` finds (JMESPath), then `label` and `predicted_label`; without `features` a line's members by name |
//! | `application/json` | of one document, `features` finds a list of lists, `label` and `predicted_label` lists |
//!
//! Facets and predictions in files of their own become columns, by place or by `joinsource_name_or_index`.
//!
//! Invariant: every row has as many cells as there are names; what is no such row is left out and counted. Refuses to: hold the
//! data set in memory, but for files that are joined to it.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use captura_attribution::jmespath::Expression;
use captura_monitor::dataset::{Cell, Header, Row, TableForm, each_table_row};
use captura_monitor::job::Source;
use serde_json::{Number, Value};

use crate::job::Job;
use crate::{Failure, captures, clarify};

/// Largest file, bytes.
const FILE_MAX_BYTES: usize = 1 << 30;
/// Rows of a file that is joined to the data set, at most.
const JOINED_ROWS_MAX: usize = 20_000_000;

/// A table in the job's folder.
pub(crate) struct Table {
    pub(crate) names: Vec<String>,
    path: PathBuf,
    pub(crate) rows: u64,
    bad: u64,
    first_bad: Option<String>,
}

/// Where the parts of a row of JSON are.
struct Places {
    features: Expression,
    /// Label and predicted label, with what they are called where headers do not say.
    others: Vec<(String, Expression)>,
}

impl Table {
    /// The data set of the configuration.
    pub(crate) fn read(job: &Job, file: &Value) -> Result<Self, Failure> {
        let mut table = Writing::new(job, "dataset", strings(file, "headers"))?;
        let kind = file.get("dataset_type").and_then(Value::as_str).unwrap_or("text/csv");
        let places = Places::of(file)?;
        for path in clarify::data(job)? {
            let bytes = read(&path)?;
            match (kind, &places) {
                ("text/csv", _) => table.rows(&path, TableForm::Csv(Header::Auto), &bytes)?,
                ("application/x-parquet", _) => table.rows(&path, TableForm::Parquet, &bytes)?,
                ("application/jsonlines", None) => table.rows(&path, TableForm::JsonLines, &bytes)?,
                ("application/jsonlines", Some(places)) => table.lines(&path, places, &bytes)?,
                ("application/json", Some(places)) => table.document(&path, places, &bytes)?,
                ("application/json", None) => {
                    return Err(Failure::Request(
                        "analysis_config.json has the dataset_type application/json and no features: say by JMESPath where \
                         in the document they are"
                            .to_owned(),
                    ));
                }
                (other, _) => {
                    return Err(Failure::Unsupported(format!(
                        "analysis_config.json has the dataset_type {other}; the built-in analyser reads text/csv, \
                         application/jsonlines, application/json and application/x-parquet"
                    )));
                }
            }
        }
        table.finish()
    }

    /// The same as what jobs read.
    pub(crate) fn source(&self) -> Source {
        Source {
            addresses: vec![self.path.display().to_string()],
            header: Header::No,
            names: Some(self.names.clone()),
            ..Source::default()
        }
    }

    /// What a person should know of it.
    pub(crate) fn note(&self) -> Option<String> {
        let first = self.first_bad.as_ref()?;
        Some(format!("{} rows of the dataset could not be used; the first: {first}", self.bad))
    }

    /// The place of a column, by its name or place.
    pub(crate) fn place(&self, column: &str) -> Option<usize> {
        let by_name = self.names.iter().position(|name| name == column);
        by_name.or_else(|| column.parse().ok().filter(|place| *place < self.names.len()))
    }

    /// Its rows, one after the other.
    pub(crate) fn lines(&self) -> Result<impl Iterator<Item = Result<Vec<Value>, Failure>> + use<>, Failure> {
        let path = self.path.display().to_string();
        let failed = move |reason| Failure::File { path: path.clone(), reason };
        let file = std::fs::File::open(&self.path).map_err(&failed)?;
        let cells = move |line: std::io::Result<String>| {
            serde_json::from_str(&line.map_err(&failed)?).map_err(|error| failed(error.into()))
        };
        Ok(BufReader::new(file).lines().map(cells))
    }

    /// The table with further columns; `more` has their cells row by row.
    pub(crate) fn with(
        self,
        job: &Job,
        folder: &str,
        names: Vec<String>,
        mut more: impl FnMut(u64, &[Value]) -> Result<Vec<Value>, Failure>,
    ) -> Result<Self, Failure> {
        if let Some(name) = names.iter().find(|name| self.names.contains(name)) {
            return Err(Failure::Request(format!(
                "the dataset has the column {name} twice: once in itself, once beside it"
            )));
        }
        let mut table = Writing::new(job, folder, [self.names.clone(), names].concat())?;
        for (row, cells) in (0..).zip(self.lines()?) {
            let mut cells = cells?;
            cells.extend(more(row, &cells)?);
            table.line(&cells)?;
        }
        (table.bad, table.first_bad) = (self.bad, self.first_bad.clone());
        std::fs::remove_file(&self.path).map_err(|reason| Failure::File { path: folder.to_owned(), reason })?;
        table.finish()
    }

    /// The table with the columns of another one, found by place, or by the column that both have.
    pub(crate) fn joined(self, job: &Job, beside: &Beside<'_>) -> Result<(Self, Vec<String>), Failure> {
        let other = Other::read(job, beside)?;
        let names = other.names.clone();
        let key = match beside.key {
            None if other.rows.len() as u64 != self.rows => {
                return Err(Failure::Request(format!(
                    "{} has {} rows, and the dataset {}; say with joinsource_name_or_index which of them belong together",
                    beside.member,
                    other.rows.len(),
                    self.rows
                )));
            }
            None => None,
            Some(key) => Some(self.place(key).ok_or_else(|| {
                Failure::Request(format!("joinsource_name_or_index is {key}, which is no column of the dataset"))
            })?),
        };
        let member = beside.member;
        let table = self.with(job, member, names.clone(), |row, cells| {
            let found = match key {
                None => usize::try_from(row).ok(),
                Some(place) => other.by_key.get(&as_text(&cells[place])).copied(),
            };
            found.and_then(|place| other.rows.get(place)).cloned().ok_or_else(|| {
                let key = key.map_or_else(|| row.to_string(), |place| as_text(&cells[place]));
                Failure::Request(format!("{member} has nothing for the row {key} of the dataset"))
            })
        })?;
        Ok((table, names))
    }
}

/// A file beside the data set.
pub(crate) struct Beside<'a> {
    /// The member of the configuration that names it.
    pub(crate) member: &'static str,
    /// Where it is in the job's folder.
    pub(crate) folder: &'a str,
    pub(crate) headers: Vec<String>,
    /// The column that tells which rows belong together.
    pub(crate) key: Option<&'a str>,
}

/// The rows of a file beside the data set.
struct Other {
    names: Vec<String>,
    rows: Vec<Vec<Value>>,
    by_key: HashMap<String, usize>,
}

impl Other {
    fn read(job: &Job, beside: &Beside<'_>) -> Result<Self, Failure> {
        let files = job.files(beside.folder)?;
        if files.is_empty() {
            return Err(Failure::Request(format!("{} leads to no file", beside.member)));
        }
        let mut table = Writing::new(job, "beside", beside.headers.clone())?;
        for path in files {
            table.rows(&path, TableForm::Csv(Header::Auto), &read(&path)?)?;
        }
        let table = table.finish()?;
        if let Some(note) = table.note() {
            return Err(Failure::Request(format!("{}: {note}", beside.member)));
        }
        if table.rows > JOINED_ROWS_MAX as u64 {
            return Err(Failure::Request(format!("{} has more than {JOINED_ROWS_MAX} rows", beside.member)));
        }
        let key = beside.key.map(|key| {
            table.place(key).ok_or_else(|| {
                Failure::Request(format!("joinsource_name_or_index is {key}, which is no column of {}", beside.member))
            })
        });
        let key = key.transpose()?;
        let (mut rows, mut by_key) = (Vec::new(), HashMap::new());
        for cells in table.lines()? {
            let mut cells = cells?;
            if let Some(place) = key {
                let key = as_text(&cells.remove(place));
                if by_key.insert(key.clone(), rows.len()).is_some() {
                    return Err(Failure::Request(format!("{} has the row {key} twice", beside.member)));
                }
            }
            rows.push(cells);
        }
        let mut names = table.names;
        if let Some(place) = key {
            names.remove(place);
        }
        Ok(Self { names, rows, by_key })
    }
}

impl Places {
    /// Nothing where rows are as they are.
    fn of(file: &Value) -> Result<Option<Self>, Failure> {
        let path = |member: &str| match file.get(member).and_then(Value::as_str) {
            None => Ok(None),
            Some(text) => text.parse::<Expression>().map(|path| Some((text.to_owned(), path))).map_err(|why| {
                Failure::Request(format!("analysis_config.json has a {member} that is no JMESPath: {why}"))
            }),
        };
        let Some((_, features)) = path("features")? else { return Ok(None) };
        let others = [path("label")?, path("predicted_label")?].into_iter().flatten().collect();
        Ok(Some(Self { features, others }))
    }
}

/// A table that is being written.
struct Writing {
    names: Vec<String>,
    /// Whether the names are those of the configuration.
    are_given: bool,
    path: PathBuf,
    out: BufWriter<std::fs::File>,
    rows: u64,
    bad: u64,
    first_bad: Option<String>,
}

impl Writing {
    fn new(job: &Job, folder: &str, names: Vec<String>) -> Result<Self, Failure> {
        let path = job.scratch(folder)?.join("rows.jsonl");
        let file = std::fs::File::create(&path).map_err(|reason| Failure::File { path: folder.to_owned(), reason })?;
        let are_given = !names.is_empty();
        Ok(Self { names, are_given, path, out: BufWriter::new(file), rows: 0, bad: 0, first_bad: None })
    }

    /// Adds the rows of a file; cells with names find their column by them.
    fn rows(&mut self, path: &str, form: TableForm, bytes: &[u8]) -> Result<(), Failure> {
        let mut failed = Ok(());
        each_table_row(form, bytes, |number, row| {
            if failed.is_err() {
                return;
            }
            match row.and_then(|row| self.laid(&row)) {
                Ok(cells) => failed = self.line(&cells),
                Err(reason) => self.describe(path, number, &reason),
            }
        });
        failed
    }

    fn laid(&mut self, row: &Row<'_>) -> Result<Vec<Value>, String> {
        let named: Option<Vec<&String>> = row.names.iter().map(Option::as_ref).collect();
        let named = named.filter(|names| !names.is_empty());
        if self.names.is_empty() {
            self.names = match &named {
                Some(names) => names.iter().map(|name| (*name).clone()).collect(),
                None => (0..row.cells.len()).map(|place| format!("_c{place}")).collect(),
            };
        }
        let is_known = |names: &Vec<&String>| names.iter().any(|name| self.names.contains(name));
        if let Some(names) = named.filter(is_known)
            && !names.iter().copied().eq(&self.names)
        {
            let cell = |name: &String| names.iter().position(|one| *one == name).map(|place| &row.cells[place]);
            return Ok(self.names.iter().map(|name| cell(name).map_or(Value::Null, value)).collect());
        }
        if row.cells.len() != self.names.len() {
            return Err(format!("the row has {} columns, the dataset {}", row.cells.len(), self.names.len()));
        }
        Ok(row.cells.iter().map(value).collect())
    }

    fn lines(&mut self, path: &str, places: &Places, bytes: &[u8]) -> Result<(), Failure> {
        for (number, line) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
            if line.trim_ascii().is_empty() {
                continue;
            }
            let found = serde_json::from_slice::<Value>(line).map_err(|error| format!("not JSON: {error}"));
            let cells = found.and_then(|value| {
                let Value::Array(mut cells) = places.features.search(&value)? else {
                    return Err("features finds no list".to_owned());
                };
                let features = cells.len();
                for (_, place) in &places.others {
                    cells.push(place.search(&value)?);
                }
                self.named(&cells, features, places)?;
                Ok(cells)
            });
            match cells {
                Ok(cells) => self.line(&cells)?,
                Err(reason) => self.describe(path, number, &reason),
            }
        }
        Ok(())
    }

    fn document(&mut self, path: &str, places: &Places, bytes: &[u8]) -> Result<(), Failure> {
        let wrong = |why: String| Failure::Request(format!("{path}: {why}"));
        let document: Value = serde_json::from_slice(bytes).map_err(|error| wrong(format!("not JSON: {error}")))?;
        let list = |place: &Expression, member: &str| match place.search(&document) {
            Ok(Value::Array(items)) => Ok(items),
            Ok(_) => Err(wrong(format!("{member} finds no list"))),
            Err(why) => Err(wrong(why)),
        };
        let features = list(&places.features, "features")?;
        let others: Vec<Vec<Value>> =
            places.others.iter().map(|(text, place)| list(place, text)).collect::<Result<_, _>>()?;
        if let Some(other) = others.iter().find(|other| other.len() != features.len()) {
            return Err(wrong(format!("it has {} rows of features, and {} labels", features.len(), other.len())));
        }
        for (row, cells) in features.into_iter().enumerate() {
            let Value::Array(mut cells) = cells else {
                self.describe(path, row as u64 + 1, "features finds no list of lists");
                continue;
            };
            let count = cells.len();
            cells.extend(others.iter().map(|other| other[row].clone()));
            match self.named(&cells, count, places) {
                Ok(()) => self.line(&cells)?,
                Err(reason) => self.describe(path, row as u64 + 1, &reason),
            }
        }
        Ok(())
    }

    /// Names the columns by the first row, and holds every other against them.
    fn named(&mut self, cells: &[Value], features: usize, places: &Places) -> Result<(), String> {
        let others = || places.others.iter().map(|(text, _)| text.clone());
        if self.rows == 0 {
            if self.are_given && self.names.len() == features {
                self.names.extend(others());
            } else if !self.are_given {
                self.names = (0..features).map(|place| format!("_c{place}")).chain(others()).collect();
            }
        }
        if cells.len() != self.names.len() {
            return Err(format!("the row has {} columns, the dataset {}", cells.len(), self.names.len()));
        }
        match cells.iter().find(|cell| cell.is_array() || cell.is_object()) {
            Some(cell) => Err(format!("a feature is {cell}, which is neither a number nor a text")),
            None => Ok(()),
        }
    }

    fn line(&mut self, cells: &[Value]) -> Result<(), Failure> {
        self.rows += 1;
        let written = serde_json::to_writer(&mut self.out, cells).map_err(std::io::Error::from);
        let written = written.and_then(|()| self.out.write_all(b"\n"));
        written.map_err(|reason| Failure::File { path: self.path.display().to_string(), reason })
    }

    fn describe(&mut self, path: &str, number: u64, reason: &str) {
        self.bad += 1;
        let name = Path::new(path).file_name().unwrap_or_default().display().to_string();
        self.first_bad.get_or_insert_with(|| format!("{name} line {number}: {reason}"));
    }

    fn finish(mut self) -> Result<Table, Failure> {
        self.out.flush().map_err(|reason| Failure::File { path: self.path.display().to_string(), reason })?;
        let Self { names, path, rows, bad, first_bad, .. } = self;
        if rows == 0 {
            return Err(first_bad.map_or(Failure::NoData, |first| {
                Failure::Request(format!("no row of the dataset can be used; the first: {first}"))
            }));
        }
        Ok(Table { names, path, rows, bad, first_bad })
    }
}

fn read(path: &str) -> Result<Vec<u8>, Failure> {
    let bytes = captures::captured(path).map_err(|reason| Failure::File { path: path.to_owned(), reason })?;
    if bytes.len() > FILE_MAX_BYTES {
        return Err(Failure::Request(format!("{path} is larger than {} MiB", FILE_MAX_BYTES >> 20)));
    }
    Ok(bytes)
}

/// A cell as JSON has it: a number stays one, and so does a text.
fn value(cell: &Cell<'_>) -> Value {
    match cell {
        Cell::Missing => Value::Null,
        Cell::Text(text) => Value::String(text.to_string()),
        Cell::Number { text, value, .. } => match serde_json::from_str::<Number>(text.trim()) {
            Ok(number) => Value::Number(number),
            Err(_) => Number::from_f64(*value).map_or_else(|| Value::String(text.to_string()), Value::Number),
        },
    }
}

/// What a key looks like in every form of file.
fn as_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.trim().to_owned(),
        other => other.to_string(),
    }
}

/// A list of names of the configuration.
pub(crate) fn strings(file: &Value, member: &str) -> Vec<String> {
    let items = file.get(member).and_then(Value::as_array).into_iter().flatten();
    items.filter_map(Value::as_str).map(str::to_owned).collect()
}
