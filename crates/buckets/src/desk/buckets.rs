//! Operations on buckets themselves.
//!
//! A local bucket is a folder, which comes into being on first use: CreateBucket is one. A bucket that the settings map
//! to a service is there, and is made and deleted where it lives.

use captura_names::S3Uri;
use s3s::dto::{
    Bucket as BucketDto, CreateBucketInput, CreateBucketOutput, DeleteBucketInput, DeleteBucketOutput,
    GetBucketLocationInput, GetBucketLocationOutput, HeadBucketInput, HeadBucketOutput, ListBucketsInput,
    ListBucketsOutput, Owner,
};

use super::Desk;
use super::answers::moment;
use crate::arrival::Arrival;
use crate::disk::{self, blocking};
use crate::facts::Version;
use crate::key;
use crate::listing::Query;
use crate::refusal::{Refusal, Result};

/// There, making a bucket twice succeeds.
const US_EAST_1: &str = "us-east-1";
/// A staged object that was not written to for so long has no writer any more, nanoseconds.
const STALE_AFTER_NS: i64 = 60 * 60 * 1_000_000_000;

impl Desk {
    pub(super) async fn list_buckets(&self, input: ListBucketsInput) -> Result<ListBucketsOutput> {
        let desk = self.clone();
        let mut buckets = blocking(move || desk.names()).await?;
        let prefix = input.prefix.clone().unwrap_or_default();
        buckets.retain(|(name, _)| name.starts_with(&prefix));
        let buckets = buckets.into_iter().map(|(name, created_ns)| BucketDto {
            bucket_region: None,
            creation_date: Some(moment(created_ns)),
            name: Some(name),
        });
        let owner = Owner { display_name: None, id: Some(self.account.clone()) };
        Ok(ListBucketsOutput {
            buckets: Some(buckets.collect()),
            continuation_token: None,
            owner: Some(owner),
            prefix: input.prefix,
        })
    }

    fn names(&self) -> Result<Vec<(String, i64)>> {
        let mapped = self.stores.mapped_buckets();
        let mut names: Vec<(String, i64)> = mapped.map(|name| (name.to_owned(), 0)).collect();
        let entries = match std::fs::read_dir(self.stores.local_buckets()) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            entries => Some(entries?),
        };
        for entry in entries.into_iter().flatten() {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            let Ok(metadata) = std::fs::metadata(entry.path()) else { continue };
            if metadata.is_dir() && key::bucket(&name).is_ok() && !self.stores.is_mapped(&name) {
                names.push((name, Version::of(&metadata).modified_ns));
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    pub(super) async fn head_bucket(&self, input: HeadBucketInput) -> Result<HeadBucketOutput> {
        let bucket = self.existing(&input.bucket).await?;
        if bucket.local("").is_err() {
            // Only the service knows whether it has the bucket.
            bucket.list(Query { max: 1, ..Query::default() }).await.map_err(|refusal| match refusal {
                Refusal::NoSuchKey => Refusal::NoSuchBucket,
                other => other,
            })?;
        }
        Ok(HeadBucketOutput { bucket_region: Some(self.region.clone()), ..HeadBucketOutput::default() })
    }

    pub(super) async fn create_bucket(
        &self,
        input: CreateBucketInput,
        arrival: &Arrival,
    ) -> Result<CreateBucketOutput> {
        if input.object_lock_enabled_for_bucket == Some(true) {
            return Err(Refusal::NotThere("object lock".into()));
        }
        if input.acl.as_ref().is_some_and(|acl| acl.as_str() != "private") {
            return Err(Refusal::Acl);
        }
        let there = match self.existing(&input.bucket).await {
            Ok(_) => true,
            Err(Refusal::NoSuchBucket) => false,
            Err(refusal) => return Err(refusal),
        };
        if there && arrival.region.as_deref().unwrap_or(&self.region) != US_EAST_1 {
            return Err(Refusal::BucketOwned);
        }
        self.made(&input.bucket).await?;
        Ok(CreateBucketOutput { location: Some(format!("/{}", input.bucket)) })
    }

    pub(super) async fn delete_bucket(&self, input: DeleteBucketInput) -> Result<DeleteBucketOutput> {
        let bucket = self.existing(&input.bucket).await?;
        if self.stores.is_mapped(&input.bucket) {
            return Err(Refusal::NotThere(
                "a bucket that [stores] maps is deleted where it lives; its deletion".into(),
            ));
        }
        let local = bucket.local("deletion")?.clone();
        if !bucket.list(Query { max: 1, ..Query::default() }).await?.entries.is_empty() {
            return Err(Refusal::BucketNotEmpty);
        }
        let (desk, uri) = (self.clone(), key::bucket(&input.bucket)?);
        blocking(move || desk.remove_bucket(&uri, local.folder.root())).await?;
        Ok(DeleteBucketOutput::default())
    }

    /// Removes folders only: whoever writes meanwhile keeps the bucket.
    fn remove_bucket(&self, uri: &S3Uri, root: &std::path::Path) -> Result<()> {
        remove_empty(root, (self.now)().unix_us().saturating_mul(1_000))?;
        self.stores.forget(uri.bucket());
        self.shared.facts.remove_bucket(uri.bucket())?;
        self.uploads.remove_bucket(uri.bucket())?;
        Ok(disk::sync_folder(&self.stores.local_buckets())?)
    }

    pub(super) async fn bucket_location(&self, input: GetBucketLocationInput) -> Result<GetBucketLocationOutput> {
        self.existing(&input.bucket).await?;
        let elsewhere = Some(self.region.clone()).filter(|region| region != US_EAST_1);
        Ok(GetBucketLocationOutput { location_constraint: elsewhere.map(Into::into) })
    }
}

/// Removes a folder of nothing but folders, and of what writers that are long gone have left.
fn remove_empty(folder: &std::path::Path, now_ns: i64) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_empty(&entry.path(), now_ns)?;
            continue;
        }
        let age_ns = now_ns.saturating_sub(Version::of(&entry.metadata()?).modified_ns);
        if !key::is_staged(&entry.file_name().to_string_lossy()) || age_ns < STALE_AFTER_NS {
            return Err(Refusal::BucketNotEmpty);
        }
        disk::remove_file(&entry.path())?;
    }
    match std::fs::remove_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::DirectoryNotEmpty => Err(Refusal::BucketNotEmpty),
        removed => Ok(removed?),
    }
}
