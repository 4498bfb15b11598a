//! A bucket that the settings map to a service: its objects, facts and conditions are that service's.
//!
//! Invariant: nothing is sent before it has come whole and its digests were compared.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _};
use object_store::path::Path as StorePath;
use object_store::{
    Attribute, Attributes, GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt as _, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, UpdateVersion, WriteMultipart,
};
use uuid::Uuid;

use crate::condition::WriteCondition;
use crate::disk::blocking;
use crate::facts::{Described, Facts, Version};
use crate::key::Key;
use crate::listing::{Flow, Gather};
use crate::local::read;
use crate::object::{Object, Pieces, Take};
use crate::refusal::{Refusal, Result, of_store};

/// Larger objects are sent in parts, bytes.
const PART_BYTES: usize = 8 << 20;
/// Parts on their way to a service at one time.
const PARTS_AT_ONCE: usize = 4;
/// Largest object of a conditional write, bytes: it is sent in one piece, out of memory.
const CONDITIONAL_MAX_BYTES: u64 = 64 << 20;

/// A bucket at a service.
#[derive(Clone)]
pub(crate) struct Remote {
    pub(crate) store: Arc<dyn ObjectStore>,
}

/// An object that is gathered on this disk before it is sent; dropped, it is gone.
pub(crate) struct Spool {
    file: std::fs::File,
    path: PathBuf,
    size_bytes: u64,
}

impl Spool {
    /// A new file in that folder.
    pub(crate) fn create(folder: &Path) -> std::io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let path = folder.join(Uuid::new_v4().to_string());
        let file = std::fs::File::options().read(true).write(true).create_new(true).open(&path)?;
        Ok(Self { file, path, size_bytes: 0 })
    }
}

impl Take for Spool {
    fn take(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        use std::io::Write as _;

        self.size_bytes += bytes.len() as u64;
        self.file.write_all(bytes)
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        // What a crash leaves behind is removed at the next start.
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Remote {
    pub(crate) async fn look(&self, key: &Key) -> Result<Object> {
        let options = GetOptions { head: true, ..GetOptions::default() };
        let found = self.store.get_opts(key.path(), options).await.map_err(of_store)?;
        Ok(object(&found.meta, &found.attributes))
    }

    pub(crate) async fn read(&self, key: &Key, range: Range<u64>, e_tag: &str) -> Result<Pieces> {
        if range.is_empty() {
            return Ok(Box::pin(futures_util::stream::empty()));
        }
        // Replaced meanwhile, it must not be told with what was said of the other.
        let if_match = Some(format!("\"{e_tag}\"")).filter(|_| !e_tag.ends_with("-1"));
        let options = GetOptions { range: Some(GetRange::Bounded(range)), if_match, ..GetOptions::default() };
        let found = self.store.get_opts(key.path(), options).await.map_err(of_store)?;
        Ok(Box::pin(found.into_stream().map_err(of_store)))
    }

    pub(crate) async fn place(
        &self,
        spool: Spool,
        key: &Key,
        facts: Facts,
        condition: &WriteCondition,
    ) -> Result<Object> {
        let size_bytes = spool.size_bytes;
        let mode = self.mode(key, condition).await?;
        let attributes = attributes(&facts.described);
        let file = spool.file.try_clone()?;
        let result = if mode == PutMode::Overwrite && size_bytes > PART_BYTES as u64 {
            let options = PutMultipartOptions { attributes, ..PutMultipartOptions::default() };
            let upload = self.store.put_multipart_opts(key.path(), options).await.map_err(of_store)?;
            send(WriteMultipart::new_with_chunk_size(upload, PART_BYTES), read(file, 0..size_bytes)).await?
        } else if size_bytes > CONDITIONAL_MAX_BYTES {
            return Err(Refusal::NotThere(
                "in a bucket that is mapped to a service, a conditional write may have 64 MiB".into(),
            ));
        } else {
            let pieces: Vec<Bytes> = read(file, 0..size_bytes).try_collect().await?;
            let options = PutOptions { mode, attributes, ..PutOptions::default() };
            let payload = PutPayload::from_iter(pieces);
            self.store.put_opts(key.path(), payload, options).await.map_err(of_store)?
        };
        drop(spool);
        let mut placed = self.look(key).await?;
        if let Some(e_tag) = result.e_tag {
            placed.facts.e_tag = unquoted(&e_tag);
        }
        Ok(placed)
    }

    async fn mode(&self, key: &Key, condition: &WriteCondition) -> Result<PutMode> {
        match condition {
            WriteCondition::Any => Ok(PutMode::Overwrite),
            WriteCondition::Absent => Ok(PutMode::Create),
            WriteCondition::Is(_) => {
                let options = GetOptions { head: true, ..GetOptions::default() };
                let found = self.store.get_opts(key.path(), options).await.map_err(of_store)?;
                condition.check(Some(&object(&found.meta, &found.attributes)))?;
                Ok(PutMode::Update(UpdateVersion { e_tag: found.meta.e_tag, version: found.meta.version }))
            }
        }
    }

    pub(crate) async fn remove(&self, key: &Key, condition: &WriteCondition) -> Result<()> {
        if *condition != WriteCondition::Any {
            condition.check(Some(&self.look(key).await?))?;
        }
        match self.store.delete(key.path()).await.map_err(of_store) {
            Err(Refusal::NoSuchKey) | Ok(()) => Ok(()),
            Err(refusal) => Err(refusal),
        }
    }

    /// Offers the bucket's keys in order, which is the order that services list them in.
    pub(crate) async fn walk(&self, gather: &mut Gather) -> Result<()> {
        let (folder, _) = gather.query.prefix.rsplit_once('/').unwrap_or_default();
        let folder = StorePath::parse(folder).map_err(|_| Refusal::NoSuchKey);
        let Ok(folder) = folder else { return Ok(()) };
        if gather.query.delimiter.as_deref() == Some("/") {
            return self.walk_level(&folder, gather).await;
        }
        let mut skip: Option<String> = None;
        let mut keys = match StorePath::parse(&gather.query.after) {
            Ok(after) if !after.as_ref().is_empty() => self.store.list_with_offset(Some(&folder), &after),
            _ => self.store.list(Some(&folder)),
        };
        while let Some(meta) = keys.next().await {
            let meta = meta.map_err(of_store)?;
            let key = meta.location.as_ref();
            if skip.as_deref().is_some_and(|skip| key.starts_with(skip)) {
                continue;
            }
            match gather.offer(key, || Some(object(&meta, &Attributes::new()))) {
                Flow::Next => {}
                Flow::Skip(group) => skip = Some(group),
                Flow::Stop => break,
            }
        }
        Ok(())
    }

    /// One level, without reading what lies below it.
    async fn walk_level(&self, folder: &StorePath, gather: &mut Gather) -> Result<()> {
        let level = self.store.list_with_delimiter(Some(folder)).await.map_err(of_store)?;
        let objects = level.objects.into_iter().map(|meta| (meta.location.to_string(), Some(meta)));
        let groups = level.common_prefixes.into_iter().map(|group| (format!("{group}/"), None));
        let mut lines: Vec<_> = objects.chain(groups).collect();
        lines.sort_by(|a, b| a.0.cmp(&b.0));
        for (name, meta) in lines {
            let flow = match meta {
                Some(meta) => gather.offer(&name, || Some(object(&meta, &Attributes::new()))),
                None if name.starts_with(&gather.query.prefix) => gather.offer_group(&name),
                None => Flow::Next,
            };
            if flow == Flow::Stop {
                break;
            }
        }
        Ok(())
    }
}

async fn send(mut upload: WriteMultipart, mut pieces: Pieces) -> Result<object_store::PutResult> {
    while let Some(piece) = pieces.next().await {
        let sent = match piece {
            Ok(piece) => upload.wait_for_capacity(PARTS_AT_ONCE).await.map(|()| upload.put(piece)).map_err(of_store),
            Err(refusal) => Err(refusal),
        };
        if let Err(refusal) = sent {
            // The service removes what it has by its own rules; the upload has failed either way.
            let _ = upload.abort().await;
            return Err(refusal);
        }
    }
    upload.finish().await.map_err(of_store)
}

fn unquoted(e_tag: &str) -> String {
    e_tag.trim_matches('"').to_owned()
}

fn object(meta: &ObjectMeta, attributes: &Attributes) -> Object {
    let modified_ns = meta.last_modified.timestamp_nanos_opt().unwrap_or_default();
    let mut facts = Version { modified_ns, size_bytes: meta.size }.facts();
    if let Some(e_tag) = &meta.e_tag {
        facts.e_tag = unquoted(e_tag);
    }
    let described = &mut facts.described;
    for (attribute, value) in attributes {
        let value = value.to_string();
        match attribute {
            Attribute::ContentType => described.content_type = Some(value),
            Attribute::ContentEncoding => described.content_encoding = Some(value),
            Attribute::ContentLanguage => described.content_language = Some(value),
            Attribute::ContentDisposition => described.content_disposition = Some(value),
            Attribute::CacheControl => described.cache_control = Some(value),
            Attribute::Metadata(name) => drop(described.metadata.insert(name.to_string(), value)),
            _ => {}
        }
    }
    Object { size_bytes: meta.size, modified_ns, facts }
}

fn attributes(described: &Described) -> Attributes {
    let named = [
        (Attribute::ContentType, &described.content_type),
        (Attribute::ContentEncoding, &described.content_encoding),
        (Attribute::ContentLanguage, &described.content_language),
        (Attribute::ContentDisposition, &described.content_disposition),
        (Attribute::CacheControl, &described.cache_control),
    ];
    let named = named.into_iter().filter_map(|(attribute, value)| Some((attribute, value.clone()?)));
    let metadata = described.metadata.iter();
    let metadata = metadata.map(|(name, value)| (Attribute::Metadata(name.clone().into()), value.clone()));
    named.chain(metadata).collect()
}

/// Removes what a crash has left of objects that were gathered.
pub(crate) async fn sweep(folder: PathBuf) {
    if let Err(error) = blocking(move || crate::disk::remove_folder(&folder)).await {
        tracing::warn!(%error, "what was gathered for services before the last stop cannot be removed");
    }
}
