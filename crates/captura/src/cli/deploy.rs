//! `captura deploy`: model, endpoint configuration and endpoint in one go.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use captura_backends::embedded::ModelFormat;
use clap::Args;
use serde_json::{Value, json};

use super::{Outcome, Server, note, say};
use crate::client::Client;

/// How often `--wait` looks, and how long at most.
const POLL_INTERVAL: Duration = Duration::from_millis(200);
const WAIT_MAX: Duration = Duration::from_secs(3600);
/// A role is required by SageMaker's API; a local server has nobody to assume it.
const LOCAL_ROLE: &str = "arn:aws:iam::000000000000:role/captura-local";

/// Model, endpoint configuration and endpoint in one go
#[derive(Debug, Args)]
pub(crate) struct Deploy {
    /// Endpoint; model and configuration get the same name
    name: String,
    /// A model file, folder, model.tar.gz, s3:// address, or an image
    model: String,
    /// Image that runs the model, when it cannot be told from the file
    #[arg(long)]
    image: Option<String>,
    /// Capture this share of calls, percent
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=100))]
    capture: Option<u8>,
    /// Where captured calls go
    #[arg(long, value_name = "S3_URI", default_value = "s3://captures")]
    capture_to: String,
    /// When a reply may leave: ack-after-fsync, ack-after-write or best-effort [default: as the server's configuration says]
    #[arg(long, value_name = "MODE", value_parser = ["ack-after-fsync", "ack-after-write", "best-effort"], requires = "capture")]
    durability: Option<String>,
    /// What happens to a call whose record cannot be kept: refuse or serve [default: as the server's configuration says]
    #[arg(long, value_name = "ANSWER", value_parser = ["refuse", "serve"], requires = "capture")]
    when_unavailable: Option<String>,
    /// Number of instances
    #[arg(long, default_value_t = 1)]
    instances: u32,
    /// Wait until the endpoint is in service
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    server: Server,
}

impl Deploy {
    pub(crate) async fn run(self) -> anyhow::Result<Outcome> {
        let client = self.server.client()?;
        let container = self.container()?;
        let name = &self.name;
        client
            .operation(
                "CreateModel",
                &json!({ "ModelName": name, "PrimaryContainer": container, "ExecutionRoleArn": LOCAL_ROLE }),
            )
            .await?;
        // A refused deployment leaves nothing behind that would be in the way of the next try.
        let created = match self.create_endpoint(&client).await {
            Ok(created) => created,
            Err(error) => {
                let _ = client.operation("DeleteModel", &json!({ "ModelName": name })).await;
                return Err(error);
            }
        };
        let mut answer = created;
        if self.wait {
            answer = wait_in_service(&client, name).await?;
        }
        if self.server.json {
            say(&answer.to_string());
        } else if self.wait {
            say(&format!("{name} is in service"));
            for line in super::endpoints::promises(&client, name).await? {
                say(&line);
            }
        } else {
            say(&format!("{name} is being created; `captura endpoint {name}` tells how far it is"));
        }
        Ok(Outcome::Fine)
    }

    async fn create_endpoint(&self, client: &Client) -> anyhow::Result<Value> {
        let name = &self.name;
        client.operation("CreateEndpointConfig", &self.endpoint_config()).await?;
        let input = json!({ "EndpointName": name, "EndpointConfigName": name });
        let created = client.operation("CreateEndpoint", &input).await;
        if created.is_err() {
            let _ = client.operation("DeleteEndpointConfig", &json!({ "EndpointConfigName": name })).await;
        }
        created
    }

    fn container(&self) -> anyhow::Result<Value> {
        let local = Path::new(&self.model);
        let address = if self.model.starts_with("s3://") || self.model.starts_with("file://") {
            Some(self.model.clone())
        } else if local.exists() {
            let absolute = local.canonicalize().with_context(|| format!("cannot find {}", local.display()))?;
            Some(format!("file://{}", absolute.display()))
        } else {
            None
        };
        match (address, &self.image) {
            (Some(address), Some(image)) => Ok(json!({ "Image": image, "ModelDataUrl": address })),
            (Some(address), None) => Ok(json!({ "Image": image_for(local)?, "ModelDataUrl": address })),
            // What is neither here nor an address can only be an image.
            (None, None) if looks_like_image(&self.model) => Ok(json!({ "Image": self.model })),
            _ => bail!(
                "there is no model at {:?}: give a file, a folder, a model.tar.gz, an s3:// address or an image",
                self.model
            ),
        }
    }

    fn endpoint_config(&self) -> Value {
        let mut config = json!({
            "EndpointConfigName": self.name,
            "ProductionVariants": [{
                "VariantName": "AllTraffic",
                "ModelName": self.name,
                "InitialInstanceCount": self.instances,
                "InstanceType": "ml.local",
                "InitialVariantWeight": 1.0,
            }],
        });
        let said = [("captura:durability", &self.durability), ("captura:when-unavailable", &self.when_unavailable)];
        let tags: Vec<Value> =
            said.into_iter().filter_map(|(key, value)| Some(json!({ "Key": key, "Value": value.as_ref()? }))).collect();
        if !tags.is_empty() {
            config["Tags"] = json!(tags);
        }
        if let Some(percent) = self.capture {
            config["DataCaptureConfig"] = json!({
                "EnableCapture": true,
                "InitialSamplingPercentage": percent,
                "DestinationS3Uri": self.capture_to,
                "CaptureOptions": [{ "CaptureMode": "Input" }, { "CaptureMode": "Output" }],
                "CaptureContentTypeHeader": {
                    "CsvContentTypes": ["text/csv"],
                    "JsonContentTypes": ["application/json", "application/jsonlines"],
                },
            });
        }
        config
    }
}

/// Waits until the endpoint is in service; a failed one is an error with the server's reason.
pub(crate) async fn wait_in_service(client: &Client, name: &str) -> anyhow::Result<Value> {
    let describe = async {
        loop {
            let described = client.operation("DescribeEndpoint", &json!({ "EndpointName": name })).await?;
            match described["EndpointStatus"].as_str() {
                Some("InService") => return Ok(described),
                Some("Failed") => {
                    bail!("{name} failed: {}", described["FailureReason"].as_str().unwrap_or("no reason given"))
                }
                _ => tokio::time::sleep(POLL_INTERVAL).await,
            }
        }
    };
    tokio::time::timeout(WAIT_MAX, describe)
        .await
        .with_context(|| format!("{name} was not in service within {} s", WAIT_MAX.as_secs()))?
}

fn looks_like_image(text: &str) -> bool {
    text.starts_with("captura/") || text.contains(':')
}

/// The image whose backend understands the model at `path`.
fn image_for(path: &Path) -> anyhow::Result<&'static str> {
    if !path.exists() {
        bail!(
            "the model is not on this machine, so its kind cannot be seen: say --image captura/onnx or --image captura/trees"
        );
    }
    let Some(format) =
        captura_backends::embedded::sniff_path(path).with_context(|| format!("cannot look into {}", path.display()))?
    else {
        bail!(
            "{} is neither an ONNX model nor an XGBoost (JSON, UBJ, binary, pickled Booster) or LightGBM (text) one; if it is, say so with --image captura/onnx or captura/trees",
            path.display()
        );
    };
    let image = match format {
        ModelFormat::Onnx => "captura/onnx",
        ModelFormat::XgboostJson
        | ModelFormat::XgboostUbj
        | ModelFormat::XgboostBinary
        | ModelFormat::XgboostPickle
        | ModelFormat::LightgbmText => "captura/trees",
    };
    note(&format!("{} runs on {image}", path.display()));
    Ok(image)
}
