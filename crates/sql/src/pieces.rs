//! Objects in pieces, and pieces as whole records: a large object is read by several threads, none of which holds much of it.
//!
//! Lines are cut anywhere: a piece has the records that begin in it. CSV may have line breaks between quotes, and gzip
//! cannot be entered in the middle, so these are read from their beginning, a chunk at a time.
//!
//! Invariant: every record is in exactly one chunk, whole; a chunk is at most [`CHUNK_BYTES`] and one record.

use std::io::Read as _;
use std::sync::Arc;

use bytes::{Buf as _, Bytes};
use captura_archive::layout::CapturedKey;
use captura_archive::reader::{Found, ReadError};
use flate2::read::MultiGzDecoder;

/// Bytes that are read at once.
pub(crate) const CHUNK_BYTES: u64 = 4 << 20;
/// Bytes that are read at once for the rest of a record that begins in a piece.
const REST_BYTES: u64 = 256 << 10;
/// Longest record, bytes.
pub(crate) const RECORD_BYTES_MAX: usize = 64 << 20;

/// An object of a table.
#[derive(Debug)]
pub(crate) struct Object {
    pub(crate) found: Found,
    /// What its key says, where it is a captured object's.
    pub(crate) key: Option<CapturedKey>,
}

impl Object {
    /// Addresses, unlike keys, tell the endpoint even of folders that are named from inside.
    pub(crate) fn of(found: Found) -> Self {
        let key = CapturedKey::parse(&found.address);
        Self { found, key }
    }
}

/// How records follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// Each is a line.
    Lines,
    /// Each is a line, or several where a line break stands between quotes.
    Csv,
}

/// Bytes `from..to` of an object.
#[derive(Debug, Clone)]
pub(crate) struct Piece {
    pub(crate) object: Arc<Object>,
    pub(crate) from: u64,
    pub(crate) to: u64,
}

/// Cuts objects into pieces and deals these out into at most `groups` groups, each a run of pieces in order.
pub(crate) fn cut(objects: Vec<Arc<Object>>, framing: Framing, groups: usize) -> Vec<Vec<Piece>> {
    let mut pieces = Vec::new();
    for object in objects {
        let size = object.found.size_bytes;
        let is_whole = framing == Framing::Csv || object.found.is_gzip();
        let step = if is_whole { size.max(1) } else { CHUNK_BYTES };
        for from in (0..size).step_by(usize::try_from(step).unwrap_or(usize::MAX)) {
            let to = size.min(from.saturating_add(step));
            pieces.push(Piece { object: Arc::clone(&object), from, to });
        }
    }
    let each = pieces.len().div_ceil(groups.max(1)).max(1);
    pieces.chunks(each).map(<[Piece]>::to_vec).collect()
}

/// Whole records, and the byte of the object that they begin with.
pub(crate) struct Chunk {
    pub(crate) at: u64,
    pub(crate) bytes: Bytes,
}

/// Reads a piece chunk by chunk.
pub(crate) struct Chunks {
    piece: Piece,
    framing: Framing,
    source: Source,
    /// What was read and not handed out.
    carry: Vec<u8>,
    /// Byte of the object, decompressed, that `carry` begins with.
    at: u64,
}

enum Source {
    /// One chunk, or what is left of a piece that is read from its beginning.
    Stored {
        next: u64,
    },
    Gzip(Box<MultiGzDecoder<bytes::buf::Reader<Bytes>>>),
    Done,
}

impl Chunks {
    pub(crate) async fn open(piece: Piece, framing: Framing) -> Result<Self, ReadError> {
        let source = if piece.object.found.is_gzip() {
            Source::Gzip(Box::new(MultiGzDecoder::new(piece.object.found.stored().await?.reader())))
        } else {
            Source::Stored { next: piece.from }
        };
        Ok(Self { at: piece.from, piece, framing, source, carry: Vec::new() })
    }

    /// Whether the piece begins where the object does.
    pub(crate) fn is_first(&self) -> bool {
        self.piece.from == 0
    }

    /// The next whole records, `None` at the end of the piece.
    pub(crate) async fn next(&mut self) -> Result<Option<Chunk>, ReadError> {
        loop {
            let is_last = self.fill().await?;
            let whole = if is_last { self.carry.len() } else { whole_records(&self.carry, self.framing) };
            if whole == 0 && !is_last {
                if self.carry.len() > RECORD_BYTES_MAX {
                    return Err(ReadError::TooLarge { address: self.piece.object.found.address.clone() });
                }
                continue;
            }
            if whole == 0 {
                return Ok(None);
            }
            let rest = self.carry.split_off(whole);
            let bytes = Bytes::from(std::mem::replace(&mut self.carry, rest));
            let at = self.at;
            self.at += bytes.len() as u64;
            return Ok(Some(Chunk { at, bytes }));
        }
    }

    /// Reads more; answers whether that was all.
    async fn fill(&mut self) -> Result<bool, ReadError> {
        let found = &self.piece.object.found;
        match &mut self.source {
            Source::Done => return Ok(true),
            Source::Gzip(decoder) => {
                let before = self.carry.len();
                let read = decoder.by_ref().take(CHUNK_BYTES).read_to_end(&mut self.carry);
                read.map_err(|source| ReadError::Gzip { address: found.address.clone(), source })?;
                if self.carry.len() == before {
                    self.source = Source::Done;
                    return Ok(true);
                }
                return Ok(false);
            }
            Source::Stored { next } if self.framing == Framing::Csv => {
                let to = self.piece.to.min(*next + CHUNK_BYTES);
                self.carry.extend_from_slice(&found.range(*next..to).await?);
                *next = to;
                if to < self.piece.to {
                    return Ok(false);
                }
            }
            Source::Stored { .. } => self.whole_piece().await?,
        }
        self.source = Source::Done;
        Ok(true)
    }

    /// The records that begin in the piece: without the end of one that began before, with the end of the last.
    async fn whole_piece(&mut self) -> Result<(), ReadError> {
        let Piece { object, from, to } = &self.piece;
        let (found, size) = (&object.found, object.found.size_bytes);
        // The byte before tells whether a record begins with the piece.
        let start = from.saturating_sub(1);
        let bytes = found.range(start..*to).await?;
        let skipped = if *from == 0 { Some(0) } else { memchr::memchr(b'\n', &bytes).map(|at| at + 1) };
        let Some(skipped) = skipped.filter(|skipped| *skipped < bytes.len()) else { return Ok(()) };
        self.at = start + skipped as u64;
        self.carry = bytes[skipped..].to_vec();
        let mut next = *to;
        while next < size && self.carry.last() != Some(&b'\n') {
            let more = found.range(next..size.min(next + REST_BYTES)).await?;
            next += more.len() as u64;
            let end = memchr::memchr(b'\n', &more).map_or(more.len(), |at| at + 1);
            self.carry.extend_from_slice(&more[..end]);
            if self.carry.len() > RECORD_BYTES_MAX + CHUNK_BYTES as usize {
                return Err(ReadError::TooLarge { address: found.address.clone() });
            }
        }
        Ok(())
    }
}

/// Bytes up to the end of the last whole record.
fn whole_records(bytes: &[u8], framing: Framing) -> usize {
    match framing {
        Framing::Lines => memchr::memrchr(b'\n', bytes).map_or(0, |at| at + 1),
        Framing::Csv => {
            records(bytes, framing).filter(|record| record.is_ended).last().map_or(0, |record| record.end())
        }
    }
}

/// A record of a chunk, line break included.
pub(crate) struct Record<'b> {
    /// Byte of the chunk that it begins with.
    pub(crate) at: usize,
    pub(crate) bytes: &'b [u8],
    /// Whether a line break ends it.
    is_ended: bool,
}

impl Record<'_> {
    fn end(&self) -> usize {
        self.at + self.bytes.len()
    }
}

/// The records of a chunk, in order.
pub(crate) fn records(bytes: &[u8], framing: Framing) -> impl Iterator<Item = Record<'_>> {
    let mut next = 0;
    std::iter::from_fn(move || {
        let at = next;
        let mut quotes = 0;
        while next < bytes.len() {
            let line = next;
            let found = memchr::memchr(b'\n', &bytes[line..]);
            next = found.map_or(bytes.len(), |found| line + found + 1);
            if framing == Framing::Csv {
                quotes += memchr::memchr_iter(b'"', &bytes[line..next]).count();
            }
            if found.is_some() && quotes % 2 == 0 {
                return Some(Record { at, bytes: &bytes[at..next], is_ended: true });
            }
        }
        (at < next).then(|| Record { at, bytes: &bytes[at..next], is_ended: false })
    })
}

#[cfg(test)]
mod tests {
    use captura_archive::reader::{Selection, list_ending};
    use captura_archive::{StoreSettings, Stores};
    use std::io::Write as _;

    use super::*;

    fn texts(bytes: &str, framing: Framing) -> Vec<&str> {
        records(bytes.as_bytes(), framing).map(|record| std::str::from_utf8(record.bytes).unwrap()).collect()
    }

    #[test]
    fn line_breaks_between_quotes_end_no_record() {
        assert_eq!(texts("a\n\"b\nc\"\nd", Framing::Csv), ["a\n", "\"b\nc\"\n", "d"]);
        assert_eq!(texts("a\n\"b\nc\"", Framing::Lines), ["a\n", "\"b\n", "c\""]);
        assert_eq!(whole_records(b"a\n\"b\nc", Framing::Csv), 2);
        assert_eq!(whole_records(b"a\nb", Framing::Lines), 2);
    }

    async fn found(path: &std::path::Path) -> Arc<Object> {
        let settings = StoreSettings { data_dir: path.to_owned(), mappings: std::collections::BTreeMap::new() };
        let address = path.display().to_string();
        let found = list_ending(&Stores::new(settings), &address, &Selection::default(), &[]).await.unwrap();
        Arc::new(Object::of(found.into_iter().next().unwrap()))
    }

    async fn read(pieces: Vec<Piece>, framing: Framing) -> Vec<(u64, Vec<u8>)> {
        let mut all = Vec::new();
        for piece in pieces {
            let mut chunks = Chunks::open(piece, framing).await.unwrap();
            while let Some(chunk) = chunks.next().await.unwrap() {
                let records = records(&chunk.bytes, framing);
                all.extend(records.map(|record| (chunk.at + record.at as u64, record.bytes.to_vec())));
            }
        }
        all
    }

    #[tokio::test]
    async fn every_record_is_in_one_piece_wherever_it_is_cut() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.jsonl");
        let text: String = (0..200).map(|n| format!("{}{n}\n", "x".repeat(n % 17))).collect();
        let text = text.trim_end();
        std::fs::write(&path, text).unwrap();
        let object = found(&path).await;
        let whole: Vec<_> =
            records(text.as_bytes(), Framing::Lines).map(|record| (record.at as u64, record.bytes.to_vec())).collect();
        for step in [1, 2, 7, 64, 5000] {
            let size = text.len() as u64;
            let piece = |from: u64| Piece { object: Arc::clone(&object), from, to: size.min(from + step) };
            let pieces = (0..size).step_by(step as usize).map(piece).collect();
            assert_eq!(read(pieces, Framing::Lines).await, whole, "cut every {step} bytes");
        }
    }

    #[tokio::test]
    async fn gzip_of_several_members_is_read_to_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.csv.gz");
        let mut file = std::fs::File::create(&path).unwrap();
        for member in ["a,b\n\"1\n", "2\",3\n4,5"] {
            let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            gzip.write_all(member.as_bytes()).unwrap();
            file.write_all(&gzip.finish().unwrap()).unwrap();
        }
        let pieces = cut(vec![found(&path).await], Framing::Csv, 4).concat();
        let expected = [(0, b"a,b\n".to_vec()), (4, b"\"1\n2\",3\n".to_vec()), (12, b"4,5".to_vec())];
        assert_eq!(read(pieces, Framing::Csv).await, expected);
    }
}
