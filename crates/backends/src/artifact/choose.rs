//! Which of the files is the model.
//!
//! A bare file is the model, whatever its name. In a folder the shallowest candidates count, so that a wrapping folder
//! (`tar czf model.tar.gz my-model/`) does no harm; names that begin with a dot, and the `code/` folder that SageMaker's
//! SDK adds, never count.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{Artifact, Limits};

/// Why no file could be chosen.
#[derive(Debug, thiserror::Error)]
pub enum ModelFileError {
    /// No file looks like a model of that kind.
    #[error("the model data holds no {wanted}; it holds {found}")]
    None {
        /// What was looked for.
        wanted: &'static str,
        /// Names of the files there are.
        found: String,
    },
    /// Several files could be the model.
    #[error("the model data holds several files that could be the model: {found}; keep one")]
    Several {
        /// Their names.
        found: String,
    },
    /// The folder could not be read.
    #[error("{path}: {source}")]
    Read {
        /// Which folder.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// Most names that an error lists.
const NAMES_SHOWN: usize = 10;

/// Names that XGBoost and LightGBM containers give their model, best first.
const TREE_NAMES: [&str; 5] = ["xgboost-model", "model.json", "model.ubj", "model.txt", "model.bst"];
const TREE_EXTENSIONS: [&str; 4] = ["json", "ubj", "txt", "bst"];

/// What a file must be like.
type Wish = dyn Fn(&Path) -> bool;

impl Artifact {
    /// The single `*.onnx` file.
    ///
    /// # Errors
    /// When there is none, or more than one.
    pub fn onnx_file(&self) -> Result<PathBuf, ModelFileError> {
        let is_onnx = |file: &Path| file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("onnx"));
        self.choose("*.onnx file", &[&is_onnx])
    }

    /// The file that holds a tree ensemble: `xgboost-model`, `model.json`, `model.ubj`, `model.txt`, else the single
    /// file with such an extension, else the single file there is.
    ///
    /// # Errors
    /// When there is none, or more than one.
    pub fn tree_file(&self) -> Result<PathBuf, ModelFileError> {
        let mut wishes: Vec<Box<Wish>> = Vec::new();
        for name in TREE_NAMES {
            wishes.push(Box::new(move |file| file.file_name() == Some(OsStr::new(name))));
        }
        wishes.push(Box::new(|file| TREE_EXTENSIONS.into_iter().any(|known| file.extension() == Some(known.as_ref()))));
        wishes.push(Box::new(|_| true));
        let wishes: Vec<&Wish> = wishes.iter().map(AsRef::as_ref).collect();
        self.choose("XGBoost or LightGBM model", &wishes)
    }

    /// The files beside each other in the model's folder, by name: what a container that takes the first file, or all of
    /// them, would find. Names that begin with a dot do not count.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn top_files(&self) -> Result<Vec<PathBuf>, ModelFileError> {
        if let Some(only) = &self.only {
            return Ok(vec![only.clone()]);
        }
        let mut files = Vec::new();
        collect(&self.root, 0, &mut files)?;
        let mut top: Vec<_> = files.into_iter().filter(|(depth, _)| *depth == 0).map(|(_, file)| file).collect();
        top.sort();
        Ok(top)
    }

    /// The file for the first wish that any file fulfils.
    fn choose(&self, wanted: &'static str, wishes: &[&Wish]) -> Result<PathBuf, ModelFileError> {
        if let Some(only) = &self.only {
            return Ok(only.clone());
        }
        let mut files = Vec::new();
        collect(&self.root, 0, &mut files)?;
        // Shallow first, then by name, so that errors read the same every time.
        files.sort_by_key(|(depth, file)| (*depth, file.clone()));
        for wish in wishes {
            let fulfilled: Vec<_> = files.iter().filter(|(_, file)| wish(file)).collect();
            let Some((shallowest, _)) = fulfilled.first() else { continue };
            let candidates: Vec<_> = fulfilled.iter().filter(|(depth, _)| depth == shallowest).collect();
            return match candidates.as_slice() {
                [(_, file)] => Ok(file.clone()),
                several => Err(ModelFileError::Several { found: self.names(several.iter().map(|(_, file)| file)) }),
            };
        }
        let found = if files.is_empty() { "no files".into() } else { self.names(files.iter().map(|(_, file)| file)) };
        Err(ModelFileError::None { wanted, found })
    }

    fn names<'f>(&self, files: impl Iterator<Item = &'f PathBuf>) -> String {
        let mut names: Vec<_> = files.take(NAMES_SHOWN + 1).map(|file| self.name_of(file)).collect();
        if names.len() > NAMES_SHOWN {
            names[NAMES_SHOWN] = "…".into();
        }
        names.join(", ")
    }
}

/// Collects plain files with their depth.
fn collect(folder: &Path, depth: usize, files: &mut Vec<(usize, PathBuf)>) -> Result<(), ModelFileError> {
    let limits = Limits::default();
    let failed = |source| ModelFileError::Read { path: folder.to_owned(), source };
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        let kind = entry.file_type().map_err(failed)?;
        if name.as_encoded_bytes().starts_with(b".") || files.len() as u64 >= limits.max_entries {
            continue;
        }
        if kind.is_dir() && depth < limits.max_depth && name != "code" {
            collect(&entry.path(), depth + 1, files)?;
        } else if kind.is_file() || (kind.is_symlink() && entry.path().is_file()) {
            files.push((depth, entry.path()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn artifact(files: &[&str]) -> (tempfile::TempDir, Artifact) {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let file = folder.path().join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, "x").unwrap();
        }
        let artifact = Artifact { root: folder.path().to_owned(), only: None, scratch: None };
        (folder, artifact)
    }

    #[test]
    fn the_single_onnx_file_is_found_also_in_a_wrapping_folder() {
        for files in [
            &["model.onnx", "labels.txt"][..],
            &["m/churn.ONNX", "m/._churn.onnx", "code/other.onnx"],
            &["a.onnx", "deeper/b.onnx"],
        ] {
            let (_folder, artifact) = artifact(files);
            assert_eq!(artifact.name_of(&artifact.onnx_file().unwrap()), files[0]);
        }
    }

    #[test]
    fn none_and_several_are_told_apart_and_named() {
        let (_folder, empty) = artifact(&[]);
        let error = empty.onnx_file().unwrap_err().to_string();
        assert_eq!(error, "the model data holds no *.onnx file; it holds no files");
        let (_folder, other) = artifact(&["model.pkl"]);
        let error = other.onnx_file().unwrap_err().to_string();
        assert_eq!(error, "the model data holds no *.onnx file; it holds model.pkl");
        let (_folder, two) = artifact(&["b.onnx", "a.onnx"]);
        let error = two.onnx_file().unwrap_err().to_string();
        assert_eq!(error, "the model data holds several files that could be the model: a.onnx, b.onnx; keep one");
    }

    #[test]
    fn tree_models_go_by_name_then_extension_then_alone() {
        for (files, chosen) in [
            (&["xgboost-model", "notes.json"][..], "xgboost-model"),
            (&["model.ubj", "model.json"], "model.json"),
            (&["churn.txt", "readme.md"], "churn.txt"),
            (&["booster", ".hidden"], "booster"),
        ] {
            let (_folder, artifact) = artifact(files);
            assert_eq!(artifact.name_of(&artifact.tree_file().unwrap()), chosen);
        }
        let (_folder, two) = artifact(&["a", "b"]);
        assert!(matches!(two.tree_file(), Err(ModelFileError::Several { .. })));
    }

    #[test]
    fn top_files_are_those_of_the_root_by_name() {
        let (folder, mut artifact) = artifact(&["model-1", "model-0", ".hidden", "deeper/model-2", "code/train.py"]);
        let names = |artifact: &Artifact| {
            artifact.top_files().unwrap().iter().map(|file| artifact.name_of(file)).collect::<Vec<_>>()
        };
        assert_eq!(names(&artifact), ["model-0", "model-1"]);
        artifact.only = Some(folder.path().join("model-1"));
        assert_eq!(names(&artifact), ["model-1"]);
    }

    #[test]
    fn a_bare_file_is_the_model_whatever_its_name() {
        let (folder, mut artifact) = artifact(&["weights.bin", "other.onnx"]);
        artifact.only = Some(folder.path().join("weights.bin"));
        assert_eq!(artifact.name_of(&artifact.onnx_file().unwrap()), "weights.bin");
    }
}
