//! Predictions for bias after training that no data set has: the model is asked about every row, as Clarify does.
//!
//! Invariant: one prediction for each row, or the job fails with what the model said. Refuses to: ask about labels, facets in files of
//! their own and columns that the configuration excludes.

use captura_attribution::record::{Feature, Record};
use captura_monitor::attribution::{Budget, Predicting, Prediction, Predictor, Wording, threshold};
use captura_monitor::job::{AskError, AskModel, Question};
use serde_json::{Number, Value};

use crate::Failure;
use crate::job::Job;
use crate::table::Table;

/// What the column of predictions is called, unless the data has such a column.
const COLUMN: &str = "predicted_label";
/// How much smaller requests become when the model does not take one.
const STEP: usize = 8;

/// A table with predictions.
pub(crate) struct Predicted {
    pub(crate) table: Table,
    /// Their column.
    pub(crate) column: String,
    /// What they are held against, where they are scores.
    pub(crate) threshold: Option<f64>,
}

/// What is asked, and of which columns.
pub(crate) struct Asking<'a> {
    pub(crate) predictor: &'a Predictor,
    /// Columns that the model is not given.
    pub(crate) left_out: &'a [usize],
    /// The column of the label.
    pub(crate) label: usize,
    pub(crate) threshold: Option<f64>,
}

/// Asks the model about all rows.
pub(crate) async fn predicted(
    job: &Job,
    table: Table,
    asking: &Asking<'_>,
    model: &dyn AskModel,
) -> Result<Predicted, Failure> {
    let wrong = |error: captura_monitor::attribution::InvalidAttribution| Failure::Request(error.to_string());
    let kept: Vec<usize> = (0..table.names.len()).filter(|place| !asking.left_out.contains(place)).collect();
    let names: Vec<String> = kept.iter().map(|&place| table.names[place].clone()).collect();
    let wording = Wording::of(asking.predictor, &names).map_err(wrong)?;
    let mut desk = Desk {
        asking,
        model,
        predicting: Predicting::of(asking.predictor).map_err(wrong)?,
        most: Budget::default().rows_per_call,
        wording,
        waiting: Vec::new(),
        calls: 0,
        answered: Vec::new(),
    };
    let mut labels: Vec<Value> = Vec::new();
    for cells in table.lines()? {
        let cells = cells?;
        let label = &cells[asking.label];
        if labels.len() < 3 && !label.is_null() && !labels.contains(label) {
            labels.push(label.clone());
        }
        desk.waiting.push(kept.iter().map(|&place| feature(&cells[place])).collect());
        if desk.waiting.len() >= desk.most {
            desk.ask().await?;
        }
    }
    while !desk.waiting.is_empty() {
        desk.ask().await?;
    }
    let answered = desk.answered;
    let threshold = threshold(&answered, asking.threshold, labels.len() <= 2);
    let column = free(&table.names);
    let mut answered = answered.into_iter();
    let table = table.with(job, "predicted", vec![column.clone()], |_, _| {
        let one = answered.next().expect("our bug: every row was asked about");
        Ok(vec![match one {
            Prediction::Number(number) => whole(number),
            Prediction::Label(label) => Value::String(label),
        }])
    })?;
    Ok(Predicted { table, column, threshold })
}

/// Where rows wait for answers.
struct Desk<'a> {
    asking: &'a Asking<'a>,
    model: &'a dyn AskModel,
    wording: Wording,
    predicting: Predicting,
    /// Rows of a call.
    most: usize,
    waiting: Vec<Record>,
    calls: usize,
    answered: Vec<Prediction>,
}

impl Desk<'_> {
    /// Asks about as many rows as the model takes.
    async fn ask(&mut self) -> Result<(), Failure> {
        loop {
            let rows = self.most.min(self.waiting.len());
            let body = self.wording.request(&self.waiting[..rows]);
            if body.len() > Budget::default().body_max_bytes && rows > 1 {
                self.most = (rows / STEP).max(1);
                continue;
            }
            self.calls += 1;
            let question = Question {
                body,
                content_type: &self.wording.content_type,
                accept: self.wording.accept.as_deref(),
                target_model: self.asking.predictor.target_model.as_deref(),
                number: self.calls,
            };
            let answered = self.model.ask(question).await.and_then(|answer| {
                let answer = (answer.content_type.as_deref(), &answer.body[..]);
                self.predicting.read(&self.wording, answer, rows).map_err(AskError::Refused)
            });
            match answered {
                Ok(predictions) => {
                    self.answered.extend(predictions);
                    self.waiting.drain(..rows);
                    return Ok(());
                }
                Err(AskError::Refused(_)) if rows > 1 => self.most = (rows / STEP).max(1),
                Err(error) => {
                    return Err(Failure::Request(format!("the model cannot be asked for predictions: {error}")));
                }
            }
        }
    }
}

fn feature(value: &Value) -> Feature {
    match value {
        Value::Null => Feature::Cell("".into()),
        Value::Number(number) => Feature::Cell(number.to_string().into()),
        other => Feature::Json(other.clone()),
    }
}

/// Whole numbers as labels write them.
fn whole(number: f64) -> Value {
    let is_whole = number.fract() == 0.0 && number.abs() < 1e15;
    let number = if is_whole { Some(Number::from(number as i64)) } else { Number::from_f64(number) };
    number.map_or(Value::Null, Value::Number)
}

fn free(names: &[String]) -> String {
    let numbered = (2..).map(|number| format!("{COLUMN}_{number}"));
    let mut candidates = std::iter::once(COLUMN.to_owned()).chain(numbered);
    candidates.find(|name| !names.contains(name)).expect("our bug: numbers do not run out")
}
