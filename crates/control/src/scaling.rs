//! The way for auto scaling to change how many instances a variant has.
//!
//! The count goes through the catalog as with UpdateEndpointWeightsAndCapacities, so it outlives a restart; but the
//! endpoint stays InService and only the variant says Updating until the instances are there, so that no client that
//! waits on the endpoint is disturbed. While an update is under way the count cannot be changed.

use captura_names::{EndpointName, InferenceComponentName, Timestamp, VariantName};
use captura_wire::hosting::EndpointStatus;

use crate::Control;
use crate::catalog::{CatalogError, EndpointRow, StateChange};
use crate::deployment::{DeployedVariant, Deployment};
use crate::ops::{Failure, inference_component};

/// Instances of a variant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InstanceCounts {
    /// How many are up.
    pub current: u64,
    /// How many are asked for.
    pub desired: u64,
}

/// Why instances cannot be counted or changed.
#[derive(Debug, thiserror::Error)]
pub enum ScalingError {
    /// There is no such endpoint.
    #[error("there is no endpoint {0}")]
    NoEndpoint(EndpointName),
    /// The endpoint has no such variant in service.
    #[error("endpoint {0} has no variant {1} in service")]
    NoVariant(EndpointName, VariantName),
    /// Only an endpoint in service can be scaled.
    #[error("endpoint {endpoint} is in status {status}; only an endpoint in service can be scaled", status = .status.as_str())]
    NotInService {
        /// The endpoint.
        endpoint: EndpointName,
        /// Its status.
        status: EndpointStatus,
    },
    /// A serverless variant has no instances that can be counted.
    #[error("variant {0} is serverless")]
    Serverless(VariantName),
    /// A variant with a model has at least one instance.
    #[error("variant {0} needs at least one instance")]
    Zero(VariantName),
    /// There is no such inference component.
    #[error("there is no inference component {0}")]
    NoComponent(InferenceComponentName),
    /// The inference component cannot be scaled now.
    #[error("inference component {0}: {1}")]
    Component(InferenceComponentName, String),
    /// The catalog failed.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

impl Control {
    /// Whether an endpoint has that variant, in service or on its way there.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn has_variant(&self, endpoint: &EndpointName, variant: &VariantName) -> Result<bool, CatalogError> {
        let name = endpoint.clone();
        let row = self.inner.catalog.run(move |work| work.endpoint(name.as_str())).await?;
        let deployments = row.iter().flat_map(|row| row.current.iter().chain(&row.pending));
        Ok(deployments.into_iter().any(|deployment| deployment.variant(variant).is_some()))
    }

    /// How many instances a variant in service has, and how many it shall have.
    ///
    /// # Errors
    /// When there is no such variant, or the catalog fails.
    pub async fn instance_counts(
        &self,
        endpoint: &EndpointName,
        variant: &VariantName,
    ) -> Result<InstanceCounts, ScalingError> {
        let name = endpoint.clone();
        let row = self.inner.catalog.run(move |work| find(work.endpoint(name.as_str())?, name)).await?;
        let (current, found) = in_service(&row, variant)?;
        let standing = self.inner.standing.borrow().clone();
        let up = standing.get(&row.id).map_or(0, |served| served.instances(current.id, found));
        let count = |count: i64| u64::try_from(count).unwrap_or(0);
        Ok(InstanceCounts { current: count(up), desired: count(found.instance_count) })
    }

    /// Asks for that many instances of a variant. Returns when that is durable; the instances follow.
    ///
    /// # Errors
    /// When there is no such variant, it cannot be scaled so, or the catalog fails.
    pub async fn set_desired_instance_count(
        &self,
        endpoint: &EndpointName,
        variant: &VariantName,
        count: u64,
    ) -> Result<(), ScalingError> {
        let (name, variant) = (endpoint.clone(), variant.clone());
        let at = Timestamp::from_unix_us(self.inner.clock.now().unix_us() / 1_000 * 1_000);
        let act = move |work: &crate::catalog::Work<'_>| {
            let row = find(work.endpoint(name.as_str())?, name)?;
            let (current, found) = in_service(&row, &variant)?;
            if row.status != EndpointStatus::InService {
                return Err(ScalingError::NotInService { endpoint: row.name, status: row.status });
            }
            if found.serverless.is_some() {
                return Err(ScalingError::Serverless(variant));
            }
            if count == 0 && found.model().is_some() {
                return Err(ScalingError::Zero(variant));
            }
            let mut current = current.clone();
            for one in current.variants.iter_mut().filter(|one| one.name == variant) {
                one.instance_count = i64::try_from(count).unwrap_or(i64::MAX);
            }
            Ok(work.change_endpoint(&StateChange::scaled(row, current, at)).map(drop)?)
        };
        self.inner.catalog.run(act).await?;
        self.inner.nudge.notify_one();
        Ok(())
    }
}

fn find(row: Option<EndpointRow>, name: EndpointName) -> Result<EndpointRow, ScalingError> {
    row.ok_or(ScalingError::NoEndpoint(name))
}

fn in_service<'a>(
    row: &'a EndpointRow,
    variant: &VariantName,
) -> Result<(&'a Deployment, &'a DeployedVariant), ScalingError> {
    let current = row.current.as_ref();
    let found = current.and_then(|current| Some((current, current.variant(variant)?)));
    found.ok_or_else(|| ScalingError::NoVariant(row.name.clone(), variant.clone()))
}

/// Copies of an inference component.
impl Control {
    /// Whether there is that inference component.
    ///
    /// # Errors
    /// When the catalog fails.
    pub async fn has_component(&self, component: &InferenceComponentName) -> Result<bool, CatalogError> {
        let name = component.clone();
        Ok(self.inner.catalog.run(move |work| work.component(name.as_str())).await?.is_some())
    }

    /// How many copies an inference component has, and how many it shall have.
    ///
    /// # Errors
    /// When there is no such component, or the catalog fails.
    pub async fn copy_counts(&self, component: &InferenceComponentName) -> Result<InstanceCounts, ScalingError> {
        let name = component.clone();
        let find = move |work: &crate::catalog::Work<'_>| Ok::<_, ScalingError>(work.component(name.as_str())?);
        let row = self.inner.catalog.run(find).await?.ok_or_else(|| ScalingError::NoComponent(component.clone()))?;
        let deployment = row.state.pending.as_ref().or(row.state.current.as_ref());
        let desired = deployment.and_then(|deployment| deployment.variants.first()).map_or(0, |one| one.instance_count);
        let served = self.inner.served_components.borrow().clone();
        let up = served.values().flatten().filter(|one| one.name.as_str().eq_ignore_ascii_case(component.as_str()));
        let up: usize = up.map(|one| one.backend.instances()).sum();
        Ok(InstanceCounts {
            current: u64::try_from(up).unwrap_or(u64::MAX),
            desired: u64::try_from(desired).unwrap_or(0),
        })
    }

    /// Asks for that many copies of an inference component. Returns when that is durable; the copies follow.
    ///
    /// # Errors
    /// When there is no such component, something is under way with it, or the catalog fails.
    pub async fn set_desired_copy_count(
        &self,
        component: &InferenceComponentName,
        count: u64,
    ) -> Result<(), ScalingError> {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        // No region: what is answered to nobody names no ARN that anybody reads.
        let set = inference_component::set_copy_count(&self.desk("us-east-1"), component, count).await;
        set.map(drop).map_err(|failure| match failure {
            Failure::Catalog(error) => ScalingError::Catalog(error),
            Failure::Fault(fault) => ScalingError::Component(component.clone(), fault.message),
        })
    }
}
