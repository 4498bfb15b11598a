//! How asynchronous invocations are worked off, from the configuration to what the gateway reads.

use captura_names::S3Uri;
use captura_route::AsyncInference;

use super::Deployment;

impl Deployment {
    /// What the gateway needs to know; nothing where calls are answered at once.
    pub(crate) fn asynchronous(&self) -> Option<AsyncInference> {
        let config = self.async_inference.as_ref()?;
        let output = &config.output_config;
        let notices = output.notification_config.as_ref();
        // Both were checked when the configuration was created.
        let place = |uri: &Option<String>| uri.as_deref().and_then(|uri| S3Uri::parse(uri).ok());
        Some(AsyncInference {
            output: place(&output.s3_output_path),
            failure: place(&output.s3_failure_path),
            kms_key_id: output.kms_key_id.clone(),
            success_topic: notices.and_then(|notices| notices.success_topic.clone()),
            error_topic: notices.and_then(|notices| notices.error_topic.clone()),
            include_response_in: notices
                .map(|notices| notices.include_inference_response_in.clone())
                .unwrap_or_default(),
            concurrency_max: config
                .client_config
                .as_ref()
                .and_then(|client| client.max_concurrent_invocations_per_instance),
        })
    }
}
