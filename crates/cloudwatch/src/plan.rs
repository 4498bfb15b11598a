//! What to compute out of the store: metrics with statistics, and expressions over them.
//!
//! Invariant: a plan is checked whole before anything is computed: ids are unique, every name that an expression uses
//! is there, and no expression needs itself.

use std::collections::BTreeMap;

use captura_alarm::math::{Expression, Points, Series as MathSeries};
use captura_wire::cloudwatch::shapes::{MetricDataQuery, MetricStat};
use captura_wire::cloudwatch::{Code, Fault};

use crate::statistic::{Statistic, check_period};
use crate::store::{MetricId, Store, Summary, Window};

/// Most queries of one request: CloudWatch's own limit.
const QUERIES_MAX: usize = 500;
/// Most periods that all queries of a request may span together.
const PERIODS_MAX: i64 = 2_000_000;
/// Most periods of an expression, which can have a point in each whatever is kept: a month of minutes.
const EXPRESSION_PERIODS_MAX: i64 = 44_640;

/// A statistic of a metric.
#[derive(Debug, Clone)]
pub(crate) struct Measure {
    pub(crate) metric: MetricId,
    pub(crate) statistic: Statistic,
    pub(crate) statistic_name: String,
    pub(crate) unit: Option<String>,
}

#[derive(Debug, Clone)]
enum Source {
    Measure(Measure),
    Expression(Expression),
}

#[derive(Debug, Clone)]
struct Step {
    id: String,
    label: String,
    period_s: i64,
    returned: bool,
    source: Source,
}

/// Queries in an order in which each can be computed.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    steps: Vec<Step>,
    /// Positions in `steps`, in the order of the request.
    asked: Vec<usize>,
}

/// One series of the answer.
#[derive(Debug, Clone)]
pub(crate) struct Computed {
    pub(crate) id: String,
    pub(crate) label: String,
    pub(crate) points: Points,
    /// Samples behind each point, for metrics.
    pub(crate) sample_counts: BTreeMap<i64, f64>,
}

fn invalid(message: String) -> Fault {
    Fault::new(Code::ValidationError, message)
}

impl Measure {
    /// A statistic of a metric, with its period.
    pub(crate) fn of(stat: &MetricStat) -> Result<(Self, i64), Fault> {
        let metric = &stat.metric;
        let namespace = metric.namespace.clone().ok_or_else(|| Fault::missing("Namespace"))?;
        let name = metric.metric_name.clone().ok_or_else(|| Fault::missing("MetricName"))?;
        let measure = Self {
            metric: MetricId::new(namespace, name, metric.dimensions.clone()),
            statistic: Statistic::of_name(&stat.stat)?,
            statistic_name: stat.stat.clone(),
            unit: stat.unit.clone(),
        };
        Ok((measure, check_period(stat.period)?))
    }

    pub(crate) fn summaries(&self, store: &Store, window: Window, now_s: i64) -> BTreeMap<i64, Summary> {
        store.collect(&self.metric, self.unit.as_deref(), window, now_s)
    }
}

impl Plan {
    /// A plan of one metric.
    pub(crate) fn of_measure(measure: Measure, period_s: i64) -> Self {
        let label = measure.metric.name.clone();
        let source = Source::Measure(measure);
        Self { steps: vec![Step { id: "m1".into(), label, period_s, returned: true, source }], asked: vec![0] }
    }

    /// Checks the queries of a request.
    pub(crate) fn parse(queries: &[MetricDataQuery]) -> Result<Self, Fault> {
        if queries.len() > QUERIES_MAX {
            let message = format!("The collection MetricDataQueries must not have a size greater than {QUERIES_MAX}.");
            return Err(invalid(message));
        }
        let mut waiting: Vec<(usize, Step)> = Vec::new();
        for (position, query) in queries.iter().enumerate() {
            if waiting.iter().any(|(_, step)| step.id == query.id) {
                return Err(invalid("The values for parameter id in MetricDataQueries are not unique.".to_owned()));
            }
            waiting.push((position, step(query)?));
        }
        let mut plan = Self { steps: Vec::new(), asked: vec![0; queries.len()] };
        while !waiting.is_empty() {
            let ready = waiting.iter().position(|(_, step)| step.needs().all(|id| plan.step(id).is_some()));
            let Some(ready) = ready else { return Err(unknown_name(&waiting)) };
            let (position, mut step) = waiting.remove(ready);
            if let Source::Expression(_) = step.source
                && step.period_s == 0
            {
                step.period_s = plan.period_of(&step);
            }
            plan.asked[position] = plan.steps.len();
            plan.steps.push(step);
        }
        Ok(plan)
    }

    fn step(&self, id: &str) -> Option<&Step> {
        self.steps.iter().find(|step| step.id == id)
    }

    /// An expression without a period has the longest of what it uses; `METRICS()` uses all.
    fn period_of(&self, step: &Step) -> i64 {
        let named = step.needs().filter_map(|id| self.step(id)).map(|used| used.period_s).max();
        named.or_else(|| self.steps.iter().map(|step| step.period_s).max()).unwrap_or(60)
    }

    /// The one series that is returned, if it is one.
    pub(crate) fn only_returned(&self) -> Option<(&str, i64)> {
        let mut returned = self.steps.iter().filter(|step| step.returned);
        let only = returned.next()?;
        returned.next().is_none().then_some((only.id.as_str(), only.period_s))
    }

    /// Metrics that it reads.
    pub(crate) fn measures(&self) -> impl Iterator<Item = &Measure> {
        self.steps.iter().filter_map(|step| match &step.source {
            Source::Measure(measure) => Some(measure),
            Source::Expression(_) => None,
        })
    }

    /// Whether all metrics are read in one period.
    pub(crate) fn has_one_period(&self) -> bool {
        self.steps.iter().all(|step| step.period_s == self.steps[0].period_s)
    }

    /// Computes what is returned between two moments; `aligned` starts periods at multiples of their length, as graphs
    /// want it, else they are counted from the start, as alarms want it.
    pub(crate) fn compute(&self, store: &Store, span: Span) -> Result<Vec<Computed>, Fault> {
        let mut done: Vec<Computed> = Vec::new();
        let mut left = PERIODS_MAX;
        for step in &self.steps {
            let window = span.window(step.period_s);
            let periods = (window.end_s - window.start_s) / window.period_s;
            left -= periods;
            let is_expression = matches!(step.source, Source::Expression(_));
            if left < 0 || is_expression && periods > EXPRESSION_PERIODS_MAX {
                let text = "The time range holds too many periods. Ask for a shorter one, or for longer periods.";
                return Err(Fault::combination(text));
            }
            let computed = match &step.source {
                Source::Measure(measure) => measured(step, measure, (store, window, span.now_s)),
                Source::Expression(expression) => self.calculated(step, expression, &done, window)?,
            };
            done.push(computed);
        }
        let asked = self.asked.iter().filter(|position| self.steps[**position].returned);
        Ok(asked.map(|position| done[*position].clone()).collect())
    }

    fn calculated(
        &self,
        step: &Step,
        expression: &Expression,
        done: &[Computed],
        window: Window,
    ) -> Result<Computed, Fault> {
        let is_metric = |id: &str| self.step(id).is_some_and(|step| matches!(step.source, Source::Measure(_)));
        let asked = self.asked.iter().filter_map(|position| done.get(*position));
        let names = expression.names();
        let all = expression.uses_all_metrics();
        let needed = done.iter().filter(|computed| all || names.contains(&computed.id.as_str()));
        let series = MathSeries {
            by_id: needed.map(|computed| (computed.id.as_str(), computed.points.clone())).collect(),
            metrics: asked.map(|computed| computed.id.as_str()).filter(|id| is_metric(id)).collect(),
            start_s: window.start_s,
            end_s: window.end_s,
            period_s: window.period_s,
        };
        let points = expression.evaluate(&series).map_err(|error| invalid(error.to_string()))?;
        Ok(Computed { id: step.id.clone(), label: step.label.clone(), points, sample_counts: BTreeMap::new() })
    }
}

fn measured(step: &Step, measure: &Measure, (store, window, now_s): (&Store, Window, i64)) -> Computed {
    let summaries = measure.summaries(store, window, now_s);
    let value = |(at, summary): (&i64, &Summary)| measure.statistic.of(summary).map(|value| (*at, value));
    Computed {
        id: step.id.clone(),
        label: step.label.clone(),
        points: summaries.iter().filter_map(value).collect(),
        sample_counts: summaries.iter().map(|(at, summary)| (*at, summary.count)).collect(),
    }
}

/// A stretch of time to compute over.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    pub(crate) start_s: i64,
    pub(crate) end_s: i64,
    pub(crate) now_s: i64,
    pub(crate) aligned: bool,
}

impl Span {
    pub(crate) fn window(&self, period_s: i64) -> Window {
        let start_s = if self.aligned { self.start_s.div_euclid(period_s) * period_s } else { self.start_s };
        Window { start_s, end_s: self.end_s, period_s }
    }
}

impl Step {
    fn needs(&self) -> impl Iterator<Item = &str> {
        let names = match &self.source {
            Source::Measure(_) => Vec::new(),
            Source::Expression(expression) => expression.names(),
        };
        names.into_iter()
    }
}

fn step(query: &MetricDataQuery) -> Result<Step, Fault> {
    let id = &query.id;
    let mut characters = id.chars();
    let well_formed = characters.next().is_some_and(|first| first.is_ascii_lowercase())
        && characters.all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !well_formed {
        let message =
            format!("The value '{id}' for parameter Id is not matching the expected pattern ^[a-z][a-zA-Z0-9_]*$.");
        return Err(invalid(message));
    }
    let (source, period_s, label) = match (&query.metric_stat, &query.expression) {
        (Some(stat), None) => {
            let (measure, period_s) = Measure::of(stat)?;
            let label = measure.metric.name.clone();
            (Source::Measure(measure), period_s, label)
        }
        (None, Some(text)) => {
            let expression = Expression::parse(text).map_err(|error| invalid(error.to_string()))?;
            let period_s = query.period.map(check_period).transpose()?.unwrap_or(0);
            (Source::Expression(expression), period_s, id.clone())
        }
        _ => return Err(invalid(format!("The query {id} must have exactly one of MetricStat and Expression."))),
    };
    let label = query.label.clone().filter(|label| !label.is_empty()).unwrap_or(label);
    Ok(Step { id: id.clone(), label, period_s, returned: query.return_data.unwrap_or(true), source })
}

fn unknown_name(waiting: &[(usize, Step)]) -> Fault {
    let is_here = |id: &str| waiting.iter().any(|(_, step)| step.id == id);
    let unknown = waiting.iter().flat_map(|(_, step)| step.needs()).find(|id| !is_here(id));
    invalid(match unknown {
        Some(id) => format!("Error in expression: the id {id} is not among the queries, or is used before it can be."),
        None => "Error in expression: expressions need each other in a circle.".to_owned(),
    })
}
