//! The control plane from its door to its table, with models on command. Tests drive the reconciler by hand, so that
//! every state between two passes can be looked at; one story runs with the driver.

mod capture;
mod constraints;
mod lifecycle;
mod lists;
mod recovery;
mod tags;
mod texts;
mod updates;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use captura_names::{EndpointName, Timestamp};
use captura_route::{Clock, Endpoint, ModelRequest, RouteTable};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::watch;

use crate::models::stand_in::{self, Strings};
use crate::{Control, Request, Settings};

const ACCOUNT: &str = "000000000000";
const REGION: &str = "eu-west-1";

/// A control plane on a folder of its own.
pub(crate) struct House {
    control: Control,
    strings: Strings,
    table: watch::Receiver<Arc<RouteTable>>,
    folder: Arc<TempDir>,
}

impl House {
    pub(crate) fn new() -> Self {
        Self::at(Arc::new(TempDir::new().expect("our bug: no folder for a test")), "catalog.sqlite3")
    }

    /// Opens a catalog of that folder. The clock goes on by a second at every look.
    fn at(folder: Arc<TempDir>, file: &str) -> Self {
        let (models, strings) = stand_in::models();
        let (sender, table) = watch::channel(Arc::new(RouteTable::default()));
        let seconds = AtomicI64::new(1_700_000_000);
        let clock =
            Clock::new(move || Timestamp::from_unix_us(seconds.fetch_add(1, Ordering::SeqCst) * 1_000_000 + 123_456));
        let settings = Settings::new(folder.path().join(file), ACCOUNT);
        let control = Control::open_with(settings, models, sender, clock).expect("our bug: the catalog opens");
        Self { control, strings, table, folder }
    }

    /// What would be there after kill -9: a copy of the files as they are now, opened without a close.
    fn after_a_kill(&self) -> Self {
        let copy = TempDir::new().expect("our bug: no folder for a test");
        for entry in std::fs::read_dir(self.folder.path()).expect("our bug: the folder is there").flatten() {
            std::fs::copy(entry.path(), copy.path().join(entry.file_name())).expect("our bug: the file is there");
        }
        Self::at(Arc::new(copy), "catalog.sqlite3")
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
                matches!(endpoint["EndpointStatus"].as_str(), Some("Creating" | "Updating" | "Deleting"))
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
