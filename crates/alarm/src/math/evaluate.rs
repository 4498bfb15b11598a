//! From a tree to points.
//!
//! Between two series there is a point where both have one; a function over several series takes whatever is there.
//! Divisions by zero and other results that are no number give no point.

use std::collections::BTreeSet;

use super::{LIST_MAX, Node, Operator, Points, Series};

/// A value inside of an expression.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// One number.
    Number(f64),
    /// A series.
    Points(Points),
    /// Several series.
    List(Vec<Points>),
}

pub(super) fn evaluate(node: &Node, series: &Series<'_>) -> Result<Value, String> {
    match node {
        Node::Number(number) => Ok(Value::Number(*number)),
        Node::Text(text) => Err(format!("a text, \"{text}\", has no value here")),
        Node::Name(name) => match series.by_id.get(name.as_str()) {
            Some(points) => Ok(Value::Points(points.clone())),
            None => Err(format!("no metric has the id {name}")),
        },
        Node::List(members) => {
            let mut list = Vec::new();
            for member in members {
                if list.len() > LIST_MAX {
                    return Err(format!("a list holds more than {LIST_MAX} series"));
                }
                match evaluate(member, series)? {
                    Value::Points(points) => list.push(points),
                    Value::List(more) => list.extend(more),
                    Value::Number(number) => list.push(series.periods().map(|at| (at, number)).collect()),
                }
            }
            Ok(Value::List(list))
        }
        Node::Negative(one) => map(evaluate(one, series)?, |number| -number),
        Node::Not(one) => map(evaluate(one, series)?, |number| truth(number == 0.0)),
        Node::Binary(operator, left, right) => {
            binary(evaluate(left, series)?, evaluate(right, series)?, |a, b| operate(*operator, a, b))
        }
        Node::Call(function, arguments) => call(function, arguments, series),
    }
}

fn truth(yes: bool) -> f64 {
    f64::from(u8::from(yes))
}

fn operate(operator: Operator, a: f64, b: f64) -> f64 {
    match operator {
        Operator::Add => a + b,
        Operator::Subtract => a - b,
        Operator::Multiply => a * b,
        Operator::Divide => a / b,
        Operator::Power => a.powf(b),
        Operator::Less => truth(a < b),
        Operator::LessOrEqual => truth(a <= b),
        Operator::Greater => truth(a > b),
        Operator::GreaterOrEqual => truth(a >= b),
        Operator::Equal => truth(a == b),
        Operator::NotEqual => truth(a != b),
        Operator::And => truth(a != 0.0 && b != 0.0),
        Operator::Or => truth(a != 0.0 || b != 0.0),
    }
}

fn finite(points: impl Iterator<Item = (i64, f64)>) -> Points {
    points.filter(|(_, value)| value.is_finite()).collect()
}

fn map(value: Value, change: impl Fn(f64) -> f64) -> Result<Value, String> {
    let each = |points: Points| finite(points.into_iter().map(|(at, value)| (at, change(value))));
    Ok(match value {
        Value::Number(number) => Value::Number(change(number)),
        Value::Points(points) => Value::Points(each(points)),
        Value::List(list) => Value::List(list.into_iter().map(each).collect()),
    })
}

fn binary(left: Value, right: Value, operate: impl Fn(f64, f64) -> f64) -> Result<Value, String> {
    let both = |left: &Points, right: &Points| {
        finite(left.iter().filter_map(|(at, a)| right.get(at).map(|b| (*at, operate(*a, *b)))))
    };
    Ok(match (left, right) {
        (Value::Number(a), Value::Number(b)) => Value::Number(operate(a, b)),
        (left, Value::Number(b)) => return map(left, |a| operate(a, b)),
        (Value::Number(a), right) => return map(right, |b| operate(a, b)),
        (Value::Points(left), Value::Points(right)) => Value::Points(both(&left, &right)),
        (Value::List(list), Value::Points(one)) => Value::List(list.iter().map(|each| both(each, &one)).collect()),
        (Value::Points(one), Value::List(list)) => Value::List(list.iter().map(|each| both(&one, each)).collect()),
        (Value::List(left), Value::List(right)) if left.len() == right.len() => {
            Value::List(left.iter().zip(&right).map(|(left, right)| both(left, right)).collect())
        }
        (Value::List(_), Value::List(_)) => return Err("two lists have different lengths".to_owned()),
    })
}

fn call(function: &str, arguments: &[Node], series: &Series<'_>) -> Result<Value, String> {
    let wants = |count: usize| match arguments.len() == count {
        true => Ok(()),
        false => Err(format!("{function} takes {count} arguments, not {}", arguments.len())),
    };
    match function {
        "IF" => return choose(arguments, series),
        "FILL" => return fill(arguments, series),
        "METRICS" => return metrics(arguments, series),
        _ => wants(1)?,
    }
    let value = evaluate(&arguments[0], series)?;
    match function {
        "ABS" => map(value, f64::abs),
        "CEIL" => map(value, f64::ceil),
        "FLOOR" => map(value, f64::floor),
        "LOG" => map(value, f64::ln),
        "LOG10" => map(value, f64::log10),
        "PERIOD" => Ok(Value::Number(series.period_s as f64)),
        "METRIC_COUNT" => match value {
            Value::List(list) => Ok(Value::Number(list.len() as f64)),
            _ => Ok(Value::Number(1.0)),
        },
        "SUM" => fold(value, |values| values.iter().sum()),
        "AVG" => fold(value, |values| values.iter().sum::<f64>() / values.len() as f64),
        "MIN" => fold(value, |values| values.iter().copied().fold(f64::INFINITY, f64::min)),
        "MAX" => fold(value, |values| values.iter().copied().fold(f64::NEG_INFINITY, f64::max)),
        "STDDEV" => fold(value, deviation),
        "DIFF" => walk(value, |(_, a), (_, b)| b - a),
        "DIFF_TIME" => walk(value, |(a, _), (b, _)| (b - a) as f64),
        "RATE" => walk(value, |(from, a), (to, b)| (b - a) / (to - from) as f64),
        "RUNNING_SUM" => each(value, |points| {
            let mut sum = 0.0;
            let summed = points.iter().map(|(at, value)| {
                sum += value;
                (*at, sum)
            });
            summed.collect()
        }),
        other => Err(format!("our bug: {other} is listed and not known")),
    }
}

fn deviation(values: &[f64]) -> f64 {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / values.len() as f64).sqrt()
}

/// One number of a series, or one series of several.
fn fold(value: Value, fold: impl Fn(&[f64]) -> f64) -> Result<Value, String> {
    match value {
        Value::Number(number) => Ok(Value::Number(fold(&[number]))),
        Value::Points(points) if points.is_empty() => Ok(Value::Points(points)),
        Value::Points(points) => Ok(Value::Number(fold(&points.into_values().collect::<Vec<f64>>()))),
        Value::List(list) => {
            let moments: BTreeSet<i64> = list.iter().flat_map(|points| points.keys().copied()).collect();
            let at = |at| (at, fold(&list.iter().filter_map(|points| points.get(&at)).copied().collect::<Vec<f64>>()));
            Ok(Value::Points(finite(moments.into_iter().map(at))))
        }
    }
}

fn each(value: Value, change: impl Fn(&Points) -> Points) -> Result<Value, String> {
    match value {
        Value::Number(_) => Err("a number has no course over time".to_owned()),
        Value::Points(points) => Ok(Value::Points(change(&points))),
        Value::List(list) => Ok(Value::List(list.iter().map(change).collect())),
    }
}

/// From each point and the one before it.
fn walk(value: Value, step: impl Fn((i64, f64), (i64, f64)) -> f64) -> Result<Value, String> {
    each(value, |points| {
        let pairs = points.iter().zip(points.iter().skip(1));
        finite(pairs.map(|((before, a), (at, b))| (*at, step((*before, *a), (*at, *b)))))
    })
}

/// `IF(condition, then)` and `IF(condition, then, else)`.
fn choose(arguments: &[Node], series: &Series<'_>) -> Result<Value, String> {
    if !(2..=3).contains(&arguments.len()) {
        return Err(format!("IF takes 2 or 3 arguments, not {}", arguments.len()));
    }
    let condition = evaluate(&arguments[0], series)?;
    let then = evaluate(&arguments[1], series)?;
    let otherwise = arguments.get(2).map(|node| evaluate(node, series)).transpose()?;
    let condition = match condition {
        Value::Number(number) if number != 0.0 => return Ok(then),
        Value::Number(_) => return Ok(otherwise.unwrap_or(Value::Points(Points::new()))),
        Value::Points(points) => points,
        Value::List(_) => return Err("the condition of IF is several series".to_owned()),
    };
    let of = |value: &Value, at: i64| match value {
        Value::Number(number) => Some(*number),
        Value::Points(points) => points.get(&at).copied(),
        Value::List(_) => None,
    };
    if matches!(then, Value::List(_)) || matches!(otherwise, Some(Value::List(_))) {
        return Err("IF chooses between series, not between lists of them".to_owned());
    }
    let chosen = condition.into_iter().filter_map(|(at, condition)| {
        let value = if condition == 0.0 { otherwise.as_ref().and_then(|value| of(value, at)) } else { of(&then, at) };
        value.map(|value| (at, value))
    });
    Ok(Value::Points(chosen.collect()))
}

/// `FILL(series, number)`, `FILL(series, REPEAT)`, `FILL(series, LINEAR)`, `FILL(series, series)`.
fn fill(arguments: &[Node], series: &Series<'_>) -> Result<Value, String> {
    let [filled, filling] = arguments else { return Err(format!("FILL takes 2 arguments, not {}", arguments.len())) };
    let value = evaluate(filled, series)?;
    let word = match filling {
        Node::Name(name) if !series.by_id.contains_key(name.as_str()) => Some(name.to_ascii_uppercase()),
        _ => None,
    };
    match word.as_deref() {
        Some("REPEAT") => each(value, |points| {
            let last = |at| points.range(..=at).next_back().map(|(_, value)| (at, *value));
            series.periods().filter_map(last).collect()
        }),
        Some("LINEAR") => each(value, |points| series.periods().filter_map(|at| between(points, at)).collect()),
        Some(other) => Err(format!("FILL takes a number, a series, REPEAT or LINEAR, not {other}")),
        None => {
            let filling = evaluate(filling, series)?;
            let with = |at: i64| match &filling {
                Value::Number(number) => Some(*number),
                Value::Points(points) => points.get(&at).copied(),
                Value::List(_) => None,
            };
            each(value, |points| {
                let filled = series
                    .periods()
                    .filter_map(|at| points.get(&at).copied().or_else(|| with(at)).map(|value| (at, value)));
                filled.collect()
            })
        }
    }
}

/// The point of that period, on the line between its neighbours if there is none.
fn between(points: &Points, at: i64) -> Option<(i64, f64)> {
    let (before_at, before) = points.range(..=at).next_back()?;
    let (after_at, after) = points.range(at..).next()?;
    if before_at == after_at {
        return Some((at, *before));
    }
    let share = (at - before_at) as f64 / (after_at - before_at) as f64;
    Some((at, before + (after - before) * share))
}

/// `METRICS()` and `METRICS("part of an id")`.
fn metrics(arguments: &[Node], series: &Series<'_>) -> Result<Value, String> {
    let part = match arguments {
        [] => "",
        [Node::Text(part)] => part,
        _ => return Err("METRICS takes nothing, or a part of ids as text".to_owned()),
    };
    let ids = series.metrics.iter().filter(|id| id.contains(part));
    Ok(Value::List(ids.filter_map(|id| series.by_id.get(id)).cloned().collect()))
}
