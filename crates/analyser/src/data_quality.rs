//! Data quality: a baseline is made of a data set, or captures are held against one.

use std::collections::BTreeMap;
use std::path::Path;

use captura_monitor::artefact::{Statistics, jackson};
use captura_monitor::constraints::{Constraints, Switch};
use captura_monitor::dataset::Header;
use captura_monitor::job::{
    self, CONSTRAINTS, Check, CheckSummary, LabelPosition, PreprocessAccount, RecordPreprocessor, STATISTICS, Source,
};
use serde::Deserialize;

use crate::job::Job;
use crate::{BEFORE, Failure, Found, captures, documents, metrics};

/// `dataset_format`, as far as it is read.
#[derive(Debug, Default, Deserialize)]
struct Format {
    csv: Option<Csv>,
    parquet: Option<serde_json::Value>,
    json: Option<Json>,
}

#[derive(Debug, Deserialize)]
struct Json {
    /// Of jobs; `line` of job definitions.
    #[serde(alias = "line")]
    lines: Option<bool>,
}

#[derive(Debug, Deserialize)]
struct Csv {
    header: Option<bool>,
    output_columns_position: Option<String>,
}

/// Who runs scripts of the user's.
pub trait Scripts {
    /// Starts `record_preprocessor_script`.
    ///
    /// # Errors
    /// Why it does not start.
    fn preprocessor(&self, script: &Path) -> Result<Box<dyn RecordPreprocessor>, String>;

    /// Runs `post_analytics_processor_script` with this environment.
    ///
    /// # Errors
    /// Why it failed.
    fn postprocess(&self, script: &Path, environment: BTreeMap<String, String>) -> Result<(), String>;
}

pub(crate) async fn analyse(job: &Job, scripts: &dyn Scripts) -> Result<Found, Failure> {
    let (source, label) = source(job)?;
    let (source, note) = preprocessed(job, source, scripts).await?;
    let mut found = judge(job, source, label).await?;
    found.notes.extend(note);
    Ok(found)
}

/// The data as the user's script makes it of captured records, where there is one, and what it did not take.
pub(crate) async fn preprocessed(
    job: &Job,
    source: Source,
    scripts: &dyn Scripts,
) -> Result<(Source, Option<String>), Failure> {
    let Some(script) = job.variable(BEFORE) else { return Ok((source, None)) };
    let mut preprocessor = scripts.preprocessor(&job.path(script)?).map_err(Failure::Request)?;
    let scratch = job.scratch("preprocessed")?.display().to_string();
    let (source, account) = job::preprocess(&job.stores, &source, &mut *preprocessor, &scratch).await?;
    let PreprocessAccount { records, skipped, failed, .. } = account;
    let note = (skipped > 0 || failed > 0)
        .then(|| format!("of {records} records the record preprocessor left out {skipped} and failed on {failed}"));
    Ok((source, note))
}

async fn judge(job: &Job, source: Source, label: LabelPosition) -> Result<Found, Failure> {
    let out = job.output()?.display().to_string();
    let Some(constraints) = job.variable("baseline_constraints") else {
        let summary = job::baseline(&job.stores, &source, label, &out).await?;
        choose_drift_method(job, &Path::new(&out).join(CONSTRAINTS))?;
        metrics::leave(job, &[], &statistics(&out)?)?;
        return Ok(Found::new(0, summary.notes));
    };
    let baseline = job.scratch("baseline")?;
    let given = [(Some(constraints), CONSTRAINTS), (job.variable("baseline_statistics"), STATISTICS)];
    for (path, name) in given.iter().filter_map(|(path, name)| path.map(|path| (path, name))) {
        std::fs::copy(job.path(path)?, baseline.join(name))
            .map_err(|reason| Failure::File { path: path.to_owned(), reason })?;
    }
    choose_drift_method(job, &baseline.join(CONSTRAINTS))?;
    let check = Check { source, baseline: baseline.display().to_string(), history: Vec::new(), out: out.clone() };
    let CheckSummary { data, violations, drifts, .. } = job::check(&job.stores, &check).await?;
    if emits_metrics(&baseline.join(CONSTRAINTS)) {
        metrics::leave(job, &drifts, &statistics(&out)?)?;
    }
    Ok(Found::new(violations.len(), data.notes))
}

/// The data, and where it has the column that the model answers with.
pub(crate) fn source(job: &Job) -> Result<(Source, LabelPosition), Failure> {
    let format = match job.variable("dataset_format") {
        Some(text) => serde_json::from_str::<Format>(text)
            .map_err(|error| Failure::Request(format!("dataset_format is not what it should be: {error}")))?,
        None => Format::default(),
    };
    let files = job.data(job.needed("dataset_source")?)?;
    let is_table = format.csv.is_some() || format.json.is_some() || format.parquet.is_some();
    let is_document = format.json.as_ref().is_some_and(|json| json.lines == Some(false));
    let addresses = match (is_table, is_document) {
        (_, true) => documents::as_lines(job, &files)?,
        (true, false) => files,
        (false, false) => captures::of_window(job, files)?,
    };
    let header = match format.csv.as_ref().and_then(|csv| csv.header) {
        Some(true) => Header::Yes,
        Some(false) => Header::No,
        None => Header::Auto,
    };
    let position = format.csv.and_then(|csv| csv.output_columns_position);
    let label = match position.as_deref() {
        Some("END") => LabelPosition::Last,
        Some("START") => LabelPosition::First,
        _ => LabelPosition::AsIs,
    };
    Ok((Source { addresses, header, ..Source::default() }, label))
}

fn statistics(out: &str) -> Result<Statistics, Failure> {
    read(&Path::new(out).join(STATISTICS))
}

fn read<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, Failure> {
    let failed = |reason| Failure::File { path: path.display().to_string(), reason };
    let text = std::fs::read(path).map_err(failed)?;
    serde_json::from_slice(&text)
        .map_err(|error| Failure::Request(format!("{} is not what it should be: {error}", path.display())))
}

/// The job's own choice of how categories are compared wins over the file's.
fn choose_drift_method(job: &Job, path: &Path) -> Result<(), Failure> {
    let Some(method) = job.variable("categorical_drift_method") else { return Ok(()) };
    let method = serde_json::from_value(serde_json::Value::String(method.to_owned())).map_err(|_| {
        Failure::Request(format!("categorical_drift_method is {method}; it is LInfinity or ChiSquared"))
    })?;
    let mut constraints: Constraints = read(path)?;
    constraints.monitoring_config.distribution_constraints.get_or_insert_default().categorical_drift_method =
        Some(method);
    std::fs::write(path, jackson(&constraints))
        .map_err(|reason| Failure::File { path: path.display().to_string(), reason })
}

fn emits_metrics(constraints: &Path) -> bool {
    let constraints: Result<Constraints, _> = read(constraints);
    let switch = constraints.ok().and_then(|constraints| constraints.monitoring_config.emit_metrics);
    switch != Some(Switch::Disabled)
}
