//! From a model's files to a backend.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use captura_route::{Backend, BackendError, Signature};
use ort::environment::Environment;
use ort::session::builder::SessionBuilder;
use ort::session::{RunOptions, Session};

use super::cost::Cost;
use super::inputs::Inputs;
use super::inspect::inspect;
use super::options::Options;
use super::outputs::Outputs;
use super::sessions::Sessions;
use super::{Model, OnnxBackend, library};
use crate::artifact::Artifact;
use crate::payload::{self, Cells};
use crate::{LoadError, ModelSpec, Settings};

/// Longest that a model may take for a first row before it is served without one.
const WARM_UP_LIMIT: Duration = Duration::from_secs(30);
/// Largest message that protocol buffers allow, bytes; larger models keep their tensors in other files.
const MAX_MODEL_BYTES: u64 = (1 << 31) - 1;

/// Loads the model of an artifact. Blocks.
pub(crate) fn load(artifact: &Artifact, spec: &ModelSpec, settings: &Settings) -> Result<Arc<dyn Backend>, LoadError> {
    let options = Options::from_environment(&spec.environment)?;
    let file = artifact.onnx_file()?;
    let name = artifact.name_of(&file);
    let wrong = |reason: String| LoadError::Model { file: name.clone(), reason };

    let bytes = read(&file).map_err(|error| wrong(format!("it cannot be read: {error}")))?;
    let folder = file.parent().unwrap_or(artifact.root());
    let findings = inspect(&bytes, folder).map_err(|suspicion| wrong(suspicion.to_string()))?;

    let environment = library::open(settings.onnx_library.as_deref(), &settings.cache_dir)?;
    let open = || {
        let mut builder = builder(&environment, &options)?;
        // From memory, so that what was looked at is what runs; with other files the library needs the path.
        if findings.has_external_data { builder.commit_from_file(&file) } else { builder.commit_from_memory(&bytes) }
    };
    let sessions: Result<Vec<Session>, ort::Error> =
        (0..options.sessions(bytes.len() as u64)).map(|_| open()).collect();
    let mut sessions = sessions.map_err(|error| wrong(error.message().to_owned()))?;

    let session = &mut sessions[0];
    let inputs = Inputs::of(session.inputs(), options.columns.as_deref()).map_err(&wrong)?;
    let outputs = Outputs::of(session.outputs(), options.outputs.as_deref()).map_err(&wrong)?;
    let signature = Signature { inputs: inputs.fields(), outputs: outputs.fields() };
    let default_format = crate::embedded::default_format(&spec.environment)?;
    let model =
        Model { inputs, outputs, signature, default_format, has_loop: findings.has_loop, cost: Cost::default() };
    warm_up(&model, session, &name);
    Ok(Arc::new(OnnxBackend { model: Arc::new(model), sessions: Sessions::new(sessions) }))
}

fn read(file: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(file)?.take(MAX_MODEL_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_MODEL_BYTES {
        return Err(io::Error::other(format!("it is larger than {MAX_MODEL_BYTES} bytes")));
    }
    Ok(bytes)
}

fn builder(environment: &Environment, options: &Options) -> Result<SessionBuilder, ort::Error> {
    let builder = SessionBuilder::new(environment)?;
    let builder = builder.with_intra_threads(options.threads)?.with_inter_threads(1)?;
    // Threads that spin while they wait take the processor from everything else here.
    Ok(builder.with_intra_op_spinning(false)?)
}

/// Runs a row of zeros, so that the first caller does not pay for what the library does once, and so that the cost of a
/// row is known. A model may refuse zeros (an encoder that knows no such category); that is no reason not to serve it.
fn warm_up(model: &Model, session: &mut Session, name: &str) {
    let Some(widths) = model.inputs.widths() else { return };
    let row = vec!["0"; widths.iter().sum()].join(",");
    let body = vec![row; model.inputs.batch().unwrap_or(1)].join("\n");
    let Ok(run) = RunOptions::new().map(Arc::new) else { return };
    // A model can hold a loop that ends for other values only.
    let (done, finished) = mpsc::channel::<()>();
    let stop = Arc::clone(&run);
    let watch = std::thread::spawn(move || {
        if finished.recv_timeout(WARM_UP_LIMIT) == Err(RecvTimeoutError::Timeout) {
            let _ = stop.terminate();
        }
    });
    // Twice: the first run is not like the others.
    for _ in 0..2 {
        let table = payload::decode(body.as_bytes(), None, Cells::Verbatim).map_err(BackendError::from);
        if let Err(error) = table.and_then(|table| model.predict(session, &table, Some(&run))) {
            tracing::debug!(model = name, "a row of zeros was refused: {error}");
            break;
        }
    }
    drop(done);
    watch.join().expect("our bug: waiting cannot panic");
}
