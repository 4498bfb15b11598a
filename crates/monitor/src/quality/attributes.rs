//! Where a row has the prediction, its probability and the label, in the words of SageMaker's ModelQualityMonitor.
//!
//! An attribute is the name of a column, its place (output columns come first, so `0` is the first of the answer), or a
//! path into a JSON answer (`predictions[0].score`). Invariant: an attribute finds one column or is refused.

use super::ProblemType;

/// Members that only wrap the rows of a body, which rows do not have in their names.
const WRAPPERS: [&str; 4] = ["predictions", "instances", "inputs", "dataframe_records"];

/// What is read of each row.
#[derive(Debug, Clone)]
pub struct Attributes {
    /// What is predicted.
    pub problem: ProblemType,
    /// The predicted class or number.
    pub inference: Option<String>,
    /// Of binary problems the probability of the positive class, of others with classes that of the predicted one.
    pub probability: Option<String>,
    /// Probability from which on the positive class counts as predicted, where there is no `inference`.
    pub threshold: Option<f64>,
    /// Column of the label in tables; member or column of the label in ground truth records that have several.
    pub ground_truth: Option<String>,
    /// The positive class of a binary problem.
    pub positive: Option<String>,
    /// Columns by whose values rows are told apart.
    pub segments: Vec<String>,
    /// There are no predictions; only labels are asked for.
    pub labels_only: bool,
    /// Whether a sample of the rows' numbers is kept.
    pub features: bool,
}

/// An attribute that finds no column.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{option}{}: {reason}", said(attribute))]
pub struct Attribute {
    /// Which attribute.
    pub option: &'static str,
    /// What it says.
    pub attribute: String,
    /// Why it does not do.
    pub reason: String,
}

/// An attribute behind its option; one that says nothing is not shown.
fn said(attribute: &str) -> String {
    if attribute.is_empty() { String::new() } else { format!(" {attribute:?}") }
}

impl Attributes {
    /// Attributes of a problem, none of them given.
    #[must_use]
    pub fn of(problem: ProblemType) -> Self {
        Self {
            problem,
            inference: None,
            probability: None,
            threshold: None,
            ground_truth: None,
            positive: None,
            segments: Vec::new(),
            labels_only: false,
            features: problem == ProblemType::Regression,
        }
    }
}

/// The place of the column that an attribute means.
///
/// # Errors
/// When there is none.
pub fn resolve(option: &'static str, attribute: &str, names: &[String]) -> Result<usize, Attribute> {
    let wrong = |reason: String| Attribute { option, attribute: attribute.to_owned(), reason };
    if let Some(place) = names.iter().position(|name| name == attribute) {
        return Ok(place);
    }
    if let Ok(place) = attribute.parse::<usize>() {
        let beyond = || wrong(format!("rows have {} columns, counted from 0", names.len()));
        return if place < names.len() { Ok(place) } else { Err(beyond()) };
    }
    let parts: Vec<&str> = attribute.split(['.', '[', ']']).filter(|part| !part.is_empty() && *part != "*").collect();
    let inner = match &parts[..] {
        [wrapper, rest @ ..] if WRAPPERS.contains(wrapper) => rest,
        all => all,
    };
    let unnumbered = match inner {
        [first, rest @ ..] if first.parse::<usize>().is_ok() && !rest.is_empty() => rest,
        all => all,
    };
    let candidates = [parts.join("."), inner.join("."), unnumbered.join(".")];
    let found = candidates.iter().find_map(|path| names.iter().position(|name| name == path));
    found.ok_or_else(|| {
        let shown = names.iter().take(12).map(String::as_str).collect::<Vec<_>>().join(", ");
        let more = if names.len() > 12 { ", …" } else { "" };
        wrong(format!("no column is called so; there are {shown}{more}"))
    })
}

#[cfg(test)]
mod tests {
    use super::resolve;

    #[test]
    fn names_places_and_paths_find_their_column() {
        let names = ["score", "box.x", "box.y", "_c3"].map(String::from);
        let place = |attribute: &str| resolve("inference_attribute", attribute, &names).ok();
        assert_eq!(place("box.x"), Some(1));
        assert_eq!(place("3"), Some(3));
        for path in ["predictions[0].score", "predictions[*].score", "instances.0.score", "score"] {
            assert_eq!(place(path), Some(0), "{path}");
        }
        assert_eq!(place("predictions[0].box.y"), Some(2));
    }

    #[test]
    fn what_finds_nothing_is_refused_with_what_there_is() {
        let names = ["a", "b"].map(String::from);
        let reason = |attribute: &str| resolve("probability_attribute", attribute, &names).unwrap_err().to_string();
        assert!(reason("7").contains("rows have 2 columns"), "{}", reason("7"));
        assert!(reason("score").contains("there are a, b"), "{}", reason("score"));
        assert!(reason("").contains("no column"), "{}", reason(""));
    }
}
