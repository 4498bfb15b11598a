//! Which way an image is run.

use std::sync::Arc;

use captura_backends::process::ProcessRule;
use captura_backends::{BackendKind, ImageRule};
use captura_names::glob;

/// Image of Model Monitor's analyser.
pub const ANALYSER_IMAGE: &str = "*sagemaker-model-monitor-analyzer*";
/// Image of the merger of captures with ground truth.
pub const MERGER_IMAGE: &str = "*sagemaker-model-monitor-groundtruth-merger*";
/// Image of Clarify.
pub const CLARIFY_IMAGE: &str = "*sagemaker-clarify-processing*";
/// Images that this program is itself.
pub const BUILT_IN_IMAGES: [&str; 3] = [ANALYSER_IMAGE, MERGER_IMAGE, CLARIFY_IMAGE];

/// A way to run an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Way {
    /// By this program itself.
    BuiltIn,
    /// By a program of the operator's.
    Program(Arc<ProcessRule>),
    /// In a container.
    Container,
}

/// The operator's first rule that matches decides, then what is built in.
pub(crate) fn way(rules: &[ImageRule], image: &str) -> Way {
    if let Some(rule) = rules.iter().find(|rule| rule.matches(image)) {
        return match (rule.backend, &rule.process) {
            (BackendKind::Process, Some(program)) => Way::Program(Arc::clone(program)),
            _ => Way::Container,
        };
    }
    if BUILT_IN_IMAGES.iter().any(|pattern| glob::matches(pattern, image)) { Way::BuiltIn } else { Way::Container }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operator_decides_first_and_what_nobody_knows_is_a_container() {
        let program = ProcessRule { command: vec!["python3".into()], ..ProcessRule::default() };
        let rules = [
            ImageRule::process("team/*", program.clone()),
            ImageRule::new("mine/sagemaker-clarify-processing*", BackendKind::Docker),
        ];
        for (image, expected) in [
            ("156387875391.dkr.ecr.us-west-2.amazonaws.com/sagemaker-model-monitor-analyzer", Way::BuiltIn),
            ("0.dkr.ecr.eu-west-1.amazonaws.com/sagemaker-model-monitor-groundtruth-merger", Way::BuiltIn),
            ("205585389593.dkr.ecr.us-east-1.amazonaws.com/sagemaker-clarify-processing:1.0", Way::BuiltIn),
            ("mine/sagemaker-clarify-processing:1.0", Way::Container),
            ("team/clean:3", Way::Program(Arc::new(program))),
            ("246618743249.dkr.ecr.us-west-2.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3", Way::Container),
        ] {
            assert_eq!(way(&rules, image), expected, "{image}");
        }
    }
}
