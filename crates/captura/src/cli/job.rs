//! `captura job`: what the images of Model Monitor and Clarify do, for a job's folder. The server starts it as a child.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use captura_analyser::Scripts;
use captura_backends::process::script::{Preprocessor, Script, postprocess};
use captura_monitor::job::RecordPreprocessor;
use clap::Args;

use super::scripts::Door;
use super::{Outcome, note, say};
use crate::questions::OwnServer;

/// How long a script may take over one record, or over all that comes after.
const SCRIPT_TIMEOUT: Duration = Duration::from_secs(60);
/// What runs scripts.
const PYTHON: &str = "python3";

/// Do the analysis of a processing job whose folder this is
#[derive(Debug, Args)]
pub(crate) struct Job {
    /// Folder below which the job has its /opt/ml
    folder: PathBuf,
}

/// Scripts run inside the sandbox that this program is in already.
struct InThisSandbox;

impl Scripts for InThisSandbox {
    fn preprocessor(&self, script: &Path) -> Result<Box<dyn RecordPreprocessor>, String> {
        let started = Preprocessor::start(&run(script, BTreeMap::new())).map_err(|error| error.to_string())?;
        Ok(Box::new(Door(started)))
    }

    fn postprocess(&self, script: &Path, environment: BTreeMap<String, String>) -> Result<(), String> {
        postprocess(&run(script, environment)).map_err(|error| error.to_string())
    }
}

fn run(script: &Path, environment: BTreeMap<String, String>) -> Script {
    Script { path: script.to_owned(), python: PYTHON.into(), timeout: SCRIPT_TIMEOUT, environment }
}

impl Job {
    pub(crate) async fn run(self) -> anyhow::Result<Outcome> {
        let server = OwnServer { folder: self.folder.clone() };
        let found = captura_analyser::run(&self.folder, &server, &InThisSandbox).await?;
        found.notes.iter().for_each(|text| note(text));
        say(found.message());
        // Violations are an outcome of the job, not its failure.
        Ok(Outcome::Fine)
    }
}
