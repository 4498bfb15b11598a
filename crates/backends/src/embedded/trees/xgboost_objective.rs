//! What XGBoost makes of margins, objective by objective, in its own single precision.

/// The transform from margins to answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Objective {
    /// Margins as they are.
    Identity,
    Logistic,
    Hinge,
    Exponential,
    Softmax,
    /// The number of the class of the largest margin.
    Argmax,
}

impl Objective {
    pub(super) fn parse(name: &str) -> Result<Self, String> {
        Ok(match name {
            "reg:squarederror"
            | "reg:linear"
            | "reg:squaredlogerror"
            | "reg:pseudohubererror"
            | "reg:absoluteerror"
            | "reg:quantileerror"
            | "rank:pairwise"
            | "rank:ndcg"
            | "rank:map"
            | "binary:logitraw" => Self::Identity,
            "binary:logistic" | "reg:logistic" => Self::Logistic,
            "binary:hinge" => Self::Hinge,
            "count:poisson" | "reg:gamma" | "reg:tweedie" | "survival:cox" | "survival:aft" => Self::Exponential,
            "multi:softprob" => Self::Softmax,
            "multi:softmax" => Self::Argmax,
            other => return Err(format!("objective {other:?} is not supported")),
        })
    }

    /// The margin that a base score stands for.
    pub(super) fn margin_of(self, score: f32) -> f32 {
        match self {
            Self::Logistic => -(1.0 / score - 1.0).ln(),
            Self::Exponential => score.ln(),
            _ => score,
        }
    }

    pub(super) fn transform(self, mut margins: Vec<f32>, groups: usize) -> Vec<f32> {
        match self {
            Self::Identity => {}
            Self::Logistic => margins.iter_mut().for_each(|margin| *margin = logistic(*margin)),
            Self::Hinge => margins.iter_mut().for_each(|margin| *margin = if *margin > 0.0 { 1.0 } else { 0.0 }),
            Self::Exponential => margins.iter_mut().for_each(|margin| *margin = margin.exp()),
            Self::Softmax => margins.chunks_exact_mut(groups).for_each(softmax),
            Self::Argmax => return margins.chunks_exact(groups).map(argmax).collect(),
        }
        margins
    }
}

/// The summand 1e-16 and the cut at 88.7 are XGBoost's guards against division by zero and overflow.
fn logistic(margin: f32) -> f32 {
    let power = (-margin).min(88.7).exp();
    1.0 / (power + 1.0 + 1e-16)
}

/// Sums in double precision, divides in single, like XGBoost.
fn softmax(margins: &mut [f32]) {
    let largest = margins.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0_f64;
    for margin in margins.iter_mut() {
        *margin = (*margin - largest).exp();
        sum += f64::from(*margin);
    }
    margins.iter_mut().for_each(|margin| *margin /= sum as f32);
}

/// The first of the largest.
#[expect(clippy::cast_precision_loss, reason = "classes are counted in single precision by XGBoost too")]
fn argmax(margins: &[f32]) -> f32 {
    let mut best = 0;
    for (class, margin) in margins.iter().enumerate() {
        if *margin > margins[best] {
            best = class;
        }
    }
    best as f32
}
