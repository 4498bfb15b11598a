//! Walks an endpoint from its old deployment to the new one, step by step.
//!
//! ```text
//! new models load → step's instances start → step's traffic on, alarms looked at → … → all moved → old models go
//! ```
//!
//! The clock and the alarms are looked at in every pass and nothing sleeps here: a pass says when it wants the next.
//! Invariant: the table has a step's shares before the row says so; the old models stay loaded until the row says that
//! the new deployment is in service.

use captura_wire::hosting::EndpointStatus;

use super::endpoint::{Actual, EndpointReconciler, Old, Told};
use super::loads::Progress;
use crate::catalog::{CatalogError, EndpointRow};
use crate::deployment::Deployment;
use crate::fleet::{LoadedFleet, ServedFleet};
use crate::rollout::{LOOK_AGAIN, Next, Plan, Rollout};

/// The two sides of an update, and the way between them.
pub(super) struct Move<'a> {
    pub(super) row: &'a EndpointRow,
    pub(super) current: Deployment,
    pub(super) pending: Deployment,
    pub(super) plan: Plan,
}

impl EndpointReconciler {
    /// Goes as far as the clock, the alarms and the instances allow.
    pub(super) async fn move_traffic(
        &self,
        actual: &mut Actual,
        row: &EndpointRow,
        (current, pending): (Deployment, Deployment),
    ) -> Result<(), CatalogError> {
        let plan = Plan::of(&pending);
        let update = Move { row, current, pending, plan };
        if let Some(reason) = row.rollout.as_ref().and_then(|place| place.rollback.clone()) {
            return self.go_back(actual, &update, reason).await;
        }
        let (plan, step) = (&update.plan, row.rollout.as_ref().map_or(0, |place| place.step));
        let old = self.restore_old(actual, row, &update.current, plan.old_capacity(step, &update.current));
        let new = self.load(actual, row, &update.pending, plan.new_capacity(step, &update.pending));
        match (new, old) {
            (Progress::Loading, Old::Serving) => match plan.overdue(update.pending.started_at, self.now()) {
                Some(because) => self.go_back(actual, &update, update.turned_back(&because)).await,
                None => {
                    let left = plan.time_left(update.pending.started_at, self.now());
                    left.into_iter().for_each(|left| actual.wake_in(left));
                    Ok(())
                }
            },
            (Progress::Loading, _) | (Progress::Failed(_), Old::Loading) => Ok(()),
            (Progress::Loaded(new), Old::Serving) => self.walk(actual, &update, new).await,
            (Progress::Loaded(_), Old::Loading) if row.rollout.is_some() || plan.waits_s() > 0 => Ok(()),
            // There is nothing that could serve beside the new models, or nothing to wait for.
            (Progress::Loaded(new), _) => self.finish(actual, &update, new).await,
            (Progress::Failed(reason), Old::Serving) => {
                let reason = format!(
                    "The update to endpoint configuration {} failed, and the endpoint goes on with {}. {reason}",
                    update.pending.config_name, update.current.config_name
                );
                self.go_back(actual, &update, reason).await
            }
            (Progress::Failed(new), Old::Failed(old)) => {
                let reason = Some(format!("Neither the new nor the old configuration can be served. {new} / {old}"));
                let told = Told { reason, current: Some(update.current), ..Told::default() };
                self.change(row, EndpointStatus::Failed, told).await
            }
        }
    }

    async fn walk(&self, actual: &mut Actual, update: &Move<'_>, new: LoadedFleet) -> Result<(), CatalogError> {
        let (row, plan) = (update.row, &update.plan);
        let Progress::Loaded(old) = self.load(actual, row, &update.current, Default::default()) else { return Ok(()) };
        let first = || Rollout::launching(0, self.now());
        let mut place = row.rollout.clone().unwrap_or_else(first);
        loop {
            let (now, began) = (self.now(), update.pending.started_at);
            if let Some(because) = plan.turns_back(&self.alarms, began, now) {
                let reason = update.turned_back(&because);
                return self.go_back(actual, update, reason).await;
            }
            let (new_capacity, old_capacity) = update.capacities(place.step);
            new.scale(|variant| new_capacity.get(variant).copied());
            if plan.is_rolling {
                old.scale(|variant| old_capacity.get(variant).copied());
            }
            let are_up = new.has(|variant| new_capacity.get(variant).copied());
            match plan.next(&place, are_up, self.load_timeout, now) {
                Next::Launch => {
                    actual.wake_in(LOOK_AGAIN);
                    return self.note_place(update, place).await;
                }
                Next::Late => {
                    let reason = update.turned_back("its instances did not start in time") + &new.trouble();
                    return self.go_back(actual, update, reason).await;
                }
                Next::Finish => return self.finish(actual, update, new).await,
                Next::Share(baking) => {
                    self.share(actual, update, (&old, &new), place.step);
                    place = baking;
                    self.note_place(update, place.clone()).await?;
                }
                Next::Bake(left) => {
                    self.share(actual, update, (&old, &new), place.step);
                    actual.wake_in(plan.look_in(left, began, now));
                    return Ok(());
                }
                Next::Step(launching) => place = launching,
            }
        }
    }

    /// Publishes the shares of a step, unless they are published.
    fn share(&self, actual: &mut Actual, update: &Move<'_>, (old, new): (&LoadedFleet, &LoadedFleet), step: usize) {
        let share = update.plan.steps.get(step).map_or(1.0, |step| step.share);
        let fleets = [(update.current.id, 1.0 - share, old), (update.pending.id, share, new)];
        self.share_as(
            actual,
            update,
            fleets.map(|(deployment, weight, loaded)| ServedFleet { deployment, weight, loaded: loaded.clone() }),
        );
    }

    /// Publishes these two fleets, unless they are published.
    pub(super) fn share_as(&self, actual: &mut Actual, update: &Move<'_>, fleets: [ServedFleet; 2]) {
        let same = |one: &ServedFleet, other: &ServedFleet| {
            one.deployment == other.deployment && one.weight.total_cmp(&other.weight).is_eq()
        };
        let served = actual.standing.get(&update.row.id).map(|served| served.fleets.as_slice()).unwrap_or_default();
        if served.len() == fleets.len() && served.iter().zip(&fleets).all(|(one, other)| same(one, other)) {
            return;
        }
        tracing::info!(
            endpoint = %update.row.name, config = %update.pending.config_name, share = fleets[1].weight,
            "traffic moves to the new endpoint configuration"
        );
        self.serve_fleets(actual, update.row, &update.current, fleets.into());
    }

    async fn note_place(&self, update: &Move<'_>, place: Rollout) -> Result<(), CatalogError> {
        if update.row.rollout.as_ref() == Some(&place) {
            return Ok(());
        }
        self.change(update.row, EndpointStatus::Updating, update.told(place)).await
    }

    async fn finish(&self, actual: &mut Actual, update: &Move<'_>, new: LoadedFleet) -> Result<(), CatalogError> {
        let pending = &update.pending;
        self.serve(actual, update.row, pending, new);
        let told = Told { current: Some(pending.clone()), ..Told::default() };
        self.change(update.row, EndpointStatus::InService, told).await
    }
}

impl Move<'_> {
    /// The row's words for a place.
    pub(super) fn told(&self, place: Rollout) -> Told {
        Told {
            reason: None,
            current: Some(self.current.clone()),
            pending: Some(self.pending.clone()),
            rollout: Some(place),
        }
    }

    /// Why traffic went back, in words for a person.
    pub(super) fn turned_back(&self, because: &str) -> String {
        format!(
            "The deployment of endpoint configuration {} was rolled back because {because}. The endpoint goes on with {}.",
            self.pending.config_name, self.current.config_name
        )
    }

    fn capacities(&self, step: usize) -> (crate::rollout::Capacity, crate::rollout::Capacity) {
        (self.plan.new_capacity(step, &self.pending), self.plan.old_capacity(step, &self.current))
    }
}
