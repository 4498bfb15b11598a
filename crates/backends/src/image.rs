//! Which backend runs an image: an ordered table of globs, the first match decides.
//!
//! The table belongs to the operator; images are only names here, nothing is pulled.

use std::fmt;
use std::sync::Arc;

use serde::Deserialize;

use crate::LoadError;
use crate::process::ProcessRule;
use crate::remote::RemoteRule;

/// One line of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageRule {
    /// Pattern on the whole image name; `*` stands for any run of characters, everything else for itself.
    pub image: String,
    /// What runs the images that match.
    pub backend: BackendKind,
    /// How, when that is as a process.
    pub process: Option<Arc<ProcessRule>>,
    /// Where, when that is a remote server.
    pub remote: Option<RemoteRule>,
}

/// The backends there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BackendKind {
    /// ONNX models in this process, through ONNX Runtime.
    Onnx,
    /// XGBoost and LightGBM models in this process, natively.
    Trees,
    /// Answers with the request: for tests and benchmarks.
    Echo,
    /// A program of this machine, as the line says.
    Process,
    /// A server that is there already, at the line's URL.
    Remote,
    /// Containers, through Docker.
    Docker,
}

impl fmt::Display for BackendKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Onnx => "onnx",
            Self::Trees => "trees",
            Self::Echo => "echo",
            Self::Process => "process",
            Self::Remote => "remote",
            Self::Docker => "docker",
        })
    }
}

impl ImageRule {
    /// A line of the table.
    pub fn new(image: impl Into<String>, backend: BackendKind) -> Self {
        Self { image: image.into(), backend, process: None, remote: None }
    }

    /// A line that starts a program.
    pub fn process(image: impl Into<String>, rule: ProcessRule) -> Self {
        Self { process: Some(Arc::new(rule)), ..Self::new(image, BackendKind::Process) }
    }

    /// A line that names a server.
    pub fn remote(image: impl Into<String>, rule: RemoteRule) -> Self {
        Self { remote: Some(rule), ..Self::new(image, BackendKind::Remote) }
    }

    /// The table that holds when the operator gives none.
    #[must_use]
    pub fn defaults() -> Vec<Self> {
        vec![
            Self::new("captura/onnx*", BackendKind::Onnx),
            Self::new("*sagemaker-xgboost*", BackendKind::Trees),
            Self::new("*.dkr.ecr.*/xgboost:*", BackendKind::Trees),
            Self::new("captura/trees*", BackendKind::Trees),
            Self::new("captura/echo*", BackendKind::Echo),
            Self::new("*", BackendKind::Docker),
        ]
    }

    /// Whether the pattern covers the whole of `image`.
    #[must_use]
    pub fn matches(&self, image: &str) -> bool {
        captura_names::glob::matches(&self.image, image)
    }
}

/// The first rule that matches `image`.
pub(crate) fn rule_of<'a>(rules: &'a [ImageRule], image: &str) -> Result<&'a ImageRule, LoadError> {
    rules.iter().find(|rule| rule.matches(image)).ok_or_else(|| LoadError::UnknownImage {
        image: image.to_owned(),
        known: rules.iter().map(|rule| rule.image.as_str()).collect::<Vec<_>>().join(", "),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_table_knows_the_images_of_the_contract() {
        let rules = ImageRule::defaults();
        for (image, kind) in [
            ("captura/onnx", BackendKind::Onnx),
            ("captura/onnx:1", BackendKind::Onnx),
            ("captura/trees", BackendKind::Trees),
            ("captura/echo:latest", BackendKind::Echo),
            ("my-registry/my-model:3", BackendKind::Docker),
            ("683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1", BackendKind::Trees),
            ("811284229777.dkr.ecr.us-east-1.amazonaws.com/xgboost:1", BackendKind::Trees),
        ] {
            assert_eq!(rule_of(&rules, image).unwrap().backend, kind, "{image}");
        }
    }

    #[test]
    fn an_unknown_image_is_refused_in_words_that_say_what_is_known() {
        let rules = [ImageRule::new("captura/onnx*", BackendKind::Onnx), ImageRule::new("team/*", BackendKind::Docker)];
        let error = rule_of(&rules, "my-registry/my-model:3").unwrap_err().to_string();
        assert!(error.contains("\"my-registry/my-model:3\""), "{error}");
        assert!(error.contains("captura/onnx*, team/*"), "{error}");
    }

    #[test]
    fn the_first_rule_decides() {
        let rules = [ImageRule::new("team/*", BackendKind::Echo), ImageRule::new("*", BackendKind::Trees)];
        assert_eq!(rule_of(&rules, "team/x").unwrap().backend, BackendKind::Echo);
        assert_eq!(rule_of(&rules, "x").unwrap().backend, BackendKind::Trees);
    }
}
