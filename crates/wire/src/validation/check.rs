//! Walks an input along its shape and collects what does not fit.

use serde_json::{Map, Value};

use super::{Member, Shape, at_least_long, at_most_long, one_of, satisfies};
use crate::aws_json::{Fault, FaultCode, read_timestamp};

/// Failures that are written out; further ones are counted only.
const WRITTEN_FAILURES_MAX: usize = 20;
/// Characters of an offending value that are written out.
const SHOWN_VALUE_MAX_LENGTH: usize = 1_024;

/// Checks an input, nulls dropped, against the members of its shape.
///
/// # Errors
/// `SerializationException` at the first member of a wrong JSON type, else `ValidationException` with all failures.
pub fn check(input: &Map<String, Value>, members: &'static [Member]) -> Result<(), Fault> {
    let mut findings = Findings::default();
    findings.structure("", input, members)?;
    findings.into_result()
}

#[derive(Default)]
struct Findings {
    failures: Vec<String>,
    count: usize,
}

impl Findings {
    fn structure(&mut self, path: &str, object: &Map<String, Value>, members: &'static [Member]) -> Result<(), Fault> {
        for member in members {
            let path = join(path, member.name);
            match object.get(member.name) {
                Some(value) => self.value(&path, value, member.shape)?,
                None if member.required => self.fail(&path, "null", "Member must not be null"),
                None => {}
            }
        }
        Ok(())
    }

    fn value(&mut self, path: &str, value: &Value, shape: &'static Shape) -> Result<(), Fault> {
        match (shape, value) {
            (Shape::Opaque, _) => {}
            (Shape::Text { min, max, pattern }, Value::String(text)) => {
                let length = text.chars().count();
                if length > *max {
                    self.fail(path, &quoted(value), &at_most_long(*max));
                }
                if length < *min {
                    self.fail(path, &quoted(value), &at_least_long(*min));
                }
                if let Some(pattern) = pattern.filter(|pattern| !pattern.matches(text)) {
                    self.fail(path, &quoted(value), &satisfies(pattern));
                }
            }
            (Shape::OneOf(words), Value::String(text)) => {
                if !words.contains(&text.as_str()) {
                    self.fail(path, &quoted(value), &one_of(words));
                }
            }
            (Shape::Integer { min, max }, Value::Number(number)) if number.is_i64() || number.is_u64() => {
                // A number beyond 64 bits with sign is beyond every limit as well.
                let number = number.as_i64().unwrap_or(i64::MAX);
                self.number(path, value, (number < *min, &min.to_string()), (number > *max, &max.to_string()));
            }
            (Shape::Float { min }, Value::Number(number)) => {
                let number = number.as_f64().unwrap_or(f64::INFINITY);
                let most = f32::MAX;
                self.number(
                    path,
                    value,
                    (number < *min, &min.to_string()),
                    (number > f64::from(most), &format!("{most:e}")),
                );
            }
            (Shape::Double, Value::Number(_)) => {}
            (Shape::Boolean, Value::Bool(_)) => {}
            (Shape::Timestamp, value) if read_timestamp(value).is_some() => {}
            (Shape::List { member, min, max }, Value::Array(list)) => {
                self.list(path, value, list, (member, *min, *max))?
            }
            (Shape::Map { key, value: member, max }, Value::Object(map)) => {
                self.map(path, value, map, (key, member, *max))?;
            }
            (Shape::Structure(members), Value::Object(object)) => self.structure(path, object, members)?,
            _ => return Err(wrong_type(path, value, shape)),
        }
        Ok(())
    }

    fn number(&mut self, path: &str, value: &Value, too_small: (bool, &str), too_large: (bool, &str)) {
        if too_large.0 {
            self.fail(path, &quoted(value), &format!("Member must have value less than or equal to {}", too_large.1));
        }
        if too_small.0 {
            self.fail(
                path,
                &quoted(value),
                &format!("Member must have value greater than or equal to {}", too_small.1),
            );
        }
    }

    /// Structures in lists are named by position; failures of plain members are reported for the list as a whole.
    fn list(
        &mut self,
        path: &str,
        value: &Value,
        list: &[Value],
        (member, min, max): (&'static Shape, usize, usize),
    ) -> Result<(), Fault> {
        if list.len() > max {
            self.fail(path, &quoted(value), &at_most_long(max));
            return Ok(());
        }
        if list.len() < min {
            self.fail(path, &quoted(value), &at_least_long(min));
        }
        let mut members = Self::default();
        for (index, item) in list.iter().enumerate() {
            let path = format!("{path}.{}.member", index + 1);
            match item {
                Value::Null => members.fail(&path, "null", "Member must not be null"),
                item => members.value(&path, item, member)?,
            }
        }
        if matches!(member, Shape::Structure(_)) {
            self.count += members.count;
            self.failures.append(&mut members.failures);
        } else if members.count > 0 {
            let phrases = member.phrases().join(", ");
            self.fail(path, &quoted(value), &format!("Member must satisfy constraint: [{phrases}]"));
        }
        Ok(())
    }

    fn map(
        &mut self,
        path: &str,
        value: &Value,
        map: &Map<String, Value>,
        (key, member, max): (&'static Shape, &'static Shape, usize),
    ) -> Result<(), Fault> {
        if map.len() > max {
            self.fail(path, &quoted(value), &at_most_long(max));
        }
        let (mut keys, mut values) = (Self::default(), Self::default());
        for (name, item) in map {
            keys.value(path, &Value::String(name.clone()), key)?;
            values.value(&format!("{path}.{name}"), item, member)?;
        }
        for (findings, what, shape) in [(keys, "keys", key), (values, "value", member)] {
            if findings.count > 0 {
                let phrases = shape.phrases().join(", ");
                self.fail(path, &quoted(value), &format!("Map {what} must satisfy constraint: [{phrases}]"));
            }
        }
        Ok(())
    }

    fn fail(&mut self, path: &str, value: &str, constraint: &str) {
        self.count += 1;
        if self.failures.len() < WRITTEN_FAILURES_MAX {
            self.failures.push(format!("Value {value} at '{path}' failed to satisfy constraint: {constraint}"));
        }
    }

    fn into_result(self) -> Result<(), Fault> {
        let errors = match self.count {
            0 => return Ok(()),
            1 => "1 validation error".to_owned(),
            count => format!("{count} validation errors"),
        };
        Err(Fault::validation(format!("{errors} detected: {}", self.failures.join("; "))))
    }
}

/// `ProductionVariants` inside `a` becomes `a.productionVariants`.
fn join(path: &str, name: &str) -> String {
    let mut characters = name.chars();
    let first = characters.next().map(|c| c.to_ascii_lowercase());
    let lower_camel: String = first.into_iter().chain(characters).collect();
    if path.is_empty() { lower_camel } else { format!("{path}.{lower_camel}") }
}

fn quoted(value: &Value) -> String {
    let mut shown = String::new();
    show(value, &mut shown);
    if shown.chars().count() > SHOWN_VALUE_MAX_LENGTH {
        shown = shown.chars().take(SHOWN_VALUE_MAX_LENGTH).chain(['…']).collect();
    }
    format!("'{shown}'")
}

/// Writes a value as the errors of AWS show it: `[a, b]`, `{key=value}`, text without quotes.
fn show(value: &Value, into: &mut String) {
    match value {
        Value::String(text) => into.push_str(text),
        Value::Array(members) => {
            into.push('[');
            for (index, member) in members.iter().enumerate() {
                if index > 0 {
                    into.push_str(", ");
                }
                show(member, into);
            }
            into.push(']');
        }
        Value::Object(members) => {
            into.push('{');
            for (index, (name, member)) in members.iter().enumerate() {
                if index > 0 {
                    into.push_str(", ");
                }
                into.push_str(name);
                into.push('=');
                show(member, into);
            }
            into.push('}');
        }
        scalar => into.push_str(&scalar.to_string()),
    }
}

fn wrong_type(path: &str, value: &Value, shape: &Shape) -> Fault {
    let given = match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "a structure",
    };
    let expected = match shape {
        Shape::Text { .. } | Shape::OneOf(_) => "a string",
        Shape::Integer { .. } => "an integer",
        Shape::Float { .. } | Shape::Double => "a number",
        Shape::Boolean => "a boolean",
        Shape::Timestamp => "a timestamp (seconds since 1970, or ISO-8601 text)",
        Shape::List { .. } => "a list",
        Shape::Map { .. } | Shape::Structure(_) | Shape::Opaque => "a structure",
    };
    Fault::new(
        FaultCode::SerializationException,
        format!("The value at '{path}' cannot be read: expected {expected}, found {given}."),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{UNLIMITED, pattern};
    use super::*;

    static NAME: Shape = Shape::Text { min: 0, max: 5, pattern: Some(&pattern::NAME) };
    static KEY: Shape = Shape::Text { min: 1, max: 4, pattern: Some(&pattern::ENVIRONMENT_KEY) };
    static TEXT: Shape = Shape::Text { min: 0, max: 3, pattern: None };
    static WORD: Shape = Shape::OneOf(&["A", "B"]);
    static COUNT: Shape = Shape::Integer { min: 1, max: 10 };
    static WEIGHT: Shape = Shape::Float { min: 0.0 };
    static TIME: Shape = Shape::Timestamp;
    static FLAG: Shape = Shape::Boolean;
    static NAMES: Shape = Shape::List { member: &NAME, min: 1, max: 2 };
    static MAP: Shape = Shape::Map { key: &KEY, value: &TEXT, max: 2 };
    static INNER: Shape = Shape::Structure(&[Member { name: "ModelName", required: true, shape: &NAME }]);
    static INNERS: Shape = Shape::List { member: &INNER, min: 1, max: UNLIMITED };
    static MEMBERS: &[Member] = &[
        Member { name: "Name", required: false, shape: &NAME },
        Member { name: "Word", required: false, shape: &WORD },
        Member { name: "Count", required: false, shape: &COUNT },
        Member { name: "Weight", required: false, shape: &WEIGHT },
        Member { name: "Time", required: false, shape: &TIME },
        Member { name: "Flag", required: false, shape: &FLAG },
        Member { name: "Names", required: false, shape: &NAMES },
        Member { name: "Map", required: false, shape: &MAP },
        Member { name: "ProductionVariants", required: false, shape: &INNERS },
    ];

    fn faults_of(input: &Value) -> Result<(), Fault> {
        check(input.as_object().expect("our bug: tests give objects"), MEMBERS)
    }

    #[test]
    fn every_kind_of_failure_has_its_text() {
        let name_pattern = pattern::NAME.text;
        let name_phrases = format!(
            "[Member must have length less than or equal to 5, Member must have length greater than or equal to 0, Member must satisfy regular expression pattern: {name_pattern}]"
        );
        let table = [
            (json!({"Name": "abcdef"}), "'abcdef' at 'name'", "Member must have length less than or equal to 5".to_owned()),
            (json!({"Name": ""}), "'' at 'name'", format!("Member must satisfy regular expression pattern: {name_pattern}")),
            (json!({"Name": "-"}), "'-' at 'name'", format!("Member must satisfy regular expression pattern: {name_pattern}")),
            (json!({"Word": "C"}), "'C' at 'word'", "Member must satisfy enum value set: [A, B]".to_owned()),
            (json!({"Count": 11}), "'11' at 'count'", "Member must have value less than or equal to 10".to_owned()),
            (json!({"Count": u64::MAX}), "'18446744073709551615' at 'count'", "Member must have value less than or equal to 10".to_owned()),
            (json!({"Count": 0}), "'0' at 'count'", "Member must have value greater than or equal to 1".to_owned()),
            (json!({"Weight": -0.5}), "'-0.5' at 'weight'", "Member must have value greater than or equal to 0".to_owned()),
            (json!({"Weight": 1e39}), "'1e+39' at 'weight'", "Member must have value less than or equal to 3.4028235e38".to_owned()),
            (json!({"Names": []}), "'[]' at 'names'", "Member must have length greater than or equal to 1".to_owned()),
            (json!({"Names": ["a", "b", "c"]}), "'[a, b, c]' at 'names'", "Member must have length less than or equal to 2".to_owned()),
            (json!({"Names": ["a", "_"]}), "'[a, _]' at 'names'", format!("Member must satisfy constraint: {name_phrases}")),
            (json!({"Names": [null]}), "'[null]' at 'names'", format!("Member must satisfy constraint: {name_phrases}")),
            (json!({"Map": {"a": "", "b": "", "c": ""}}), "'{a=, b=, c=}' at 'map'", "Member must have length less than or equal to 2".to_owned()),
            (json!({"Map": {"1": "x"}}), "'{1=x}' at 'map'", format!("Map keys must satisfy constraint: [Member must have length less than or equal to 4, Member must have length greater than or equal to 1, Member must satisfy regular expression pattern: {}]", pattern::ENVIRONMENT_KEY.text)),
            (json!({"Map": {"k": "long"}}), "'{k=long}' at 'map'", "Map value must satisfy constraint: [Member must have length less than or equal to 3, Member must have length greater than or equal to 0]".to_owned()),
            (json!({"ProductionVariants": [{"ModelName": "m"}, {}]}), "null at 'productionVariants.2.member.modelName'", "Member must not be null".to_owned()),
            (json!({"ProductionVariants": [null]}), "null at 'productionVariants.1.member'", "Member must not be null".to_owned()),
        ];
        for (input, place, constraint) in table {
            let fault = faults_of(&input).unwrap_err();
            let expected =
                format!("1 validation error detected: Value {place} failed to satisfy constraint: {constraint}");
            assert_eq!(fault, Fault::validation(expected), "{input}");
        }
    }

    #[test]
    fn several_failures_are_joined_and_counted() {
        let fault = faults_of(&json!({"Word": "C", "Count": 0, "Unknown": [{}]})).unwrap_err();
        assert_eq!(
            fault.message,
            "2 validation errors detected: Value 'C' at 'word' failed to satisfy constraint: Member must satisfy enum value set: [A, B]; Value '0' at 'count' failed to satisfy constraint: Member must have value greater than or equal to 1"
        );
        let many: Vec<Value> = (0..500).map(|_| json!({})).collect();
        let fault = faults_of(&json!({"ProductionVariants": many})).unwrap_err();
        assert!(fault.message.starts_with("500 validation errors detected: "));
        assert!(fault.message.len() < 4_096);
    }

    #[test]
    fn a_wrong_json_type_is_a_serialization_exception_that_says_where() {
        for (input, place, expected, found) in [
            (json!({"Name": 1}), "name", "a string", "a number"),
            (json!({"Word": true}), "word", "a string", "a boolean"),
            (json!({"Count": "1"}), "count", "an integer", "a string"),
            (json!({"Count": 1.5}), "count", "an integer", "a number"),
            (json!({"Weight": "NaN"}), "weight", "a number", "a string"),
            (json!({"Flag": "true"}), "flag", "a boolean", "a string"),
            (json!({"Time": "soon"}), "time", "a timestamp (seconds since 1970, or ISO-8601 text)", "a string"),
            (json!({"Names": {}}), "names", "a list", "a structure"),
            (json!({"Names": [1]}), "names.1.member", "a string", "a number"),
            (json!({"Map": []}), "map", "a structure", "a list"),
            (json!({"Map": {"k": 1}}), "map.k", "a string", "a number"),
            (json!({"ProductionVariants": ["x"]}), "productionVariants.1.member", "a structure", "a string"),
        ] {
            let fault = faults_of(&input).unwrap_err();
            let text = format!("The value at '{place}' cannot be read: expected {expected}, found {found}.");
            assert_eq!(fault, Fault::new(FaultCode::SerializationException, text), "{input}");
        }
    }

    #[test]
    fn what_fits_passes() {
        let input = json!({
            "Name": "a-1", "Word": "A", "Count": 10, "Weight": 1, "Time": 1.5, "Flag": false, "Names": ["a"],
            "Map": {"k": "v"}, "ProductionVariants": [{"ModelName": "m", "New": null}], "New": {"x": 1},
        });
        faults_of(&input).unwrap();
        faults_of(&json!({"Time": "2026-01-31T23:59:59Z"})).unwrap();
    }

    #[test]
    fn a_huge_value_is_cut_in_the_error() {
        let fault = faults_of(&json!({"Name": "x".repeat(1_000_000)})).unwrap_err();
        assert!(fault.message.len() < 2_048);
    }
}
