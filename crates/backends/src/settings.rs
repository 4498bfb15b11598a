//! What the operator decides about running models.

use std::path::PathBuf;

use crate::artifact::Limits;
use crate::container::ContainerSettings;
use crate::image::ImageRule;

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
    /// Decides about the waits before instances are started again.
    pub seed: u64,
}

impl Settings {
    /// Default settings around a cache folder: the default image table and limits, no local paths, no library named.
    pub fn new(cache_dir: impl Into<PathBuf>) -> Self {
        Self {
            images: ImageRule::defaults(),
            limits: Limits::default(),
            allow_file_urls: false,
            onnx_library: None,
            cache_dir: cache_dir.into(),
            containers: ContainerSettings::default(),
            seed: 0,
        }
    }
}
