//! Both bodies of a call to rows: output columns first, then input columns.
//!
//! The sides may be encoded differently. When both have k rows they pair by row; when the output is one flat list of k
//! values and the input has k rows, each row gets one of them (containers join the answers of a batch with commas). A CSV
//! body whose first line only names its columns gives its other lines: the line is taken for names when every cell of it is
//! a text of its own, every other line has a number, and the other side has one row less (or was not captured).
//! Invariant: every row of one call has its output and its input part, or the call is refused with a reason.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::cell::Cell;
use super::naming::Naming;
use super::record::{CapturedRecord, Encoding, Side};
use super::{csv_rows, explained, json_rows};

/// One row of the data set before it is laid into columns.
#[derive(Debug, Clone, PartialEq)]
pub struct Row<'a> {
    /// Name of each cell where the body gave one; empty when no cell has a name.
    pub names: Vec<Option<String>>,
    /// The cells, in the order of the body.
    pub cells: Vec<Cell<'a>>,
}

/// A row of the answer and the row of the request that it belongs to; a side that was not captured is absent.
pub type Pair<'a> = (Option<Row<'a>>, Option<Row<'a>>);

/// Text of a body and how to read it, kept so that rows can borrow from it.
#[derive(Debug, Clone, PartialEq)]
pub struct Body<'a> {
    text: Cow<'a, str>,
    json: bool,
}

impl<'a> Body<'a> {
    /// # Errors
    /// Why the body is neither CSV nor JSON text.
    pub(crate) fn of(side: &'a Side<'a>) -> Result<Self, String> {
        let borrowed = Cow::Borrowed(side.data.0.as_ref());
        match side.encoding {
            Encoding::Csv => Ok(Self { text: borrowed, json: false }),
            Encoding::Json => Ok(Self { text: borrowed, json: true }.unexplained()),
            Encoding::Base64 => Self::of_base64(side),
        }
    }

    fn of_base64(side: &Side<'_>) -> Result<Self, String> {
        let content_type = side.observed_content_type.as_ref().map_or("", |text| text.0.as_ref());
        let (media_type, json) = read_as(content_type)?;
        let bytes =
            STANDARD.decode(side.data.0.as_bytes()).map_err(|error| format!("the body is not BASE64: {error}"))?;
        let text = String::from_utf8(bytes).map_err(|_| format!("the body says {media_type} but is not UTF-8"))?;
        Ok(Self { text: Cow::Owned(text), json }.unexplained())
    }

    /// A body as it travelled: CSV or JSON where it is captured as such, else by what its content type says.
    ///
    /// # Errors
    /// Why it is neither CSV nor JSON text.
    pub fn travelled(encoding: Encoding, content_type: Option<&str>, bytes: &'a [u8]) -> Result<Self, String> {
        let (name, json) = match encoding {
            Encoding::Csv => ("CSV".to_owned(), false),
            Encoding::Json => ("JSON".to_owned(), true),
            Encoding::Base64 => read_as(content_type.unwrap_or(""))?,
        };
        let text = std::str::from_utf8(bytes).map_err(|_| format!("the body says {name} but is not UTF-8"))?;
        Ok(Self { text: Cow::Borrowed(text), json }.unexplained())
    }

    /// Of an answer with explanations the model's own, in a form that is read here.
    fn unexplained(self) -> Self {
        let predictions = if self.json { explained::predictions(&self.text) } else { None };
        match predictions.and_then(|own| Some((read_as(&own.content_type).ok()?.1, own.data.into_owned()))) {
            Some((json, text)) => Self { text: Cow::Owned(text), json },
            None => self,
        }
    }

    /// The only line of a CSV body without quotes, when it is one: the common case, which needs no row objects.
    pub(crate) fn plain_csv_line(&self) -> Option<&str> {
        if self.json {
            return None;
        }
        let line = self.text.strip_suffix('\n').unwrap_or(&self.text);
        let line = line.strip_suffix('\r').unwrap_or(line);
        let plain = !line.is_empty() && memchr::memchr3(b'\n', b'\r', b'"', line.as_bytes()).is_none();
        plain.then_some(line)
    }

    fn rows(&self) -> Result<Rows<'_>, String> {
        if self.json {
            let json_rows::JsonRows { rows, flat, whole } = json_rows::rows(&self.text)?;
            let row = |row: json_rows::NamedRow| Row {
                names: row.names.map_or_else(Vec::new, |names| names.into_iter().map(Some).collect()),
                cells: row.cells,
            };
            return Ok(Rows { rows: rows.into_iter().map(row).collect(), flat, whole: whole.map(row) });
        }
        let rows: Vec<Row<'_>> = csv_rows::rows(&self.text)?
            .into_iter()
            .map(|cells| Row { names: Vec::new(), cells: cells.into_iter().map(Cell::parse).collect() })
            .collect();
        Ok(Rows { flat: rows.len() == 1, rows, whole: None })
    }
}

/// Rows of a body.
struct Rows<'a> {
    rows: Vec<Row<'a>>,
    /// They came from one flat list, which may also mean one row per value.
    flat: bool,
    /// The same as one row, where lists by name were taken for columns and may as well be vectors.
    whole: Option<Row<'a>>,
}

/// The media type of a body that was not captured as text, and whether it is read as JSON.
fn read_as(content_type: &str) -> Result<(String, bool), String> {
    let media_type = content_type.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    match media_type.as_str() {
        "text/csv" | "csv" => Ok((media_type, false)),
        "application/json"
        | "application/jsonlines"
        | "application/x-jsonlines"
        | "application/jsonl"
        | "application/x-ndjson" => Ok((media_type, true)),
        json if json.ends_with("+json") || json == "application/vnd.sagemaker.json" => Ok((media_type, true)),
        "" => Err("the body is BASE64 without a content type, so it cannot be read as CSV or JSON".into()),
        other => Err(format!(
            "the body is BASE64 of {other}; only CSV and JSON are read (text/csv, application/json, application/jsonlines, …+json)"
        )),
    }
}

/// The bodies of a call, output first; a side that was not captured is absent.
///
/// # Errors
/// Why a side cannot be read.
pub(crate) fn bodies<'a>(record: &'a CapturedRecord<'a>) -> Result<(Option<Body<'a>>, Option<Body<'a>>), String> {
    let of = |side: &'a Option<Side<'a>>, name: &str| {
        side.as_ref().map(Body::of).transpose().map_err(|reason| format!("{name}: {reason}"))
    };
    let output = of(&record.capture_data.endpoint_output, "output")?;
    let input = of(&record.capture_data.endpoint_input, "input")?;
    if output.is_none() && input.is_none() {
        return Err("neither input nor output was captured".into());
    }
    Ok((output, input))
}

/// Rows of both bodies, each pair joined to one row.
///
/// # Errors
/// When they are no rows or do not pair.
pub(crate) fn paired<'b>(
    output: Option<&'b Body<'_>>,
    input: Option<&'b Body<'_>>,
    naming: &Naming,
) -> Result<Vec<Row<'b>>, String> {
    let named = |(mut output, mut input): Pair<'b>| {
        output.iter_mut().for_each(|row| naming.name_output(row));
        input.iter_mut().for_each(|row| naming.name_input(row));
        (output, input)
    };
    let joined = |pair: Pair<'b>| match named(pair) {
        (Some(mut output), Some(input)) => {
            if !(output.names.is_empty() && input.names.is_empty()) {
                output.names.resize(output.cells.len(), None);
                output.names.extend(input.names);
                output.names.resize(output.cells.len() + input.cells.len(), None);
            }
            output.cells.extend(input.cells);
            Some(output)
        }
        (one, other) => one.or(other),
    };
    Ok(pairs(output, input)?.into_iter().filter_map(joined).collect())
}

/// Pairs the rows of both bodies; there is one pair at least.
///
/// # Errors
/// When they are no rows or do not pair.
pub fn pairs<'b>(output: Option<&'b Body<'_>>, input: Option<&'b Body<'_>>) -> Result<Vec<Pair<'b>>, String> {
    let rows_of = |body: Option<&'b Body<'_>>, name: &str| {
        body.map(Body::rows).transpose().map_err(|reason| format!("{name}: {reason}"))
    };
    let pairs: Vec<Pair<'b>> = match (rows_of(output, "output")?, rows_of(input, "input")?) {
        (Some(outputs), None) => without_header(outputs.rows, None).into_iter().map(|row| (Some(row), None)).collect(),
        (None, Some(inputs)) => without_header(inputs.rows, None).into_iter().map(|row| (None, Some(row))).collect(),
        (None, None) => return Ok(Vec::new()),
        (Some(Rows { rows: outputs, flat, .. }), Some(Rows { rows: mut inputs, whole, .. })) => {
            let is_one = outputs.len() == 1 && inputs.len() > 1 && outputs[0].cells.len() != inputs.len();
            if let Some(whole) = whole.filter(|_| is_one) {
                inputs = vec![whole];
            }
            let (output_rows, input_rows) = (outputs.len(), inputs.len());
            let (outputs, inputs) = if has_header(&outputs) && has_header(&inputs) && output_rows == input_rows {
                (without_header(outputs, None), without_header(inputs, None))
            } else {
                (without_header(outputs, Some(input_rows)), without_header(inputs, Some(output_rows)))
            };
            let outputs = one_value_per_row(outputs, flat, inputs.len());
            if outputs.len() != inputs.len() {
                return Err(format!("{} output rows do not pair with {} input rows", outputs.len(), inputs.len()));
            }
            outputs.into_iter().map(Some).zip(inputs.into_iter().map(Some)).collect()
        }
    };
    if pairs.is_empty() { Err("the bodies hold no rows".into()) } else { Ok(pairs) }
}

/// Whether the first of these rows names the columns of the others.
fn has_header(rows: &[Row<'_>]) -> bool {
    let Some((first, others)) = rows.split_first().filter(|(_, others)| !others.is_empty()) else { return false };
    let mut seen = std::collections::HashSet::new();
    let names = first.names.is_empty()
        && first.cells.iter().all(|cell| matches!(cell, Cell::Text(text) if seen.insert(text.trim())));
    names && others.iter().all(|row| row.cells.iter().any(|cell| matches!(cell, Cell::Number { .. })))
}

/// The rows with names from their header, when they have one and, without it, as many rows as the other side.
fn without_header<'b>(mut rows: Vec<Row<'b>>, other_side: Option<usize>) -> Vec<Row<'b>> {
    if other_side.is_some_and(|count| rows.len() != count + 1) || !has_header(&rows) {
        return rows;
    }
    let names = rows.remove(0).cells.into_iter().map(|cell| match cell {
        Cell::Text(name) => Some(name.trim().to_owned()),
        Cell::Missing | Cell::Number { .. } => None,
    });
    let names: Vec<Option<String>> = names.collect();
    for row in rows.iter_mut().filter(|row| row.cells.len() == names.len()) {
        row.names.clone_from(&names);
    }
    rows
}

fn one_value_per_row(mut outputs: Vec<Row<'_>>, flat: bool, input_rows: usize) -> Vec<Row<'_>> {
    if flat && input_rows > 1 && outputs.len() == 1 && outputs[0].cells.len() == input_rows {
        let cells = std::mem::take(&mut outputs[0].cells);
        return cells.into_iter().map(|cell| Row { names: Vec::new(), cells: vec![cell] }).collect();
    }
    outputs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::record::Text;

    fn side(data: &str, encoding: Encoding, content_type: &str) -> Side<'static> {
        let owned = |text: &str| Text(Cow::Owned(text.to_owned()));
        Side { observed_content_type: Some(owned(content_type)), data: owned(data), encoding }
    }

    fn pair(output: &Side<'_>, input: &Side<'_>) -> Result<Vec<Vec<String>>, String> {
        let (output, input) = (Body::of(output)?, Body::of(input)?);
        let text = |cell: &Cell<'_>| match cell {
            Cell::Missing => String::new(),
            Cell::Number { text, .. } | Cell::Text(text) => text.to_string(),
        };
        Ok(paired(Some(&output), Some(&input), &Naming::default())?
            .iter()
            .map(|row| row.cells.iter().map(text).collect())
            .collect())
    }

    #[test]
    fn output_comes_first_whatever_the_encodings() {
        let csv = |data: &str| side(data, Encoding::Csv, "text/csv");
        let json = |data: &str| side(data, Encoding::Json, "application/json");
        assert_eq!(pair(&csv("0.5"), &csv("1,2\n")).unwrap(), [["0.5", "1", "2"]]);
        assert_eq!(pair(&json("{\"predictions\":[{\"score\":0.5}]}"), &csv("1,2")).unwrap(), [["0.5", "1", "2"]]);
        assert_eq!(
            pair(&side("MC41", Encoding::Base64, "text/csv; charset=utf-8"), &csv("1")).unwrap(),
            [["0.5", "1"]]
        );
    }

    #[test]
    fn answers_with_explanations_count_as_the_models_own() {
        let answer = |data: &str| {
            format!(
                r#"{{"version":"1.0","predictions":{{"content_type":"text/csv; charset=utf-8","data":{data}}},"explanations":{{}}}}"#
            )
        };
        let csv = side("1,2\n3,4", Encoding::Csv, "text/csv");
        let two = side(&answer(r#""0.1\n0.2\n""#), Encoding::Json, "application/json");
        assert_eq!(pair(&two, &csv).unwrap(), [["0.1", "1", "2"], ["0.2", "3", "4"]]);
        let travelled = answer(r#""0.5""#);
        let body = Body::travelled(Encoding::Base64, Some("application/json"), travelled.as_bytes()).unwrap();
        assert_eq!(pairs(Some(&body), None).unwrap().len(), 1);
        let other = side(r#"{"version":1,"score":0.5}"#, Encoding::Json, "application/json");
        assert_eq!(pair(&other, &side("7", Encoding::Csv, "text/csv")).unwrap(), [["1", "0.5", "7"]]);
    }

    #[test]
    fn batches_pair_row_by_row_joined_by_lines_or_commas() {
        let csv = |data: &str| side(data, Encoding::Csv, "text/csv");
        for output in ["0.1\n0.2\n", "0.1,0.2"] {
            assert_eq!(pair(&csv(output), &csv("1,2\n3,4\n")).unwrap(), [["0.1", "1", "2"], ["0.2", "3", "4"]]);
        }
        assert_eq!(pair(&csv("0.1,0.9"), &csv("1")).unwrap(), [["0.1", "0.9", "1"]]);
        assert!(pair(&csv("0.1\n0.2"), &csv("1,2")).unwrap_err().contains("2 output rows do not pair with 1 input"));
    }

    #[test]
    fn lists_by_name_pair_with_an_answer_for_each_place_or_one_for_all() {
        let input = side(r#"{"inputs":{"a":[1,2],"b":[3,4]}}"#, Encoding::Json, "application/json");
        let json = |data: &str| side(data, Encoding::Json, "application/json");
        assert_eq!(pair(&json(r#"{"predictions":[5,6]}"#), &input).unwrap(), [["5", "1", "3"], ["6", "2", "4"]]);
        assert_eq!(pair(&json(r#"{"predictions":[[5],[6]]}"#), &input).unwrap().len(), 2);
        assert_eq!(pair(&json("0.5"), &input).unwrap(), [["0.5", "1", "2", "3", "4"]]);
    }

    #[test]
    fn a_first_line_of_names_is_no_row() {
        let body = |text: &str| Body { text: Cow::Owned(text.to_owned()), json: false };
        let read = |output: Option<&str>, input: Option<&str>| -> Result<Vec<(String, usize)>, String> {
            let (output, input) = (output.map(body), input.map(body));
            let rows = paired(output.as_ref(), input.as_ref(), &Naming::default())?;
            let shown = rows.iter().map(|row| {
                let names: Vec<&str> = row.names.iter().map(|name| name.as_deref().unwrap_or("-")).collect();
                (names.join(" "), row.cells.len())
            });
            Ok(shown.collect())
        };
        let two = "age,bmi\n25,22.5\n31,\n";
        assert_eq!(read(None, Some(two)).unwrap(), [("age bmi".to_owned(), 2), ("age bmi".to_owned(), 2)]);
        assert_eq!(read(Some("0.1\n0.2"), Some(two)).unwrap()[1], ("- age bmi".to_owned(), 3));
        assert_eq!(read(Some("score\n0.1\n0.2"), Some(two)).unwrap()[1], ("score age bmi".to_owned(), 3));
        assert_eq!(read(Some("score\n0.1\n0.2"), Some("25,22\n31,2")).unwrap()[1], ("score - -".to_owned(), 3));
        assert_eq!(read(Some("0.1,0.9"), Some("age,bmi\n25,22\n")).unwrap(), [("- - age bmi".to_owned(), 4)]);
        // Rows of texts are rows, and so is a first row that the other side has an answer to.
        assert_eq!(read(None, Some("red,big\nblue,small\n")).unwrap().len(), 2);
        assert_eq!(read(Some("1\n2\n3"), Some("red,big\n2,small\n3,x\n")).unwrap().len(), 3);
    }

    #[test]
    fn bodies_as_they_travelled_are_read_like_captured_ones() {
        let read = |encoding, content_type, bytes: &'static [u8]| {
            Body::travelled(encoding, content_type, bytes)
                .and_then(|body| pairs(None, Some(&body)).map(|rows| rows.len()))
        };
        assert_eq!(read(Encoding::Csv, None, b"1,2\n3,4\n"), Ok(2));
        assert_eq!(read(Encoding::Json, Some("application/jsonlines"), b"{\"a\":1}\n{\"a\":2}\n\n"), Ok(2));
        assert_eq!(read(Encoding::Base64, Some("application/json; charset=utf-8"), b"[[1],[2],[3]]"), Ok(3));
        assert!(read(Encoding::Base64, None, b"1").unwrap_err().contains("without a content type"));
        assert!(read(Encoding::Csv, None, b"\xff").unwrap_err().contains("not UTF-8"));
        assert!(read(Encoding::Json, None, b"").unwrap_err().contains("not JSON"));
    }

    #[test]
    fn bodies_that_are_not_tables_say_so() {
        let image = side("AAAA", Encoding::Base64, "image/png");
        assert!(Body::of(&image).unwrap_err().contains("image/png"));
        let broken = side("*", Encoding::Base64, "text/csv");
        assert!(Body::of(&broken).unwrap_err().contains("not BASE64"));
        let csv = side("1", Encoding::Csv, "text/csv");
        let empty = side("", Encoding::Csv, "text/csv");
        assert!(pair(&empty, &csv).is_err());
    }
}
