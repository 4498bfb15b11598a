//! Rules of deployment configurations beyond the constraints of their members.

use captura_wire::aws_json::Fault;
use captura_wire::hosting::{
    CapacitySize, CapacitySizeType, DeploymentConfig, TrafficRoutingConfig, TrafficRoutingConfigType,
};

use crate::alarms::Alarms;
use crate::deployment::{DeployedVariant, Deployment};
use crate::rollout::Plan;

/// Most of a fleet that a canary may be, per cent.
const CANARY_MAX_PERCENT: i64 = 50;
/// Least and most of a fleet that a linear step may be, per cent.
const LINEAR_STEP_PERCENT: (i64, i64) = (10, 50);
/// Least and most of a fleet that a batch may be, per cent.
const BATCH_PERCENT: (i64, i64) = (5, 50);
/// Least and most of a fleet that a batch on the way back may be, per cent.
const ROLLBACK_BATCH_PERCENT: (i64, i64) = (5, 100);

/// Refuses a configuration that says too little, too much, or the impossible about a move to that deployment.
pub(super) fn refuse_unusable(
    config: &DeploymentConfig,
    deployment: &Deployment,
    alarms: &Alarms,
) -> Result<(), Fault> {
    let variants = deployment.variants.as_slice();
    match (&config.blue_green_update_policy, &config.rolling_update_policy) {
        (Some(_), Some(_)) => {
            return Err(Fault::validation(
                "Give either 'deploymentConfig.blueGreenUpdatePolicy' or 'deploymentConfig.rollingUpdatePolicy', not both.",
            ));
        }
        (Some(policy), None) => refuse_unusable_routing(&policy.traffic_routing_configuration, variants)?,
        (None, Some(policy)) => {
            let at = |member: &str| format!("deploymentConfig.rollingUpdatePolicy.{member}");
            refuse_unusable_size(&at("maximumBatchSize"), policy.maximum_batch_size, variants, BATCH_PERCENT)?;
            if let Some(size) = policy.rollback_maximum_batch_size {
                refuse_unusable_size(&at("rollbackMaximumBatchSize"), size, variants, ROLLBACK_BATCH_PERCENT)?;
            }
        }
        (None, None) => {}
    }
    let plan = Plan::from_config(config, variants);
    if let Some(longest_s) = plan.longest_s.filter(|longest_s| u64::from(*longest_s) <= plan.waits_s()) {
        return Err(Fault::validation(format!(
            "MaximumExecutionTimeoutInSeconds is {longest_s}, but the waits of this deployment alone take {} seconds.",
            plan.waits_s()
        )));
    }
    refuse_missing_alarms(&plan, alarms)
}

fn refuse_unusable_routing(routing: &TrafficRoutingConfig, variants: &[DeployedVariant]) -> Result<(), Fault> {
    let path = "deploymentConfig.blueGreenUpdatePolicy.trafficRoutingConfiguration";
    let at = |member: &str| format!("{path}.{member}");
    let (canary, step) = (routing.canary_size, routing.linear_step_size);
    let (needed, excluded) = match routing.kind {
        TrafficRoutingConfigType::AllAtOnce => (None, [canary.map(|_| "canarySize"), step.map(|_| "linearStepSize")]),
        TrafficRoutingConfigType::Canary => (Some("canarySize"), [step.map(|_| "linearStepSize"), None]),
        TrafficRoutingConfigType::Linear => (Some("linearStepSize"), [canary.map(|_| "canarySize"), None]),
    };
    let word = match routing.kind {
        TrafficRoutingConfigType::AllAtOnce => "ALL_AT_ONCE",
        TrafficRoutingConfigType::Canary => "CANARY",
        TrafficRoutingConfigType::Linear => "LINEAR",
    };
    if let Some(member) = excluded.into_iter().flatten().next() {
        let text = format!("'{}' does not belong to traffic that moves {word}. Leave it out.", at(member));
        return Err(Fault::validation(text));
    }
    match (routing.kind, canary, step) {
        (TrafficRoutingConfigType::AllAtOnce, ..) => Ok(()),
        (TrafficRoutingConfigType::Canary, Some(size), _) => {
            refuse_unusable_size(&at("canarySize"), size, variants, (1, CANARY_MAX_PERCENT))
        }
        (TrafficRoutingConfigType::Linear, _, Some(size)) => {
            refuse_unusable_size(&at("linearStepSize"), size, variants, LINEAR_STEP_PERCENT)
        }
        _ => {
            let text = format!("Traffic that moves {word} needs '{}'.", at(needed.unwrap_or_default()));
            Err(Fault::validation(text))
        }
    }
}

fn refuse_unusable_size(
    path: &str,
    size: CapacitySize,
    variants: &[DeployedVariant],
    (least, most): (i64, i64),
) -> Result<(), Fault> {
    match size.kind {
        CapacitySizeType::CapacityPercent if (least..=most).contains(&size.value) => Ok(()),
        CapacitySizeType::CapacityPercent => Err(Fault::validation(format!(
            "'{path}' is {} per cent of the capacity; between {least} and {most} per cent are allowed.",
            size.value
        ))),
        CapacitySizeType::InstanceCount | CapacitySizeType::CopyCount => {
            let fits =
                |count: i64| count == 0 || (least * count..=most * count).contains(&size.value.saturating_mul(100));
            let Some(variant) = variants.iter().find(|variant| !fits(variant.instance_count)) else { return Ok(()) };
            let of = match size.kind {
                CapacitySizeType::CopyCount => format!("copies of the {}", variant.instance_count),
                _ => format!("instance(s) of the {} of variant {}", variant.instance_count, variant.name),
            };
            Err(Fault::validation(format!(
                "'{path}' is {} {of}; between {least} and {most} per cent of the capacity are allowed.",
                size.value
            )))
        }
    }
}

/// An alarm that does not exist can never turn anything back, so a deployment that relies on it does not begin.
fn refuse_missing_alarms(plan: &Plan, alarms: &Alarms) -> Result<(), Fault> {
    match alarms.missing(&plan.alarms).as_slice() {
        [] => Ok(()),
        missing => Err(Fault::validation(format!(
            "'deploymentConfig.autoRollbackConfiguration.alarms' names alarms that do not exist: {}. Create them first, \
             e.g. with PutMetricAlarm.",
            missing.join(", ")
        ))),
    }
}
