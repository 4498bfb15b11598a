//! Lets the instances of variants under ManagedInstanceScaling follow what the copies of their inference components need.
//!
//! As many instances as the copies need together, in cores, memory and accelerators, whichever needs most; within
//! MinInstanceCount and MaxInstanceCount. An instance whose type is not understood holds every copy. On this one machine
//! the count is told and bounds nothing; it is there so that what reads it on AWS reads the same here.
//!
//! Invariant: only an endpoint in service is changed, and it stays in service.

use std::sync::Arc;

use captura_names::Timestamp;
use captura_route::Clock;
use captura_wire::hosting::EndpointStatus;
use serde_json::Value;
use tokio::sync::Notify;

use crate::catalog::{Catalog, CatalogError, ComponentRow, EndpointRow, StateChange, Work};
use crate::deployment::{DeployedVariant, Deployment};
use crate::instance_type::{Holds, holds};

/// Fewest instances, where nothing is said.
const MIN_INSTANCE_COUNT: i64 = 1;

/// The reconciler of managed instances.
pub(crate) struct InstanceReconciler {
    pub(crate) catalog: Catalog,
    pub(crate) clock: Clock,
    pub(crate) nudge: Arc<Notify>,
}

impl InstanceReconciler {
    /// One pass.
    pub(crate) async fn reconcile(&self) -> Result<(), CatalogError> {
        let at = Timestamp::from_unix_us(self.clock.now().unix_us() / 1_000 * 1_000);
        let pass = move |work: &Work<'_>| {
            let (components, mut changed) = (work.components()?, false);
            for row in work.endpoints()? {
                if let Some(current) = scaled(&row, &components) {
                    changed |= work.change_endpoint(&StateChange::scaled(row, current, at))?;
                }
            }
            Ok::<_, CatalogError>(changed)
        };
        if self.catalog.run(pass).await? {
            self.nudge.notify_one();
        }
        Ok(())
    }
}

/// What is in service with the instances that it needs; nothing when it has them.
fn scaled(row: &EndpointRow, components: &[ComponentRow]) -> Option<Deployment> {
    let mut current = row.current.clone().filter(|_| row.status == EndpointStatus::InService)?;
    let mine = |variant: &DeployedVariant| {
        let (endpoint, name) = (row.name.as_str(), variant.name.clone());
        components.iter().filter(move |one| {
            one.endpoint.as_str().eq_ignore_ascii_case(endpoint)
                && one.variant == name
                && one.state.status != EndpointStatus::Deleting
        })
    };
    let mut is_news = false;
    for variant in &mut current.variants {
        if let Some(count) = wanted(variant, mine(variant)) {
            is_news |= count != variant.instance_count;
            variant.instance_count = count;
        }
    }
    is_news.then_some(current)
}

/// Instances of a variant that is scaled for its components.
fn wanted<'a>(variant: &DeployedVariant, components: impl Iterator<Item = &'a ComponentRow>) -> Option<i64> {
    let scaling = variant.managed_instance_scaling.as_ref().filter(|scaling| scaling.is_enabled())?;
    if variant.model().is_some() {
        return None;
    }
    let needed = needed(variant.instance_type.as_deref(), components.map(asked));
    let least = scaling.min_instance_count.unwrap_or(MIN_INSTANCE_COUNT);
    Some(needed.min(scaling.max_instance_count.unwrap_or(i64::MAX)).max(least))
}

/// Copies of a component, and what each of them asks for.
fn asked(component: &ComponentRow) -> (i64, Holds) {
    let state = &component.state;
    let deployment = state.pending.as_ref().or(state.current.as_ref());
    let copies = deployment.and_then(|deployment| deployment.variants.first()).map_or(0, |one| one.instance_count);
    let specification = component.definition.get("Specification");
    let asked = specification.and_then(|specification| specification.get("ComputeResourceRequirements"));
    let number = |member: &str| asked.and_then(|asked| asked.get(member)).and_then(Value::as_f64).unwrap_or(0.0);
    let holds = Holds {
        cores: number("NumberOfCpuCoresRequired"),
        memory_mb: number("MinMemoryRequiredInMb"),
        accelerators: number("NumberOfAcceleratorDevicesRequired"),
    };
    (copies, holds)
}

fn needed(instance_type: Option<&str>, asked: impl Iterator<Item = (i64, Holds)>) -> i64 {
    let mut sum = Holds { cores: 0.0, memory_mb: 0.0, accelerators: 0.0 };
    let mut copies = 0_i64;
    for (count, each) in asked {
        copies = copies.saturating_add(count);
        sum.cores += count as f64 * each.cores;
        sum.memory_mb += count as f64 * each.memory_mb;
        sum.accelerators += count as f64 * each.accelerators;
    }
    let share = |sum: f64, of_one: f64| if of_one > 0.0 { sum / of_one } else { 0.0 };
    let most = instance_type.and_then(holds).map_or(0.0, |one| {
        let shares = [
            share(sum.cores, one.cores),
            share(sum.memory_mb, one.memory_mb),
            share(sum.accelerators, one.accelerators),
        ];
        shares.into_iter().fold(0.0, f64::max)
    });
    (most.ceil() as i64).max(i64::from(copies > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_scarcest_decides_how_many_instances_are_needed() {
        let holds =
            |cores, memory_gib: f64, accelerators| Holds { cores, memory_mb: memory_gib * 1_024.0, accelerators };
        let m5 = Some("ml.m5.large");
        for (instance_type, asked, expected) in [
            (m5, vec![], 0),
            (m5, vec![(0, holds(1.0, 1.0, 0.0))], 0),
            (m5, vec![(1, holds(0.0, 0.5, 0.0))], 1),
            (m5, vec![(4, holds(1.0, 1.0, 0.0))], 2),
            (m5, vec![(4, holds(0.5, 5.0, 0.0))], 3),
            (m5, vec![(2, holds(1.0, 1.0, 0.0)), (3, holds(1.0, 1.0, 0.0))], 3),
            (Some("ml.g5.xlarge"), vec![(3, holds(1.0, 1.0, 1.0))], 3),
            (Some("ml.unheard.of"), vec![(30, holds(1.0, 1.0, 1.0))], 1),
            (None, vec![(30, holds(1.0, 1.0, 1.0))], 1),
        ] {
            assert_eq!(needed(instance_type, asked.clone().into_iter()), expected, "{instance_type:?} {asked:?}");
        }
    }
}
