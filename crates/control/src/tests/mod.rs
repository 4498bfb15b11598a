//! The control plane from its door to its table, with models on command. Tests drive the reconciler by hand, so that
//! every state between two passes can be looked at; one story runs with the driver.

mod capture;
mod component_updates;
mod components;
mod configurations;
mod constraints;
mod deployments;
mod lifecycle;
mod lists;
mod models;
mod monitors;
mod notices;
mod processing_jobs;
mod recovery;
mod scaling;
mod serverless;
mod tags;
mod texts;
mod updates;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use captura_names::{EndpointName, Timestamp};
use captura_route::{Clock, Endpoint, ModelRequest, RouteTable};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::watch;

use crate::models::stand_in::{self, Strings};
use crate::{AlarmState, Control, Monitors, Request, Settings};

const ACCOUNT: &str = "000000000000";
const REGION: &str = "eu-west-1";

/// A control plane on a folder of its own.
pub(crate) struct House {
    control: Control,
    strings: Strings,
    table: watch::Receiver<Arc<RouteTable>>,
    folder: Arc<TempDir>,
    hands: Hands,
    runner: processing_jobs::Runner,
}

/// What a test can do to the world around.
#[derive(Clone, Default)]
pub(crate) struct Hands {
    /// What the clock says, seconds.
    seconds: Arc<AtomicI64>,
    /// How far it goes on at every look, seconds.
    tick: Arc<AtomicI64>,
    /// Alarms that there are.
    alarms: Arc<Mutex<BTreeMap<String, AlarmState>>>,
    /// Cold starts of serverless variants.
    cold_starts: Arc<Mutex<Vec<String>>>,
    /// Whoever hears of the next notice panics.
    notice_falls: Arc<AtomicBool>,
    /// Captures arrive in no store.
    captures_stay_out: Arc<AtomicBool>,
    /// What lies in the stores; nothing where they do not answer.
    store: Arc<Mutex<Option<BTreeSet<String>>>>,
}

impl Hands {
    /// A clock that goes on by a second at every look.
    fn new(seconds: i64) -> Self {
        Self { seconds: Arc::new(seconds.into()), tick: Arc::new(1.into()), ..Self::default() }
    }

    fn clock(&self) -> Clock {
        let (seconds, tick) = (Arc::clone(&self.seconds), Arc::clone(&self.tick));
        Clock::new(move || {
            let now = seconds.fetch_add(tick.load(Ordering::SeqCst), Ordering::SeqCst);
            Timestamp::from_unix_us(now * 1_000_000 + 123_456)
        })
    }

    fn settings(&self, catalog: std::path::PathBuf) -> Settings {
        let alarms = Arc::clone(&self.alarms);
        let falls = Arc::clone(&self.notice_falls);
        let cold_starts = Arc::clone(&self.cold_starts);
        let arrivals = monitors::arrivals(Arc::clone(&self.seconds), Arc::clone(&self.captures_stay_out));
        let monitors = Monitors { folders: monitors::folders(Arc::clone(&self.store)), arrivals };
        Settings {
            monitors,
            alarms: Arc::new(move |name| alarms.lock().expect("our bug: a test panicked").get(name).copied()),
            bell: Arc::new(move || assert!(!falls.swap(false, Ordering::SeqCst), "a test asked for it")),
            cold_starts: Arc::new(move |endpoint, variant, _| {
                cold_starts.lock().expect("our bug: a test panicked").push(format!("{endpoint}/{variant}"));
            }),
            ..Settings::new(catalog, ACCOUNT)
        }
    }
}

impl House {
    pub(crate) fn new() -> Self {
        Self::at(Arc::new(TempDir::new().expect("our bug: no folder for a test")), "catalog.sqlite3")
    }

    /// The same, with a clock that only the test moves.
    pub(crate) fn still() -> Self {
        let house = Self::new();
        house.hands.tick.store(0, Ordering::SeqCst);
        house
    }

    /// Opens a catalog of that folder. The clock goes on by a second at every look.
    fn at(folder: Arc<TempDir>, file: &str) -> Self {
        Self::with(folder, file, Hands::new(1_700_000_000))
    }

    fn with(folder: Arc<TempDir>, file: &str, hands: Hands) -> Self {
        let (models, strings) = stand_in::models();
        let (sender, table) = watch::channel(Arc::new(RouteTable::default()));
        let runner = processing_jobs::Runner::default();
        let jobs = crate::Jobs { runner: Arc::new(runner.clone()), ..crate::Jobs::default() };
        let settings = Settings { jobs, ..hands.settings(folder.path().join(file)) };
        let control = Control::open_with(settings, models, sender, hands.clock()).expect("our bug: the catalog opens");
        Self { control, strings, table, folder, hands, runner }
    }

    /// Time goes by.
    fn wait(&self, seconds: i64) {
        self.hands.seconds.fetch_add(seconds, Ordering::SeqCst);
    }

    fn set_alarm(&self, name: &str, state: AlarmState) {
        self.hands.alarms.lock().expect("our bug: a test panicked").insert(name.to_owned(), state);
    }

    /// What would be there after kill -9: a copy of the files as they are now, opened without a close.
    fn after_a_kill(&self) -> Self {
        let copy = TempDir::new().expect("our bug: no folder for a test");
        for entry in std::fs::read_dir(self.folder.path()).expect("our bug: the folder is there").flatten() {
            std::fs::copy(entry.path(), copy.path().join(entry.file_name())).expect("our bug: the file is there");
        }
        Self::with(Arc::new(copy), "catalog.sqlite3", self.hands.clone())
    }

    async fn call(&self, operation: &str, input: Value) -> (u16, Value) {
        let target = format!("SageMaker.{operation}");
        let request = Request { target: &target, region: REGION, body: input.to_string().into() };
        let response = self.control.answer(request).await;
        let names: Vec<_> = response.headers.iter().map(|(name, _)| *name).collect();
        assert!(names.contains(&"x-amzn-requestid") && names.contains(&"content-type"), "{names:?}");
        (response.status, serde_json::from_slice(&response.body).expect("our bug: an answer is JSON"))
    }

    pub(crate) async fn ok(&self, operation: &str, input: Value) -> Value {
        let (status, output) = self.call(operation, input.clone()).await;
        assert_eq!(status, 200, "{operation} {input}: {output}");
        output
    }

    /// The text of a `ValidationException`.
    async fn refused(&self, operation: &str, input: Value) -> String {
        let (status, output) = self.call(operation, input.clone()).await;
        assert_eq!(
            (status, output["__type"].as_str()),
            (400, Some("ValidationException")),
            "{operation} {input}: {output}"
        );
        output["message"].as_str().expect("our bug: a fault has a message").to_owned()
    }

    /// A model and a configuration of the same name, with that image.
    async fn config(&self, name: &str, image: &str) {
        self.ok("CreateModel", json!({"ModelName": name, "PrimaryContainer": {"Image": image}})).await;
        let variant = json!({"VariantName": "AllTraffic", "ModelName": name, "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"});
        self.ok("CreateEndpointConfig", json!({"EndpointConfigName": name, "ProductionVariants": [variant]})).await;
    }

    /// An endpoint that serves `echo`, with model and configuration of the same name.
    async fn endpoint(&self, name: &str) {
        self.config(name, "echo").await;
        self.ok("CreateEndpoint", json!({"EndpointName": name, "EndpointConfigName": name})).await;
        self.settle().await;
        assert_eq!(self.status(name).await, "InService");
    }

    async fn describe(&self, name: &str) -> Value {
        self.ok("DescribeEndpoint", json!({"EndpointName": name})).await
    }

    async fn status(&self, name: &str) -> String {
        self.describe(name).await["EndpointStatus"].as_str().expect("our bug: a status is text").to_owned()
    }

    /// One pass.
    async fn pass(&self) {
        self.control.inner.reconciler.reconcile().await.expect("our bug: the catalog works");
    }

    /// Passes until nothing is under way.
    async fn settle(&self) {
        loop {
            self.pass().await;
            let listed = self.ok("ListEndpoints", json!({"MaxResults": 100})).await;
            let under_way = |endpoint: &Value| {
                matches!(
                    endpoint["EndpointStatus"].as_str(),
                    Some("Creating" | "Updating" | "RollingBack" | "Deleting")
                )
            };
            if !listed["Endpoints"].as_array().expect("our bug: a list").iter().any(under_way) {
                return;
            }
            self.control.inner.nudge.notified().await;
        }
    }

    /// The endpoint in the table.
    fn served(&self, name: &str) -> Option<Arc<Endpoint>> {
        self.table.borrow().endpoint(&EndpointName::parse(name).expect("our bug: a name")).cloned()
    }

    /// What the model behind the first variant answers: its image.
    async fn answer_of(&self, name: &str) -> String {
        let endpoint = self.served(name).expect("our bug: the endpoint is in the table");
        let request = ModelRequest::default();
        let answer = endpoint.fleets[0].variants[0].backend.invoke(&request).await.expect("our bug: the model answers");
        String::from_utf8(answer.body.to_vec()).expect("our bug: an image is text")
    }
}

fn arn(resource: &str) -> String {
    format!("arn:aws:sagemaker:{REGION}:{ACCOUNT}:{resource}")
}

fn catalog_file(folder: &Path) -> std::path::PathBuf {
    folder.join("catalog.sqlite3")
}
