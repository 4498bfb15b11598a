//! Which objects a question excludes, judged by their keys alone.
//!
//! Two steps: equalities on endpoint and variant with bounds of time narrow what is *listed* (the archive's [`Selection`]);
//! then any condition over `endpoint`, `variant`, `event_time`, `date` is held against what each key says, as an interval.
//!
//! Invariant: an object is left out only when no record of it can be wanted. A record's time may differ from its key's
//! by [`KEY_SLACK_US`], so intervals are that much wider. Refuses to: answer a condition; rows are filtered afterwards.

use std::collections::HashSet;
use std::sync::Arc;

use captura_archive::reader::{KEY_SLACK_US, Selection};
use captura_names::{EndpointName, Timestamp, VariantName};
use datafusion::arrow::array::{ArrayRef, BooleanArray, Date32Array, StringArray, TimestampMicrosecondArray};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::{Column, Result, ScalarValue};
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_optimizer::pruning::PruningPredicateBuilder;

use crate::decoding::{DATE, ENDPOINT, EVENT_TIME, VARIANT};
use crate::pieces::Object;

const DAY_US: i64 = 86_400_000_000;

/// Whether a condition is about nothing but what keys tell.
pub(crate) fn is_about_keys(condition: &Expr) -> bool {
    let columns = condition.column_refs();
    let told = |column: &&Column| [ENDPOINT, VARIANT, EVENT_TIME, DATE].contains(&column.name.as_str());
    !columns.is_empty() && columns.iter().all(told)
}

/// What the conditions, all of which hold, say of the objects to list.
pub(crate) fn selection(conditions: &[Expr]) -> Selection {
    let mut selection = Selection::default();
    let (mut from_us, mut to_us) = (i64::MIN, i64::MAX);
    for condition in conditions {
        each_comparison(condition, &mut |column, operator, value| match (column, operator) {
            (ENDPOINT, Operator::Eq) => {
                selection.endpoint = text(value).and_then(|name| EndpointName::parse(name).ok());
            }
            (VARIANT, Operator::Eq) => {
                selection.variant = text(value).and_then(|name| VariantName::parse(name).ok());
            }
            (EVENT_TIME | DATE, _) => {
                let Some((first, length)) = micros(value) else { return };
                match operator {
                    Operator::Eq => {
                        from_us = from_us.max(first);
                        to_us = to_us.min(first + length);
                    }
                    Operator::Gt | Operator::GtEq => from_us = from_us.max(first),
                    Operator::Lt | Operator::LtEq => to_us = to_us.min(first + length),
                    _ => {}
                }
            }
            _ => {}
        });
    }
    if from_us != i64::MIN || to_us != i64::MAX {
        // Far enough for every key, and for the slack around it.
        let bounded = |us: i64| Timestamp::from_unix_us(us.clamp(0, 253_402_214_400_000_000));
        selection.window = Some(bounded(from_us)..bounded(to_us));
    }
    selection
}

/// Comparisons of a column with a value that are part of a conjunction.
fn each_comparison(condition: &Expr, each: &mut impl FnMut(&str, Operator, &ScalarValue)) {
    match condition {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => {
            each_comparison(left, each);
            each_comparison(right, each);
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => match (&**left, &**right) {
            (Expr::Column(column), Expr::Literal(value, _)) => each(&column.name, *op, value),
            (Expr::Literal(value, _), Expr::Column(column)) => {
                if let Some(op) = op.swap() {
                    each(&column.name, op, value);
                }
            }
            _ => {}
        },
        Expr::Between(between) if !between.negated => {
            if let (Expr::Column(column), Expr::Literal(low, _), Expr::Literal(high, _)) =
                (&*between.expr, &*between.low, &*between.high)
            {
                each(&column.name, Operator::GtEq, low);
                each(&column.name, Operator::LtEq, high);
            }
        }
        _ => {}
    }
}

fn text(value: &ScalarValue) -> Option<&str> {
    value.try_as_str().flatten()
}

/// A point in time and how long it lasts.
fn micros(value: &ScalarValue) -> Option<(i64, i64)> {
    match value {
        ScalarValue::TimestampMicrosecond(Some(us), _) => Some((*us, 1)),
        ScalarValue::Date32(Some(days)) => Some((i64::from(*days) * DAY_US, DAY_US)),
        _ => None,
    }
}

/// Keeps the objects that the condition does not exclude.
pub(crate) fn prune(
    objects: Vec<Arc<Object>>,
    condition: Arc<dyn PhysicalExpr>,
    schema: SchemaRef,
) -> Result<Vec<Arc<Object>>> {
    let predicate = PruningPredicateBuilder::new().with_file_schema(schema).try_build(condition)?;
    if predicate.always_true() {
        return Ok(objects);
    }
    let kept = predicate.prune(&Keys(&objects))?;
    Ok(objects.into_iter().zip(kept).filter(|(_, kept)| *kept).map(|(object, _)| object).collect())
}

/// What keys tell of the records below them.
struct Keys<'o>(&'o [Arc<Object>]);

impl Keys<'_> {
    fn values(&self, column: &Column, slack_us: i64) -> Option<ArrayRef> {
        let keys = || self.0.iter().map(|object| object.key.as_ref());
        let at_us = || keys().map(|key| key.map(|key| key.started_at.unix_us() + slack_us));
        match column.name.as_str() {
            ENDPOINT => Some(Arc::new(keys().map(|key| key.map(|key| key.endpoint.as_str())).collect::<StringArray>())),
            VARIANT => Some(Arc::new(keys().map(|key| key.map(|key| key.variant.as_str())).collect::<StringArray>())),
            EVENT_TIME => Some(Arc::new(at_us().collect::<TimestampMicrosecondArray>().with_timezone("UTC"))),
            DATE => {
                let day = |us: i64| i32::try_from(us.div_euclid(DAY_US)).unwrap_or_default();
                Some(Arc::new(at_us().map(|us| us.map(day)).collect::<Date32Array>()))
            }
            _ => None,
        }
    }
}

impl PruningStatistics for Keys<'_> {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.values(column, -KEY_SLACK_US)
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.values(column, KEY_SLACK_US)
    }

    fn num_containers(&self) -> usize {
        self.0.len()
    }

    fn null_counts(&self, _column: &Column) -> Option<ArrayRef> {
        None
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        None
    }

    fn contained(&self, _column: &Column, _values: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}

#[cfg(test)]
mod tests {
    use datafusion::logical_expr::{col, lit};

    use super::*;

    fn at(text: &str) -> Expr {
        let us = Timestamp::parse(text).unwrap().unix_us();
        lit(ScalarValue::TimestampMicrosecond(Some(us), Some("UTC".into())))
    }

    #[test]
    fn conditions_narrow_what_is_listed_and_never_too_far() {
        let condition = col(ENDPOINT)
            .eq(lit("churn"))
            .and(lit("v").eq(col(VARIANT)))
            .and(col(EVENT_TIME).gt_eq(at("2026-01-02T03:00:00Z")))
            .and(col(DATE).lt_eq(lit(ScalarValue::Date32(Some(20_456)))));
        let found = selection(&[condition]);
        assert_eq!(found.endpoint.unwrap().as_str(), "churn");
        assert_eq!(found.variant.unwrap().as_str(), "v");
        let window = found.window.unwrap();
        assert_eq!(window.start, Timestamp::parse("2026-01-02T03:00:00Z").unwrap());
        assert_eq!(window.end, Timestamp::parse("2026-01-04T00:00:00Z").unwrap(), "the whole day");
        let either = col(ENDPOINT).eq(lit("a")).or(col(ENDPOINT).eq(lit("b")));
        assert!(selection(std::slice::from_ref(&either)).endpoint.is_none());
        assert!(is_about_keys(&either) && !is_about_keys(&either.or(col("status_code").eq(lit(1)))));
    }
}
