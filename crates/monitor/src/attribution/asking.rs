//! Questions to a model about rows, which go out several to a request.
//!
//! Invariant: answers are taken in the order of the questions. Refuses to: ask the model itself.

/// Questions that are open, and what is made of their answers.
pub trait Questions {
    /// The next questions as one request of at most so many rows and bytes, and how many they are; nothing when all is answered.
    ///
    /// # Errors
    /// When one row alone is larger.
    fn request(&mut self, rows_max: usize, body_max_bytes: usize) -> Result<Option<(Vec<u8>, usize)>, Refused>;

    /// Takes the numbers that were answered to the last request, row by row.
    ///
    /// # Errors
    /// When rows were answered in different numbers of numbers.
    fn take(&mut self, answers: &[Vec<f64>]) -> Result<(), Refused>;
}

/// What a model answered does not go with what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub String);

/// How many numbers the model answers to every row, which these are as many as.
pub(super) fn agreed(outputs: &mut Option<usize>, numbers: &[f64]) -> Result<usize, Refused> {
    let (outputs, found) = (*outputs.get_or_insert(numbers.len()), numbers.len());
    if found == outputs {
        return Ok(outputs);
    }
    Err(Refused(format!("the model answered {found} numbers to one row, and {outputs} to another")))
}
