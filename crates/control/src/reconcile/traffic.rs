//! Walks an endpoint from its old deployment to the new one, step by step.
//!
//! ```text
//! new models load → step's instances start → step's traffic on, alarms looked at → … → all moved → old models go
//! ```
//!
//! The clock and the alarms are looked at in every pass and nothing sleeps here: a pass says when it wants the next.
//! Invariant: the table has a step's shares before the row says so; the old models stay loaded until the row says that
//! the new deployment is in service.

use std::time::Duration;

use captura_names::Timestamp;
use captura_wire::hosting::EndpointStatus;

use super::endpoint::{Actual, EndpointReconciler, Old, Told};
use super::loads::Progress;
use crate::catalog::{CatalogError, EndpointRow};
use crate::deployment::Deployment;
use crate::fleet::{LoadedFleet, ServedFleet};
use crate::rollout::{Plan, Rollout, Stage};

/// How often alarms, and instances that start, are looked at.
pub(super) const LOOK_AGAIN: Duration = Duration::from_secs(1);

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
            (Progress::Loading, Old::Serving) => match update.overdue(self.now()) {
                Some(reason) => self.go_back(actual, &update, reason).await,
                None => {
                    update.time_left(self.now()).into_iter().for_each(|left| actual.wake_in(left));
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
            let now = self.now();
            if let Some(reason) = self.alarm_raised(update).or_else(|| update.overdue(now)) {
                return self.go_back(actual, update, reason).await;
            }
            let (new_capacity, old_capacity) = update.capacities(place.step);
            new.scale(|variant| new_capacity.get(variant).copied());
            if plan.is_rolling {
                old.scale(|variant| old_capacity.get(variant).copied());
            }
            let is_last = place.step + 1 >= plan.steps.len();
            let wait_s = plan.steps.get(place.step).map_or(0, |step| step.wait_s);
            let left = left(place.since, u64::from(wait_s), now);
            match place.stage {
                Stage::Launching if !new.has(|variant| new_capacity.get(variant).copied()) => {
                    if left_of(self.load_timeout, place.since, now).is_zero() {
                        let reason = update.turned_back("its instances did not start in time") + &new.trouble();
                        return self.go_back(actual, update, reason).await;
                    }
                    actual.wake_in(LOOK_AGAIN);
                    return self.note_place(update, place).await;
                }
                Stage::Launching if is_last && wait_s == 0 => return self.finish(actual, update, new).await,
                Stage::Launching => {
                    self.share(actual, update, (&old, &new), place.step);
                    place = Rollout::baking(place.step, now);
                    self.note_place(update, place.clone()).await?;
                }
                Stage::Baking if !left.is_zero() => {
                    self.share(actual, update, (&old, &new), place.step);
                    let look = if plan.alarms.is_empty() { left } else { left.min(LOOK_AGAIN) };
                    actual.wake_in(update.time_left(now).map_or(look, |all| all.min(look)));
                    return Ok(());
                }
                Stage::Baking if is_last => return self.finish(actual, update, new).await,
                Stage::Baking => place = Rollout::launching(place.step + 1, now),
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

    fn alarm_raised(&self, update: &Move<'_>) -> Option<String> {
        let raised = self.alarms.raised(&update.plan.alarms);
        let names = raised.join(", ");
        (!raised.is_empty()).then(|| update.turned_back(&format!("these alarms are in state ALARM: {names}")))
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

    /// Why there is no more time, when there is none.
    fn overdue(&self, now: Timestamp) -> Option<String> {
        let longest_s = self.plan.longest_s?;
        self.time_left(now).filter(Duration::is_zero)?;
        Some(self.turned_back(&format!("it took longer than {longest_s} seconds (MaximumExecutionTimeoutInSeconds)")))
    }

    /// How much time there is for the whole.
    fn time_left(&self, now: Timestamp) -> Option<Duration> {
        self.plan.longest_s.map(|longest_s| left(self.pending.started_at, u64::from(longest_s), now))
    }
}

/// What is left of so many seconds.
fn left(since: Timestamp, seconds: u64, now: Timestamp) -> Duration {
    left_of(Duration::from_secs(seconds), since, now)
}

/// What is left of a time. A clock that was set back makes it longer, by no more than that.
pub(super) fn left_of(whole: Duration, since: Timestamp, now: Timestamp) -> Duration {
    let passed = u64::try_from(now.unix_us().saturating_sub(since.unix_us())).unwrap_or(0);
    whole.saturating_sub(Duration::from_micros(passed))
}
