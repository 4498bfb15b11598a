//! How SageMaker's own XGBoost container (algorithm mode) takes requests and words answers, for models whose image is
//! that container's.
//!
//! | aspect | conduct |
//! | --- | --- |
//! | content types | `csv`, `text/csv` (`label_size` only 1), `libsvm`, `text/libsvm`, `text/x-libsvm`; anything else 415, JSON too |
//! | no type, or `application/octet-stream` | libsvm when the body holds a colon, else CSV |
//! | a body that cannot be read | 415 with the reason, as there |
//! | empty body | an empty answer (there 204) |
//! | CSV | a blank cell is missing; of a pickled booster the rows must have the model's features, or one less; of any other model they may have fewer; else 400 |
//! | libsvm | indices mean the model's features as in the file it was trained on, from 0; only where the largest index is the number of features and 0 does not occur do they count from 1 |
//! | `Accept` | `text/csv`, `application/json`, `application/jsonlines`; none or `*/*` is `SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT`, else CSV; anything else 406 |
//! | numbers | as Python prints a float: single precision widened to double |
//! | CSV answer | one row a line, each with its line end, by images of 1.5 and later; before, joined by commas in one line |
//! | model file | `xgboost-model`, else the files in the folder itself that hold models: their answers are averaged, or only the first counts, see [`files`] |
//! | `SAGEMAKER_INFERENCE_OUTPUT` | the chosen parts of an answer instead of the score, see [`selection`] |
//!
//! The container of 2026 shifts libsvm indices whenever the smallest is 1 or more, which moves every sparse row that lacks
//! feature 0; those before never do. So neither is followed to the letter.
//!
//! Beyond the container: `header=present` and named columns work as for every other model.
//! Refuses: recordio-protobuf and parquet in both directions.

pub(super) mod files;
mod selection;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use bytes::Bytes;
use captura_route::{Answer, ModelRequest};

use self::selection::Selection;
use super::Model;
use crate::image::ImageRule;
use crate::payload::{Cells, Format, PythonValue, Refusal, SparseRows, Table, Values, decode};
use crate::{LoadError, ModelSpec};

/// Images of the container: today's, and the built-in algorithm's first.
const IMAGES: [&str; 2] = ["*sagemaker-xgboost*", "*.dkr.ecr.*/xgboost:*"];
/// Since this version rows of CSV answers are lines.
const LINES_SINCE: (u32, u32) = (1, 5);
/// Numbers of sparse rows that are widened at a time.
const BLOCK_NUMBERS: usize = 1 << 16;

const CONTENT_TYPES: &str = "csv, libsvm, text/csv, text/libsvm, text/x-libsvm";
const ACCEPTS: &str = "['application/json', 'application/jsonlines', 'text/csv']";

/// The container's conduct for one model.
#[derive(Debug)]
pub(super) struct Container {
    default_format: Format,
    /// Whether the model file was a pickle, which the container checks more strictly.
    pickled: bool,
    lines: bool,
    selection: Option<Selection>,
    /// Models that answer together with the first one.
    others: Vec<Model>,
}

/// What a request body is.
enum Kind {
    Csv,
    Libsvm,
}

/// Scores of all rows, `width` each.
struct Scores {
    width: usize,
    values: Vec<f64>,
}

/// An answer row by row, each made of named values.
type NamedRows = Vec<Vec<(&'static str, PythonValue)>>;

impl Container {
    /// Whether an image is the container's.
    pub(super) fn is_image(image: &str) -> bool {
        IMAGES.iter().any(|pattern| ImageRule::new(*pattern, crate::BackendKind::Trees).matches(image))
    }

    /// The conduct that a model's image and environment ask for.
    pub(super) fn new(spec: &ModelSpec, pickled: bool, model: &Model, others: Vec<Model>) -> Result<Self, LoadError> {
        Ok(Self {
            default_format: super::super::default_format(&spec.environment)?,
            pickled,
            lines: writes_lines(&spec.image),
            selection: selection(&spec.environment, model)?,
            others,
        })
    }

    /// Number of models that answer together.
    pub(super) fn members(&self) -> u64 {
        1 + self.others.len() as u64
    }

    /// Answers one request.
    pub(super) fn answer(&self, model: &Model, request: &ModelRequest) -> Result<Answer, Refusal> {
        if request.body.is_empty() {
            return Ok(written(Vec::new(), self.default_format));
        }
        let scores = match kind(request.content_type.as_deref(), &request.body)? {
            Kind::Csv => self.score_csv(model, request)?,
            Kind::Libsvm => self.score_libsvm(model, &request.body)?,
        };
        let format = self.format(request.accept.as_deref())?;
        let body = match (&self.selection, format) {
            (None, Format::Csv) => self.scores_as_csv(&scores),
            (None, _) => as_json(&scores.named(), format),
            (Some(selection), Format::Csv) => selected_as_csv(&selection.select(&scores, format)?),
            (Some(selection), _) => as_json(&selection.select(&scores, format)?, format),
        };
        Ok(written(body, format))
    }

    fn format(&self, accept: Option<&str>) -> Result<Format, Refusal> {
        Format::negotiate(accept, self.default_format).map_err(|_| {
            let accept = accept.unwrap_or_default();
            refusal(
                406,
                format!("Accept type {accept} is not supported. Please use supported accept types: {ACCEPTS}."),
            )
        })
    }

    fn score_csv(&self, model: &Model, request: &ModelRequest) -> Result<Scores, Refusal> {
        let content_type = request.content_type.as_deref().filter(|given| given.contains("csv"));
        let table = decode(&request.body, content_type, Cells::Numbers).map_err(|reason| not_csv(&reason))?;
        let table = if table.names().is_some() { model.arrange(table)? } else { self.widen(model, table)? };
        table.demand_numbers(0..table.columns(), model.features()).map_err(|reason| not_csv(&reason))?;
        Ok(self.scores(model, table.numbers()))
    }

    fn score_libsvm(&self, model: &Model, body: &[u8]) -> Result<Scores, Refusal> {
        let rows = SparseRows::decode(body).map_err(|reason| {
            let text = "Loading libsvm data failed with Exception, please ensure data is in libsvm format:";
            refusal(415, format!("{text}\n <class 'ValueError'>\n {reason}"))
        })?;
        let features = model.features().len();
        let (smallest, largest) = rows.indices();
        let first = usize::from(largest == features && smallest > 0);
        if largest - first >= features {
            return Err(unable(&format!(
                "Feature size of libsvm inference data {} is larger than feature size of trained model {features}.",
                largest + 1
            )));
        }
        let block = (BLOCK_NUMBERS / features).max(1);
        let mut scores = Scores { width: 1, values: Vec::new() };
        for start in (0..rows.rows()).step_by(block) {
            let end = (start + block).min(rows.rows());
            let part = self.scores(model, &rows.dense(start..end, first, features));
            scores.width = part.width;
            scores.values.extend(part.values);
        }
        Ok(scores)
    }

    /// Of one model, or of all of them together: averages, and of models that answer with a class, the class that most of
    /// them answer with.
    fn scores(&self, model: &Model, numbers: &[f64]) -> Scores {
        let first = Scores::of(model, numbers);
        if self.others.is_empty() {
            return first;
        }
        let mut all = vec![first];
        all.extend(self.others.iter().map(|model| Scores::of(model, numbers)));
        let votes = matches!(model.objective(), "multi:softmax" | "binary:hinge");
        let values = (0..all[0].values.len()).map(|at| {
            let answers = all.iter().map(|scores| scores.values[at]);
            if votes { most_common(answers.collect()) } else { mean(answers) }
        });
        Scores { width: all[0].width, values: values.collect() }
    }

    fn widen(&self, model: &Model, table: Table) -> Result<Table, Refusal> {
        let (found, wanted) = (table.columns(), model.features().len());
        let fits = if self.pickled { found == wanted || found + 1 == wanted } else { found <= wanted };
        if fits {
            return Ok(table.padded(wanted));
        }
        Err(unable(&format!(
            "Feature size of csv inference data {found} is not consistent with feature size of trained model {wanted}."
        )))
    }

    fn scores_as_csv(&self, scores: &Scores) -> Vec<u8> {
        let mut body = Vec::with_capacity(scores.values.len() * 20);
        for (index, row) in scores.rows().enumerate() {
            if self.lines {
                for (cell, value) in row.iter().enumerate() {
                    if cell > 0 {
                        body.push(b',');
                    }
                    PythonValue::Float(*value).write_str(&mut body);
                }
                body.push(b'\n');
            } else {
                if index > 0 {
                    body.push(b',');
                }
                score(row).write_str(&mut body);
            }
        }
        body
    }
}

impl Scores {
    fn of(model: &Model, numbers: &[f64]) -> Self {
        let output = model.predict(numbers);
        let width = output.shape.iter().product();
        let values = match output.values {
            Values::F32(values) => values.into_iter().map(f64::from).collect(),
            Values::F64(values) => values,
            _ => unreachable!("our bug: trees answer in floats"),
        };
        Self { width, values }
    }

    fn rows(&self) -> std::slice::ChunksExact<'_, f64> {
        self.values.chunks_exact(self.width.max(1))
    }

    fn named(&self) -> NamedRows {
        self.rows().map(|row| vec![("score", score(row))]).collect()
    }
}

/// In single precision, as numpy does.
#[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "the answers are single precision")]
fn mean(answers: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = answers.len() as f32;
    f64::from(answers.fold(0.0_f32, |sum, answer| sum + answer as f32) / count)
}

/// Of several that are equally common, the smallest.
fn most_common(mut answers: Vec<f64>) -> f64 {
    answers.sort_by(f64::total_cmp);
    let runs = answers.chunk_by(|one, next| one.total_cmp(next).is_eq());
    let longest = runs.rev().max_by_key(|run| run.len());
    longest.and_then(<[f64]>::first).copied().unwrap_or(f64::NAN)
}

/// A row's answer: a number, or a list of them.
fn score(row: &[f64]) -> PythonValue {
    match row {
        [score] => PythonValue::Float(*score),
        several => PythonValue::List(several.iter().map(|score| PythonValue::Float(*score)).collect()),
    }
}

fn kind(content_type: Option<&str>, body: &[u8]) -> Result<Kind, Refusal> {
    let given = content_type.unwrap_or_default();
    let mut parts = given.split(';').map(|part| part.trim().to_ascii_lowercase());
    match parts.next().unwrap_or_default().as_str() {
        "csv" | "text/csv" => {
            let label_size = parts.find_map(|part| part.strip_prefix("label_size=").map(str::to_owned));
            match label_size.as_deref() {
                None | Some("1") => Ok(Kind::Csv),
                Some(_) => Err(refusal(
                    415,
                    format!(
                        "{given} is not an accepted csv ContentType. Optional parameter label_size must be equal to 1"
                    ),
                )),
            }
        }
        "libsvm" | "text/libsvm" | "text/x-libsvm" => Ok(Kind::Libsvm),
        "" | "application/octet-stream" if memchr::memchr(b':', body).is_some() => Ok(Kind::Libsvm),
        "" | "application/octet-stream" => Ok(Kind::Csv),
        _ => Err(refusal(415, format!("{given} is not an accepted ContentType: {CONTENT_TYPES}."))),
    }
}

/// Whether the version in the image's tag writes rows as lines; images without a version are today's.
fn writes_lines(image: &str) -> bool {
    let (repository, tag) = image.rsplit_once(':').unwrap_or((image, ""));
    if !repository.contains("sagemaker-xgboost") {
        return false;
    }
    let mut numbers = tag.split(|char: char| !char.is_ascii_digit()).map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) >= LINES_SINCE,
        _ => true,
    }
}

fn selection(environment: &BTreeMap<String, String>, model: &Model) -> Result<Option<Selection>, LoadError> {
    let Some(value) = environment.get(selection::VARIABLE) else { return Ok(None) };
    Selection::parse(value, model).map(Some)
}

fn as_json(rows: &NamedRows, format: Format) -> Vec<u8> {
    let mut body = Vec::with_capacity(rows.len() * 40);
    let lines = format == Format::JsonLines;
    if !lines {
        body.extend_from_slice(b"{\"predictions\": [");
    }
    for (index, row) in rows.iter().enumerate() {
        if index > 0 && !lines {
            body.extend_from_slice(b", ");
        }
        for (position, (name, value)) in row.iter().enumerate() {
            body.extend_from_slice(if position > 0 { b", \"" } else { b"{\"" });
            body.extend_from_slice(name.as_bytes());
            body.extend_from_slice(b"\": ");
            value.write_json(&mut body);
        }
        body.extend_from_slice(if lines { b"}\n" } else { b"}" });
    }
    if !lines {
        body.extend_from_slice(b"]}");
    }
    body
}

fn selected_as_csv(rows: &NamedRows) -> Vec<u8> {
    let mut body = Vec::with_capacity(rows.len() * 40);
    for (index, row) in rows.iter().enumerate() {
        if index > 0 {
            body.push(b'\n');
        }
        for (position, (_, value)) in row.iter().enumerate() {
            if position > 0 {
                body.push(b',');
            }
            let quoted = matches!(value, PythonValue::List(_));
            body.extend_from_slice(if quoted { b"\"" } else { b"" });
            value.write_str(&mut body);
            body.extend_from_slice(if quoted { b"\"" } else { b"" });
        }
    }
    body
}

fn written(body: Vec<u8>, format: Format) -> Answer {
    Answer { body: Bytes::from(body), content_type: Some(format.content_type().into()), ..Answer::default() }
}

fn not_csv(reason: &Refusal) -> Refusal {
    let reason = match reason {
        Refusal::NotANumber { text, .. } => format!("could not convert string to float: '{text}'"),
        other => other.to_string(),
    };
    let text = "Loading csv data failed with Exception, please ensure data is in csv format:";
    refusal(415, format!("{text}\n <class 'ValueError'>\n {reason}"))
}

fn unable(reason: &str) -> Refusal {
    refusal(400, format!("Unable to evaluate payload provided: {reason}"))
}

fn refusal(status: u16, message: String) -> Refusal {
    Refusal::Container { status, message }
}
