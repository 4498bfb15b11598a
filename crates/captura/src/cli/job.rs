//! `captura job`: what the images of Model Monitor and Clarify do, for a job's folder. The server starts it as a child.

use std::path::PathBuf;

use clap::Args;

use super::{Outcome, note, say};

/// Do the analysis of a processing job whose folder this is
#[derive(Debug, Args)]
pub(crate) struct Job {
    /// Folder below which the job has its /opt/ml
    folder: PathBuf,
}

impl Job {
    pub(crate) async fn run(self) -> anyhow::Result<Outcome> {
        let found = captura_analyser::run(&self.folder).await?;
        found.notes.iter().for_each(|text| note(text));
        say(found.message());
        // Violations are an outcome of the job, not its failure.
        Ok(Outcome::Fine)
    }
}
