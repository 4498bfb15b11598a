//! The functions of the language.

use std::cmp::Ordering;

use serde_json::{Map, Number, Value};

use super::evaluate::{Evaluator, is_equal};
use super::parser::Node;

/// A function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    Abs,
    Avg,
    Ceil,
    Contains,
    EndsWith,
    Floor,
    Join,
    Keys,
    Length,
    Map,
    Max,
    MaxBy,
    Merge,
    Min,
    MinBy,
    NotNull,
    Reverse,
    Sort,
    SortBy,
    StartsWith,
    Sum,
    ToArray,
    ToNumber,
    ToString,
    Type,
    Values,
}

/// Names, and how many arguments each takes; the last two take any number from one.
const FUNCTIONS: [(&str, Function, usize); 26] = [
    ("abs", Function::Abs, 1),
    ("avg", Function::Avg, 1),
    ("ceil", Function::Ceil, 1),
    ("contains", Function::Contains, 2),
    ("ends_with", Function::EndsWith, 2),
    ("floor", Function::Floor, 1),
    ("join", Function::Join, 2),
    ("keys", Function::Keys, 1),
    ("length", Function::Length, 1),
    ("map", Function::Map, 2),
    ("max", Function::Max, 1),
    ("max_by", Function::MaxBy, 2),
    ("min", Function::Min, 1),
    ("min_by", Function::MinBy, 2),
    ("reverse", Function::Reverse, 1),
    ("sort", Function::Sort, 1),
    ("sort_by", Function::SortBy, 2),
    ("starts_with", Function::StartsWith, 2),
    ("sum", Function::Sum, 1),
    ("to_array", Function::ToArray, 1),
    ("to_number", Function::ToNumber, 1),
    ("to_string", Function::ToString, 1),
    ("type", Function::Type, 1),
    ("values", Function::Values, 1),
    ("merge", Function::Merge, 0),
    ("not_null", Function::NotNull, 0),
];

impl Function {
    pub(super) fn named(name: &str) -> Option<Self> {
        FUNCTIONS.iter().find(|(known, ..)| *known == name).map(|(_, function, _)| *function)
    }

    fn entry(self) -> (&'static str, usize) {
        let found = FUNCTIONS.iter().find(|(_, function, _)| *function == self);
        found.map(|(name, _, arguments)| (*name, *arguments)).expect("our bug: a function without a name")
    }

    /// Which argument is an expression.
    fn reference(self) -> Option<usize> {
        match self {
            Self::Map => Some(0),
            Self::MaxBy | Self::MinBy | Self::SortBy => Some(1),
            _ => None,
        }
    }

    /// # Errors
    /// When there are too many or too few arguments, or an expression stands where none may.
    pub(super) fn check(self, arguments: &[Node]) -> Result<(), String> {
        let (name, wanted) = self.entry();
        let fits = if wanted == 0 { !arguments.is_empty() } else { arguments.len() == wanted };
        if !fits {
            return Err(format!("{name} does not take {} arguments", arguments.len()));
        }
        for (place, argument) in arguments.iter().enumerate() {
            if matches!(argument, Node::Reference(_)) != (self.reference() == Some(place)) {
                return Err(format!(
                    "{name} takes an expression, written with &, where it is defined so and nowhere else"
                ));
            }
        }
        Ok(())
    }
}

/// Calls a function with arguments that [`Function::check`] has seen.
pub(super) fn call(
    evaluator: &mut Evaluator,
    function: Function,
    arguments: &[Node],
    value: &Value,
) -> Result<Value, String> {
    let (mut values, mut expression) = (Vec::new(), None);
    for argument in arguments {
        match argument {
            Node::Reference(inside) => expression = Some(&**inside),
            node => values.push(evaluator.of_owned(node, value)?),
        }
    }
    let first = values.first().cloned().unwrap_or_default();
    match expression {
        Some(by) => by_expression(evaluator, function, by, first),
        None => plain(function, &values).ok_or_else(|| {
            let given: Vec<&str> = values.iter().map(type_of).collect();
            format!("{} does not take {}", function.entry().0, given.join(", "))
        }),
    }
}

/// Nothing when the function does not take these.
fn plain(function: Function, values: &[Value]) -> Option<Value> {
    let first = values.first()?;
    Some(match (function, values) {
        (Function::Abs, _) => number(first.as_f64()?.abs()),
        (Function::Ceil, _) => number(first.as_f64()?.ceil()),
        (Function::Floor, _) => number(first.as_f64()?.floor()),
        (Function::Avg, _) => match numbers(first)?.as_slice() {
            [] => Value::Null,
            all => number(all.iter().sum::<f64>() / all.len() as f64),
        },
        (Function::Sum, _) => number(numbers(first)?.iter().sum()),
        (Function::Contains, [Value::Array(members), wanted]) => members.iter().any(|one| is_equal(one, wanted)).into(),
        (Function::Contains, [Value::String(text), wanted]) => {
            wanted.as_str().is_some_and(|wanted| text.contains(wanted)).into()
        }
        (Function::StartsWith, [text, start]) => text.as_str()?.starts_with(start.as_str()?).into(),
        (Function::EndsWith, [text, end]) => text.as_str()?.ends_with(end.as_str()?).into(),
        (Function::Join, [glue, parts]) => {
            let parts: Vec<&str> = parts.as_array()?.iter().map(Value::as_str).collect::<Option<_>>()?;
            parts.join(glue.as_str()?).into()
        }
        (Function::Keys, _) => first.as_object()?.keys().cloned().map(Value::from).collect::<Vec<_>>().into(),
        (Function::Values, _) => first.as_object()?.values().cloned().collect::<Vec<_>>().into(),
        (Function::Length, _) => match first {
            Value::String(text) => text.chars().count().into(),
            Value::Array(members) => members.len().into(),
            Value::Object(members) => members.len().into(),
            _ => return None,
        },
        (Function::Max, _) => sorted(first)?.pop().unwrap_or_default(),
        (Function::Min, _) => sorted(first)?.into_iter().next().unwrap_or_default(),
        (Function::Sort, _) => sorted(first)?.into(),
        (Function::Merge, objects) => {
            let objects: Vec<&Map<_, _>> = objects.iter().map(Value::as_object).collect::<Option<_>>()?;
            let members = objects.into_iter().flatten().map(|(name, value)| (name.clone(), value.clone()));
            Value::Object(members.collect())
        }
        (Function::NotNull, all) => all.iter().find(|one| !one.is_null()).cloned().unwrap_or_default(),
        (Function::Reverse, _) => match first {
            Value::String(text) => text.chars().rev().collect::<String>().into(),
            Value::Array(members) => members.iter().rev().cloned().collect::<Vec<_>>().into(),
            _ => return None,
        },
        (Function::ToArray, _) if first.is_array() => first.clone(),
        (Function::ToArray, _) => Value::Array(vec![first.clone()]),
        (Function::ToNumber, _) => match first {
            Value::Number(_) => first.clone(),
            Value::String(text) => text.parse::<Number>().map_or(Value::Null, Value::Number),
            _ => Value::Null,
        },
        (Function::ToString, _) if first.is_string() => first.clone(),
        (Function::ToString, _) => first.to_string().into(),
        (Function::Type, _) => type_of(first).into(),
        _ => return None,
    })
}

fn by_expression(evaluator: &mut Evaluator, function: Function, by: &Node, list: Value) -> Result<Value, String> {
    let name = function.entry().0;
    let Value::Array(members) = list else { return Err(format!("{name} does not take {}", type_of(&list))) };
    let mut found = Vec::new();
    for member in members {
        found.push((evaluator.of_owned(by, &member)?, member));
    }
    if function == Function::Map {
        return Ok(found.into_iter().map(|(found, _)| found).collect::<Vec<_>>().into());
    }
    let all_numbers = found.iter().all(|(key, _)| key.is_number());
    if !all_numbers && !found.iter().all(|(key, _)| key.is_string()) {
        return Err(format!("what {name} goes by is a number everywhere, or a string everywhere"));
    }
    found.sort_by(|(one, _), (other, _)| order(one, other));
    let mut members = found.into_iter();
    Ok(match function {
        Function::SortBy => members.map(|(_, member)| member).collect::<Vec<_>>().into(),
        Function::MinBy => members.next().map(|(_, member)| member).unwrap_or_default(),
        _ => {
            // Of several that are greatest, the first.
            let all: Vec<(Value, Value)> = members.collect();
            let greatest = all.last().map(|(key, _)| key.clone());
            let is_greatest = |key: &Value| greatest.as_ref().is_some_and(|most| order(key, most).is_eq());
            all.into_iter().find(|(key, _)| is_greatest(key)).map(|(_, member)| member).unwrap_or_default()
        }
    })
}

/// A list of numbers, or of strings, ascending.
fn sorted(value: &Value) -> Option<Vec<Value>> {
    let mut members = value.as_array()?.clone();
    if !members.iter().all(Value::is_number) && !members.iter().all(Value::is_string) {
        return None;
    }
    members.sort_by(order);
    Some(members)
}

fn order(one: &Value, other: &Value) -> Ordering {
    match (one.as_f64(), other.as_f64()) {
        (Some(one), Some(other)) => one.total_cmp(&other),
        _ => one.as_str().cmp(&other.as_str()),
    }
}

fn numbers(value: &Value) -> Option<Vec<f64>> {
    value.as_array()?.iter().map(Value::as_f64).collect()
}

/// Whole numbers stay whole.
#[expect(clippy::cast_possible_truncation, reason = "it is whole, and far from the ends of i64")]
fn number(number: f64) -> Value {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if number.fract() == 0.0 && number.abs() < EXACT { (number as i64).into() } else { number.into() }
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
