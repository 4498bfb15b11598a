//! What columns are called, by whoever knows better than the data: a file of names.
//!
//! ```text
//! ["score", "age", "income"]                                     by place, the answer first; or a name on each line
//! {"f1": "age", "/customer/income": "income"}                    what is sent -> what it is called, on both sides
//! {"outputs": ["score"], "inputs": ["age", "income"]}            side by side, each by place or by what is sent
//! {"outputs": [{"name": "score", "type": "Fractional"}], "inputs": […]}   a model's signature, as `captura sql` reads it
//! ```
//!
//! What is sent is a member's name, members inside members by path (`customer.income`) or by JSON pointer (`/customer/income`),
//! in a row as the reader of bodies finds it.
//!
//! Invariant: no two names of a side are the same. Refuses to: name a side by place that has another width; it keeps the names
//! that it has.

use std::collections::{BTreeMap, HashSet};

use serde::Serialize;
use serde_json::{Map, Value};

use super::MAX_COLUMNS;
use super::body::Row;

/// Members of a document that say it has two sides.
const SIDES: [&str; 2] = ["outputs", "inputs"];

/// What the columns of both sides are called.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Naming {
    /// All columns by place, those of the answer first, where that is known.
    columns: Option<Vec<String>>,
    /// Of the answer.
    outputs: SideNaming,
    /// Of the request.
    inputs: SideNaming,
}

/// What the columns of one side are called.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
enum SideNaming {
    /// As they are sent.
    #[default]
    AsSent,
    /// By place, where they have no names.
    ByPlace(Vec<String>),
    /// By what is sent.
    BySent(BTreeMap<String, String>),
}

/// A file that names nothing, or not as it should.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the names {0}")]
pub struct InvalidNaming(String);

fn invalid<T>(reason: impl Into<String>) -> Result<T, InvalidNaming> {
    Err(InvalidNaming(reason.into()))
}

impl Naming {
    /// Reads a file of names: JSON in one of the forms above, or a name on each line.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn parse(text: &str) -> Result<Self, InvalidNaming> {
        let text = text.trim_start_matches('\u{feff}').trim();
        if text.is_empty() {
            return invalid("are none: the file is empty");
        }
        if !text.starts_with(['{', '[']) {
            return Ok(Self { columns: Some(of_lines(text)?), ..Self::default() });
        }
        let document = serde_json::from_str(text).or_else(|error| invalid(format!("are no JSON: {error}")))?;
        match document {
            Value::Array(items) if items.is_empty() => invalid("are none: the list is empty"),
            Value::Array(items) => Ok(Self { columns: Some(by_place("", &items)?), ..Self::default() }),
            Value::Object(members) if has_sides(&members) => Self::of_sides(&members),
            Value::Object(members) => {
                let both = SideNaming::BySent(by_sent("", &members)?);
                Ok(Self { columns: None, outputs: both.clone(), inputs: both })
            }
            _ => invalid("are neither a list nor an object"),
        }
    }

    fn of_sides(members: &Map<String, Value>) -> Result<Self, InvalidNaming> {
        if let Some(other) = members.keys().find(|name| !SIDES.contains(&name.as_str())) {
            return invalid(format!("have the sides outputs and inputs, and beside them {other:?}"));
        }
        let side = |name: &str| match members.get(name) {
            None => Ok(SideNaming::AsSent),
            Some(Value::Array(items)) => by_place(name, items).map(SideNaming::ByPlace),
            Some(Value::Object(members)) => by_sent(name, members).map(SideNaming::BySent),
            Some(_) => invalid(format!("have {name} that are neither a list nor an object")),
        };
        let (outputs, inputs) = (side(SIDES[0])?, side(SIDES[1])?);
        let columns = match (&outputs, &inputs) {
            (SideNaming::ByPlace(outputs), SideNaming::ByPlace(inputs)) => Some([&outputs[..], inputs].concat()),
            _ => None,
        };
        Ok(Self { columns, outputs, inputs })
    }

    /// All columns by place, those of the answer first, where the names of both sides are by place.
    #[must_use]
    pub fn columns(&self) -> Option<&Vec<String>> {
        self.columns.as_ref()
    }

    /// The columns of what is sent to a model, by place.
    #[must_use]
    pub fn features(&self) -> Option<&Vec<String>> {
        match &self.inputs {
            SideNaming::ByPlace(names) => Some(names),
            _ => None,
        }
    }

    /// The columns of what a model answers, by place.
    #[must_use]
    pub fn answers(&self) -> Option<&Vec<String>> {
        match &self.outputs {
            SideNaming::ByPlace(names) => Some(names),
            _ => None,
        }
    }

    /// The names among these that no column has, each once: those of a side of another width, or of what is not sent.
    pub(crate) fn unused<'n>(&'n self, columns: impl Iterator<Item = &'n str>) -> Vec<&'n str> {
        let columns: HashSet<&str> = columns.collect();
        let sides = [&self.outputs, &self.inputs].into_iter().flat_map(SideNaming::names);
        let mut unused: Vec<&str> = sides.filter(|name| !columns.contains(name)).collect();
        unused.sort_unstable();
        unused.dedup();
        unused
    }

    /// Whether names of data stay what they are.
    pub(crate) fn changes_nothing(&self) -> bool {
        matches!((&self.outputs, &self.inputs), (SideNaming::AsSent, SideNaming::AsSent))
    }

    /// Whether a row without names has all of its names from its columns, so that it need not be looked at side by side: where
    /// no side is named by place, or both are and both were captured.
    pub(crate) fn is_of_whole_rows(&self, has_both_sides: bool) -> bool {
        let by_place = |side: &SideNaming| matches!(side, SideNaming::ByPlace(_));
        (self.columns.is_some() && has_both_sides) || !(by_place(&self.outputs) || by_place(&self.inputs))
    }

    /// Names the cells of an answer.
    pub fn name_output(&self, row: &mut Row<'_>) {
        self.outputs.name(row);
    }

    /// Names the cells of a request.
    pub fn name_input(&self, row: &mut Row<'_>) {
        self.inputs.name(row);
    }

    /// Names the columns of a table, which has no sides.
    pub(crate) fn name_columns<'n>(&self, names: impl IntoIterator<Item = &'n mut String>) {
        if self.changes_nothing() {
            return;
        }
        for name in names {
            if let Some(called) = self.inputs.called(name).or_else(|| self.outputs.called(name)) {
                called.clone_into(name);
            }
        }
    }
}

impl SideNaming {
    fn names(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        match self {
            Self::AsSent => Box::new(std::iter::empty()),
            Self::ByPlace(names) => Box::new(names.iter().map(String::as_str)),
            Self::BySent(names) => Box::new(names.values().map(String::as_str)),
        }
    }

    fn called(&self, sent: &str) -> Option<&str> {
        match self {
            Self::BySent(names) => names.get(sent).map(String::as_str),
            _ => None,
        }
    }

    fn name(&self, row: &mut Row<'_>) {
        match self {
            Self::AsSent => {}
            Self::ByPlace(names) if row.names.is_empty() && names.len() == row.cells.len() => {
                row.names = names.iter().cloned().map(Some).collect();
            }
            Self::ByPlace(_) => {}
            Self::BySent(names) => {
                for name in row.names.iter_mut().flatten() {
                    if let Some(called) = names.get(name) {
                        called.clone_into(name);
                    }
                }
            }
        }
    }
}

/// Whether it tells the sides apart, and does not only rename members that are called like them.
fn has_sides(members: &Map<String, Value>) -> bool {
    SIDES.iter().any(|side| members.get(*side).is_some_and(|value| value.is_array() || value.is_object()))
}

/// A name on each line, or names with commas between them on the only one.
fn of_lines(text: &str) -> Result<Vec<String>, InvalidNaming> {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let names: Vec<&str> = match lines[..] {
        [line] => line.split(',').map(str::trim).collect(),
        _ => lines,
    };
    checked("", names.into_iter().map(str::to_owned).collect())
}

fn by_place(side: &str, items: &[Value]) -> Result<Vec<String>, InvalidNaming> {
    let mut names = Vec::new();
    for (place, item) in items.iter().enumerate() {
        match item {
            Value::String(name) => names.push(name.clone()),
            Value::Object(field) => {
                names.extend(of_field(field).or_else(|reason| {
                    invalid(format!("have a field at place {place}{} that {reason}", of_side(side)))
                })?)
            }
            other => return invalid(format!("have {other} at place {place}{}, which is no name", of_side(side))),
        }
        if names.len() > MAX_COLUMNS {
            return invalid(format!("are more than {MAX_COLUMNS}"));
        }
    }
    checked(side, names)
}

/// The columns of a field of a signature: one, or one for each element.
fn of_field(field: &Map<String, Value>) -> Result<Vec<String>, String> {
    let Some(name) = field.get("name").and_then(Value::as_str) else { return Err("has no name".to_owned()) };
    let shape = match field.get("shape") {
        None | Some(Value::Null) => return Ok(vec![name.to_owned()]),
        Some(shape) => shape.as_array().ok_or("has a shape that is no list")?,
    };
    let width = shape.iter().try_fold(1_usize, |width, dimension| {
        let dimension = usize::try_from(dimension.as_u64()?).ok()?;
        width.checked_mul(dimension).filter(|width| *width <= MAX_COLUMNS)
    });
    match width {
        None => Err(format!("is called {name} and has no fixed number of elements, so that places cannot be told")),
        Some(1) => Ok(vec![name.to_owned()]),
        Some(width) => Ok((0..width).map(|element| format!("{name}.{element}")).collect()),
    }
}

fn by_sent(side: &str, members: &Map<String, Value>) -> Result<BTreeMap<String, String>, InvalidNaming> {
    let mut names = BTreeMap::new();
    let mut called = Vec::new();
    for (sent, value) in members {
        let Value::String(name) = value else {
            return invalid(format!("call {sent:?} {value}{}, which is no name", of_side(side)));
        };
        called.push(name.clone());
        if names.insert(path(sent), name.clone()).is_some() {
            return invalid(format!("tell twice{} what {sent:?} is called", of_side(side)));
        }
    }
    checked(side, called)?;
    Ok(names)
}

/// The path of a JSON pointer; what is none is a path already.
fn path(sent: &str) -> String {
    let Some(pointer) = sent.strip_prefix('/') else { return sent.to_owned() };
    let parts = pointer.split('/').map(|part| part.replace("~1", "/").replace("~0", "~"));
    parts.collect::<Vec<_>>().join(".")
}

fn checked(side: &str, names: Vec<String>) -> Result<Vec<String>, InvalidNaming> {
    let mut seen = HashSet::new();
    for (place, name) in names.iter().enumerate() {
        if name.is_empty() {
            return invalid(format!("have none at place {place}{}", of_side(side)));
        }
        if !seen.insert(name) {
            return invalid(format!("call two columns{} {name:?}", of_side(side)));
        }
    }
    Ok(names)
}

fn of_side(side: &str) -> String {
    if side.is_empty() { String::new() } else { format!(" of {side}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::Cell;

    fn columns(text: &str) -> Vec<String> {
        Naming::parse(text).unwrap().columns().unwrap().clone()
    }

    fn named(naming: &Naming, names: &[&str], cells: usize) -> Vec<String> {
        let names = names.iter().map(|name| Some((*name).to_owned())).collect();
        let mut row = Row { names, cells: vec![Cell::Missing; cells] };
        naming.name_input(&mut row);
        row.names.into_iter().map(Option::unwrap_or_default).collect()
    }

    #[test]
    fn names_by_place_come_from_lines_lists_sides_and_signatures() {
        let expected = ["score", "age", "income"];
        for text in [
            "score\nage\r\nincome\n",
            "\u{feff}score, age,income\n",
            r#"["score", "age", "income"]"#,
            r#"{"inputs": ["age", "income"], "outputs": ["score"]}"#,
            r#"{"inputs": [{"name": "age", "type": "Integral"}, {"name": "income", "type": "Fractional"}],
                "outputs": [{"name": "score", "type": "Fractional", "shape": [1]}]}"#,
        ] {
            assert_eq!(columns(text), expected, "{text}");
        }
        let tensor = r#"{"outputs": [], "inputs": [{"name": "x", "type": "Fractional", "shape": [2, 2]}]}"#;
        assert_eq!(columns(tensor), ["x.0", "x.1", "x.2", "x.3"]);
    }

    #[test]
    fn what_is_sent_is_called_otherwise_by_member_by_path_and_by_pointer() {
        let naming = Naming::parse(r#"{"f1": "age", "/customer/net~1gross": "income", "inputs": "text"}"#).unwrap();
        assert_eq!(naming.columns(), None);
        let sent = ["f1", "customer.net/gross", "inputs", "other"];
        assert_eq!(named(&naming, &sent, 4), ["age", "income", "text", "other"]);
        let mut header = ["f1".to_owned(), "x".to_owned()];
        naming.name_columns(&mut header);
        assert_eq!(header, ["age", "x"]);
        assert!(naming.is_of_whole_rows(true) && !naming.changes_nothing());
    }

    #[test]
    fn a_side_by_place_names_cells_that_have_none_where_there_are_as_many() {
        let naming = Naming::parse(r#"{"inputs": ["age", "income"]}"#).unwrap();
        assert!(naming.columns().is_none() && !naming.is_of_whole_rows(true));
        assert_eq!(named(&naming, &[], 2), ["age", "income"]);
        assert_eq!(named(&naming, &[], 3), [""; 0], "another width");
        assert_eq!(named(&naming, &["a", "b"], 2), ["a", "b"], "names in the data win");
    }

    #[test]
    fn what_names_nothing_is_refused_with_what_and_where() {
        for (text, words) in [
            ("", "the file is empty"),
            ("[]", "the list is empty"),
            (",a", "none at place 0"),
            ("a\n\nb", "none at place 1"),
            ("a\na", "two columns \"a\""),
            ("[1]", "1 at place 0, which is no name"),
            (r#"{"a": "x", "b": "x"}"#, "two columns \"x\""),
            (r#"{"a": 1}"#, "call \"a\" 1"),
            (r#"{"a.b": "x", "/a/b": "y"}"#, "twice"),
            (r#"{"inputs": ["a"], "a": "b"}"#, "beside them \"a\""),
            (r#"{"inputs": ["a"], "outputs": 3}"#, "outputs that are neither"),
            (r#"{"inputs": [{"type": "String"}]}"#, "place 0 of inputs that has no name"),
            (r#"{"inputs": [{"name": "x", "shape": [null]}]}"#, "no fixed number"),
            ("{", "no JSON"),
        ] {
            let error = Naming::parse(text).unwrap_err().to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
    }
}
