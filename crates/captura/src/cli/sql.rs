//! `captura sql`: a question over captures, the invocation table and plain files. No server is needed.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use captura_archive::rendering::ColumnNames;
use captura_route::Signature;
use captura_sql::output::{Format, Writer, texts};
use captura_sql::{Answer, From, Question, SAMPLE_RECORDS, Sample, SqlError, Tally, ask};
use clap::{Args, ValueEnum};

use super::{Outcome, naming, note, say, table};
use crate::config::Config;
use crate::units::Size;

/// Where `captura deploy` has calls captured unless it is told otherwise.
const DEFAULT_CAPTURES: &str = "s3://captures";
/// Letters of a cell that the table shows.
const CELL_LETTERS: usize = 200;
/// Bad records that are told one by one.
const BAD_TOLD: usize = 5;

/// SQL over captures, the invocation table, CSV, JSON Lines and Parquet, with typed columns
#[derive(Debug, Args)]
pub(crate) struct Sql {
    /// One statement that reads: SELECT, EXPLAIN, SHOW TABLES, DESCRIBE; - reads it from stdin
    #[arg(value_name = "SQL")]
    statement: String,
    /// What may be asked, any number of times: s3:// addresses, folders, files, as URI or NAME=URI. Captures and
    /// invocation tables make the tables invocations and rows (of NAME=URI: NAME.invocations, NAME.rows), a file makes
    /// one called after it [default: s3://captures, where `captura deploy` has calls captured]
    #[arg(long, value_name = "[NAME=]URI")]
    from: Vec<From>,
    /// What the answer is written as [default: table, or as the ending of --out says]
    #[arg(long, value_enum)]
    format: Option<Form>,
    /// File that the answer goes to [default: stdout]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Rows that the table shows
    #[arg(long, default_value_t = 100)]
    rows: usize,
    /// The model's inputs and outputs, as JSON: {"inputs": [{"name": "age", "type": "Integral"}], "outputs": […]}
    /// [default: as a sample of the captures shows them]
    #[arg(long, value_name = "FILE")]
    signature: Option<PathBuf>,
    /// File of names of inputs and outputs of captures, as other verbs take it; they follow in. and out.
    #[arg(long, value_name = "FILE", conflicts_with = "signature")]
    names: Option<PathBuf>,
    /// How columns of inputs and outputs of captures are named: in.age, or in_age
    #[arg(long, value_enum, default_value = "dotted")]
    columns: Columns,
    /// Records of each endpoint, or of a file, that are looked at to find columns and types; or all
    #[arg(long, value_name = "RECORDS", value_parser = sample, default_value_t = Shown(Sample::Records(SAMPLE_RECORDS)))]
    sample: Shown,
    /// Threads that read and reckon [default: as many as there are cores]
    #[arg(long)]
    threads: Option<usize>,
    /// Memory of the question; sorts, joins and groupings beyond it go to temporary files
    #[arg(long, value_name = "BYTES", value_parser = bytes, default_value = "1GiB")]
    memory: usize,
    /// Data directory whose buckets s3:// addresses mean [default: ./captura-data]
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// Configuration file with the stores of other buckets [default: captura.toml, where there is one]
    #[arg(long)]
    config: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    Table,
    Csv,
    Json,
    Parquet,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Columns {
    Dotted,
    Plain,
}

/// A sample as the help shows it.
#[derive(Debug, Clone, Copy)]
struct Shown(Sample);

impl std::fmt::Display for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Sample::Records(records) => records.fmt(f),
            Sample::All => f.write_str("all"),
        }
    }
}

fn sample(text: &str) -> Result<Shown, String> {
    if text == "all" {
        return Ok(Shown(Sample::All));
    }
    let records = text.parse().ok().filter(|records| *records > 0);
    records.map(|records| Shown(Sample::Records(records))).ok_or_else(|| "write a number above 0, or all".to_owned())
}

fn bytes(text: &str) -> Result<usize, String> {
    let size = Size::parse(text).and_then(|size| usize::try_from(size.0).ok());
    size.ok_or_else(|| "write a number of bytes like 512MiB or 2GiB".to_owned())
}

impl Sql {
    pub(crate) fn run(self) -> anyhow::Result<Outcome> {
        let threads = self.threads.or_else(|| std::thread::available_parallelism().ok().map(usize::from)).unwrap_or(1);
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(threads.max(1)).enable_all().build()?;
        runtime.block_on(self.answered(threads.max(1)))
    }

    async fn answered(self, threads: usize) -> anyhow::Result<Outcome> {
        let config = Config::read(self.config.as_deref())?;
        let data_dir = self.data_dir.clone().unwrap_or(config.server.data_dir);
        let stores = crate::cloud::stores(&data_dir, config.stores);
        let format = self.format()?;
        let question = self.question(threads)?;
        let mut answer = ask(&stores, &question).await?;
        match (format, &self.out) {
            (None, _) => show(&mut answer, self.rows).await?,
            (Some(format), Some(path)) => into_file(&mut answer, format, path).await?,
            (Some(format), None) => {
                let writer = Writer::new(format, BufWriter::new(std::io::stdout()), &answer.schema())?;
                match written(&mut answer, writer).await {
                    Err(SqlError::Write(reason)) if reason.contains("Broken pipe") => {}
                    other => drop(other?),
                }
            }
        }
        told(&answer.tally());
        Ok(Outcome::Fine)
    }

    /// What the answer is written as, `None` for a table.
    fn format(&self) -> anyhow::Result<Option<Format>> {
        let by_ending = self.out.as_deref().and_then(Path::extension).and_then(|ending| ending.to_str());
        let form = self.format.unwrap_or(match (by_ending, &self.out) {
            (Some("csv"), _) => Form::Csv,
            (Some("json" | "jsonl" | "ndjson"), _) => Form::Json,
            (Some("parquet"), _) => Form::Parquet,
            (_, None) => Form::Table,
            (_, Some(path)) => bail!("say with --format csv, json or parquet what {} shall be", path.display()),
        });
        Ok(match form {
            Form::Table if self.out.is_some() => bail!("a file is csv, json or parquet; a table is for reading"),
            Form::Table => None,
            Form::Csv => Some(Format::Csv),
            Form::Json => Some(Format::Json),
            Form::Parquet if self.out.is_none() => bail!("Parquet goes into a file: name it with --out FILE"),
            Form::Parquet => Some(Format::Parquet),
        })
    }

    fn question(&self, threads: usize) -> anyhow::Result<Question> {
        let signature = self.signature.as_deref().map(|path| {
            let text = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
            serde_json::from_slice::<Signature>(&text).with_context(|| format!("{} is no signature", path.display()))
        });
        let sql = if self.statement == "-" {
            std::io::read_to_string(std::io::stdin()).context("cannot read the statement from stdin")?
        } else {
            self.statement.clone()
        };
        let mut from = self.from.clone();
        if from.is_empty() {
            from.push(From { name: None, address: DEFAULT_CAPTURES.to_owned() });
        }
        Ok(Question {
            sql,
            from,
            signature: signature.transpose()?,
            naming: match &self.names {
                Some(path) => naming::read(path)?.into(),
                None => Default::default(),
            },
            names: match self.columns {
                Columns::Dotted => ColumnNames::Dotted,
                Columns::Plain => ColumnNames::Plain,
            },
            sample: self.sample.0,
            threads,
            memory_bytes: self.memory,
        })
    }
}

async fn written<W: Write + Send>(answer: &mut Answer, mut writer: Writer<W>) -> Result<W, SqlError> {
    while let Some(batch) = answer.next().await {
        writer.write(&batch?)?;
    }
    writer.finish()
}

/// The file gets its name when it is whole.
async fn into_file(answer: &mut Answer, format: Format, path: &Path) -> anyhow::Result<()> {
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let file = File::create(&part).with_context(|| format!("cannot write {}", path.display()))?;
    let writer = Writer::new(format, BufWriter::new(file), &answer.schema())?;
    let outcome = written(answer, writer).await;
    if let Err(error) = outcome {
        let _ = std::fs::remove_file(&part);
        return Err(error.into());
    }
    std::fs::rename(&part, path).with_context(|| format!("cannot write {}", path.display()))
}

async fn show(answer: &mut Answer, limit: usize) -> anyhow::Result<()> {
    let schema = answer.schema();
    let header: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    let mut shown = table(&header);
    // A plan is there to be read whole.
    let letters = if header.first() == Some(&"plan_type") { usize::MAX } else { CELL_LETTERS };
    let mut rows = 0;
    let mut more = false;
    while let Some(batch) = answer.next().await {
        let batch = batch?;
        for row in texts(&batch, limit - rows)? {
            shown.add_row(row.into_iter().map(|cell| shortened(cell, letters)));
        }
        more = rows + batch.num_rows() > limit;
        rows = limit.min(rows + batch.num_rows());
        if more {
            break;
        }
    }
    say(&shown.to_string());
    match (rows, more) {
        (_, true) => note(&format!("the first {rows} rows; all of them with --format csv, or more with --rows")),
        (1, false) => note("1 row"),
        (rows, false) => note(&format!("{rows} rows")),
    }
    Ok(())
}

fn shortened(cell: String, letters: usize) -> String {
    match cell.char_indices().nth(letters) {
        Some((at, _)) => format!("{}…", &cell[..at]),
        None => cell,
    }
}

fn told(tally: &Tally) {
    if tally.bad > 0 {
        note(&format!("{} of {} records could not be read and are left out:", tally.bad, tally.records));
        tally.described.iter().take(BAD_TOLD).for_each(|bad| note(&format!("  {bad}")));
    }
    if tally.unread > 0 {
        let first = tally.first_unread.as_deref().unwrap_or_default();
        note(&format!("{} rows hold values that could not be decoded and are null: {first}", tally.unread));
    }
}

#[cfg(test)]
mod tests {
    use captura_sql::MEMORY_BYTES;

    use super::*;

    #[test]
    fn the_memory_of_the_help_is_that_of_the_room() {
        assert_eq!(bytes("1GiB"), Ok(MEMORY_BYTES));
        assert!(bytes("a lot").is_err() && sample("0").is_err());
    }
}
