//! Finding and opening the ONNX Runtime library.
//!
//! It is a shared library of its own, opened at run time: the path that the operator names, else the newest
//! `libonnxruntime.so*` in the project's cache folder, else whatever the system's loader finds. It is opened once for
//! the whole process, by the first ONNX model.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use ort::LoadDynamicError;
use ort::environment::Environment;
use ort::logging::LogLevel;

/// Names by which the system's loader may know the library.
const SYSTEM_NAMES: [&str; 2] = ["libonnxruntime.so", "libonnxruntime.so.1"];
/// Folder of the project's cache that holds the library.
const CACHE_FOLDER: &str = "onnxruntime";

/// Why there is no ONNX Runtime.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LibraryError {
    /// No library was found.
    #[error(
        "ONNX models need the ONNX Runtime library, which is not on this machine: run `pip install onnxruntime`, and \
         set ORT_DYLIB_PATH to the libonnxruntime.so file in its folder onnxruntime/capi"
    )]
    Missing,
    /// The library is there and cannot be used.
    #[error("ONNX models need the ONNX Runtime library, and the one found cannot be used: {0}")]
    Unusable(String),
}

/// The one environment of this process. Only success is kept: a missing library may be installed meanwhile.
static ENVIRONMENT: Mutex<Option<Environment>> = Mutex::new(None);

/// Opens the library, or hands out the one that is open. Blocks for about 0.1 s the first time.
pub(super) fn open(named: Option<&Path>, cache_dir: &Path) -> Result<Environment, LibraryError> {
    let mut environment = ENVIRONMENT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(open) = &*environment {
        return Ok(open.clone());
    }
    let opened = initialise(named, cache_dir)?;
    *environment = Some(opened.clone());
    Ok(opened)
}

fn initialise(named: Option<&Path>, cache_dir: &Path) -> Result<Environment, LibraryError> {
    let builder = match named.map(Path::to_owned).or_else(|| newest_in(&cache_dir.join(CACHE_FOLDER))) {
        Some(path) if !path.is_file() => {
            return Err(LibraryError::Unusable(format!("there is no file {}", path.display())));
        }
        Some(path) => ort::init_from(path).map_err(|error| unusable(&error))?,
        None => SYSTEM_NAMES.iter().find_map(|name| ort::init_from(name).ok()).ok_or(LibraryError::Missing)?,
    };
    let environment = builder
        .with_name("captura")
        .with_telemetry(false)
        .with_logger(Arc::new(|level, _category, _id, place, message| log(level, place, message)))
        .build()
        .map_err(|error| LibraryError::Unusable(error.message().to_owned()))?;
    environment.set_log_level(LogLevel::Error);
    Ok(environment)
}

/// The crate refuses libraries older than the interface that it was built for.
fn unusable(error: &LoadDynamicError) -> LibraryError {
    LibraryError::Unusable(match error {
        LoadDynamicError::Dlopen { error, path } => format!("{} cannot be opened: {error}", path.display()),
        LoadDynamicError::MissingApi { path } => format!("{} is another library", path.display()),
        LoadDynamicError::BadVersion { version_str, path } => {
            let (path, oldest) = (path.display(), ort::MINOR_VERSION);
            format!("{path} is version {version_str}, and the oldest that can be used is 1.{oldest}")
        }
        LoadDynamicError::InvalidVersionString => "it does not tell its version".into(),
    })
}

/// What the library has to say goes to this process's log.
fn log(level: LogLevel, place: &str, message: &str) {
    match level {
        LogLevel::Error | LogLevel::Fatal => tracing::warn!(place, "ONNX Runtime: {message}"),
        _ => tracing::debug!(place, "ONNX Runtime: {message}"),
    }
}

/// The library of the highest version in a folder.
fn newest_in(folder: &Path) -> Option<PathBuf> {
    let names = fs::read_dir(folder).ok()?.filter_map(|entry| Some(entry.ok()?.file_name()));
    let newest = names.filter_map(|name| Some((version(&name)?, name))).max()?;
    Some(folder.join(newest.1))
}

/// `libonnxruntime.so.1.31.1` is version 1, 31, 1; without numbers it is the oldest.
fn version(name: &OsString) -> Option<Vec<u32>> {
    let rest = name.to_str()?.strip_prefix("libonnxruntime.so")?;
    rest.split('.').filter(|part| !part.is_empty()).map(|part| part.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_library_of_the_folder_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(newest_in(folder.path()), None);
        for name in ["libonnxruntime.so.1.9.0", "libonnxruntime.so.1.31.1", "libonnxruntime.so", "LICENSE"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        assert_eq!(newest_in(folder.path()), Some(folder.path().join("libonnxruntime.so.1.31.1")));
        assert_eq!(newest_in(&folder.path().join("none")), None);
    }

    #[test]
    fn a_named_library_that_is_not_there_is_not_replaced_by_another() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("libonnxruntime.so");
        let error = initialise(Some(&path), folder.path()).map(|_| ()).unwrap_err().to_string();
        assert!(
            error.ends_with(&format!("the one found cannot be used: there is no file {}", path.display())),
            "{error}"
        );
    }

    #[test]
    fn an_old_library_is_refused_by_version() {
        let (version_str, path) = ("1.9.0".to_owned(), PathBuf::from("/lib/libonnxruntime.so"));
        let error = unusable(&LoadDynamicError::BadVersion { version_str, path }).to_string();
        assert!(
            error.ends_with("/lib/libonnxruntime.so is version 1.9.0, and the oldest that can be used is 1.22"),
            "{error}"
        );
    }
}
