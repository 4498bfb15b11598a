//! Amazon Resource Names of SageMaker resources: `arn:aws:sagemaker:<region>:<account>:<kind>/<name>`.

use std::fmt;

/// Which kind of resource an ARN names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ResourceKind {
    /// A model.
    Model,
    /// An endpoint configuration.
    EndpointConfig,
    /// An endpoint.
    Endpoint,
    /// An inference component.
    InferenceComponent,
    /// A processing job.
    ProcessingJob,
    /// A monitoring schedule.
    MonitoringSchedule,
    /// A job definition of a monitor of data quality.
    DataQualityJobDefinition,
    /// A job definition of a monitor of model quality.
    ModelQualityJobDefinition,
    /// A job definition of a monitor of bias.
    ModelBiasJobDefinition,
    /// A job definition of a monitor of attributions.
    ModelExplainabilityJobDefinition,
}

impl ResourceKind {
    const ALL: [Self; 10] = [
        Self::Model,
        Self::EndpointConfig,
        Self::Endpoint,
        Self::InferenceComponent,
        Self::ProcessingJob,
        Self::MonitoringSchedule,
        Self::DataQualityJobDefinition,
        Self::ModelQualityJobDefinition,
        Self::ModelBiasJobDefinition,
        Self::ModelExplainabilityJobDefinition,
    ];

    /// The word that stands in the ARN.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::EndpointConfig => "endpoint-config",
            Self::Endpoint => "endpoint",
            Self::InferenceComponent => "inference-component",
            Self::ProcessingJob => "processing-job",
            Self::MonitoringSchedule => "monitoring-schedule",
            Self::DataQualityJobDefinition => "data-quality-job-definition",
            Self::ModelQualityJobDefinition => "model-quality-job-definition",
            Self::ModelBiasJobDefinition => "model-bias-job-definition",
            Self::ModelExplainabilityJobDefinition => "model-explainability-job-definition",
        }
    }
}

/// An ARN of a SageMaker resource. Case of the name is kept; [`Arn::names_same_resource`] ignores it, as AWS does.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Arn {
    /// Region, e.g. `us-east-1`.
    pub region: String,
    /// Account, twelve digits.
    pub account: String,
    /// Kind of resource.
    pub kind: ResourceKind,
    /// Name of the resource, case preserved.
    pub name: String,
}

/// The text is not an ARN of a SageMaker resource that captura knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not an ARN of the form arn:aws:sagemaker:<region>:<account>:<kind>/<name>, with a kind like model or endpoint"
)]
pub struct InvalidArn(pub String);

impl Arn {
    /// Parses an ARN.
    ///
    /// # Errors
    /// When a part is missing, the service is not SageMaker, the account is not twelve digits or the kind is unknown.
    pub fn parse(text: &str) -> Result<Self, InvalidArn> {
        Self::parse_parts(text).ok_or_else(|| InvalidArn(text.to_owned()))
    }

    fn parse_parts(text: &str) -> Option<Self> {
        let mut parts = text.splitn(6, ':');
        let (arn, partition, service) = (parts.next()?, parts.next()?, parts.next()?);
        let (region, account, resource) = (parts.next()?, parts.next()?, parts.next()?);
        if arn != "arn" || !partition.starts_with("aws") || service != "sagemaker" {
            return None;
        }
        if account.len() != 12 || !account.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let (kind, name) = resource.split_once('/')?;
        let kind = ResourceKind::ALL.into_iter().find(|candidate| candidate.as_str() == kind)?;
        if name.is_empty() {
            return None;
        }
        Some(Self { region: region.into(), account: account.into(), kind, name: name.into() })
    }

    /// Whether both ARNs name one resource. Names are compared without regard to case (contract 1.4).
    #[must_use]
    pub fn names_same_resource(&self, other: &Self) -> bool {
        self.kind == other.kind
            && self.region == other.region
            && self.account == other.account
            && self.name.eq_ignore_ascii_case(&other.name)
    }
}

impl fmt::Display for Arn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "arn:aws:sagemaker:{}:{}:{}/{}", self.region, self.account, self.kind.as_str(), self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips_and_ignores_case_when_compared() {
        let text = "arn:aws:sagemaker:eu-west-1:123456789012:endpoint-config/Churn-1";
        let arn = Arn::parse(text).unwrap();
        assert_eq!(arn.kind, ResourceKind::EndpointConfig);
        assert_eq!(arn.to_string(), text);
        assert!(arn.names_same_resource(&Arn::parse(&text.to_lowercase()).unwrap()));
    }

    #[test]
    fn refuses_other_services_and_broken_parts() {
        for bad in [
            "",
            "arn:aws:s3:::bucket",
            "arn:aws:sagemaker:us-east-1:123:model/m",
            "arn:aws:sagemaker:us-east-1:123456789012:model/",
            "arn:aws:sagemaker:us-east-1:123456789012:pipeline/p",
        ] {
            assert!(Arn::parse(bad).is_err(), "{bad}");
        }
    }
}
