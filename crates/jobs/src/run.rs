//! The life of one job.

use std::collections::{BTreeMap, HashMap};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use captura_backends::container::ContainerBatch;
use captura_backends::process::{Batch, BatchEnd, JobFolder, ProcessRule, Sandbox};
use captura_control::{Halt, JobEnd, JobOrder, JobOutcome};
use captura_names::{S3Uri, glob};
use captura_wire::hosting::UploadMode;
use futures_util::future::join_all;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::config_files::{self, CONFIG_FOLDER, OUTPUT_FOLDER, PROCESSING_FOLDER, hosts, inside};
use crate::files::open_below;
use crate::inputs::{InputError, Room, Share, fetch};
use crate::limits::{CONTINUOUS_PERIOD, EXIT_MESSAGE_MAX_BYTES, GRACE, INSTANCES_MAX, LAST_WORDS_MAX_CHARACTERS};
use crate::outputs::{Output, OutputError};
use crate::way::{CLARIFY_IMAGE, Way, way};
use crate::{Errand, Inner, clarify, metrics};

/// Tells a program of the operator's where `/opt/ml` of its job is.
const ROOT_VARIABLE: &str = "CAPTURA_JOB_ROOT";
/// Name scripts of the user's.
const SCRIPT_VARIABLES: [&str; 2] = ["record_preprocessor_script", "post_analytics_processor_script"];
/// Says whether metrics are wanted, as SageMaker's containers read it.
const METRICS_VARIABLE: &str = "publish_cloudwatch_metrics";
/// Name of the file that becomes the ExitMessage, below the output folder.
const MESSAGE_FILE: &str = "message";

/// An instance of a job: a folder, and what is in it.
struct Instance {
    host: String,
    /// Name of its stream of logs.
    stream: String,
    folder: JobFolder,
    outputs: Vec<Output>,
}

/// Why a job was cut short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cut {
    Asked,
    Closing,
    TimeIsOver(Duration),
}

/// Runs a job to its end, or until it shall halt.
pub(crate) async fn run(jobs: &Arc<Inner>, order: &JobOrder, halt: watch::Receiver<Halt>) -> JobEnd {
    let deadline = Instant::now() + order.max_runtime;
    let count = order.request.processing_resources.cluster_config.instance_count.unwrap_or(1);
    let way = way(&jobs.settings.images, &order.request.app_specification.image_uri);
    // What is built in shares nothing out: one process takes the part of all.
    let count = if way == Way::BuiltIn { 1 } else { count };
    if count > INSTANCES_MAX {
        let text =
            format!("ClientError: The job asks for {count} instances, and there may be {INSTANCES_MAX} at most.");
        return JobEnd::failed(text);
    }
    let staged = tokio::select! {
        staged = stage(jobs, order, (&way, count)) => staged,
        cut = cut_short(halt.clone(), deadline, order.max_runtime) => return cut_end(cut, None),
    };
    let instances = match staged {
        Ok(instances) => instances,
        Err(reason) => return JobEnd::failed(reason),
    };
    let (roots, outputs): (Vec<_>, Vec<_>) = instances
        .into_iter()
        .map(|Instance { host, stream, folder, outputs }| ((host, stream, folder), outputs))
        .unzip();
    let outputs = tokio::sync::Mutex::new(outputs.into_iter().flatten().collect::<Vec<_>>());
    let (ends, cut) = {
        let mut stops = Vec::new();
        let running: Vec<_> = roots
            .iter()
            .map(|(host, stream, folder)| {
                let (stop, stopped) = oneshot::channel();
                stops.push(stop);
                program(jobs, order, &way, (host, stream, folder.path()), stopped)
            })
            .collect();
        let running = join_all(running);
        tokio::pin!(running);
        let cut = tokio::select! {
            ends = &mut running => Err(ends),
            cut = cut_short(halt, deadline, order.max_runtime) => Ok(cut),
            never = keep_sending(jobs, &outputs) => match never {},
        };
        match cut {
            Err(ends) => (ends, None),
            Ok(cut) => {
                drop(stops);
                (running.await, Some(cut))
            }
        }
    };
    if cut == Some(Cut::Closing) {
        return cut_end(Cut::Closing, None);
    }
    let end = conclude(jobs, order, (&roots, outputs.into_inner()), (ends, cut)).await;
    // Many files take a while to go.
    let _ = tokio::task::spawn_blocking(move || drop(roots)).await;
    end
}

/// Folders with inputs and configuration files.
async fn stage(jobs: &Inner, order: &JobOrder, (way, count): (&Way, u32)) -> Result<Vec<Instance>, String> {
    let hosts = hosts(count);
    let mut instances = Vec::new();
    let gib = u64::from(order.request.processing_resources.cluster_config.volume_size_in_gb) << 30;
    for (index, host) in hosts.iter().enumerate() {
        let parent = jobs.settings.folder.clone();
        let folder = tokio::task::spawn_blocking(move || JobFolder::new(&parent)).await;
        let folder = folder.map_err(|error| error.to_string()).and_then(|made| made.map_err(|error| error.to_string()));
        let folder = folder.map_err(|error| format!("InternalServerError: no folder for the job: {error}"))?;
        config_files::write(folder.path(), order, host, &hosts)
            .map_err(|error| format!("InternalServerError: the job's files cannot be written: {error}"))?;
        let (share, room) = (Share { index, of: hosts.len() }, Room::new(gib.min(jobs.settings.inputs_max_bytes)));
        fetch_all(jobs, order, folder.path(), (share, &room)).await.map_err(|error| error.to_string())?;
        if *way == Way::BuiltIn && glob::matches(CLARIFY_IMAGE, &order.request.app_specification.image_uri) {
            let named = clarify::fetch_named(&jobs.stores, order, folder.path(), (share, &room)).await;
            named.map_err(|error| error.to_string())?;
        }
        let outputs = outputs(order, folder.path())?;
        let name = &order.request.processing_job_name;
        let stream = format!("{name}/{host}-{}", jobs.settings.clock.now().unix_us() / 1_000);
        instances.push(Instance { host: host.clone(), stream, folder, outputs });
    }
    Ok(instances)
}

async fn fetch_all(jobs: &Inner, order: &JobOrder, root: &Path, place: (Share, &Room)) -> Result<(), InputError> {
    for input in order.request.processing_inputs.iter().filter(|input| !input.app_managed) {
        let Some((s3, folder)) = input.s3_input.as_ref().and_then(|s3| Some((s3, s3.local_path.as_ref()?))) else {
            continue;
        };
        fetch(&jobs.stores, s3, &inside(root, folder), place).await?;
    }
    Ok(())
}

fn outputs(order: &JobOrder, root: &Path) -> Result<Vec<Output>, String> {
    let Some(config) = &order.request.processing_output_config else { return Ok(Vec::new()) };
    let mut outputs = Vec::new();
    for output in config.outputs.iter().filter(|output| !output.app_managed) {
        let Some((s3, name)) = output.s3_output.as_ref().and_then(|s3| Some((s3, s3.local_path.clone()?))) else {
            continue;
        };
        outputs.push(Output {
            folder: inside(root, &name),
            name,
            uri: S3Uri::parse(&s3.s3_uri).map_err(|error| format!("ClientError: {error}."))?,
            mode: s3.s3_upload_mode,
            kms_key_id: config.kms_key_id.clone(),
            sent: HashMap::new(),
        });
    }
    Ok(outputs)
}

async fn cut_short(mut halt: watch::Receiver<Halt>, deadline: Instant, max_runtime: Duration) -> Cut {
    let asked = async {
        match halt.wait_for(|halt| *halt != Halt::No).await {
            Ok(halt) if *halt == Halt::Stop => Cut::Asked,
            // Whoever could ask is gone: the server ends.
            _ => Cut::Closing,
        }
    };
    tokio::select! {
        cut = asked => cut,
        () = tokio::time::sleep_until(deadline) => Cut::TimeIsOver(max_runtime),
    }
}

/// Sends outputs that go on while the job runs. What fails is tried again, and at the end for the last time.
async fn keep_sending(jobs: &Inner, outputs: &tokio::sync::Mutex<Vec<Output>>) -> std::convert::Infallible {
    loop {
        tokio::time::sleep(CONTINUOUS_PERIOD).await;
        for output in outputs.lock().await.iter_mut().filter(|output| output.mode == UploadMode::Continuous) {
            if let Err(error) = output.send(&jobs.stores).await {
                tracing::debug!(%error, "an output is not sent yet");
            }
        }
    }
}

/// Runs the program of one instance to its end.
async fn program(
    jobs: &Inner,
    order: &JobOrder,
    way: &Way,
    (host, stream, root): (&str, &str, &Path),
    stop: oneshot::Receiver<()>,
) -> Result<BatchEnd, String> {
    let log = (jobs.settings.logs)(stream);
    let isolated = order.request.network_config.as_ref().and_then(|config| config.get("EnableNetworkIsolation"));
    let isolated = isolated.and_then(serde_json::Value::as_bool) == Some(true);
    let process = |rule, environment, as_other_user| Batch {
        rule,
        folder: root,
        inherited: &jobs.settings.inherited,
        environment,
        as_other_user,
        log: log.clone(),
        name: host.to_owned(),
    };
    match way {
        Way::BuiltIn => {
            let rule = built_in(jobs, order, root);
            // Clarify explains what a model answers; nothing else that is built in asks anybody.
            let asks = !isolated && glob::matches(CLARIFY_IMAGE, &order.request.app_specification.image_uri);
            let attended = if asks { Some(attended(jobs, order, root)?) } else { None };
            // What the job says of its environment stands in its file; nothing of it steers this program itself.
            let end = process(&rule, &BTreeMap::new(), false).run(stop, GRACE).await;
            if let Some((ended, attending)) = attended {
                drop(ended);
                // It cannot be cancelled but by the runtime's own end.
                let _ = attending.await;
            }
            end
        }
        Way::Program(rule) => {
            let mut rule = ProcessRule::clone(rule);
            rule.command.extend(order.request.app_specification.container_arguments.iter().cloned());
            rule.network &= !isolated;
            let mut environment = order.request.environment.clone();
            if let Some(name) = environment.keys().find(|name| name.starts_with("LD_")) {
                return Err(format!("the environment has {name}, which decides what the program loads; leave it out"));
            }
            environment.insert(ROOT_VARIABLE.to_owned(), root.display().to_string());
            process(&rule, &environment, true).run(stop, GRACE).await
        }
        Way::Container => {
            let app = &order.request.app_specification;
            let mounts = [(CONFIG_FOLDER, true), (OUTPUT_FOLDER, false), (PROCESSING_FOLDER, false)];
            let mounts: Vec<(PathBuf, &str, bool)> =
                mounts.into_iter().map(|(folder, read_only)| (inside(root, folder), folder, read_only)).collect();
            let batch = ContainerBatch {
                image: &app.image_uri,
                entrypoint: &app.container_entrypoint,
                arguments: &app.container_arguments,
                environment: &order.request.environment,
                host,
                mounts: &mounts,
                is_isolated: isolated,
                log,
            };
            jobs.containers.run(batch, stop, GRACE).await.map_err(|error| error.to_string())
        }
    }
}

/// Whether captura's own analyser is to run a script of the user's.
fn has_script(order: &JobOrder) -> bool {
    SCRIPT_VARIABLES.iter().any(|name| order.request.environment.get(*name).is_some_and(|path| !path.trim().is_empty()))
}

/// How captura's own analyser is run: this program itself, on the job's folder.
fn built_in(jobs: &Inner, order: &JobOrder, root: &Path) -> ProcessRule {
    let mut command = jobs.settings.built_in.clone();
    command.push(root.display().to_string());
    ProcessRule {
        command,
        memory_max_bytes: Some(jobs.settings.built_in_memory_max_bytes),
        // A script comes from whoever asked for the job: it runs where the sandbox is whole, or not at all.
        sandbox: if has_script(order) { Sandbox::Strict } else { Sandbox::Degraded },
        ..ProcessRule::default()
    }
}

/// Opens the way to this server's models; it is closed when the sender is dropped and the task has ended.
fn attended(jobs: &Inner, order: &JobOrder, root: &Path) -> Result<(oneshot::Sender<()>, JoinHandle<()>), String> {
    let (ended, until) = oneshot::channel();
    let job = order.request.processing_job_name.to_string();
    let errand = Errand { folder: root.to_owned(), job, region: order.region.clone(), until };
    let attending = (jobs.settings.models)(errand)
        .map_err(|error| format!("the way to this server's models cannot be opened: {error}"))?;
    Ok((ended, tokio::spawn(attending)))
}

/// What is left to do when no program runs any more: outputs, metrics, and the words of the end.
async fn conclude(
    jobs: &Inner,
    order: &JobOrder,
    (roots, mut outputs): (&[(String, String, JobFolder)], Vec<Output>),
    (ends, cut): (Vec<Result<BatchEnd, String>>, Option<Cut>),
) -> JobEnd {
    let message = messages(roots.iter().map(|(_, _, folder)| folder.path()));
    let failure = ends.iter().find_map(|end| failure(end, message.as_ref().ok().and_then(Option::as_deref)));
    let is_good = failure.is_none() && cut.is_none();
    let mut unsent = None;
    for output in &mut outputs {
        // Half an artefact must not take the place of a whole one; what goes on while a job runs goes on to its end.
        if is_good || cut.is_some() || output.mode == UploadMode::Continuous {
            unsent = unsent.or(output.send(&jobs.stores).await.err());
        }
    }
    if is_good && order.request.environment.get(METRICS_VARIABLE).is_some_and(|wanted| wanted == "Enabled") {
        let ended_at = jobs.settings.clock.now();
        let data = roots.iter().flat_map(|(_, _, folder)| metrics::read(folder.path(), ended_at));
        data.for_each(|datum| (jobs.settings.metrics)(datum));
    }
    let (exit_message, unreadable) = match message {
        Ok(message) => (message, None),
        Err(reason) => (None, Some(reason)),
    };
    if let Some(cut) = cut {
        return cut_end(cut, exit_message);
    }
    let unsent = unsent.map(|error: OutputError| error.to_string());
    let outcome = failure.or(unreadable).or(unsent).map_or(JobOutcome::Completed, JobOutcome::Failed);
    JobEnd { outcome, exit_message }
}

fn cut_end(cut: Cut, exit_message: Option<String>) -> JobEnd {
    let reason = match cut {
        Cut::Asked | Cut::Closing => None,
        Cut::TimeIsOver(limit) => {
            Some(format!("The job ran longer than its MaxRuntimeInSeconds, {}.", limit.as_secs()))
        }
    };
    JobEnd { outcome: JobOutcome::Stopped(reason), exit_message }
}

/// Why the job of a program that ended so has failed; nothing when it has not.
fn failure(end: &Result<BatchEnd, String>, message: Option<&str>) -> Option<String> {
    match end {
        Ok(end) if end.code == Some(0) => None,
        Ok(end) => {
            let words = message.map_or_else(|| last_words(&end.last_words), str::to_owned);
            let how = end.code.map_or_else(|| end.how.clone(), |code| format!("exit code: {code}"));
            Some(format!("AlgorithmError: {words}, {how}"))
        }
        Err(reason) => Some(format!("ClientError: {reason}")),
    }
}

/// The last lines of a program, as much as a reason can hold.
fn last_words(lines: &[String]) -> String {
    let words: Vec<&str> = lines.iter().map(|line| line.trim()).filter(|line| !line.is_empty()).collect();
    let words: Vec<char> = words.join(" | ").chars().filter(|character| !character.is_control()).collect();
    if words.is_empty() {
        return "See job logs for more information".to_owned();
    }
    let skipped = words.len().saturating_sub(LAST_WORDS_MAX_CHARACTERS);
    words[skipped..].iter().collect()
}

/// What the instances left in their message files, one after the other.
fn messages<'a>(roots: impl Iterator<Item = &'a Path>) -> Result<Option<String>, String> {
    let mut all = String::new();
    for root in roots {
        let Ok(Some(file)) = open_below(&inside(root, OUTPUT_FOLDER), Path::new(MESSAGE_FILE)) else { continue };
        let mut bytes = Vec::new();
        if file.take(EXIT_MESSAGE_MAX_BYTES).read_to_end(&mut bytes).is_err() {
            continue;
        }
        match std::str::from_utf8(&bytes) {
            Ok(text) => all.push_str(text),
            // It may have been cut within a character.
            Err(error) if error.error_len().is_none() => {
                all.push_str(std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default());
            }
            Err(_) => return Err("ClientError: /opt/ml/output/message is not UTF-8.".to_owned()),
        }
    }
    let all = all.trim_end().to_owned();
    Ok((!all.is_empty()).then_some(all))
}
