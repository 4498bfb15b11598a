use object_store::ObjectStoreExt as _;

use super::*;

fn stores(data_dir: &FilePath, mappings: &[(&str, &str)]) -> Stores {
    let mappings = mappings
        .iter()
        .map(|&(bucket, url)| (bucket.to_owned(), StoreMapping { url: url.to_owned(), options: BTreeMap::new() }))
        .collect();
    Stores::new(StoreSettings { data_dir: data_dir.to_owned(), mappings })
}

fn uri(text: &str) -> S3Uri {
    S3Uri::parse(text).unwrap()
}

#[tokio::test]
async fn local_buckets_come_into_being_on_first_use() {
    let data = tempfile::tempdir().unwrap();
    let stores = stores(data.path(), &[]);
    let missing = stores.resolve_existing(&uri("s3://captures/a")).unwrap_err();
    assert!(matches!(missing, StoreError::NoSuchBucket { .. }), "{missing}");
    let (store, path) = stores.resolve(&uri("s3://captures/a/b.jsonl")).unwrap();
    store.put(&path, "x".into()).await.unwrap();
    assert_eq!(std::fs::read(data.path().join("buckets/captures/a/b.jsonl")).unwrap(), b"x");
    let (same, _) = stores.resolve_existing(&uri("s3://captures/a")).unwrap();
    assert!(Arc::ptr_eq(&store, &same));
}

#[tokio::test]
async fn mapped_buckets_go_to_their_folder() {
    let data = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let root = elsewhere.path().display().to_string();
    let stores = stores(data.path(), &[("one", &root), ("*", &format!("file://{root}/all/{{bucket}}"))]);
    for (address, file) in [("s3://one/k", "k"), ("s3://two/k", "all/two/k")] {
        let (store, path) = stores.resolve(&uri(address)).unwrap();
        store.put(&path, "x".into()).await.unwrap();
        assert!(elsewhere.path().join(file).is_file(), "{file}");
    }
    assert!(!data.path().join("buckets").exists());
}

#[test]
fn mappings_that_cannot_be_used_say_what_to_do() {
    let data = tempfile::tempdir().unwrap();
    std::fs::write(data.path().join("file"), "").unwrap();
    let blocked = data.path().join("file/x").display().to_string();
    for (url, words) in [
        ("ftp://x", "no folder"),
        ("relative", "no folder"),
        (blocked.as_str(), "cannot use folder"),
        #[cfg(not(feature = "cloud"))]
        ("s3://real/prefix", "build captura with the feature `cloud`"),
        #[cfg(not(feature = "cloud"))]
        ("gs://real", "Google Cloud Storage"),
    ] {
        let message =
            stores(data.path(), &[("captures", url)]).resolve(&uri("s3://captures/a")).unwrap_err().to_string();
        assert!(message.contains(words), "{message}");
    }
    let mapping =
        StoreMapping { url: "/srv".into(), options: BTreeMap::from([("secret_access_key".into(), "hush".into())]) };
    assert!(!format!("{mapping:?}").contains("hush"));
    let stores = Stores::new(StoreSettings {
        data_dir: data.path().to_owned(),
        mappings: BTreeMap::from([("captures".into(), mapping)]),
    });
    let message = stores.resolve(&uri("s3://captures/a")).unwrap_err().to_string();
    assert!(message.contains("a folder has no options"), "{message}");
}

#[test]
fn paths_and_file_addresses_are_places() {
    let data = tempfile::tempdir().unwrap();
    std::fs::write(data.path().join("x.jsonl"), "").unwrap();
    let stores = stores(data.path(), &[]);
    let root = data.path().canonicalize().unwrap();
    for prefix in ["", "file://"] {
        let file = stores.place(&format!("{prefix}{}/x.jsonl", root.display())).unwrap();
        assert_eq!(file.path.as_ref(), "x.jsonl");
        let folder = stores.place(&format!("{prefix}{}", root.display())).unwrap();
        assert_eq!(folder.path.as_ref(), "");
        assert_eq!(folder.base, format!("{}/", root.display()));
    }
    let message = stores.place("no/such/file").unwrap_err().to_string();
    assert!(message.contains("no/such/file"), "{message}");
}

#[test]
fn services_are_told_by_their_scheme() {
    assert_eq!(service_of("s3://b/p/q/"), Some((Service::S3, "p/q")));
    assert_eq!(service_of("gs://b"), Some((Service::Gcs, "")));
    assert_eq!(service_of("az://c/p"), Some((Service::Azure, "p")));
    assert_eq!(service_of("https://x"), None);
    assert_eq!(service_of("x"), None);
}

#[cfg(feature = "cloud")]
#[test]
fn cloud_mappings_build_clients_and_refuse_unknown_options() {
    let data = tempfile::tempdir().unwrap();
    let with = |url: &str, options: &[(&str, &str)]| {
        let options = options.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        Stores::new(StoreSettings {
            data_dir: data.path().to_owned(),
            mappings: BTreeMap::from([("captures".into(), StoreMapping { url: url.into(), options })]),
        })
        .resolve_encrypted(&uri("s3://captures/a"), Some("alias/k"))
    };
    with("s3://real/p", &[("region", "eu-west-1"), ("endpoint", "http://127.0.0.1:9"), ("allow_http", "true")])
        .unwrap();
    with("gs://real", &[("skip_signature", "true")]).unwrap();
    with("az://container", &[("account_name", "a"), ("account_key", "aGk=")]).unwrap();
    let message = with("s3://real", &[("regoin", "x")]).unwrap_err().to_string();
    assert!(message.contains("\"regoin\" is no option"), "{message}");
}
