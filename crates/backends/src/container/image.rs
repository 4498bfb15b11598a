//! Images: looked up on this machine, fetched when the operator lets them be.

use std::collections::HashMap;

use bollard::Docker;
use bollard::auth::DockerCredentials;
use bollard::models::ImageInspect;
use bollard::query_parameters::CreateImageOptionsBuilder;
use futures_util::StreamExt as _;

use super::error::{ContainerError, is_missing, words};
use super::settings::Pull;

/// An image that is on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Image {
    /// As the model names it.
    pub(super) name: String,
    /// The digest of its configuration: what runs, whatever the name will mean later.
    pub(super) id: String,
    /// `repository@sha256:…`: of its manifest when it came from a registry, else of its configuration.
    pub(super) resolved: String,
    pub(super) labels: HashMap<String, String>,
    /// Where its programs begin.
    pub(super) working_folder: Option<String>,
}

/// The image of that name, fetched when `pull` says so.
pub(super) async fn resolve(docker: &Docker, name: &str, pull: Pull) -> Result<Image, ContainerError> {
    if pull == Pull::Always {
        fetch(docker, name).await?;
    }
    match docker.inspect_image(name).await {
        Ok(found) => read(name, found),
        Err(error) if is_missing(&error) && pull == Pull::Never => Err(ContainerError::NoImage { image: name.into() }),
        Err(error) if is_missing(&error) => {
            fetch(docker, name).await?;
            let found = docker.inspect_image(name).await.map_err(ContainerError::engine("look at the image"))?;
            read(name, found)
        }
        Err(error) => Err(ContainerError::engine("look at the image")(error)),
    }
}

fn read(name: &str, found: ImageInspect) -> Result<Image, ContainerError> {
    let config = found.config.unwrap_or_default();
    let no_id = || ContainerError::Engine { act: "look at the image", reason: "it gave no id".into() };
    let id = found.id.ok_or_else(no_id)?;
    Ok(Image {
        name: name.to_owned(),
        resolved: resolved(name, &found.repo_digests.unwrap_or_default(), &id),
        id,
        labels: config.labels.unwrap_or_default(),
        working_folder: config.working_dir.filter(|folder| !folder.is_empty()),
    })
}

/// The digest under the name's own repository, as one image may have been pulled from several.
fn resolved(name: &str, digests: &[String], id: &str) -> String {
    let repository = reference(name).0.split('@').next().unwrap_or_default();
    let is_its_own = |digest: &&String| digest.split('@').next() == Some(repository);
    digests.iter().find(is_its_own).cloned().unwrap_or_else(|| format!("{repository}@{id}"))
}

async fn fetch(docker: &Docker, name: &str) -> Result<(), ContainerError> {
    tracing::info!(image = name, "pulling the image");
    let (repository, tag) = reference(name);
    let mut options = CreateImageOptionsBuilder::new().from_image(repository);
    if let Some(tag) = tag {
        options = options.tag(tag);
    }
    let mut steps = std::pin::pin!(docker.create_image(Some(options.build()), None, None::<DockerCredentials>));
    while let Some(step) = steps.next().await {
        step.map_err(|error| ContainerError::Pull { image: name.to_owned(), reason: words(&error) })?;
    }
    Ok(())
}

/// Repository and tag of an image's name. Without a tag Docker would fetch them all, so `latest` is said; a digest stays
/// in the repository's place.
fn reference(name: &str) -> (&str, Option<&str>) {
    if name.contains('@') {
        return (name, None);
    }
    match name.rsplit_once(':') {
        // A colon before a slash belongs to the registry's port.
        Some((repository, tag)) if !tag.contains('/') => (repository, Some(tag)),
        _ => (name, Some("latest")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_without_a_tag_means_latest_and_a_port_is_no_tag() {
        assert_eq!(reference("model"), ("model", Some("latest")));
        assert_eq!(reference("team/model:3"), ("team/model", Some("3")));
        assert_eq!(reference("host:5000/model"), ("host:5000/model", Some("latest")));
        assert_eq!(reference("host:5000/model:3-cpu"), ("host:5000/model", Some("3-cpu")));
        assert_eq!(reference("model@sha256:ab"), ("model@sha256:ab", None));
    }

    #[test]
    fn an_image_is_resolved_under_its_own_repository() {
        let digests = ["other/model@sha256:1".to_owned(), "host:5000/model@sha256:2".to_owned()];
        assert_eq!(resolved("host:5000/model:3", &digests, "sha256:9"), "host:5000/model@sha256:2");
        assert_eq!(resolved("host:5000/model@sha256:2", &digests, "sha256:9"), "host:5000/model@sha256:2");
        assert_eq!(resolved("made/here:3", &digests, "sha256:9"), "made/here@sha256:9");
        assert_eq!(resolved("made/here", &[], "sha256:9"), "made/here@sha256:9");
    }
}
