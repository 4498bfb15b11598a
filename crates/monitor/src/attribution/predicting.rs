//! What a model predicts, out of its answers, as Clarify reads them before it measures bias.
//!
//! | in a record of the answer | the prediction |
//! | --- | --- |
//! | one number | that number: a score where it is held against a threshold, else an outcome |
//! | a list of numbers | the class of the greatest: its name in `label_headers`, else its place from 0 |
//! | a text at `label` | that |
//! | lists at `label` and at `probability` | the label that has the greatest probability |
//!
//! Invariant: a record has one prediction, or all are refused with a reason. Refuses to: ask a model.

use captura_attribution::jmespath::Expression;
use captura_attribution::outputs::Outputs;
use captura_attribution::record::Layout;
use serde_json::Value;

use super::config::{InvalidAttribution, Predictor};
use super::wording::{Media, Wording};

/// Threshold of a score where none is stated.
const HALF: f64 = 0.5;

/// Where in an answer predictions are.
#[derive(Debug, Clone)]
pub struct Predicting {
    label: Option<Place>,
    probability: Option<Place>,
    headers: Vec<String>,
}

#[derive(Debug, Clone)]
enum Place {
    Column(usize),
    Path(Expression),
}

/// What a model predicts of a row.
#[derive(Debug, Clone, PartialEq)]
pub enum Prediction {
    /// A score, or an outcome that is a number.
    Number(f64),
    /// An outcome.
    Label(String),
}

impl Predicting {
    /// Of a configuration.
    ///
    /// # Errors
    /// When a place in the answer is none.
    pub fn of(predictor: &Predictor) -> Result<Self, InvalidAttribution> {
        let place = |member: &str, text: &Option<String>| match text {
            None => Ok(None),
            Some(text) => match text.parse() {
                Ok(column) => Ok(Some(Place::Column(column))),
                Err(_) => text.parse().map(|path| Some(Place::Path(path))).map_err(|why| {
                    InvalidAttribution(format!("says with no JMESPath where the answer is (predictor.{member}): {why}"))
                }),
            },
        };
        Ok(Self {
            label: place("label", &predictor.label)?,
            probability: place("probability", &predictor.probability)?,
            headers: predictor.label_headers.clone(),
        })
    }

    /// The predictions in an answer to so many rows.
    ///
    /// # Errors
    /// When there is not one for each.
    pub fn read(
        &self,
        wording: &Wording,
        (content_type, body): (Option<&str>, &[u8]),
        rows: usize,
    ) -> Result<Vec<Prediction>, String> {
        let media = wording.answered_as(content_type)?;
        let scores = match (&self.label, &self.probability) {
            (Some(_), None) => None,
            (_, place) => Some(found(media, body, place.as_ref(), rows)?),
        };
        let labels = self.label.as_ref().map(|place| found(media, body, Some(place), rows)).transpose()?;
        let prediction = |row: usize| {
            let of = |values: &Option<Vec<Value>>| values.as_ref().map(|values| inner(values[row].clone()));
            self.prediction(of(&labels), of(&scores)).map_err(|why| {
                format!("record {} of the model's answer {why}; say with label and probability where it is", row + 1)
            })
        };
        (0..rows).map(prediction).collect()
    }

    fn prediction(&self, label: Option<Value>, scores: Option<Value>) -> Result<Prediction, String> {
        match (label, scores) {
            (Some(Value::Array(labels)), Some(scores)) => {
                let scores = numbers(&scores).filter(|scores| scores.len() == labels.len());
                let place = scores.as_deref().and_then(greatest);
                let label = place.and_then(|place| one(&labels[place]));
                label.ok_or_else(|| "has not as many probabilities as labels".to_owned())
            }
            (Some(value), _) | (None, Some(value)) => match numbers(&value).as_deref() {
                Some([number]) => Ok(Prediction::Number(*number)),
                Some(numbers) => {
                    let place = greatest(numbers).ok_or("has no number")?;
                    let name = self.headers.get(place).filter(|_| self.headers.len() == numbers.len());
                    Ok(Prediction::Label(name.cloned().unwrap_or_else(|| place.to_string())))
                }
                None => one(&value).ok_or_else(|| format!("has no prediction, but {}", shown(&value))),
            },
            (None, None) => Err("has no prediction".to_owned()),
        }
    }
}

/// The threshold that predictions are held against: the stated one; where labels are of two sorts and predictions lie between
/// them, one half; none where predictions are outcomes already.
#[must_use]
pub fn threshold(predictions: &[Prediction], stated: Option<f64>, has_two_labels: bool) -> Option<f64> {
    let number = |prediction: &Prediction| match prediction {
        Prediction::Number(number) => Some(*number),
        Prediction::Label(_) => None,
    };
    let scores: Vec<f64> = predictions.iter().map(number).collect::<Option<_>>()?;
    let are_between =
        scores.iter().all(|score| (0.0..=1.0).contains(score)) && scores.iter().any(|score| score.fract() != 0.0);
    stated.or((has_two_labels && are_between).then_some(HALF))
}

/// What is at a place of each record of an answer.
fn found(media: Media, body: &[u8], place: Option<&Place>, rows: usize) -> Result<Vec<Value>, String> {
    let layout = match media {
        Media::Csv => Layout::Csv,
        Media::JsonLines => Layout::JsonLines,
        Media::Json => {
            let path = match place {
                Some(Place::Path(path)) => Some(path),
                _ => None,
            };
            let outputs = Outputs::of_document(body, path, rows)?;
            let records = outputs.records().iter();
            return records.map(|record| if path.is_some() { Ok(record.clone()) } else { at(record, place) }).collect();
        }
    };
    let outputs = Outputs::read(layout, body, rows)?;
    outputs.records().iter().map(|record| at(record, place)).collect()
}

fn at(record: &Value, place: Option<&Place>) -> Result<Value, String> {
    match place {
        None => Ok(record.clone()),
        Some(Place::Path(path)) => path.search(record).map_err(|why| format!("{path} of the model's answer: {why}")),
        Some(Place::Column(column)) => {
            let cells = record.as_array().map(Vec::as_slice).unwrap_or_default();
            let beyond = || format!("the model answers {} columns, counted from 0, and none is {column}", cells.len());
            cells.get(*column).cloned().ok_or_else(beyond)
        }
    }
}

/// A list of one is what is in it.
fn inner(value: Value) -> Value {
    match value {
        Value::Array(mut cells) if cells.len() == 1 => inner(cells.remove(0)),
        value => value,
    }
}

/// One number or several; nothing where something else is among them.
fn numbers(value: &Value) -> Option<Vec<f64>> {
    match value {
        Value::Array(cells) if !cells.is_empty() => cells.iter().map(Value::as_f64).collect(),
        value => value.as_f64().map(|number| vec![number]),
    }
}

/// The place of the greatest; of equal ones the first.
fn greatest(numbers: &[f64]) -> Option<usize> {
    let mut places = 0..numbers.len();
    let first = places.next()?;
    Some(places.fold(first, |best, place| if numbers[place] > numbers[best] { place } else { best }))
}

fn one(value: &Value) -> Option<Prediction> {
    match value {
        Value::String(text) => Some(Prediction::Label(text.clone())),
        Value::Bool(truth) => Some(Prediction::Label(truth.to_string())),
        Value::Number(number) => number.as_f64().map(Prediction::Number),
        _ => None,
    }
}

fn shown(value: &Value) -> String {
    value.to_string().chars().take(60).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn predictor(label: Option<&str>, probability: Option<&str>, headers: &[&str]) -> Predictor {
        Predictor {
            label: label.map(str::to_owned),
            probability: probability.map(str::to_owned),
            label_headers: headers.iter().map(|&name| name.to_owned()).collect(),
            ..Predictor::default()
        }
    }

    fn read(predictor: &Predictor, media: &str, body: &str, rows: usize) -> Result<Vec<Prediction>, String> {
        let wording = Wording::of(predictor, &["a".to_owned()]).unwrap();
        Predicting::of(predictor).unwrap().read(&wording, (Some(media), body.as_bytes()), rows)
    }

    fn label(text: &str) -> Prediction {
        Prediction::Label(text.to_owned())
    }

    #[test]
    fn predictions_are_where_the_configuration_says_in_every_media_type() {
        use Prediction::Number;
        let plain = predictor(None, None, &[]);
        assert_eq!(read(&plain, "text/csv", "0.2\n0.9", 2).unwrap(), [Number(0.2), Number(0.9)]);
        assert_eq!(read(&plain, "text/csv", "0.2,0.9", 2).unwrap(), [Number(0.2), Number(0.9)]);
        assert_eq!(read(&plain, "text/csv", "cat\ndog", 2).unwrap(), [label("cat"), label("dog")]);
        let pair = predictor(Some("0"), None, &[]);
        assert_eq!(read(&pair, "text/csv", "1,0.9\n0,0.2", 2).unwrap(), [Number(1.0), Number(0.0)]);
        let named = predictor(None, None, &["cat", "dog", "fish"]);
        assert_eq!(read(&named, "text/csv", "0.3,0.5,0.2", 1).unwrap(), [label("dog")]);
        assert_eq!(read(&plain, "text/csv", "0.3,0.2,0.5", 1).unwrap(), [label("2")]);
        let lists = predictor(Some("labels"), Some("probabilities"), &[]);
        let lines = "{\"labels\":[\"cat\",\"dog\"],\"probabilities\":[0.1,0.9]}\n{\"labels\":[\"cat\",\"dog\"],\"probabilities\":[0.6,0.4]}";
        assert_eq!(read(&lists, "application/jsonlines", lines, 2).unwrap(), [label("dog"), label("cat")]);
        let document = predictor(Some("predictions[*].said"), None, &[]);
        let body = r#"{"predictions": [{"said": "yes", "p": 0.9}, {"said": "no", "p": 0.1}]}"#;
        assert_eq!(read(&document, "application/json", body, 2).unwrap(), [label("yes"), label("no")]);
    }

    #[test]
    fn answers_without_a_prediction_are_refused_with_the_record_and_what_is_there() {
        let plain = predictor(None, None, &[]);
        let reason = read(&plain, "application/jsonlines", "{\"a\":1}\n{\"a\":2}", 2).unwrap_err();
        assert!(reason.contains("record 1") && reason.contains("label and probability"), "{reason}");
        let beyond = read(&predictor(Some("3"), None, &[]), "text/csv", "1,2", 1).unwrap_err();
        assert!(beyond.contains("answers 2 columns"), "{beyond}");
        let uneven = predictor(Some("l"), Some("p"), &[]);
        let reason = read(&uneven, "application/jsonlines", "{\"l\":[\"a\",\"b\"],\"p\":[1]}", 1).unwrap_err();
        assert!(reason.contains("as many probabilities"), "{reason}");
        assert!(Predicting::of(&predictor(Some("a["), None, &[])).is_err());
    }

    #[test]
    fn scores_are_held_against_a_threshold_and_outcomes_are_not() {
        use Prediction::Number;
        let scores = [Number(0.2), Number(1.0)];
        assert_eq!(threshold(&scores, None, true), Some(0.5));
        assert_eq!(threshold(&scores, Some(0.1), false), Some(0.1));
        assert_eq!(threshold(&scores, None, false), None, "labels of many sorts: a regression");
        assert_eq!(threshold(&[Number(0.0), Number(1.0)], None, true), None, "they are outcomes");
        assert_eq!(threshold(&[Number(1.0), label("a")], Some(0.5), true), None);
    }
}
