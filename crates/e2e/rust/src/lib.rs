//! What both programs need: the clients as a program for AWS makes them, and the few words of a told story.
//!
//! Nothing here is captura's own: address, region and credentials come from the environment, as for AWS itself.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_s3::types::Object;
use aws_smithy_http_client::Builder;

/// How long something may take that the server does in its own time, such as writing captured calls.
const PATIENCE: Duration = Duration::from_secs(60);

/// The SDK's configuration out of the environment. The client is the SDK's own, built without TLS.
pub async fn from_environment() -> SdkConfig {
    aws_config::defaults(BehaviorVersion::latest()).http_client(Builder::new().build_http()).load().await
}

/// Looks again and again until `look` finds something.
///
/// # Errors
/// When it fails, or nothing is found in time.
pub async fn wait_for<T, F: Future<Output = Result<Option<T>>>>(what: &str, mut look: impl FnMut() -> F) -> Result<T> {
    let began = Instant::now();
    loop {
        if let Some(found) = look().await? {
            return Ok(found);
        }
        ensure!(began.elapsed() < PATIENCE, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// All objects below a prefix, page by page.
///
/// # Errors
/// When a page is refused, unless there is no such bucket: then there are none.
pub async fn objects(s3: &aws_sdk_s3::Client, bucket: &str, prefix: &str, page_size: i32) -> Result<Vec<Object>> {
    let mut pages = s3.list_objects_v2().bucket(bucket).prefix(prefix).into_paginator().page_size(page_size).send();
    let mut found = Vec::new();
    while let Some(page) = pages.next().await {
        match page {
            Ok(page) => found.extend_from_slice(page.contents()),
            Err(error) if error.as_service_error().is_some_and(|error| error.is_no_such_bucket()) => break,
            Err(error) => return Err(error).context("a listing is refused"),
        }
    }
    Ok(found)
}

/// An object's bytes.
///
/// # Errors
/// When there is none, or it breaks off.
pub async fn read(s3: &aws_sdk_s3::Client, bucket: &str, key: &str) -> Result<Vec<u8>> {
    let told =
        s3.get_object().bucket(bucket).key(key).send().await.with_context(|| format!("no s3://{bucket}/{key}"))?;
    Ok(told.body.collect().await?.into_bytes().to_vec())
}

/// The captured line that carries these words, once it has been written below `s3://bucket/prefix`.
///
/// # Errors
/// When it does not come.
pub async fn captured(s3: &aws_sdk_s3::Client, (bucket, prefix): (&str, &str), words: &str) -> Result<String> {
    wait_for(words, || async {
        for object in objects(s3, bucket, prefix, 100).await? {
            let text = String::from_utf8(read(s3, bucket, object.key().unwrap_or_default()).await?)?;
            if let Some(line) = text.lines().find(|line| line.contains(words)) {
                return Ok(Some(line.to_owned()));
            }
        }
        Ok(None)
    })
    .await
}

/// `s3://bucket/key`, taken apart.
///
/// # Errors
/// When it is none.
pub fn location(uri: &str) -> Result<(&str, &str)> {
    let Some(parts) = uri.strip_prefix("s3://").and_then(|rest| rest.split_once('/')) else {
        bail!("{uri} is no address of an object")
    };
    Ok(parts)
}
