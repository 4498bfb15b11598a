//! Model quality: predictions against labels, which stand in a table or were merged with captures before.

use captura_monitor::job::{self, CONSTRAINTS, Quality, QualitySummary};
use captura_monitor::quality::{Attributes, ProblemType};

use crate::data_quality::Scripts;
use crate::job::Job;
use crate::{Failure, Found, data_quality, metrics};

pub(crate) async fn analyse(job: &Job, scripts: &dyn Scripts) -> Result<Found, Failure> {
    let problem = match job.needed("problem_type")? {
        "BinaryClassification" => ProblemType::BinaryClassification,
        "MulticlassClassification" => ProblemType::MulticlassClassification,
        "Regression" => ProblemType::Regression,
        other => {
            return Err(Failure::Request(format!(
                "problem_type is {other}; it is BinaryClassification, MulticlassClassification or Regression"
            )));
        }
    };
    let (source, _) = data_quality::source(job)?;
    let (source, note) = data_quality::preprocessed(job, source, scripts).await?;
    let own = |name: &str| job.variable(name).map(str::to_owned);
    let threshold =
        match job.variable("probability_threshold_attribute") {
            Some(text) => Some(text.parse().map_err(|_| {
                Failure::Request(format!("probability_threshold_attribute is {text}, which is no number"))
            })?),
            None => None,
        };
    let baseline = match job.variable("baseline_constraints") {
        Some(path) => {
            let folder = job.scratch("baseline")?;
            std::fs::copy(job.path(path)?, folder.join(CONSTRAINTS))
                .map_err(|reason| Failure::File { path: path.to_owned(), reason })?;
            Some(folder.display().to_string())
        }
        None => None,
    };
    let request = Quality {
        source,
        attributes: Attributes {
            inference: own("inference_attribute"),
            probability: own("probability_attribute"),
            threshold,
            ground_truth: own("ground_truth_attribute"),
            ..Attributes::of(problem)
        },
        ground_truth: Vec::new(),
        baseline,
        out: job.output()?.display().to_string(),
        window: None,
        merge: None,
        as_of: None,
        seed: 0,
    };
    let QualitySummary { data, metrics: found, violations, .. } = job::quality(&job.stores, &request).await?;
    metrics::leave_quality(job, &found)?;
    let notes = data.notes.into_iter().chain(note).collect();
    Ok(Found::new(violations.map_or(0, |violations| violations.len()), notes))
}
