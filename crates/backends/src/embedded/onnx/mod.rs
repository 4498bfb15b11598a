//! ONNX models, run by ONNX Runtime inside this process.
//!
//! The library is opened at run time and only when the first ONNX model is loaded, so everything else works without it.
//! A model file is looked into before the library sees it: see [`inspect`].
//!
//! Invariant: a call keeps the thread of other calls for no longer than about half a millisecond; whatever is likely to
//! take longer runs on the blocking pool. Refuses to: download anything, load operators from other libraries.

mod cost;
mod element;
mod inputs;
mod inspect;
mod library;
mod load;
mod options;
mod outputs;
mod protobuf;
mod sessions;
mod tensor;
#[cfg(test)]
mod tests;
mod tree_ensemble;

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use captura_route::{Backend, BackendError, Invoking, ModelRequest, Signature};
use ort::ErrorCode;
use ort::session::{RunOptions, Session};

use self::cost::Cost;
use self::inputs::Inputs;
pub use self::library::LibraryError;
pub(crate) use self::load::load;
use self::outputs::Outputs;
use self::sessions::Sessions;
use crate::payload::{self, Format, Predictions, Table};

/// Bodies above this size are read on the blocking pool, bytes.
const INLINE_BODY_BYTES: usize = 32 * 1024;

/// A model that is loaded.
pub(crate) struct OnnxBackend {
    model: Arc<Model>,
    sessions: Arc<Sessions>,
}

/// What is known of a model apart from its sessions.
#[derive(Debug)]
struct Model {
    inputs: Inputs,
    outputs: Outputs,
    signature: Signature,
    default_format: Format,
    /// Whether its time depends on more than the number of rows, up to never ending.
    has_loop: bool,
    cost: Cost,
}

impl Model {
    fn decode(&self, request: &ModelRequest) -> Result<(Table, Format), BackendError> {
        // First, because it is cheap: nothing is worth computing that cannot be answered.
        let format = Format::negotiate(request.accept.as_deref(), self.default_format)?;
        let table = payload::decode(&request.body, request.content_type.as_deref(), self.inputs.cells())?;
        Ok((self.inputs.arrange(table)?, format))
    }

    /// Runs the model; `run` lets another thread stop it.
    fn predict(
        &self,
        session: &mut Session,
        table: &Table,
        run: Option<&RunOptions>,
    ) -> Result<Predictions, BackendError> {
        let bound = self.inputs.bind(table)?;
        let rows = table.rows();
        let batch = self.inputs.batch().unwrap_or(rows);
        if !rows.is_multiple_of(batch) {
            return Err(BackendError::refused(format!("the model takes {batch} rows at a time, and {rows} were sent")));
        }
        let mut predictions = Predictions::default();
        let begun = Instant::now();
        for start in (0..rows).step_by(batch) {
            let inputs = self.inputs.tensors(table, &bound, &(start..start + batch))?;
            let outputs = match run {
                Some(run) => session.run_with_options(inputs, run),
                None => session.run(inputs),
            };
            let outputs = outputs.map_err(|error| failed(&error))?;
            self.outputs.take(&outputs, batch, &mut predictions)?;
        }
        self.cost.note(rows, begun.elapsed());
        Ok(predictions)
    }
}

impl Backend for OnnxBackend {
    fn invoke<'a>(&'a self, request: &'a ModelRequest) -> Invoking<'a> {
        Box::pin(async move {
            let (table, format) = match request.body.len() {
                0..=INLINE_BODY_BYTES => self.model.decode(request)?,
                _ => {
                    let (model, request) = (Arc::clone(&self.model), request.clone());
                    blocking(move || model.decode(&request)).await?
                }
            };
            let mut lease = self.sessions.lease().await;
            if !self.model.has_loop && self.model.cost.is_cheap(table.rows()) {
                return Ok(payload::encode(&self.model.predict(lease.session(), &table, None)?, format));
            }
            let model = Arc::clone(&self.model);
            let run = Arc::new(RunOptions::new().map_err(|error| failed(&error))?);
            let _stop = StopOnDrop(Arc::clone(&run));
            blocking(move || Ok(payload::encode(&model.predict(lease.session(), &table, Some(&run))?, format))).await
        })
    }

    fn signature(&self) -> Option<&Signature> {
        Some(&self.model.signature)
    }
}

impl fmt::Debug for OnnxBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnnxBackend").field("signature", &self.model.signature).finish_non_exhaustive()
    }
}

/// Stops a run when its call is given up, so that it does not keep a session. The library looks between operators.
struct StopOnDrop(Arc<RunOptions>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        if let Err(error) = self.0.terminate() {
            tracing::debug!("a run could not be stopped: {error}");
        }
    }
}

/// Does work where it may block.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BackendError> + Send + 'static,
) -> Result<T, BackendError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(join) if join.is_panic() => std::panic::resume_unwind(join.into_panic()),
        Err(_) => Err(BackendError::Unavailable("the server shuts down".into())),
    }
}

/// An error of the library: the caller's when it is about the arguments, else the model's.
fn failed(error: &ort::Error) -> BackendError {
    match error.code() {
        ErrorCode::InvalidArgument => BackendError::refused(error.message()),
        _ => broken(error.message().to_owned()),
    }
}

/// The model does not do what it promised.
fn broken(message: String) -> BackendError {
    BackendError::Model { status: 500, body: Bytes::copy_from_slice(message.as_bytes()), message }
}
