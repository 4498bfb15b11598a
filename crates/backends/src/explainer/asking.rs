//! Asking a model about synthetic records, batch by batch.
//!
//! Invariant: batches are asked one after another, none with more records or bytes than the configuration allows. A batch
//! that the model does not take is asked again in smaller ones, down to one record; what it took last is where later calls
//! begin.

use std::sync::atomic::{AtomicUsize, Ordering};

use captura_attribution::outputs::Outputs;
use captura_attribution::record::Layout;
use captura_route::{Answer, Backend, BackendError, ModelRequest};

use super::limits::BATCH_STEP;
use super::spec::ExplainerSpec;
use crate::payload::ContentType;

/// A model and how it is asked.
pub(super) struct Asking<'a> {
    pub(super) model: &'a dyn Backend,
    pub(super) spec: &'a ExplainerSpec,
    /// The call that is explained, with everything but its body.
    pub(super) request: &'a ModelRequest,
    pub(super) layout: Layout,
    /// How many numbers the model answers a record.
    pub(super) outputs: usize,
    /// How many records the model took last.
    pub(super) batch_records: &'a AtomicUsize,
}

impl Asking<'_> {
    /// Asks about so many records, which `write` writes, and gives `take` the numbers of each.
    ///
    /// # Errors
    /// When the model does not answer about one record, or not as it answered the call.
    pub(super) async fn each(
        &self,
        count: usize,
        write: impl Fn(usize, &mut Vec<u8>) + Send + Sync,
        mut take: impl FnMut(usize, &[f64]) + Send,
    ) -> Result<(), BackendError> {
        let mut most = self.batch_records.load(Ordering::Relaxed);
        let mut at = 0;
        while at < count {
            let (body, records) = self.batch(at, (count - at).min(most), &write)?;
            match self.answers(body, records).await {
                Ok(answers) => {
                    for (index, numbers) in answers.iter().enumerate() {
                        take(at + index, numbers);
                    }
                    at += records;
                }
                Err(error) if records == 1 || !is_of_the_batch(&error) => return Err(of_the_explainer(error)),
                Err(_) => most = (records / BATCH_STEP).max(1),
            }
            // A model inside this process answers at once; others shall have their turn.
            tokio::task::yield_now().await;
        }
        self.batch_records.store(most, Ordering::Relaxed);
        Ok(())
    }

    /// A body with as many of these records as it may hold, and how many those are.
    fn batch(
        &self,
        first: usize,
        most: usize,
        write: &impl Fn(usize, &mut Vec<u8>),
    ) -> Result<(Vec<u8>, usize), BackendError> {
        let (mut body, limit) = (Vec::new(), self.spec.payload_max_bytes);
        for records in 0..most {
            let before = body.len();
            if records > 0 {
                body.push(b'\n');
            }
            write(first + records, &mut body);
            if body.len() > limit {
                body.truncate(before);
                if records == 0 {
                    return Err(BackendError::refused(format!(
                        "a synthetic record is larger than the {limit} bytes of MaxPayloadInMB"
                    )));
                }
                return Ok((body, records));
            }
        }
        Ok((body, most))
    }

    async fn answers(&self, body: Vec<u8>, records: usize) -> Result<Vec<Vec<f64>>, BackendError> {
        let request = ModelRequest { body: body.into(), ..self.request.clone() };
        let answer = self.model.invoke(&request).await?;
        let outputs = outputs_of(&answer, records).map_err(BackendError::refused)?;
        let numbers = |record: usize| {
            let numbers = outputs.numbers(record, &self.spec.places).map_err(BackendError::refused)?;
            if numbers.len() != self.outputs {
                let (found, wanted) = (numbers.len(), self.outputs);
                let text =
                    format!("the model answered {found} numbers to a synthetic record, and {wanted} to the call");
                return Err(BackendError::refused(text));
            }
            Ok(numbers)
        };
        (0..records).map(numbers).collect()
    }
}

/// How the records of a body are written.
///
/// # Errors
/// When the content type is none that an explainer reads.
pub(super) fn layout_of(content_type: Option<&str>) -> Result<Layout, String> {
    match ContentType::parse(content_type) {
        Ok(ContentType::Csv { header: false }) => Ok(Layout::Csv),
        Ok(ContentType::JsonLines) => Ok(Layout::JsonLines),
        Ok(ContentType::Csv { header: true }) => {
            Err("\"header=present\" is not read by the explainer; send the records alone".to_owned())
        }
        Ok(ContentType::Json) | Err(_) => Err(format!(
            "{:?} is not read by the explainer, which reads text/csv and application/jsonlines",
            content_type.unwrap_or_default()
        )),
    }
}

/// Reads an answer to so many records.
///
/// # Errors
/// When it is in no known layout, or has another number of records.
pub(super) fn outputs_of(answer: &Answer, count: usize) -> Result<Outputs, String> {
    let layout = layout_of(answer.content_type.as_deref())
        .map_err(|why| format!("the model's answer cannot be explained: {why}; ask for one of them with Accept"))?;
    Outputs::read(layout, &answer.body, count)
}

/// Whether fewer records at a time may help.
fn is_of_the_batch(error: &BackendError) -> bool {
    matches!(error.parts().1, BackendError::Model { .. })
}

/// Says that it was not the caller's record that the model did not take.
fn of_the_explainer(error: BackendError) -> BackendError {
    match error {
        BackendError::Model { status, message, body } => {
            let message = format!("The explainer asked the model about a synthetic record: {message}");
            BackendError::Model { status, message, body }
        }
        BackendError::InContainer { hostname, error } => {
            BackendError::InContainer { hostname, error: Box::new(of_the_explainer(*error)) }
        }
        other => other,
    }
}
