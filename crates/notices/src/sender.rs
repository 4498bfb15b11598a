//! The sender of one webhook: one notice at a time, again and again until it is taken or too old.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use captura_route::Clock;
use reqwest::redirect;
use tokio::sync::watch;

use crate::outbox::{Notice, Outbox};

/// First wait after a failure.
const BACK_OFF_FIRST: Duration = Duration::from_millis(500);
/// Longest such wait.
const BACK_OFF_MAX: Duration = Duration::from_secs(60);

/// TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
#[error("notices cannot be sent: {0}")]
pub struct ClientError(#[from] reqwest::Error);

/// A client that follows no redirect: it goes where the operator said and nowhere else.
pub(crate) fn client(answer_within: Duration) -> Result<reqwest::Client, ClientError> {
    let builder = reqwest::Client::builder().redirect(redirect::Policy::none()).no_proxy();
    Ok(builder.timeout(answer_within).connect_timeout(answer_within).user_agent("captura").build()?)
}

/// How one attempt ended.
enum Attempt {
    Taken,
    /// Another one may do better.
    Failed(String),
    /// No other attempt will do better.
    Refused(String),
}

/// The sender of one webhook.
pub(crate) struct Sender {
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) client: reqwest::Client,
    pub(crate) clock: Clock,
    pub(crate) stop: watch::Receiver<bool>,
}

impl Sender {
    /// Sends until `stop`.
    pub(crate) async fn send(&mut self) {
        let Self { outbox, client, clock, stop } = self;
        let mut back_off = BACK_OFF_FIRST;
        while !*stop.borrow() {
            let Some((number, notice)) = on_disk(outbox, Outbox::first).await else {
                tokio::select! {
                    () = outbox.bell.notified() => continue,
                    _ = stop.wait_for(|stopped| *stopped) => return,
                }
            };
            let attempt = tokio::select! {
                attempt = attempt(outbox, client, &notice) => attempt,
                _ = stop.wait_for(|stopped| *stopped) => return,
            };
            match attempt {
                Attempt::Taken => {
                    outbox.delivered.fetch_add(1, Ordering::Relaxed);
                    on_disk(outbox, move |outbox| outbox.remove(number)).await;
                    back_off = BACK_OFF_FIRST;
                }
                Attempt::Refused(why) => {
                    outbox.drop_one(&notice.topic, &why);
                    on_disk(outbox, move |outbox| outbox.remove(number)).await;
                }
                Attempt::Failed(why) => {
                    let age_us = clock.now().unix_us().saturating_sub(notice.told_us);
                    if age_us >= i64::try_from(outbox.keep.as_micros()).unwrap_or(i64::MAX) {
                        outbox.drop_one(&notice.topic, &format!("it is too old; last: {why}"));
                        on_disk(outbox, move |outbox| outbox.remove(number)).await;
                        continue;
                    }
                    let (host, retry_in_ms) = (outbox.webhook.url.host_str(), back_off.as_millis() as u64);
                    tracing::warn!(host, why, retry_in_ms, "a webhook did not take a notice");
                    tokio::select! {
                        () = tokio::time::sleep(back_off) => {}
                        _ = stop.wait_for(|stopped| *stopped) => return,
                    }
                    back_off = (back_off * 2).min(BACK_OFF_MAX);
                }
            }
        }
    }
}

/// Does something with the outbox's files, on a thread that may wait for a disk.
async fn on_disk<T: Send + 'static>(outbox: &Arc<Outbox>, act: impl FnOnce(&Outbox) -> T + Send + 'static) -> T {
    let outbox = Arc::clone(outbox);
    match tokio::task::spawn_blocking(move || act(&outbox)).await {
        Ok(done) => done,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        // The runtime goes down, and this task with it.
        Err(_) => std::future::pending().await,
    }
}

async fn attempt(outbox: &Outbox, client: &reqwest::Client, notice: &Notice) -> Attempt {
    let body = notice.body.to_string().into_bytes();
    let mut request = client.post(outbox.webhook.url.clone()).header("content-type", "application/json");
    if notice.kind == "Notification" {
        request = request.header("x-amz-sns-message-type", "Notification").header("x-amz-sns-topic-arn", &notice.topic);
    }
    if let Some(signature) = outbox.webhook.signature(&body) {
        request = request.header("x-captura-signature", signature);
    }
    match request.body(body).send().await {
        // What a webhook says beyond its status is nobody's business, and may be endless: it is not read.
        Ok(answer) if answer.status().is_success() => Attempt::Taken,
        Ok(answer) => {
            let status = answer.status();
            let why = format!("the webhook answered {}", status.as_u16());
            // As EventBridge and SNS do: what the receiver calls wrong stays wrong.
            let final_word = status.is_client_error() && !matches!(status.as_u16(), 408 | 425 | 429);
            if final_word || status.is_redirection() { Attempt::Refused(why) } else { Attempt::Failed(why) }
        }
        // The address may hold a secret, so it is left out.
        Err(error) => Attempt::Failed(with_causes(&error.without_url())),
    }
}

/// An error and what led to it: of one that was sent into nothing, only the last cause says why.
fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cause_of_a_failure_is_told_and_not_only_that_there_was_one() {
        #[derive(Debug, thiserror::Error)]
        #[error("error sending request")]
        struct Sending(#[source] std::io::Error);

        let refused = std::io::Error::other("connection refused");
        assert_eq!(with_causes(&Sending(refused)), "error sending request: connection refused");
    }
}
