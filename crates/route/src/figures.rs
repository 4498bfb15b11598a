//! What was counted of one instance of a model.

/// What the name of an instance begins with that is a model in this process.
pub const IN_PROCESS: &str = "in-process";

/// Numbers that only go up, from the begin of the instance.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InstanceFigures {
    /// Its name.
    pub id: Box<str>,
    /// Calls that it answered, with an error too. One that another instance was asked again is not among them.
    pub invocations: u64,
    /// Calls that it answered with 4xx.
    pub errors_4xx: u64,
    /// Calls that it answered with 5xx.
    pub errors_5xx: u64,
    /// Calls that got no good answer.
    pub model_errors: u64,
    /// Time in it: the sum in microseconds, and lower bound, upper bound (both in microseconds) and count of buckets.
    pub model_latency: (u64, Vec<(u64, u64, u64)>),
}
