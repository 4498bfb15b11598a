//! SageMaker Clarify's online explainability: what each feature of a record adds to a model's answer.
//!
//! ```text
//! call ──▶ Explained ── as it came ──▶ the model ── answer ──▶ which records are explained? (EnableExplanations)
//!              │ for each of them: subsets of its features, a baseline's values elsewhere
//!              └── batch by batch ──▶ the model ── numbers ──▶ kernel: Shapley values ──▶ answer with both
//! ```
//! [`ExplainerSpec`] is a configuration, parsed; [`Explainer`] has its baseline too; [`Explained`] is a model behind it, and
//! a [`captura_route::Backend`] like any other, whatever kind of model that is.
//!
//! Invariant: the attributions of a record add up to its prediction minus the baseline's mean prediction (in log-odds where
//! asked for); of a record with texts, minus the mean prediction of the record with every part replaced by the baseline's text. The model's own answer is passed on byte for byte. See [`limits`] for what one call may take.
//! Refuses to: explain JSON documents that are no lines of records.

mod answer;
mod asking;
#[cfg(test)]
mod elsewhere_tests;
mod explained;
mod limits;
mod spec;
#[cfg(test)]
mod tests;
mod text;
mod units;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use captura_attribution::kernel::subsets;
use captura_attribution::record::{self, Record};
use tokio::sync::Semaphore;

pub(crate) use self::explained::Explained;
use self::limits::{BASELINE_MAX_BYTES, FEATURES_MAX, FITS_AT_ONCE, SAMPLES_MAX, SYNTHETIC_RECORDS_MAX};
use self::spec::Baseline;
pub use self::spec::{ExplainerSpec, ExplainerSpecError};
use self::units::Texts;
use crate::artifact::{ArtifactError, DataForm, Fetcher, Limits};

/// Subsets that are asked about where the configuration does not say: this many, and twice as many as there are features.
const SAMPLES_DEFAULT: usize = 1 << 11;

/// What explains a model.
#[derive(Debug)]
pub struct Explainer {
    spec: ExplainerSpec,
    baseline: Vec<Record>,
    /// Set when parts of texts are explained.
    texts: Option<Texts>,
    batch_records: AtomicUsize,
    fits: Arc<Semaphore>,
}

impl Explainer {
    /// With its baseline, which is fetched where it is not part of the configuration.
    pub(crate) async fn load(spec: &ExplainerSpec, fetcher: &Fetcher) -> Result<Self, ExplainerSpecError> {
        let baseline = match &spec.baseline {
            Baseline::Inline(records) => records.clone(),
            Baseline::At(url) => {
                let body = fetched(fetcher, url).await?;
                record::read(&body, spec.baseline_layout, &spec.shape)
                    .map_err(|why| wrong("ShapBaselineUri", format!("cannot be read: {url}: {why}")))?
            }
        };
        Self::check(spec, &baseline)?;
        let batch_records = AtomicUsize::new(spec.batch_records_max);
        let (texts, fits) = (spec.texts(&baseline)?, Arc::new(Semaphore::new(FITS_AT_ONCE)));
        Ok(Self { spec: spec.clone(), baseline, texts, batch_records, fits })
    }

    /// Whether a baseline goes with the rest of the configuration, and both with the limits.
    fn check(spec: &ExplainerSpec, baseline: &[Record]) -> Result<(), ExplainerSpecError> {
        let features = baseline.first().map_or(0, Vec::len);
        if !(1..=FEATURES_MAX).contains(&features) {
            let reason = format!("has {features} features; from 1 to {FEATURES_MAX} can be explained");
            return Err(wrong("ShapBaselineConfig", reason));
        }
        if let Some(headers) = &spec.feature_headers
            && headers.len() != features
        {
            let reason = format!("names {} features, and the SHAP baseline has {features}", headers.len());
            return Err(wrong("FeatureHeaders", reason));
        }
        spec.texts(baseline)?;
        let samples = samples(spec, features);
        if samples > SAMPLES_MAX {
            return Err(wrong(
                "NumberOfSamples",
                format!("makes {samples} samples; {SAMPLES_MAX} at most can be asked for"),
            ));
        }
        if samples.saturating_mul(baseline.len()) > SYNTHETIC_RECORDS_MAX {
            let reason = format!(
                "of {} records and {samples} samples make more than the {SYNTHETIC_RECORDS_MAX} synthetic records that one \
                 call may ask the model about",
                baseline.len()
            );
            return Err(wrong("ShapBaselineConfig", reason));
        }
        Ok(())
    }
}

fn wrong(member: &'static str, reason: String) -> ExplainerSpecError {
    ExplainerSpecError { member, reason }
}

/// How many subsets of so many features are asked about.
fn samples(spec: &ExplainerSpec, features: usize) -> usize {
    spec.samples.unwrap_or(2 * features + SAMPLES_DEFAULT).min(subsets(features))
}

async fn fetched(fetcher: &Fetcher, url: &str) -> Result<Vec<u8>, ExplainerSpecError> {
    let failed = |why: String| wrong("ShapBaselineUri", why);
    let limits = Limits { max_bytes: BASELINE_MAX_BYTES, ..Limits::default() };
    let artifact = match fetcher.of_form(DataForm::Object).within(limits).fetch(url).await {
        Ok(artifact) => artifact,
        Err(ArtifactError::Missing { url }) => return Err(failed(format!("names no object: {url}"))),
        Err(error) => return Err(failed(format!("cannot be read: {error}"))),
    };
    let file = artifact.only().ok_or_else(|| failed(format!("names no object: {url}")))?;
    tokio::fs::read(file).await.map_err(|error| failed(format!("cannot be read: {error}")))
}
