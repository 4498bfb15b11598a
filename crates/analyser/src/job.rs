//! The job's file, and where in its folder everything is.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Component, Path, PathBuf};

use captura_archive::{StoreSettings, Stores};
use captura_names::{Timestamp, glob};
use serde::Deserialize;
use serde_json::Value;

use crate::Failure;

const CONFIG_FILE: &str = "/opt/ml/config/processingjobconfig.json";
const OUTPUT_FOLDER: &str = "/opt/ml/output";
/// Below the folder of the job: files that are made on the way.
const SCRATCH_FOLDER: &str = "scratch";
/// Longest message, bytes.
const MESSAGE_MAX_BYTES: usize = 1_024;
/// Clarify's own folders, where the job does not say others.
const CLARIFY_OUTPUT: &str = "/opt/ml/processing/output";

/// Which analysis is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    DataQuality,
    ModelQuality,
    Clarify,
    Merge,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct File {
    app_specification: App,
    #[serde(default)]
    environment: BTreeMap<String, String>,
    #[serde(default)]
    processing_inputs: Vec<Input>,
    #[serde(default)]
    processing_output_config: Outputs,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct App {
    image_uri: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Input {
    input_name: String,
    s3_input: Option<Local>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Outputs {
    outputs: Vec<Output>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Output {
    s3_output: Option<Local>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Local {
    local_path: Option<String>,
}

/// A job, and its folder.
#[derive(Debug)]
pub(crate) struct Job {
    root: PathBuf,
    file: File,
    /// Leads to nothing but paths: a job sees no bucket.
    pub(crate) stores: Stores,
}

impl Job {
    pub(crate) fn read(root: &Path) -> Result<Self, Failure> {
        let path = inside(root, CONFIG_FILE)?;
        let unreadable = |reason| Failure::File { path: CONFIG_FILE.to_owned(), reason };
        let text = std::fs::read(&path).map_err(unreadable)?;
        let file = serde_json::from_slice(&text)
            .map_err(|error| Failure::Request(format!("{CONFIG_FILE} is not what it should be: {error}")))?;
        let stores = StoreSettings { data_dir: root.join("nothing"), mappings: BTreeMap::new() };
        Ok(Self { root: root.to_owned(), file, stores: Stores::new(stores) })
    }

    /// Which analysis the image and the environment ask for.
    pub(crate) fn kind(&self) -> Result<Kind, Failure> {
        let image = &self.file.app_specification.image_uri;
        if glob::matches("*groundtruth-merger*", image) {
            return Ok(Kind::Merge);
        }
        let is_clarify = glob::matches("*clarify*", image);
        match self.variable("analysis_type") {
            None if is_clarify => Ok(Kind::Clarify),
            None | Some("DATA_QUALITY") => Ok(Kind::DataQuality),
            Some("MODEL_QUALITY") => Ok(Kind::ModelQuality),
            Some("MODEL_BIAS" | "MODEL_EXPLAINABILITY") => Ok(Kind::Clarify),
            Some(other) => {
                Err(Failure::Unsupported(format!("analysis_type {other} is not done by the built-in analyser")))
            }
        }
    }

    /// What the job says in its environment; nothing where that is empty.
    pub(crate) fn variable(&self, name: &str) -> Option<&str> {
        self.file.environment.get(name).map(|value| value.trim()).filter(|value| !value.is_empty())
    }

    pub(crate) fn needed(&self, name: &str) -> Result<&str, Failure> {
        self.variable(name).ok_or_else(|| Failure::Request(format!("the environment has no {name}")))
    }

    /// Where an input is, as the job names the path.
    pub(crate) fn input(&self, name: &str) -> Option<&str> {
        let input = self.file.processing_inputs.iter().find(|input| input.input_name == name)?;
        input.s3_input.as_ref()?.local_path.as_deref()
    }

    /// A path of the job's, on this machine.
    pub(crate) fn path(&self, path: &str) -> Result<PathBuf, Failure> {
        inside(&self.root, path)
    }

    /// What the job says in its environment, with its paths as they are on this machine: a script of the user's finds its files
    /// by them.
    pub(crate) fn environment_with_paths(&self) -> BTreeMap<String, String> {
        let placed = |value: &String| match inside(&self.root, value) {
            Ok(path) => path.display().to_string(),
            Err(_) => value.clone(),
        };
        let is_harmless = |name: &String| !name.starts_with("LD_") && !name.starts_with("PYTHON");
        let variables = self.file.environment.iter().filter(|(name, _)| is_harmless(name));
        variables.map(|(name, value)| (name.clone(), placed(value))).collect()
    }

    /// Folder of what is found.
    pub(crate) fn output(&self) -> Result<PathBuf, Failure> {
        let first = self.file.processing_output_config.outputs.first();
        let stated = first.and_then(|output| output.s3_output.as_ref()?.local_path.as_deref());
        self.path(self.variable("output_path").or(stated).unwrap_or(CLARIFY_OUTPUT))
    }

    /// A folder for files on the way.
    pub(crate) fn scratch(&self, name: &str) -> Result<PathBuf, Failure> {
        let folder = self.root.join(SCRATCH_FOLDER).join(name);
        std::fs::create_dir_all(&folder).map_err(|reason| Failure::File { path: name.to_owned(), reason })?;
        Ok(folder)
    }

    /// The time that calls are of, where the job says it.
    pub(crate) fn window(&self) -> Result<Option<Range<Timestamp>>, Failure> {
        let time = |name: &str| match self.variable(name) {
            Some(text) => {
                Timestamp::parse(text).map(Some).map_err(|error| Failure::Request(format!("{name}: {error}")))
            }
            None => Ok(None),
        };
        Ok(time("start_time")?.zip(time("end_time")?).map(|(start, end)| start..end))
    }

    /// Every file below a path of the job's, in the order of their names.
    pub(crate) fn files(&self, path: &str) -> Result<Vec<String>, Failure> {
        let at = self.path(path)?;
        let failed = |reason| Failure::File { path: path.to_owned(), reason };
        let (mut open, mut found) = (vec![at.clone()], Vec::new());
        if at.is_file() {
            return Ok(vec![at.display().to_string()]);
        }
        while let Some(folder) = open.pop() {
            let entries = match std::fs::read_dir(&folder) {
                Ok(entries) => entries,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(failed(error)),
            };
            for entry in entries {
                let entry = entry.map_err(failed)?;
                match entry.file_type().map_err(failed)? {
                    kind if kind.is_dir() => open.push(entry.path()),
                    // Spark leaves a marker beside its parts.
                    kind if kind.is_file() && entry.file_name() != "_SUCCESS" => {
                        found.push(entry.path().display().to_string());
                    }
                    _ => {}
                }
            }
        }
        found.sort();
        Ok(found)
    }

    /// The data, file by file.
    pub(crate) fn data(&self, path: &str) -> Result<Vec<String>, Failure> {
        let files = self.files(path)?;
        if files.is_empty() { Err(Failure::NoData) } else { Ok(files) }
    }

    /// JSON of a file of the job's.
    pub(crate) fn json(&self, path: &str) -> Result<Value, Failure> {
        let text = std::fs::read_to_string(self.path(path)?)
            .map_err(|reason| Failure::File { path: path.to_owned(), reason })?;
        captura_monitor::bias::read_json(&text)
            .map_err(|error| Failure::Request(format!("{path} is not what it should be: {error}")))
    }

    pub(crate) fn leave_message(&self, message: &str) -> Result<(), Failure> {
        // Whoever asked for the job knows its paths, and not where they are on this machine.
        let message = &message.replace(&self.root.display().to_string(), "");
        let mut end = message.len().min(MESSAGE_MAX_BYTES);
        while !message.is_char_boundary(end) {
            end -= 1;
        }
        self.leave("message", &message[..end])
    }

    /// Adds to a file below `/opt/ml/output`.
    pub(crate) fn add(&self, name: &str, text: &str) -> Result<(), Failure> {
        let before = std::fs::read_to_string(self.path(&format!("{OUTPUT_FOLDER}/{name}"))?).unwrap_or_default();
        self.leave(name, &(before + text))
    }

    /// Writes a file below `/opt/ml/output`.
    pub(crate) fn leave(&self, name: &str, text: &str) -> Result<(), Failure> {
        let path = format!("{OUTPUT_FOLDER}/{name}");
        let file = self.path(&path)?;
        let folder = file.parent().map(Path::to_owned).unwrap_or_default();
        let written = std::fs::create_dir_all(folder).and_then(|()| std::fs::write(file, text));
        written.map_err(|reason| Failure::File { path, reason })
    }
}

/// A path of the job's below its folder.
fn inside(root: &Path, path: &str) -> Result<PathBuf, Failure> {
    let relative = Path::new(path.trim_start_matches('/'));
    let is_plain = relative.components().all(|part| matches!(part, Component::Normal(_)));
    if !path.starts_with("/opt/ml/") || !is_plain {
        return Err(Failure::Request(format!("{path:?} is no path below /opt/ml")));
    }
    Ok(root.join(relative))
}
