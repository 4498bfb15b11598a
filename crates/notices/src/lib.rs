//! What happened, told to whoever asked for it: events and messages go to the webhooks that the operator names.
//!
//! ```text
//! tell(topic, message) → one file per webhook and notice → sender of that webhook → POST → file removed
//! ```
//!
//! Invariant: a notice is on the disk before `tell` returns, and goes to each webhook in the order it was told, at least
//! once; a webhook that does not answer holds up only itself. What is older than [`Settings::keep`], or does not fit into
//! [`WAITING_MAX`], is dropped, counted and said in the log.
//! Refuses to: send anything to an address that comes from the API; an ARN in a request only names a topic.

mod outbox;
mod sender;
#[cfg(test)]
mod tests;
mod webhook;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use captura_names::Timestamp;
use captura_route::Clock;
use captura_tasks::Tasks;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::outbox::Outbox;
pub use crate::outbox::{OpenError, WAITING_MAX};
pub use crate::sender::ClientError;
use crate::sender::Sender;
pub use crate::webhook::{InvalidWebhook, Webhook};

/// What the operator decides about notices.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Folder of what waits to be sent.
    pub folder: PathBuf,
    /// Who is told what.
    pub webhooks: Vec<Webhook>,
    /// How long a notice is tried before it is dropped.
    pub keep: Duration,
    /// How long a webhook may take to answer.
    pub answer_within: Duration,
    /// Begins the senders again when they panic.
    pub tasks: Tasks,
}

impl Settings {
    /// A day, as EventBridge keeps on trying.
    pub const DEFAULT_KEEP: Duration = Duration::from_secs(24 * 3_600);
    /// How long a webhook may take, when nobody says otherwise.
    pub const DEFAULT_ANSWER_WITHIN: Duration = Duration::from_secs(10);
}

/// How many notices there were.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// Answered with success.
    pub delivered: u64,
    /// Too old, or too many.
    pub dropped: u64,
    /// On the disk.
    pub waiting: u64,
}

/// The notices. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Notices {
    outboxes: Arc<[Arc<Outbox>]>,
    clock: Clock,
}

/// The senders at work.
#[derive(Debug)]
pub struct Sending {
    stop: watch::Sender<bool>,
    senders: Vec<JoinHandle<()>>,
}

impl Notices {
    /// Opens the folder with what an earlier run left in it.
    ///
    /// # Errors
    /// When the folder cannot be used.
    pub fn open(settings: &Settings, clock: Clock) -> Result<Self, OpenError> {
        let open = |(index, webhook): (usize, &Webhook)| {
            let turn = settings.webhooks[..index].iter().filter(|before| before.url == webhook.url).count();
            Outbox::open(&settings.folder, (webhook.clone(), turn), settings.keep).map(Arc::new)
        };
        let outboxes: Result<Vec<_>, _> = settings.webhooks.iter().enumerate().map(open).collect();
        Ok(Self { outboxes: outboxes?.into(), clock })
    }

    /// Starts to send.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn start(&self, settings: &Settings) -> Result<Sending, ClientError> {
        let client = sender::client(settings.answer_within)?;
        let (stop, _) = watch::channel(false);
        let start = |outbox: &Arc<Outbox>| {
            let (outbox, clock) = (Arc::clone(outbox), self.clock.clone());
            let sender = Sender { outbox, client: client.clone(), clock, stop: stop.subscribe() };
            settings.tasks.spawn("notices", sender, |sender| Box::pin(sender.send()))
        };
        let senders = self.outboxes.iter().map(start).collect();
        Ok(Sending { stop, senders })
    }

    /// An event in EventBridge's shape: its `source`, e.g. `aws.sagemaker`, is the topic. Blocks for small files.
    pub fn event(&self, event: &Value) {
        let topic = event["source"].as_str().unwrap_or("captura");
        self.put(topic, event, "Event");
    }

    /// A message to a topic, wrapped as SNS wraps what it delivers over HTTP. Blocks for small files.
    pub fn message(&self, topic_arn: &str, subject: Option<&str>, message: &Value) {
        let mut notification = json!({
            "Type": "Notification",
            "MessageId": uuid::Uuid::new_v4().to_string(),
            "TopicArn": topic_arn,
            "Message": message.to_string(),
            "Timestamp": sns_time(self.clock.now()),
        });
        if let Some(subject) = subject {
            notification["Subject"] = json!(subject);
        }
        self.put(topic_arn, &notification, "Notification");
    }

    fn put(&self, topic: &str, body: &Value, kind: &'static str) {
        for outbox in self.outboxes.iter().filter(|outbox| outbox.webhook.listens_to(topic)) {
            outbox.put(topic, kind, body, self.clock.now());
        }
    }

    /// How many notices there were, of all webhooks together.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let mut figures = Figures::default();
        for outbox in self.outboxes.iter() {
            figures.delivered += outbox.delivered.load(Ordering::Relaxed);
            figures.dropped += outbox.dropped.load(Ordering::Relaxed);
            figures.waiting += outbox.waiting() as u64;
        }
        figures
    }
}

impl Sending {
    /// Ends the senders; what they had not sent stays on the disk.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        for sender in self.senders {
            if let Err(error) = sender.await {
                tracing::error!(%error, "a sender of notices had ended in a bug");
            }
        }
    }
}

/// `2026-01-31T12:00:00.000Z`
fn sns_time(at: Timestamp) -> String {
    let ms = at.unix_us().rem_euclid(1_000_000) / 1_000;
    format!("{}.{ms:03}Z", at.to_string().trim_end_matches('Z'))
}
