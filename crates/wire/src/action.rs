//! What a request asks for, in the words of policies: an operation such as `sagemaker:InvokeEndpoint`, and the resources
//! that it touches.
//!
//! Invariant: a request is read here exactly as the rooms behind the door read it, so that no request is allowed as one
//! thing and carried out as another. What cannot be told apart touches `*`.
//! Refuses to: say whether it may.

use std::borrow::Cow;

use captura_names::{Arn, S3Uri};

use crate::aws_json::{TARGET_HEADER, TARGET_PREFIX, read_input};
use crate::denial::Denial;
use crate::runtime::INPUT_LOCATION;
use crate::sigv4::{Head, S3};

/// Signing name of SageMaker, of both its planes.
pub const SAGEMAKER: &str = "sagemaker";
/// The words before the dot of `X-Amz-Target`, and the signing names that go with them.
const TARGETS: [(&str, &str); 5] = [
    ("SageMaker", SAGEMAKER),
    ("AnyScaleFrontendService", "application-autoscaling"),
    ("GraniteServiceVersion20100801", "monitoring"),
    ("Logs_20140328", "logs"),
    ("AWSEvents", "events"),
];
/// Services that are told apart by the signature alone.
const SERVICES: [&str; 7] = [SAGEMAKER, S3, "sts", "application-autoscaling", "monitoring", "logs", "events"];
/// Those that may be asked in a form.
const IN_FORMS: [&str; 2] = ["sts", "monitoring"];
/// Members of SageMaker's inputs that name resources, and the kind of each.
const NAMED: [(&str, &str); 9] = [
    ("EndpointName", "endpoint"),
    ("EndpointConfigName", "endpoint-config"),
    ("ModelName", "model"),
    ("InferenceComponentName", "inference-component"),
    ("MonitoringScheduleName", "monitoring-schedule"),
    ("ProcessingJobName", "processing-job"),
    ("ResourceArn", ""),
    ("EndpointArn", ""),
    ("ModelArn", ""),
];
/// Operations on job definitions of monitors end so, and the kind of each.
const JOB_DEFINITIONS: [(&str, &str); 4] = [
    ("DataQualityJobDefinition", "data-quality-job-definition"),
    ("ModelQualityJobDefinition", "model-quality-job-definition"),
    ("ModelBiasJobDefinition", "model-bias-job-definition"),
    ("ModelExplainabilityJobDefinition", "model-explainability-job-definition"),
];

/// What policies call services that sign under another name. IAM's word for CloudWatch is not the one in its signatures.
const IN_POLICIES: [(&str, &str); 1] = [("monitoring", "cloudwatch")];

/// Stands for an operation that cannot be read.
const ANY: &str = "*";
const GET_OBJECT: &str = "s3:GetObject";
const COPY_SOURCE: &str = "x-amz-copy-source";

/// One thing that a request touches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// Its ARN; `*` for what has no name.
    pub arn: String,
    /// The ARN ends in `*`, and everything that begins so may be touched.
    pub is_wide: bool,
}

impl Resource {
    fn of(arn: String) -> Self {
        Self { arn, is_wide: false }
    }

    /// What has no name, such as a list.
    fn nameless() -> Self {
        Self { arn: "*".into(), is_wide: false }
    }

    /// Whatever there is.
    fn everything() -> Self {
        Self { arn: "*".into(), is_wide: true }
    }
}

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action {
    /// E.g. `sagemaker:InvokeEndpoint`; `sagemaker:*` where the request names none that can be read here, such as in a
    /// compressed form, and which may then be any.
    pub operation: String,
    /// What it touches; never empty.
    pub resources: Vec<Resource>,
    /// What else it needs, such as reading the source of a copy.
    pub also: Option<(&'static str, Resource)>,
}

/// Where the request is addressed to.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// Signing name of the service in the scope.
    pub service: &'a str,
    /// Region in the scope.
    pub region: &'a str,
    /// The server's account.
    pub account: &'a str,
    /// Names before which a bucket may stand in the `Host` header.
    pub bucket_domains: &'a [String],
}

impl<'a> Place<'a> {
    /// The bucket that stands in a `Host` header.
    fn bucket_of<'h>(&self, host: &'h str) -> Option<&'h str> {
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
        let before = |domain: &'a String| name.strip_suffix(domain.as_str())?.strip_suffix('.');
        self.bucket_domains.iter().find_map(before).filter(|bucket| S3Uri::new(bucket, "").is_ok())
    }
}

impl Action {
    /// Reads it out of a request. The body is `None` where it is passed on as a stream.
    ///
    /// # Errors
    /// When the request is signed for another service than it is for.
    pub fn of(head: &Head<'_>, body: Option<&[u8]>, place: Place<'_>) -> Result<Self, Denial> {
        if let Some(target) = head.all(TARGET_HEADER).next() {
            // Text beyond ASCII is no text behind the door, which then looks elsewhere for an operation.
            return match std::str::from_utf8(target).ok().filter(|target| target.is_ascii()) {
                Some(target) => of_target(target, body.unwrap_or_default(), place),
                None => Ok(named(place.service, ANY, vec![Resource::everything()])),
            };
        }
        let Some(service) = SERVICES.into_iter().find(|service| *service == place.service) else {
            return Err(Denial::ScopeService { expected: SAGEMAKER });
        };
        if head.path.starts_with("/service/") && service != "monitoring" {
            return Err(Denial::ScopeService { expected: "monitoring" });
        }
        Ok(match service {
            SAGEMAKER if head.path == "/" && asks_in_a_form(head, body) => {
                return Err(Denial::ScopeService { expected: "sts" });
            }
            SAGEMAKER => of_path(head, place),
            S3 => of_object(head, place),
            "monitoring" if head.path.starts_with("/service/") => {
                let operation = head.path.rsplit('/').next().unwrap_or_default();
                named(service, operation, vec![Resource::nameless()])
            }
            // They are asked by target alone; without one, the door goes by the path, which is SageMaker's.
            service if !IN_FORMS.contains(&service) => return Err(Denial::ScopeService { expected: SAGEMAKER }),
            service => {
                let action = form_member(head.query.as_bytes(), "Action")
                    .or_else(|| form_member(body.unwrap_or_default(), "Action"));
                named(service, action.as_deref().unwrap_or(ANY), vec![Resource::nameless()])
            }
        })
    }
}

/// Whether a request names its operation as the query protocol does.
fn asks_in_a_form(head: &Head<'_>, body: Option<&[u8]>) -> bool {
    [head.query.as_bytes(), body.unwrap_or_default()].into_iter().any(|form| form_member(form, "Action").is_some())
}

/// The service that a request without a signature is for, as the rooms behind the door tell it. The body is `None` where it
/// is passed on as a stream, which is so for S3 alone.
#[must_use]
pub fn unsigned_service(head: &Head<'_>, body: Option<&[u8]>) -> &'static str {
    if body.is_none() {
        return S3;
    }
    if let Some(target) = head.all(TARGET_HEADER).next() {
        let prefix = target.split(|byte| *byte == b'.').next().unwrap_or_default();
        let known = TARGETS.into_iter().find(|(known, _)| known.as_bytes() == prefix);
        return known.map_or(SAGEMAKER, |(_, service)| service);
    }
    if crate::cloudwatch::is_ours(None, None, head.path) {
        return "monitoring";
    }
    // Who one is may be asked without saying of whom; no other form is read without a signature.
    let forms = [head.query.as_bytes(), body.unwrap_or_default()];
    let action = forms.into_iter().find_map(|form| form_member(form, "Action"));
    if head.path == "/" && action.as_deref() == Some("GetCallerIdentity") { "sts" } else { SAGEMAKER }
}

fn named(service: &str, operation: &str, resources: Vec<Resource>) -> Action {
    let service = IN_POLICIES.into_iter().find(|(signing, _)| *signing == service).map_or(service, |(_, word)| word);
    // The operation goes into an error text; what is longer than any operation names none.
    let operation: String = operation.chars().take(64).collect();
    Action { operation: format!("{service}:{operation}"), resources, also: None }
}

fn of_target(target: &str, body: &[u8], place: Place<'_>) -> Result<Action, Denial> {
    let (prefix, operation) = target.split_once('.').unwrap_or((target, ANY));
    let known = TARGETS.into_iter().find(|(known, _)| *known == prefix);
    let expected = known.map_or(SAGEMAKER, |(_, service)| service);
    if place.service != expected {
        return Err(Denial::ScopeService { expected });
    }
    let resources = if target.starts_with(TARGET_PREFIX) { in_body(operation, body, place) } else { Vec::new() };
    let resources = if resources.is_empty() { vec![Resource::nameless()] } else { resources };
    Ok(named(expected, operation, resources))
}

fn arn(place: Place<'_>, kind: &str, name: &str) -> Resource {
    Resource::of(format!("arn:aws:sagemaker:{}:{}:{kind}/{name}", place.region, place.account))
}

/// The resources that an input of SageMaker's control plane names, at its top.
fn in_body(operation: &str, body: &[u8], place: Place<'_>) -> Vec<Resource> {
    let input = read_input(body).unwrap_or_default();
    // Of which of the four families a job definition is, the operation alone says.
    let family = JOB_DEFINITIONS.into_iter().find(|(family, _)| operation.ends_with(family));
    if let (Some((_, kind)), Some(name)) = (family, input.get("JobDefinitionName").and_then(|name| name.as_str())) {
        return vec![arn(place, kind, name)];
    }
    let of_member = |(member, kind): (&str, &str)| {
        let text = input.get(member)?.as_str()?;
        if !kind.is_empty() {
            return Some(arn(place, kind, text));
        }
        // An ARN has one form; one that is none is refused behind the door, and until then names whatever there is.
        Some(Arn::parse(text).map_or_else(|_| Resource::everything(), |arn| Resource::of(arn.to_string())))
    };
    NAMED.into_iter().filter_map(of_member).collect()
}

/// Operations of the runtime, and captura's own resources.
fn of_path(head: &Head<'_>, place: Place<'_>) -> Action {
    let path = head.path;
    if let Some((endpoint, operation)) = path.strip_prefix("/endpoints/").and_then(|rest| rest.rsplit_once('/')) {
        let operation = match operation {
            "invocations" => "InvokeEndpoint",
            "async-invocations" => "InvokeEndpointAsync",
            "invocations-response-stream" => "InvokeEndpointWithResponseStream",
            other => other,
        };
        let also = if operation == "InvokeEndpointAsync" { input_of(head) } else { None };
        return Action { also, ..named(SAGEMAKER, operation, vec![arn(place, "endpoint", endpoint)]) };
    }
    let schedule = path.strip_prefix("/captura/v1/monitoring-schedules/");
    if let Some(name) = schedule.and_then(|rest| rest.strip_suffix("/executions")) {
        return named("captura", "RunMonitoringSchedule", vec![arn(place, "monitoring-schedule", name)]);
    }
    let operation = match path {
        "/metrics" => "GetMetrics",
        "/captura/v1/ledger" | "/captura/v1/ledger/minutes" => "GetLedger",
        "/captura/v1/erasures" => "Erase",
        "/captura/v1/endpoints" => "ListEndpoints",
        "/captura/v1/consumers" => "ListConsumers",
        "/captura/v1/tail" => {
            let endpoint = form_member(head.query.as_bytes(), "endpoint").filter(|name| !name.is_empty());
            let resource = endpoint.map_or_else(Resource::everything, |name| arn(place, "endpoint", &name));
            return named("captura", "Tail", vec![resource]);
        }
        _ => "Other",
    };
    named("captura", operation, vec![Resource::nameless()])
}

/// The object that an asynchronous call is to read. On AWS the endpoint's role says whether it may be read; there are no
/// roles here, so whoever names an object must be allowed to read it.
fn input_of(head: &Head<'_>) -> Option<(&'static str, Resource)> {
    let mut locations = head.all(INPUT_LOCATION);
    let location = locations.next()?;
    let told = std::str::from_utf8(location).ok().filter(|_| locations.next().is_none());
    let object = told.and_then(|text| S3Uri::parse(text).ok());
    let resource = object.map_or_else(Resource::everything, |object| {
        Resource::of(format!("arn:aws:s3:::{}/{}", object.bucket(), object.key()))
    });
    Some((GET_OBJECT, resource))
}

/// Operations of S3, told by method and path as S3 tells them.
fn of_object(head: &Head<'_>, place: Place<'_>) -> Action {
    let Some(path) = crate::scope::percent_decoded(head.path) else {
        return named(S3, ANY, vec![Resource::everything()]);
    };
    let path = path.strip_prefix('/').unwrap_or(&path);
    let (bucket, key) = match head.text("host").and_then(|host| place.bucket_of(host)) {
        Some(bucket) => (bucket, path),
        None => path.split_once('/').unwrap_or((path, "")),
    };
    // Names of parameters may be escaped too.
    let has = |name: &str| {
        let mut names = head.query.split('&').filter_map(|pair| pair.split('=').next());
        names.any(|found| crate::scope::percent_decoded(found).is_some_and(|found| found == name))
    };
    let in_bucket = |rest: &str| Resource::of(format!("arn:aws:s3:::{bucket}{rest}"));
    if bucket.is_empty() && !key.is_empty() {
        return named(S3, ANY, vec![Resource::everything()]);
    }
    if bucket.is_empty() {
        return named(S3, "ListAllMyBuckets", vec![Resource::nameless()]);
    }
    if key.is_empty() {
        let deletes = head.method == "POST" && has("delete");
        let operation = match head.method {
            "GET" | "HEAD" => "ListBucket",
            "PUT" => "CreateBucket",
            "DELETE" => "DeleteBucket",
            "POST" if deletes => "DeleteObject",
            _ => "PutObject",
        };
        // A form or a list of keys may name any object of the bucket.
        let resource =
            if head.method == "POST" { Resource { is_wide: true, ..in_bucket("/*") } } else { in_bucket("") };
        return named(S3, operation, vec![resource]);
    }
    let operation = match head.method {
        "GET" | "HEAD" => "GetObject",
        "DELETE" if has("uploadId") => "AbortMultipartUpload",
        "DELETE" => "DeleteObject",
        _ => "PutObject",
    };
    let mut action = named(S3, operation, vec![in_bucket(&format!("/{key}"))]);
    // A presigned address carries in its query what else stands in headers.
    let of_query = || {
        let pairs = head.query.split('&').filter_map(|pair| pair.split_once('='));
        let decoded = pairs.filter_map(|(name, value)| Some((crate::scope::percent_decoded(name)?, value)));
        let mut sources = decoded.filter(|(name, _)| name.eq_ignore_ascii_case(COPY_SOURCE));
        sources.next().map(|(_, value)| crate::scope::percent_decoded(value).unwrap_or_default())
    };
    let of_header = head.all(COPY_SOURCE).next().map(String::from_utf8_lossy);
    if let Some(source) = of_header.or_else(of_query) {
        let source = source.split('?').next().unwrap_or_default();
        let source = crate::scope::percent_decoded(source).map_or_else(|| "*".to_owned(), Cow::into_owned);
        action.also = Some((GET_OBJECT, Resource::of(format!("arn:aws:s3:::{}", source.trim_start_matches('/')))));
    }
    action
}

/// A member of `a=b&c=d`, unescaped; the first, as the rooms behind the door read it.
#[must_use]
pub fn form_member(form: &[u8], name: &str) -> Option<String> {
    let form = std::str::from_utf8(form).ok()?;
    let value = form.split('&').filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name)?.1;
    crate::scope::percent_decoded(&value.replace('+', " ")).map(Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn action(
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &str,
        service: &str,
    ) -> Result<Action, Denial> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let headers = headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
        let place =
            Place { service, region: "eu-west-1", account: "000000000000", bucket_domains: &["localhost".to_owned()] };
        Action::of(&Head { method, path, query, headers }, Some(body.as_bytes()), place)
    }

    fn told(action: Result<Action, Denial>) -> String {
        let action = action.unwrap();
        let resources: Vec<&str> = action.resources.iter().map(|resource| resource.arn.as_str()).collect();
        format!("{} {}", action.operation, resources.join(" "))
    }

    #[test]
    fn the_operation_and_what_it_touches_are_read_as_the_rooms_behind_read_them() {
        let create = [("x-amz-target", "SageMaker.CreateEndpoint")];
        let alarms = [("x-amz-target", "GraniteServiceVersion20100801.DeleteAlarms")];
        let input = r#"{"EndpointName":"a","EndpointName":"churn","EndpointConfigName":"churn-1"}"#;
        let arn = "arn:aws:sagemaker:eu-west-1:000000000000";
        for (found, expected) in [
            (
                action("POST", "/", &create, input, "sagemaker"),
                format!("sagemaker:CreateEndpoint {arn}:endpoint/churn {arn}:endpoint-config/churn-1"),
            ),
            (
                action("POST", "/", &[("x-amz-target", "SageMaker.ListModels")], "{}", "sagemaker"),
                "sagemaker:ListModels *".to_owned(),
            ),
            (
                action("POST", "/endpoints/churn/invocations", &[], "1", "sagemaker"),
                format!("sagemaker:InvokeEndpoint {arn}:endpoint/churn"),
            ),
            (
                action("GET", "/captura/v1/tail?endpoint=e", &[], "", "sagemaker"),
                format!("captura:Tail {arn}:endpoint/e"),
            ),
            (action("GET", "/captura/v1/ledger", &[], "", "sagemaker"), "captura:GetLedger *".to_owned()),
            (action("GET", "/captura/v1/consumers", &[], "", "sagemaker"), "captura:ListConsumers *".to_owned()),
            (action("POST", "/captura/v1/erasures", &[], "{}", "sagemaker"), "captura:Erase *".to_owned()),
            (
                action("POST", "/captura/v1/monitoring-schedules/s/executions", &[], "", "sagemaker"),
                format!("captura:RunMonitoringSchedule {arn}:monitoring-schedule/s"),
            ),
            (
                action(
                    "POST",
                    "/",
                    &[("x-amz-target", "SageMaker.DeleteModelBiasJobDefinition")],
                    r#"{"JobDefinitionName":"d"}"#,
                    "sagemaker",
                ),
                format!("sagemaker:DeleteModelBiasJobDefinition {arn}:model-bias-job-definition/d"),
            ),
            (action("GET", "/metrics", &[], "", "sagemaker"), "captura:GetMetrics *".to_owned()),
            (action("POST", "/", &[], "\u{1f}\u{8b}", "monitoring"), "cloudwatch:* *".to_owned()),
            (action("POST", "/", &alarms, "{}", "monitoring"), "cloudwatch:DeleteAlarms *".to_owned()),
            (action("POST", "/", &[], "Action=DeleteAlarms", "monitoring"), "cloudwatch:DeleteAlarms *".to_owned()),
            (action("POST", "/", &[], "Action=GetCallerIdentity", "sts"), "sts:GetCallerIdentity *".to_owned()),
            (action("GET", "/b/k%20x/y", &[], "", "s3"), "s3:GetObject arn:aws:s3:::b/k x/y".to_owned()),
            (action("PUT", "/b", &[], "", "s3"), "s3:CreateBucket arn:aws:s3:::b".to_owned()),
            (action("POST", "/b?delete", &[], "", "s3"), "s3:DeleteObject arn:aws:s3:::b/*".to_owned()),
            (action("POST", "/b?%64elete", &[], "", "s3"), "s3:DeleteObject arn:aws:s3:::b/*".to_owned()),
            (action("GET", "/", &[], "", "s3"), "s3:ListAllMyBuckets *".to_owned()),
            (action("GET", "//b/k", &[], "", "s3"), "s3:* *".to_owned()),
            (
                action("GET", "/other/k", &[("host", "captures.localhost:8080")], "", "s3"),
                "s3:GetObject arn:aws:s3:::captures/other/k".to_owned(),
            ),
            (
                action("GET", "/captures/k", &[("host", "localhost:8080")], "", "s3"),
                "s3:GetObject arn:aws:s3:::captures/k".to_owned(),
            ),
        ] {
            assert_eq!(told(found), expected);
        }
        let copy = action("PUT", "/b/k", &[("x-amz-copy-source", "/secret/a%20b")], "", "s3").unwrap();
        assert_eq!(copy.also.unwrap().1.arn, "arn:aws:s3:::secret/a b");
        let input = |locations: &[&str]| {
            let headers: Vec<_> =
                locations.iter().map(|location| ("x-amzn-sagemaker-inputlocation", *location)).collect();
            action("POST", "/endpoints/churn/async-invocations", &headers, "", "sagemaker").unwrap().also
        };
        assert_eq!(input(&[]), None, "the payload comes with the call");
        let object = Resource { arn: "arn:aws:s3:::inputs/a b.csv".into(), is_wide: false };
        assert_eq!(input(&["s3://inputs/a b.csv"]), Some(("s3:GetObject", object)));
        for unclear in [&["s3://inputs/a", "s3://secret/a"][..], &["https://inputs/a"]] {
            assert_eq!(input(unclear).unwrap().1, Resource::everything(), "{unclear:?}");
        }
        let copy = action("PUT", "/b/k?X-Amz-Copy-Source=secret%2Fa", &[], "", "s3").unwrap();
        assert_eq!(copy.also.unwrap().1.arn, "arn:aws:s3:::secret/a", "as a presigned address has it");
    }

    #[test]
    fn a_request_signed_for_one_service_is_not_carried_out_by_another() {
        let target = [("x-amz-target", "SageMaker.DeleteEndpoint")];
        for service in ["s3", "sts", "monitoring", "lambda"] {
            assert_eq!(
                action("POST", "/", &target, "{}", service),
                Err(Denial::ScopeService { expected: "sagemaker" }),
                "{service}"
            );
        }
        let form = action("POST", "/", &[], "Action=PutMetricData", "sagemaker");
        assert_eq!(form, Err(Denial::ScopeService { expected: "sts" }));
        let rpc = action("POST", "/service/GraniteServiceVersion20100801/operation/PutMetricData", &[], "", "sts");
        assert_eq!(rpc, Err(Denial::ScopeService { expected: "monitoring" }));
        assert_eq!(action("GET", "/", &[], "", "lambda"), Err(Denial::ScopeService { expected: "sagemaker" }));
        for service in ["logs", "events", "application-autoscaling"] {
            let tail = action("GET", "/captura/v1/tail?Action=DescribeLogGroups", &[], "", service);
            assert_eq!(tail, Err(Denial::ScopeService { expected: "sagemaker" }), "{service}");
        }
        // Behind the door this is no target, and the form is read.
        let target = [("x-amz-target", "GraniteServiceVersion20100801.ListMetrics\u{e9}")];
        let form = action("POST", "/", &target, "Action=DeleteAlarms", "monitoring");
        assert_eq!(told(form), "cloudwatch:* *");
    }
}
