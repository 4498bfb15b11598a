//! How requests are written, and where in an answer the numbers are.
//!
//! | media type | request | answer |
//! | --- | --- | --- |
//! | text/csv | a line for each row | cells; `label` and `probability` are columns, from 0 |
//! | application/jsonlines | `content_template` for each row | `label` and `probability` are JMESPath, line by line |
//! | application/json | `content_template` around rows, each in its `record_template` | JMESPath on the whole document, a list of rows |
//!
//! Invariant: what is written for a row does not depend on the rows beside it. Refuses to: guess at other media types.

use captura_attribution::jmespath::Expression;
use captura_attribution::outputs::{Outputs, Places};
use captura_attribution::record::{Feature, Layout, Record, Shape, Template, write};

use super::asking::Refused;
use super::config::{InvalidAttribution, Predictor};

const RECORDS: [&str; 2] = ["${records}", "$records"];
const NAMED: [&str; 2] = ["${features_kvp}", "$features_kvp"];
/// A request in JSON where nothing is said.
const JSON_DEFAULT: &str = r#"{"instances":$records}"#;
/// A record of JSON Lines where nothing is said.
const JSON_LINE_DEFAULT: &str = r#"{"features":$features}"#;

/// A media type, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Media {
    Csv,
    JsonLines,
    Json,
}

impl Media {
    fn of(content_type: &str) -> Option<Self> {
        match content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
            "text/csv" => Some(Self::Csv),
            "application/jsonlines" => Some(Self::JsonLines),
            "application/json" => Some(Self::Json),
            _ => None,
        }
    }
}

/// What stands for a row.
#[derive(Debug, Clone)]
enum RecordShape {
    /// A list of its features, in this template where there is one.
    List(Shape),
    /// An object of its features by their names, between these texts.
    Named { before: String, after: String, names: Vec<String> },
}

/// How a model is asked, and its answers are read.
#[derive(Debug, Clone)]
pub struct Wording {
    media: Media,
    /// Media type of requests.
    pub content_type: String,
    /// Media type that is wanted back.
    pub accept: Option<String>,
    record: RecordShape,
    /// Around the rows of a request in JSON.
    document: (String, String),
    columns: Places,
    path: Option<Expression>,
}

impl Wording {
    /// Of a configuration, for rows of these features.
    ///
    /// # Errors
    /// When the media type is none that is written here, or a template or place cannot be used.
    pub fn of(predictor: &Predictor, names: &[String]) -> Result<Self, InvalidAttribution> {
        let invalid = |why: String| InvalidAttribution(why);
        let content_type = predictor.content_type.clone().unwrap_or_else(|| "text/csv".to_owned());
        let media = Media::of(&content_type).ok_or_else(|| {
            invalid(format!(
                "has the content type {content_type:?}; text/csv, application/jsonlines and application/json are written here"
            ))
        })?;
        let shape =
            |text: Option<&str>| record_shape(text, names).map_err(|why| invalid(format!("has a template that {why}")));
        let mut document = (String::new(), String::new());
        let record = match media {
            Media::Csv => RecordShape::List(Shape::default()),
            Media::JsonLines => shape(Some(predictor.content_template.as_deref().unwrap_or(JSON_LINE_DEFAULT)))?,
            Media::Json => {
                let around = predictor.content_template.as_deref().unwrap_or(JSON_DEFAULT);
                let split = RECORDS.iter().find_map(|place| around.split_once(place));
                let (before, after) =
                    split.ok_or_else(|| invalid("has a content_template without $records".to_owned()))?;
                document = (before.to_owned(), after.to_owned());
                shape(predictor.record_template.as_deref())?
            }
        };
        let place = predictor.probability.as_ref().or(predictor.label.as_ref());
        let index = place.and_then(|place| place.parse::<usize>().ok());
        let path = match place.filter(|_| index.is_none()).map(|place| place.parse::<Expression>()) {
            None => None,
            Some(Ok(path)) => Some(path),
            Some(Err(why)) => return Err(invalid(format!("says with no JMESPath where the answer is: {why}"))),
        };
        let columns = Places { probability_index: index, probability_attribute: path.clone(), ..Places::default() };
        Ok(Self { media, content_type, accept: predictor.accept_type.clone(), record, document, columns, path })
    }

    /// A request about these rows.
    #[must_use]
    pub fn request(&self, rows: &[Record]) -> Vec<u8> {
        let mut body = Vec::new();
        self.begin(&mut body);
        for (place, row) in rows.iter().enumerate() {
            self.row(place == 0, row.iter(), &mut body);
        }
        self.end(&mut body);
        body
    }

    /// What a request of several rows begins with.
    fn begin(&self, body: &mut Vec<u8>) {
        if self.media == Media::Json {
            body.extend_from_slice(self.document.0.as_bytes());
            body.push(b'[');
        }
    }

    /// A request of at most so many rows and bytes, and how many rows it has; nothing where there is none. `row` adds the next
    /// one, which is the first or not, and answers whether there was one.
    ///
    /// # Errors
    /// When one row alone is larger.
    pub(super) fn filled(
        &self,
        rows_max: usize,
        body_max_bytes: usize,
        mut row: impl FnMut(bool, &mut Vec<u8>) -> bool,
    ) -> Result<Option<(Vec<u8>, usize)>, Refused> {
        let mut body = Vec::new();
        self.begin(&mut body);
        let mut count = 0;
        while count < rows_max {
            let before = body.len();
            if !row(count == 0, &mut body) {
                break;
            }
            if body.len() > body_max_bytes {
                body.truncate(before);
                if count == 0 {
                    return Err(Refused(format!("a row alone is larger than the {body_max_bytes} bytes of a call")));
                }
                break;
            }
            count += 1;
        }
        self.end(&mut body);
        Ok((count > 0).then_some((body, count)))
    }

    /// Adds a row; `first` when it is the first of its request.
    pub(super) fn row<'f>(&self, first: bool, features: impl Iterator<Item = &'f Feature>, body: &mut Vec<u8>) {
        if !first {
            body.push(if self.media == Media::Json { b',' } else { b'\n' });
        }
        let layout = if self.media == Media::Csv { Layout::Csv } else { Layout::JsonLines };
        match &self.record {
            RecordShape::List(shape) => write(features, layout, shape, body),
            RecordShape::Named { before, after, names } => {
                body.extend_from_slice(before.as_bytes());
                for (place, (feature, name)) in features.zip(names).enumerate() {
                    body.push(if place == 0 { b'{' } else { b',' });
                    body.extend_from_slice(serde_json::Value::from(name.as_str()).to_string().as_bytes());
                    body.push(b':');
                    feature.write_json(body);
                }
                body.push(b'}');
                body.extend_from_slice(after.as_bytes());
            }
        }
    }

    /// What a request ends with.
    fn end(&self, body: &mut Vec<u8>) {
        if self.media == Media::Json {
            body.push(b']');
            body.extend_from_slice(self.document.1.as_bytes());
        }
    }

    /// The numbers that were answered to so many rows, row by row.
    ///
    /// # Errors
    /// When they cannot be found, or are another number of rows.
    pub fn numbers(&self, content_type: Option<&str>, body: &[u8], rows: usize) -> Result<Vec<Vec<f64>>, String> {
        let (outputs, places) = match self.answered_as(content_type)? {
            Media::Csv => (Outputs::read(Layout::Csv, body, rows)?, &self.columns),
            Media::JsonLines => (Outputs::read(Layout::JsonLines, body, rows)?, &self.columns),
            Media::Json => (Outputs::of_document(body, self.path.as_ref(), rows)?, &Places::default()),
        };
        (0..rows).map(|row| outputs.numbers(row, places)).collect()
    }
}

impl Wording {
    /// How an answer is read that says to be of this media type.
    pub(super) fn answered_as(&self, content_type: Option<&str>) -> Result<Media, String> {
        let given = content_type.or(self.accept.as_deref()).unwrap_or("text/csv");
        Media::of(given).ok_or_else(|| {
            format!(
                "the model answers {given:?}; ask for text/csv, application/jsonlines or application/json with accept_type"
            )
        })
    }
}

fn record_shape(text: Option<&str>, names: &[String]) -> Result<RecordShape, String> {
    let Some(text) = text else { return Ok(RecordShape::List(Shape::default())) };
    if let Some((before, after)) = NAMED.iter().find_map(|place| text.split_once(place)) {
        return Ok(RecordShape::Named { before: before.to_owned(), after: after.to_owned(), names: names.to_vec() });
    }
    let template = Template::parse(text)?;
    Ok(RecordShape::List(Shape { features: None, template: Some(template) }))
}
