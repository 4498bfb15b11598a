//! The runtime API (rest-json, 2017-05-13): header names, error codes and error bodies (contract 2).
//!
//! Invariant: header names are lower case, as HTTP libraries keep them; AWS's clients compare without regard to case.
//! Clients read the error code from [`ERROR_TYPE`] and the text from the body's `Message`, with a capital M.
//! Refuses to: decide which error an event is; that is the gateway's one map.

use serde::Serialize;

/// `X-Amzn-SageMaker-Custom-Attributes`, both ways.
pub const CUSTOM_ATTRIBUTES: &str = "x-amzn-sagemaker-custom-attributes";
/// `X-Amzn-SageMaker-Target-Model`.
pub const TARGET_MODEL: &str = "x-amzn-sagemaker-target-model";
/// `X-Amzn-SageMaker-Target-Variant`.
pub const TARGET_VARIANT: &str = "x-amzn-sagemaker-target-variant";
/// `X-Amzn-SageMaker-Target-Container-Hostname`.
pub const TARGET_CONTAINER_HOSTNAME: &str = "x-amzn-sagemaker-target-container-hostname";
/// `X-Amzn-SageMaker-Inference-Id`.
pub const INFERENCE_ID: &str = "x-amzn-sagemaker-inference-id";
/// `X-Amzn-SageMaker-Enable-Explanations`.
pub const ENABLE_EXPLANATIONS: &str = "x-amzn-sagemaker-enable-explanations";
/// `X-Amzn-SageMaker-Inference-Component`.
pub const INFERENCE_COMPONENT: &str = "x-amzn-sagemaker-inference-component";
/// `X-Amzn-SageMaker-Session-Id`.
pub const SESSION_ID: &str = "x-amzn-sagemaker-session-id";
/// `X-Amzn-SageMaker-New-Session-Id`, of replies.
pub const NEW_SESSION_ID: &str = "x-amzn-sagemaker-new-session-id";
/// `X-Amzn-SageMaker-Closed-Session-Id`, of replies.
pub const CLOSED_SESSION_ID: &str = "x-amzn-sagemaker-closed-session-id";
/// `X-Amzn-SageMaker-Content-Type`: what `Content-Type` is to InvokeEndpoint, of asynchronous requests and streamed
/// replies, whose own content type is another.
pub const MODEL_CONTENT_TYPE: &str = "x-amzn-sagemaker-content-type";
/// `X-Amzn-SageMaker-Accept`: what `Accept` is to InvokeEndpoint, of streamed and asynchronous requests.
pub const MODEL_ACCEPT: &str = "x-amzn-sagemaker-accept";
/// `X-Amzn-SageMaker-InputLocation`.
pub const INPUT_LOCATION: &str = "x-amzn-sagemaker-inputlocation";
/// `X-Amzn-SageMaker-RequestTTLSeconds`.
pub const REQUEST_TTL_SECONDS: &str = "x-amzn-sagemaker-requestttlseconds";
/// `X-Amzn-SageMaker-InvocationTimeoutSeconds`.
pub const INVOCATION_TIMEOUT_SECONDS: &str = "x-amzn-sagemaker-invocationtimeoutseconds";
/// `X-Amzn-SageMaker-S3OutputPathExtension`.
pub const OUTPUT_PATH_EXTENSION: &str = "x-amzn-sagemaker-s3outputpathextension";
/// `X-Amzn-SageMaker-Filename`.
pub const FILENAME: &str = "x-amzn-sagemaker-filename";
/// `X-Amzn-SageMaker-OutputLocation`, of replies.
pub const OUTPUT_LOCATION: &str = "x-amzn-sagemaker-outputlocation";
/// `X-Amzn-SageMaker-FailureLocation`, of replies.
pub const FAILURE_LOCATION: &str = "x-amzn-sagemaker-failurelocation";
/// `X-Amzn-SageMaker-Prefix-Aware-Id`.
pub const PREFIX_AWARE_ID: &str = "x-amzn-sagemaker-prefix-aware-id";
/// `x-Amzn-Invoked-Production-Variant`, of replies.
pub const INVOKED_PRODUCTION_VARIANT: &str = "x-amzn-invoked-production-variant";
/// `x-amzn-RequestId`, of every reply.
pub const REQUEST_ID: &str = "x-amzn-requestid";
/// `x-amzn-ErrorType`, of every error: clients take the code from here.
pub const ERROR_TYPE: &str = "x-amzn-errortype";

/// Codes of the runtime's errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    /// The request breaks a constraint, or names what does not exist.
    ValidationError,
    /// The model answered with an error, or not in time.
    ModelError,
    /// The model is still being loaded.
    ModelNotReadyException,
    /// The server failed.
    InternalFailure,
    /// There is no capacity now; clients try again.
    ServiceUnavailable,
    /// There is no such operation.
    UnknownOperationException,
}

impl Code {
    /// The code as clients compare it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ValidationError => "ValidationError",
            Self::ModelError => "ModelError",
            Self::ModelNotReadyException => "ModelNotReadyException",
            Self::InternalFailure => "InternalFailure",
            Self::ServiceUnavailable => "ServiceUnavailable",
            Self::UnknownOperationException => "UnknownOperationException",
        }
    }
}

/// Body of a runtime error: `{"ErrorCode":…,"LogStreamArn":…,"Message":…,"OriginalMessage":…,"OriginalStatusCode":…}`,
/// of which all but `ModelError` carry `Message` alone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct FaultBody<'a> {
    /// AWS's finer code of a model error, e.g. `CLIENT_ERROR_FROM_MODEL`; clients ignore it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_code: Option<&'a str>,
    /// Where the model's log is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_stream_arn: Option<&'a str>,
    /// The text.
    pub message: &'a str,
    /// What the model said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub original_message: Option<&'a str>,
    /// The status that the model gave; 0 when it gave none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub original_status_code: Option<u16>,
}

impl FaultBody<'_> {
    /// The body as JSON.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("our bug: a fault body holds only text and numbers")
    }
}

/// Where a model runs, as error texts name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModelPlace<'a> {
    /// Region of the endpoint.
    pub region: &'a str,
    /// Account of the endpoint, twelve digits.
    pub account: &'a str,
    /// Name of the endpoint.
    pub endpoint: &'a str,
    /// Hostname of the container, where there are several.
    pub container: Option<&'a str>,
}

/// What a single container is called.
const PRIMARY_CONTAINER: &str = "primary";

impl ModelPlace<'_> {
    /// ARN of the log group that the model writes to.
    #[must_use]
    pub fn log_stream_arn(&self) -> String {
        let Self { region, account, endpoint, .. } = self;
        format!("arn:aws:logs:{region}:{account}:log-group:/aws/sagemaker/Endpoints/{endpoint}")
    }

    /// Text of a `ModelError` for a model that answered `status` and said `message`.
    #[must_use]
    pub fn model_answered(&self, status: u16, message: &str) -> String {
        let Self { region, account, endpoint, .. } = self;
        let container = self.container();
        let side = if (400..500).contains(&status) { "client" } else { "server" };
        format!(
            "Received {side} error ({status}) from {container} with message \"{message}\". See \
             https://{region}.console.aws.amazon.com/cloudwatch/home?region={region}#logEventViewer:\
             group=/aws/sagemaker/Endpoints/{endpoint} in account {account} for more information."
        )
    }

    /// What a model that did not answer in time is reported to have said.
    #[must_use]
    pub fn timed_out_original(&self) -> String {
        format!(
            "Your invocation timed out while waiting for a response from container {}. Review the latency metrics for each \
             container in Amazon CloudWatch, resolve the issue, and try again.",
            self.container()
        )
    }

    /// Text of a `ModelError` for a model that did not answer in time.
    #[must_use]
    pub fn model_timed_out(&self) -> String {
        format!("Received server error (0) from {} with message \"{}\"", self.container(), self.timed_out_original())
    }

    fn container(&self) -> &str {
        self.container.unwrap_or(PRIMARY_CONTAINER)
    }
}

/// Text for an endpoint that does not exist.
#[must_use]
pub fn endpoint_not_found(endpoint: &str, account: &str) -> String {
    format!("Endpoint {endpoint} of account {account} not found.")
}

/// Text for a call of an endpoint with inference components that names none.
pub const COMPONENT_REQUIRED: &str = "Inference Component Name header is required for endpoints to which you plan to \
                                      deploy inference components. Please include Inference Component Name header or \
                                      consider using SageMaker models.";
/// Text for a call that names an inference component of an endpoint without any.
pub const COMPONENT_NOT_ALLOWED: &str = "Inference Component Name header is not allowed for endpoints to which you dont \
                                         plan to deploy inference components.";

/// Text for requests that break constraints. Each item is a member in lower camel case, the offending value, and the
/// constraint as AWS phrases it.
#[must_use]
pub fn constraints_broken<'a>(broken: impl IntoIterator<Item = (&'a str, &'a str, String)>) -> String {
    let broken: Vec<String> = broken
        .into_iter()
        .map(|(member, value, constraint)| {
            format!("Value '{value}' at '{member}' failed to satisfy constraint: {constraint}")
        })
        .collect();
    let noun = if broken.len() == 1 { "error" } else { "errors" };
    format!("{} validation {noun} detected: {}", broken.len(), broken.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_texts_are_sagemakers() {
        let place = ModelPlace { region: "us-west-2", account: "123456789012", endpoint: "churn", container: None };
        assert_eq!(
            place.model_answered(400, "bad row"),
            "Received client error (400) from primary with message \"bad row\". See \
             https://us-west-2.console.aws.amazon.com/cloudwatch/home?region=us-west-2#logEventViewer:group=/aws/sagemaker/Endpoints/churn \
             in account 123456789012 for more information."
        );
        assert!(
            place
                .model_answered(500, "")
                .starts_with("Received server error (500) from primary with message \"\". See ")
        );
        assert_eq!(
            place.model_timed_out(),
            "Received server error (0) from primary with message \"Your invocation timed out while waiting for a response \
             from container primary. Review the latency metrics for each container in Amazon CloudWatch, resolve the issue, \
             and try again.\""
        );
        let second = ModelPlace { container: Some("container-2"), ..place };
        assert!(
            second
                .model_answered(400, "bad row")
                .starts_with("Received client error (400) from container-2 with message \"bad row\". See ")
        );
        assert!(second.model_timed_out().contains(" from container-2 with message \"Your invocation timed out"));
        assert_eq!(endpoint_not_found("churn", "000000000000"), "Endpoint churn of account 000000000000 not found.");
        assert_eq!(
            place.log_stream_arn(),
            "arn:aws:logs:us-west-2:123456789012:log-group:/aws/sagemaker/Endpoints/churn"
        );
    }

    #[test]
    fn broken_constraints_are_counted_and_joined() {
        let one = ("endpointName", "..", "Member must have length less than or equal to 63".to_owned());
        let two = ("accept", "é", "Member must satisfy regular expression pattern: \\p{ASCII}*".to_owned());
        assert_eq!(
            constraints_broken([one.clone()]),
            "1 validation error detected: Value '..' at 'endpointName' failed to satisfy constraint: Member must have \
             length less than or equal to 63"
        );
        assert_eq!(
            constraints_broken([one, two]),
            "2 validation errors detected: Value '..' at 'endpointName' failed to satisfy constraint: Member must have \
             length less than or equal to 63; Value 'é' at 'accept' failed to satisfy constraint: Member must satisfy \
             regular expression pattern: \\p{ASCII}*"
        );
    }

    #[test]
    fn bodies_carry_only_what_their_error_has() {
        let plain = FaultBody { message: "no", ..FaultBody::default() };
        assert_eq!(plain.to_json(), br#"{"Message":"no"}"#);
        let model = FaultBody {
            error_code: Some("CLIENT_ERROR_FROM_MODEL"),
            log_stream_arn: Some("arn"),
            message: "said \"no\"",
            original_message: Some("no"),
            original_status_code: Some(400),
        };
        assert_eq!(
            String::from_utf8(model.to_json()).unwrap(),
            r#"{"ErrorCode":"CLIENT_ERROR_FROM_MODEL","LogStreamArn":"arn","Message":"said \"no\"","OriginalMessage":"no","OriginalStatusCode":400}"#
        );
    }
}
