//! Docker for stories about containers: the engine that `cargo xtask docker` and `cargo xtask ci` start, and what is in it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::deployment::accept;
use crate::server::{Home, Server, wait_for};

/// How long a container may take to serve; a cold start of a Python server on a busy machine takes half a minute.
const SERVICE_LIMIT: Duration = Duration::from_secs(240);
const ROLE: &str = "arn:aws:iam::000000000000:role/captura-stories";

/// An engine with the stories' images in it.
pub struct Docker {
    socket: PathBuf,
    models: PathBuf,
}

/// What to deploy as a container. Endpoint, configuration and model share one name.
pub struct Contained<'a> {
    /// Name of all three.
    pub name: &'a str,
    /// `captura-stories/` and this.
    pub image: &'a str,
    /// `ModelDataUrl`.
    pub model_data_url: Option<String>,
    /// `Environment` of the container.
    pub environment: Value,
    /// Further members of `PrimaryContainer`.
    pub more: Value,
    /// `EnableNetworkIsolation`
    pub is_isolated: bool,
    /// `InitialInstanceCount`
    pub instances: u32,
    /// `ContainerStartupHealthCheckTimeoutInSeconds`
    pub startup_timeout_s: u32,
}

impl<'a> Contained<'a> {
    /// One instance, nothing special.
    pub fn new(name: &'a str, image: &'a str) -> Self {
        let environment = json!({});
        Self {
            name,
            image,
            model_data_url: None,
            environment,
            more: json!({}),
            is_isolated: false,
            instances: 1,
            startup_timeout_s: 240,
        }
    }

    /// Creates model, configuration and endpoint, under full capture into the bucket `captures`.
    ///
    /// # Panics
    /// When a step is refused.
    pub fn create(&self, server: &Server) {
        let name = self.name;
        let image = format!("captura-stories/{}", self.image);
        let mut container = json!({"Image": image, "Environment": self.environment});
        if let Some(url) = &self.model_data_url {
            container["ModelDataUrl"] = json!(url);
        }
        for (member, value) in self.more.as_object().into_iter().flatten() {
            container[member] = value.clone();
        }
        let model = json!({"ModelName": name, "PrimaryContainer": container, "ExecutionRoleArn": ROLE,
            "EnableNetworkIsolation": self.is_isolated});
        let variant = json!({"VariantName": "AllTraffic", "ModelName": name, "InitialInstanceCount": self.instances,
            "InstanceType": "ml.m5.large", "ContainerStartupHealthCheckTimeoutInSeconds": self.startup_timeout_s});
        let capture = json!({"EnableCapture": true, "InitialSamplingPercentage": 100,
            "DestinationS3Uri": "s3://captures/stories",
            "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
            "CaptureContentTypeHeader": {"CsvContentTypes": ["text/csv"], "JsonContentTypes": ["application/json"]}});
        let configuration =
            json!({"EndpointConfigName": name, "ProductionVariants": [variant], "DataCaptureConfig": capture});
        accept(server, "CreateModel", &model);
        accept(server, "CreateEndpointConfig", &configuration);
        accept(server, "CreateEndpoint", &json!({"EndpointName": name, "EndpointConfigName": name}));
    }

    /// Waits until the endpoint has left `Creating`, and gives its description.
    ///
    /// # Panics
    /// When it takes longer than a container may take.
    pub fn settled(&self, server: &Server) -> Value {
        wait_for("the endpoint to be in service or failed", SERVICE_LIMIT, || {
            let described = accept(server, "DescribeEndpoint", &json!({"EndpointName": self.name}));
            (described["EndpointStatus"] != "Creating").then_some(described)
        })
    }

    /// Creates all and waits until it is in service.
    ///
    /// # Panics
    /// When it fails.
    pub fn serve(&self, server: &Server) {
        self.create(server);
        let described = self.settled(server);
        assert_eq!(described["EndpointStatus"], "InService", "{}", described["FailureReason"]);
    }
}

impl Docker {
    /// The engine, where there is one; otherwise says which story is not told.
    pub fn here(story: &str) -> Option<Self> {
        let set = |name: &str| std::env::var_os(name).map(PathBuf::from);
        match (set("CAPTURA_DOCKER_SOCKET"), set("CAPTURA_STORY_MODELS")) {
            (Some(socket), Some(models)) => Some(Self { socket, models }),
            _ => {
                #[expect(clippy::print_stdout, reason = "a story that was not told says so")]
                {
                    println!("skipped: {story} because there is no Docker; `cargo xtask docker` starts one");
                }
                None
            }
        }
    }

    /// A home whose server uses this engine and pulls nothing.
    pub fn home(&self) -> Home {
        self.home_with("")
    }

    /// The same with further settings.
    pub fn home_with(&self, more: &str) -> Home {
        let socket = self.socket.display();
        let docker = format!("[docker]\nsocket = \"{socket}\"\npull = \"never\"\n");
        Home::new(&format!("[capture]\nseal_after = \"1s\"\n{docker}{more}"))
    }

    /// Address of the model that an image of the stories serves.
    pub fn model(&self, name: &str) -> Option<String> {
        Some(format!("file://{}", self.models.join(name).with_extension("tar.gz").display()))
    }

    /// Rows that the models are asked about, and the labels that they must answer.
    ///
    /// # Panics
    /// When the file that says so is not there.
    pub fn expected(&self) -> (Vec<Vec<f64>>, Vec<i64>) {
        let text = std::fs::read_to_string(self.models.join("expected.json")).expect("the models were made");
        let value: Value = serde_json::from_str(&text).expect("it is JSON");
        let read = |name: &str| value[name].clone();
        let rows = serde_json::from_value(read("rows")).expect("rows of numbers");
        (rows, serde_json::from_value(read("labels")).expect("whole numbers"))
    }

    /// Ids of the containers of a home's servers, running or not.
    pub fn containers(&self, home: &Home) -> Vec<String> {
        let data_dir = home.data_dir().canonicalize().unwrap_or_else(|_| home.data_dir());
        let filter = format!("label=captura.data-dir={}", data_dir.display());
        self.run(&["ps", "--all", "--quiet", "--no-trunc", "--filter", &filter])
            .lines()
            .map(ToOwned::to_owned)
            .collect()
    }

    /// The digest of an image of the stories.
    pub fn image_id(&self, name: &str) -> String {
        self.run(&["image", "inspect", "--format", "{{.Id}}", &format!("captura-stories/{name}")]).trim().to_owned()
    }

    /// Names of the models that a multi-model-server in a container says it has loaded.
    ///
    /// # Panics
    /// When it does not say.
    pub fn loaded_models(&self, container: &str) -> BTreeSet<String> {
        const ASK: &str =
            "import urllib.request as u; print(u.urlopen('http://127.0.0.1:8080/models').read().decode())";
        let told: Value = serde_json::from_str(&self.run(&["exec", container, "python3", "-c", ASK])).expect("JSON");
        let models = told["models"].as_array().expect("a list of models");
        models.iter().filter_map(|model| model["modelName"].as_str()).map(ToOwned::to_owned).collect()
    }

    /// `docker kill`
    pub fn kill(&self, container: &str) {
        self.run(&["kill", container]);
    }

    fn run(&self, arguments: &[&str]) -> String {
        // Debian's own client speaks the engine's version; another one may come first in the path.
        let program = if Path::new("/usr/bin/docker").exists() { "/usr/bin/docker" } else { "docker" };
        let mut docker = Command::new(program);
        docker.arg("--host").arg(format!("unix://{}", self.socket.display())).args(arguments);
        let output = docker.output().expect("docker starts");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}
