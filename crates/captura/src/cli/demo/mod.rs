//! `captura demo`: the whole thing on a real model, in a minute a person can follow.
//!
//! Nothing is faked: the server is the one that `captura serve` runs, the model was trained on real patients, the calls
//! go through the HTTP API, the records through the journal into objects, and the check reads those objects.

mod traffic;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use captura_archive::Stores;
use captura_archive::reader::{self, Selection};
use captura_monitor::job::{self, Check, LabelPosition, Source};
use clap::Args;
use serde_json::json;
use tokio::time::Instant;

use self::traffic::{CALLERS, CARELESS, ENDPOINT, Patients, Tally, Unit};
use super::{Outcome, analysis, deploy, ledger, say};
use crate::client::Client;
use crate::config::Config;
use crate::credentials::Credentials;
use crate::serve::Running;

const MODEL: &str = include_str!("../../../../../demo/model.json");
const PATIENTS: &str = include_str!("../../../../../demo/patients.csv");
/// Marks a folder as one that an earlier demo made and this one may clear.
const MARKER: &str = ".captura-demo";
const CAPTURES: &str = "s3://demo-captures";
/// How long the archive may take to bring a half of the demo into objects.
const ARCHIVE_MAX: Duration = Duration::from_secs(30);

/// See the whole thing work on a real model: traffic, capture, planted drift, check, proof
#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// Stop at the end instead of serving until Ctrl-C
    #[arg(long)]
    exit: bool,
    /// Folder of the demo; what an earlier demo left in it is cleared
    #[arg(long, default_value = "./captura-demo")]
    dir: PathBuf,
    /// Port to listen on; 0 picks a free one
    #[arg(long, default_value_t = 0)]
    port: u16,
}

impl Demo {
    pub(crate) fn run(self) -> anyhow::Result<Outcome> {
        super::serve::log_to_stderr("warn");
        tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(self.play())
    }

    async fn play(self) -> anyhow::Result<Outcome> {
        let began = Instant::now();
        say("captura demo: a real model, three callers, one mistake, and what the log tells of it\n");
        prepare(&self.dir)?;
        let running = Box::pin(self.serve()).await?;
        let url = format!("http://{}", running.address);
        let stage =
            Stage { dir: &self.dir, url: &url, patients: Arc::new(Patients::parse(PATIENTS)?), running: &running };

        stage.deploy().await?;
        let first_half = stage.first_half().await?;
        stage.second_half().await?;
        stage.check(&first_half).await?;
        stage.account().await?;
        say(&format!("\nThat took {:.1} s. Everything is in {}.", began.elapsed().as_secs_f64(), self.dir.display()));
        if !self.exit {
            say(&format!("The server goes on at {url} until Ctrl-C. Try in another terminal:"));
            say(&format!("  captura tail {ENDPOINT} --url {url}"));
            say(&format!("  captura endpoint {ENDPOINT} --url {url}"));
            let (data, baseline) = (self.dir.join("data"), self.dir.join("baseline"));
            say(&format!(
                "  captura report {CAPTURES} --baseline {} --data-dir {} --url {url} --html report.html",
                baseline.display(),
                data.display()
            ));
            tokio::signal::ctrl_c().await?;
        }
        running.stop().await?;
        Ok(Outcome::Fine)
    }

    async fn serve(&self) -> anyhow::Result<Running> {
        let mut config = Config::default();
        config.server.listen = ([127, 0, 0, 1], self.port).into();
        config.server.data_dir = self.dir.join("data");
        Running::start(config).await
    }
}

/// Makes the folder, or clears what an earlier demo left; a folder of anybody else is refused.
fn prepare(dir: &Path) -> anyhow::Result<()> {
    if dir.exists() {
        if !dir.join(MARKER).exists() && dir.read_dir()?.next().is_some() {
            bail!("{} holds something that no demo made; name another folder with --dir", dir.display());
        }
        std::fs::remove_dir_all(dir).with_context(|| format!("cannot clear {}", dir.display()))?;
    }
    std::fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    std::fs::write(dir.join(MARKER), "made by captura demo; cleared by the next one\n")?;
    std::fs::write(dir.join("model.json"), MODEL)?;
    Ok(())
}

/// Where the demo plays.
struct Stage<'a> {
    dir: &'a Path,
    url: &'a str,
    patients: Arc<Patients>,
    running: &'a Running,
}

impl Stage<'_> {
    async fn deploy(&self) -> anyhow::Result<()> {
        say(&format!("1  server     listens on {}", self.url));
        let began = Instant::now();
        let client = Client::new(self.url, Some(Credentials::claimed("model-owner")))?;
        let model = self.dir.join("model.json").canonicalize()?;
        let container = json!({ "Image": "captura/trees", "ModelDataUrl": format!("file://{}", model.display()) });
        let role = "arn:aws:iam::000000000000:role/captura-demo";
        client
            .operation(
                "CreateModel",
                &json!({ "ModelName": ENDPOINT, "PrimaryContainer": container, "ExecutionRoleArn": role }),
            )
            .await?;
        let config = json!({
            "EndpointConfigName": ENDPOINT,
            "ProductionVariants": [{ "VariantName": "AllTraffic", "ModelName": ENDPOINT, "InitialInstanceCount": 1, "InstanceType": "ml.local" }],
            "DataCaptureConfig": {
                "EnableCapture": true,
                "InitialSamplingPercentage": 100,
                "DestinationS3Uri": CAPTURES,
                "CaptureOptions": [{ "CaptureMode": "Input" }, { "CaptureMode": "Output" }],
                "CaptureContentTypeHeader": { "CsvContentTypes": ["text/csv"] },
            },
        });
        client.operation("CreateEndpointConfig", &config).await?;
        client
            .operation("CreateEndpoint", &json!({ "EndpointName": ENDPOINT, "EndpointConfigName": ENDPOINT }))
            .await?;
        deploy::wait_in_service(&client, ENDPOINT).await?;
        say(&format!(
            "2  model      {ENDPOINT}: how far a patient's diabetes has progressed, from {} measures (XGBoost);\n\
             \x20             in service {} ms after CreateModel, every call captured",
            self.patients.names.len(),
            began.elapsed().as_millis()
        ));
        Ok(())
    }

    /// Everybody behaves. What was captured is the baseline.
    async fn first_half(&self) -> anyhow::Result<Vec<String>> {
        say("3  traffic    three programs use it:");
        self.traffic(1, Unit::MillimetresOfMercury).await?;
        let objects = self.archived(&[]).await?;
        let source = Source { addresses: objects.clone(), names: Some(self.columns()), ..Source::default() };
        let baseline = self.folder("baseline");
        let learned = job::baseline(&self.stores(), &source, LabelPosition::First, &baseline).await?;
        say(&format!(
            "4  baseline   learned from these captures: {} rows of {} columns ({} calls got no answer and are left out)",
            learned.rows,
            learned.columns.len(),
            learned.unanswered
        ));
        Ok(objects)
    }

    /// One caller changes a unit, and tells nobody.
    async fn second_half(&self) -> anyhow::Result<()> {
        say(&format!(
            "5  a mistake  an update of {CARELESS} sends blood pressure in kPa instead of mmHg; every call still succeeds:"
        ));
        self.traffic(2, Unit::Kilopascal).await
    }

    async fn check(&self, first_half: &[String]) -> anyhow::Result<()> {
        let objects = self.archived(first_half).await?;
        let began = Instant::now();
        let request = Check {
            source: Source { addresses: objects, ..Source::default() },
            baseline: self.folder("baseline"),
            history: first_half.to_vec(),
            out: self.folder("check"),
        };
        let found = job::check(&self.stores(), &request).await?;
        say(&format!(
            "6  check      the new captures against the baseline: {} rows of {} records in {} ms",
            found.data.rows,
            found.data.records,
            began.elapsed().as_millis()
        ));
        for line in analysis::findings(&found) {
            say(&format!("              {line}"));
        }
        for address in &found.data.written {
            say(&format!("              wrote {address}"));
        }
        Ok(())
    }

    async fn account(&self) -> anyhow::Result<()> {
        let book = Client::new(self.url, None)?.observe("/captura/v1/ledger").await?;
        say("7  ledger     every call is accounted for:");
        for line in ledger::render(&book).lines() {
            say(&format!("              {}", line.trim_end()));
        }
        say(&format!(
            "              prove it yourself, once the demo has ended: captura reconcile --deep --data-dir {}",
            self.dir.join("data").display()
        ));
        Ok(())
    }

    /// One half of the calls, all callers at once. Only the careless one may change its unit.
    async fn traffic(&self, half: u64, unit: Unit) -> anyhow::Result<()> {
        let calls = CALLERS.map(|caller| {
            let unit = if caller.name == CARELESS { unit } else { Unit::MillimetresOfMercury };
            let (url, patients) = (self.url.to_owned(), Arc::clone(&self.patients));
            (caller, tokio::spawn(async move { caller.run(&url, &patients, unit, half).await }))
        });
        for (caller, calls) in calls {
            let Tally { calls, patients, refused } =
                calls.await.context("our bug: a caller of the demo panicked")??;
            let refused = if refused > 0 { format!(", {refused} refused by the model") } else { String::new() };
            say(&format!(
                "              {:<18} {calls:>4} calls, {patients:>4} patients{refused} ({})",
                caller.name, caller.habit
            ));
        }
        Ok(())
    }

    /// Seals what was captured and waits until it is in objects; the addresses of those that are not in `known`.
    async fn archived(&self, known: &[String]) -> anyhow::Result<Vec<String>> {
        self.running.capture.seal().await;
        let mut changed = self.running.capture.sealed_changed();
        let archived = async {
            while !self.running.capture.sealed().is_empty() {
                if changed.changed().await.is_err() {
                    break;
                }
            }
        };
        tokio::time::timeout(ARCHIVE_MAX, archived).await.context("the archive did not finish in time")?;
        let found = reader::list(&self.stores(), CAPTURES, &Selection::default()).await?;
        Ok(found.into_iter().map(|object| object.address).filter(|address| !known.contains(address)).collect())
    }

    /// The columns of a captured row: what the model answers, then what it is asked.
    fn columns(&self) -> Vec<String> {
        std::iter::once("progression".to_owned()).chain(self.patients.names.iter().cloned()).collect()
    }

    fn folder(&self, name: &str) -> String {
        self.dir.join(name).display().to_string()
    }

    fn stores(&self) -> Stores {
        self.running.stores.clone()
    }
}
