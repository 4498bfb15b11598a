//! The steps in which traffic moves, as a deployment configuration asks for them.
//!
//! Shares of traffic are exact whatever the number of instances: ten per cent of the calls reach a canary of one model
//! too. Sizes in instances are taken variant by variant and become the share of all instances that they are.

use std::collections::BTreeMap;

use captura_names::VariantName;
use captura_wire::hosting::{
    CapacitySize, CapacitySizeType, DeploymentConfig, RollingUpdatePolicy, TrafficRoutingConfig,
    TrafficRoutingConfigType,
};

use crate::deployment::{DeployedVariant, Deployment};

/// Most steps of a plan: a rolling update goes in batches of at least five per cent.
const STEPS_MAX: usize = 20;

/// Instances by variant.
pub(crate) type Capacity = BTreeMap<VariantName, i64>;

/// The way from one deployment to the next.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Plan {
    /// Never empty; the last one moves all traffic.
    pub(crate) steps: Vec<Step>,
    /// Old instances go, and new ones come, batch by batch.
    pub(crate) is_rolling: bool,
    /// Longest time for the whole, seconds.
    pub(crate) longest_s: Option<u32>,
    /// Alarms that turn it back.
    pub(crate) alarms: Vec<String>,
    /// What goes back at a time; everything at once when absent.
    pub(crate) rollback_batch: Option<CapacitySize>,
}

/// One step.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Step {
    /// Share of the traffic that goes to the new fleet.
    pub(crate) share: f32,
    /// What the share is called.
    pub(crate) capacity: &'static str,
    /// How long alarms are looked at, seconds.
    pub(crate) wait_s: u32,
    /// The member that says so.
    pub(crate) wait_member: &'static str,
}

impl Plan {
    /// The way to this deployment.
    pub(crate) fn of(deployment: &Deployment) -> Self {
        let config = deployment.deployment_config.as_ref();
        // Checked when the update was asked for.
        let config = config.and_then(|config| serde_json::from_value::<DeploymentConfig>(config.clone()).ok());
        Self::from_config(&config.unwrap_or_default(), &deployment.variants)
    }

    /// The way to these variants.
    pub(crate) fn from_config(config: &DeploymentConfig, variants: &[DeployedVariant]) -> Self {
        let rollback = config.auto_rollback_configuration.as_ref();
        let alarms = rollback.iter().flat_map(|rollback| &rollback.alarms);
        let alarms = alarms.filter_map(|alarm| alarm.alarm_name.clone()).collect();
        if let Some(rolling) = &config.rolling_update_policy {
            return Self {
                steps: batches(rolling, variants),
                is_rolling: true,
                longest_s: rolling.maximum_execution_timeout_in_seconds,
                alarms,
                rollback_batch: rolling.rollback_maximum_batch_size,
            };
        }
        let policy = config.blue_green_update_policy.as_ref();
        let termination_wait_s = policy.and_then(|policy| policy.termination_wait_in_seconds).unwrap_or(0);
        let mut steps = policy.map(|policy| first_steps(&policy.traffic_routing_configuration, variants));
        let steps_before = steps.get_or_insert_default();
        let last = Step {
            share: 1.0,
            capacity: "full capacity",
            wait_s: termination_wait_s,
            wait_member: "TerminationWaitInSeconds",
        };
        steps_before.push(last);
        Self {
            steps: steps.unwrap_or_default(),
            is_rolling: false,
            longest_s: policy.and_then(|policy| policy.maximum_execution_timeout_in_seconds),
            alarms,
            rollback_batch: None,
        }
    }

    /// All waits together, seconds.
    pub(crate) fn waits_s(&self) -> u64 {
        self.steps.iter().map(|step| u64::from(step.wait_s)).sum()
    }

    /// Instances of the new fleet during a step.
    pub(crate) fn new_capacity(&self, step: usize, new: &Deployment) -> Capacity {
        let share = if self.is_rolling { self.share(step) } else { 1.0 };
        capacity(new, |count| part(count, share))
    }

    /// Instances of the old fleet during a step: what the steps before have not replaced.
    pub(crate) fn old_capacity(&self, step: usize, old: &Deployment) -> Capacity {
        let replaced = match step.checked_sub(1) {
            Some(before) if self.is_rolling => self.share(before),
            _ => 0.0,
        };
        capacity(old, |count| part(count, 1.0 - replaced))
    }

    fn share(&self, step: usize) -> f32 {
        self.steps.get(step).map_or(1.0, |step| step.share)
    }
}

impl Step {
    /// Instances of a variant that have traffic in this step.
    pub(crate) fn instances(&self, count: i64) -> i64 {
        part(count, self.share)
    }
}

/// All instances of a deployment, or what `of` makes of their numbers.
pub(super) fn capacity(deployment: &Deployment, of: impl Fn(i64) -> i64) -> Capacity {
    deployment.all_variants().map(|variant| (variant.name.clone(), of(variant.instance_count))).collect()
}

/// How many instances a size means of a variant with so many; at least one.
pub(super) fn instances_of(size: CapacitySize, count: i64) -> i64 {
    match size.kind {
        CapacitySizeType::InstanceCount | CapacitySizeType::CopyCount => size.value.min(count),
        CapacitySizeType::CapacityPercent => part(count, size.value as f32 / 100.0),
    }
    .max(1)
}

/// A share of a number of instances, rounded up; a dust of rounding does not make one more.
fn part(count: i64, share: f32) -> i64 {
    (count as f64 * f64::from(share) - 1e-4).ceil().max(0.0) as i64
}

fn batches(rolling: &RollingUpdatePolicy, variants: &[DeployedVariant]) -> Vec<Step> {
    let mut steps = shares(rolling.maximum_batch_size, variants);
    steps.push(1.0);
    let step = |share| Step {
        share,
        capacity: "batch capacity",
        wait_s: rolling.wait_interval_in_seconds,
        wait_member: "WaitIntervalInSeconds",
    };
    steps.into_iter().map(step).collect()
}

/// The steps before the last one.
fn first_steps(routing: &TrafficRoutingConfig, variants: &[DeployedVariant]) -> Vec<Step> {
    let (shares, capacity) = match routing.kind {
        TrafficRoutingConfigType::AllAtOnce => (Vec::new(), ""),
        TrafficRoutingConfigType::Canary => {
            let canary = routing.canary_size.map(|size| shares(size, variants)).unwrap_or_default();
            (canary.into_iter().take(1).collect(), "canary capacity")
        }
        TrafficRoutingConfigType::Linear => {
            (routing.linear_step_size.map(|size| shares(size, variants)).unwrap_or_default(), "step capacity")
        }
    };
    let step = |share| Step {
        share,
        capacity,
        wait_s: routing.wait_interval_in_seconds,
        wait_member: "WaitIntervalInSeconds",
    };
    shares.into_iter().map(step).collect()
}

/// Growing shares of traffic in steps of a size, without the last one, which is all of it.
fn shares(size: CapacitySize, variants: &[DeployedVariant]) -> Vec<f32> {
    let all: i64 = variants.iter().map(|variant| variant.instance_count).sum();
    let share = |step: i64| match size.kind {
        CapacitySizeType::CapacityPercent => (size.value * step) as f32 / 100.0,
        CapacitySizeType::InstanceCount | CapacitySizeType::CopyCount => {
            let moved: i64 = variants.iter().map(|variant| variant.instance_count.min(size.value * step)).sum();
            moved as f32 / all.max(1) as f32
        }
    };
    (1..=STEPS_MAX as i64).map(share).take_while(|share| *share < 1.0).collect()
}

#[cfg(test)]
mod tests {
    use captura_names::{EndpointConfigName, Timestamp};
    use serde_json::{Value, json};
    use uuid::Uuid;

    use super::*;

    fn deployment(counts: &[i64], config: &Value) -> Deployment {
        let variant = |(index, count): (usize, &i64)| DeployedVariant {
            name: VariantName::parse(&format!("v{index}")).unwrap(),
            model_name: None,
            model: None,
            weight: 1.0,
            instance_count: *count,
            instance_type: None,
            routing_config: Value::Null,
            load_timeout_s: None,
            serverless: None,
            managed_instance_scaling: None,
        };
        Deployment {
            id: Uuid::nil(),
            config_name: EndpointConfigName::parse("c").unwrap(),
            started_at: Timestamp::from_unix_us(0),
            variants: counts.iter().enumerate().map(variant).collect(),
            shadows: Vec::new(),
            capture: None,
            deployment_config: Some(config.clone()),
            models_of: None,
            async_inference: None,
            metrics_config: Value::Null,
            explainer_config: Value::Null,
        }
    }

    fn blue_green(routing: &Value) -> Value {
        json!({"BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": routing, "TerminationWaitInSeconds": 9}})
    }

    fn told(plan: &Plan) -> Vec<(i64, u32)> {
        plan.steps.iter().map(|step| ((step.share * 1_000.0).round() as i64, step.wait_s)).collect()
    }

    #[test]
    fn without_a_configuration_all_traffic_moves_at_once_and_nothing_waits() {
        assert_eq!(told(&Plan::of(&deployment(&[1], &json!({})))), [(1_000, 0)]);
        let all_at_once = blue_green(&json!({"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 5}));
        assert_eq!(told(&Plan::of(&deployment(&[1], &all_at_once))), [(1_000, 9)]);
    }

    #[test]
    fn a_canary_goes_first_and_the_rest_follows() {
        let canary = |kind: &str, value: i64| {
            blue_green(
                &json!({"Type": "CANARY", "WaitIntervalInSeconds": 5, "CanarySize": {"Type": kind, "Value": value}}),
            )
        };
        assert_eq!(told(&Plan::of(&deployment(&[1], &canary("CAPACITY_PERCENT", 10)))), [(100, 5), (1_000, 9)]);
        assert_eq!(told(&Plan::of(&deployment(&[4, 8], &canary("INSTANCE_COUNT", 2)))), [(333, 5), (1_000, 9)]);
    }

    #[test]
    fn linear_steps_grow_until_all_is_moved() {
        let linear = |kind: &str, value: i64| {
            blue_green(
                &json!({"Type": "LINEAR", "WaitIntervalInSeconds": 5, "LinearStepSize": {"Type": kind, "Value": value}}),
            )
        };
        let percent = Plan::of(&deployment(&[1], &linear("CAPACITY_PERCENT", 30)));
        assert_eq!(told(&percent), [(300, 5), (600, 5), (900, 5), (1_000, 9)]);
        let counted = Plan::of(&deployment(&[4], &linear("INSTANCE_COUNT", 2)));
        assert_eq!(told(&counted), [(500, 5), (1_000, 9)]);
        assert_eq!(counted.new_capacity(0, &deployment(&[4], &json!({}))).into_values().collect::<Vec<_>>(), [4]);
    }

    #[test]
    fn batches_bring_new_instances_while_old_ones_go() {
        let rolling = json!({"RollingUpdatePolicy": {"MaximumBatchSize": {"Type": "INSTANCE_COUNT", "Value": 2},
            "WaitIntervalInSeconds": 3, "MaximumExecutionTimeoutInSeconds": 600}});
        let (new, old) = (deployment(&[5], &rolling), deployment(&[4], &json!({})));
        let plan = Plan::of(&new);
        assert_eq!(told(&plan), [(400, 3), (800, 3), (1_000, 3)]);
        assert_eq!((plan.waits_s(), plan.longest_s), (9, Some(600)));
        let count = |capacity: Capacity| capacity.into_values().next().unwrap();
        assert_eq!([0, 1, 2].map(|step| count(plan.new_capacity(step, &new))), [2, 4, 5]);
        assert_eq!([0, 1, 2].map(|step| count(plan.old_capacity(step, &old))), [4, 3, 1]);
    }
}
