//! The routing table: an immutable snapshot of what is served.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use captura_names::{EndpointName, InferenceComponentName, S3Uri, VariantName};

use serde::{Deserialize, Serialize};

use crate::{Backend, CapturePolicy};

/// Everything that is served at one moment.
#[derive(Debug, Default)]
pub struct RouteTable {
    endpoints: HashMap<EndpointName, Arc<Endpoint>>,
    returning: BTreeSet<EndpointName>,
}

impl RouteTable {
    /// A table of these endpoints; a later one of the same name replaces an earlier one.
    pub fn new(endpoints: impl IntoIterator<Item = Endpoint>) -> Self {
        let endpoints = endpoints.into_iter().map(|endpoint| (endpoint.name.clone(), Arc::new(endpoint))).collect();
        Self { endpoints, returning: BTreeSet::new() }
    }

    /// The same table, and endpoints that were served before a restart and are still being loaded.
    #[must_use]
    pub fn with_returning(self, returning: BTreeSet<EndpointName>) -> Self {
        Self { returning, ..self }
    }

    /// Whether the endpoint was served before a restart and is still being loaded.
    #[must_use]
    pub fn is_returning(&self, name: &EndpointName) -> bool {
        self.returning.contains(name)
    }

    /// The endpoint of that name, if it is served.
    #[must_use]
    pub fn endpoint(&self, name: &EndpointName) -> Option<&Arc<Endpoint>> {
        self.endpoints.get(name)
    }

    /// All endpoints, in no order.
    pub fn endpoints(&self) -> impl Iterator<Item = &Arc<Endpoint>> {
        self.endpoints.values()
    }
}

/// One endpoint that takes calls.
#[derive(Debug)]
pub struct Endpoint {
    /// Its name.
    pub name: EndpointName,
    /// Region of the request that created it, e.g. `us-east-1`; error texts quote it.
    pub region: String,
    /// Account, twelve digits.
    pub account: String,
    /// What takes calls: one fleet, and during a deployment the old and the new one side by side.
    pub fleets: Vec<Fleet>,
    /// Inference components that share the endpoint; calls name the one they mean.
    pub components: Vec<Component>,
    /// Set when the endpoint takes asynchronous invocations, and then only those.
    pub async_inference: Option<Arc<AsyncInference>>,
    /// Which metrics are published how often.
    pub metrics: MetricsPolicy,
}

/// Which metrics of an endpoint are published, and how often.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MetricsPolicy {
    /// Instances and copies are told apart, and calls are told as often as utilization is.
    pub enhanced: bool,
    /// How often utilization is told; as the server has it where nothing is said.
    pub every: Option<Duration>,
}

/// One deployed configuration with its share of the endpoint's traffic.
#[derive(Debug, Clone, Default)]
pub struct Fleet {
    /// Share of traffic is this weight over the sum of the fleets' weights.
    pub weight: f32,
    /// Its production variants, in the order of the configuration.
    pub variants: Vec<Variant>,
    /// Variants that get copies of the calls; nobody gets their answers.
    pub shadows: Vec<Variant>,
}

/// One variant: a model with its share of the traffic.
#[derive(Debug, Clone)]
pub struct Variant {
    /// Its name.
    pub name: VariantName,
    /// Share of traffic is this weight over the sum of weights; of a shadow, the share of calls it gets copies of is
    /// this weight over that of the production variants, at most all.
    pub weight: f32,
    /// The model.
    pub backend: Arc<dyn Backend>,
    /// What is captured of its calls.
    pub capture: Arc<CapturePolicy>,
    /// Most calls at the same time, where the configuration says so.
    pub concurrency_max: Option<u32>,
}

/// One inference component: a model that shares the instances of a variant. The variant stands in the policy. While a
/// component is updated batch by batch, its old and its new model stand here side by side under one name.
#[derive(Debug, Clone)]
pub struct Component {
    /// Its name.
    pub name: InferenceComponentName,
    /// Its share of the component's calls is this weight over the sum of those of its name.
    pub weight: f32,
    /// The model.
    pub backend: Arc<dyn Backend>,
    /// What is captured of its calls.
    pub capture: Arc<CapturePolicy>,
}

/// How an endpoint works off asynchronous invocations.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AsyncInference {
    /// Below it answers are put; the caller may name its own place with every call when this is absent.
    pub output: Option<S3Uri>,
    /// Below it the words of failures are put.
    pub failure: Option<S3Uri>,
    /// Key for server-side encryption of both.
    pub kms_key_id: Option<String>,
    /// Whom to tell of an answer, an ARN.
    pub success_topic: Option<String>,
    /// Whom to tell of a failure, an ARN.
    pub error_topic: Option<String>,
    /// Notices of these topics carry the answer itself: `SUCCESS_NOTIFICATION_TOPIC`, `ERROR_NOTIFICATION_TOPIC`.
    pub include_response_in: Vec<String>,
    /// Most calls in flight per instance; a default of the server's where nothing is said.
    pub concurrency_max: Option<u32>,
}

/// Why no variant takes the call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoVariant {
    /// The caller asked for a variant that does not exist.
    #[error("variant {0} does not exist on this endpoint")]
    Unknown(VariantName),
    /// Every weight is zero.
    #[error("all variants of this endpoint have weight 0")]
    AllWeightsZero,
}

/// Where a picked variant stands: index of its fleet, and of the variant in it.
pub type Place = (usize, usize);

impl Endpoint {
    /// All production variants, fleet by fleet; a name may come twice during a deployment.
    pub fn variants(&self) -> impl Iterator<Item = &Variant> {
        self.fleets.iter().flat_map(|fleet| &fleet.variants)
    }

    /// The variant at a place that [`Endpoint::pick`] gave.
    #[must_use]
    pub fn at(&self, (fleet, variant): Place) -> &Variant {
        &self.fleets[fleet].variants[variant]
    }

    /// The variant for a call: the target if one is named, else by weight. `dice` is uniform in 0.0..1.0; the gateway
    /// throws it, so that the choice can be replayed. One throw decides about the fleet first, and what is left of it
    /// about the variant. A target that the chosen fleet lacks is looked for in the others.
    ///
    /// # Errors
    /// When the target does not exist, or no variant has weight.
    pub fn pick(&self, target: Option<&VariantName>, dice: f64) -> Result<Place, NoVariant> {
        let chosen = by_weight(&self.fleets, |fleet| fleet.weight, dice);
        if let Some(target) = target {
            let named = |fleet: usize| {
                let place = self.fleets[fleet].variants.iter().position(|variant| variant.name == *target);
                place.map(|variant| (fleet, variant))
            };
            let first = chosen.and_then(|(fleet, _)| named(fleet));
            return first
                .or_else(|| (0..self.fleets.len()).find_map(named))
                .ok_or_else(|| NoVariant::Unknown(target.clone()));
        }
        let (fleet, left) = chosen.ok_or(NoVariant::AllWeightsZero)?;
        let picked = by_weight(&self.fleets[fleet].variants, |variant| variant.weight, left);
        picked.map(|(variant, _)| (fleet, variant)).ok_or(NoVariant::AllWeightsZero)
    }

    /// Whether calls must name an inference component: there are some, or nothing else could take a call.
    #[must_use]
    pub fn has_components(&self) -> bool {
        !self.components.is_empty() || self.fleets.iter().all(|fleet| fleet.variants.is_empty())
    }

    /// Where in the components the model is that takes a call of the component of that name; the old or the new one by
    /// weight while it is updated. `dice` as in [`Endpoint::pick`].
    #[must_use]
    pub fn pick_component(&self, name: &InferenceComponentName, dice: f64) -> Option<usize> {
        let weight = |component: &Component| if component.name == *name { component.weight } else { 0.0 };
        by_weight(&self.components, weight, dice).map(|(place, _)| place)
    }
}

/// Which of these the dice points at, and the dice for a choice inside it; nothing when all weights are zero.
fn by_weight<T>(all: &[T], weight: impl Fn(&T) -> f32, dice: f64) -> Option<(usize, f64)> {
    if let [only] = all {
        return (weight(only) > 0.0).then_some((0, dice));
    }
    let total: f64 = all.iter().map(|one| f64::from(weight(one))).sum();
    let mut left = dice * total;
    for (index, one) in all.iter().enumerate() {
        let share = f64::from(weight(one));
        if left < share {
            return Some((index, left / share));
        }
        left -= share;
    }
    // Rounding may leave a dust of the last share; it belongs to the last one that has any.
    all.iter().rposition(|one| weight(one) > 0.0).map(|index| (index, 1.0 - f64::EPSILON))
}

#[cfg(test)]
mod tests {
    use captura_names::{EndpointConfigName, ModelName};

    use super::*;
    use crate::{Answer, Invoking, ModelRequest};

    #[derive(Debug)]
    struct Silent;

    impl Backend for Silent {
        fn invoke<'a>(&'a self, _: &'a ModelRequest) -> Invoking<'a> {
            Box::pin(async { Ok(Answer::default()) })
        }
    }

    fn endpoint(weights: &[f32]) -> Endpoint {
        let name = EndpointName::parse("e").unwrap();
        let variants = weights.iter().enumerate().map(|(index, weight)| {
            let variant = VariantName::parse(&format!("v{index}")).unwrap();
            let capture = CapturePolicy {
                endpoint: name.clone(),
                variant: variant.clone(),
                model: ModelName::parse("m").unwrap(),
                endpoint_config: EndpointConfigName::parse("c").unwrap(),
                settings: None,
                signature: None,
                redaction: None,
            };
            Variant {
                name: variant,
                weight: *weight,
                backend: Arc::new(Silent),
                capture: Arc::new(capture),
                concurrency_max: None,
            }
        });
        let fleet = Fleet { weight: 1.0, variants: variants.collect(), shadows: Vec::new() };
        let (region, account) = ("us-east-1".into(), "000000000000".into());
        Endpoint {
            name,
            region,
            account,
            fleets: vec![fleet],
            components: Vec::new(),
            async_inference: None,
            metrics: MetricsPolicy::default(),
        }
    }

    #[test]
    fn traffic_follows_the_weights() {
        let endpoint = endpoint(&[1.0, 3.0, 0.0]);
        let mut hits = [0_u32; 3];
        for step in 0..10_000 {
            let picked = endpoint.at(endpoint.pick(None, f64::from(step) / 10_000.0).unwrap());
            hits[picked.name.as_str()[1..].parse::<usize>().unwrap()] += 1;
        }
        assert_eq!(hits, [2_500, 7_500, 0]);
    }

    #[test]
    fn a_target_overrides_the_weights_even_at_zero() {
        let endpoint = endpoint(&[1.0, 0.0]);
        let target = VariantName::parse("v1").unwrap();
        assert_eq!(endpoint.at(endpoint.pick(Some(&target), 0.0).unwrap()).name, target);
        let unknown = VariantName::parse("v9").unwrap();
        assert_eq!(endpoint.pick(Some(&unknown), 0.0).unwrap_err(), NoVariant::Unknown(unknown));
    }

    #[test]
    fn no_weight_no_variant() {
        assert_eq!(endpoint(&[0.0]).pick(None, 0.5).unwrap_err(), NoVariant::AllWeightsZero);
        assert_eq!(endpoint(&[0.0, 0.0]).pick(None, 0.5).unwrap_err(), NoVariant::AllWeightsZero);
    }

    #[test]
    fn the_largest_dice_still_finds_a_variant() {
        let endpoint = endpoint(&[0.1, 0.2, 0.7]);
        assert!(endpoint.pick(None, 1.0 - f64::EPSILON / 2.0).is_ok());
    }

    #[test]
    fn during_its_update_a_components_two_models_share_its_calls_and_no_other_ones() {
        let mut endpoint = endpoint(&[1.0]);
        let variant = endpoint.fleets[0].variants[0].clone();
        let component = |name: &str, weight: f32| Component {
            name: InferenceComponentName::parse(name).unwrap(),
            weight,
            backend: Arc::clone(&variant.backend),
            capture: Arc::clone(&variant.capture),
        };
        endpoint.components = vec![component("a", 0.75), component("b", 1.0), component("a", 0.25)];
        let hits = |name: &str| {
            let name = InferenceComponentName::parse(name).unwrap();
            let mut hits = [0_u32; 3];
            for step in 0..1_000 {
                hits[endpoint.pick_component(&name, f64::from(step) / 1_000.0).unwrap()] += 1;
            }
            hits
        };
        assert_eq!((hits("a"), hits("b")), ([750, 0, 250], [0, 1_000, 0]));
        assert_eq!(endpoint.pick_component(&InferenceComponentName::parse("c").unwrap(), 0.5), None);
    }

    #[test]
    fn during_a_deployment_fleets_share_the_traffic_and_variants_share_their_fleets_part() {
        let mut endpoint = endpoint(&[1.0, 1.0]);
        let mut new = endpoint.fleets[0].clone();
        (endpoint.fleets[0].weight, new.weight) = (0.9, 0.1);
        new.variants.truncate(1);
        endpoint.fleets.push(new);
        let mut hits = [[0_u32; 2]; 2];
        for step in 0..10_000 {
            let (fleet, variant) = endpoint.pick(None, f64::from(step) / 10_000.0).unwrap();
            hits[fleet][variant] += 1;
        }
        assert!(hits[0][0].abs_diff(4_500) <= 1 && hits[0][1].abs_diff(4_500) <= 1, "{hits:?}");
        assert!(hits[1][0].abs_diff(1_000) <= 1 && hits[1][1] == 0, "{hits:?}");
        let only_old = VariantName::parse("v1").unwrap();
        assert_eq!(endpoint.pick(Some(&only_old), 0.95), Ok((0, 1)), "the new fleet has no such variant");
        assert_eq!(endpoint.pick(Some(&VariantName::parse("v0").unwrap()), 0.95), Ok((1, 0)));
    }
}
