//! The door to the model, and asking through it until all is answered or the budget ends.

use std::future::Future;
use std::pin::Pin;

use super::{Attribution, AttributionError};
use crate::attribution::{Questions, Wording};

/// How much smaller requests become when the model does not take one.
const STEP: usize = 8;

/// Who asks the model: an HTTP client, or a function in tests.
pub trait AskModel: Send + Sync {
    /// Asks once.
    fn ask<'a>(
        &'a self,
        question: Question<'a>,
    ) -> Pin<Box<dyn Future<Output = Result<ModelAnswer, AskError>> + Send + 'a>>;
}

/// One call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question<'a> {
    /// Several rows.
    pub body: Vec<u8>,
    /// Its media type.
    pub content_type: &'a str,
    /// Media type that is wanted back.
    pub accept: Option<&'a str>,
    /// What a multi-model endpoint is to ask.
    pub target_model: Option<&'a str>,
    /// Which of the calls it is, from 1.
    pub number: usize,
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelAnswer {
    /// Media type.
    pub content_type: Option<String>,
    /// The answer.
    pub body: Vec<u8>,
}

/// Why nothing came back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// The model does not take the request; fewer rows may help.
    #[error("{0}")]
    Refused(String),
    /// Asking again would not help.
    #[error("{0}")]
    Failed(String),
}

/// What was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) calls: usize,
    pub(super) ended: bool,
}

impl Asked {
    pub(super) fn why_nothing(&self, samples: usize, baseline: usize) -> String {
        format!(
            "the budget of {} calls ended before the first was; a row takes {} questions ({samples} subsets of its features, with {baseline} \
             baseline rows each). Allow more calls or rows a call, or ask about fewer subsets",
            self.calls,
            1 + samples * baseline
        )
    }
}

/// Asks until all is answered or the budget ends. Calls are numbered from behind those before, and count with them.
pub(super) async fn ask(
    questions: &mut impl Questions,
    wording: &Wording,
    request: &Attribution,
    (model, calls_before): (&dyn AskModel, usize),
) -> Result<Asked, AttributionError> {
    let budget = &request.budget;
    let mut asked = Asked { calls: 0, ended: false };
    let mut most = budget.rows_per_call.max(1);
    while let Some((body, rows)) = questions.request(most, budget.body_max_bytes)? {
        if calls_before + asked.calls >= budget.calls {
            asked.ended = true;
            break;
        }
        asked.calls += 1;
        match numbers(wording, request, (model, calls_before + asked.calls), (body, rows)).await {
            Ok(numbers) => questions.take(&numbers)?,
            Err(AskError::Refused(_)) if rows > 1 => most = (rows / STEP).max(1),
            Err(error) => return Err(AttributionError::Model(error.to_string())),
        }
    }
    Ok(asked)
}

/// What the model answers to so many rows.
async fn numbers(
    wording: &Wording,
    request: &Attribution,
    (model, number): (&dyn AskModel, usize),
    (body, rows): (Vec<u8>, usize),
) -> Result<Vec<Vec<f64>>, AskError> {
    let question = Question {
        body,
        content_type: &wording.content_type,
        accept: wording.accept.as_deref(),
        target_model: request.config.predictor.target_model.as_deref(),
        number,
    };
    let answer = model.ask(question).await?;
    wording.numbers(answer.content_type.as_deref(), &answer.body, rows).map_err(AskError::Refused)
}
