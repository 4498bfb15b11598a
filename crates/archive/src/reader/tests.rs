use std::collections::BTreeMap;
use std::io::Write as _;

use captura_names::S3Uri;
use uuid::Uuid;

use super::*;
use crate::stores::StoreSettings;

struct World {
    _data: tempfile::TempDir,
    stores: Stores,
}

fn key(endpoint: &str, at: &str) -> String {
    CapturedKey {
        endpoint: EndpointName::parse(endpoint).unwrap(),
        variant: VariantName::parse("AllTraffic").unwrap(),
        started_at: Timestamp::parse(at).unwrap(),
        id: Uuid::from_bytes([7; 16]),
    }
    .key()
}

async fn world(keys: &[String]) -> World {
    let data = tempfile::tempdir().unwrap();
    let stores = Stores::new(StoreSettings { data_dir: data.path().to_owned(), mappings: BTreeMap::new() });
    for key in keys {
        let (store, path) = stores.resolve(&S3Uri::parse(&format!("s3://captures/dest/{key}")).unwrap()).unwrap();
        store.put(&path, key.clone().into()).await.unwrap();
    }
    World { _data: data, stores }
}

async fn addresses(world: &World, address: &str, selection: &Selection) -> Vec<String> {
    let found = list(&world.stores, address, selection).await.unwrap();
    found.into_iter().map(|found| found.address.replace("s3://captures/dest/", "")).collect()
}

fn window(start: &str, end: &str) -> Option<Range<Timestamp>> {
    Some(Timestamp::parse(start).unwrap()..Timestamp::parse(end).unwrap())
}

#[tokio::test]
async fn objects_come_in_the_order_of_their_keys_with_their_bytes() {
    let keys = [key("b", "2026-01-02T03:00:00Z"), key("a", "2026-01-02T03:00:00Z"), key("a", "2026-01-01T03:00:00Z")];
    let world = world(&keys).await;
    let mut reader = Reader::open(&world.stores, &["s3://captures/dest/"], &Selection::default()).await.unwrap();
    assert_eq!(reader.remaining().len(), 3);
    let mut sorted = keys.to_vec();
    sorted.sort();
    for key in sorted {
        let object = reader.next().await.unwrap().unwrap();
        assert_eq!(object.found.address, format!("s3://captures/dest/{key}"));
        assert_eq!(object.bytes, key);
        assert_eq!(object.found.key, CapturedKey::parse(&key));
    }
    assert!(reader.next().await.is_none());
}

#[tokio::test]
async fn keys_outside_the_selection_are_not_read() {
    let early = key("a", "2026-01-02T03:00:00Z");
    let late = key("a", "2026-01-02T09:00:00Z");
    let other = key("b", "2026-01-02T09:00:00Z");
    let world = world(&[early.clone(), late.clone(), other.clone(), "README.txt".into(), "extra.jsonl".into()]).await;
    let a = EndpointName::parse("a").unwrap();
    let variant = VariantName::parse("AllTraffic").unwrap();
    let only_a = Selection { endpoint: Some(a.clone()), ..Selection::default() };
    assert_eq!(addresses(&world, "s3://captures/dest", &only_a).await, [early.clone(), late.clone()]);
    let hour = window("2026-01-02T09:30:00Z", "2026-01-02T10:00:00Z");
    let late_only = Selection { window: hour.clone(), endpoint: Some(a.clone()), variant: Some(variant.clone()) };
    assert_eq!(addresses(&world, "s3://captures/dest", &late_only).await, std::slice::from_ref(&late));
    assert_eq!(
        addresses(&world, "s3://captures/dest/a", &late_only).await,
        std::slice::from_ref(&late),
        "addressed from inside"
    );
    let any_late = Selection { window: hour, ..Selection::default() };
    let kept = [late.clone(), other.clone(), "extra.jsonl".into()];
    assert_eq!(addresses(&world, "s3://captures/dest", &any_late).await, kept, "a key that says nothing is kept");
    let years = Selection { window: window("2020-01-01T00:00:00Z", "2030-01-01T00:00:00Z"), ..late_only };
    assert_eq!(addresses(&world, "s3://captures/dest", &years).await, [early, late]);
}

#[tokio::test]
async fn records_that_spill_over_the_hour_are_not_lost_to_the_window() {
    let before = key("a", "2026-01-02T08:59:59.999Z");
    let world = world(std::slice::from_ref(&before)).await;
    let selection =
        Selection { window: window("2026-01-02T09:00:00Z", "2026-01-02T10:00:00Z"), ..Selection::default() };
    assert_eq!(addresses(&world, "s3://captures/dest", &selection).await, [before]);
}

#[tokio::test]
async fn files_and_folders_and_gzip_are_read_without_a_server() {
    let world = world(&[]).await;
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    std::fs::create_dir(path("deep")).unwrap();
    std::fs::write(path("deep/a.jsonl"), "a\n").unwrap();
    std::fs::write(path("data.csv"), "1,2\n").unwrap();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(b"b\n").unwrap();
    std::fs::write(path("b.jsonl.gz"), gzip.finish().unwrap()).unwrap();
    let all = [format!("file://{}", folder.path().display()), path("data.csv")];
    let mut reader = Reader::open(&world.stores, &all, &Selection::default()).await.unwrap();
    for expected in ["b\n", "a\n", "1,2\n"] {
        assert_eq!(reader.next().await.unwrap().unwrap().bytes, expected);
    }
    assert!(reader.next().await.is_none());
    std::fs::write(path("c.jsonl.gz"), "no gzip").unwrap();
    let broken = Reader::open(&world.stores, &[path("c.jsonl.gz")], &Selection::default()).await.unwrap().next().await;
    assert!(matches!(broken, Some(Err(ReadError::Gzip { .. }))), "{broken:?}");
}

#[tokio::test]
async fn nothing_there_is_said_with_the_address() {
    let world = world(&[key("a", "2026-01-02T03:00:00Z")]).await;
    for (address, words) in [
        ("s3://captures/other", "nothing is at s3://captures/other"),
        ("s3://captuers/dest", "bucket \"captuers\" does not exist"),
        ("s3://x", "is not a bucket name"),
        ("/no/such/folder", "/no/such/folder"),
    ] {
        let message = list(&world.stores, address, &Selection::default()).await.unwrap_err().to_string();
        assert!(message.contains(words), "{message}");
    }
    let empty = Selection { endpoint: Some(EndpointName::parse("b").unwrap()), ..Selection::default() };
    assert_eq!(addresses(&world, "s3://captures/dest", &empty).await, [""; 0], "nothing wanted is no error");
}
