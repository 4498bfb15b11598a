//! What can be scaled, parsed once.

use captura_names::{EndpointName, InferenceComponentName, VariantName};
use captura_wire::autoscaling::Target;
use captura_wire::aws_json::Fault;

/// Something whose number follows its load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resource {
    /// Instances of a variant.
    Variant {
        /// Its endpoint.
        endpoint: EndpointName,
        /// Its name.
        variant: VariantName,
    },
    /// Copies of an inference component.
    Component {
        /// Its name.
        name: InferenceComponentName,
    },
}

const NAMESPACE: &str = "sagemaker";
const INSTANCES: &str = "sagemaker:variant:DesiredInstanceCount";
const COPIES: &str = "sagemaker:inference-component:DesiredCopyCount";

impl Resource {
    /// What a target names.
    ///
    /// # Errors
    /// `ValidationException` in the service's words, or ours for what captura does not scale.
    pub(crate) fn parse(target: &Target) -> Result<Self, Fault> {
        if target.service_namespace != NAMESPACE {
            let text = format!("captura scales the namespace {NAMESPACE}, not {}.", target.service_namespace);
            return Err(Fault::validation(text));
        }
        let refusal = || {
            Fault::validation(format!(
                "Unsupported service namespace, resource type or scalable dimension: {} {}",
                target.resource_id, target.scalable_dimension
            ))
        };
        let parts: Vec<&str> = target.resource_id.split('/').collect();
        match (parts.as_slice(), target.scalable_dimension.as_str()) {
            (["endpoint", endpoint, "variant", variant], INSTANCES) => {
                let endpoint = EndpointName::parse(endpoint).map_err(|_| refusal())?;
                let variant = VariantName::parse(variant).map_err(|_| refusal())?;
                Ok(Self::Variant { endpoint, variant })
            }
            (["inference-component", name], COPIES) => {
                Ok(Self::Component { name: InferenceComponentName::parse(name).map_err(|_| refusal())? })
            }
            _ => Err(refusal()),
        }
    }

    /// What its capacity is called, in descriptions of activities.
    pub(crate) fn noun(&self) -> &'static str {
        match self {
            Self::Variant { .. } => "desired instance count",
            Self::Component { .. } => "desired copy count",
        }
    }

    /// Dimensions of its metrics.
    pub(crate) fn dimensions(&self) -> Vec<(String, String)> {
        match self {
            Self::Variant { endpoint, variant } => {
                vec![("EndpointName".into(), endpoint.to_string()), ("VariantName".into(), variant.to_string())]
            }
            Self::Component { name } => vec![("InferenceComponentName".into(), name.to_string())],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(resource_id: &str, dimension: &str) -> Result<Resource, Fault> {
        Resource::parse(&Target {
            service_namespace: NAMESPACE.into(),
            resource_id: resource_id.into(),
            scalable_dimension: dimension.into(),
        })
    }

    #[test]
    fn variants_and_components_are_known_and_nothing_else_is() {
        assert!(matches!(parse("endpoint/e/variant/v", INSTANCES), Ok(Resource::Variant { .. })));
        assert!(matches!(parse("inference-component/c", COPIES), Ok(Resource::Component { .. })));
        for (id, dimension) in [
            ("endpoint/e/variant/v", COPIES),
            ("endpoint/e/variant/v", "sagemaker:variant:DesiredProvisionedConcurrency"),
            ("endpoint/e", INSTANCES),
            ("endpoint/../variant/v", INSTANCES),
            ("endpoint/e/variant/v/x", INSTANCES),
            ("service/e", INSTANCES),
        ] {
            assert!(parse(id, dimension).is_err(), "{id} {dimension}");
        }
    }
}
