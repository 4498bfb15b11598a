use flate2::Compression;
use flate2::write::GzEncoder;
use object_store::memory::InMemory;
use object_store::{ObjectStoreExt, PutPayload};

use std::sync::Arc;

use super::*;

/// A fetcher over one store in memory, in which every bucket is a top folder.
fn fetcher(change: impl FnOnce(&mut Settings)) -> (tempfile::TempDir, Arc<InMemory>, Fetcher) {
    let cache = tempfile::tempdir().unwrap();
    let store = Arc::new(InMemory::new());
    let resolved = Arc::clone(&store);
    let stores: StoreResolver = Arc::new(move |uri| match uri.bucket() {
        "closed" => Err("no store is configured for the bucket \"closed\"".into()),
        "absent" => Ok(None),
        _ => Ok(Some((Arc::clone(&resolved) as _, object_store::path::Path::from(uri.key())))),
    });
    let mut settings = Settings::new(cache.path());
    change(&mut settings);
    let fetcher = Fetcher::new(&settings, stores);
    (cache, store, fetcher)
}

fn archive(name: &str, content: &str) -> Vec<u8> {
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
    let mut header = tar::Header::new_gnu();
    header.set_size(content.len() as u64);
    tar.append_data(&mut header, name, content.as_bytes()).unwrap();
    tar.into_inner().unwrap().finish().unwrap()
}

async fn put(store: &InMemory, key: &str, content: &[u8]) {
    store.put(&key.into(), PutPayload::from(content.to_vec())).await.unwrap();
}

fn scratch_is_empty(cache: &tempfile::TempDir) -> bool {
    fs::read_dir(cache.path().join("models")).map_or(true, |mut entries| entries.next().is_none())
}

#[tokio::test]
async fn a_bucket_that_is_not_there_holds_no_model() {
    let (_cache, _store, fetcher) = fetcher(|_| {});
    assert!(!fetcher.exists("s3://absent/model.tar.gz").await.unwrap());
    let missing = fetcher.fetch("s3://absent/model.tar.gz").await.unwrap_err();
    assert_eq!(missing.to_string(), "there is no model data at s3://absent/model.tar.gz");
}

#[tokio::test]
async fn an_archive_in_a_store_is_unpacked_and_gone_when_dropped() {
    let (cache, store, fetcher) = fetcher(|_| {});
    put(&store, "churn/model.tar.gz", &archive("model.onnx", "onnx")).await;
    let artifact = fetcher.fetch("s3://models/churn/model.tar.gz").await.unwrap();
    let file = artifact.onnx_file().unwrap();
    assert_eq!(fs::read_to_string(&file).unwrap(), "onnx");
    assert_eq!(artifact.name_of(&file), "model.onnx");
    drop(artifact);
    assert!(scratch_is_empty(&cache));
}

#[tokio::test]
async fn a_bare_object_and_a_prefix_are_copied() {
    let (cache, store, fetcher) = fetcher(|_| {});
    put(&store, "churn/v1/xgboost-model", b"{}").await;
    put(&store, "churn/v1/meta/notes.txt", b"hello").await;
    let one = fetcher.fetch("s3://models/churn/v1/xgboost-model").await.unwrap();
    assert_eq!(one.name_of(&one.tree_file().unwrap()), "xgboost-model");
    let all = fetcher.fetch("s3://models/churn/v1/").await.unwrap();
    assert_eq!(fs::read_to_string(all.root().join("meta/notes.txt")).unwrap(), "hello");
    assert_eq!(all.name_of(&all.tree_file().unwrap()), "xgboost-model");
    drop((one, all));
    assert!(scratch_is_empty(&cache));
}

#[tokio::test]
async fn existence_is_told_for_objects_prefixes_and_nothing() {
    let (_cache, store, fetcher) = fetcher(|_| {});
    put(&store, "churn/model.tar.gz", b"x").await;
    for (url, exists) in [
        ("s3://models/churn/model.tar.gz", true),
        ("s3://models/churn/", true),
        ("s3://models", true),
        ("s3://models/churn/model.tar", false),
        ("s3://models/other", false),
    ] {
        assert_eq!(fetcher.exists(url).await.unwrap(), exists, "{url}");
    }
    let error = fetcher.exists("s3://closed/x").await.unwrap_err().to_string();
    assert_eq!(
        error,
        "the model data at s3://closed/x cannot be read: no store is configured for the bucket \"closed\""
    );
}

#[tokio::test]
async fn what_is_not_there_is_missing() {
    let (cache, _store, fetcher) = fetcher(|settings| settings.allow_file_urls = true);
    let error = fetcher.fetch("s3://models/none").await.unwrap_err();
    assert_eq!(error.to_string(), "there is no model data at s3://models/none");
    let missing = cache.path().join("none");
    assert!(matches!(fetcher.fetch(missing.to_str().unwrap()).await, Err(ArtifactError::Missing { .. })));
    assert!(!fetcher.exists(missing.to_str().unwrap()).await.unwrap());
}

#[tokio::test]
async fn local_files_archives_and_folders_are_read_in_place_or_unpacked() {
    let (cache, _store, fetcher) = fetcher(|settings| settings.allow_file_urls = true);
    let models = tempfile::tempdir().unwrap();
    let path = |name: &str| models.path().join(name);
    fs::write(path("churn.onnx"), "onnx").unwrap();
    fs::write(path("archive.bin"), archive("inside.onnx", "packed")).unwrap();
    for (url, name) in [
        (path("churn.onnx").display().to_string(), "churn.onnx"),
        (format!("file://{}", models.path().display()), "churn.onnx"),
        (path("archive.bin").display().to_string(), "inside.onnx"),
    ] {
        let artifact = fetcher.fetch(&url).await.unwrap();
        assert_eq!(artifact.name_of(&artifact.onnx_file().unwrap()), name);
        assert!(fetcher.exists(&url).await.unwrap());
    }
    assert!(path("churn.onnx").exists(), "a model read in place stays");
    assert!(scratch_is_empty(&cache));
}

#[tokio::test]
async fn too_much_is_refused_and_leaves_nothing() {
    let (cache, store, fetcher) = fetcher(|settings| settings.limits.max_bytes = 10);
    put(&store, "big/a", b"123456").await;
    put(&store, "big/b", b"123456").await;
    put(&store, "bigger", b"12345678901").await;
    for url in ["s3://models/big", "s3://models/bigger"] {
        let error = fetcher.fetch(url).await.unwrap_err().to_string();
        assert!(error.contains("is larger than the limits of this server"), "{error}");
    }
    assert!(scratch_is_empty(&cache));
}

#[tokio::test]
async fn a_broken_archive_says_which_and_leaves_nothing() {
    let (cache, store, fetcher) = fetcher(|_| {});
    let mut broken = archive("model.onnx", "onnx");
    broken.truncate(broken.len() - 5);
    put(&store, "model.tar.gz", &broken).await;
    let error = fetcher.fetch("s3://models/model.tar.gz").await.unwrap_err().to_string();
    assert!(
        error.starts_with("the model archive at s3://models/model.tar.gz was not unpacked: the archive is damaged")
    );
    assert!(scratch_is_empty(&cache));
}

#[tokio::test]
async fn what_others_may_see_is_a_copy_with_nothing_beside_it_and_follows_no_link() {
    use std::os::unix::fs::PermissionsExt as _;
    let (_cache, store, fetcher) = fetcher(|settings| settings.allow_file_urls = true);
    let models = tempfile::tempdir().unwrap();
    let path = |name: &str| models.path().join(name);
    fs::create_dir_all(path("model/code")).unwrap();
    fs::write(path("model/code/inference.py"), "x").unwrap();
    fs::write(path("model/model.joblib"), "y").unwrap();
    fs::set_permissions(path("model/model.joblib"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(path("archive.bin"), archive("inside.onnx", "packed")).unwrap();
    put(&store, "folder/deep/a", b"a").await;

    for (url, names) in [
        (path("model").display().to_string(), vec!["code/inference.py", "model.joblib"]),
        (path("model/model.joblib").display().to_string(), vec!["model.joblib"]),
        (path("archive.bin").display().to_string(), vec!["inside.onnx"]),
        ("s3://models/folder".to_owned(), vec!["deep/a"]),
    ] {
        let artifact = fetcher.fetch_copy(&url).await.unwrap();
        assert!(!artifact.root().starts_with(models.path()), "{url}");
        assert_eq!(fs::metadata(artifact.root()).unwrap().permissions().mode() & 0o777, 0o755, "{url}");
        for name in names {
            assert_eq!(fs::metadata(artifact.root().join(name)).unwrap().permissions().mode() & 0o777, 0o644, "{url}");
        }
    }

    std::os::unix::fs::symlink("/etc", path("model/link")).unwrap();
    let error = fetcher.fetch_copy(path("model").to_str().unwrap()).await.unwrap_err().to_string();
    assert!(error.contains("link is neither a plain file nor a folder"), "{error}");
}

#[tokio::test]
async fn what_an_address_means_can_be_said() {
    let (_cache, store, fetcher) = fetcher(|_| {});
    put(&store, "m/model.tar.gz", &archive("model.txt", "unpacked")).await;
    put(&store, "m/model.tar.gz/inner", b"below").await;
    put(&store, "m/plain", b"plain").await;
    let names = |artifact: &Artifact| {
        artifact.top_files().unwrap().iter().map(|file| artifact.name_of(file)).collect::<Vec<_>>()
    };
    let packed = "s3://models/m/model.tar.gz";
    for (form, found) in [
        (DataForm::AsFound, "model.txt"),
        (DataForm::Archive, "model.txt"),
        (DataForm::Object, "model.tar.gz"),
        (DataForm::Prefix, "inner"),
    ] {
        let artifact = fetcher.of_form(form).fetch(packed).await.unwrap();
        assert_eq!(names(&artifact), [found], "{form:?}");
    }
    for form in [DataForm::Archive, DataForm::Object] {
        let error = fetcher.of_form(form).fetch("s3://models/m").await.unwrap_err();
        assert!(matches!(error, ArtifactError::Missing { .. }), "{form:?}: {error}");
    }
    let error = fetcher.of_form(DataForm::Archive).fetch("s3://models/m/plain").await.unwrap_err().to_string();
    assert!(error.contains("does not begin as a gzip stream does"), "{error}");
}

#[tokio::test]
async fn data_that_is_not_what_it_is_pinned_to_is_refused_before_it_is_unpacked() {
    let (cache, store, fetcher) = fetcher(|settings| settings.allow_file_urls = true);
    let bytes = archive("model.onnx", "onnx");
    put(&store, "churn/model.tar.gz", &bytes).await;
    let local = cache.path().join("model.tar.gz");
    fs::write(&local, &bytes).unwrap();
    let digest: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02X}")).collect();
    let (right, wrong) = (fetcher.pinned(Some(&digest)), fetcher.pinned(Some(&"0".repeat(64))));
    for url in ["s3://models/churn/model.tar.gz", local.to_str().unwrap()] {
        assert!(right.fetch(url).await.unwrap().onnx_file().is_ok(), "{url}");
        assert!(right.fetch_copy(url).await.unwrap().onnx_file().is_ok(), "{url}");
        for refused in [wrong.fetch(url).await.unwrap_err(), wrong.fetch_copy(url).await.unwrap_err()] {
            let text = refused.to_string();
            assert!(text.starts_with("DigestMismatch: ") && text.contains(&digest.to_lowercase()), "{text}");
        }
    }
    for url in ["s3://models/churn", cache.path().to_str().unwrap()] {
        let text = right.fetch(url).await.unwrap_err().to_string();
        assert!(text.contains("which one object has and a folder has not"), "{text}");
    }
    assert!(scratch_is_empty(&cache));
}
