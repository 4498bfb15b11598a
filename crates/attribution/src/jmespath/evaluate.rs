//! What a tree finds in a value.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::VALUES_MAX;
use super::functions;
use super::lexer::Comparison;
use super::parser::Node;

/// Evaluates one search.
pub(super) struct Evaluator {
    /// Values that may still be copied or made.
    left: usize,
}

/// # Errors
/// When a function does not take what it is given, or too much would be made.
pub(super) fn search(node: &Node, value: &Value) -> Result<Value, String> {
    let mut evaluator = Evaluator { left: VALUES_MAX };
    let found = evaluator.evaluate(node, value)?;
    evaluator.owned(found)
}

impl Evaluator {
    pub(super) fn evaluate<'v>(&mut self, node: &'v Node, value: &'v Value) -> Result<Cow<'v, Value>, String> {
        static NOTHING: Value = Value::Null;
        Ok(match node {
            Node::Current => Cow::Borrowed(value),
            Node::Literal(literal) => Cow::Borrowed(literal),
            Node::Field(name) => Cow::Borrowed(value.get(name.as_str()).unwrap_or(&NOTHING)),
            Node::Index(index) => Cow::Borrowed(at(value, *index).unwrap_or(&NOTHING)),
            Node::Slice(parts) => Cow::Owned(self.slice(value, *parts)?),
            Node::Then(first, then) => match self.evaluate(first, value)? {
                Cow::Borrowed(found) => self.evaluate(then, found)?,
                Cow::Owned(found) => Cow::Owned(self.of_owned(then, &found)?),
            },
            Node::Each(list, each) => match &*self.evaluate(list, value)? {
                Value::Array(members) => Cow::Owned(self.each(members.iter(), each)?),
                _ => Cow::Borrowed(&NOTHING),
            },
            Node::EachValue(object, each) => match &*self.evaluate(object, value)? {
                Value::Object(members) => Cow::Owned(self.each(members.values(), each)?),
                _ => Cow::Borrowed(&NOTHING),
            },
            Node::EachWhere(list, condition, each) => match &*self.evaluate(list, value)? {
                Value::Array(members) => Cow::Owned(self.each_where(members, condition, each)?),
                _ => Cow::Borrowed(&NOTHING),
            },
            Node::Flatten(list) => match &*self.evaluate(list, value)? {
                Value::Array(members) => Cow::Owned(self.flat(members)?),
                _ => Cow::Borrowed(&NOTHING),
            },
            Node::List(_) | Node::Object(_) if value.is_null() => Cow::Borrowed(&NOTHING),
            Node::List(nodes) => Cow::Owned(self.list(nodes, value)?),
            Node::Object(nodes) => Cow::Owned(self.object(nodes, value)?),
            Node::Compare(how, one, other) => {
                let (one, other) = (self.evaluate(one, value)?, self.evaluate(other, value)?);
                Cow::Owned(compared(*how, &one, &other).map_or(Value::Null, Value::Bool))
            }
            Node::And(one, other) => match self.evaluate(one, value)? {
                found if is_true(&found) => self.evaluate(other, value)?,
                found => found,
            },
            Node::Or(one, other) => match self.evaluate(one, value)? {
                found if is_true(&found) => found,
                _ => self.evaluate(other, value)?,
            },
            Node::Not(one) => Cow::Owned(Value::Bool(!is_true(&*self.evaluate(one, value)?))),
            Node::Call(function, arguments) => Cow::Owned(functions::call(self, *function, arguments, value)?),
            Node::Reference(_) => return Err("&… stands where no function takes an expression".to_owned()),
        })
    }

    /// The same where what is found cannot outlive the value.
    pub(super) fn of_owned(&mut self, node: &Node, value: &Value) -> Result<Value, String> {
        let found = self.evaluate(node, value)?;
        self.owned(found)
    }

    /// A value that stands alone; a copy counts.
    pub(super) fn owned(&mut self, value: Cow<'_, Value>) -> Result<Value, String> {
        if let Cow::Borrowed(value) = &value {
            self.count(values_in(value))?;
        }
        Ok(value.into_owned())
    }

    fn count(&mut self, values: usize) -> Result<(), String> {
        self.left = self.left.checked_sub(values).ok_or_else(|| format!("it makes more than {VALUES_MAX} values"))?;
        Ok(())
    }

    fn each<'m>(&mut self, members: impl Iterator<Item = &'m Value>, each: &Node) -> Result<Value, String> {
        let mut found = Vec::new();
        for member in members {
            match self.of_owned(each, member)? {
                Value::Null => {}
                value => found.push(value),
            }
        }
        Ok(Value::Array(found))
    }

    fn each_where(&mut self, members: &[Value], condition: &Node, each: &Node) -> Result<Value, String> {
        let mut kept = Vec::new();
        for member in members {
            if is_true(&*self.evaluate(condition, member)?) {
                kept.push(member);
            }
        }
        self.each(kept.into_iter(), each)
    }

    fn flat(&mut self, members: &[Value]) -> Result<Value, String> {
        let mut flat = Vec::new();
        for member in members {
            self.count(values_in(member))?;
            match member {
                Value::Array(inner) => flat.extend(inner.iter().cloned()),
                other => flat.push(other.clone()),
            }
        }
        Ok(Value::Array(flat))
    }

    fn list(&mut self, nodes: &[Node], value: &Value) -> Result<Value, String> {
        nodes.iter().map(|node| self.of_owned(node, value)).collect::<Result<_, _>>().map(Value::Array)
    }

    fn object(&mut self, nodes: &[(String, Node)], value: &Value) -> Result<Value, String> {
        let member = |(name, node): &(String, Node)| Ok((name.clone(), self.of_owned(node, value)?));
        nodes.iter().map(member).collect::<Result<Map<_, _>, String>>().map(Value::Object)
    }

    /// As Python slices lists.
    fn slice(&mut self, value: &Value, [start, stop, step]: [Option<i64>; 3]) -> Result<Value, String> {
        let Value::Array(members) = value else { return Ok(Value::Null) };
        let step = step.unwrap_or(1);
        if step == 0 {
            return Err("the step of a slice is not 0".to_owned());
        }
        let length = i64::try_from(members.len()).unwrap_or(i64::MAX);
        let (lowest, highest) = if step > 0 { (0, length) } else { (-1, length - 1) };
        let place = |given: Option<i64>, otherwise: i64| match given {
            None => otherwise,
            Some(place) if place < 0 => place.saturating_add(length).clamp(lowest, highest),
            Some(place) => place.clamp(lowest, highest),
        };
        let (first, end) = if step > 0 { (lowest, highest) } else { (highest, lowest) };
        let (mut at, end) = (place(start, first), place(stop, end));
        let mut found = Vec::new();
        while if step > 0 { at < end } else { at > end } {
            let member = usize::try_from(at).ok().and_then(|at| members.get(at)).unwrap_or(&Value::Null);
            self.count(values_in(member))?;
            found.push(member.clone());
            at = at.saturating_add(step);
        }
        Ok(Value::Array(found))
    }
}

fn at(value: &Value, index: i64) -> Option<&Value> {
    let members = value.as_array()?;
    let from_end = || members.len().checked_sub(usize::try_from(index.unsigned_abs()).ok()?);
    members.get(if index < 0 { from_end()? } else { usize::try_from(index).ok()? })
}

pub(super) fn is_true(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(_) => true,
        Value::String(text) => !text.is_empty(),
        Value::Array(members) => !members.is_empty(),
        Value::Object(members) => !members.is_empty(),
    }
}

/// Only numbers are more and less than each other.
fn compared(how: Comparison, one: &Value, other: &Value) -> Option<bool> {
    match how {
        Comparison::Equal => return Some(is_equal(one, other)),
        Comparison::NotEqual => return Some(!is_equal(one, other)),
        _ => {}
    }
    let (one, other) = (one.as_f64()?, other.as_f64()?);
    Some(match how {
        Comparison::Less => one < other,
        Comparison::LessOrEqual => one <= other,
        Comparison::Greater => one > other,
        _ => one >= other,
    })
}

/// Numbers are equal by what they are, not by how they are written.
pub(super) fn is_equal(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one.as_f64() == other.as_f64(),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| is_equal(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|(name, value)| other.get(name).is_some_and(|other| is_equal(value, other)))
        }
        (one, other) => one == other,
    }
}

fn values_in(value: &Value) -> usize {
    match value {
        Value::Array(members) => 1 + members.iter().map(values_in).sum::<usize>(),
        Value::Object(members) => 1 + members.values().map(values_in).sum::<usize>(),
        _ => 1,
    }
}
