//! Follows weights and numbers of instances, without loading any model again.
//!
//! Two ways lead here: UpdateEndpointWeightsAndCapacities, during which the endpoint says Updating, and auto scaling,
//! during which it stays InService and only its variants say Updating.

use captura_wire::hosting::EndpointStatus;

use super::endpoint::{Actual, EndpointReconciler, Old, Told};
use super::loads::Progress;
use crate::catalog::{CatalogError, EndpointRow};
use crate::deployment::Deployment;
use crate::fleet::LoadedFleet;
use crate::rollout::{Capacity, LOOK_AGAIN, left_of};

impl EndpointReconciler {
    /// The same models under new weights and counts.
    pub(super) async fn adjust(
        &self,
        actual: &mut Actual,
        row: &EndpointRow,
        (current, pending): (Deployment, Deployment),
    ) -> Result<(), CatalogError> {
        let old = self.restore_old(actual, row, &current, Capacity::new());
        if matches!(old, Old::Loading) {
            return Ok(());
        }
        match (self.load(actual, row, &pending, Capacity::new()), old) {
            (Progress::Loaded(fleet), _) => {
                if !self.is_served(actual, row, &pending) {
                    self.serve(actual, row, &pending, fleet.clone());
                }
                scale(&fleet, &pending);
                self.await_counts(actual, row, (current, pending), &fleet).await
            }
            (Progress::Failed(new), Old::Failed(old)) => {
                let reason = Some(format!("Neither the new nor the old configuration can be served. {new} / {old}"));
                let told = Told { reason, current: Some(current), ..Told::default() };
                self.change(row, EndpointStatus::Failed, told).await
            }
            _ => Ok(()),
        }
    }

    async fn await_counts(
        &self,
        actual: &mut Actual,
        row: &EndpointRow,
        (current, pending): (Deployment, Deployment),
        fleet: &LoadedFleet,
    ) -> Result<(), CatalogError> {
        let wanted =
            |variant: &_| pending.all_variants().find(|one| one.name == *variant).map(|one| one.instance_count);
        if fleet.has(wanted) {
            let current = Deployment { models_of: None, ..pending };
            let told = Told { current: Some(current), ..Told::default() };
            return self.change(row, EndpointStatus::InService, told).await;
        }
        if !left_of(self.load_timeout, pending.started_at, self.now()).is_zero() {
            actual.wake_in(LOOK_AGAIN);
            return Ok(());
        }
        let kept = "The instances that were asked for did not start in time; what was before is kept.";
        let reason = Some(format!("{kept}{}", fleet.trouble()));
        let told = Told { reason, current: Some(current), pending: Some(pending), rollout: None };
        self.change(row, EndpointStatus::RollingBack, told).await
    }

    /// Back to the weights and counts of before.
    pub(super) async fn readjust(
        &self,
        actual: &mut Actual,
        row: &EndpointRow,
        current: Deployment,
    ) -> Result<(), CatalogError> {
        let fleets = actual.standing.get(&row.id).map(|served| served.fleets.as_slice()).unwrap_or_default();
        let same_models = fleets.first().and_then(|fleet| fleet.loaded.as_in(&current));
        let progress = match same_models {
            Some(fleet) => Progress::Loaded(fleet),
            None => self.load(actual, row, &current, Capacity::new()),
        };
        let reason = row.failure_reason.clone();
        match progress {
            Progress::Loading => Ok(()),
            Progress::Loaded(fleet) => {
                self.serve(actual, row, &current, fleet.clone());
                scale(&fleet, &current);
                let told = Told { reason, current: Some(current), ..Told::default() };
                self.change(row, EndpointStatus::InService, told).await
            }
            Progress::Failed(why) => {
                let reason = Some(format!("{} {why}", reason.unwrap_or_default()));
                let told = Told { reason, current: Some(current), ..Told::default() };
                self.change(row, EndpointStatus::Failed, told).await
            }
        }
    }

    /// Asks for the instances that the row says.
    pub(super) fn follow_counts(&self, actual: &Actual, row: &EndpointRow, current: &Deployment) {
        let served = actual.standing.get(&row.id);
        if let Some(fleet) = served.and_then(|served| served.fleet(current.id)) {
            scale(&fleet.loaded, current);
        }
    }
}

/// Asks for as many instances as a deployment says.
fn scale(fleet: &LoadedFleet, deployment: &Deployment) {
    for loaded in fleet.variants.iter().chain(&fleet.shadows) {
        if let Some(wanted) = deployment.all_variants().find(|one| one.name == loaded.variant.name) {
            loaded.model.instances.keep_awake(wanted.stays_awake());
        }
    }
    fleet.scale(|variant| deployment.all_variants().find(|one| one.name == *variant).map(|one| one.instance_count));
}
