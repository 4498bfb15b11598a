//! Joins monitoring schedules to the stores, and answers the one request of them that SageMaker's API has no word for.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use captura_archive::Stores;
use captura_archive::level::level;
use captura_capture::{Capture, Mark};
use captura_control::{Arrivals, Folder, Folders, Monitors};
use captura_names::Timestamp;
use captura_route::Clock;

use crate::config::Config;

/// Between the end of a call and its record's entry into the journal, at most.
const ENTERED_WITHIN: Duration = Duration::from_secs(1);
/// Moments that are asked about at a time, at most.
const MARKS_MAX: usize = 4_096;
/// What the request's path begins and ends with.
const PATH: (&str, &str) = ("/captura/v1/monitoring-schedules/", "/executions");

/// What monitoring schedules need of the rooms around.
pub(crate) fn rooms(config: &Config, (stores, capture): (&Stores, &Capture), clock: &Clock) -> Monitors {
    let stores = stores.clone();
    let folders = Folders::new(move |address| {
        let stores = stores.clone();
        Box::pin(async move {
            let found = level(&stores, &address).await.map_err(|error| error.to_string())?;
            Ok(Folder { folders: found.folders, objects: found.objects })
        })
    });
    let watch = Watch {
        capture: capture.clone(),
        clock: clock.clone(),
        model_timeout: config.limits.model_timeout.0,
        marks: Arc::default(),
    };
    Monitors { folders, arrivals: Arrivals::new(move |endpoint, until| watch.has_arrived(endpoint, until)) }
}

/// Looks how far the journal's records have become objects.
struct Watch {
    capture: Capture,
    clock: Clock,
    model_timeout: Duration,
    /// By the moment: everything until then lies before it.
    marks: Arc<Mutex<BTreeMap<(Timestamp, String), Mark>>>,
}

impl Watch {
    /// Whether all calls of an endpoint that had begun at that moment have ended, and their records are in confirmed objects.
    fn has_arrived(&self, endpoint: &str, until: Timestamp) -> bool {
        let mut marks = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (until, endpoint.to_owned());
        let Some(mark) = marks.get(&key).copied().or_else(|| self.mark(endpoint, until)) else { return false };
        if self.capture.holds_before(mark, endpoint) {
            if marks.len() >= MARKS_MAX {
                // It is made again when somebody asks, and is then a little later.
                marks.pop_first();
            }
            marks.insert(key, mark);
            return false;
        }
        marks.remove(&key);
        true
    }

    /// Nothing while calls of before may be under way.
    fn mark(&self, endpoint: &str, until: Timestamp) -> Option<Mark> {
        let since = self.clock.now().unix_us() - until.unix_us();
        let since = Duration::from_micros(u64::try_from(since).ok()?);
        let longest = ENTERED_WITHIN + self.model_timeout;
        if since < ENTERED_WITHIN || (since < longest && self.is_called(endpoint)) {
            return None;
        }
        // After the longest call nothing of before is handed in any more.
        Some(self.capture.mark(since.saturating_sub(longest)))
    }

    fn is_called(&self, endpoint: &str) -> bool {
        let accounts = self.capture.ledger().accounts;
        accounts.iter().any(|account| account.endpoint == endpoint && account.in_flight > 0)
    }
}

/// The schedule that a path has an execution begin of.
pub(crate) fn schedule_of(path: &str) -> Option<&str> {
    let name = path.strip_prefix(PATH.0)?.strip_suffix(PATH.1)?;
    (!name.is_empty() && !name.contains('/')).then_some(name)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use bytes::Bytes;
    use captura_capture::journal::disk::RealDisk;
    use captura_capture::record::{Conclusion, Outcome, Payload};
    use captura_names::{EndpointConfigName, EndpointName, EventId, ModelName, Percent, S3Uri, VariantName};
    use captura_route::{
        Caller, CapturePolicy, CaptureSettings, Consumer, Durability, Invocation, ModelRequest, WhenUnavailable,
    };

    use super::*;

    fn conclusion() -> Conclusion {
        Conclusion {
            outcome: Outcome::Ok,
            status: 200,
            response: Payload { content_type: None, body: Bytes::new() },
            response_cut_bytes: 0,
            model_latency_us: 0,
            total_latency_us: 0,
        }
    }

    fn invocation(clock: &Clock) -> Invocation {
        Invocation {
            event_id: EventId::from_random_bytes([7; 16]),
            arrived_at: clock.now(),
            consumer: Consumer::anonymous(),
            caller: Caller::default(),
            endpoint: EndpointName::parse("e").unwrap(),
            target_variant: None,
            inference_id: None,
            request: ModelRequest::default(),
        }
    }

    #[tokio::test]
    async fn a_window_has_arrived_when_its_calls_have_ended_and_left_the_journal() {
        let dir = tempfile::tempdir().unwrap();
        let seconds = Arc::new(AtomicI64::new(1_000));
        let ticking = Arc::clone(&seconds);
        let at = |second: i64| Timestamp::from_unix_us(second * 1_000_000);
        let clock = Clock::new(move || at(ticking.load(Ordering::SeqCst)));
        let settings = captura_capture::Settings { min_free_bytes: 0, ..captura_capture::Settings::new(dir.path()) };
        let (capture, _) = Capture::open(settings, Arc::new(RealDisk), clock.clone()).unwrap();
        let policy = Arc::new(CapturePolicy {
            endpoint: EndpointName::parse("e").unwrap(),
            variant: VariantName::parse("AllTraffic").unwrap(),
            model: ModelName::parse("m").unwrap(),
            endpoint_config: EndpointConfigName::parse("e").unwrap(),
            settings: Some(CaptureSettings {
                enabled: true,
                sampling: Percent::ALL,
                input: true,
                output: true,
                destination: S3Uri::parse("s3://captures").unwrap(),
                csv_content_types: vec![],
                json_content_types: vec![],
                kms_key_id: None,
                durability: Durability::AckAfterWrite,
                when_unavailable: WhenUnavailable::Serve,
            }),
            signature: None,
            redaction: None,
        });
        let stream = capture.stream(&policy);
        let watch = Watch {
            capture: capture.clone(),
            clock: clock.clone(),
            model_timeout: Duration::from_secs(60),
            marks: Arc::default(),
        };
        let begun = stream.begin(invocation(&clock)).unwrap();
        let go_to = |second| seconds.store(second, Ordering::SeqCst);
        let until = at(1_010);
        go_to(1_009);
        assert!(!watch.has_arrived("e", until), "it is not over");
        go_to(1_020);
        assert!(!watch.has_arrived("e", until), "a call of before is under way");
        assert!(watch.has_arrived("other", until));
        begun.conclude(conclusion()).captured().await;
        assert!(!watch.has_arrived("e", until), "its record is in the journal");
        stream.begin(invocation(&clock)).unwrap().conclude(conclusion()).captured().await;
        capture.seal().await;
        stream.begin(invocation(&clock)).unwrap().conclude(conclusion()).captured().await;
        for segment in capture.sealed() {
            assert!(!watch.has_arrived("e", until), "it is no object");
            capture.free(&segment.name, &segment.accounts).unwrap();
        }
        assert!(watch.has_arrived("e", until), "what came later does not matter");
        assert!(watch.marks.lock().unwrap().is_empty());
    }
}
