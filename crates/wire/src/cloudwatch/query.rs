//! The query protocol: form-encoded names with dots in, XML out. Old SDKs and scripts speak it.
//!
//! Everything is text on the way in, so the schema says what is a number, a flag or a list. Lists are written
//! `Dimensions.member.1.Name=…`, maps `Attributes.entry.1.key=…`.
//!
//! Refuses to: keep members whose names clash, such as `A=1&A.B=2`.

use std::fmt::Write as _;

use captura_names::Timestamp;
use serde_json::{Map, Number, Value};

use super::DEPTH_MAX;
use super::fault::{Code, Fault};
use super::json::not_finite;
use super::output::{Output, Structure};
use crate::validation::{Member, Shape};

pub(super) const CONTENT_TYPE: &str = "text/xml";
const NAMESPACE: &str = "http://monitoring.amazonaws.com/doc/2010-08-01/";
/// Most parameters of a request; the largest PutMetricData has fewer.
const PARAMETERS_MAX: usize = 200_000;

/// Reads a form and the query of the URI, as one; the operation is its `Action`.
pub(super) fn read(query: &[u8], form: &[u8]) -> Result<(String, Map<String, Value>), Fault> {
    let mut members = Map::new();
    let mut action = None;
    let pairs = query.split(|byte| *byte == b'&').chain(form.split(|byte| *byte == b'&'));
    for (count, pair) in pairs.filter(|pair| !pair.is_empty()).enumerate() {
        if count >= PARAMETERS_MAX {
            return Err(broken("it has too many parameters"));
        }
        let (name, value) = match pair.iter().position(|byte| *byte == b'=') {
            Some(equals) => (&pair[..equals], &pair[equals + 1..]),
            None => (pair, &b""[..]),
        };
        let (name, value) = (decoded(name)?, decoded(value)?);
        match name.as_str() {
            // With two of them, another could be allowed than is carried out.
            "Action" if action.is_some() => return Err(broken("it has two actions")),
            "Action" => action = Some(value),
            "Version" => {}
            name => place(&mut members, name, value)?,
        }
    }
    Ok((action.unwrap_or_default(), members))
}

fn broken(what: &str) -> Fault {
    Fault::new(Code::SerializationException, format!("The form cannot be read: {what}."))
}

fn decoded(text: &[u8]) -> Result<String, Fault> {
    let digit = |byte: Option<&u8>| byte.and_then(|byte| (*byte as char).to_digit(16)).map(|digit| digit as u8);
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => match (digit(bytes.next()), digit(bytes.next())) {
                (Some(high), Some(low)) => high << 4 | low,
                _ => return Err(broken("an escape is cut short")),
            },
            byte => *byte,
        });
    }
    String::from_utf8(decoded).map_err(|_| broken("it is not UTF-8"))
}

/// Puts a value where its dotted name says, as nested objects.
fn place(members: &mut Map<String, Value>, name: &str, value: String) -> Result<(), Fault> {
    let mut at = members;
    let mut parts = name.split('.').enumerate().peekable();
    while let Some((depth, part)) = parts.next() {
        if depth > DEPTH_MAX {
            return Err(broken("a name has too many parts"));
        }
        let is_last = parts.peek().is_none();
        let clash = || broken("two parameters have clashing names");
        if is_last {
            return match at.insert(part.to_owned(), Value::String(value)) {
                None => Ok(()),
                Some(_) => Err(clash()),
            };
        }
        let next = at.entry(part).or_insert_with(|| Value::Object(Map::new()));
        at = next.as_object_mut().ok_or_else(clash)?;
    }
    Ok(())
}

/// Gives members the JSON types that their schema wants. What does not fit stays as it is, for the check to refuse.
pub(super) fn shape(input: &mut Map<String, Value>, members: &'static [Member]) {
    for member in members {
        if let Some(value) = input.get_mut(member.name) {
            coerce(value, member.shape);
        }
    }
}

fn coerce(value: &mut Value, shape: &'static Shape) {
    let coerced = match (shape, &mut *value) {
        (Shape::Integer { .. }, Value::String(text)) => text.trim().parse::<i64>().ok().map(Value::from),
        (Shape::Double | Shape::Float { .. }, Value::String(text)) => {
            text.trim().parse().ok().and_then(Number::from_f64).map(Value::Number)
        }
        (Shape::Boolean, Value::String(text)) => match text.to_ascii_lowercase().as_str() {
            "true" | "1" => Some(Value::Bool(true)),
            "false" | "0" => Some(Value::Bool(false)),
            _ => None,
        },
        (Shape::Timestamp, Value::String(text)) => text.parse().ok().and_then(Number::from_f64).map(Value::Number),
        (Shape::List { member, .. }, found) => list(found).map(|mut members| {
            members.iter_mut().for_each(|value| coerce(value, member));
            Value::Array(members)
        }),
        (Shape::Map { .. }, found) => map(found),
        (Shape::Structure(members), Value::Object(object)) => {
            self::shape(object, members);
            None
        }
        _ => None,
    };
    if let Some(coerced) = coerced {
        *value = coerced;
    }
}

/// `{"member": {"1": a, "2": b}}` becomes `[a, b]`; the empty text is the empty list.
fn list(value: &mut Value) -> Option<Vec<Value>> {
    match value {
        Value::String(text) if text.is_empty() => Some(Vec::new()),
        Value::Object(object) => numbered(object.get_mut("member")?),
        _ => None,
    }
}

fn numbered(value: &mut Value) -> Option<Vec<Value>> {
    let members = value.as_object_mut()?;
    let mut numbered = Vec::with_capacity(members.len());
    for (index, member) in members.iter_mut() {
        numbered.push((index.parse::<u32>().ok()?, member.take()));
    }
    numbered.sort_by_key(|(index, _)| *index);
    Some(numbered.into_iter().map(|(_, member)| member).collect())
}

fn map(value: &mut Value) -> Option<Value> {
    let mut map = Map::new();
    for mut entry in numbered(value.as_object_mut()?.get_mut("entry")?)? {
        let entry = entry.as_object_mut()?;
        let key = entry.get("key")?.as_str()?.to_owned();
        map.insert(key, entry.get_mut("value")?.take());
    }
    Some(Value::Object(map))
}

/// Writes an answer.
pub(super) fn write(operation: &str, output: Option<Structure>, request_id: &str) -> Vec<u8> {
    let mut xml = format!("<{operation}Response xmlns=\"{NAMESPACE}\">");
    if let Some(members) = output {
        element(&format!("{operation}Result"), &Output::Structure(members), &mut xml);
    }
    let _ =
        write!(xml, "<ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata></{operation}Response>");
    xml.into_bytes()
}

/// Writes an error.
pub(super) fn write_fault(fault: &Fault, request_id: &str) -> Vec<u8> {
    let mut xml = format!("<ErrorResponse xmlns=\"{NAMESPACE}\"><Error><Type>{}</Type>", fault.code.side());
    element("Code", &Output::text(fault.code.as_str()), &mut xml);
    element("Message", &Output::text(&fault.message), &mut xml);
    let _ = write!(xml, "</Error><RequestId>{request_id}</RequestId></ErrorResponse>");
    xml.into_bytes()
}

fn element(name: &str, output: &Output, xml: &mut String) {
    let _ = write!(xml, "<{name}>");
    match output {
        Output::Boolean(flag) => xml.push_str(if *flag { "true" } else { "false" }),
        Output::Integer(number) => drop(write!(xml, "{number}")),
        Output::Double(number) if number.is_finite() => drop(write!(xml, "{number:?}")),
        Output::Double(number) => xml.push_str(not_finite(*number)),
        Output::Text(text) => escape(text, xml),
        Output::Time(at) => moment(*at, xml),
        Output::List(members) => members.iter().for_each(|member| element("member", member, xml)),
        Output::Structure(members) => members.iter().for_each(|(name, member)| element(name, member, xml)),
        Output::Map(entries) => {
            for (key, member) in entries {
                xml.push_str("<entry>");
                element("key", &Output::text(key), xml);
                element("value", member, xml);
                xml.push_str("</entry>");
            }
        }
    }
    let _ = write!(xml, "</{name}>");
}

/// ISO 8601 with milliseconds.
fn moment(at: Timestamp, xml: &mut String) {
    let whole = at.to_string();
    let _ = write!(xml, "{}.{:03}Z", whole.trim_end_matches('Z'), at.hour_path().millisecond);
}

/// Text as XML holds it; characters that XML 1.0 cannot hold become the replacement character.
fn escape(text: &str, xml: &mut String) {
    for character in text.chars() {
        match character {
            '&' => xml.push_str("&amp;"),
            '<' => xml.push_str("&lt;"),
            '>' => xml.push_str("&gt;"),
            '"' => xml.push_str("&quot;"),
            '\r' => xml.push_str("&#13;"),
            '\t' | '\n' => xml.push(character),
            '\0'..' ' | '\u{fffe}' | '\u{ffff}' => xml.push('\u{fffd}'),
            other => xml.push(other),
        }
    }
}
