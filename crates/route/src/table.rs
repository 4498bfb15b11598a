//! The routing table: an immutable snapshot of what is served.

use std::collections::HashMap;
use std::sync::Arc;

use captura_names::{EndpointName, VariantName};

use crate::{Backend, CapturePolicy};

/// Everything that is served at one moment.
#[derive(Debug, Default)]
pub struct RouteTable {
    endpoints: HashMap<EndpointName, Arc<Endpoint>>,
}

impl RouteTable {
    /// A table of these endpoints; a later one of the same name replaces an earlier one.
    pub fn new(endpoints: impl IntoIterator<Item = Endpoint>) -> Self {
        Self { endpoints: endpoints.into_iter().map(|endpoint| (endpoint.name.clone(), Arc::new(endpoint))).collect() }
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
    /// Its production variants, in the order of the configuration.
    pub variants: Vec<Variant>,
}

/// One variant: a model with its share of the traffic.
#[derive(Debug, Clone)]
pub struct Variant {
    /// Its name.
    pub name: VariantName,
    /// Share of traffic is this weight over the sum of weights.
    pub weight: f32,
    /// The model.
    pub backend: Arc<dyn Backend>,
    /// What is captured of its calls.
    pub capture: Arc<CapturePolicy>,
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

impl Endpoint {
    /// The variant for a call: the target if one is named, else by weight. `dice` is uniform in 0.0..1.0; the gateway
    /// throws it, so that the choice can be replayed.
    ///
    /// # Errors
    /// When the target does not exist, or no variant has weight.
    pub fn pick(&self, target: Option<&VariantName>, dice: f64) -> Result<&Variant, NoVariant> {
        if let Some(target) = target {
            return self
                .variants
                .iter()
                .find(|variant| variant.name == *target)
                .ok_or_else(|| NoVariant::Unknown(target.clone()));
        }
        if let [only] = self.variants.as_slice()
            && only.weight > 0.0
        {
            return Ok(only);
        }
        let total: f64 = self.variants.iter().map(|variant| f64::from(variant.weight)).sum();
        let mut left = dice * total;
        for variant in &self.variants {
            left -= f64::from(variant.weight);
            if left < 0.0 {
                return Ok(variant);
            }
        }
        // Rounding may leave a dust of the last share; it belongs to the last variant that has any.
        self.variants.iter().rev().find(|variant| variant.weight > 0.0).ok_or(NoVariant::AllWeightsZero)
    }
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
            };
            Variant { name: variant, weight: *weight, backend: Arc::new(Silent), capture: Arc::new(capture) }
        });
        let variants = variants.collect();
        Endpoint { name, region: "us-east-1".into(), account: "000000000000".into(), variants }
    }

    #[test]
    fn traffic_follows_the_weights() {
        let endpoint = endpoint(&[1.0, 3.0, 0.0]);
        let mut hits = [0_u32; 3];
        for step in 0..10_000 {
            let picked = endpoint.pick(None, f64::from(step) / 10_000.0).unwrap();
            hits[picked.name.as_str()[1..].parse::<usize>().unwrap()] += 1;
        }
        assert_eq!(hits, [2_500, 7_500, 0]);
    }

    #[test]
    fn a_target_overrides_the_weights_even_at_zero() {
        let endpoint = endpoint(&[1.0, 0.0]);
        let target = VariantName::parse("v1").unwrap();
        assert_eq!(endpoint.pick(Some(&target), 0.0).unwrap().name, target);
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
}
