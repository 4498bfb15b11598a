//! Replaces the copies of an inference component batch by batch, as its deployment configuration asks for.
//!
//! ```text
//! new model loads with a batch of copies → they take their share of the calls, alarms are looked at for the wait →
//! as many old copies go while the next batch starts → … → all moved → the old model goes
//! ```
//! An alarm, a load that fails, copies that do not start and the end of the time turn it back: old copies come again,
//! batch by batch where that is asked for, and the calls with them. The component says Updating until the end of either
//! way. What comes next is the plan's to say (`rollout`), as it is for endpoints.
//!
//! Invariant: the table has a step's shares before the row says so; the old model stays loaded until the row says that
//! the new one is in service.

use std::sync::Arc;

use captura_route::Component;
use captura_wire::hosting::EndpointStatus;
use tokio::time::Instant;
use uuid::Uuid;

use super::endpoint::Told;
use super::inference_component::{ComponentReconciler, Components, Place, Readiness};
use super::loads::{Progress, Wanted};
use crate::catalog::{CatalogError, ComponentRow};
use crate::deployment::{DeployedVariant, Deployment};
use crate::models::LoadedModel;
use crate::rollout::{Capacity, LOOK_AGAIN, Next, Plan, Rollout, left_of};

/// The new model of a component, beside the one in service.
pub(super) struct Arriving {
    deployment: Uuid,
    model: LoadedModel,
    pub(super) component: Component,
}

/// The two sides of an update, and the way between them.
pub(super) struct Update<'a> {
    row: &'a ComponentRow,
    place: Place<'a>,
    current: &'a Deployment,
    pending: &'a Deployment,
    old: &'a DeployedVariant,
    new: &'a DeployedVariant,
    plan: Plan,
}

impl<'a> Update<'a> {
    /// What goes in batches: a new model that takes over from copies, under a policy that says how.
    pub(super) fn of(row: &'a ComponentRow, place: Place<'a>) -> Option<Self> {
        let (current, pending) = (row.state.current.as_ref()?, row.state.pending.as_ref()?);
        let (old, new) = (current.variants.first()?, pending.variants.first()?);
        let plan = Plan::of(pending);
        let is_rolling = row.state.status == EndpointStatus::Updating
            && pending.models_of != Some(current.id)
            && plan.is_rolling
            && old.instance_count > 0
            && new.instance_count > 0;
        is_rolling.then_some(Self { row, place, current, pending, old, new, plan })
    }

    /// The old deployment with as many copies as a step leaves it.
    fn old_with(&self, copies: i64) -> Deployment {
        let mut old = self.current.clone();
        old.variants.iter_mut().for_each(|variant| variant.instance_count = copies);
        old
    }

    fn new_copies(&self, step: usize) -> i64 {
        count(&self.plan.new_capacity(step, self.pending), self.new)
    }

    fn old_copies(&self, step: usize) -> i64 {
        count(&self.plan.old_capacity(step, self.current), self.old)
    }

    fn step(&self) -> usize {
        self.row.state.rollout.as_ref().map_or(0, |place| place.step)
    }

    fn told(&self, rollout: Rollout) -> Told {
        Told {
            reason: None,
            current: Some(self.current.clone()),
            pending: Some(self.pending.clone()),
            rollout: Some(rollout),
        }
    }
}

impl ComponentReconciler {
    /// Goes as far as the clock, the alarms and the copies allow.
    pub(super) async fn roll(&self, actual: &mut Components, update: &Update<'_>) -> Result<(), CatalogError> {
        let is_going_back = update.row.state.rollout.as_ref().is_some_and(|place| place.rollback.is_some());
        let copies = if is_going_back { self.copies_back(actual, update) } else { update.old_copies(update.step()) };
        let old = self.load(actual, update.row, update.place, &update.old_with(copies));
        let is_there =
            actual.served.get(&update.row.state.id).is_some_and(|served| served.has_model_of(update.current));
        if !is_there {
            return match old {
                // After a restart.
                Readiness::Ready | Readiness::Underway => Ok(()),
                Readiness::Failed(why) => self.without_old(actual, update, why).await,
            };
        }
        if let Some(reason) = update.row.state.rollout.as_ref().and_then(|place| place.rollback.clone()) {
            return self.go_back(actual, update, reason).await;
        }
        match self.arrive(actual, update) {
            Progress::Loaded(_) => self.walk(actual, update).await,
            Progress::Failed(reason) => self.go_back(actual, update, reason).await,
            Progress::Loading => {
                let (began, now) = (update.pending.started_at, self.now());
                match update.plan.turns_back(&self.alarms, began, now) {
                    Some(because) => self.go_back(actual, update, turned_back(&because)).await,
                    None => {
                        // Alarms are looked at while the first batch starts, too.
                        actual.look_at(Instant::now() + update.plan.look_in(LOOK_AGAIN, began, now));
                        Ok(())
                    }
                }
            }
        }
    }

    /// The old model cannot be had again after a restart: there is nothing that the new one could take over from.
    async fn without_old(&self, actual: &mut Components, update: &Update<'_>, why: String) -> Result<(), CatalogError> {
        match self.load(actual, update.row, update.place, update.pending) {
            Readiness::Underway => Ok(()),
            Readiness::Ready => self.finish(actual, update).await,
            Readiness::Failed(reason) => {
                let reason = Some(format!("Neither the new nor the old model can be served. {reason} / {why}"));
                let told = Told { reason, current: Some(update.current.clone()), ..Told::default() };
                self.change(&update.row.state, EndpointStatus::Failed, told).await
            }
        }
    }

    /// How far the new model is; once loaded, it stands beside the old one.
    fn arrive(&self, actual: &mut Components, update: &Update<'_>) -> Progress {
        let (id, pending) = (update.row.state.id, update.pending);
        if actual.arriving.get(&id).is_some_and(|arriving| arriving.deployment == pending.id) {
            self.renew_arriving(actual, update);
            return Progress::Loaded(crate::fleet::LoadedFleet::default());
        }
        let copies = update.new_copies(update.step());
        let capacity = Capacity::from([(update.new.name.clone(), copies)]);
        let wanted = Wanted { endpoint: &update.place.0.name, deployment: pending, capacity };
        let progress = actual.loads.progress((id, pending.id), wanted);
        if let Progress::Loaded(fleet) = &progress
            && let Some(loaded) = fleet.variants.first()
        {
            let model = loaded.model.clone();
            let capture = Arc::new(self.policy_of(update.row, update.place, update.new, model.backend.as_ref()));
            let component =
                Component { name: update.row.name(), weight: 0.0, backend: Arc::clone(&model.backend), capture };
            actual.arriving.insert(id, Arriving { deployment: pending.id, model, component });
        }
        progress
    }

    /// Gives the new model the policy of what the endpoint has in service now.
    fn renew_arriving(&self, actual: &mut Components, update: &Update<'_>) {
        let Some(arriving) = actual.arriving.get_mut(&update.row.state.id) else { return };
        let backend = arriving.model.backend.as_ref();
        let fresh = self.policy_of(update.row, update.place, update.new, backend);
        if *arriving.component.capture != fresh {
            arriving.component.capture = Arc::new(fresh);
        }
    }

    async fn walk(&self, actual: &mut Components, update: &Update<'_>) -> Result<(), CatalogError> {
        let (id, plan, began) = (update.row.state.id, &update.plan, update.pending.started_at);
        let Some(arriving) = actual.arriving.get(&id).map(|arriving| arriving.model.clone()) else { return Ok(()) };
        let start_max = update.new.load_timeout(self.load_timeout);
        let first = || Rollout::launching(0, self.now());
        let mut place = update.row.state.rollout.clone().unwrap_or_else(first);
        loop {
            let now = self.now();
            if let Some(because) = plan.turns_back(&self.alarms, began, now) {
                return self.go_back(actual, update, turned_back(&because)).await;
            }
            let wanted = update.new_copies(place.step);
            scale(&arriving, wanted);
            if let Some(old) = actual.served.get(&id).and_then(|served| served.model.as_ref()) {
                scale(old, update.old_copies(place.step));
            }
            let are_up = copies_of(&arriving) >= wanted;
            match plan.next(&place, are_up, start_max, now) {
                Next::Launch => {
                    actual.look_at(Instant::now() + LOOK_AGAIN);
                    return self.note_place(update, place).await;
                }
                Next::Late => {
                    let why = arriving.instances.trouble().map(|why| format!(" {why}")).unwrap_or_default();
                    let reason = turned_back("its copies did not start in time") + &why;
                    return self.go_back(actual, update, reason).await;
                }
                Next::Finish => return self.finish(actual, update).await,
                Next::Share(baking) => {
                    self.share(actual, update, share_of(plan, place.step));
                    place = baking;
                    self.note_place(update, place.clone()).await?;
                }
                Next::Bake(left) => {
                    self.share(actual, update, share_of(plan, place.step));
                    actual.look_at(Instant::now() + plan.look_in(left, began, now));
                    return Ok(());
                }
                Next::Step(launching) => place = launching,
            }
        }
    }

    /// Publishes the new model's share, unless it is published.
    fn share(&self, actual: &mut Components, update: &Update<'_>, share: f32) {
        let id = update.row.state.id;
        if let Some(arriving) = actual.arriving.get_mut(&id) {
            arriving.component.weight = share;
        }
        if let Some(served) = actual.served.get_mut(&id) {
            served.component.weight = 1.0 - share;
        }
        self.publish(actual);
    }

    async fn note_place(&self, update: &Update<'_>, place: Rollout) -> Result<(), CatalogError> {
        if update.row.state.rollout.as_ref() == Some(&place) {
            return Ok(());
        }
        self.change(&update.row.state, EndpointStatus::Updating, update.told(place)).await
    }

    /// The new model takes all calls.
    async fn finish(&self, actual: &mut Components, update: &Update<'_>) -> Result<(), CatalogError> {
        if let Some(arriving) = actual.arriving.remove(&update.row.state.id) {
            scale(&arriving.model, update.new.instance_count);
            self.serve(actual, update.row, update.place, (update.pending, update.new, Some(arriving.model)));
        }
        self.publish(actual);
        let told = Told { current: Some(update.pending.clone()), ..Told::default() };
        self.change(&update.row.state, EndpointStatus::InService, told).await
    }

    /// Old copies that are asked for next on the way back.
    fn copies_back(&self, actual: &Components, update: &Update<'_>) -> i64 {
        let served = actual.served.get(&update.row.state.id);
        let up = served.and_then(|served| served.model.as_ref()).map_or(0, copies_of);
        update.plan.way_back(up.min(update.old.instance_count), update.old.instance_count)
    }

    /// Goes back as far as the old copies allow.
    async fn go_back(&self, actual: &mut Components, update: &Update<'_>, reason: String) -> Result<(), CatalogError> {
        let (id, all, now) = (update.row.state.id, update.old.instance_count, self.now());
        let place = update.row.state.rollout.clone().unwrap_or_else(|| Rollout::launching(0, now));
        let place = if place.rollback.is_some() { place } else { place.going_back(reason.clone(), now) };
        let next = self.copies_back(actual, update);
        let old = actual.served.get(&id).and_then(|served| served.model.clone());
        let Some(old) = old else { return self.note_place(update, place).await };
        scale(&old, next);
        let up = copies_of(&old).min(all);
        if up < all {
            let start_max = update.old.load_timeout(self.load_timeout);
            if left_of(start_max, place.since, now).is_zero() {
                actual.arriving.remove(&id);
                self.serve_old_alone(actual, update);
                let why = old.instances.trouble().map(|why| format!(" {why}")).unwrap_or_default();
                let reason = Some(format!("{reason} But its copies did not start again in time.{why}"));
                let told = Told { reason, current: Some(update.current.clone()), ..Told::default() };
                return self.turn_back(update.row, EndpointStatus::Failed, told).await;
            }
            self.share(actual, update, 1.0 - up as f32 / all as f32);
            actual.look_at(Instant::now() + LOOK_AGAIN);
            return self.note_place(update, place).await;
        }
        actual.arriving.remove(&id);
        self.serve_old_alone(actual, update);
        let deployment_config = update.pending.deployment_config.clone();
        let current = Deployment { deployment_config, ..update.current.clone() };
        let told = Told { reason: Some(reason), current: Some(current), ..Told::default() };
        self.turn_back(update.row, EndpointStatus::InService, told).await
    }

    fn serve_old_alone(&self, actual: &mut Components, update: &Update<'_>) {
        if let Some(served) = actual.served.get_mut(&update.row.state.id) {
            served.component.weight = 1.0;
        }
        self.publish(actual);
    }
}

fn turned_back(because: &str) -> String {
    format!("The update was rolled back because {because}. The component goes on with the model of before.")
}

fn share_of(plan: &Plan, step: usize) -> f32 {
    plan.steps.get(step).map_or(1.0, |step| step.share)
}

fn scale(model: &LoadedModel, copies: i64) {
    model.instances.scale(usize::try_from(copies).unwrap_or(0));
}

fn copies_of(model: &LoadedModel) -> i64 {
    i64::try_from(model.backend.instances()).unwrap_or(i64::MAX)
}

fn count(capacity: &Capacity, variant: &DeployedVariant) -> i64 {
    capacity.get(&variant.name).copied().unwrap_or(variant.instance_count)
}
