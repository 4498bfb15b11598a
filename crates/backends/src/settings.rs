//! What the operator decides about running models.

use std::collections::BTreeMap;
use std::path::PathBuf;

use captura_tasks::Tasks;

use crate::artifact::Limits;
use crate::container::ContainerSettings;
use crate::http_contract::AnswerLimits;
use crate::image::ImageRule;
use crate::multi_model::MultiModelLimits;
use crate::remote::RemoteHost;

/// What the operator decides about running models.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Which backend runs which image; the first match decides.
    pub images: Vec<ImageRule>,
    /// How much a model's data may hold.
    pub limits: Limits,
    /// Whether a model's data may be a plain path or a `file://` address of this machine. Whoever may create a model
    /// may then read any file that this process can, so it is for machines of one owner.
    pub allow_file_urls: bool,
    /// The ONNX Runtime library, when the operator names one (the configuration, else `ORT_DYLIB_PATH`).
    pub onnx_library: Option<PathBuf>,
    /// The project's cache folder: `onnxruntime/` below it is searched for the library, `models/` holds model data
    /// while it is being loaded.
    pub cache_dir: PathBuf,
    /// How containers are run.
    pub containers: ContainerSettings,
    /// Folders of models that run as processes lie below it; each user of its own must be able to reach it.
    pub process_dir: PathBuf,
    /// What models' processes get of the operator's environment: `PATH`, `LANG` and the like, nothing secret.
    pub process_environment: BTreeMap<String, String>,
    /// Hosts that models may name by URL as their image.
    pub remote_hosts: Vec<RemoteHost>,
    /// How much is read of a model's answer.
    pub answers: AnswerLimits,
    /// How many models of one multi-model container may be loaded at the same time, and how large.
    pub multi_model: MultiModelLimits,
    /// Decides about the waits before instances are started again.
    pub seed: u64,
    /// Begins the keeping of instances again when it panics.
    pub tasks: Tasks,
}

impl Settings {
    /// Default settings around a cache folder: the default image table and limits, no local paths, no library named.
    pub fn new(cache_dir: impl Into<PathBuf>) -> Self {
        let cache_dir = cache_dir.into();
        Self {
            images: ImageRule::defaults(),
            limits: Limits::default(),
            allow_file_urls: false,
            onnx_library: None,
            process_dir: cache_dir.join("processes"),
            process_environment: BTreeMap::new(),
            remote_hosts: Vec::new(),
            answers: AnswerLimits::default(),
            cache_dir,
            containers: ContainerSettings::default(),
            multi_model: MultiModelLimits::default(),
            seed: 0,
            tasks: Tasks::default(),
        }
    }
}
