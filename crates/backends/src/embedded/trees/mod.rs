//! Tree ensembles, run natively: XGBoost (JSON, UBJ, binary, pickled boosters) and LightGBM (text), with predictions equal
//! to those libraries'.
//!
//! A request is decoded into a table, put into the order of the model's features, predicted and written in the format
//! that was asked for: `score` for each row, an array of scores where the model has several outputs. Where the image is
//! SageMaker's own XGBoost container, requests are taken and answers worded as it does (`container/`).
//!
//! Invariant: a model that loads cannot fail to predict; all checks are made while it loads. Small requests run in the
//! caller's task, large ones on tokio's blocking threads, so no task is held up for more than about a millisecond.
//! Refuses to: unpickle anything, and to serve a model whose answers it could not reproduce.

mod container;
mod forest;
mod lightgbm;
mod lightgbm_objective;
pub(super) mod pickle;
mod real;
#[cfg(test)]
mod tests;
mod ubj;
mod xgboost;
pub(super) mod xgboost_binary;
mod xgboost_file;
mod xgboost_objective;
#[cfg(test)]
mod xgboost_tests;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use captura_route::{Answer, Backend, BackendError, Field, FieldType, Invoking, ModelRequest, Signature};

use self::container::Container;
use self::lightgbm::Lightgbm;
use self::xgboost::Xgboost;
use super::sniff::{ModelFormat, sniff};
use crate::artifact::Artifact;
use crate::payload::{Cells, Format, Output, Predictions, Refusal, Table, Values, decode, encode};
use crate::{LoadError, ModelSpec, Settings};

/// Costs of a call as measured on a 2.5 GHz server core, nanoseconds, rounded up.
const BYTE_NS: u64 = 8;
const STEP_NS: u64 = 3;
/// Longest run within the caller's task, nanoseconds.
const INLINE_NS: u64 = 700_000;

/// Largest model file that is read, bytes. Trees take about as much memory as their file while they load.
const MAX_MODEL_BYTES: u64 = 4 << 30;

/// Loads the tree ensemble among a model's files.
pub(crate) fn load(artifact: &Artifact, spec: &ModelSpec, _settings: &Settings) -> Result<Arc<dyn Backend>, LoadError> {
    let paths = if Container::is_image(&spec.image) {
        container::files::model_files(artifact, &spec.environment)?
    } else {
        vec![artifact.tree_file()?]
    };
    let files = paths.iter().map(|path| {
        let file = artifact.name_of(path);
        match read(path) {
            Ok(bytes) => Ok((file, bytes)),
            Err(reason) => Err(LoadError::Model { file, reason }),
        }
    });
    Ok(Arc::new(Trees::load_all(spec, &files.collect::<Result<Vec<_>, LoadError>>()?)?))
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let unreadable = |error| format!("it cannot be read: {error}");
    if fs::metadata(path).map_err(unreadable)?.len() > MAX_MODEL_BYTES {
        return Err(format!("it is larger than {MAX_MODEL_BYTES} bytes"));
    }
    fs::read(path).map_err(unreadable)
}

/// A tree ensemble at work.
#[derive(Debug)]
pub struct Trees(Arc<Loaded>);

#[derive(Debug)]
struct Loaded {
    model: Model,
    signature: Signature,
    conduct: Conduct,
}

/// How requests are taken and answers worded.
#[derive(Debug)]
enum Conduct {
    Captura { default_format: Format },
    Container(Box<Container>),
}

#[derive(Debug)]
enum Model {
    Xgboost(Xgboost),
    Lightgbm(Lightgbm),
}

impl Trees {
    /// Loads a model from the bytes of its file. `environment` is the model's; `file` names it in errors.
    ///
    /// # Errors
    /// When the bytes are no model, or one that cannot be reproduced here.
    pub fn load(file: &str, bytes: &[u8], environment: &BTreeMap<String, String>) -> Result<Self, LoadError> {
        let spec = ModelSpec { environment: environment.clone(), ..ModelSpec::default() };
        Self::load_for(&spec, file, bytes)
    }

    /// Loads a model that conducts itself as its image does.
    ///
    /// # Errors
    /// When the bytes are no model, one that cannot be reproduced here, or the environment cannot be used.
    pub fn load_for(spec: &ModelSpec, file: &str, bytes: &[u8]) -> Result<Self, LoadError> {
        Self::load_all(spec, &[(file.to_owned(), bytes)])
    }

    /// Loads models that answer together; all but AWS's container have just one.
    fn load_all(spec: &ModelSpec, files: &[(String, impl AsRef<[u8]>)]) -> Result<Self, LoadError> {
        let mut models = Vec::with_capacity(files.len());
        let mut pickled = false;
        for (file, bytes) in files {
            let format = sniff(bytes.as_ref(), file);
            let parsed = Model::parse(format, bytes.as_ref());
            let model = parsed.map_err(|reason| LoadError::Model { file: file.clone(), reason })?;
            if models.is_empty() {
                pickled = format == Some(ModelFormat::XgboostPickle);
            } else if !model.resembles(&models[0]) {
                let reason = format!(
                    "it differs from {} in features, outputs or objective, so they have no common answer",
                    files[0].0
                );
                return Err(LoadError::Model { file: file.clone(), reason });
            }
            models.push(model);
        }
        let model = models.remove(0);
        let conduct = if Container::is_image(&spec.image) {
            Conduct::Container(Box::new(Container::new(spec, pickled, &model, models)?))
        } else {
            Conduct::Captura { default_format: super::default_format(&spec.environment)? }
        };
        let signature = model.signature();
        Ok(Self(Arc::new(Loaded { model, signature, conduct })))
    }

    /// Number of trees in use.
    #[must_use]
    pub fn trees(&self) -> usize {
        match &self.0.model {
            Model::Xgboost(model) => model.trees(),
            Model::Lightgbm(model) => model.trees(),
        }
    }

    /// Predicts the rows of a table, in the calling thread.
    ///
    /// # Errors
    /// When the table does not suit the model; the message says where.
    pub fn predict(&self, table: Table) -> Result<Predictions, Refusal> {
        self.0.predict(table)
    }

    /// Answers one request, in the calling thread.
    ///
    /// # Errors
    /// When the request does not suit the model; the message says where.
    pub fn answer(&self, request: &ModelRequest) -> Result<Answer, Refusal> {
        self.0.answer(request)
    }
}

impl Backend for Trees {
    fn invoke<'a>(&'a self, request: &'a ModelRequest) -> Invoking<'a> {
        if self.0.cost_ns(&request.body) <= INLINE_NS {
            return Box::pin(async { Ok(self.answer(request)?) });
        }
        let (loaded, request) = (Arc::clone(&self.0), request.clone());
        Box::pin(async move {
            let run = tokio::task::spawn_blocking(move || loaded.answer(&request));
            match run.await {
                Ok(answer) => Ok(answer?),
                Err(join) if join.is_panic() => std::panic::resume_unwind(join.into_panic()),
                Err(_) => Err(BackendError::Unavailable("the server shuts down".into())),
            }
        })
    }

    fn signature(&self) -> Option<&Signature> {
        Some(&self.0.signature)
    }
}

impl Loaded {
    /// What a body costs at most, roughly: its bytes are read once, and hold rows of short cells.
    fn cost_ns(&self, body: &[u8]) -> u64 {
        let (bytes, features) = (body.len() as u64, self.model.features().len() as u64);
        let steps = self.model.steps().saturating_mul(STEP_NS);
        let (rows, widening) = match &self.conduct {
            Conduct::Captura { .. } => (1 + bytes / (4 * features), 0),
            // A sparse row may be one byte, and is widened to all features.
            Conduct::Container(container) => {
                (container.members() * (1 + memchr::memchr_iter(b'\n', body).count() as u64), features)
            }
        };
        bytes * BYTE_NS + rows.saturating_mul(steps + widening)
    }

    fn answer(&self, request: &ModelRequest) -> Result<Answer, Refusal> {
        let default_format = match &self.conduct {
            Conduct::Captura { default_format } => *default_format,
            Conduct::Container(container) => return container.answer(&self.model, request),
        };
        let format = Format::negotiate(request.accept.as_deref(), default_format)?;
        let table = decode(&request.body, request.content_type.as_deref(), Cells::Numbers)?;
        Ok(encode(&self.predict(table)?, format))
    }

    fn predict(&self, table: Table) -> Result<Predictions, Refusal> {
        let table = self.model.arrange(table)?;
        table.demand_numbers(0..table.columns(), self.model.features())?;
        Ok(Predictions { rows: table.rows(), outputs: vec![self.model.predict(table.numbers())] })
    }
}

impl Model {
    fn parse(format: Option<ModelFormat>, bytes: &[u8]) -> Result<Self, String> {
        match format {
            Some(ModelFormat::XgboostJson) => Xgboost::from_json(bytes).map(Self::Xgboost),
            Some(ModelFormat::XgboostUbj) => Xgboost::from_ubj(bytes).map(Self::Xgboost),
            Some(ModelFormat::XgboostBinary) => Xgboost::from_binary(bytes).map(Self::Xgboost),
            Some(ModelFormat::XgboostPickle) => Xgboost::from_pickle(bytes).map(Self::Xgboost),
            Some(ModelFormat::LightgbmText) => Lightgbm::parse(bytes).map(Self::Lightgbm),
            Some(ModelFormat::Onnx) => Err("it is an ONNX model; use the image captura/onnx".into()),
            None => Err(xgboost::explain_unknown(bytes)),
        }
    }

    fn features(&self) -> &[Field] {
        match self {
            Self::Xgboost(model) => &model.features,
            Self::Lightgbm(model) => &model.features,
        }
    }

    /// Whether answers of both can be averaged.
    fn resembles(&self, other: &Self) -> bool {
        let form = |model: &Self| (model.features().len(), model.classes(), model.objective().to_owned());
        form(self) == form(other)
    }

    fn steps(&self) -> u64 {
        match self {
            Self::Xgboost(model) => model.steps(),
            Self::Lightgbm(model) => model.steps(),
        }
    }

    /// XGBoost's name for the objective; empty for LightGBM.
    fn objective(&self) -> &str {
        match self {
            Self::Xgboost(model) => &model.objective_name,
            Self::Lightgbm(_) => "",
        }
    }

    /// Number of sums that the trees add to: of a classifier of several classes, their number.
    fn classes(&self) -> usize {
        match self {
            Self::Xgboost(model) => model.groups(),
            Self::Lightgbm(model) => model.width(),
        }
    }

    fn signature(&self) -> Signature {
        let (width, kind) = match self {
            Self::Xgboost(model) if model.classes() => (model.width(), FieldType::Integral),
            Self::Xgboost(model) => (model.width(), FieldType::Fractional),
            Self::Lightgbm(model) => (model.width(), FieldType::Fractional),
        };
        let shape = if width == 1 { Vec::new() } else { vec![Some(width as u64)] };
        let outputs = vec![Field { name: "score".into(), kind, shape }];
        Signature { inputs: self.features().to_vec(), outputs }
    }

    /// The table in the order of the features. Made-up names bind nobody: unless the caller uses them, columns go by place.
    fn arrange(&self, table: Table) -> Result<Table, Refusal> {
        let features = self.features();
        let names_features = match self {
            Self::Xgboost(model) => model.names_features,
            Self::Lightgbm(model) => model.names_features,
        };
        if names_features || table.named(&features[0].name).is_some() {
            return table.arrange(features);
        }
        table.demand_width(features.len())?;
        Ok(table)
    }

    /// Predicts whole rows of the model's features.
    fn predict(&self, numbers: &[f64]) -> Output {
        let (width, values) = match self {
            Self::Xgboost(model) => (model.width(), Values::F32(model.predict(numbers))),
            Self::Lightgbm(model) => (model.width(), Values::F64(model.predict(numbers))),
        };
        if width == 1 { Output::scalar("score", values) } else { Output::vector("score", width, values) }
    }
}
