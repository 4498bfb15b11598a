//! Clients of object services, made from a mapping's url and options. Built only with the feature `cloud`.
//!
//! Invariant: an option that the client does not know is an error, never ignored.
//! Refuses to: read the environment; credentials come from the options or from the machine's own role.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::{ObjectStore, RetryConfig};

use crate::stores::Service;

/// The uploader has its own patience; below it a client tries only a little.
const RETRIES_MAX: usize = 2;
/// Longest that one call may keep trying.
const RETRY_TIMEOUT: Duration = Duration::from_secs(30);

pub(crate) fn connect(
    service: Service,
    url: &str,
    options: &BTreeMap<String, String>,
    kms_key_id: Option<&str>,
) -> Result<Arc<dyn ObjectStore>, String> {
    let retry = RetryConfig { max_retries: RETRIES_MAX, retry_timeout: RETRY_TIMEOUT, ..RetryConfig::default() };
    let unknown = |name: &str| format!("{name:?} is no option of this client");
    let failed = |error: object_store::Error| error.to_string();
    Ok(match service {
        Service::S3 => {
            let mut builder = AmazonS3Builder::new().with_url(url).with_retry(retry);
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
            for (name, value) in options {
                let key: GoogleConfigKey = name.to_ascii_lowercase().parse().map_err(|_| unknown(name))?;
                builder = builder.with_config(key, value);
            }
            Arc::new(builder.build().map_err(failed)?)
        }
        Service::Azure => {
            let mut builder = MicrosoftAzureBuilder::new().with_url(url).with_retry(retry);
            for (name, value) in options {
                let key: AzureConfigKey = name.to_ascii_lowercase().parse().map_err(|_| unknown(name))?;
                builder = builder.with_config(key, value);
            }
            Arc::new(builder.build().map_err(failed)?)
        }
    })
}
