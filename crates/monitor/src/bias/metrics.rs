//! Clarify's metrics, from counts. `a` is the side without the facet, `d` the side with it; n⁽¹⁾ counts positives, a
//! prime predictions.
//!
//! | before training | |
//! | --- | --- |
//! | CI | (n_a − n_d) / n |
//! | DPL | n_a⁽¹⁾/n_a − n_d⁽¹⁾/n_d |
//! | KL, JS | divergences of the distributions of positive and other labels, natural logarithm |
//! | LP, TVD, KS | distances of them: Euclidean, half the sum, largest |
//! | CDDL | mean over groups, by size, of d's share of the rejected minus its share of the accepted |
//!
//! | after training | |
//! | --- | --- |
//! | DPPL, DI | difference a − d and ratio d / a of predicted positive shares |
//! | DCA, DCR | n⁽¹⁾/n′⁽¹⁾ of a − d; n⁽⁰⁾/n′⁽⁰⁾ of d − a |
//! | RD, SD | recall of a − d; specificity of d − a |
//! | DAR, DRR | precision of a − d; share of right rejections of d − a |
//! | AD | accuracy of a − d |
//! | TE | false negatives / false positives of d − a |
//! | CDDPL | as CDDL, of predictions |
//! | GE | generalised entropy (α = 2) of the benefit prediction − label + 1 over all rows |
//!
//! Divisions follow Clarify: 0/0 is 0, x/0 is infinite, and the difference of equal infinities is 0.
//!
//! Invariant: metrics come by name. Refuses to: leave out a kind of label that one side never has, as Clarify's
//! distances do; KL is infinite then.

use super::counts::{Counts, Side};

/// Whether a metric looks at labels alone or at predictions too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// At labels.
    PreTraining,
    /// At predictions.
    PostTraining,
}

/// A metric, or why it cannot be computed.
pub type Value = Result<f64, &'static str>;

const NO_FACET: &str = "no row has the facet";
const ALL_FACET: &str = "every row has the facet";
const NO_GROUP: &str = "there is no group variable";
const ONE_OUTCOME: &str = "all rows have the same outcome";
const ALL_DENIED: &str = "every prediction is a false negative";

/// All metrics of a stage but the flip test, which needs the rows.
#[must_use]
pub fn metrics(stage: Stage, counts: &Counts, grouped: bool) -> Vec<(&'static str, Value)> {
    let (a, d) = (counts.side(false), counts.side(true));
    let reason = if d.rows() == 0.0 {
        Some(NO_FACET)
    } else if a.rows() == 0.0 {
        Some(ALL_FACET)
    } else {
        None
    };
    let of = |value: f64| reason.map_or(Ok(value), Err);
    match stage {
        Stage::PreTraining => pre_training(counts, grouped, a, d, &of),
        Stage::PostTraining => post_training(counts, grouped, a, d, &of),
    }
}

fn pre_training(
    counts: &Counts,
    grouped: bool,
    a: Side,
    d: Side,
    of: &dyn Fn(f64) -> Value,
) -> Vec<(&'static str, Value)> {
    let shares = |side: Side| [(side.rows() - side.actual()) / side.rows(), side.actual() / side.rows()];
    let (p, q) = (shares(a), shares(d));
    let middle = [(p[0] + q[0]) / 2.0, (p[1] + q[1]) / 2.0];
    let distances = [(p[0] - q[0]).abs(), (p[1] - q[1]).abs()];
    vec![
        ("CDDL", conditional_disparity(counts, grouped, |cell| cell & 2 != 0)),
        ("CI", of((a.rows() - d.rows()) / (a.rows() + d.rows()))),
        ("DPL", of(p[1] - q[1])),
        ("JS", of((divergence(p, middle) + divergence(q, middle)) / 2.0)),
        ("KL", of(divergence(p, q))),
        ("KS", of(distances[0].max(distances[1]))),
        ("LP", of(distances[0].hypot(distances[1]))),
        ("TVD", of((distances[0] + distances[1]) / 2.0)),
    ]
}

fn post_training(
    counts: &Counts,
    grouped: bool,
    a: Side,
    d: Side,
    of: &dyn Fn(f64) -> Value,
) -> Vec<(&'static str, Value)> {
    let difference = |of_side: &dyn Fn(Side) -> f64| gap(of_side(a), of_side(d));
    let negative = |side: Side| side.tn + side.fp;
    let rejected = |side: Side| side.tn + side.fn_;
    let accuracy = |side: Side| divide(side.tp + side.tn, side.rows());
    let share = |side: Side| side.predicted() / side.rows();
    vec![
        ("AD", of(difference(&accuracy))),
        ("CDDPL", conditional_disparity(counts, grouped, |cell| cell & 1 != 0)),
        ("DAR", of(difference(&|side| divide(side.tp, side.predicted())))),
        ("DCA", of(difference(&|side| divide(side.actual(), side.predicted())))),
        ("DCR", of(-difference(&|side| divide(negative(side), rejected(side))))),
        ("DI", of(divide(share(d), share(a)))),
        ("DPPL", of(share(a) - share(d))),
        ("DRR", of(-difference(&|side| divide(side.tn, rejected(side))))),
        ("GE", entropy(a, d)),
        ("RD", of(difference(&|side| divide(side.tp, side.actual())))),
        ("SD", of(-difference(&|side| divide(side.tn, negative(side))))),
        ("TE", of(-difference(&|side| divide(side.fn_, side.fp)))),
    ]
    .into_iter()
    // A difference turned around must not be a negative nothing.
    .map(|(name, value)| (name, value.map(|value| value + 0.0)))
    .collect()
}

fn divide(part: f64, whole: f64) -> f64 {
    if whole != 0.0 {
        part / whole
    } else if part == 0.0 {
        0.0
    } else {
        f64::INFINITY
    }
}

fn gap(a: f64, d: f64) -> f64 {
    if a == d { 0.0 } else { a - d }
}

/// Kullback–Leibler divergence of two distributions over two outcomes.
fn divergence(p: [f64; 2], q: [f64; 2]) -> f64 {
    let part = |p: f64, q: f64| if p == 0.0 { 0.0 } else { p * (p / q).ln() };
    part(p[0], q[0]) + part(p[1], q[1])
}

/// Mean over the groups of how much more of the rejected than of the accepted have the facet.
fn conditional_disparity(counts: &Counts, grouped: bool, accepted: impl Fn(usize) -> bool) -> Value {
    if !grouped {
        return Err(NO_GROUP);
    }
    let (mut sum, mut rows, mut all_accepted) = (0.0, 0.0, 0.0);
    for group in &counts.groups {
        let count = |with: &dyn Fn(usize) -> bool| {
            group.iter().enumerate().filter(|(cell, _)| with(*cell)).map(|(_, count)| *count).sum::<u64>() as f64
        };
        let of_facet = |with: &dyn Fn(usize) -> bool| {
            let all = count(with);
            if all == 0.0 { 0.0 } else { count(&|cell| with(cell) && cell & 4 != 0) / all }
        };
        let size = count(&|_| true);
        sum += size * (of_facet(&|cell| !accepted(cell)) - of_facet(&accepted));
        rows += size;
        all_accepted += count(&accepted);
    }
    if all_accepted == 0.0 || all_accepted == rows { Err(ONE_OUTCOME) } else { Ok(sum / rows) }
}

/// Half the squared coefficient of variation of the benefit.
fn entropy(a: Side, d: Side) -> Value {
    let rows = a.rows() + d.rows();
    let (false_positives, false_negatives) = (a.fp + d.fp, a.fn_ + d.fn_);
    // Benefits are 2 for false positives, 0 for false negatives, 1 for all that is right.
    let right = rows - false_positives - false_negatives;
    let mean = (2.0 * false_positives + right) / rows;
    if mean == 0.0 || rows == 0.0 {
        return Err(ALL_DENIED);
    }
    let squares = (4.0 * false_positives + right) / (rows * mean * mean);
    Ok((squares - 1.0) / 2.0)
}

/// The metric in words, as Clarify has it.
#[must_use]
pub fn description(name: &str) -> &'static str {
    match name {
        "AD" => "Accuracy Difference (AD)",
        "CDDL" => "Conditional Demographic Disparity in Labels (CDDL)",
        "CDDPL" => "Conditional Demographic Disparity in Predicted Labels (CDDPL)",
        "CI" => "Class Imbalance (CI)",
        "DAR" => "Difference in Acceptance Rates (DAR)",
        "DCA" => "Difference in Conditional Acceptance (DCA)",
        "DCR" => "Difference in Conditional Rejection (DCR)",
        "DI" => "Disparate Impact (DI)",
        "DPL" => "Difference in Positive Proportions in Labels (DPL)",
        "DPPL" => "Difference in Positive Proportions in Predicted Labels (DPPL)",
        "DRR" => "Difference in Rejection Rates (DRR)",
        "FT" => "Flip Test (FT)",
        "GE" => "Generalized Entropy (GE)",
        "JS" => "Jensen-Shannon Divergence (JS)",
        "KL" => "Kullback-Liebler Divergence (KL)",
        "KS" => "Kolmogorov-Smirnov Distance (KS)",
        "LP" => "L-p Norm (LP)",
        "RD" => "Recall Difference (RD)",
        "SD" => "Specificity Difference (SD)",
        "TE" => "Treatment Equality (TE)",
        "TVD" => "Total Variation Distance (TVD)",
        _ => "",
    }
}
