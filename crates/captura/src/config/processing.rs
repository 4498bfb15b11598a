//! `[processing]`: jobs.

use captura_backends::{BackendKind, ImageRule};
use captura_control::Settings;
use serde::{Deserialize, Deserializer, de};

use crate::images::ImageLine;
use crate::units::{Size, some_bytes};

/// `[processing]`: how jobs are run.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Processing {
    /// How many run at a time; others wait.
    #[serde(deserialize_with = "at_least_one")]
    pub(crate) at_a_time: usize,
    /// Memory of the built-in analyser, in each job.
    #[serde(deserialize_with = "some_bytes")]
    pub(crate) analyser_memory_max: Size,
    /// Inputs of one instance of a job; VolumeSizeInGB bounds them as well.
    #[serde(deserialize_with = "some_bytes")]
    pub(crate) inputs_max: Size,
    /// `[[processing.images]]`: images that are programs of this machine (`process`, as for models), or containers
    /// (`docker`) although they have the name of one that is built in; the first line that matches decides.
    #[serde(deserialize_with = "images")]
    pub(crate) images: Vec<ImageRule>,
}

impl Default for Processing {
    fn default() -> Self {
        Self {
            at_a_time: Settings::DEFAULT_JOBS_AT_A_TIME,
            analyser_memory_max: Size(4 << 30),
            inputs_max: Size(64 << 30),
            images: Vec::new(),
        }
    }
}

fn at_least_one<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    match usize::deserialize(deserializer)? {
        0 => Err(de::Error::custom("at least one job must run at a time")),
        count => Ok(count),
    }
}

fn images<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<ImageRule>, D::Error> {
    let lines = Vec::<ImageLine>::deserialize(deserializer)?;
    let rules: Vec<ImageRule> = lines.into_iter().map(|line| line.0).collect();
    match rules.iter().find(|rule| !matches!(rule.backend, BackendKind::Process | BackendKind::Docker)) {
        Some(rule) => Err(de::Error::custom(format!(
            "a job runs as backend = \"process\" or \"docker\", and {:?} says {:?}",
            rule.image,
            rule.backend.to_string()
        ))),
        None => Ok(rules),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_are_programs_or_containers_and_never_models() {
        let read = |text: &str| toml::from_str::<Processing>(text).map_err(|error| error.to_string());
        let read_whole = read(
            "at_a_time = 3\nanalyser_memory_max = \"1GiB\"\n[[images]]\nimage = \"team/*\"\nbackend = \"process\"\n\
             command = [\"python3\", \"/srv/clean.py\"]\n",
        );
        let processing = read_whole.unwrap();
        assert_eq!((processing.at_a_time, processing.images.len()), (3, 1));
        for (text, part) in [
            ("at_a_time = 0", "at least one"),
            ("[[images]]\nimage = \"*\"\nbackend = \"onnx\"", "a job runs as backend"),
            ("[[images]]\nimage = \"*\"\nbackend = \"process\"", "needs a command"),
        ] {
            let why = read(text).unwrap_err();
            assert!(why.contains(part), "{text}: {why}");
        }
    }
}
