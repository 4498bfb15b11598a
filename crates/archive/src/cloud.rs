//! Clients of object services, made from a mapping's url and options. Built only with the feature `cloud`.
//!
//! Invariant: an option that the client does not know is an error, never ignored.
//! Refuses to: read the environment; what it says of credentials is handed in. Where nobody says anything they come from
//! the machine's own role.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::{ObjectStore, RetryConfig};

use crate::stores::{Service, StoreEnvironment};

/// The uploader has its own patience; below it a client tries only a little.
const RETRIES_MAX: usize = 2;
/// Longest that one call may keep trying.
const RETRY_TIMEOUT: Duration = Duration::from_secs(30);

/// Options by which a mapping brings credentials of its own; those of the environment do not mix with them.
const CREDENTIALS: [&str; 6] = ["access_key", "secret", "token", "account", "client", "anonymous"];

/// What the environment says, as far as the mapping does not.
fn usable<'a>(
    environment: &'a BTreeMap<String, String>,
    options: &BTreeMap<String, String>,
) -> impl Iterator<Item = (&'a String, &'a String)> {
    let is_credential = |name: &str| CREDENTIALS.iter().any(|word| name.to_ascii_lowercase().contains(word));
    let brings_its_own = options.keys().any(|name| is_credential(name) || name.eq_ignore_ascii_case("skip_signature"));
    environment.iter().filter(move |(name, _)| !brings_its_own || name.ends_with("region"))
}

/// Keys of AWS (id, secret, session token) as the S3 client finds them: those of the environment, else the machine's role.
pub(crate) async fn aws_keys(environment: &StoreEnvironment) -> Result<(String, String, Option<String>), String> {
    // The client asks no bucket for its keys; it only wants to have one.
    let mut builder = AmazonS3Builder::new().with_bucket_name("keys").with_region("us-east-1");
    for (name, value) in &environment.aws {
        if let Ok(key) = name.parse::<AmazonS3ConfigKey>() {
            builder = builder.with_config(key, value);
        }
    }
    let client = builder.build().map_err(|error| error.to_string())?;
    let keys = client.credentials().get_credential().await.map_err(|error| error.to_string())?;
    Ok((keys.key_id.clone(), keys.secret_key.clone(), keys.token.clone()))
}

pub(crate) fn connect(
    (service, url): (Service, &str),
    options: &BTreeMap<String, String>,
    environment: &StoreEnvironment,
    kms_key_id: Option<&str>,
) -> Result<Arc<dyn ObjectStore>, String> {
    let retry = RetryConfig { max_retries: RETRIES_MAX, retry_timeout: RETRY_TIMEOUT, ..RetryConfig::default() };
    let unknown = |name: &str| format!("{name:?} is no option of this client");
    let failed = |error: object_store::Error| error.to_string();
    Ok(match service {
        Service::S3 => {
            let mut builder = AmazonS3Builder::new().with_url(url).with_retry(retry);
            for (name, value) in usable(&environment.aws, options) {
                if let Ok(key) = name.parse::<AmazonS3ConfigKey>() {
                    builder = builder.with_config(key, value);
                }
            }
            for (name, value) in options {
                let key: AmazonS3ConfigKey = name.to_ascii_lowercase().parse().map_err(|_| unknown(name))?;
                builder = builder.with_config(key, value);
            }
            if let Some(kms_key_id) = kms_key_id {
                builder = builder.with_sse_kms_encryption(kms_key_id);
            }
            Arc::new(builder.build().map_err(failed)?)
        }
        Service::Gcs => {
            let mut builder = GoogleCloudStorageBuilder::new().with_url(url).with_retry(retry);
            for (name, value) in usable(&environment.gcs, options) {
                if let Ok(key) = name.parse::<GoogleConfigKey>() {
                    builder = builder.with_config(key, value);
                }
            }
            for (name, value) in options {
                let key: GoogleConfigKey = name.to_ascii_lowercase().parse().map_err(|_| unknown(name))?;
                builder = builder.with_config(key, value);
            }
            Arc::new(builder.build().map_err(failed)?)
        }
        Service::Azure => {
            let mut builder = MicrosoftAzureBuilder::new().with_url(url).with_retry(retry);
            for (name, value) in usable(&environment.azure, options) {
                if let Ok(key) = name.parse::<AzureConfigKey>() {
                    builder = builder.with_config(key, value);
                }
            }
            for (name, value) in options {
                let key: AzureConfigKey = name.to_ascii_lowercase().parse().map_err(|_| unknown(name))?;
                builder = builder.with_config(key, value);
            }
            Arc::new(builder.build().map_err(failed)?)
        }
    })
}
