//! Captured objects, found again: ours and those that SageMaker wrote.
//!
//! A reader walks addresses (`s3://…`, `file://…`, plain paths; a folder, a prefix or a single object), lists what is
//! there, drops what a key proves to be outside the selection, and gives the rest one by one, in the order of their
//! addresses.
//!
//! Invariant: an object is left out only when its key proves that no record of it can be wanted; one object at a time is
//! in memory, or of one that is [opened](Found::open) the part that was asked for.
//! Refuses to: look into records.

mod opened;

use std::collections::VecDeque;
use std::io::Read as _;
use std::ops::Range;

use bytes::Bytes;
use captura_names::{EndpointName, Timestamp, VariantName};
use flate2::read::MultiGzDecoder;
use futures_util::TryStreamExt as _;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStoreExt as _};

use crate::layout::{CapturedKey, SUFFIX, SUFFIX_GZIP};
use crate::stores::{Place, StoreError, Stores};

pub use opened::{Opened, Parts, STEP_BYTES};

/// A record's time may differ from the time in its object's key: objects stay open for a while, and calls are filed when
/// they end but timed by their arrival. Keys within this distance of a window are read, microseconds.
pub const KEY_SLACK_US: i64 = 3_600_000_000;
/// Largest object that is read, bytes, after decompression. Ours are far below; a larger one is no capture.
pub const OBJECT_SIZE_MAX_BYTES: u64 = 1 << 30;
/// A window of at most this many hours is listed hour by hour when endpoint and variant are known.
const HOURS_LISTED_MAX: i64 = 48;
const HOUR_US: i64 = 3_600_000_000;

/// Which objects are wanted; the default wants all.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Only objects that may hold records of this time.
    pub window: Option<Range<Timestamp>>,
    /// Only objects of this endpoint.
    pub endpoint: Option<EndpointName>,
    /// Only objects of this variant.
    pub variant: Option<VariantName>,
}

impl Selection {
    /// Whether an object with this key may hold wanted records. A key of another form proves nothing and is wanted.
    #[must_use]
    pub fn wants(&self, key: &str) -> bool {
        let Some(captured) = CapturedKey::parse(key) else { return true };
        let in_window = self.window.as_ref().is_none_or(|window| {
            captured.started_at >= window.start.plus_us(-KEY_SLACK_US)
                && captured.started_at < window.end.plus_us(KEY_SLACK_US)
        });
        in_window
            && self.endpoint.as_ref().is_none_or(|endpoint| *endpoint == captured.endpoint)
            && self.variant.as_ref().is_none_or(|variant| *variant == captured.variant)
    }

    /// Prefixes below a destination that hold everything wanted; one empty prefix when nothing narrows it.
    fn prefixes(&self) -> Vec<String> {
        let Some(endpoint) = &self.endpoint else { return vec![String::new()] };
        let Some(variant) = &self.variant else { return vec![endpoint.to_string()] };
        let whole = format!("{endpoint}/{variant}");
        let Some(window) = &self.window else { return vec![whole] };
        let first = window.start.plus_us(-KEY_SLACK_US).unix_us() / HOUR_US;
        let last = window.end.plus_us(KEY_SLACK_US).unix_us() / HOUR_US;
        if last - first >= HOURS_LISTED_MAX {
            return vec![whole];
        }
        (first..=last).map(|hour| format!("{whole}/{}", Timestamp::from_unix_us(hour * HOUR_US).hour_path())).collect()
    }
}

/// Why captures cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The address leads to no store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store cannot be listed.
    #[error("cannot list {address}: {source}")]
    List {
        /// What was to be listed.
        address: String,
        /// What the store says.
        source: object_store::Error,
    },
    /// Nothing is at the address.
    #[error("nothing is at {address}: no object of that name and no {endings} below it")]
    Nothing {
        /// The address.
        address: String,
        /// What was looked for below it.
        endings: String,
    },
    /// The object cannot be fetched.
    #[error("cannot read {address}: {source}")]
    Fetch {
        /// The object.
        address: String,
        /// What the store says.
        source: object_store::Error,
    },
    /// The object is not the gzip its name claims.
    #[error("cannot decompress {address}: {source}")]
    Gzip {
        /// The object.
        address: String,
        /// What the decoder says.
        source: std::io::Error,
    },
    /// The object is larger than any capture.
    #[error("{address} is larger than {OBJECT_SIZE_MAX_BYTES} bytes, which no captured object is")]
    TooLarge {
        /// The object.
        address: String,
    },
}

/// An object that was found.
#[derive(Debug, Clone)]
pub struct Found {
    /// Its address as a person would write it.
    pub address: String,
    /// Its size in the store, bytes.
    pub size_bytes: u64,
    /// What its key says, where it is a captured object's.
    pub key: Option<CapturedKey>,
    /// Another one when its bytes are others: the store's entity tag, else the time of its last change.
    pub version: String,
    pub(crate) place: Place,
}

/// An object and its bytes, decompressed.
#[derive(Debug, Clone)]
pub struct Object {
    /// Where it was.
    pub found: Found,
    /// Its bytes.
    pub bytes: Bytes,
}

/// Lists the wanted objects under `address`, in the order of their keys. A single object is wanted whatever it is called;
/// below a folder or prefix only `.jsonl` and `.jsonl.gz` count.
///
/// # Errors
/// When the address leads nowhere or cannot be listed. A prefix that exists and has nothing *wanted* is an empty list.
pub async fn list(stores: &Stores, address: &str, selection: &Selection) -> Result<Vec<Found>, ReadError> {
    list_ending(stores, address, selection, &[SUFFIX, SUFFIX_GZIP]).await
}

/// As [`list`], where below a folder or prefix those count that end with one of `endings`.
///
/// # Errors
/// As [`list`].
pub async fn list_ending(
    stores: &Stores,
    address: &str,
    selection: &Selection,
    endings: &[&str],
) -> Result<Vec<Found>, ReadError> {
    let place = stores.place(address)?;
    let failed = |source| ReadError::List { address: place.address.clone(), source };
    if !place.path.as_ref().is_empty() {
        // That a prefix is no object is said by stores in different words; the listing below decides.
        if let Ok(meta) = place.store.head(&place.path).await {
            return Ok(vec![found(&place, meta)]);
        }
    }
    let mut all = Vec::new();
    let mut anything = false;
    // A destination's objects may also be addressed from inside it, so narrowed prefixes may miss; then all is listed.
    for prefixes in [selection.prefixes(), vec![String::new()]] {
        for prefix in prefixes {
            let below = join(&place.path, &prefix);
            let mut listing = place.store.list(Some(&below).filter(|path| !path.as_ref().is_empty()));
            while let Some(meta) = listing.try_next().await.map_err(failed)? {
                let key = meta.location.as_ref();
                if endings.iter().any(|ending| key.ends_with(ending)) {
                    anything = true;
                    if selection.wants(key) {
                        all.push(found(&place, meta));
                    }
                }
            }
        }
        if anything {
            break;
        }
    }
    if !anything {
        return Err(ReadError::Nothing { address: place.address, endings: endings.join(" or ") });
    }
    all.sort_by(|a, b| a.address.cmp(&b.address));
    Ok(all)
}

fn join(base: &Path, below: &str) -> Path {
    below.split('/').filter(|part| !part.is_empty()).fold(base.clone(), |path, part| path.join(part))
}

fn found(place: &Place, meta: ObjectMeta) -> Found {
    let version = version_of(&meta);
    let place = Place { path: meta.location, ..place.clone() };
    Found {
        version,
        address: format!("{}{}", place.base, place.path),
        size_bytes: meta.size,
        key: CapturedKey::parse(place.path.as_ref()),
        place,
    }
}

pub(crate) fn version_of(meta: &ObjectMeta) -> String {
    meta.e_tag.clone().unwrap_or_else(|| meta.last_modified.to_rfc3339())
}

impl Found {
    /// Fetches the object; `.gz` is decompressed.
    ///
    /// # Errors
    /// When it cannot be fetched or decompressed, or is larger than any capture.
    pub async fn fetch(&self) -> Result<Bytes, ReadError> {
        let address = || self.address.clone();
        if self.size_bytes > OBJECT_SIZE_MAX_BYTES {
            return Err(ReadError::TooLarge { address: address() });
        }
        let bytes = self.stored().await?;
        if !self.is_gzip() {
            return Ok(bytes);
        }
        let mut plain = Vec::new();
        MultiGzDecoder::new(&bytes[..])
            .take(OBJECT_SIZE_MAX_BYTES + 1)
            .read_to_end(&mut plain)
            .map_err(|source| ReadError::Gzip { address: address(), source })?;
        if plain.len() as u64 > OBJECT_SIZE_MAX_BYTES {
            return Err(ReadError::TooLarge { address: address() });
        }
        Ok(plain.into())
    }
}

impl Found {
    /// Whether the name says that the object is gzip.
    #[must_use]
    pub fn is_gzip(&self) -> bool {
        self.place.path.as_ref().ends_with(".gz")
    }

    /// The store that the object is in, and its key there.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// The object as it is stored, of whatever size.
    ///
    /// # Errors
    /// When it cannot be fetched.
    pub async fn stored(&self) -> Result<Bytes, ReadError> {
        let fetched = match self.place.store.get(&self.place.path).await {
            Ok(result) => result.bytes().await,
            Err(error) => Err(error),
        };
        fetched.map_err(|source| self.failed(source))
    }

    /// Some bytes of the object as it is stored.
    ///
    /// # Errors
    /// When they cannot be fetched.
    pub async fn range(&self, range: Range<u64>) -> Result<Bytes, ReadError> {
        if range.is_empty() {
            // Stores refuse to give nothing, which is all that an empty object has.
            return Ok(Bytes::new());
        }
        self.place.store.get_range(&self.place.path, range).await.map_err(|source| self.failed(source))
    }

    fn failed(&self, source: object_store::Error) -> ReadError {
        ReadError::Fetch { address: self.address.clone(), source }
    }
}

/// Gives the wanted objects of several addresses one by one.
#[derive(Debug)]
pub struct Reader {
    found: VecDeque<Found>,
}

impl Reader {
    /// Lists all addresses; objects keep the order of the addresses, and within one the order of keys.
    ///
    /// # Errors
    /// As [`list`].
    pub async fn open<A: AsRef<str>>(
        stores: &Stores,
        addresses: &[A],
        selection: &Selection,
    ) -> Result<Self, ReadError> {
        let mut all = VecDeque::new();
        for address in addresses {
            all.extend(list(stores, address.as_ref(), selection).await?);
        }
        Ok(Self { found: all })
    }

    /// Objects that are still to come.
    #[must_use]
    pub fn remaining(&self) -> &VecDeque<Found> {
        &self.found
    }

    /// The next object, `None` after the last.
    ///
    /// # Errors
    /// As [`Found::fetch`]; the reader goes on with the object after it.
    pub async fn next(&mut self) -> Option<Result<Object, ReadError>> {
        let found = self.found.pop_front()?;
        Some(found.fetch().await.map(|bytes| Object { found, bytes }))
    }
}

#[cfg(test)]
mod tests;
