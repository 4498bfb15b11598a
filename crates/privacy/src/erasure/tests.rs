use std::collections::BTreeMap;

use bytes::Bytes;
use captura_archive::batch::Plan;
use captura_archive::destinations::Patience;
use captura_archive::reconcile::{Depth, Verdict, reconcile_data_dir};
use captura_archive::uploader::ANSWER_WITHIN;
use captura_archive::{Archiving, StoreSettings, Stores, Uploader, UploaderSettings};
use captura_capture::Settings;
use captura_capture::journal::disk::RealDisk;
use captura_capture::ledger::Account;
use captura_capture::record::{Caller, Conclusion, Consumer, Outcome, Payload, Policy};
use captura_names::{EventId, InferenceId};
use captura_route::{Invocation, ModelRequest};

use super::*;
use crate::redactor::{Redactor, Secrets};
use crate::rules::parse;

pub(crate) const NOW_US: i64 = 1_700_000_000_000_000;
const RULES: &str = r#"{"endpoints":["*"],"subject":{"column":0},"input":[{"columns":[0,1],"action":"encrypt"}],
    "output":[{"columns":[0],"action":"encrypt"}]}"#;

/// A server's data directory at work, without a server.
pub(crate) struct World {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) eraser: Arc<Eraser>,
    stores: Stores,
    archiving: Option<Archiving>,
}

pub(crate) fn clock() -> Clock {
    Clock::fixed(Timestamp::from_unix_us(NOW_US))
}

impl World {
    pub(crate) fn new() -> Self {
        Self::at(tempfile::tempdir().unwrap())
    }

    /// As a start finds the folder.
    pub(crate) fn at(folder: tempfile::TempDir) -> Self {
        let journal = folder.path().join("journal");
        let settings = Settings { min_free_bytes: 0, ..Settings::new(&journal) };
        let (capture, _) = Capture::open(settings, Arc::new(RealDisk), clock()).unwrap();
        let stores = Stores::new(StoreSettings { data_dir: folder.path().to_owned(), mappings: BTreeMap::new() });
        let settings = UploaderSettings {
            journal: journal.clone(),
            plan: Plan::default(),
            tables: None,
            read_back: false,
            answer_within: ANSWER_WITHIN,
            carry_after: std::time::Duration::ZERO,
            evict_when_full: false,
            tasks: captura_tasks::Tasks::default(),
            patience: Patience::default(),
            now: Arc::new(|| Timestamp::from_unix_us(NOW_US)),
        };
        let uploader = Uploader::new(Arc::new(capture.clone()), stores.clone(), settings).unwrap();
        let privacy = folder.path().join("privacy");
        let master = Master::open_or_create(&privacy.join("master.key")).unwrap();
        let vault = Arc::new(Vault::new(&privacy, Arc::new(master), clock()));
        let removing = Removing::new(&journal, stores.clone());
        let eraser = Arc::new(Eraser::new(&privacy, vault, (removing, capture), clock()));
        Self { folder, eraser, stores, archiving: Some(uploader.start().unwrap()) }
    }

    /// One call about that person.
    pub(crate) async fn call(&self, endpoint: &str, person: &str) {
        let json = format!(
            r#"{{"endpoint":"{endpoint}","variant":"v","model":"m","endpoint_config":"c","settings":{{"enabled":true,
            "sampling":100,"input":true,"output":true,"destination":"s3://captures/d","csv_content_types":["text/csv"],
            "json_content_types":[],"kms_key_id":null,"durability":"ack-after-write","when_unavailable":"serve"}}}}"#
        );
        let policy: Policy = serde_json::from_str(&json).unwrap();
        let endpoint = EndpointName::parse(endpoint).unwrap();
        let secrets = Some(Secrets(Arc::clone(&self.eraser.vault)));
        let rules = Redactor::new(&parse(RULES).unwrap(), &endpoint, None, secrets).unwrap();
        let stream = self.eraser.capture.redacting_stream(&policy, Arc::new(rules));
        let invocation = Invocation {
            event_id: EventId::from_random_bytes(*random::<16>().unwrap()),
            arrived_at: Timestamp::from_unix_us(NOW_US),
            consumer: Consumer::anonymous(),
            caller: Caller::default(),
            endpoint,
            target_variant: None,
            inference_id: InferenceId::parse("id").ok(),
            request: ModelRequest {
                body: format!("{person},secret of {person},31").into(),
                content_type: Some("text/csv".into()),
                ..ModelRequest::default()
            },
        };
        let conclusion = Conclusion {
            outcome: Outcome::Ok,
            status: 200,
            response: Payload {
                content_type: Some("text/csv".into()),
                body: Bytes::from(format!("score of {person}")),
            },
            response_cut_bytes: 0,
            model_latency_us: 1,
            total_latency_us: 2,
        };
        stream.begin(invocation).unwrap().conclude(conclusion).captured().await;
    }

    /// Waits until everything is archived.
    pub(crate) async fn archived(&self) {
        assert!(self.eraser.drained().await.is_empty());
    }

    pub(crate) fn account(&self, endpoint: &str) -> Account {
        self.eraser.capture.ledger().account(endpoint, "v").unwrap().clone()
    }

    fn captured(&self) -> String {
        let mut all = String::new();
        for manifest in self.eraser.removing.manifests().all().unwrap() {
            for object in manifest.unwrap().objects {
                let path = self.folder.path().join("buckets").join(object.uri.strip_prefix("s3://").unwrap());
                all += &std::fs::read_to_string(path).unwrap();
            }
        }
        all
    }

    /// Ends as a stop does; the folder stays.
    pub(crate) async fn stop(mut self) -> (tempfile::TempDir, Stores) {
        let archiving = self.archiving.take().unwrap();
        archiving.stop(Duration::from_secs(20)).await;
        self.eraser.capture.close().await.unwrap();
        (self.folder, self.stores)
    }

    pub(crate) async fn proven(self) -> tempfile::TempDir {
        let (folder, stores) = self.stop().await;
        let report = reconcile_data_dir(folder.path(), &stores, Depth { deep: true, oracle: None }).await.unwrap();
        assert_eq!((report.verdict, report.findings), (Verdict::Balanced, vec![]));
        folder
    }
}

fn files_below(folder: &Path, met: &mut impl FnMut(&Path, Vec<u8>)) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files_below(&path, met);
        } else {
            met(&path, std::fs::read(&path).unwrap());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_is_erased_counted_and_certified_and_nobody_else_is() {
    let world = World::new();
    for person in ["maria", "jose", "maria"] {
        world.call("churn", person).await;
    }
    world.call("other", "maria").await;
    world.archived().await;
    let opened = |world: &World| world.eraser.vault.opener().unwrap().open(&world.captured());
    assert_eq!(opened(&world).2, 0, "all can be opened");
    assert!(opened(&world).0.contains("secret of maria"));

    let churn = EndpointName::parse("churn").unwrap();
    let certificate = world.eraser.erase("maria", Some(&churn)).await.unwrap();
    assert_eq!((certificate["records"].as_u64(), certificate["state"].as_str()), (Some(2), Some("done")));
    assert!(!certificate.to_string().contains("maria"), "{certificate}");
    let (text, _, closed) = opened(&world);
    assert_eq!(closed, 6, "two calls of three sealed values");
    assert!(text.contains("secret of jose") && text.matches("secret of maria").count() == 1);
    let account = world.account("churn");
    assert_eq!((account.captured, account.uploaded, account.erased, account.imbalance()), (3, 1, 2, 0));
    assert_eq!(world.account("other").erased, 0);
    assert!(matches!(world.eraser.erase("maria", Some(&churn)).await, Err(EraseError::NoKeys(_))));

    let (master, keys) = (world.eraser.vault.master(), world.eraser.vault.opener().unwrap());
    verify(&certificate, master, &keys).unwrap();
    let mut forged = certificate.clone();
    forged["records"] = json!(3);
    assert!(verify(&forged, master, &keys).unwrap_err().contains("seal does not hold"));
    let elsewhere = world.eraser.erase("maria", None).await.unwrap();
    assert_eq!(elsewhere["records"], 1);

    let folder = world.proven().await;
    files_below(folder.path(), &mut |path, bytes| {
        let text = String::from_utf8_lossy(&bytes);
        for canary in ["maria", "secret of", "score of"] {
            assert!(!text.contains(canary), "{canary} is in {}", path.display());
        }
        for key in certificate["keys"].as_array().unwrap() {
            let id = key["id"].as_str().unwrap();
            assert!(!path.starts_with(folder.path().join("privacy/keys")) || !text.contains(id));
        }
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_at_any_arrow_is_taken_up_by_the_next_start_and_spares_later_calls() {
    for arrow in 0..3 {
        let world = World::new();
        world.call("churn", "maria").await;
        world.archived().await;
        let keys = world.eraser.vault.keys_of("maria", None).unwrap();
        let mut erasure = Erasure {
            version: VERSION,
            id: "e".into(),
            subject: world.eraser.vault.master().subject("maria"),
            endpoint: None,
            requested_at: clock().now().to_string(),
            destroyed_at: None,
            keys,
            state: State::Begun,
            objects: Vec::new(),
            pending: Vec::new(),
        };
        if arrow > 0 {
            world.eraser.vault.destroy(&erasure.subject, std::slice::from_ref(&erasure.keys[0].id)).unwrap();
        }
        if arrow > 1 {
            erasure.state = State::Destroyed;
        }
        world.eraser.save(&erasure).unwrap();
        if arrow > 0 {
            world.call("churn", "maria").await;
        }
        let (folder, _) = world.stop().await;

        let world = World::at(folder);
        world.eraser.go_on().await.unwrap();
        world.eraser.go_on().await.unwrap();
        let account = world.account("churn");
        assert_eq!((account.erased, account.imbalance()), (1, 0), "arrow {arrow}");
        assert_eq!(world.eraser.certificate("e").unwrap().unwrap()["state"], "done");
        let (_, opened, closed) = world.eraser.vault.opener().unwrap().open(&world.captured());
        assert_eq!((opened, closed), (if arrow > 0 { 3 } else { 0 }, 3), "arrow {arrow}");
        world.proven().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_is_not_erased_and_the_refusal_says_why() {
    let world = World::new();
    world.call("churn", "maria").await;
    let holds = world.eraser.holds();
    let now = clock().now();
    let subject = world.eraser.vault.master().subject("maria");
    for (subject, endpoint) in [(Some(subject), None), (None, Some("ch*"))] {
        let endpoint = endpoint.map(|pattern| captura_names::EndpointPattern::parse(pattern).unwrap());
        let hold = holds.add(subject, endpoint, "case 12/2026", now).unwrap();
        let refused = world.eraser.erase("maria", None).await.unwrap_err();
        assert!(refused.to_string().contains("case 12/2026"), "{refused}");
        holds.release(&hold.id, "closed", now).unwrap();
    }
    let other = holds.add(Some(world.eraser.vault.master().subject("jose")), None, "case 13", now).unwrap();
    assert_eq!(world.eraser.erase("maria", None).await.unwrap()["records"], 1);
    holds.release(&other.id, "closed", now).unwrap();
    world.proven().await;
}
