//! What is to be told of the queue at one moment.

use captura_names::EndpointName;

/// The queue at one moment, and what became of its calls since the start.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Figures {
    /// Every endpoint that has calls in the queue, by name.
    pub endpoints: Vec<EndpointFigures>,
    /// Calls accepted.
    pub accepted: u64,
    /// Calls that ended with an answer.
    pub completed: u64,
    /// Calls that ended without, expired ones included.
    pub failed: u64,
    /// Calls that waited too long.
    pub expired: u64,
    /// Calls whose entry was damaged and is set aside.
    pub damaged: u64,
}

/// One endpoint's part of the queue.
#[derive(Debug, Clone, PartialEq)]
pub struct EndpointFigures {
    /// The endpoint.
    pub endpoint: EndpointName,
    /// `ApproximateBacklogSize`: calls that wait or are under way.
    pub backlog_size: usize,
    /// Of these, calls under way.
    pub working: usize,
    /// `ApproximateAgeOfOldestRequest`, seconds; nothing when none waits.
    pub oldest_age_seconds: Option<f64>,
    /// `HasBacklogWithoutCapacity`: calls wait, and no instance could take them.
    pub without_capacity: bool,
}
