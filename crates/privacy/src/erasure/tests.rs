use std::collections::BTreeMap;

use bytes::Bytes;
use captura_archive::batch::Plan;
use captura_archive::destinations::Patience;
use captura_archive::reconcile::{Depth, Verdict, reconcile_data_dir};
use captura_archive::uploader::ANSWER_WITHIN;
use captura_archive::{Archiving, Overdue, StoreSettings, Stores, Uploader, UploaderSettings};
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
    pub(crate) overdue: Overdue,
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
        let overdue = uploader.overdue();
        Self { folder, eraser, overdue, stores, archiving: Some(uploader.start().unwrap()) }
    }

    /// One call about that person.
    pub(crate) async fn call(&self, endpoint: &str, person: &str) -> EventId {
        let event_id = EventId::from_random_bytes(*random::<16>().unwrap());
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
            event_id,
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
        event_id
    }

    /// Waits until everything is archived.
    pub(crate) async fn archived(&self) {
        let (_, waiting) = self.eraser.followed(self.eraser.drained().await);
        assert!(waiting.is_empty(), "{waiting:?}");
    }

    /// Puts a file in the way of an endpoint's captures; answers it.
    pub(crate) fn obstructed(&self, endpoint: &str) -> std::path::PathBuf {
        let place = self.folder.path().join("buckets/captures/d").join(endpoint);
        std::fs::create_dir_all(place.parent().unwrap()).unwrap();
        std::fs::write(&place, "in the way").unwrap();
        place
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
        let report =
            reconcile_data_dir(folder.path(), &stores, Depth { deep: true, ..Depth::default() }).await.unwrap();
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
            events: Vec::new(),
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

#[tokio::test(flavor = "multi_thread")]
async fn records_that_were_carried_over_are_counted_when_their_store_takes_them() {
    let world = World::new();
    let obstacle = world.obstructed("churn");
    world.call("churn", "maria").await;
    world.call("other", "maria").await;
    let certificate = world.eraser.erase("maria", None).await.unwrap();
    assert_eq!((certificate["records"].as_u64(), certificate["state"].as_str()), (Some(1), Some("done")));
    let pending = certificate["pendingSegments"].as_array().unwrap();
    assert!(pending.len() == 1 && pending[0].as_str().unwrap().ends_with("-01"), "the part: {certificate}");
    assert_eq!(world.account("churn").erased, 0);
    world.eraser.go_on().await.unwrap();
    assert_eq!(world.account("churn").erased, 0, "nothing has changed");

    std::fs::remove_file(&obstacle).unwrap();
    let mut changed = world.eraser.capture.sealed_changed();
    while !world.eraser.capture.sealed().is_empty() {
        changed.changed().await.unwrap();
    }
    world.eraser.go_on().await.unwrap();
    let account = world.account("churn");
    assert_eq!((account.erased, account.uploaded, account.imbalance()), (1, 0, 0));
    let id = certificate["id"].as_str().unwrap();
    let certificate = world.eraser.certificate(id).unwrap().unwrap();
    assert_eq!((certificate["records"].as_u64(), &certificate["pendingSegments"]), (Some(2), &json!([])));
    let (_, opened, closed) = world.eraser.vault.opener().unwrap().open(&world.captured());
    assert_eq!((opened, closed), (0, 6));
    world.proven().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn single_calls_are_erased_by_their_event_ids_and_everything_balances() {
    let world = World::new();
    let first = world.call("churn", "maria").await;
    world.call("churn", "maria").await;
    let other = world.call("other", "jose").await;
    let events = BTreeSet::from([first, other]);
    let churn = EndpointName::parse("churn").unwrap();
    let certificate = world.eraser.erase_events(&events, Some(&churn)).await.unwrap();
    assert_eq!((certificate["records"].as_u64(), certificate["state"].as_str()), (Some(1), Some("done")));
    verify(&certificate, world.eraser.vault.master(), &world.eraser.vault.opener().unwrap()).unwrap();
    let account = world.account("churn");
    assert_eq!((account.erased, account.uploaded, account.imbalance()), (1, 1, 0));
    assert_eq!(world.account("other").erased, 0, "of one endpoint only");
    assert!(world.eraser.capture.tail(None, None, 10).is_empty(), "nor in the memory of recent calls");
    let (text, opened, _) = world.eraser.vault.opener().unwrap().open(&world.captured());
    assert_eq!(opened, 6, "two calls are left, of three sealed values each");
    let tombstone = text.lines().find(|line| line.contains(&first.to_string())).unwrap();
    assert!(tombstone.contains(r#""captureData":{}"#) && tombstone.contains(r#""erased":true"#), "{tombstone}");

    // Again: nothing is counted twice, and the object stays as it is.
    let before = world.captured();
    assert_eq!(world.eraser.erase_events(&events, Some(&churn)).await.unwrap()["records"], 1);
    assert_eq!((world.captured(), world.account("churn").erased), (before, 1));
    let nobody = BTreeSet::from([EventId::from_bytes([9; 16])]);
    assert!(matches!(world.eraser.erase_events(&nobody, None).await, Err(EraseError::NoCalls)));
    let now = clock().now();
    let hold =
        world.eraser.holds().add(None, captura_names::EndpointPattern::parse("oth*").ok(), "case 12", now).unwrap();
    assert!(matches!(world.eraser.erase_events(&events, None).await, Err(EraseError::Held(_))));
    world.eraser.holds().release(&hold.id, "closed", now).unwrap();
    world.proven().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_waits_for_its_store_is_erased_when_that_has_taken_it() {
    let world = World::new();
    let obstacle = world.obstructed("churn");
    let late = world.call("churn", "maria").await;
    world.call("other", "maria").await;
    let events = BTreeSet::from([late]);
    let certificate = world.eraser.erase_events(&events, None).await.unwrap();
    assert_eq!(
        (certificate["records"].as_u64(), certificate["pendingSegments"].as_array().unwrap().len()),
        (Some(0), 1)
    );
    std::fs::remove_file(&obstacle).unwrap();
    let mut changed = world.eraser.capture.sealed_changed();
    while !world.eraser.capture.sealed().is_empty() {
        changed.changed().await.unwrap();
    }
    world.eraser.go_on().await.unwrap();
    assert_eq!(world.account("churn").erased, 1);
    assert!(world.captured().contains(r#""captureData":{}"#));
    world.proven().await;
}
