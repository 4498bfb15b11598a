//! What a model answered, record by record: as data for expressions, as numbers to explain, and as names of classes.
//!
//! | answer | record |
//! | --- | --- |
//! | CSV, a line for each record | a list of its cells; a cell that is a list in Python's or JSON's notation is a list |
//! | CSV, one line with a cell for each record | a list of that one cell |
//! | CSV, one line with a bracketed list for each record | that list, as the XGBoost containers before 1.5 write classes |
//! | JSON Lines | the line's value |
//!
//! Refuses to: explain an answer whose records cannot be told apart.

use serde_json::Value;

use crate::jmespath::Expression;
use crate::record::Layout;

/// Most outputs of a model that are explained together.
pub const OUTPUTS_MAX: usize = 64;
/// How many characters of an answer a refusal quotes.
const QUOTED_MAX_LENGTH: usize = 60;

/// Where in a record of an answer the numbers and the names of classes are.
#[derive(Debug, Clone, Default)]
pub struct Places {
    /// Column of the numbers in an answer in CSV; all of it where nothing is said.
    pub probability_index: Option<usize>,
    /// Where the numbers are in a JSON value.
    pub probability_attribute: Option<Expression>,
    /// Column of the names of classes.
    pub label_index: Option<usize>,
    /// Where the names of classes are in a JSON value.
    pub label_attribute: Option<Expression>,
}

/// The records of an answer.
#[derive(Debug)]
pub struct Outputs {
    layout: Layout,
    records: Vec<Value>,
}

impl Outputs {
    /// Reads an answer to so many records.
    ///
    /// # Errors
    /// When it is in no known layout, or has another number of records.
    pub fn read(layout: Layout, body: &[u8], count: usize) -> Result<Self, String> {
        let text = std::str::from_utf8(body).map_err(|_| "the model's answer is not UTF-8".to_owned())?;
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        let records = match (layout, lines.as_slice()) {
            (Layout::Csv, [line]) if count > 1 || line.trim_start().starts_with('[') => one_line(line, count)?,
            (Layout::Csv, lines) => lines.iter().map(|line| cells_of(line)).collect::<Result<_, _>>()?,
            (Layout::JsonLines, lines) => {
                let value = |line: &&str| {
                    serde_json::from_str(line)
                        .map_err(|_| format!("the model's answer is not JSON Lines: {}", quoted(line)))
                };
                lines.iter().map(value).collect::<Result<_, _>>()?
            }
        };
        Self::counted(layout, records, count)
    }

    /// Reads an answer that is one JSON document: its records are what `path` finds there, and the whole where nothing is
    /// said. What is found at `path` is the numbers themselves, so nothing is left to say where they are.
    ///
    /// # Errors
    /// When it is no JSON, or holds another number of records.
    pub fn of_document(body: &[u8], path: Option<&Expression>, count: usize) -> Result<Self, String> {
        let document: Value =
            serde_json::from_slice(body).map_err(|error| format!("the model's answer is not JSON: {error}"))?;
        let found = match path {
            None => document,
            Some(path) => path.search(&document).map_err(|why| format!("{path} of the model's answer: {why}"))?,
        };
        let records = match found {
            Value::Array(records) if count > 1 || records.len() == 1 => records,
            Value::Null => {
                return Err(format!(
                    "the model's answer has nothing there: {}",
                    quoted(&String::from_utf8_lossy(body))
                ));
            }
            one => vec![one],
        };
        Self::counted(Layout::JsonLines, records, count)
    }

    fn counted(layout: Layout, records: Vec<Value>, count: usize) -> Result<Self, String> {
        if records.len() != count {
            let found = records.len();
            return Err(format!("the model answered {found} records to {count}"));
        }
        Ok(Self { layout, records })
    }

    /// The records, as expressions see them.
    #[must_use]
    pub fn records(&self) -> &[Value] {
        &self.records
    }

    /// The numbers of a record: one, or one for each class.
    ///
    /// # Errors
    /// When there are none, or they are not all numbers.
    pub fn numbers(&self, record: usize, places: &Places) -> Result<Vec<f64>, String> {
        let (found, member) = match self.layout {
            Layout::Csv => (self.at(record, places.probability_index), "ProbabilityIndex"),
            Layout::JsonLines => (self.found(record, places.probability_attribute.as_ref()), "ProbabilityAttribute"),
        };
        let found = found.map_err(|why| format!("{member} of record {} of the model's answer: {why}", record + 1))?;
        let numbers: Option<Vec<f64>> = match &found {
            // Without an index the whole record is meant, and a record of one cell may hold a list.
            Value::Array(cells) => match cells.as_slice() {
                [Value::Array(inner)] => inner.iter().map(number).collect(),
                cells => cells.iter().map(number).collect(),
            },
            value => number(value).map(|number| vec![number]),
        };
        let numbers = numbers.filter(|numbers| !numbers.is_empty()).ok_or_else(|| {
            let shown = quoted(&found.to_string());
            format!(
                "record {} of the model's answer has no number or list of numbers, but {shown}; say with {member} \
                     where they are",
                record + 1
            )
        })?;
        if numbers.len() > OUTPUTS_MAX {
            return Err(format!(
                "the model answers {} numbers a record; {OUTPUTS_MAX} at most are explained",
                numbers.len()
            ));
        }
        Ok(numbers)
    }

    /// The names of the classes in a record, where the configuration says that there are some.
    ///
    /// # Errors
    /// When there are none.
    pub fn labels(&self, record: usize, places: &Places) -> Result<Option<Vec<Value>>, String> {
        let (found, member) = match self.layout {
            Layout::Csv if places.label_index.is_some() => (self.at(record, places.label_index), "LabelIndex"),
            Layout::JsonLines if places.label_attribute.is_some() => {
                (self.found(record, places.label_attribute.as_ref()), "LabelAttribute")
            }
            _ => return Ok(None),
        };
        match found {
            Ok(Value::Array(labels)) => Ok(Some(labels)),
            Ok(label) => Ok(Some(vec![label])),
            Err(why) => Err(format!("{member} of record {} of the model's answer: {why}", record + 1)),
        }
    }

    fn at(&self, record: usize, index: Option<usize>) -> Result<Value, String> {
        let value = &self.records[record];
        let Some(index) = index else { return Ok(value.clone()) };
        let cells = value.as_array().map(Vec::as_slice).unwrap_or_default();
        cells.get(index).cloned().ok_or_else(|| format!("there are {} columns, counted from 0", cells.len()))
    }

    fn found(&self, record: usize, path: Option<&Expression>) -> Result<Value, String> {
        let value = &self.records[record];
        match path.map(|path| path.search(value)) {
            None => Ok(value.clone()),
            Some(Ok(Value::Null)) => Err(format!("nothing is there in {}", quoted(&value.to_string()))),
            Some(found) => found,
        }
    }
}

fn number(value: &Value) -> Option<f64> {
    value.as_f64().filter(|number| number.is_finite())
}

/// One line that stands for several records, or holds bracketed lists.
fn one_line(line: &str, count: usize) -> Result<Vec<Value>, String> {
    if line.trim_start().starts_with('[')
        && let Ok(lists) = serde_json::from_str::<Vec<Vec<Value>>>(&format!("[{line}]"))
    {
        return Ok(lists.into_iter().map(Value::Array).collect());
    }
    let Value::Array(cells) = cells_of(line)? else { return Ok(Vec::new()) };
    Ok(if count > 1 {
        cells.into_iter().map(|cell| Value::Array(vec![cell])).collect()
    } else {
        vec![Value::Array(cells)]
    })
}

fn cells_of(line: &str) -> Result<Value, String> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).trim(csv::Trim::All).from_reader(line.as_bytes());
    let mut record = csv::StringRecord::new();
    match reader.read_record(&mut record) {
        Ok(true) => Ok(Value::Array(record.iter().map(cell).collect())),
        _ => Err(format!("the model's answer is not CSV: {}", quoted(line))),
    }
}

fn cell(text: &str) -> Value {
    if text.starts_with('[') {
        return serde_json::from_str(text).ok().or_else(|| python_list(text)).unwrap_or_else(|| text.into());
    }
    match text.parse::<f64>() {
        // Whole numbers stay whole, as JSON has both.
        Ok(number) => text.parse::<i64>().map_or_else(|_| number.into(), Value::from),
        Err(_) => text.into(),
    }
}

/// A list of strings and numbers as Python prints it.
fn python_list(text: &str) -> Option<Value> {
    let mut rest = text.strip_prefix('[')?.strip_suffix(']')?.trim_start();
    let mut members = Vec::new();
    while let Some(first) = rest.chars().next() {
        let (member, behind) = match first {
            '\'' | '"' => quoted_member(&rest[1..], first)?,
            _ => {
                let (member, behind) = rest.split_at(rest.find(',').unwrap_or(rest.len()));
                (member.trim().parse::<f64>().ok()?.into(), behind)
            }
        };
        members.push(member);
        let behind = behind.trim_start();
        rest = if behind.is_empty() { behind } else { behind.strip_prefix(',')?.trim_start() };
    }
    Some(Value::Array(members))
}

/// A string up to its closing quote, and what stands behind that.
fn quoted_member(text: &str, quote: char) -> Option<(Value, &str)> {
    let mut member = String::new();
    let mut chars = text.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '\\' => member.push(chars.next()?.1),
            char if char == quote => return Some((member.into(), &text[at + char.len_utf8()..])),
            char => member.push(char),
        }
    }
    None
}

fn quoted(text: &str) -> String {
    let mut shown: String = text.chars().take(QUOTED_MAX_LENGTH).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    format!("{shown:?}")
}
