//! What LightGBM makes of sums, objective by objective, in double precision.

/// The transform from sums to answers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Objective {
    Identity,
    /// `sign(x)·x²`: regression trained on square roots.
    SignedSquare,
    Exponential,
    /// With its slope.
    Logistic(f64),
    /// `ln(1 + eˣ)`.
    Softplus,
    Softmax,
}

impl Objective {
    /// Reads the `objective` line: a name, then `key:value` words.
    pub(super) fn parse(line: &str, groups: usize) -> Result<Self, String> {
        let mut words = line.split_ascii_whitespace();
        let name = words.next().unwrap_or("custom");
        let options: Vec<&str> = words.collect();
        let slope = || {
            let text = options.iter().find_map(|option| option.strip_prefix("sigmoid:")).unwrap_or("1");
            text.parse::<f64>().map_err(|_| format!("objective {line:?} has a slope that is not a number"))
        };
        let classes = options.iter().find_map(|option| option.strip_prefix("num_class:"));
        if let Some(classes) = classes
            && classes.parse() != Ok(groups)
        {
            return Err(format!("objective {line:?} does not fit {groups} outputs"));
        }
        Ok(match name {
            "regression" if options.contains(&"sqrt") => Self::SignedSquare,
            "regression" | "regression_l1" | "huber" | "fair" | "quantile" | "mape" | "lambdarank" | "rank_xendcg"
            | "custom" | "none" | "null" | "na" => Self::Identity,
            "poisson" | "gamma" | "tweedie" => Self::Exponential,
            "binary" | "multiclassova" => Self::Logistic(slope()?),
            "cross_entropy" | "xentropy" => Self::Logistic(1.0),
            "cross_entropy_lambda" | "xentlambda" => Self::Softplus,
            "multiclass" => Self::Softmax,
            other => return Err(format!("objective {other:?} is not supported")),
        })
    }

    /// Transforms the sums of one row.
    pub(super) fn transform(self, sums: &mut [f64]) {
        match self {
            Self::Identity => {}
            Self::SignedSquare => sums.iter_mut().for_each(|sum| *sum = sum.signum() * *sum * *sum),
            Self::Exponential => sums.iter_mut().for_each(|sum| *sum = sum.exp()),
            Self::Logistic(slope) => sums.iter_mut().for_each(|sum| *sum = 1.0 / (1.0 + (-slope * *sum).exp())),
            Self::Softplus => sums.iter_mut().for_each(|sum| *sum = sum.exp().ln_1p()),
            Self::Softmax => softmax(sums),
        }
    }
}

fn softmax(sums: &mut [f64]) {
    let largest = sums.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mut total = 0.0;
    for sum in sums.iter_mut() {
        *sum = (*sum - largest).exp();
        total += *sum;
    }
    sums.iter_mut().for_each(|sum| *sum /= total);
}
