//! What each operation does: validate, write the book, answer.

use captura_wire::autoscaling::{
    DeleteScalingPolicy, Describe, Operation, PutScalingPolicy, RegisterScalableTarget, Tagging, Target,
    TargetTracking, read,
};
use captura_wire::aws_json::{Fault, FaultCode, read_input};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::book::{BookError, Conduct, Policy, Registered};
use crate::paging::page;
use crate::resource::Resource;
use crate::{Inner, Request, keeper, steps};

/// Most policies of one target, as on AWS.
const POLICIES_PER_TARGET_MAX: usize = 50;
/// Most targets.
const TARGETS_MAX: usize = 1_000;
/// Longest name of a policy, characters.
const POLICY_NAME_MAX_LENGTH: usize = 256;
/// Most tags of a target, as on AWS.
const TAGS_MAX: usize = 50;

/// Answers a request, whatever it is.
pub(crate) fn answer(inner: &Inner, request: &Request<'_>) -> Result<Value, Fault> {
    let operation = Operation::from_target(request.target)?;
    let input = read_input(&request.body)?;
    let desk = Desk { inner, region: request.region, input: &input };
    match operation {
        Operation::RegisterScalableTarget => desk.register(),
        Operation::DescribeScalableTargets => desk.describe_targets(),
        Operation::DeregisterScalableTarget => desk.deregister(),
        Operation::PutScalingPolicy => desk.put_policy(),
        Operation::DescribeScalingPolicies => desk.describe_policies(),
        Operation::DeleteScalingPolicy => desk.delete_policy(),
        Operation::DescribeScalingActivities => desk.describe_activities(),
        Operation::ListTagsForResource => desk.list_tags(),
        Operation::TagResource => desk.tag(),
        Operation::UntagResource => desk.untag(),
    }
}

/// Refuses to register what does not exist: it would wait for ever, and nobody would be told of a wrong name.
pub(crate) async fn refuse_absent(inner: &Inner, request: &Request<'_>) -> Result<(), Fault> {
    if !matches!(Operation::from_target(request.target), Ok(Operation::RegisterScalableTarget)) {
        return Ok(());
    }
    let asked: RegisterScalableTarget = read(&read_input(&request.body)?)?;
    let resource = Resource::parse(&asked.target)?;
    let kind = match &resource {
        Resource::Variant { .. } => "variant",
        Resource::Component { .. } => "inference component",
    };
    match (inner.doors.existence)(resource).await {
        Ok(true) => Ok(()),
        Ok(false) => {
            let text = format!("SageMaker {kind} does not exist: {}", asked.target.resource_id);
            Err(Fault::validation(text))
        }
        Err(reason) => {
            tracing::error!(reason, "auto scaling cannot tell what exists");
            Err(Fault::new(FaultCode::InternalFailure, "The resource cannot be looked up; the server's log says why."))
        }
    }
}

struct Desk<'a> {
    inner: &'a Inner,
    region: &'a str,
    input: &'a Map<String, Value>,
}

impl Desk<'_> {
    fn register(&self) -> Result<Value, Fault> {
        let request: RegisterScalableTarget = read(self.input)?;
        Resource::parse(&request.target)?;
        let mut book = self.inner.book();
        let old = book.target(&request.target).cloned();
        if old.is_none() && book.targets().len() >= TARGETS_MAX {
            let text = format!("There are {TARGETS_MAX} scalable targets, which is the most there may be.");
            return Err(Fault::new(FaultCode::LimitExceededException, text));
        }
        let bound = |given: Option<i64>, old: Option<i64>, name: &str| {
            given
                .or(old)
                .ok_or_else(|| Fault::validation(format!("{name} capacity is required for a new scalable target")))
        };
        let min = bound(request.min_capacity, old.as_ref().map(|old| old.min), "Minimum")?;
        let max = bound(request.max_capacity, old.as_ref().map(|old| old.max), "Maximum")?;
        if min < 0 {
            return Err(Fault::validation("Minimum capacity cannot be less than 0"));
        }
        if min > max {
            return Err(Fault::validation("Maximum capacity cannot be less than minimum capacity"));
        }
        if request.tags.len() > TAGS_MAX {
            return Err(Fault::validation(format!("A scalable target has at most {TAGS_MAX} tags")));
        }
        let registered = Registered {
            id: old.as_ref().map_or_else(short_id, |old| old.id.clone()),
            region: old.as_ref().map_or_else(|| self.region.to_owned(), |old| old.region.clone()),
            min,
            max,
            role_arn: request.role_arn.or_else(|| old.as_ref().and_then(|old| old.role_arn.clone())),
            suspended: request.suspended_state.or(old.as_ref().map(|old| old.suspended)).unwrap_or_default(),
            tags: old.as_ref().map_or(request.tags, |old| old.tags.clone()),
            created_us: old.as_ref().map_or_else(|| self.inner.clock.now().unix_us(), |old| old.created_us),
            target: request.target,
        };
        let arn = self.target_arn(&registered);
        book.put_target(registered);
        drop(book);
        save(self.inner)?;
        Ok(json!({ "ScalableTargetARN": arn }))
    }

    fn target_arn(&self, target: &Registered) -> String {
        let account = &self.inner.settings.account;
        format!("arn:aws:application-autoscaling:{}:{account}:scalable-target/{}", target.region, target.id)
    }

    fn describe_targets(&self) -> Result<Value, Fault> {
        let request = self.filters()?;
        let book = self.inner.book();
        let lines = book.targets().iter().filter(|one| is_asked_for(&request, &one.target)).map(|one| {
            let mut line = json!(one.target);
            line["MinCapacity"] = json!(one.min);
            line["MaxCapacity"] = json!(one.max);
            line["RoleARN"] = json!(one.role_arn.clone().unwrap_or_else(|| self.service_role()));
            line["CreationTime"] = json!(captura_names::Timestamp::from_unix_us(one.created_us).unix_seconds());
            line["SuspendedState"] = json!(one.suspended);
            line["ScalableTargetARN"] = json!(self.target_arn(one));
            line
        });
        page("ScalableTargets", lines.collect(), (request.max_results, request.next_token.as_deref()))
    }

    /// The role that AWS makes for itself when a request names none.
    fn service_role(&self) -> String {
        let account = &self.inner.settings.account;
        format!(
            "arn:aws:iam::{account}:role/aws-service-role/sagemaker.application-autoscaling.amazonaws.com/\
             AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint"
        )
    }

    fn filters(&self) -> Result<Describe, Fault> {
        read(self.input)
    }

    fn deregister(&self) -> Result<Value, Fault> {
        let target: Target = read(self.input)?;
        let mut book = self.inner.book();
        if !book.remove_target(&target) {
            return Err(no_target(&target));
        }
        drop(book);
        save(self.inner)?;
        Ok(json!({}))
    }

    fn put_policy(&self) -> Result<Value, Fault> {
        let request: PutScalingPolicy = read(self.input)?;
        let resource = Resource::parse(&request.target)?;
        let length = request.policy_name.chars().count();
        if !(1..=POLICY_NAME_MAX_LENGTH).contains(&length) || request.policy_name.chars().any(char::is_control) {
            return Err(Fault::validation("A policy's name has 1 to 256 printable characters"));
        }
        let conduct = conduct(&resource, &request)?;
        let mut book = self.inner.book();
        let Some(target) = book.target(&request.target).cloned() else { return Err(no_target(&request.target)) };
        let old = book.policy(&request.target, &request.policy_name).cloned();
        let siblings = book.policies().iter().filter(|one| one.target == request.target).count();
        if old.is_none() && siblings >= POLICIES_PER_TARGET_MAX {
            let text = format!("A scalable target has at most {POLICIES_PER_TARGET_MAX} policies.");
            return Err(Fault::new(FaultCode::LimitExceededException, text));
        }
        if old.as_ref().is_some_and(|old| std::mem::discriminant(&old.conduct) != std::mem::discriminant(&conduct)) {
            return Err(Fault::validation("The type of a scaling policy cannot be changed; delete it first"));
        }
        let arn = old.as_ref().map_or_else(
            || {
                format!(
                    "arn:aws:autoscaling:{}:{}:scalingPolicy:{}:resource/sagemaker/{}:policyName/{}",
                    target.region,
                    self.inner.settings.account,
                    Uuid::new_v4(),
                    request.target.resource_id,
                    request.policy_name
                )
            },
            |old| old.arn.clone(),
        );
        book.put_policy(Policy {
            target: request.target,
            name: request.policy_name,
            arn: arn.clone(),
            conduct,
            created_us: old.map_or_else(|| self.inner.clock.now().unix_us(), |old| old.created_us),
        });
        drop(book);
        save(self.inner)?;
        Ok(json!({ "PolicyARN": arn, "Alarms": [] }))
    }

    fn describe_policies(&self) -> Result<Value, Fault> {
        let request = self.filters()?;
        let book = self.inner.book();
        let named = |name: &String| request.policy_names.is_empty() || request.policy_names.contains(name);
        let asked = book.policies().iter().filter(|one| is_asked_for(&request, &one.target) && named(&one.name));
        let lines = asked.map(|one| {
            let mut line = json!(one.target);
            line["PolicyARN"] = json!(one.arn);
            line["PolicyName"] = json!(one.name);
            match &one.conduct {
                Conduct::Steps(steps) => {
                    line["PolicyType"] = json!("StepScaling");
                    line["StepScalingPolicyConfiguration"] = json!(steps);
                }
                Conduct::Tracking(tracking) => {
                    line["PolicyType"] = json!("TargetTrackingScaling");
                    line["TargetTrackingScalingPolicyConfiguration"] = json!(tracking);
                }
            }
            line["Alarms"] = json!([]);
            line["CreationTime"] = json!(captura_names::Timestamp::from_unix_us(one.created_us).unix_seconds());
            line
        });
        page("ScalingPolicies", lines.collect(), (request.max_results, request.next_token.as_deref()))
    }

    fn delete_policy(&self) -> Result<Value, Fault> {
        let request: DeleteScalingPolicy = read(self.input)?;
        let mut book = self.inner.book();
        if !book.remove_policy(&request.target, &request.policy_name) {
            let text = format!(
                "No scaling policy found for service namespace: {}, resource ID: {}, scalable dimension: {}, policy name: {}",
                request.target.service_namespace,
                request.target.resource_id,
                request.target.scalable_dimension,
                request.policy_name
            );
            return Err(Fault::new(FaultCode::ObjectNotFoundException, text));
        }
        drop(book);
        save(self.inner)?;
        Ok(json!({}))
    }

    fn describe_activities(&self) -> Result<Value, Fault> {
        let request = self.filters()?;
        let book = self.inner.book();
        let lines = book.activities().filter(|one| is_asked_for(&request, &one.target)).map(|one| one.view());
        page("ScalingActivities", lines.collect(), (request.max_results, request.next_token.as_deref()))
    }

    fn list_tags(&self) -> Result<Value, Fault> {
        self.with_tags(|target, _| json!({ "Tags": target.tags }))
    }

    fn tag(&self) -> Result<Value, Fault> {
        self.with_tags(|target, request| {
            target.tags.extend(request.tags);
            json!({})
        })
    }

    fn untag(&self) -> Result<Value, Fault> {
        self.with_tags(|target, request| {
            target.tags.retain(|key, _| !request.tag_keys.contains(key));
            json!({})
        })
    }

    fn with_tags(&self, act: impl FnOnce(&mut Registered, Tagging) -> Value) -> Result<Value, Fault> {
        let request: Tagging = read(self.input)?;
        let arn = request.resource_arn.clone();
        let mut book = self.inner.book();
        let found = book.target_of_arn(|target| self.target_arn(target) == arn);
        let target = found.ok_or_else(|| {
            let text = format!("The specified resource doesn't exist: {arn}");
            Fault::new(FaultCode::ResourceNotFoundException, text)
        })?;
        let mut changed = target.clone();
        let output = act(&mut changed, request);
        if changed.tags.len() > TAGS_MAX {
            return Err(Fault::validation(format!("A scalable target has at most {TAGS_MAX} tags")));
        }
        *target = changed;
        drop(book);
        save(self.inner)?;
        Ok(output)
    }
}

fn conduct(resource: &Resource, request: &PutScalingPolicy) -> Result<Conduct, Fault> {
    let kind = request.policy_type.as_deref().unwrap_or("StepScaling");
    match (kind, &request.step_scaling_policy_configuration, &request.target_tracking_scaling_policy_configuration) {
        ("StepScaling", Some(steps), None) => {
            steps::refuse_unusable(steps)?;
            Ok(Conduct::Steps(steps.clone()))
        }
        ("TargetTrackingScaling", None, Some(tracking)) => {
            refuse_unusable(resource, tracking)?;
            Ok(Conduct::Tracking(tracking.clone()))
        }
        ("StepScaling" | "TargetTrackingScaling", ..) => Err(Fault::validation(format!(
            "A policy of type {kind} needs the configuration of that type, and no other"
        ))),
        _ => Err(Fault::validation(format!(
            "captura has policies of type StepScaling and TargetTrackingScaling, not {kind}"
        ))),
    }
}

fn refuse_unusable(resource: &Resource, tracking: &TargetTracking) -> Result<(), Fault> {
    if !(tracking.target_value.is_finite() && tracking.target_value > 0.0) {
        return Err(Fault::validation("TargetValue must be greater than 0"));
    }
    keeper::metric_of(resource, tracking).map(|_| ()).map_err(Fault::validation)
}

fn is_asked_for(request: &Describe, target: &Target) -> bool {
    let id = &target.resource_id;
    request.service_namespace == target.service_namespace
        && (request.resource_ids.is_empty() || request.resource_ids.contains(id))
        && request.resource_id.as_ref().is_none_or(|wanted| wanted == id)
        && request.scalable_dimension.as_ref().is_none_or(|wanted| *wanted == target.scalable_dimension)
}

fn no_target(target: &Target) -> Fault {
    let text = format!(
        "No scalable target found for service namespace: {}, resource ID: {}, scalable dimension: {}",
        target.service_namespace, target.resource_id, target.scalable_dimension
    );
    Fault::new(FaultCode::ObjectNotFoundException, text)
}

fn save(inner: &Inner) -> Result<(), Fault> {
    inner.save().map_err(|error: BookError| {
        tracing::error!(%error, "auto scaling cannot keep what it was asked");
        Fault::new(FaultCode::InternalFailure, "The request could not be kept; the server's log says why.")
    })
}

fn short_id() -> String {
    Uuid::new_v4().simple().to_string()[..20].to_owned()
}
