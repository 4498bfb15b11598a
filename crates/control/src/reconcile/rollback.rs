//! Takes an endpoint back to its old deployment: because of an alarm, a failure, or the time.
//!
//! Where the old instances are all there, the traffic goes back at once. Where a rolling update has already replaced
//! some, they come back first, batch by batch, and the traffic with them. The endpoint says Updating meanwhile, because
//! clients wait on that word and take any other for the end.

use captura_wire::hosting::EndpointStatus;

use super::endpoint::{Actual, EndpointReconciler, Told};
use super::loads::Progress;
use super::traffic::Move;
use crate::catalog::CatalogError;
use crate::deployment::Deployment;
use crate::fleet::{LoadedFleet, ServedFleet};
use crate::rollout::{Capacity, LOOK_AGAIN, Rollout, left_of};

impl EndpointReconciler {
    /// Goes back as far as the old instances allow.
    pub(super) async fn go_back(
        &self,
        actual: &mut Actual,
        update: &Move<'_>,
        reason: String,
    ) -> Result<(), CatalogError> {
        let (row, current, now) = (update.row, &update.current, self.now());
        let place = row.rollout.clone().unwrap_or_else(|| Rollout::launching(0, now));
        let place = match place.rollback {
            Some(_) => place,
            None => place.going_back(reason.clone(), now),
        };
        let old = match self.load(actual, row, current, Capacity::new()) {
            Progress::Loaded(old) => old,
            // Only after a restart: the reason must outlive the load.
            Progress::Loading => return self.note_way_back(update, place).await,
            Progress::Failed(old) => {
                let reason = Some(format!("{reason} But the old configuration cannot be served either. {old}"));
                let told = Told { reason, current: Some(current.clone()), ..Told::default() };
                return self.change(row, EndpointStatus::Failed, told).await;
            }
        };
        let wanted =
            |variant: &_| current.all_variants().find(|one| one.name == *variant).map(|one| one.instance_count);
        if update.plan.is_rolling && !old.has(wanted) {
            if left_of(self.load_timeout, place.since, now).is_zero() {
                let reason = Some(format!("{reason} But its instances did not start again in time.{}", old.trouble()));
                let told = Told { reason, current: Some(current.clone()), ..Told::default() };
                return self.change(row, EndpointStatus::UpdateRollbackFailed, told).await;
            }
            self.bring_back(actual, update, &old);
            actual.wake_in(LOOK_AGAIN);
            return self.note_way_back(update, place).await;
        }
        old.scale(wanted);
        if !self.is_served(actual, row, current) {
            self.serve(actual, row, current, old);
        }
        let deployment_config = update.pending.deployment_config.clone().or(current.deployment_config.clone());
        let current = Deployment { deployment_config, ..current.clone() };
        let told = Told { reason: Some(reason), current: Some(current), ..Told::default() };
        self.change(row, EndpointStatus::InService, told).await
    }

    /// Asks for the next batch of old instances, and gives those that are there their share of the traffic.
    fn bring_back(&self, actual: &mut Actual, update: &Move<'_>, old: &LoadedFleet) {
        let (mut there, mut all) = (0, 0);
        let mut next = Capacity::new();
        for loaded in old.variants.iter().chain(&old.shadows) {
            let name = &loaded.variant.name;
            let wanted =
                update.current.all_variants().find(|one| one.name == *name).map_or(0, |one| one.instance_count);
            let is_up = loaded.instances().min(wanted);
            next.insert(name.clone(), update.plan.way_back(is_up, wanted));
            (there, all) = (there + is_up, all + wanted);
        }
        old.scale(|variant| next.get(variant).copied());
        let served = actual.standing.get(&update.row.id);
        let Some(new) = served.and_then(|served| served.fleet(update.pending.id)).cloned() else { return };
        let share = there as f32 / all.max(1) as f32;
        let old = ServedFleet { deployment: update.current.id, weight: share, loaded: old.clone() };
        self.share_as(actual, update, [old, ServedFleet { weight: 1.0 - share, ..new }]);
    }

    async fn note_way_back(&self, update: &Move<'_>, place: Rollout) -> Result<(), CatalogError> {
        if update.row.rollout.as_ref() == Some(&place) {
            return Ok(());
        }
        self.change(update.row, EndpointStatus::Updating, update.told(place)).await
    }
}
