//! Wiring: constructs the rooms, connects them, waits, and closes them in street order. No logic.
//!
//! Order at boot: journal (takes the lock, recovers), catalog (loads what was in service), listener. Order at shutdown:
//! listener, in-flight and asynchronous calls, journal sync and seal, uploader, control.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use captura_archive::batch::Plan;
use captura_archive::destinations::Patience;
use captura_archive::rendering::TablePlan;
use captura_archive::uploader::ANSWER_WITHIN;
use captura_archive::{Archiving, Stopped, StoreError, Stores, Uploader, UploaderSettings};
use captura_backends::http_contract::AnswerLimits;
use captura_backends::{Backends, ImageRule, LogSink, MultiModelLimits};
use captura_backlog::Backlog;
use captura_capture::journal::disk::RealDisk;
use captura_capture::{Capture, OpenError, RecoveryReport};
use captura_cloudwatch::{AlarmState as State, Cloudwatch};
use captura_consumers::Consumers;
use captura_control::{AlarmState, Control, Jobs, NoticeBell};
use captura_gateway::{Doors, Gateway, Meters, MoreMetrics};
use captura_logs::Logs;
use captura_names::S3Uri;
use captura_notices::{Notices, Sending, Webhook};
use captura_route::{Clock, Held, Holder, MemoryBudget, RouteTable};
use captura_table::compact::{Compacting, Compactor};
use captura_tasks::Tasks;
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use crate::backlog;
use crate::buckets;
use crate::config::{
    Config, MetricsAccess, Notice, OnFull, cache_dir, onnx_library_of_environment, process_dir, process_environment,
};
use crate::consumers;
use crate::folders;
use crate::identity;
use crate::issuers::Fetching;
use crate::metering::{self, Metering, Sources};
use crate::observe::Rooms;
use crate::privacy::{Privacy, Remover};
use crate::questions::{self, Questions, Server};
use crate::tables::Table;
use crate::telling::Telling;
use crate::{processing, scaling, tasks, telling};

/// How long instances may take to end when the server does not come up.
const START_FAILED_DEADLINE: Duration = Duration::from_secs(30);

/// Of the memory budget, the part that uploads have: one of so many.
const UPLOADS_SHARE: u64 = 4;
/// And the part that recent records have at most.
const RECENT_SHARE: u64 = 16;

/// The data directory belongs to another running server.
#[derive(Debug, thiserror::Error)]
#[error("another server is running on {path}; stop it first, or give this one its own --data-dir", path = .0.display())]
pub(crate) struct DataDirTaken(pub(crate) PathBuf);

/// A server at work.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    /// `http` or `https`.
    pub(crate) scheme: &'static str,
    pub(crate) capture: Capture,
    pub(crate) stores: Stores,
    control: Control,
    cloudwatch: Cloudwatch,
    metering: Metering,
    logs: captura_logs::Writing,
    scaling: JoinHandle<()>,
    telling: Telling,
    sending: captura_notices::Sending,
    backends: Backends,
    stop_gateway: oneshot::Sender<()>,
    gateway: JoinHandle<std::io::Result<()>>,
    consumers: captura_consumers::Flushing,
    /// Of the keys of token issuers; ends when this does.
    _fetching: Fetching,
    backlog: Backlog,
    questions: Questions,
    archiving: Archiving,
    /// Where tables are compacted.
    compacting: Option<Compacting>,
    remover: Remover,
    /// Memory of the uploads.
    _uploads_memory: Held,
    /// How long the archive may go on with what is sealed, after the calls have drained.
    archive_deadline: Duration,
    tasks: Tasks,
}

/// What a start that fails later on must close again.
#[derive(Default)]
struct Opened {
    control: Option<Control>,
    backends: Option<Backends>,
    capture: Option<Capture>,
}

impl Opened {
    async fn close(self) -> anyhow::Result<()> {
        if let Some(control) = self.control {
            control.close().await;
        }
        if let Some(backends) = self.backends {
            backends.close(START_FAILED_DEADLINE).await;
        }
        match self.capture {
            Some(capture) => Ok(capture.close().await.context("the journal could not be closed cleanly")?),
            None => Ok(()),
        }
    }
}

impl Running {
    /// Builds the rooms in boot order and begins to serve. When one fails, those before it are closed.
    pub(crate) async fn start(config: Config) -> anyhow::Result<Self> {
        let mut opened = Opened::default();
        match Self::begin(Arc::new(config), &mut opened).await {
            Ok(running) => Ok(running),
            Err(error) => {
                if let Err(unclosed) = opened.close().await {
                    tracing::error!(error = %format!("{unclosed:#}"), "what a failed start had opened is not closed");
                }
                Err(error)
            }
        }
    }

    async fn begin(config: Arc<Config>, opened: &mut Opened) -> anyhow::Result<Self> {
        identity::check(&config)?;
        let tls = identity::tls(&config)?;
        let webhooks = webhooks(&config)?;
        let data_dir = config.server.data_dir.clone();
        folders::make(&data_dir)?;
        let (clock, tasks, questions) = (Clock::system(), Tasks::default(), Questions::new());
        let privacy = Privacy::open(&config, &clock)?;
        let memory = MemoryBudget::new(config.limits.memory_budget.0);
        let (capture, consumers) = open_capture(&config, &memory, &clock)?;
        opened.capture = Some(capture.clone());
        let (verifier, fetching) = identity::verifier(&config, &clock, &tasks).await?;
        let stores = crate::cloud::stores(&data_dir, config.stores.clone());

        let cloudwatch = cloudwatch(&config, &clock, &tasks)?;
        let logs = logs(&config, &clock)?;
        let (notices, sending) = notices(webhooks, &data_dir, (&clock, &tasks))?;
        let writing = logs.start(tasks.clone()).context("the logs cannot be written")?;
        let (teller, untold) = telling::channel();
        let (table_sender, table) = watch::channel(Arc::new(RouteTable::default()));
        let backends = backends(&config, &stores, (&memory, &tasks));
        opened.backends = Some(recovering(&backends));
        let jobs = processing::jobs(&config, (&stores, &backends), (&cloudwatch, &writing), (&clock, &questions))?;
        let told = (teller.bell(), jobs);
        let settings = control_settings((&config, &stores, &capture), (&cloudwatch, &writing), (&clock, &tasks), told);
        let control = Control::open(settings, backends.clone(), table_sender, clock.clone())?;
        opened.control = Some(control.clone());
        recovered(&control, &config.aws.region).await?;
        let (place, doors) = ((&*data_dir, &*config.aws.account), scaling::doors(&cloudwatch, &control));
        let scaling = scaling::open(place, config.scaling.period.0, doors, &clock)?;
        let telling =
            telling::start(untold, telling::events(&control), &cloudwatch, (notices, scaling.clone()), &tasks);

        let (listener, address) = listen(config.server.listen).await?;
        let scheme = if tls.is_some() { "https" } else { "http" };
        let backlog = backlog::open((&data_dir, &config.aws.account), &clock, &tasks)?;
        let journal = consumers::counted(&capture, &consumers);
        let (uploader, uploads_memory) = uploader(&config, &memory, (journal, &stores), (&clock, &tasks))?;
        let archive = crate::archive::Seen::new(uploader.figures(), &capture, &table, &clock);
        let remover = privacy.remover(&config, (&capture, &stores, &uploader.overdue()), (&clock, &tasks))?;
        let archiving = uploader.start().context("the archive cannot begin its work")?;
        let compacting = compacting(&config, &stores, (&clock, &tasks))?;

        let rooms = Rooms {
            control: control.clone(),
            capture: capture.clone(),
            consumers: consumers.clone(),
            registry: Arc::new(identity::registry(&config)?),
            cloudwatch: cloudwatch.clone(),
            logs: logs.clone(),
            scaling: scaling.clone(),
            table: table.clone(),
            region: config.aws.region.clone(),
            account: config.aws.account.clone(),
            extension: config.capture.extension,
            tables: table_plans(&config),
            archive: archive.clone(),
            erasers: remover.erasers(),
        };
        let metered = (archive, consumers.clone(), cloudwatch.clone(), backlog.clone(), tasks.clone());
        let mut settings = gateway_settings(&config, &memory, more_metrics(metered));
        (settings.verifier, settings.tls, settings.redactions) = (verifier, tls, privacy.redactions());
        (settings.tasks, settings.backlog) = (tasks.clone(), Some(backlog::door(&backlog, privacy.terms())));
        let buckets = buckets::door(&config, &stores, &settings.allowed_hosts, (&clock, &tasks));
        let doors = Doors { other: rooms.door(), buckets: Some(buckets) };
        let gateway = Gateway::new(settings, table.clone(), capture.clone(), clock.clone(), doors);
        questions.answer_by(Server { runner: gateway.runner(), control: control.clone() });
        backlog.start(backlog::doors(gateway.runner(), memory.clone(), (stores.clone(), teller)));
        cloudwatch.start();
        let sources = sources((gateway.meters(), table), (&backlog, &cloudwatch), clock);
        let metering = Metering::start(sources, config.cloudwatch.publish_every.0, &tasks);
        let (stop_gateway, gateway) = open_door(gateway, listener);
        let archive_deadline = config.server.shutdown_deadline.0;
        Ok(Self {
            address,
            scheme,
            capture,
            stores,
            control,
            cloudwatch,
            metering,
            logs: writing,
            scaling: tasks.spawn("scaling", scaling, |scaling| Box::pin(scaling.clone().run())),
            telling,
            sending,
            backends,
            stop_gateway,
            gateway,
            consumers: consumers.start(&tasks).context("the book of consumers cannot be written")?,
            _fetching: fetching,
            backlog,
            questions,
            archiving,
            compacting,
            remover,
            _uploads_memory: uploads_memory,
            archive_deadline,
            tasks,
        })
    }

    /// Closes the rooms in street order: what was acknowledged is on the disk and sealed when this returns.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        self.tasks.close();
        // A room that has ended by itself no longer listens; that is no reason to skip the others.
        let _ = self.stop_gateway.send(());
        // Asynchronous calls under way have as long as the others; what is left is begun again at the next start.
        let patience = self.archive_deadline;
        let (gateway, (), ()) = tokio::join!(self.gateway, self.backlog.stop(patience), self.questions.close(patience));
        self.remover.stop();
        // What fails in one room keeps no other from closing: containers would be left running.
        let served = gateway.context("our bug: the gateway panicked");
        let served = served.and_then(|served| served.context("the gateway failed"));
        let sealed = self.capture.close().await.context("the journal could not be closed cleanly");
        self.metering.stop().await;
        if let Err(error) = self.cloudwatch.close().await {
            tracing::warn!(%error, "metrics of the last seconds are not on the disk");
        }
        let archived = match self.archiving.stop(self.archive_deadline).await {
            Stopped::Finished => Ok(()),
            // Cut off anywhere, the archive goes on where it was: what is not confirmed is still in the journal.
            Stopped::BrokenOff => {
                tracing::info!("not everything is archived yet; it stays in the journal, and the next start goes on");
                Ok(())
            }
            Stopped::Panicked => Err(anyhow!("our bug: the uploader panicked")),
        };
        if let Some(compacting) = self.compacting {
            compacting.stop().await;
        }
        let consumers = self.consumers;
        let counted = tokio::task::spawn_blocking(move || consumers.stop()).await;
        let counted = counted.context("our bug: the book of consumers could not be closed");
        self.scaling.abort();
        self.control.close().await;
        self.questions.end();
        self.backends.close(self.archive_deadline).await;
        self.telling.stop().await;
        self.sending.stop().await;
        let logs = self.logs;
        tokio::task::spawn_blocking(move || logs.close()).await.context("our bug: the logs could not be closed")?;
        served.and(sealed).and(archived).and(counted)
    }
}

/// Control serves what it served, without what jobs of a killed server have left, and its drivers are at work.
async fn recovered(control: &Control, region: &str) -> anyhow::Result<()> {
    control.recover().await?;
    questions::sweep(control, region).await;
    control.start();
    Ok(())
}

/// Takes the address; port 0 becomes a free one.
async fn listen(address: SocketAddr) -> anyhow::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// Lets callers in until the sender is used.
fn open_door(gateway: Gateway, listener: TcpListener) -> (oneshot::Sender<()>, JoinHandle<std::io::Result<()>>) {
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(gateway.serve(listener, async {
        let _ = stopped.await;
    }));
    (stop, serving)
}

/// Beside the boot: what does not run as a container need not wait for Docker.
fn recovering(backends: &Backends) -> Backends {
    let recovered = backends.clone();
    tokio::spawn(async move { recovered.recover().await });
    backends.clone()
}

/// The journal, and the book of consumers that goes with it.
pub(crate) fn open_capture(
    config: &Config,
    memory: &MemoryBudget,
    clock: &Clock,
) -> anyhow::Result<(Capture, Consumers)> {
    let wanted = &config.capture;
    let dir = config.server.data_dir.join(folders::JOURNAL);
    let consumers = consumers::open(&config.server.data_dir)?;
    let defaults = captura_capture::Settings::new(dir);
    let settings = captura_capture::Settings {
        // Recent records are a convenience: of a small budget they have a small part.
        tail_max_bytes: defaults.tail_max_bytes.min(memory.limit_bytes() / RECENT_SHARE),
        seal_after: wanted.seal_after.0,
        seal_bytes: wanted.seal_bytes.0,
        sync_interval: wanted.sync_interval.0,
        spool_max_bytes: wanted.spool_max.0,
        min_free_bytes: wanted.disk_min_free.0,
        stop_percent: wanted.disk_stop_percent,
        alarm_percent: wanted.disk_alarm_percent,
        witness: Some(Arc::new(consumers.clone())),
        memory: memory.clone(),
        ..defaults
    };
    match Capture::open(settings, Arc::new(RealDisk), clock.clone()) {
        Ok((capture, report)) => {
            tell(&report);
            consumers::recover(&consumers, &capture)?;
            Ok((capture, consumers))
        }
        Err(OpenError::Locked { .. }) => Err(DataDirTaken(config.server.data_dir.clone()).into()),
        Err(error) => Err(error.into()),
    }
}

/// What recovery found, for the operator.
fn tell(report: &RecoveryReport) {
    tracing::info!(
        epoch = report.epoch,
        unclean = report.unclean,
        recovered_records = report.recovered_records,
        "journal open"
    );
    if report.lost_unclean > 0 {
        tracing::warn!(
            lost_unclean = report.lost_unclean,
            "calls of the last run left no record and are booked as lost"
        );
    }
    for (segment, damage) in &report.damages {
        tracing::error!(%segment, ?damage, "a damaged part of the journal is set aside; everything else was kept");
    }
    for segment in &report.missing_segments {
        tracing::error!(%segment, "a sealed segment is gone; its records are booked as quarantined");
    }
    for note in &report.notes {
        tracing::warn!("{note}");
    }
}

fn backends(config: &Config, stores: &Stores, (memory, tasks): (&MemoryBudget, &Tasks)) -> Backends {
    let mut images: Vec<ImageRule> = config.models.images.iter().map(|line| line.0.clone()).collect();
    images.extend(ImageRule::defaults());
    let settings = captura_backends::Settings {
        images,
        // Whoever reaches a loopback listener is a user of this machine.
        allow_file_urls: config.models.allow_file_urls.unwrap_or(config.server.listen.ip().is_loopback()),
        // Absolute, so that it names the same server wherever that is started from.
        containers: config.docker.settings(absolute(&config.server.data_dir)),
        onnx_library: config.models.onnx_library.clone().or_else(onnx_library_of_environment),
        process_dir: config.models.process_dir.clone().unwrap_or_else(process_dir),
        process_environment: process_environment(),
        remote_hosts: config.models.remote_hosts.clone(),
        answers: AnswerLimits {
            max_bytes: usize::try_from(config.limits.answer_max.0).unwrap_or(usize::MAX),
            memory: memory.clone(),
        },
        multi_model: multi_model(config),
        seed: u64::from(std::process::id()),
        tasks: tasks.clone(),
        ..captura_backends::Settings::new(cache_dir())
    };
    let stores = stores.clone();
    let resolve = move |uri: &S3Uri| match stores.resolve_existing(uri) {
        Ok(place) => Ok(Some(place)),
        Err(StoreError::NoSuchBucket { .. }) => Ok(None),
        Err(error) => Err(error.to_string()),
    };
    Backends::new(settings, Arc::new(resolve))
}

fn multi_model(config: &Config) -> MultiModelLimits {
    let defaults = MultiModelLimits::default();
    MultiModelLimits { models_max: config.models.loaded_max.unwrap_or(defaults.models_max), ..defaults }
}

fn cloudwatch(config: &Config, clock: &Clock, tasks: &Tasks) -> anyhow::Result<Cloudwatch> {
    let folder = config.server.data_dir.join(folders::CLOUDWATCH);
    let mut settings = captura_cloudwatch::Settings::new(folder, config.aws.account.clone());
    settings.limits.bytes_max = usize::try_from(config.cloudwatch.memory_max.0).unwrap_or(usize::MAX);
    settings.limits.series_max = config.cloudwatch.metrics_max;
    settings.flush_every = config.cloudwatch.flush_every.0;
    settings.tasks = tasks.clone();
    Ok(Cloudwatch::open(settings, clock.clone())?)
}

/// The group of an endpoint, with a stream for each instance of a variant, as on AWS.
fn log_sinks(writing: &captura_logs::Writing) -> captura_control::LogSinks {
    let speaker = writing.speaker("captura");
    Arc::new(move |endpoint, variant| {
        let speaker = speaker.in_group(&format!("/aws/sagemaker/Endpoints/{endpoint}"));
        let variant = variant.clone();
        LogSink::new(move |instance, line| speaker.say(&format!("{variant}/{instance}"), line.text))
    })
}

fn control_settings(
    (config, stores, capture): (&Config, &Stores, &Capture),
    (cloudwatch, writing): (&Cloudwatch, &captura_logs::Writing),
    (clock, tasks): (&Clock, &Tasks),
    (bell, jobs): (NoticeBell, Jobs),
) -> captura_control::Settings {
    let defaults =
        captura_control::Settings::new(config.server.data_dir.join(folders::CATALOG), config.aws.account.clone());
    captura_control::Settings {
        guarantees: config.capture.guarantees(),
        recovery_timeout: config.server.start_patience.0,
        serverless_idle_after: config.serverless.idle_after.0,
        cold_starts: metering::cold_starts(cloudwatch, clock),
        alarms: alarm_states(cloudwatch),
        logs: log_sinks(writing),
        monitors: crate::monitors::rooms(config, (stores, capture), clock),
        tasks: tasks.clone(),
        bell,
        jobs,
        ..defaults
    }
}

/// What metrics are made of.
fn sources(
    (meters, table): (Meters, watch::Receiver<Arc<RouteTable>>),
    (backlog, cloudwatch): (&Backlog, &Cloudwatch),
    clock: Clock,
) -> Sources {
    Sources { meters, table, backlog: backlog.clone(), cloudwatch: cloudwatch.clone(), clock }
}

/// What control asks of alarms.
fn alarm_states(cloudwatch: &Cloudwatch) -> captura_control::AlarmStates {
    let cloudwatch = cloudwatch.clone();
    Arc::new(move |name| {
        Some(match cloudwatch.alarm_state(name)? {
            State::Ok => AlarmState::Ok,
            State::Alarm => AlarmState::Alarm,
            State::InsufficientData => AlarmState::InsufficientData,
        })
    })
}

fn logs(config: &Config, clock: &Clock) -> anyhow::Result<Logs> {
    let settings = captura_logs::Settings {
        folder: config.server.data_dir.join(folders::LOGS),
        account: config.aws.account.clone(),
        generation_max_bytes: config.logs.stream_max.0,
    };
    Ok(Logs::open(settings, clock.clone())?)
}

/// Looked at before the journal is opened: a mistake in the configuration must not leave one behind that was not closed.
fn webhooks(config: &Config) -> anyhow::Result<Vec<Webhook>> {
    let webhook = |notice: &Notice| Webhook::new(&notice.url, notice.topics.clone(), notice.secret_file.as_deref());
    Ok(config.notices.iter().map(webhook).collect::<Result<_, _>>()?)
}

fn notices(
    webhooks: Vec<Webhook>,
    data_dir: &Path,
    (clock, tasks): (&Clock, &Tasks),
) -> anyhow::Result<(Notices, Sending)> {
    let settings = captura_notices::Settings {
        folder: data_dir.join(folders::NOTICES),
        webhooks,
        keep: captura_notices::Settings::DEFAULT_KEEP,
        answer_within: captura_notices::Settings::DEFAULT_ANSWER_WITHIN,
        tasks: tasks.clone(),
    };
    let notices = Notices::open(&settings, clock.clone())?;
    let sending = notices.start(&settings)?;
    Ok((notices, sending))
}

/// A folder by the name that it has from everywhere.
fn absolute(folder: &Path) -> String {
    folder.canonicalize().unwrap_or_else(|_| folder.to_owned()).display().to_string()
}

fn table_plans(config: &Config) -> Vec<TablePlan> {
    config.tables.iter().map(Table::plan).collect()
}

fn compacting(
    config: &Config,
    stores: &Stores,
    (clock, tasks): (&Clock, &Tasks),
) -> anyhow::Result<Option<Compacting>> {
    let tables: Vec<TablePlan> = config.tables.iter().filter(|table| table.compact).map(Table::plan).collect();
    if config.tables.is_empty() {
        return Ok(None);
    }
    let now = clock.clone();
    let journal = config.server.data_dir.join(folders::JOURNAL);
    let compactor = Compactor::new(stores.clone(), journal, captura_table::compact::clock(move || now.now()));
    Ok(Some(Compacting::start(compactor, tables, tasks).context("compaction of tables cannot begin")?))
}

/// Uploads have a share of the memory for good: otherwise callers could starve the archive until the journal is full.
pub(crate) fn uploader(
    config: &Config,
    memory: &MemoryBudget,
    (journal, stores): (consumers::Counted, &Stores),
    (clock, tasks): (&Clock, &Tasks),
) -> anyhow::Result<(Uploader, Held)> {
    let plan = Plan::within(memory.limit_bytes() / UPLOADS_SHARE);
    let plan = Plan { extension: config.capture.extension, tables: table_plans(config), ..plan };
    let held = memory.count(Holder::Uploads, plan.memory_bytes());
    let now = clock.clone();
    let settings = UploaderSettings {
        journal: config.server.data_dir.join(folders::JOURNAL),
        plan,
        tables: Some(Arc::new(captura_table::Parquet)),
        read_back: false,
        answer_within: ANSWER_WITHIN,
        patience: Patience { seed: u64::from(std::process::id()), ..Patience::default() },
        carry_after: config.capture.carry_after.0,
        evict_when_full: config.capture.on_full == OnFull::EvictOldest,
        now: Arc::new(move || now.now()),
        tasks: tasks.clone(),
    };
    Ok((Uploader::new(Arc::new(journal), stores.clone(), settings)?, held))
}

fn gateway_settings(config: &Config, memory: &MemoryBudget, more_metrics: MoreMetrics) -> captura_gateway::Settings {
    let mut settings = captura_gateway::Settings {
        account: config.aws.account.clone(),
        body_max_bytes: config.limits.body_max.0,
        memory: memory.clone(),
        variant_concurrency_max: config.limits.max_concurrent_invocations_per_variant,
        connections_max: config.limits.max_connections,
        model_timeout: config.limits.model_timeout.0,
        drain_timeout: config.server.shutdown_deadline.0,
        more_metrics: Some(more_metrics),
        metrics_are_open: config.auth.metrics == MetricsAccess::Open,
        ..captura_gateway::Settings::default()
    };
    settings.allowed_hosts.extend(config.server.allowed_hosts.iter().cloned());
    settings
}

/// The lines of `/metrics` of rooms that the gateway does not know.
fn more_metrics(
    (archive, consumers, cloudwatch, backlog, tasks): (crate::archive::Seen, Consumers, Cloudwatch, Backlog, Tasks),
) -> MoreMetrics {
    Arc::new(move |text| {
        metering::scrape(&cloudwatch, text);
        backlog::scrape(&backlog, text);
        tasks::scrape(&tasks, text);
        archive.scrape(text);
        consumers.scrape(text);
    })
}
