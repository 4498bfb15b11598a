//! JSON 1.0: botocore's choice.

use serde_json::{Map, Number, Value};

use super::fault::Fault;
use super::output::{Output, Structure};
use crate::aws_json;

pub(super) const CONTENT_TYPE: &str = "application/x-amz-json-1.0";
/// Prefix of error names in JSON and CBOR.
const NAMESPACE: &str = "com.amazonaws.cloudwatch#";

pub(super) fn read(body: &[u8]) -> Result<Map<String, Value>, Fault> {
    Ok(aws_json::read_input(body)?)
}

pub(super) fn write(output: Option<Structure>) -> Vec<u8> {
    value(Output::Structure(output.unwrap_or_default())).to_string().into_bytes()
}

/// `__type` and the text, as a structure that JSON and CBOR share.
pub(super) fn fault_members(fault: &Fault) -> Structure {
    let name = format!("{NAMESPACE}{}", fault.code.shape());
    vec![("__type", Output::Text(name)), (fault.code.message_key(), Output::text(&fault.message))]
}

fn value(output: Output) -> Value {
    match output {
        Output::Boolean(flag) => Value::Bool(flag),
        Output::Integer(number) => Value::Number(number.into()),
        Output::Double(number) => {
            Number::from_f64(number).map_or_else(|| Value::from(not_finite(number)), Value::Number)
        }
        Output::Text(text) => Value::String(text),
        Output::Time(moment) => Value::from(moment.unix_seconds()),
        Output::List(members) => members.into_iter().map(value).collect(),
        Output::Structure(members) => {
            members.into_iter().map(|(name, member)| (name.to_owned(), value(member))).collect()
        }
        Output::Map(entries) => entries.into_iter().map(|(key, member)| (key, value(member))).collect(),
    }
}

/// How text protocols spell the numbers that JSON has no form for.
pub(super) fn not_finite(number: f64) -> &'static str {
    if number.is_nan() {
        "NaN"
    } else if number > 0.0 {
        "Infinity"
    } else {
        "-Infinity"
    }
}
