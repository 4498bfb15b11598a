//! Arithmetic between metrics: `m1/m2`, `100*errors/calls`, `IF(m1>10, m1, 0)`, `SUM(METRICS())`.
//!
//! Invariant: parsing and evaluating are bounded: [`DEPTH_MAX`] deep, lists of [`LIST_MAX`] series, and as many points as the
//! caller's periods; the caller bounds those.
//! Refuses to: know SEARCH, anomaly bands, Metrics Insights and whatever else is not in [`FUNCTIONS`]; the error says so.

mod evaluate;
mod parse;

use std::collections::BTreeMap;

pub use evaluate::Value;

/// Points of a series by the start of their period, seconds since 1970.
pub type Points = BTreeMap<i64, f64>;

/// Deepest nesting of an expression.
pub const DEPTH_MAX: usize = 32;
/// Longest expression, bytes: the limit of the service model.
pub const LENGTH_MAX: usize = 2_048;

/// Most series in one list.
pub const LIST_MAX: usize = 100;

/// Every function that is known.
pub const FUNCTIONS: &[&str] = &[
    "ABS",
    "AVG",
    "CEIL",
    "DIFF",
    "DIFF_TIME",
    "FILL",
    "FLOOR",
    "IF",
    "LOG",
    "LOG10",
    "MAX",
    "METRICS",
    "METRIC_COUNT",
    "MIN",
    "PERIOD",
    "RATE",
    "RUNNING_SUM",
    "STDDEV",
    "SUM",
];

/// Why an expression cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Error in expression '{expression}': {problem}")]
pub struct ExpressionError {
    /// The expression.
    pub expression: String,
    /// What is wrong with it.
    pub problem: String,
}

/// A parsed expression.
#[derive(Debug, Clone, PartialEq)]
pub struct Expression {
    text: String,
    root: Node,
}

#[derive(Debug, Clone, PartialEq)]
enum Node {
    Number(f64),
    Text(String),
    /// A series by its id, or the word `REPEAT` or `LINEAR` inside of FILL.
    Name(String),
    List(Vec<Node>),
    Negative(Box<Node>),
    Not(Box<Node>),
    Binary(Operator, Box<Node>, Box<Node>),
    Call(String, Vec<Node>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Power,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Equal,
    NotEqual,
    And,
    Or,
}

impl Expression {
    /// Parses an expression.
    ///
    /// # Errors
    /// Says what is wrong, or which function is not known.
    pub fn parse(text: &str) -> Result<Self, ExpressionError> {
        let error = |problem| ExpressionError { expression: text.to_owned(), problem };
        if text.len() > LENGTH_MAX {
            return Err(error(format!("it is longer than {LENGTH_MAX} characters")));
        }
        let root = parse::parse(text).map_err(error)?;
        Ok(Self { text: text.to_owned(), root })
    }

    /// Ids of the series that it names, each once. `METRICS()` names none of its own.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        let mut names = Vec::new();
        self.root.collect_names(&mut names);
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Whether it needs every metric, not only those that it names.
    #[must_use]
    pub fn uses_all_metrics(&self) -> bool {
        self.root.calls("METRICS")
    }

    /// Evaluates it over series by id; `metrics` are the ids that `METRICS()` stands for.
    ///
    /// # Errors
    /// When a series is named that is not there, or a function is given what it cannot take.
    pub fn evaluate(&self, series: &Series<'_>) -> Result<Points, ExpressionError> {
        let error = |problem| ExpressionError { expression: self.text.clone(), problem };
        match evaluate::evaluate(&self.root, series).map_err(error)? {
            Value::Points(points) => Ok(points),
            // A number stands for a series that has it in every period.
            Value::Number(number) => Ok(series.periods().map(|at| (at, number)).collect()),
            Value::List(_) => Err(error("it gives several series; SUM, AVG, MIN or MAX makes one of them".to_owned())),
        }
    }
}

impl Node {
    fn calls(&self, wanted: &str) -> bool {
        match self {
            Self::Number(_) | Self::Text(_) | Self::Name(_) => false,
            Self::Negative(one) | Self::Not(one) => one.calls(wanted),
            Self::Binary(_, left, right) => left.calls(wanted) || right.calls(wanted),
            Self::List(members) => members.iter().any(|member| member.calls(wanted)),
            Self::Call(function, arguments) => {
                function == wanted || arguments.iter().any(|argument| argument.calls(wanted))
            }
        }
    }

    fn collect_names<'a>(&'a self, names: &mut Vec<&'a str>) {
        match self {
            Self::Number(_) | Self::Text(_) => {}
            Self::Name(name) => names.push(name),
            Self::List(members) => members.iter().for_each(|member| member.collect_names(names)),
            Self::Negative(one) | Self::Not(one) => one.collect_names(names),
            Self::Binary(_, left, right) => {
                left.collect_names(names);
                right.collect_names(names);
            }
            Self::Call(function, arguments) => {
                let fills_with_word = function == "FILL" && matches!(arguments.get(1), Some(Self::Name(_)));
                let counted = if fills_with_word { 1 } else { arguments.len() };
                arguments[..counted].iter().for_each(|argument| argument.collect_names(names));
            }
        }
    }
}

/// What an expression is evaluated over.
#[derive(Debug, Clone)]
pub struct Series<'a> {
    /// Points by id: metrics, and expressions that were evaluated before.
    pub by_id: BTreeMap<&'a str, Points>,
    /// Ids that `METRICS()` stands for, in the order of the request.
    pub metrics: Vec<&'a str>,
    /// Start of the first period, seconds since 1970.
    pub start_s: i64,
    /// End of the last period, seconds since 1970.
    pub end_s: i64,
    /// Length of a period, seconds, at least 1.
    pub period_s: i64,
}

impl Series<'_> {
    /// Starts of all periods.
    fn periods(&self) -> impl Iterator<Item = i64> + use<> {
        let (end_s, period_s) = (self.end_s, self.period_s.max(1));
        std::iter::successors(Some(self.start_s), move |at| at.checked_add(period_s)).take_while(move |at| *at < end_s)
    }
}

#[cfg(test)]
mod tests;
