//! Loaded models of one deployment, and what is published of them.
//!
//! Invariant: variants stand in the order of the deployment; one without a model is not among them.

use std::collections::BTreeMap;
use std::sync::Arc;

use captura_names::{EndpointName, VariantName};
use captura_route::{AsyncInference, Fleet, MetricsPolicy, Variant};
use tokio::sync::watch;
use uuid::Uuid;

use crate::deployment::{DeployedVariant, Deployment};
use crate::models::LoadedModel;

/// A variant whose model answers.
#[derive(Debug, Clone)]
pub(crate) struct LoadedVariant {
    pub(crate) model: LoadedModel,
    pub(crate) variant: Variant,
}

/// The variants of a deployment whose models answer.
#[derive(Debug, Clone, Default)]
pub(crate) struct LoadedFleet {
    pub(crate) variants: Vec<LoadedVariant>,
    pub(crate) shadows: Vec<LoadedVariant>,
}

/// A fleet that takes calls, with its share of them.
#[derive(Debug, Clone)]
pub(crate) struct ServedFleet {
    /// The deployment whose models are loaded.
    pub(crate) deployment: Uuid,
    /// Share of the traffic is this over the sum.
    pub(crate) weight: f32,
    pub(crate) loaded: LoadedFleet,
}

/// An endpoint that takes calls.
#[derive(Debug, Clone)]
pub(crate) struct Served {
    pub(crate) name: EndpointName,
    pub(crate) region: String,
    /// One fleet, and during a deployment the old and the new one.
    pub(crate) fleets: Vec<ServedFleet>,
    pub(crate) async_inference: Option<Arc<AsyncInference>>,
    pub(crate) metrics: MetricsPolicy,
}

/// Every endpoint that takes calls, by catalog row.
pub(crate) type Standing = BTreeMap<i64, Served>;
/// What stands, for those who only look.
pub(crate) type StandingView = watch::Receiver<Arc<Standing>>;

impl LoadedFleet {
    /// The same models under the weights and limits of another deployment; `None` when a variant has no model here.
    pub(crate) fn as_in(&self, deployment: &Deployment) -> Option<Self> {
        let part = |loaded: &[LoadedVariant], wanted: &[DeployedVariant]| {
            let one = |wanted: &DeployedVariant| {
                let found = loaded.iter().find(|loaded| loaded.variant.name == wanted.name)?;
                let concurrency_max = wanted.concurrency_max();
                let variant = Variant { weight: wanted.weight, concurrency_max, ..found.variant.clone() };
                Some(LoadedVariant { variant, ..found.clone() })
            };
            wanted.iter().filter(|wanted| wanted.model().is_some()).map(one).collect::<Option<Vec<_>>>()
        };
        Some(Self {
            variants: part(&self.variants, &deployment.variants)?,
            shadows: part(&self.shadows, &deployment.shadows)?,
        })
    }

    /// Asks every model for as many instances as `count` says of its variant.
    pub(crate) fn scale(&self, count: impl Fn(&VariantName) -> Option<i64>) {
        for loaded in self.variants.iter().chain(&self.shadows) {
            if let Some(count) = count(&loaded.variant.name) {
                loaded.model.instances.scale(usize::try_from(count).unwrap_or(0));
            }
        }
    }

    /// Whether every model has at least as many instances as `count` says of its variant.
    pub(crate) fn has(&self, count: impl Fn(&VariantName) -> Option<i64>) -> bool {
        self.variants
            .iter()
            .chain(&self.shadows)
            .all(|loaded| loaded.instances() >= count(&loaded.variant.name).unwrap_or(0))
    }

    /// Why instances do not start, as a sentence after others; nothing when none says so.
    pub(crate) fn trouble(&self) -> String {
        let trouble = |loaded: &LoadedVariant| {
            let why = loaded.model.instances.trouble()?;
            Some(format!(" Variant {}: {why}", loaded.variant.name))
        };
        self.variants.iter().chain(&self.shadows).filter_map(trouble).collect()
    }

    fn published(&self, weight: f32) -> Fleet {
        let part = |loaded: &[LoadedVariant]| loaded.iter().map(|loaded| loaded.variant.clone()).collect();
        Fleet { weight, variants: part(&self.variants), shadows: part(&self.shadows) }
    }
}

impl LoadedVariant {
    /// Instances that are up.
    pub(crate) fn instances(&self) -> i64 {
        i64::try_from(self.model.backend.instances()).unwrap_or(i64::MAX)
    }
}

impl Served {
    /// The fleet of a deployment.
    pub(crate) fn fleet(&self, deployment: Uuid) -> Option<&ServedFleet> {
        self.fleets.iter().find(|fleet| fleet.deployment == deployment)
    }

    /// Whether exactly that deployment takes all calls.
    pub(crate) fn is_only(&self, deployment: Uuid) -> bool {
        matches!(self.fleets.as_slice(), [fleet] if fleet.deployment == deployment)
    }

    /// Instances of a deployment's variant that are up.
    pub(crate) fn instances(&self, deployment: Uuid, variant: &DeployedVariant) -> i64 {
        if variant.model().is_none() && self.fleet(deployment).is_some() {
            return variant.instance_count;
        }
        self.loaded(deployment, variant).map_or(0, LoadedVariant::instances)
    }

    /// A deployment's variant as it is loaded.
    pub(crate) fn loaded(&self, deployment: Uuid, variant: &DeployedVariant) -> Option<&LoadedVariant> {
        let loaded = &self.fleet(deployment)?.loaded;
        loaded.variants.iter().chain(&loaded.shadows).find(|loaded| loaded.variant.name == variant.name)
    }

    /// What the gateway reads of the fleets.
    pub(crate) fn published(&self) -> Vec<Fleet> {
        self.fleets.iter().map(|fleet| fleet.loaded.published(fleet.weight)).collect()
    }
}
