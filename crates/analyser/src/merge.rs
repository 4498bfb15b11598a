//! Captures are merged with their labels, as the first of the two jobs of a model quality or bias execution does.

use std::collections::BTreeMap;

use captura_archive::layout::CapturedKey;
use captura_archive::reader::{Selection, list};
use captura_monitor::job::JobError;
use captura_monitor::labels::{Labels, Merger, arrival, merged_key};

use crate::job::Job;
use crate::{Failure, Found};

/// Where labels lie, where the job does not say.
const GROUND_TRUTH_FOLDER: &str = "/opt/ml/processing/groundtruth";

pub(crate) async fn merge(job: &Job) -> Result<Found, Failure> {
    let mut files = job.files(job.variable("ground_truth_source").unwrap_or(GROUND_TRUTH_FOLDER))?;
    // Later labels win, so they are read later.
    files.sort_by_cached_key(|file| (arrival(file), file.clone()));
    let mut labels = Labels::new(None, None).kept_as_sent(true);
    for file in &files {
        let bytes = fetch(job, file).await?;
        labels.read(file, &bytes).map_err(captura_monitor::job::QualityError::from)?;
    }
    let mut hours: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let source = job.needed("dataset_source")?;
    for file in job.data(source)? {
        if let Some(key) = CapturedKey::parse(&file) {
            hours.entry(merged_key(&key)).or_default().push(file);
        }
    }
    let mut merger = Merger::within(job.window()?);
    let (out, mut merged) = (job.output()?, 0_usize);
    for (key, files) in hours {
        let mut lines = String::new();
        for file in files {
            lines.push_str(&merger.merge(&fetch(job, &file).await?, &labels));
        }
        if lines.is_empty() {
            continue;
        }
        merged += lines.lines().count();
        let path = out.join(&key);
        let folder = path.parent().map(std::path::Path::to_owned).unwrap_or_default();
        let written = std::fs::create_dir_all(folder).and_then(|()| std::fs::write(&path, lines));
        written.map_err(|reason| Failure::File { path: key, reason })?;
    }
    let note = format!("{merged} calls have a label, of {} labels that are known", labels.account().labels);
    Ok(Found { message: "Completed: Job completed successfully.".to_owned(), ..Found::new(0, vec![note]) })
}

/// A file's bytes, unpacked where its name says that it is packed.
async fn fetch(job: &Job, file: &str) -> Result<Vec<u8>, Failure> {
    let found = list(&job.stores, file, &Selection::default()).await.map_err(JobError::from)?;
    let mut bytes = Vec::new();
    for object in found {
        bytes.extend_from_slice(&object.fetch().await.map_err(JobError::from)?);
    }
    Ok(bytes)
}
