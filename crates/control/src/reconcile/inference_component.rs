//! Makes what is served follow what the catalog says of inference components.
//!
//! ```text
//! Creating → InService | Failed     loaded once its endpoint is served; in the table before the row says InService
//! Updating → InService              with the new model or count, or with the old ones and a reason: a load that failed,
//!                                   or copies that did not start in time; in batches: `component_rollout`
//! Deleting → gone                   the table lacks the component before the row goes
//! InService, but not loaded         after a restart: loaded again, or Failed; tried again later, as the reason may pass
//! ```
//! A component is kept as a deployment of one variant, whose instances are its copies.
//!
//! Invariant: a component in the table has the capture policy of what its endpoint has in service.
//! Refuses to: load anything for an endpoint that is not served.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use captura_names::{EndpointName, InferenceComponentName, ModelName, ResourceKind, Timestamp};
use captura_route::{Answer, Backend, BackendError, CapturePolicy, Clock, Component, Invoking, ModelRequest};
use captura_wire::hosting::EndpointStatus;
use tokio::sync::Notify;
use tokio::time::Instant;
use uuid::Uuid;

use super::component_rollout::{Arriving, Update};
use super::endpoint::Told;
use super::loads::{LoadKey, Loads, Progress, Wanted};
use crate::alarms::Alarms;
use crate::catalog::{Catalog, CatalogError, ComponentRow, EndpointRow, StateChange, Work};
use crate::deployment::{DeployedVariant, Deployment};
use crate::fleet::StandingView;
use crate::guarantee::Guarantees;
use crate::models::LoadedModel;
use crate::publish::Publisher;
use crate::rollout::{Capacity, LOOK_AGAIN, left_of};

/// The reconciler of inference components.
pub(crate) struct ComponentReconciler {
    pub(crate) catalog: Catalog,
    pub(crate) clock: Clock,
    pub(crate) alarms: Alarms,
    pub(crate) publisher: Arc<Publisher>,
    pub(crate) standing: StandingView,
    pub(crate) nudge: Arc<Notify>,
    /// Longest time for copies to start, where the component states none.
    pub(crate) load_timeout: Duration,
    pub(crate) guarantees: Arc<Guarantees>,
    pub(crate) actual: tokio::sync::Mutex<Components>,
}

/// What is.
pub(crate) struct Components {
    pub(super) served: BTreeMap<i64, ServedComponent>,
    /// New models of components that are updated batch by batch.
    pub(super) arriving: BTreeMap<i64, Arriving>,
    pub(super) loads: Loads,
    /// What the table was told: rows, where their backends and policies lie, and their weights.
    published: Vec<(i64, usize, usize, u32)>,
    /// When to look again: copies start, of which nobody tells when they are up, or a failed load may be tried again.
    look_at: Option<Instant>,
    /// Answers for components without copies.
    empty: Arc<dyn Backend>,
}

/// How far a component is.
pub(super) enum Readiness {
    Underway,
    Ready,
    Failed(String),
}

/// A component that takes calls.
pub(super) struct ServedComponent {
    endpoint: i64,
    /// The deployment whose model is loaded.
    deployment: Uuid,
    /// The one before it, when that had the same model.
    before: Option<Uuid>,
    /// What the endpoint had in service when the policy was made.
    policy_of: Uuid,
    /// Nothing where there shall be no copies.
    pub(super) model: Option<LoadedModel>,
    pub(super) component: Component,
}

/// A component without copies.
#[derive(Debug)]
struct NoCopies;

impl Backend for NoCopies {
    fn invoke<'a>(&'a self, _: &'a ModelRequest) -> Invoking<'a> {
        let why = "the inference component has no copies".to_owned();
        Box::pin(async { Err::<Answer, _>(BackendError::Unavailable(why)) })
    }

    fn instances(&self) -> usize {
        0
    }
}

impl Components {
    pub(crate) fn new(loads: Loads) -> Self {
        let (served, arriving, empty) = (BTreeMap::new(), BTreeMap::new(), Arc::new(NoCopies));
        Self { served, arriving, loads, published: Vec::new(), look_at: None, empty }
    }

    pub(super) fn look_at(&mut self, at: Instant) {
        self.look_at = Some(self.look_at.map_or(at, |sooner| sooner.min(at)));
    }
}

impl ServedComponent {
    /// Whether the model that is loaded is that deployment's too.
    pub(super) fn has_model_of(&self, wanted: &Deployment) -> bool {
        let mine = [Some(self.deployment), self.before];
        mine.contains(&Some(wanted.id)) || wanted.models_of == Some(self.deployment)
    }
}

/// Where a component is to serve: its endpoint, and what that has in service.
pub(super) type Place<'a> = (&'a EndpointRow, &'a Deployment);

impl ComponentReconciler {
    /// One pass. Gives how many components that were in service before are still being loaded.
    pub(crate) async fn reconcile(&self) -> Result<usize, CatalogError> {
        let mut actual = self.actual.lock().await;
        actual.look_at = None;
        let read = |work: &Work<'_>| Ok::<_, CatalogError>((work.components()?, work.endpoints()?));
        let (rows, endpoints) = self.catalog.run(read).await?;
        let wanted: Vec<_> = rows.iter().flat_map(wanted_loads).collect();
        actual.loads.keep_only(&wanted);
        actual.served.retain(|id, _| rows.iter().any(|row| row.state.id == *id));
        actual.arriving.retain(|id, _| rows.iter().any(|row| row.state.id == *id && row.state.pending.is_some()));
        let mut loading = 0;
        for row in &rows {
            if row.state.status == EndpointStatus::Deleting {
                self.remove(&mut actual, &row.state).await?;
                continue;
            }
            let mine = |endpoint: &&EndpointRow| endpoint.name.as_str().eq_ignore_ascii_case(row.endpoint.as_str());
            let place = endpoints.iter().find(mine).and_then(|endpoint| Some((endpoint, endpoint.current.as_ref()?)));
            // Until its endpoint serves there is nothing to share.
            if let Some(place) = place.filter(|(endpoint, _)| self.standing.borrow().contains_key(&endpoint.id)) {
                self.reconcile_one(&mut actual, row, place).await?;
            }
            let is_served = actual.served.contains_key(&row.state.id);
            loading += usize::from(!is_served && row.state.current.is_some() && actual.loads.is_running(row.state.id));
        }
        self.publish(&mut actual);
        Ok(loading)
    }

    /// When there will be something new to see, of which nobody tells.
    pub(crate) async fn look_at(&self) -> Option<Instant> {
        self.actual.lock().await.look_at
    }

    async fn remove(&self, actual: &mut Components, state: &EndpointRow) -> Result<(), CatalogError> {
        actual.served.remove(&state.id);
        self.publish(actual);
        let name = state.name.clone();
        self.catalog.run(move |work| work.delete(ResourceKind::InferenceComponent, name.as_str())).await?;
        tracing::info!(component = %state.name, "the inference component is gone");
        self.nudge.notify_one();
        Ok(())
    }

    async fn reconcile_one(
        &self,
        actual: &mut Components,
        row: &ComponentRow,
        place: Place<'_>,
    ) -> Result<(), CatalogError> {
        let state = &row.state;
        let wanted = match state.status {
            // What was never in service is not tried again by itself.
            EndpointStatus::Failed => state.current.as_ref(),
            _ => state.pending.as_ref().or(state.current.as_ref()),
        };
        let Some(wanted) = wanted else { return Ok(()) };
        self.renew_policy(actual, row, place);
        if let Some(update) = Update::of(row, place) {
            return self.roll(actual, &update).await;
        }
        match (state.status, self.load(actual, row, place, wanted)) {
            (EndpointStatus::InService, Readiness::Ready) | (_, Readiness::Underway) => Ok(()),
            (_, Readiness::Ready) => {
                self.publish(actual);
                let told = Told { current: Some(wanted.clone()), ..Told::default() };
                self.change(state, EndpointStatus::InService, told).await
            }
            (EndpointStatus::Failed, Readiness::Failed(_)) => {
                let retry_at = actual.loads.retry_at((state.id, wanted.id));
                retry_at.into_iter().for_each(|at| actual.look_at(at));
                Ok(())
            }
            (EndpointStatus::Creating, Readiness::Failed(reason)) => {
                let told = Told { reason: Some(reason), pending: Some(wanted.clone()), ..Told::default() };
                self.change(state, EndpointStatus::Failed, told).await
            }
            (EndpointStatus::Updating, Readiness::Failed(reason)) => {
                let told = Told { reason: Some(reason), current: state.current.clone(), ..Told::default() };
                self.turn_back(row, EndpointStatus::InService, told).await
            }
            (_, Readiness::Failed(reason)) => {
                let reason =
                    Some(format!("After a restart the inference component could not be loaded again. {reason}"));
                let told = Told { reason, current: Some(wanted.clone()), ..Told::default() };
                self.change(state, EndpointStatus::Failed, told).await
            }
        }
    }

    /// How far the model and its copies are. Once it is loaded, it serves.
    pub(super) fn load(
        &self,
        actual: &mut Components,
        row: &ComponentRow,
        place: Place<'_>,
        wanted: &Deployment,
    ) -> Readiness {
        let [variant] = wanted.variants.as_slice() else {
            return Readiness::Failed("the catalog holds no model for it".to_owned());
        };
        let count = variant.instance_count;
        let known = actual.served.get(&row.state.id);
        let known = known.filter(|served| served.has_model_of(wanted) && (served.model.is_some() || count == 0));
        let model = match known.map(|served| served.model.clone()) {
            Some(model) => model,
            None if count == 0 => None,
            None => {
                let asked = Wanted { endpoint: &place.0.name, deployment: wanted, capacity: Capacity::new() };
                let key = (row.state.id, wanted.id);
                let progress = match row.state.status {
                    EndpointStatus::Creating | EndpointStatus::Updating => actual.loads.progress(key, asked),
                    // It was in service: what keeps it from loading may pass.
                    _ => actual.loads.retry(key, asked),
                };
                match progress {
                    Progress::Loading => return Readiness::Underway,
                    Progress::Failed(reason) => return Readiness::Failed(reason),
                    Progress::Loaded(fleet) => fleet.variants.first().map(|loaded| loaded.model.clone()),
                }
            }
        };
        if let Some(model) = model.as_ref().filter(|_| count > 0) {
            model.instances.scale(usize::try_from(count).unwrap_or(0));
        }
        let trouble = model.as_ref().and_then(|model| model.instances.trouble());
        let up = self.serve(actual, row, place, (wanted, variant, model));
        if up >= count {
            return Readiness::Ready;
        }
        // One in service whose copy died gets it back without being looked at.
        if row.state.status == EndpointStatus::InService {
            return Readiness::Underway;
        }
        let timeout = variant.load_timeout(self.load_timeout);
        if left_of(timeout, wanted.started_at, self.clock.now()).is_zero() {
            let why = trouble.map(|why| format!(" {why}")).unwrap_or_default();
            return Readiness::Failed(format!(
                "Only {up} of {count} copies started within {} s.{why}",
                timeout.as_secs()
            ));
        }
        actual.look_at(Instant::now() + LOOK_AGAIN);
        Readiness::Underway
    }

    /// Gives how many copies are up.
    pub(super) fn serve(
        &self,
        actual: &mut Components,
        row: &ComponentRow,
        (endpoint, in_service): Place<'_>,
        (wanted, variant, model): (&Deployment, &DeployedVariant, Option<LoadedModel>),
    ) -> i64 {
        // A component keeps its model for the next copies, but without copies none answers.
        let live = model.clone().filter(|_| variant.instance_count > 0);
        let backend = live.map_or_else(|| Arc::clone(&actual.empty), |model| model.backend);
        let place = (endpoint, in_service);
        let signature = model.as_ref().and_then(|model| model.backend.signature());
        let fresh = Arc::new(policy(row, place, variant, &self.guarantees).with_signature(signature));
        // The one that is known stays, so that nothing is published anew.
        let known = actual.served.get(&row.state.id).filter(|served| served.component.capture == fresh);
        let capture = known.map_or(fresh, |served| Arc::clone(&served.component.capture));
        let up = i64::try_from(backend.instances()).unwrap_or(i64::MAX);
        // During an update in batches the shares are that way's to change.
        let known = actual.served.get(&row.state.id).filter(|_| actual.arriving.contains_key(&row.state.id));
        let weight = known.map_or(1.0, |served| served.component.weight);
        let component = Component { name: row.name(), weight, backend, capture };
        let (endpoint, policy_of) = (endpoint.id, in_service.id);
        let known = actual.served.get(&row.state.id).filter(|served| served.has_model_of(wanted));
        let before =
            known.and_then(|known| if known.deployment == wanted.id { known.before } else { Some(known.deployment) });
        let served = ServedComponent { endpoint, deployment: wanted.id, before, policy_of, model, component };
        actual.served.insert(row.state.id, served);
        up
    }

    /// Tells the table, when it has not been told yet.
    pub(super) fn publish(&self, actual: &mut Components) {
        let mut components: BTreeMap<i64, Vec<Component>> = BTreeMap::new();
        let mut published = Vec::new();
        for (id, served) in &actual.served {
            let arriving = actual.arriving.get(id).map(|arriving| &arriving.component);
            let arriving = arriving.filter(|component| component.weight > 0.0);
            for component in [Some(&served.component), arriving].into_iter().flatten() {
                // The table that was told holds them, so no other one can have their addresses.
                let backend = Arc::as_ptr(&component.backend).cast::<()>().addr();
                let capture = Arc::as_ptr(&component.capture).addr();
                published.push((*id, backend, capture, component.weight.to_bits()));
                components.entry(served.endpoint).or_default().push(component.clone());
            }
        }
        if published != actual.published {
            actual.published = published;
            self.publisher.publish_components(components);
        }
    }

    pub(super) async fn change(&self, state: &EndpointRow, to: EndpointStatus, told: Told) -> Result<(), CatalogError> {
        let change = self.state_change(state, to, told);
        self.catalog.run(move |work| work.change_endpoint(&change)).await?;
        self.nudge.notify_one();
        Ok(())
    }

    /// Back to what was in service, and to what was said of it.
    pub(super) async fn turn_back(
        &self,
        row: &ComponentRow,
        to: EndpointStatus,
        told: Told,
    ) -> Result<(), CatalogError> {
        let change = self.state_change(&row.state, to, told);
        let before = row.definition_before();
        let act = move |work: &Work<'_>| {
            let changed = work.change_endpoint(&change)?;
            match before.filter(|_| changed) {
                Some(definition) => work.redefine(change.id, &definition),
                None => Ok::<_, CatalogError>(()),
            }
        };
        self.catalog.run(act).await?;
        self.nudge.notify_one();
        Ok(())
    }

    fn state_change(&self, state: &EndpointRow, to: EndpointStatus, told: Told) -> StateChange {
        let Told { reason, current, pending, rollout } = told;
        if let Some(reason) = &reason {
            tracing::warn!(component = %state.name, status = to.as_str(), %reason, "the inference component is not as it was asked for");
        }
        StateChange {
            id: state.id,
            from: state.status,
            to,
            failure_reason: reason.map(|reason| super::endpoint::bounded(&reason)),
            current,
            pending,
            rollout,
            at: self.now(),
        }
    }

    /// Now, in the precision in which clients see it.
    pub(super) fn now(&self) -> Timestamp {
        Timestamp::from_unix_us(self.clock.now().unix_us() / 1_000 * 1_000)
    }
}

impl ComponentReconciler {
    /// What is captured of the calls of a component's model.
    pub(super) fn policy_of(
        &self,
        row: &ComponentRow,
        place: Place<'_>,
        variant: &DeployedVariant,
        backend: &dyn Backend,
    ) -> CapturePolicy {
        policy(row, place, variant, &self.guarantees).with_signature(backend.signature())
    }

    /// Gives the component the policy of what its endpoint has in service now.
    fn renew_policy(&self, actual: &mut Components, row: &ComponentRow, (endpoint, in_service): Place<'_>) {
        let variant = row.state.current.as_ref().and_then(|current| current.variants.first());
        let served = actual.served.get_mut(&row.state.id).filter(|served| served.policy_of != in_service.id);
        if let (Some(served), Some(variant)) = (served, variant) {
            served.policy_of = in_service.id;
            let fresh = policy(row, (endpoint, in_service), variant, &self.guarantees);
            served.component.capture = Arc::new(fresh.with_signature(served.component.capture.signature.as_ref()));
        }
    }
}

fn policy(
    row: &ComponentRow,
    (endpoint, in_service): Place<'_>,
    variant: &DeployedVariant,
    guarantees: &Guarantees,
) -> CapturePolicy {
    let name: &EndpointName = &endpoint.name;
    in_service.capture_policy(name, variant, &model_name(row, variant), guarantees)
}

/// The model's name, and of a component that brings its own container, the component's.
fn model_name(row: &ComponentRow, variant: &DeployedVariant) -> ModelName {
    let own = || ModelName::parse(row.state.name.as_str()).expect("our bug: names of components are names of models");
    variant.model_name.clone().unwrap_or_else(own)
}

/// What its status makes worth loading.
fn wanted_loads(row: &ComponentRow) -> Vec<LoadKey> {
    let state = &row.state;
    let deployments = match state.status {
        EndpointStatus::Deleting => [None, None],
        EndpointStatus::Failed => [state.current.as_ref(), None],
        _ => [state.current.as_ref(), state.pending.as_ref()],
    };
    deployments.into_iter().flatten().map(|deployment| (state.id, deployment.id)).collect()
}

impl ComponentRow {
    pub(super) fn name(&self) -> InferenceComponentName {
        InferenceComponentName::parse(self.state.name.as_str()).expect("our bug: it was parsed when it came")
    }
}
