//! Tables beside captured objects.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::batch::sha256_hex;
use crate::fake_table::Numbers;
use crate::rendering::TablePlan;

fn plan(to: &str) -> Plan {
    let endpoints = vec![captura_names::EndpointPattern::parse("ch*").unwrap()];
    let table = TablePlan { endpoints, ..TablePlan::new(S3Uri::parse(to).unwrap()) };
    Plan { tables: vec![table], ..small() }
}

impl World {
    fn tabling(&self, plan: Plan) -> Uploader {
        let mut uploader = self.uploader_with(plan);
        uploader.settings.tables = Some(Arc::new(Numbers::default()));
        uploader
    }
}

/// All of a store, keys and bytes, but for what is left of a probe whose answer was lost.
async fn content(store: &FaultyStore) -> BTreeMap<String, String> {
    let keys: Vec<Path> = store.inner().list(None).map_ok(|meta| meta.location).try_collect().await.unwrap();
    let mut all = BTreeMap::new();
    for key in keys.into_iter().filter(|key| key.filename() != Some(crate::put::PROBE_NAME)) {
        let bytes = store.inner().get(&key).await.unwrap().bytes().await.unwrap();
        all.insert(key.to_string(), String::from_utf8(bytes.to_vec()).unwrap());
    }
    all
}

/// Numbers in the table, duplicates included. Records 0, 3, … are of another endpoint.
fn numbers(content: &BTreeMap<String, String>) -> Vec<u64> {
    let parts = content.iter().filter(|(key, _)| key.ends_with(".parquet")).map(|(_, text)| text);
    let mut numbers: Vec<u64> = parts.flat_map(|text| text.split(' ')).map(|number| number.parse().unwrap()).collect();
    numbers.sort_unstable();
    numbers
}

#[tokio::test(start_paused = true)]
async fn a_segment_is_freed_when_its_tables_are_confirmed_too() {
    let store = FaultyStore::sound();
    let world = World::with_store(&store);
    let name = world.journal.seal(1, items(0..7));
    let mut uploader = world.tabling(plan("s3://captures/lake"));
    uploader.round().await;
    assert!(world.journal.is_empty());
    let content = content(&store).await;
    assert_eq!(numbers(&content), [1, 2, 4, 5]);
    let manifest = world.manifest(&name).unwrap();
    assert_eq!(manifest.tables.iter().map(|part| part.records).sum::<u64>(), 4);
    for part in &manifest.tables {
        let key = part.uri.strip_prefix("s3://captures/").unwrap();
        assert_eq!((part.sha256.as_str(), key.starts_with("lake/")), (&*sha256_hex(content[key].as_bytes()), true));
    }
    assert_eq!(manifest.accounts.iter().map(|account| account.uploaded).sum::<u64>(), 7, "each record counts once");
    assert_eq!(uploader.figures().snapshot().records_uploaded, 7);
}

#[tokio::test(start_paused = true)]
async fn any_fault_at_any_call_delays_tables_and_doubles_nothing() {
    let reference = FaultyStore::sound();
    let world = World::with_store(&reference);
    world.journal.seal(1, items(0..5));
    rounds(&mut world.tabling(plan("s3://captures/lake")), 1).await;
    let expected = content(&reference).await;
    for fault in [Fault::Fails, Fault::ReplyLost, Fault::Partial, Fault::PartialSilently] {
        for call in 0..18 {
            let store = FaultyStore::at(call, fault);
            let world = World::with_store(&store);
            world.journal.seal(1, items(0..5));
            rounds(&mut world.tabling(plan("s3://captures/lake")), 5).await;
            assert!(world.journal.is_empty(), "{fault:?} at call {call}");
            assert_eq!(content(&store).await, expected, "{fault:?} at call {call}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn killed_after_any_call_and_started_without_tables_they_are_still_finished() {
    let reference = FaultyStore::sound();
    let world = World::with_store(&reference);
    world.journal.seal(1, items(0..5));
    rounds(&mut world.tabling(plan("s3://captures/lake")), 1).await;
    let expected = content(&reference).await;
    for calls in 0..18 {
        let dying = Arc::new(AtomicBool::new(true));
        let alive = Arc::clone(&dying);
        let store = FaultyStore::scripted(move |call, _| {
            (call >= calls && alive.load(Ordering::SeqCst)).then_some(Fault::ReplyLost)
        });
        let world = World::with_store(&store);
        world.journal.seal(1, items(0..5));
        world.tabling(plan("s3://captures/lake")).round().await;
        dying.store(false, Ordering::SeqCst);
        rounds(&mut world.tabling(small()), 2).await;
        assert!(world.journal.is_empty(), "after {calls} calls");
        assert_eq!(content(&store).await, expected, "after {calls} calls");
    }
}

#[tokio::test(start_paused = true)]
async fn a_table_that_cannot_be_written_is_given_up_when_the_journal_fills() {
    let lake = FaultyStore::scripted(|_, _| Some(Fault::Fails));
    let captures = FaultyStore::sound();
    let world = World::with_store(&captures);
    world.stores.put_in("lake", Arc::new(lake));
    let name = world.journal.seal(1, items(0..7));
    let mut uploader = world.tabling(plan("s3://lake/x"));
    rounds(&mut uploader, 3).await;
    assert!(!world.journal.is_empty(), "an outage is waited for");
    assert_eq!(stored(&captures).await.0, (0..7).collect::<Vec<_>>(), "captured objects do not wait");
    world.journal.backlog_bytes.store(401, Ordering::SeqCst);
    tokio::time::advance(RETRY_CAP).await;
    rounds(&mut uploader, 1).await;
    assert!(world.journal.is_empty());
    let manifest = world.manifest(&name).unwrap();
    let owed: Vec<u64> = manifest.owed.iter().flat_map(|part| part.runs.numbers()).collect();
    assert_eq!((owed, manifest.tables.len()), (vec![1, 2, 4, 5], 0));
    assert_eq!(uploader.figures().snapshot().table_parts_given_up, 2);
    assert_eq!(manifest.accounts.iter().map(|account| account.uploaded).sum::<u64>(), 7);
}

#[tokio::test(start_paused = true)]
async fn a_table_that_may_not_be_written_costs_no_call_and_no_time() {
    let lake = FaultyStore::scripted(|_, _| Some(Fault::Refuses));
    let captures = FaultyStore::sound();
    let world = World::with_store(&captures);
    world.stores.put_in("lake", Arc::new(lake));
    let name = world.journal.seal(1, items(0..7));
    let mut uploader = world.tabling(plan("s3://lake/x"));
    rounds(&mut uploader, 1).await;
    assert!(world.journal.is_empty() && world.journal.marks.lock().unwrap().is_empty());
    assert_eq!(world.manifest(&name).unwrap().owed.len(), 2);
    assert!(uploader.figures().snapshot().destinations.iter().any(|destination| destination.unwritable));
}

#[tokio::test(start_paused = true)]
async fn a_format_that_fails_costs_only_its_table() {
    let store = FaultyStore::sound();
    let world = World::with_store(&store);
    let name = world.journal.seal(1, items(0..7));
    let mut uploader = world.uploader_with(plan("s3://captures/lake"));
    uploader.settings.tables = Some(Arc::new(Numbers { fails_at: Some(4) }));
    rounds(&mut uploader, 1).await;
    assert!(world.journal.is_empty() && uploader.figures().snapshot().errors == 1);
    let manifest = world.manifest(&name).unwrap();
    assert_eq!(manifest.unmade, ["this format knows no such number"]);
    assert_eq!(uploader.figures().snapshot().table_parts_given_up, 1);
    assert_eq!(manifest.accounts.iter().map(|account| account.uploaded).sum::<u64>(), 7);
    assert_eq!(numbers(&content(&store).await), [1, 2], "what was made before is kept");
}
