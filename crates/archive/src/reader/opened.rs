//! An object read bit by bit, decompressed on the way, whatever its size.
//!
//! Invariant: beyond what is asked for at most one step of decompression is held, [`STEP_BYTES`] of the object, which deflate
//! can make a thousand times as long at the most. A local file is read where it is called from, parts of it by several threads
//! where they want to.
//! Refuses to: say where lines end.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use bytes::Bytes;
use flate2::write::MultiGzDecoder;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use object_store::{GetResultPayload, ObjectStoreExt as _};

use super::{Found, ReadError};

/// Compressed bytes that are decompressed in one step.
pub const STEP_BYTES: usize = 16 << 10;

/// An object that is being read.
pub struct Opened {
    address: String,
    bytes: Source,
    gzip: Option<MultiGzDecoder<Vec<u8>>>,
    ended: bool,
}

/// A local file that is not compressed, of which parts can be read beside each other.
#[derive(Debug, Clone)]
pub struct Parts {
    address: String,
    file: Arc<File>,
}

impl Parts {
    /// How long the file is now.
    ///
    /// # Errors
    /// When nobody can say.
    pub fn size_bytes(&self) -> Result<u64, ReadError> {
        let about = self.file.metadata().map_err(|error| self.failed(error))?;
        Ok(about.len())
    }

    /// Reads some bytes from a place on; answers how many, none behind the end.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn read(&self, into: &mut [u8], at: u64) -> Result<usize, ReadError> {
        self.file.read_at(into, at).map_err(|error| self.failed(error))
    }

    fn failed(&self, error: std::io::Error) -> ReadError {
        let source = object_store::Error::Generic { store: "file", source: Box::new(error) };
        ReadError::Fetch { address: self.address.clone(), source }
    }
}

enum Source {
    File(Arc<File>),
    Stream { stream: BoxStream<'static, object_store::Result<Bytes>>, rest: Bytes },
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opened").field("address", &self.address).field("ended", &self.ended).finish_non_exhaustive()
    }
}

impl Found {
    /// Opens the object for reading bit by bit; `.gz` is decompressed.
    ///
    /// # Errors
    /// When it cannot be fetched.
    pub async fn open(&self) -> Result<Opened, ReadError> {
        let fetched = self.place.store.get(&self.place.path).await;
        let fetched = fetched.map_err(|source| ReadError::Fetch { address: self.address.clone(), source })?;
        let bytes = match fetched.payload {
            GetResultPayload::File(file, _) => Source::File(Arc::new(file)),
            GetResultPayload::Stream(stream) => Source::Stream { stream, rest: Bytes::new() },
        };
        let is_gzip = self.place.path.as_ref().ends_with(".gz");
        let gzip = is_gzip.then(|| MultiGzDecoder::new(Vec::new()));
        Ok(Opened { address: self.address.clone(), bytes, gzip, ended: false })
    }
}

impl Opened {
    /// The same object for reading parts of it, where it is a local file and not compressed.
    #[must_use]
    pub fn parts(&self) -> Option<Parts> {
        match &self.bytes {
            Source::File(file) if self.gzip.is_none() => {
                Some(Parts { address: self.address.clone(), file: Arc::clone(file) })
            }
            Source::File(_) | Source::Stream { .. } => None,
        }
    }

    /// Goes on from another place of an object that has parts.
    ///
    /// # Errors
    /// When the system does not.
    ///
    /// # Panics
    /// When it has none.
    pub fn go_on_at(&mut self, at: u64) -> Result<(), ReadError> {
        let parts = self.parts().expect("our bug: only an object with parts goes on elsewhere");
        parts.file.as_ref().seek(SeekFrom::Start(at)).map_err(|error| parts.failed(error))?;
        self.ended = false;
        Ok(())
    }

    /// Appends bytes until `into` holds `length` of them or more, or the object ends; answers whether it may go on.
    ///
    /// # Errors
    /// When it cannot be fetched or decompressed.
    pub async fn fill(&mut self, into: &mut Vec<u8>, length: usize) -> Result<bool, ReadError> {
        while into.len() < length && !self.ended {
            let Some(decoder) = &mut self.gzip else {
                let wanted = length - into.len();
                self.ended = !self.bytes.read(into, wanted).await.map_err(|error| self.failed(error))?;
                continue;
            };
            let mut step = Vec::with_capacity(STEP_BYTES);
            let more = self.bytes.read(&mut step, STEP_BYTES).await;
            *decoder.get_mut() = std::mem::take(into);
            let done = match &more {
                Ok(true) => decoder.write_all(&step),
                Ok(false) => decoder.try_finish(),
                Err(_) => Ok(()),
            };
            *into = std::mem::take(decoder.get_mut());
            self.ended = !more.map_err(|error| self.failed(error))?;
            done.map_err(|source| ReadError::Gzip { address: self.address.clone(), source })?;
        }
        Ok(!self.ended)
    }

    fn failed(&self, source: object_store::Error) -> ReadError {
        ReadError::Fetch { address: self.address.clone(), source }
    }
}

impl Source {
    /// Appends some bytes, at most as many as are wanted; answers whether there were any.
    async fn read(&mut self, into: &mut Vec<u8>, wanted: usize) -> object_store::Result<bool> {
        match self {
            Self::File(file) => {
                into.reserve(wanted);
                let read = file.as_ref().take(wanted as u64).read_to_end(into);
                let failed = |error| object_store::Error::Generic { store: "file", source: Box::new(error) };
                Ok(read.map_err(failed)? > 0)
            }
            Self::Stream { stream, rest } => {
                while rest.is_empty() {
                    match stream.next().await {
                        Some(bytes) => *rest = bytes?,
                        None => return Ok(false),
                    }
                }
                into.extend_from_slice(&rest.split_to(wanted.min(rest.len())));
                Ok(true)
            }
        }
    }
}
