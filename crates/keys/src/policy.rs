//! What a key may do: which operations on which resources.
//!
//! ```json
//! {"allow":[{"operations":["sagemaker:InvokeEndpoint"],"resources":["churn-*"]}],"deny":[]}
//! ```
//!
//! A resource is an ARN (`arn:aws:sagemaker:*:*:endpoint/churn-*`) or the name at its end (`churn-*`; for S3
//! `bucket/prefix/*`). Both may hold `*` and `?`.
//!
//! Invariant: what no rule allows is refused, and a denial wins over every allowance. A request that touches several
//! things needs all of them. A rule that could never be about a request is not taken: a denial that denies nothing would
//! be believed.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use captura_wire::action::{Action, Resource};
use serde::{Deserialize, Serialize};

use crate::glob;

/// Most rules in a policy.
const RULES_MAX: usize = 256;
/// Longest pattern, bytes.
const PATTERN_MAX_BYTES: usize = 1_024;

/// What a key may do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// What is allowed.
    pub allow: Vec<Rule>,
    /// What is refused all the same.
    #[serde(default)]
    pub deny: Vec<Rule>,
}

/// Operations on resources: each of these on each of those.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// E.g. `sagemaker:InvokeEndpoint`, `sagemaker:Describe*`, `*`.
    pub operations: Vec<String>,
    /// E.g. `churn-*`, `arn:aws:sagemaker:*:*:endpoint/churn`, `*`.
    #[serde(default = "everything")]
    pub resources: Vec<String>,
}

fn everything() -> Vec<String> {
    vec!["*".into()]
}

/// Everything, for those who say nothing else.
impl Default for Policy {
    fn default() -> Self {
        Self { allow: vec![Rule { operations: everything(), resources: everything() }], deny: Vec::new() }
    }
}

/// Services whose requests are told by what they touch, in IAM's words.
const WITH_RESOURCES: [&str; 3] = ["sagemaker", "s3", "captura"];
/// Services of which a policy sees the operation alone.
const WITHOUT_RESOURCES: [&str; 5] = ["cloudwatch", "logs", "application-autoscaling", "sts", "events"];
/// The name by which CloudWatch's requests are signed, which keys of before may have in their policies.
const SIGNED_AS: &str = "monitoring:";
const IN_POLICIES: &str = "cloudwatch:";

/// The text is no rule, or the rule could never be about a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRule {
    /// It is written in another way.
    #[error("{0:?} is no OPERATION[:RESOURCE] like sagemaker:InvokeEndpoint:churn-*, s3:GetObject:captures/* or *")]
    Form(String),
    /// The service of the operation is not one that captura has.
    #[error("{0:?} is an operation of no service here; the services are {services}", services = services())]
    Service(String),
    /// It is limited to resources, and requests of this service do not tell theirs.
    #[error(
        "the rule on {0:?} names a resource, and of {0:?} policies see the operation alone; leave the resource out"
    )]
    Resource(String),
}

fn services() -> String {
    [&WITH_RESOURCES[..], &WITHOUT_RESOURCES].concat().join(", ")
}

/// `sagemaker:InvokeEndpoint`, `sagemaker:InvokeEndpoint:churn-*`, `*`, `*:churn`.
impl FromStr for Rule {
    type Err = InvalidRule;

    fn from_str(text: &str) -> Result<Self, InvalidRule> {
        let invalid = || InvalidRule::Form(text.to_owned());
        let is_word = |word: &str| {
            !word.is_empty() && word.chars().all(|letter| letter.is_ascii_alphanumeric() || "*?-".contains(letter))
        };
        let (first, rest) = text.split_once(':').map_or((text, None), |(first, rest)| (first, Some(rest)));
        let (operation, resource) = if first == "*" {
            ("*".to_owned(), rest)
        } else {
            let rest = rest.ok_or_else(invalid)?;
            let (name, resource) = rest.split_once(':').map_or((rest, None), |(name, rest)| (name, Some(rest)));
            if !is_word(first) || !is_word(name) {
                return Err(invalid());
            }
            (format!("{first}:{name}"), resource)
        };
        let resource = resource.unwrap_or("*");
        if resource.is_empty() || resource.len() > PATTERN_MAX_BYTES || resource.chars().any(char::is_control) {
            return Err(invalid());
        }
        let rule = Self { operations: vec![operation], resources: vec![resource.to_owned()] };
        rule.check()?;
        Ok(rule)
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {}", self.operations.join(", "), self.resources.join(", "))
    }
}

/// Who one is may be asked with every key, as on AWS.
const ALWAYS_ALLOWED: &str = "sts:GetCallerIdentity";

/// Why something is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refusal<'a> {
    pub(crate) operation: &'a str,
    pub(crate) resource: &'a str,
    pub(crate) explicit: bool,
}

impl Policy {
    /// Holds every rule against the services that there are.
    ///
    /// # Errors
    /// When a rule could never be about a request.
    pub fn check(&self) -> Result<(), InvalidRule> {
        self.allow.iter().chain(&self.deny).try_for_each(Rule::check)
    }

    /// Whether it is small enough to be held against every request.
    #[must_use]
    pub fn is_bounded(&self) -> bool {
        let mut rules = self.allow.iter().chain(&self.deny);
        self.allow.len() + self.deny.len() <= RULES_MAX
            && rules.all(|rule| {
                let mut patterns = rule.operations.iter().chain(&rule.resources);
                rule.operations.len() + rule.resources.len() <= RULES_MAX
                    && patterns.all(|pattern| pattern.len() <= PATTERN_MAX_BYTES)
            })
    }

    /// Invoking every endpoint, and nothing else: for callers of whom no more is said.
    #[must_use]
    pub fn invocations() -> Self {
        let rule = Rule { operations: vec!["sagemaker:InvokeEndpoint*".into()], resources: everything() };
        Self { allow: vec![rule], deny: Vec::new() }
    }

    /// The first thing about a request that these policies together refuse: none allows it, or one of them forbids it.
    pub(crate) fn refusal<'a>(policies: &[&Self], action: &'a Action) -> Option<Refusal<'a>> {
        if action.operation == ALWAYS_ALLOWED {
            return None;
        }
        let asked = action.resources.iter().map(|resource| (action.operation.as_str(), resource));
        let mut asked = asked.chain(action.also.as_ref().map(|(operation, resource)| (*operation, resource)));
        asked.find_map(|(operation, resource)| {
            let (allow, deny) = (policies.iter().flat_map(|one| &one.allow), policies.iter().flat_map(|one| &one.deny));
            let explicit = { deny }.any(|rule| rule.denies(operation, resource));
            let refused = explicit || !{ allow }.any(|rule| rule.allows(operation, resource));
            refused.then_some(Refusal { operation, resource: &resource.arn, explicit })
        })
    }
}

impl Rule {
    fn check(&self) -> Result<(), InvalidRule> {
        let limited = !self.resources.iter().any(|pattern| pattern == "*");
        self.operations.iter().try_for_each(|pattern| {
            let operation = in_words_of_policies(pattern);
            let service = operation.split(':').next().unwrap_or_default();
            let fits = |known: &&str| glob::matches(service, known);
            match (WITH_RESOURCES.iter().any(fits), WITHOUT_RESOURCES.iter().any(fits)) {
                (false, false) => Err(InvalidRule::Service(pattern.clone())),
                (false, true) if limited => Err(InvalidRule::Resource(pattern.clone())),
                _ => Ok(()),
            }
        })
    }

    /// `any` says when a pattern fits an operation that could not be read.
    fn is_about(&self, operation: &str, any: fn(&str, &str) -> bool) -> bool {
        // IAM overlooks case in the names of operations.
        let operation = operation.to_ascii_lowercase();
        let fits = |pattern: &str| match operation.strip_suffix('*') {
            Some(start) => any(pattern, start),
            None => glob::matches(pattern, &operation),
        };
        self.operations.iter().any(|pattern| fits(&in_words_of_policies(pattern)))
    }

    fn allows(&self, operation: &str, resource: &Resource) -> bool {
        let fits = |pattern: &str, text: &str| match text.strip_suffix('*') {
            Some(start) if resource.is_wide => glob::covers(pattern, start),
            _ => glob::matches(pattern, text),
        };
        let about = self.is_about(operation, glob::covers);
        about && self.resources.iter().any(|pattern| on(pattern, &resource.arn, fits))
    }

    fn denies(&self, operation: &str, resource: &Resource) -> bool {
        let fits = |pattern: &str, text: &str| match text.strip_suffix('*') {
            Some(start) if resource.is_wide => glob::touches(pattern, start),
            _ => glob::matches(pattern, text),
        };
        let about = self.is_about(operation, glob::touches);
        about && self.resources.iter().any(|pattern| on(&in_any_region(pattern), &resource.arn, fits))
    }
}

/// A pattern of operations, in small letters and under IAM's name of the service.
fn in_words_of_policies(pattern: &str) -> String {
    let pattern = pattern.to_ascii_lowercase();
    match pattern.strip_prefix(SIGNED_AS) {
        Some(operation) => format!("{IN_POLICIES}{operation}"),
        None => pattern,
    }
}

/// Holds a pattern against an ARN or the name at its end. SageMaker's names are the same in either case; keys of S3 are
/// not.
fn on(pattern: &str, arn: &str, fits: impl Fn(&str, &str) -> bool) -> bool {
    let text = if pattern.starts_with("arn:") { arn } else { name_of(arn) };
    if arn.starts_with("arn:aws:sagemaker:") {
        let folded = |text: &str| Cow::<str>::Owned(text.to_ascii_lowercase());
        return fits(&folded(pattern), &folded(text));
    }
    fits(pattern, text)
}

/// A resource is the same in every region, and callers choose which one they sign for: what is denied is denied in all.
fn in_any_region(pattern: &str) -> Cow<'_, str> {
    let mut parts: Vec<&str> = pattern.splitn(6, ':').collect();
    match parts.as_mut_slice() {
        ["arn", _, "sagemaker", region, _, _] => *region = "*",
        _ => return Cow::Borrowed(pattern),
    }
    Cow::Owned(parts.join(":"))
}

/// `churn` of `arn:aws:sagemaker:…:endpoint/churn`, `bucket/key` of `arn:aws:s3:::bucket/key`.
fn name_of(arn: &str) -> &str {
    let Some(rest) = arn.splitn(6, ':').nth(5) else { return arn };
    if arn.starts_with("arn:aws:s3:") { rest } else { rest.split_once('/').map_or(rest, |(_, name)| name) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn action(operation: &str, arn: &str) -> Action {
        Action {
            operation: operation.into(),
            resources: vec![Resource { arn: arn.into(), is_wide: false }],
            also: None,
        }
    }

    fn policy(allow: &[&str], deny: &[&str]) -> Policy {
        let rules = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        Policy { allow: rules(allow), deny: rules(deny) }
    }

    fn is_allowed(policy: &Policy, operation: &str, arn: &str) -> bool {
        Policy::refusal(&[policy], &action(operation, arn)).is_none()
    }

    const CHURN: &str = "arn:aws:sagemaker:eu-west-1:000000000000:endpoint/churn";

    #[test]
    fn a_rule_is_written_as_operation_and_resource() {
        for (text, operation, resource) in [
            ("*", "*", "*"),
            ("*:churn", "*", "churn"),
            ("sagemaker:InvokeEndpoint", "sagemaker:InvokeEndpoint", "*"),
            ("sagemaker:Describe*:churn-?", "sagemaker:Describe*", "churn-?"),
            ("s3:GetObject:arn:aws:s3:::b/*", "s3:GetObject", "arn:aws:s3:::b/*"),
        ] {
            let rule: Rule = text.parse().unwrap();
            assert_eq!((rule.operations[0].as_str(), rule.resources[0].as_str()), (operation, resource), "{text}");
        }
        for bad in ["", "sagemaker", ":x", "sagemaker:", "sagemaker:a b", "s3:Get:", "s3:Get:a\nb"] {
            assert_eq!(bad.parse::<Rule>(), Err(InvalidRule::Form(bad.into())), "{bad:?}");
        }
    }

    #[test]
    fn a_rule_that_could_never_be_about_a_request_is_refused() {
        for bad in ["cloudwach:PutMetricAlarm", "dynamodb:*", "autoscaling:*:x"] {
            let operation = bad.rsplit_once(":x").map_or(bad, |(operation, _)| operation);
            assert_eq!(bad.parse::<Rule>(), Err(InvalidRule::Service(operation.into())), "{bad}");
        }
        for bad in ["logs:DeleteLogGroup:/aws/*", "cloudwatch:*:prod-*", "monitoring:*:prod-*"] {
            let operation = bad.rsplit_once(':').unwrap().0;
            assert_eq!(bad.parse::<Rule>(), Err(InvalidRule::Resource(operation.into())), "{bad}");
        }
        for good in ["logs:*:*", "s*:Get*:b/*", "*:prod-*", "Captura:Tail:churn", "events:*", "STS:*"] {
            assert!(good.parse::<Rule>().is_ok(), "{good}");
        }
        let file = r#"{"allow":[{"operations":["*"]}],"deny":[{"operations":["cloudwach:*"]}]}"#;
        let policy: Policy = serde_json::from_str(file).unwrap();
        assert_eq!(policy.check(), Err(InvalidRule::Service("cloudwach:*".into())));
    }

    #[test]
    fn the_name_by_which_cloudwatch_signs_stands_for_its_name_in_policies() {
        for name in ["cloudwatch", "monitoring", "CloudWatch"] {
            let denied = policy(&["*"], &[&format!("{name}:PutMetricAlarm")]);
            assert!(!is_allowed(&denied, "cloudwatch:PutMetricAlarm", "*"), "{name}");
            assert!(is_allowed(&denied, "cloudwatch:PutMetricData", "*"), "{name}");
            assert!(is_allowed(&policy(&[&format!("{name}:*")], &[]), "cloudwatch:ListMetrics", "*"), "{name}");
        }
    }

    #[test]
    fn nothing_is_allowed_but_what_a_rule_allows_and_a_denial_wins() {
        assert!(is_allowed(&Policy::default(), "sagemaker:DeleteEndpoint", CHURN));
        let limited = policy(&["sagemaker:InvokeEndpoint:churn*"], &["*:churn-secret"]);
        assert!(is_allowed(&limited, "sagemaker:InvokeEndpoint", CHURN));
        assert!(is_allowed(&limited, "sagemaker:invokeendpoint", CHURN));
        assert!(!is_allowed(&limited, "sagemaker:InvokeEndpointAsync", CHURN));
        assert!(!is_allowed(
            &limited,
            "sagemaker:InvokeEndpoint",
            "arn:aws:sagemaker:eu-west-1:000000000000:endpoint/x"
        ));
        let secret =
            action("sagemaker:InvokeEndpoint", "arn:aws:sagemaker:eu-west-1:000000000000:endpoint/Churn-Secret");
        assert!(
            Policy::refusal(&[&limited], &secret).unwrap().explicit,
            "SageMaker's names are the same in either case"
        );
        assert!(!is_allowed(&policy(&[], &[]), "sagemaker:ListModels", "*"));
        assert!(is_allowed(&policy(&[], &["*"]), "sts:GetCallerIdentity", "*"), "as on AWS");
        assert!(!is_allowed(&limited, "sagemaker:InvokeEndpoint", "*"), "a name is not everything");
        assert!(is_allowed(&policy(&["sagemaker:List*"], &[]), "sagemaker:ListModels", "*"));
        let arn = policy(&["sagemaker:*:arn:aws:sagemaker:eu-west-1:*:endpoint/churn"], &[]);
        assert!(is_allowed(&arn, "sagemaker:DeleteEndpoint", CHURN));
        assert!(!is_allowed(&arn, "sagemaker:DeleteEndpoint", &CHURN.replace("eu-west-1", "us-east-1")));
        let keys = policy(&["s3:*:b/data/*"], &[]);
        assert!(is_allowed(&keys, "s3:GetObject", "arn:aws:s3:::b/data/x/y"));
        assert!(!is_allowed(&keys, "s3:GetObject", "arn:aws:s3:::b/Data/x"), "keys of S3 are not");
    }

    #[test]
    fn what_touches_several_things_needs_all_of_them() {
        let limited = policy(&["s3:PutObject:b/*", "s3:GetObject:b/*"], &[]);
        let source = |arn: &str| Some(("s3:GetObject", Resource { arn: arn.into(), is_wide: false }));
        let mut copy = action("s3:PutObject", "arn:aws:s3:::b/k");
        copy.also = source("arn:aws:s3:::b/other");
        assert_eq!(Policy::refusal(&[&limited], &copy), None);
        copy.also = source("arn:aws:s3:::secret/k");
        assert_eq!(Policy::refusal(&[&limited], &copy).unwrap().operation, "s3:GetObject");

        let wide = |arn: &str| Action {
            operation: "s3:DeleteObject".into(),
            resources: vec![Resource { arn: arn.into(), is_wide: true }],
            also: None,
        };
        assert_eq!(Policy::refusal(&[&policy(&["s3:*:b/*"], &[])], &wide("arn:aws:s3:::b/*")), None);
        assert!(Policy::refusal(&[&policy(&["s3:*:b/data/*"], &[])], &wide("arn:aws:s3:::b/*")).is_some());
        assert!(Policy::refusal(&[&policy(&["*"], &["s3:*:b/keep/*"])], &wide("arn:aws:s3:::b/*")).unwrap().explicit);
    }

    #[test]
    fn an_operation_that_cannot_be_read_may_be_any() {
        assert!(is_allowed(&policy(&["cloudwatch:*"], &[]), "cloudwatch:*", "*"));
        assert!(!is_allowed(&policy(&["cloudwatch:Put*"], &[]), "cloudwatch:*", "*"));
        assert!(!is_allowed(&policy(&["*"], &["cloudwatch:PutMetricAlarm"]), "cloudwatch:*", "*"));
        assert!(is_allowed(&policy(&["*"], &["sagemaker:*"]), "cloudwatch:*", "*"));
    }

    #[test]
    fn an_unknown_member_of_a_policy_is_refused() {
        let text = r#"{"allow":[{"operations":["*"]}],"effect":"Deny"}"#;
        assert!(serde_json::from_str::<Policy>(text).is_err());
        let policy: Policy = serde_json::from_str(r#"{"allow":[{"operations":["*"]}]}"#).unwrap();
        assert_eq!(policy, Policy::default());
    }

    #[test]
    fn what_is_denied_in_one_region_is_denied_in_all() {
        let churn = "arn:aws:sagemaker:us-east-1:000000000000:endpoint/churn";
        let limited = Policy {
            allow: vec!["*".parse().unwrap()],
            deny: vec![Rule { operations: vec!["sagemaker:DeleteEndpoint".into()], resources: vec![churn.into()] }],
        };
        for (arn, denied) in [
            (churn, true),
            ("arn:aws:sagemaker:eu-west-1:000000000000:endpoint/churn", true),
            ("arn:aws:sagemaker:eu-west-1:000000000000:endpoint/other", false),
        ] {
            assert_eq!(
                Policy::refusal(&[&limited], &action("sagemaker:DeleteEndpoint", arn)).is_some(),
                denied,
                "{arn}"
            );
        }
    }
}
