//! Wiring of processing jobs: what runs them, where they say things, and where their metrics go. No logic.

use std::sync::Arc;

use anyhow::Context as _;
use captura_archive::Stores;
use captura_backends::{Backends, LogSink};
use captura_cloudwatch::{Cloudwatch, Dimension, MetricId, Sample, Summary};
use captura_jobs::{Datum, Settings};
use captura_route::Clock;

use crate::config::{Config, process_dir, process_environment};
use crate::questions::Questions;

/// Below the folder of models' processes, which their users pass through where a data directory may be closed to them.
const FOLDER: &str = "jobs";
/// The group that jobs say things in, as on AWS.
const LOG_GROUP: &str = "/aws/sagemaker/ProcessingJobs";
/// The verb by which this program is the analyser.
const VERB: &str = "job";
/// Units that are told on; all others are none.
const UNITS: [&str; 6] = ["Count", "Percent", "Seconds", "Milliseconds", "Microseconds", "Bytes"];

/// What runs jobs. Those that explain what a model answers ask through `questions`.
pub(crate) fn jobs(
    config: &Config,
    (stores, backends): (&Stores, &Backends),
    (cloudwatch, writing): (&Cloudwatch, &captura_logs::Writing),
    (clock, questions): (&Clock, &Questions),
) -> anyhow::Result<captura_control::Jobs> {
    let program = std::env::current_exe().context("this program does not know where it lies")?;
    let speaker = writing.speaker(LOG_GROUP);
    let cloudwatch = cloudwatch.clone();
    let settings = Settings {
        folder: config.models.process_dir.clone().unwrap_or_else(process_dir).join(FOLDER),
        built_in: vec![program.display().to_string(), VERB.to_owned()],
        built_in_memory_max_bytes: config.processing.analyser_memory_max.0,
        inputs_max_bytes: config.processing.inputs_max.0,
        images: config.processing.images.clone(),
        inherited: process_environment(),
        logs: Arc::new(move |stream| {
            let (speaker, stream) = (speaker.clone(), stream.to_owned());
            LogSink::new(move |_, line| speaker.say(&stream, line.text))
        }),
        metrics: Arc::new(move |datum| cloudwatch.record(sample(datum))),
        clock: clock.clone(),
        models: questions.door(),
    };
    let runner = Arc::new(captura_jobs::Jobs::new(settings, stores.clone(), backends.containers()));
    Ok(captura_control::Jobs { runner, at_a_time: config.processing.at_a_time })
}

fn sample(datum: Datum) -> Sample {
    let Datum { namespace, name, dimensions, at, values, unit } = datum;
    let dimensions = dimensions.into_iter().map(|(name, value)| Dimension { name, value }).collect();
    Sample {
        metric: MetricId::new(namespace, name, dimensions),
        unit: UNITS.into_iter().find(|known| *known == unit).unwrap_or("None"),
        at,
        high_resolution: false,
        summary: Summary::of_set(values.sample_count, values.sum, (values.minimum, values.maximum)),
    }
}
