//! The answer with explanations, in the bytes in which SageMaker gives it: members without spaces between them, numbers as
//! Python writes them.

use captura_route::Answer;
use serde_json::Value;

use super::units::Part;
use crate::payload::PythonValue;

/// Media type of every answer of an endpoint with an explainer.
pub(super) const CONTENT_TYPE: &str = "application/json";
/// Version of the shape.
const VERSION: &str = "1.0";
/// What an answer without a content type is taken for.
const CONTENT_TYPE_DEFAULT: &str = "text/csv";

/// What the units of one record add.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Explanation {
    /// `units × outputs`.
    pub(super) added: Vec<f64>,
    /// The units of each feature, where they are parts of it; empty where each feature is one unit.
    pub(super) parts: Vec<Vec<Option<Part>>>,
}

/// What is told of one call.
pub(super) struct Told<'a> {
    /// What the model answered.
    pub(super) answer: &'a Answer,
    pub(super) label_headers: Option<Vec<Value>>,
    pub(super) feature_headers: Option<&'a [String]>,
    /// For each record what its units add, where it is explained; empty when none is.
    pub(super) explanations: Vec<Option<Explanation>>,
    pub(super) outputs: usize,
}

impl Told<'_> {
    /// The answer.
    ///
    /// # Errors
    /// When what the model answered is not text.
    pub(super) fn written(self) -> Result<Answer, String> {
        let data = std::str::from_utf8(&self.answer.body).map_err(|_| {
            "the model's answer is not UTF-8, so it has no place in an answer with explanations".to_owned()
        })?;
        let content_type = self.answer.content_type.as_deref().unwrap_or(CONTENT_TYPE_DEFAULT);
        let mut body = Vec::with_capacity(data.len() + 256);
        body.extend_from_slice(b"{\"version\":\"");
        body.extend_from_slice(VERSION.as_bytes());
        body.extend_from_slice(b"\",\"predictions\":{\"content_type\":");
        write_text(content_type, &mut body);
        body.extend_from_slice(b",\"data\":");
        write_text(data, &mut body);
        body.push(b'}');
        if let Some(labels) = &self.label_headers {
            body.extend_from_slice(b",\"label_headers\":");
            body.extend_from_slice(Value::Array(labels.clone()).to_string().as_bytes());
        }
        body.extend_from_slice(b",\"explanations\":{");
        if self.explanations.iter().any(Option::is_some) {
            body.extend_from_slice(b"\"kernel_shap\":[");
            for (index, explained) in self.explanations.iter().enumerate() {
                if index > 0 {
                    body.push(b',');
                }
                match explained {
                    None => body.extend_from_slice(b"null"),
                    Some(explained) => self.write_record(explained, &mut body),
                }
            }
            body.push(b']');
        }
        body.extend_from_slice(b"}}");
        Ok(Answer {
            body: body.into(),
            content_type: Some(CONTENT_TYPE.into()),
            custom_attributes: self.answer.custom_attributes.clone(),
            ..Answer::default()
        })
    }

    fn write_record(&self, Explanation { added, parts }: &Explanation, body: &mut Vec<u8>) {
        let mut added = added.chunks_exact(self.outputs);
        let whole = [None];
        let features = if parts.is_empty() { added.len() } else { parts.len() };
        body.push(b'[');
        for feature in 0..features {
            if feature > 0 {
                body.push(b',');
            }
            body.extend_from_slice(b"{\"attributions\":[");
            let units = parts.get(feature).map_or(&whole[..], Vec::as_slice);
            for (place, (part, added)) in units.iter().zip(added.by_ref()).enumerate() {
                if place > 0 {
                    body.push(b',');
                }
                write_unit(part.as_ref(), added, body);
            }
            body.push(b']');
            if let Some(header) = self.feature_headers.and_then(|headers| headers.get(feature)) {
                body.extend_from_slice(b",\"feature_header\":");
                write_text(header, body);
            }
            body.push(b'}');
        }
        body.push(b']');
    }
}

fn write_unit(part: Option<&Part>, added: &[f64], body: &mut Vec<u8>) {
    body.extend_from_slice(b"{\"attribution\":[");
    for (output, value) in added.iter().enumerate() {
        if output > 0 {
            body.push(b',');
        }
        PythonValue::Float(*value).write_json(body);
    }
    body.push(b']');
    if let Some(part) = part {
        body.extend_from_slice(b",\"description\":{\"partial_text\":");
        write_text(&part.text, body);
        body.extend_from_slice(format!(",\"start_idx\":{}}}", part.start).as_bytes());
    }
    body.push(b'}');
}

fn write_text(text: &str, body: &mut Vec<u8>) {
    serde_json::to_writer(body, text).expect("our bug: text is JSON, and memory takes it");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_of_aws_itself_is_written_with_as_many_bytes() {
        // Of AWS's notebook on multi-model endpoints: the answer that it prints came with a content-length of 636.
        let features = ["YEAR_BUILT", "SQUARE_FEET", "NUM_BEDROOMS", "NUM_BATHROOMS", "LOT_ACRES", "GARAGE_SPACES"];
        let added = [
            -71374.38842773436,
            -59293.28198242189,
            329.1957194010429,
            12335.089274088547,
            1766.7894694010465,
            6511.00219726561,
        ];
        let headers = features.map(str::to_owned);
        let answer = Answer { body: "328838.8125".into(), content_type: Some("text/csv".into()), ..Answer::default() };
        let explanations = vec![Some(Explanation { added: added.to_vec(), parts: vec![] })];
        let told =
            Told { answer: &answer, label_headers: None, feature_headers: Some(&headers), explanations, outputs: 1 };
        let written = told.written().unwrap();
        assert_eq!(written.body.len(), 636);
        assert_eq!(written.content_type.as_deref(), Some("application/json"));
        let read: Value = serde_json::from_slice(&written.body).unwrap();
        assert_eq!(read["explanations"]["kernel_shap"][0][1]["feature_header"], "SQUARE_FEET");
        assert_eq!(read["explanations"]["kernel_shap"][0][1]["attributions"][0]["attribution"][0], added[1]);
    }

    #[test]
    fn records_that_are_not_explained_are_null_and_none_at_all_leave_an_empty_object() {
        let answer = Answer { body: "0.5\n\"x\"".into(), ..Answer::default() };
        let told = |explanations| Told {
            answer: &answer,
            label_headers: Some(vec!["no".into(), "yes".into()]),
            feature_headers: None,
            explanations,
            outputs: 2,
        };
        let some = told(vec![None, Some(Explanation { added: vec![0.25, -1e-7], parts: vec![] })]).written().unwrap();
        let wanted = r#"{"version":"1.0","predictions":{"content_type":"text/csv","data":"0.5\n\"x\""},"label_headers":["no","yes"],"explanations":{"kernel_shap":[null,[{"attributions":[{"attribution":[0.25,-1e-07]}]}]]}}"#;
        assert_eq!(some.body, wanted);
        let none = told(vec![None, None]).written().unwrap();
        assert!(none.body.ends_with(br#","explanations":{}}"#));
    }
}
