//! One object into one store, so that it is known to be there.
//!
//! Invariant: `Ok` means that the store answered for exactly these bytes under this key; whatever was lost on the way,
//! doing it again ends in the same state.
//! Refuses to: retry what fails; when and how often is the uploader's business. Only what the store itself asks to send
//! again, because another conditional write to the key is under way, is sent again here.
//!
//! What is larger than `PART_BYTES` goes in parts, whose upload is aborted when it fails. Parts of a process that died
//! stay where the store keeps such; a rule of the bucket's lifecycle removes them.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions};

use crate::batch::sha256_hex;
use crate::stores::StoreError;

/// Runs one exchange with a store about `size_bytes`, for `limit` and a second for each MiB at most. Without a limit one
/// silent store would hold up all others.
///
/// # Errors
/// As `exchange`, and when time is over.
pub(crate) async fn in_time<T>(
    limit: Duration,
    path: &str,
    size_bytes: usize,
    exchange: impl Future<Output = Result<T, PutError>>,
) -> Result<T, PutError> {
    let limit = limit + Duration::from_secs((size_bytes >> 20) as u64);
    let late = |_| PutError::TimedOut { path: path.to_owned(), seconds: limit.as_secs() };
    tokio::time::timeout(limit, exchange).await.map_err(late)?
}

/// Largest object that goes in one request, and size of the parts of others, bytes: a request that is cut off costs no more.
/// In this crate's tests small, so that they are quick: nothing depends on it.
const PART_BYTES: usize = if cfg!(test) { 4 << 20 } else { 64 << 20 };
/// How often an object is sent that meets another conditional write to its key.
const CONFLICTS_MAX: u32 = 4;
/// The pause after the first such conflict; each later one is twice as long.
const CONFLICT_PAUSE: Duration = Duration::from_millis(100);

/// How the object came to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placed {
    /// This call wrote it.
    Created,
    /// It was there with the same bytes: an earlier attempt whose answer was lost.
    AlreadyThere,
    /// Something else was under the key, e.g. half an object of a store without atomic puts, and was replaced. The key
    /// is derived from the records' position in the log, so nothing else has business there.
    Replaced,
}

/// Why the object is not known to be there.
#[derive(Debug, thiserror::Error)]
pub enum PutError {
    /// No store for the address.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store refused or failed.
    #[error("cannot {act} {path}: {}", with_last_cause(source))]
    Failed {
        /// What was tried.
        act: &'static str,
        /// The key.
        path: Path,
        /// What the store says.
        source: Error,
    },
    /// The store took the object and gives another back.
    #[error("{path} holds {found}, not the {expected} that were written")]
    Differs {
        /// The key.
        path: Path,
        /// What is there.
        found: String,
        /// What was written.
        expected: String,
    },
    /// The store did not answer.
    #[error("the store did not answer for {path} within {seconds} s")]
    TimedOut {
        /// The key.
        path: String,
        /// The limit, seconds.
        seconds: u64,
    },
}

/// What the store says, and what led to it: of a request that got nowhere a client says only that it could not be sent.
fn with_last_cause(error: &Error) -> String {
    let text = error.to_string();
    let causes = std::iter::successors(std::error::Error::source(error), |cause| cause.source());
    match causes.last().map(ToString::to_string) {
        Some(cause) if !text.contains(&cause) => format!("{text}: {cause}"),
        _ => text,
    }
}

impl PutError {
    /// What kind of failure it is, in a word: for metrics.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Store(StoreError::CloudOff { .. } | StoreError::Mapping { .. } | StoreError::Address(_)) => "mapping",
            Self::Store(_) => "folder",
            Self::Failed { source: Error::PermissionDenied { .. } | Error::Unauthenticated { .. }, .. } => "permission",
            Self::Failed { source: Error::NotFound { .. }, .. } => "no_such_bucket",
            Self::Failed { .. } => "unreachable",
            Self::Differs { .. } => "differs",
            Self::TimedOut { .. } => "timeout",
        }
    }

    /// Whether trying again cannot help until somebody changes permissions, settings or the bucket.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Store(StoreError::Folder { source, .. } | StoreError::LocalPath { source, .. }) => {
                use std::io::ErrorKind as Kind;
                matches!(
                    source.kind(),
                    Kind::PermissionDenied
                        | Kind::ReadOnlyFilesystem
                        | Kind::NotADirectory
                        | Kind::AlreadyExists
                        | Kind::NotFound
                )
            }
            Self::Store(_) => true,
            Self::Failed { source, .. } => matches!(
                source,
                Error::PermissionDenied { .. }
                    | Error::Unauthenticated { .. }
                    | Error::NotFound { .. }
                    | Error::NotSupported { .. }
                    | Error::NotImplemented { .. }
                    | Error::InvalidPath { .. }
                    | Error::UnknownConfigurationKey { .. }
            ),
            Self::TimedOut { .. } | Self::Differs { .. } => false,
        }
    }
}

/// An object to be placed.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// The key.
    pub path: &'a Path,
    /// The bytes, shared.
    pub bytes: &'a Bytes,
    /// Their SHA-256, hexadecimal.
    pub sha256: &'a str,
    /// Whether to read the object back after writing it and compare its digest; else only its size is asked for.
    pub read_back: bool,
}

/// Puts an object where none may be yet, and makes sure that it is there.
///
/// # Errors
/// When the store cannot be brought to answer for the bytes.
pub async fn place(store: &dyn ObjectStore, wanted: Wanted<'_>) -> Result<Placed, PutError> {
    let failed = |act: &'static str| move |source| PutError::Failed { act, path: wanted.path.clone(), source };
    let put = |mode: PutMode| write(store, wanted, mode);
    let mut created = put(PutMode::Create).await;
    let mut pause = CONFLICT_PAUSE;
    for _ in 1..CONFLICTS_MAX {
        if !created.as_ref().is_err_and(is_conflict) {
            break;
        }
        tokio::time::sleep(pause).await;
        pause *= 2;
        created = put(PutMode::Create).await;
    }
    let placed = match created {
        // Nothing is known to be there.
        Err(source) if is_conflict(&source) => return Err(failed("write")(source)),
        Ok(_) => Placed::Created,
        // S3 without conditional writes, or an emulation of it, can only be asked before.
        Err(
            Error::AlreadyExists { .. }
            | Error::Precondition { .. }
            | Error::NotImplemented { .. }
            | Error::NotSupported { .. },
        ) => match difference(store, wanted, true).await {
            Ok(None) => return Ok(Placed::AlreadyThere),
            Ok(Some(_)) => {
                put(PutMode::Overwrite).await.map_err(failed("replace"))?;
                Placed::Replaced
            }
            Err(Error::NotFound { .. }) => {
                put(PutMode::Overwrite).await.map_err(failed("write"))?;
                Placed::Created
            }
            Err(source) => return Err(failed("compare")(source)),
        },
        Err(source) => return Err(failed("write")(source)),
    };
    match difference(store, wanted, wanted.read_back).await {
        Ok(None) => Ok(placed),
        Ok(Some(found)) => Err(PutError::Differs {
            path: wanted.path.clone(),
            found,
            expected: format!("{} bytes with SHA-256 {}", wanted.bytes.len(), wanted.sha256),
        }),
        // Right after a write this is a store that lags, not a missing bucket: worth another attempt.
        Err(Error::NotFound { .. }) => Err(PutError::Differs {
            path: wanted.path.clone(),
            found: "nothing".into(),
            expected: format!("{} bytes", wanted.bytes.len()),
        }),
        Err(source) => Err(failed("verify")(source)),
    }
}

/// Writes the object, in parts where it is large. Those have no condition: who wants a new object looks first, and what two
/// write at a time under one key is the same.
async fn write(store: &dyn ObjectStore, wanted: Wanted<'_>, mode: PutMode) -> Result<(), Error> {
    if wanted.bytes.len() <= PART_BYTES {
        let options = PutOptions::from(mode);
        return store.put_opts(wanted.path, wanted.bytes.clone().into(), options).await.map(drop);
    }
    if mode == PutMode::Create {
        match store.head(wanted.path).await {
            Ok(_) => {
                let (path, source) = (wanted.path.to_string(), "it is there".into());
                return Err(Error::AlreadyExists { path, source });
            }
            Err(Error::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    let mut upload = store.put_multipart(wanted.path).await?;
    let sent = async {
        for start in (0..wanted.bytes.len()).step_by(PART_BYTES) {
            let end = wanted.bytes.len().min(start + PART_BYTES);
            upload.put_part(wanted.bytes.slice(start..end).into()).await?;
        }
        upload.complete().await
    };
    let sent = sent.await;
    if sent.is_err() {
        // Failing that, they are what a process leaves that dies.
        let _ = upload.abort().await;
    }
    sent.map(drop)
}

/// Whether S3 asks to send it again: 409 stands for another write that is under way, and only with other services for an
/// object that is there.
fn is_conflict(error: &Error) -> bool {
    let Error::AlreadyExists { source, .. } = error else { return false };
    let said = source.to_string();
    ["ConditionalRequestConflict", "OperationAborted"].iter().any(|code| said.contains(code))
}

/// What is under the key when it is not what is wanted.
async fn difference(store: &dyn ObjectStore, wanted: Wanted<'_>, digest: bool) -> Result<Option<String>, Error> {
    let size = store.head(wanted.path).await?.size;
    if size != wanted.bytes.len() as u64 {
        return Ok(Some(format!("{size} bytes")));
    }
    if !digest {
        return Ok(None);
    }
    let there = store.get(wanted.path).await?.bytes().await?;
    let sha256 = sha256_hex(&there);
    Ok((sha256 != wanted.sha256).then(|| format!("{size} bytes with SHA-256 {sha256}")))
}

/// Asks whether a destination can be written, by writing a small object there and removing it again. Its name does not
/// end like a capture, so no reader takes it for one should the removal be forbidden.
///
/// # Errors
/// When it cannot be written.
pub async fn probe(store: &dyn ObjectStore, destination: &Path) -> Result<(), PutError> {
    let path = destination.clone().join(PROBE_NAME);
    let put = store.put_opts(&path, Bytes::new().into(), PutOptions::from(PutMode::Overwrite)).await;
    let put = put.map_err(|source| PutError::Failed { act: "write", path: path.clone(), source });
    if put.as_ref().is_err_and(PutError::is_refusal) {
        return put.map(drop);
    }
    // Also when the answer to the write was lost. Write-only credentials may not remove; the destination is writable all the same.
    let _ = store.delete(&path).await;
    put.map(drop)
}

/// Name of the object that a probe writes below a destination.
pub const PROBE_NAME: &str = ".captura-probe";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faulty_store::{Fault, FaultyStore};

    const BYTES: Bytes = Bytes::from_static(b"{\"a\":1}\n{\"b\":2}\n");

    async fn try_place(store: &FaultyStore) -> Result<Placed, PutError> {
        let path = Path::parse("d/e/v/x.jsonl").unwrap();
        let sha256 = sha256_hex(&BYTES);
        place(store, Wanted { path: &path, bytes: &BYTES, sha256: &sha256, read_back: true }).await
    }

    async fn stored(store: &FaultyStore) -> Bytes {
        let path = Path::parse("d/e/v/x.jsonl").unwrap();
        store.inner().get(&path).await.unwrap().bytes().await.unwrap()
    }

    #[test]
    fn a_failure_tells_why_the_store_was_not_reached_and_says_nothing_twice() {
        #[derive(Debug, thiserror::Error)]
        #[error("error sending request")]
        struct Sending(#[source] std::io::Error);
        let told = |source| PutError::Failed { act: "write", path: Path::from("x"), source }.to_string();
        let cause = std::io::Error::other("connection refused");
        let nested = Error::Generic { store: "S3", source: Box::new(Sending(cause)) };
        assert_eq!(told(nested), "cannot write x: Generic S3 error: error sending request: connection refused");
        let plain = Error::Generic { store: "S3", source: "no such bucket".into() };
        assert_eq!(told(plain), "cannot write x: Generic S3 error: no such bucket");
    }

    #[tokio::test]
    async fn the_second_time_finds_the_first() {
        let store = FaultyStore::sound();
        assert_eq!(try_place(&store).await.unwrap(), Placed::Created);
        assert_eq!(try_place(&store).await.unwrap(), Placed::AlreadyThere);
        assert_eq!(stored(&store).await, BYTES);
    }

    #[tokio::test]
    async fn after_any_fault_at_any_call_trying_again_ends_well() {
        for fault in [Fault::Fails, Fault::ReplyLost, Fault::Partial, Fault::PartialSilently] {
            for call in 0..4 {
                let store = FaultyStore::at(call, fault);
                let mut attempts = 0;
                while try_place(&store).await.is_err() {
                    attempts += 1;
                    assert!(attempts < 3, "{fault:?} at call {call}");
                }
                assert_eq!(stored(&store).await, BYTES, "{fault:?} at call {call}");
            }
        }
    }

    #[tokio::test]
    async fn other_content_under_the_key_is_replaced() {
        for other in ["", "{\"a\":1}\n", "{\"a\":1}\n{\"b\":3}\n"] {
            let store = FaultyStore::sound();
            store.inner().put(&Path::parse("d/e/v/x.jsonl").unwrap(), other.into()).await.unwrap();
            assert_eq!(try_place(&store).await.unwrap(), Placed::Replaced, "{other:?}");
            assert_eq!(stored(&store).await, BYTES);
        }
    }

    #[tokio::test]
    async fn a_store_without_conditional_puts_is_asked_first() {
        let store = FaultyStore::unconditional();
        assert_eq!(try_place(&store).await.unwrap(), Placed::Created);
        assert_eq!(try_place(&store).await.unwrap(), Placed::AlreadyThere);
    }

    #[tokio::test]
    async fn refusals_are_told_from_failures() {
        let store = FaultyStore::at(0, Fault::Refuses);
        assert!(try_place(&store).await.unwrap_err().is_refusal());
        let store = FaultyStore::at(0, Fault::Fails);
        assert!(!try_place(&store).await.unwrap_err().is_refusal());
        let store = FaultyStore::at(0, Fault::Refuses);
        assert!(probe(&store, &Path::parse("d").unwrap()).await.unwrap_err().is_refusal());
        probe(&store, &Path::parse("d").unwrap()).await.unwrap();
        assert!(store.inner().head(&Path::parse("d/.captura-probe").unwrap()).await.is_err(), "nothing is left");
    }
}

#[cfg(test)]
#[cfg(feature = "cloud")]
mod s3_tests {
    use captura_names::S3Uri;

    use super::*;
    use crate::fake_s3::FakeS3;

    async fn put(fake: &FakeS3, bytes: &Bytes, kms_key_id: Option<&str>) -> Result<Placed, PutError> {
        let data = tempfile::tempdir().unwrap();
        let uri = S3Uri::parse("s3://captures/d/x.jsonl").unwrap();
        let (store, path) = fake.stores(data.path()).resolve_encrypted(&uri, kms_key_id).unwrap();
        let sha256 = sha256_hex(bytes);
        place(&*store, Wanted { path: &path, bytes, sha256: &sha256, read_back: true }).await
    }

    const BYTES: Bytes = Bytes::from_static(b"{\"a\":1}\n");

    #[tokio::test]
    async fn a_conflict_with_a_write_under_way_is_no_object_and_is_sent_again() {
        let fake = FakeS3::start().await;
        fake.answer_next(&[(409, "ConditionalRequestConflict"); 2]);
        assert_eq!(put(&fake, &BYTES, None).await.unwrap(), Placed::Created);
        assert_eq!(fake.object("s3://captures/d/x.jsonl").unwrap(), BYTES);
        let puts = fake.asked().into_iter().filter(|asked| asked.line.starts_with("PUT")).collect::<Vec<_>>();
        assert_eq!(puts.len(), 3);
        assert!(puts.iter().all(|put| put.headers["if-none-match"] == "*"), "never without the condition: {puts:?}");

        let other = FakeS3::start().await;
        other.answer_next(&[(409, "ConditionalRequestConflict"); 4]);
        let failed = put(&other, &BYTES, None).await.unwrap_err();
        assert!(failed.to_string().contains("ConditionalRequestConflict") && !failed.is_refusal(), "{failed}");
        assert_eq!(other.object("s3://captures/d/x.jsonl"), None, "nothing was overwritten");
    }

    #[tokio::test]
    async fn an_object_that_is_there_is_compared_and_only_another_one_replaced() {
        let fake = FakeS3::start().await;
        assert_eq!(put(&fake, &BYTES, None).await.unwrap(), Placed::Created);
        assert_eq!(put(&fake, &BYTES, None).await.unwrap(), Placed::AlreadyThere);
        let other = Bytes::from_static(b"{\"b\":2}\n");
        assert_eq!(put(&fake, &other, None).await.unwrap(), Placed::Replaced);
        assert_eq!(fake.object("s3://captures/d/x.jsonl").unwrap(), other);
    }

    #[tokio::test]
    async fn the_key_of_server_side_encryption_goes_with_every_write() {
        let fake = FakeS3::start().await;
        let key = "arn:aws:kms:eu-west-1:000000000000:key/k";
        let large = Bytes::from(vec![b'x'; PART_BYTES + 1]);
        for bytes in [&BYTES, &large] {
            put(&fake, bytes, Some(key)).await.unwrap();
        }
        // Parts carry none: the upload that they belong to does.
        let begins = |asked: &crate::fake_s3::Asked| {
            let line = &asked.line;
            line.starts_with("PUT") && !line.contains("partNumber")
                || line.starts_with("POST") && line.contains("uploads")
        };
        let asked: Vec<_> = fake.asked().into_iter().filter(begins).collect();
        assert_eq!(asked.len(), 2, "{asked:?}");
        for request in &asked {
            assert_eq!(request.headers["x-amz-server-side-encryption"], "aws:kms");
            assert_eq!(request.headers["x-amz-server-side-encryption-aws-kms-key-id"], key);
        }
        put(&fake, &Bytes::from_static(b"plain"), None).await.unwrap();
        assert!(fake.asked().iter().all(|asked| !asked.headers.contains_key("x-amz-server-side-encryption")));
    }

    #[tokio::test]
    async fn a_large_object_goes_in_parts_and_a_failed_upload_leaves_none() {
        let fake = FakeS3::start().await;
        let large: Bytes = (0..2 * PART_BYTES + 5).map(|at| (at % 251) as u8).collect::<Vec<u8>>().into();
        assert_eq!(put(&fake, &large, None).await.unwrap(), Placed::Created);
        assert_eq!(fake.object("s3://captures/d/x.jsonl").unwrap(), large);
        let parts = fake.asked().iter().filter(|asked| asked.line.contains("partNumber")).count();
        assert_eq!((parts, fake.uploads()), (3, 0));
        assert_eq!(put(&fake, &large, None).await.unwrap(), Placed::AlreadyThere);

        let other = FakeS3::start().await;
        other.answer_next(&[(403, "AccessDenied")]);
        let failed = put(&other, &large, None).await.unwrap_err();
        assert!(failed.is_refusal(), "{failed}");
        assert_eq!((other.uploads(), other.object("s3://captures/d/x.jsonl")), (0, None), "the upload was aborted");
    }
}
