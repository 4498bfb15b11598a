//! What `DescribeEndpoint` tells of a variant: images, weights, instances, and what happens to it.
//!
//! Instances that are up are counted, not taken from what was asked for. An image is told with the digest that its
//! container was started from. Images that are built into this program, and those that are not loaded, have nothing that
//! could name their content; they are resolved to a digest of the image's name and the program's version, which changes
//! exactly when what runs may have changed.

use captura_names::Timestamp;
use captura_wire::hosting::{DeployedImage, PendingProductionVariantSummary, ProductionVariantSummary, VariantStatus};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::endpoint_view::View;
use crate::deployment::{DeployedModel, DeployedVariant, Deployment};
use crate::fleet::LoadedVariant;
use crate::rollout::Stage;

/// A variant of the deployment in service.
pub(super) fn variant(view: &View<'_>, current: &Deployment, one: &DeployedVariant) -> ProductionVariantSummary {
    // While only weights and counts change, what is desired already differs from what is.
    let adjusted = view.pending.filter(|pending| pending.models_of == Some(current.id));
    let wanted =
        adjusted.and_then(|pending| pending.all_variants().find(|other| other.name == one.name)).unwrap_or(one);
    let loaded = view.served.and_then(|served| served.loaded(loaded_as(view, current), one));
    let count = current_count(view, current, one);
    let statuses = match (view.pending, adjusted) {
        (None, _) | (Some(_), Some(_)) => changing_count(view, (count, wanted), current.started_at),
        (Some(_), None) => leaving(view, one),
    };
    summary((one, loaded), wanted, (current.started_at, count), statuses)
}

/// A variant of the deployment under way.
pub(super) fn pending_variant(
    view: &View<'_>,
    pending: &Deployment,
    one: &DeployedVariant,
) -> PendingProductionVariantSummary {
    let count = view.served.map_or(0, |served| served.instances(pending.id, one));
    let loaded = view.served.and_then(|served| served.loaded(pending.id, one));
    let statuses = vec![arriving(view, pending, one)];
    PendingProductionVariantSummary {
        summary: summary((one, loaded), one, (pending.started_at, count), statuses),
        instance_type: one.instance_type.clone(),
    }
}

fn summary(
    (one, loaded): (&DeployedVariant, Option<&LoadedVariant>),
    wanted: &DeployedVariant,
    (since, count): (Timestamp, i64),
    variant_status: Vec<VariantStatus>,
) -> ProductionVariantSummary {
    let is_serverless = one.serverless.is_some();
    ProductionVariantSummary {
        variant_name: one.name.clone(),
        deployed_images: one
            .model
            .iter()
            .flat_map(DeployedModel::containers)
            .enumerate()
            .map(|(place, container)| {
                let resolved = loaded.and_then(|loaded| loaded.model.backend.resolved_image(place));
                deployed_image(&container.image, resolved.as_deref(), since)
            })
            .collect(),
        current_weight: one.weight,
        desired_weight: wanted.weight,
        current_instance_count: if is_serverless { 0 } else { count },
        desired_instance_count: (!is_serverless).then_some(wanted.instance_count),
        variant_status,
        current_serverless_config: one.serverless,
        desired_serverless_config: wanted.serverless,
        managed_instance_scaling: one.managed_instance_scaling.clone(),
        routing_config: one.routing_config.clone(),
    }
}

/// Instances that are up.
fn current_count(view: &View<'_>, current: &Deployment, one: &DeployedVariant) -> i64 {
    view.served.map_or(0, |served| served.instances(loaded_as(view, current), one))
}

/// The deployment that the models in the table belong to: while weights and counts change, what is pending.
fn loaded_as(view: &View<'_>, current: &Deployment) -> Uuid {
    let adjusted = view.pending.filter(|pending| pending.models_of == Some(current.id));
    match (adjusted, view.served) {
        (Some(pending), Some(served)) if served.fleet(current.id).is_none() => pending.id,
        _ => current.id,
    }
}

fn changing_count(view: &View<'_>, (count, wanted): (i64, &DeployedVariant), since: Timestamp) -> Vec<VariantStatus> {
    if view.served.is_none() || count == wanted.instance_count || wanted.serverless.is_some() {
        return Vec::new();
    }
    let direction = if count < wanted.instance_count { "out" } else { "in" };
    let text = format!("Scaling {direction} desired instance count to {}.", wanted.instance_count);
    vec![status("Updating", text, since)]
}

/// What happens to a variant that is on its way out.
fn leaving(view: &View<'_>, one: &DeployedVariant) -> Vec<VariantStatus> {
    match view.rollout {
        Some(place) if view.plan.is_rolling && place.stage == Stage::Launching && place.step > 0 => {
            let before = view.plan.steps.get(place.step - 1).map_or(0, |step| step.instances(one.instance_count));
            vec![status("Deleting", format!("Terminating {before} instance(s)."), place.since)]
        }
        _ => Vec::new(),
    }
}

/// What happens to a variant that is on its way in.
fn arriving(view: &View<'_>, pending: &Deployment, one: &DeployedVariant) -> VariantStatus {
    let launching = |count: i64, since| status("Creating", format!("Launching {count} instance(s)."), since);
    let Some(place) = view.rollout else {
        let first = view.plan.new_capacity(0, pending).get(&one.name).copied();
        return launching(first.unwrap_or(one.instance_count), pending.started_at);
    };
    if place.rollback.is_some() {
        let text = format!("Terminating {} instance(s).", one.instance_count);
        return status("Deleting", text, place.since);
    }
    let Some(step) = view.plan.steps.get(place.step) else { return launching(one.instance_count, place.since) };
    let count = step.instances(one.instance_count);
    match place.stage {
        Stage::Launching if view.plan.is_rolling => launching(count, place.since),
        Stage::Launching => {
            status("ActivatingTraffic", format!("Activating traffic on {count} instance(s)."), place.since)
        }
        Stage::Baking => {
            let text = format!(
                "Baking for {} seconds ({}) with traffic enabled on {} of {count} instance(s).",
                step.wait_s, step.wait_member, step.capacity
            );
            status("Baking", text, place.since)
        }
    }
}

fn status(status: &'static str, status_message: String, start_time: Timestamp) -> VariantStatus {
    VariantStatus { status, status_message, start_time }
}

/// An image, with what the running model says of its content.
pub(super) fn deployed_image(image: &str, content: Option<&str>, resolution_time: Timestamp) -> DeployedImage {
    let resolved_image = content.map_or_else(|| resolved(image), str::to_owned);
    DeployedImage { specified_image: image.to_owned(), resolved_image, resolution_time }
}

/// `repository@sha256:digest`.
fn resolved(image: &str) -> String {
    if image.contains("@sha256:") {
        return image.to_owned();
    }
    let name_begins = image.rfind('/').map_or(0, |slash| slash + 1);
    let repository = image[name_begins..].find(':').map_or(image, |colon| &image[..name_begins + colon]);
    let digest = Sha256::digest(format!("{image} in captura {}", env!("CARGO_PKG_VERSION")));
    let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{repository}@sha256:{digest}")
}

#[cfg(test)]
mod tests {
    use super::resolved;

    #[test]
    fn images_are_resolved_to_their_repository_and_a_digest() {
        for (image, repository) in [
            ("captura/echo", "captura/echo"),
            ("captura/echo:1", "captura/echo"),
            ("localhost:5000/team/model:2.1", "localhost:5000/team/model"),
            ("localhost:5000/model", "localhost:5000/model"),
        ] {
            let (name, digest) = resolved(image).split_once("@sha256:").map(|(a, b)| (a.to_owned(), b.len())).unwrap();
            assert_eq!((name.as_str(), digest), (repository, 64));
            assert_eq!(resolved(image), resolved(image));
        }
        assert_ne!(resolved("a:1"), resolved("a:2"));
        assert_eq!(resolved("a@sha256:12"), "a@sha256:12");
    }
}
