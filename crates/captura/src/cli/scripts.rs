//! Scripts of the user's before and after an analysis, as SageMaker's analyser runs them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use captura_archive::Stores;
use captura_backends::process::script::{Handled, Preprocessor, Script, postprocess};
use captura_monitor::job::{
    self, Against, Examine, PreprocessAccount, Preprocessed, RecordPreprocessor, Source, Summary,
};
use clap::Args;

use super::Outcome;
use super::analysis::or_cannot_tell;
use super::drift::duration_us;

/// Which scripts, and how they are run.
#[derive(Debug, Args)]
pub(super) struct Scripts {
    /// Python with preprocess_handler(inference_record): what it returns of a captured record is analysed in its place
    #[arg(long, value_name = "FILE")]
    record_preprocessor_script: Option<PathBuf>,
    /// Python with postprocess_handler(), which is called when the files are written
    #[arg(long, value_name = "FILE")]
    post_analytics_processor_script: Option<PathBuf>,
    /// The Python that runs them
    #[arg(long, value_name = "PROGRAM", default_value = "python3")]
    python: PathBuf,
    /// How long they may take: over one record, or over all that comes after
    #[arg(long, value_name = "TIME", default_value = "1m")]
    script_timeout: String,
}

/// A source as its script left it; the folder with it goes when this does.
pub(super) struct Prepared {
    pub(super) source: Source,
    account: Option<PreprocessAccount>,
    _scratch: Option<tempfile::TempDir>,
}

impl Prepared {
    /// Adds to a summary what never came to the job.
    pub(super) fn count(&mut self, summary: &mut Summary) {
        if let Some(account) = self.account.take() {
            account.add_to(summary);
        }
    }
}

impl Scripts {
    /// Has the records of a source handled, where there is a script for it.
    pub(super) async fn prepare(&self, stores: &Stores, source: Source) -> anyhow::Result<Result<Prepared, Outcome>> {
        let Some(path) = &self.record_preprocessor_script else {
            return Ok(Ok(Prepared { source, account: None, _scratch: None }));
        };
        let scratch = tempfile::tempdir().context("cannot make a folder for preprocessed records")?;
        let mut door = Door(Preprocessor::start(&self.script(path, BTreeMap::new())?)?);
        let at = scratch.path().display().to_string();
        let done = job::preprocess(stores, &source, &mut door, &at).await;
        Ok(or_cannot_tell(done)?.map(|(source, account)| Prepared {
            source,
            account: Some(account),
            _scratch: Some(scratch),
        }))
    }

    /// As [`Scripts::prepare`], of addresses beside the data: an earlier time, a reference.
    pub(super) async fn prepare_beside(&self, stores: &Stores, source: Source) -> anyhow::Result<Prepared> {
        // A table is what a script would make of records.
        if source.addresses.iter().all(|address| address.ends_with(".csv")) {
            return Ok(Prepared { source, account: None, _scratch: None });
        }
        let named = source.addresses.join(" ");
        let prepared = self.prepare(stores, source).await?;
        prepared.map_err(|_| anyhow::anyhow!("the record preprocessor leaves nothing of {named}"))
    }

    /// Has all records of an examination handled: of the data, whose summary counts what was left, and of what it is held against.
    pub(super) async fn prepare_examination(
        &self,
        stores: &Stores,
        request: &mut Examine,
    ) -> anyhow::Result<Result<(Prepared, Prepared), Outcome>> {
        let data = match self.prepare(stores, request.source.clone()).await? {
            Ok(prepared) => prepared,
            Err(outcome) => return Ok(Err(outcome)),
        };
        request.source = data.source.clone();
        let before = match &request.against {
            Against::Baseline { history, .. } => Source { addresses: history.clone(), ..request.source.clone() },
            Against::Data(reference) => reference.clone(),
            Against::Nothing => Source::default(),
        };
        let before = self.prepare_beside(stores, before).await?;
        match &mut request.against {
            Against::Baseline { history, .. } => history.clone_from(&before.source.addresses),
            Against::Data(reference) => *reference = before.source.clone(),
            Against::Nothing => {}
        }
        Ok(Ok((data, before)))
    }

    /// Runs what comes after, where there is such a script. It finds the files of `out` at `output_path`.
    pub(super) fn conclude(&self, out: &str, baseline: Option<&str>) -> anyhow::Result<()> {
        let Some(path) = &self.post_analytics_processor_script else { return Ok(()) };
        let absolute = |address: &str| match std::path::absolute(address) {
            Ok(path) if !address.contains("://") => path.display().to_string(),
            _ => address.to_owned(),
        };
        let mut environment = BTreeMap::from([("output_path".to_owned(), absolute(out))]);
        if let Some(folder) = baseline.map(absolute) {
            for (variable, file) in
                [("baseline_constraints", job::CONSTRAINTS), ("baseline_statistics", job::STATISTICS)]
            {
                environment.insert(variable.to_owned(), format!("{}/{file}", folder.trim_end_matches('/')));
            }
        }
        Ok(postprocess(&self.script(path, environment)?)?)
    }

    fn script(&self, path: &std::path::Path, environment: BTreeMap<String, String>) -> anyhow::Result<Script> {
        let timeout_us = duration_us(&self.script_timeout).context("--script-timeout")?;
        anyhow::ensure!(path.is_file(), "there is no script at {}", path.display());
        Ok(Script {
            path: path.to_owned(),
            python: self.python.clone(),
            timeout: Duration::from_micros(timeout_us.unsigned_abs()),
            environment,
        })
    }
}

/// The script's process behind the job's door.
pub(super) struct Door(pub(super) Preprocessor);

impl RecordPreprocessor for Door {
    fn handle(&mut self, records: &[&[u8]]) -> Result<Vec<Preprocessed>, String> {
        let handled = self.0.handle(records).map_err(|error| error.to_string())?;
        let preprocessed = |handled| match handled {
            Handled::Rows(rows) => Preprocessed::Rows(rows),
            Handled::Skipped => Preprocessed::Skipped,
            Handled::Failed(reason) => Preprocessed::Failed(reason),
        };
        Ok(handled.into_iter().map(preprocessed).collect())
    }
}
