//! The same question for each consumer, and for each value of a column: for whom is the model good?
//!
//! Invariant: the rows of a segment's values add up to the judged rows. Refuses to: tell metrics of fewer than
//! [`MIN_ROWS_OF_GROUP`] rows.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Metric, Outcomes, ProblemType, Segment};

/// Judged rows of a value below which it has no metrics.
pub const MIN_ROWS_OF_GROUP: usize = 30;
/// Values of a segment that are shown, those with most rows first.
const MAX_GROUPS: usize = 50;

/// Quality by the values of a column.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SegmentQuality {
    /// The column; `consumer` for who called.
    pub column: String,
    /// Most rows first.
    pub groups: Vec<GroupQuality>,
    /// Values that are not shown.
    pub more: u64,
}

/// Quality of the rows with one value.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GroupQuality {
    /// The value.
    pub value: String,
    /// Its judged rows.
    pub judged: u64,
    /// The metrics that tell most, without deviations; none where there are too few rows.
    pub metrics: Vec<Metric>,
}

/// Metrics that tell most.
fn telling(problem: ProblemType) -> &'static [&'static str] {
    match problem {
        ProblemType::BinaryClassification => &["accuracy", "precision", "recall", "f1", "auc"],
        ProblemType::MulticlassClassification => &["accuracy", "weighted_precision", "weighted_recall", "weighted_f1"],
        ProblemType::Regression => &["mae", "rmse", "r2"],
    }
}

/// Quality by consumer, where there are several, and by the columns that were asked for.
#[must_use]
pub fn by_segment(outcomes: &Outcomes) -> Vec<SegmentQuality> {
    let told = |segment: &&Segment| segment.column != "consumer" || segment.values.len() > 1;
    outcomes.segments.iter().filter(told).map(|segment| of(outcomes, segment)).collect()
}

fn of(outcomes: &Outcomes, segment: &Segment) -> SegmentQuality {
    let mut of_value: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for row in outcomes.judged() {
        of_value.entry(segment.of_row[row]).or_default().push(row);
    }
    let mut groups: Vec<(&String, Vec<usize>)> =
        of_value.into_iter().map(|(value, rows)| (&segment.values[value as usize], rows)).collect();
    groups.sort_by(|a, b| b.1.len().cmp(&a.1.len()).then_with(|| a.0.cmp(b.0)));
    let more = groups.len().saturating_sub(MAX_GROUPS) as u64;
    let group = |(value, rows): (&String, Vec<usize>)| GroupQuality {
        value: value.clone(),
        judged: rows.len() as u64,
        metrics: if rows.len() < MIN_ROWS_OF_GROUP {
            Vec::new()
        } else {
            let mut metrics = outcomes.sample_of(&rows).metrics_without_deviations();
            metrics.retain(|metric| telling(outcomes.problem).contains(&metric.name));
            metrics
        },
    };
    SegmentQuality {
        column: segment.column.clone(),
        groups: groups.into_iter().take(MAX_GROUPS).map(group).collect(),
        more,
    }
}
