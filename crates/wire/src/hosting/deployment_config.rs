//! Shapes of how traffic moves to a new configuration.

use serde::Deserialize;

/// How traffic moves to a new configuration.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DeploymentConfig {
    /// New beside old.
    pub blue_green_update_policy: Option<BlueGreenUpdatePolicy>,
    /// Batch by batch.
    pub rolling_update_policy: Option<RollingUpdatePolicy>,
    /// Back to the old one on alarm.
    pub auto_rollback_configuration: Option<AutoRollbackConfig>,
}

/// New beside old.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct BlueGreenUpdatePolicy {
    /// In which steps.
    pub traffic_routing_configuration: TrafficRoutingConfig,
    /// How long the old fleet is kept after all traffic has left it, seconds.
    pub termination_wait_in_seconds: Option<u32>,
    /// Longest time for the whole, seconds.
    pub maximum_execution_timeout_in_seconds: Option<u32>,
}

/// In which steps traffic moves.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct TrafficRoutingConfig {
    /// How.
    #[serde(rename = "Type")]
    pub kind: TrafficRoutingConfigType,
    /// Between two steps, seconds.
    pub wait_interval_in_seconds: u32,
    /// What goes first.
    pub canary_size: Option<CapacitySize>,
    /// What goes at a time.
    pub linear_step_size: Option<CapacitySize>,
}

/// How traffic moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TrafficRoutingConfigType {
    /// In one step.
    AllAtOnce,
    /// A part first, then the rest.
    Canary,
    /// In equal steps.
    Linear,
}

/// A part of a fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CapacitySize {
    /// What is counted.
    #[serde(rename = "Type")]
    pub kind: CapacitySizeType,
    /// How many.
    pub value: i64,
}

/// What the size of a part counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum CapacitySizeType {
    /// Instances.
    InstanceCount,
    /// Copies of an inference component.
    CopyCount,
    /// Per cent of the instances.
    CapacityPercent,
}

/// Batch by batch.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RollingUpdatePolicy {
    /// What goes at a time.
    pub maximum_batch_size: CapacitySize,
    /// After each batch, seconds.
    pub wait_interval_in_seconds: u32,
    /// Longest time for the whole, seconds.
    pub maximum_execution_timeout_in_seconds: Option<u32>,
    /// What goes back at a time; everything at once when absent.
    pub rollback_maximum_batch_size: Option<CapacitySize>,
}

/// Back to the old fleet on alarm.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct AutoRollbackConfig {
    /// Which alarms.
    #[serde(default)]
    pub alarms: Vec<Alarm>,
}

/// An alarm.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Alarm {
    /// Its name.
    pub alarm_name: Option<String>,
}
