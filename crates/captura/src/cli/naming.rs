//! What columns are called that have no names of their own, or others than one wants: by options, a file, or a server's models.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use captura_monitor::dataset::{Header, Naming};
use captura_monitor::job::Source;
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use crate::client::Client;

/// Largest file of names, bytes.
const NAMES_MAX_BYTES: u64 = 16 << 20;

/// Names of the columns of captured rows.
#[derive(Debug, Default, Args)]
pub(super) struct Names {
    /// Names of the columns, with commas between them, those of the answer first; names in the data win
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    headers: Vec<String>,
    /// File of names: one on each line, the answer's first; or JSON, {"inputs": …, "outputs": …}, each a list of names by place
    /// or an object of what is sent to what it is called
    #[arg(long, value_name = "FILE", conflicts_with = "headers")]
    names: Option<PathBuf>,
    /// Whether CSV files begin with the names of their columns [default: as their first two lines look]
    #[arg(long, value_name = "WHETHER")]
    csv_header: Option<Whether>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Whether {
    Yes,
    No,
}

impl Names {
    /// The source with these names.
    pub(super) fn of(&self, source: Source) -> anyhow::Result<Source> {
        let header = self.csv_header.map_or(source.header, |has| match has {
            Whether::Yes => Header::Yes,
            Whether::No => Header::No,
        });
        let source = Source { header, ..source };
        Ok(match &self.names {
            None => Source { names: (!self.headers.is_empty()).then(|| self.headers.clone()), ..source },
            Some(path) => named(source, read(path)?),
        })
    }
}

fn named(source: Source, naming: Naming) -> Source {
    Source { names: naming.columns().cloned(), naming: Arc::new(naming), ..source }
}

/// Reads a file of names.
pub(super) fn read(path: &Path) -> anyhow::Result<Naming> {
    let at = || format!("--names {}", path.display());
    let size = std::fs::metadata(path).with_context(at)?.len();
    anyhow::ensure!(size <= NAMES_MAX_BYTES, "{}: it is larger than {} MiB", at(), NAMES_MAX_BYTES >> 20);
    let text = std::fs::read_to_string(path).with_context(at)?;
    Naming::parse(&text).with_context(at)
}

/// The source with the names that the models of its endpoint have, where all of them have the same, and nobody names them
/// otherwise.
pub(super) async fn of_models(source: Source, client: &Client) -> anyhow::Result<Source> {
    let (endpoint, variant) = (&source.selection.endpoint, &source.selection.variant);
    let is_named = source.names.is_some() || *source.naming != Naming::default();
    let Some(endpoint) = endpoint.as_ref().filter(|_| !is_named) else { return Ok(source) };
    let told = of_signature(client, &json!(endpoint), &json!(variant)).await?;
    Ok(match told {
        Some(naming) => named(source, naming),
        None => source,
    })
}

/// What the models of an endpoint call their inputs, where a server tells and all of them call them the same.
pub(super) async fn inputs_of(endpoint: &str, client: &Client) -> Option<Vec<String>> {
    let told = of_signature(client, &json!(endpoint), &Value::Null).await.ok()??;
    told.features().cloned()
}

/// The names in the signature that all variants of an endpoint have, or this one.
async fn of_signature(client: &Client, endpoint: &Value, variant: &Value) -> anyhow::Result<Option<Naming>> {
    let served = client.observe("/captura/v1/endpoints").await?;
    let of_variant = |served: &&Value| variant.is_null() || served["name"] == *variant;
    let endpoints = served["endpoints"].as_array().into_iter().flatten();
    let variants = endpoints.filter(|served| served["name"] == *endpoint).filter_map(|one| one["variants"].as_array());
    let mut signatures: Vec<&Value> = variants.flatten().filter(of_variant).map(|one| &one["signature"]).collect();
    signatures.dedup();
    let [signature] = signatures[..] else { return Ok(None) };
    // One without a fixed number of values names no places.
    Ok(Naming::parse(&signature.to_string()).ok().filter(|_| signature.is_object()))
}
