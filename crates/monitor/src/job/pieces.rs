//! Objects in pieces that end with a row, so that memory is bounded whatever their size and pieces can be read side by side.
//!
//! A Parquet file is one piece: what is in it stands at its end. Of captures in a local file only the first piece is held; where
//! the others end is looked up, and who reads one takes it in a little at a time, so that its bytes never leave the caches.
//!
//! Invariant: where a piece ends depends on the bytes of the object alone, not on how they arrive. A row longer than
//! [`ROW_BYTES`] is cut off there, so that it is counted as unusable, and its rest is passed over.
//! Refuses to: understand rows beyond where they end.

use std::ops::Range;

use captura_archive::reader::{Found, OBJECT_SIZE_MAX_BYTES, Opened, Parts, ReadError};

use crate::dataset::{MAX_ROW_BYTES, closing_quote, is_captured, opening_quote};

/// Bytes of a piece, decompressed; the last one of an object is shorter, one with a very long row longer.
pub const PIECE_BYTES: usize = 16 << 20;
/// Bytes that are taken in at once of a piece that is not held, and in which its end is looked for. Tests want many steps.
const STEP_BYTES: usize = if cfg!(test) { 16 } else { 256 << 10 };
/// Bytes of a row beyond which it is cut off: more than any that is taken in.
const ROW_BYTES: usize = MAX_ROW_BYTES + PIECE_BYTES;

/// What is in an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// Captured lines.
    Captures,
    /// CSV.
    Csv,
    /// Rows as JSON, a line each.
    JsonLines,
    /// Parquet, which is one piece whatever its size.
    Parquet,
}

/// A part of an object.
pub(super) struct Piece {
    /// Place of the object among those that are read.
    pub(super) object: usize,
    /// Number of the piece in its object, from 0.
    pub(super) number: u64,
    /// What is in there.
    pub(super) format: Format,
    /// Whole rows; room for them where they are not held.
    pub(super) bytes: Vec<u8>,
    /// Where they are, when they are not held.
    part: Option<Part>,
}

/// A part of a local file.
#[derive(Debug, Clone)]
struct Part {
    file: Parts,
    places: Range<u64>,
}

impl Piece {
    /// Holds what is not held yet.
    pub(super) fn hold(&mut self) -> Result<(), ReadError> {
        let Some(Part { file, places }) = self.part.take() else { return Ok(()) };
        let mut held = 0;
        self.bytes.resize((places.end - places.start) as usize, 0);
        while held < self.bytes.len() {
            match file.read(&mut self.bytes[held..], places.start + held as u64)? {
                0 => self.bytes.truncate(held),
                read => held += read,
            }
        }
        Ok(())
    }

    /// Gives whole rows, a few at a time where they are not held.
    pub(super) fn each(&mut self, mut give: impl FnMut(&[u8])) -> Result<(), ReadError> {
        let Some(Part { file, places }) = self.part.take() else {
            give(&self.bytes);
            return Ok(());
        };
        let (room, mut held, mut at) = (&mut self.bytes, 0, places.start);
        room.resize(STEP_BYTES, 0);
        loop {
            if held == room.len() {
                room.resize(2 * held, 0);
            }
            let wanted = room.len().min(held + (places.end - at) as usize);
            let read = if held < wanted { file.read(&mut room[held..wanted], at)? } else { 0 };
            (held, at) = (held + read, at + read as u64);
            if read == 0 || at == places.end {
                give(&room[..held]);
                return Ok(());
            }
            if let Some(last) = memchr::memrchr(b'\n', &room[..held]) {
                give(&room[..=last]);
                room.copy_within(last + 1..held, 0);
                held -= last + 1;
            }
        }
    }
}

/// Gives the pieces of objects, one after the other.
pub(super) struct Pieces<'a> {
    objects: &'a [Found],
    piece_bytes: usize,
    next: usize,
    open: Option<Open>,
}

struct Open {
    object: usize,
    bytes: Opened,
    format: Option<Format>,
    number: u64,
    /// Where the next piece begins, as long as nothing was passed over.
    at: u64,
    /// The same object, where parts of it can be read.
    parts: Option<Parts>,
    /// What was read beyond the end of the last piece.
    rest: Vec<u8>,
    /// In the middle of a row that was cut off.
    is_skipping: bool,
}

impl<'a> Pieces<'a> {
    pub(super) fn of(objects: &'a [Found]) -> Self {
        Self { objects, piece_bytes: PIECE_BYTES, next: 0, open: None }
    }

    /// The next piece, in `room` that is used again; nothing after the last one.
    pub(super) async fn next(&mut self, mut room: Vec<u8>) -> Result<Option<Piece>, ReadError> {
        loop {
            let Some(open) = &mut self.open else {
                let Some(found) = self.objects.get(self.next) else { return Ok(None) };
                let bytes = found.open().await?;
                self.open = Some(Open {
                    object: self.next,
                    parts: bytes.parts(),
                    bytes,
                    format: None,
                    number: 0,
                    at: 0,
                    rest: Vec::new(),
                    is_skipping: false,
                });
                self.next += 1;
                continue;
            };
            room.clear();
            let part = open.part(self.piece_bytes as u64)?;
            let (format, goes_on) = match &part {
                Some(part) => (Format::Captures, !part.places.is_empty()),
                None => {
                    room.append(&mut open.rest);
                    open.read(&self.objects[open.object].address, &mut room, self.piece_bytes).await?
                }
            };
            let has_part = part.as_ref().is_some_and(|part| !part.places.is_empty());
            open.at += part.as_ref().map_or(room.len() as u64, |part| part.places.end - part.places.start);
            let piece = Piece { object: open.object, number: open.number, format, bytes: room, part };
            open.number += 1;
            if !goes_on {
                self.open = None;
            }
            if piece.bytes.is_empty() && !has_part {
                room = piece.bytes;
                continue;
            }
            return Ok(Some(piece));
        }
    }
}

impl Open {
    /// The next piece as a part of the file, an empty one at its end; nothing where it has to be read.
    fn part(&mut self, piece_bytes: u64) -> Result<Option<Part>, ReadError> {
        let Some(file) = self.parts.clone().filter(|_| self.format == Some(Format::Captures)) else { return Ok(None) };
        let size = file.size_bytes()?.max(self.at);
        let end = if size - self.at <= piece_bytes { Some(size) } else { self.last_end(&file, piece_bytes)? };
        if let Some(end) = end {
            return Ok(Some(Part { file, places: self.at..end }));
        }
        // A row that is longer than a piece.
        self.parts = None;
        self.rest.clear();
        self.bytes.go_on_at(self.at)?;
        Ok(None)
    }

    /// Behind the last row that ends within the next piece.
    fn last_end(&self, file: &Parts, piece_bytes: u64) -> Result<Option<u64>, ReadError> {
        let mut room = vec![0; STEP_BYTES].into_boxed_slice();
        let mut end = self.at + piece_bytes;
        while end > self.at {
            let begin = end.saturating_sub(STEP_BYTES as u64).max(self.at);
            let step = &mut room[..(end - begin) as usize];
            let mut held = 0;
            while held < step.len() {
                match file.read(&mut step[held..], begin + held as u64)? {
                    0 => break,
                    read => held += read,
                }
            }
            if let Some(last) = memchr::memrchr(b'\n', &step[..held]) {
                return Ok(Some(begin + last as u64 + 1));
            }
            end = begin;
        }
        Ok(None)
    }

    /// Fills `room` with whole rows, and keeps what is beyond; answers what they are, and whether there may be more.
    async fn read(
        &mut self,
        address: &str,
        room: &mut Vec<u8>,
        piece_bytes: usize,
    ) -> Result<(Format, bool), ReadError> {
        // One byte more, so that it is known of the last piece that it is the last one.
        let mut wanted = piece_bytes + 1;
        loop {
            let goes_on = self.bytes.fill(room, wanted).await?;
            let format = *self.format.get_or_insert_with(|| format_of(address, room));
            if format == Format::Parquet {
                if room.len() as u64 > OBJECT_SIZE_MAX_BYTES {
                    return Err(ReadError::TooLarge { address: address.to_owned() });
                }
                if !goes_on {
                    return Ok((format, false));
                }
                wanted = room.len() + piece_bytes;
                continue;
            }
            if self.is_skipping {
                let end = memchr::memchr(b'\n', room);
                room.drain(..end.map_or(room.len(), |end| end + 1));
                self.is_skipping = end.is_none();
                if goes_on {
                    continue;
                }
            }
            if !goes_on && room.len() <= piece_bytes {
                return Ok((format, false));
            }
            if let Some(end) = row_end(format, room, piece_bytes) {
                self.rest = room.split_off(end);
                return Ok((format, goes_on || !self.rest.is_empty()));
            }
            self.is_skipping = goes_on && room.len() > ROW_BYTES;
            if self.is_skipping {
                // From here on nobody counts where pieces begin.
                self.parts = None;
            }
            if !goes_on || self.is_skipping {
                return Ok((format, goes_on));
            }
            wanted = room.len() + piece_bytes;
        }
    }
}

/// Whether lines of JSON are captured ones, the first of them says.
fn format_of(address: &str, begin: &[u8]) -> Format {
    let ending = address.strip_suffix(".gz").unwrap_or(address).rsplit_once('.').map(|(_, ending)| ending);
    let is_lines = matches!(ending, Some("ndjson" | "jsonlines")) || begin.trim_ascii_start().starts_with(b"[");
    match ending {
        Some("csv") => Format::Csv,
        _ if begin.starts_with(b"PAR1") => Format::Parquet,
        _ if is_lines || is_captures(address, begin) => match is_captured(begin) {
            true => Format::Captures,
            false => Format::JsonLines,
        },
        _ => Format::Csv,
    }
}

/// Captured lines by name, or when the first thing in the object is a JSON object.
pub(super) fn is_captures(address: &str, begin: &[u8]) -> bool {
    let name = address.strip_suffix(".gz").unwrap_or(address);
    match name.rsplit_once('.').map(|(_, ending)| ending) {
        Some("jsonl") => true,
        Some("csv") => false,
        _ => begin.trim_ascii_start().first() == Some(&b'{'),
    }
}

/// Behind the last row that ends before `limit`, else behind the first one that ends after it.
pub(super) fn row_end(format: Format, bytes: &[u8], limit: usize) -> Option<usize> {
    let limit = limit.min(bytes.len());
    let mut before = None;
    let mut start = 0;
    // From here on, outside of quotes.
    loop {
        let quote = if format == Format::Csv { opening_quote(bytes, start) } else { None };
        let end = quote.unwrap_or(bytes.len());
        let within = &bytes[start..end.min(limit).max(start)];
        before = memchr::memrchr(b'\n', within).map(|place| start + place + 1).or(before);
        if end >= limit {
            let after = start.max(limit).min(end);
            let beyond = || memchr::memchr(b'\n', &bytes[after..end]).map(|place| after + place + 1);
            if let Some(found) = before.or_else(beyond) {
                return Some(found);
            }
        }
        start = closing_quote(bytes, quote? + 1)? + 1;
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use captura_archive::reader::{Selection, list};
    use captura_archive::{StoreSettings, Stores};
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn pieces_end_with_a_row_and_quoted_cells_are_not_cut() {
        let end = |text: &str, limit| row_end(Format::Csv, text.as_bytes(), limit);
        assert_eq!(end("1,2\n3,4\n5", 9), Some(8));
        assert_eq!(end("1,2\n3,4\n5", 7), Some(4));
        assert_eq!(end("1,2\n3,4\n5", 2), Some(4), "the first row is longer than that");
        assert_eq!(end("1,\"a\nb\"\n2,c\n", 6), Some(8));
        assert_eq!(end("1,\"a\nb\"\n2,c\n", 11), Some(8));
        assert_eq!(end("1,\"a\"\"\nb\",\"\n\"\nx", 15), Some(14));
        assert_eq!(end("5\" pipe,1\n6\" pipe,2\n", 12), Some(10), "a quote within a cell is no quote");
        assert_eq!(end("1,\"a\nb", 5), None);
        assert_eq!(row_end(Format::Captures, b"{\"\n{", 3), Some(3));
    }

    async fn pieces(path: &std::path::Path, piece_bytes: usize) -> Vec<Vec<u8>> {
        let stores = Stores::new(StoreSettings { data_dir: "/nowhere".into(), mappings: Default::default() });
        let found = list(&stores, &path.display().to_string(), &Selection::default()).await.unwrap();
        let mut pieces = Pieces { piece_bytes, ..Pieces::of(&found) };
        let mut all = Vec::new();
        while let Some(mut piece) = pieces.next(Vec::new()).await.unwrap() {
            assert_eq!(piece.number, all.len() as u64);
            let mut again = Piece { bytes: Vec::new(), part: piece.part.clone(), ..piece };
            let (mut steps, has_part) = (Vec::new(), piece.part.is_some());
            again.each(|rows| steps.extend_from_slice(rows)).unwrap();
            piece.hold().unwrap();
            assert!(!has_part || steps == piece.bytes);
            all.push(piece.bytes);
        }
        all
    }

    fn compressed(bytes: &[u8]) -> Vec<u8> {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(bytes).unwrap();
        gzip.finish().unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]
        #[test]
        fn pieces_hold_every_byte_once_and_are_the_same_of_a_compressed_object(
            text in "([a-z0-9,]{0,9}\n){0,60}[a-z]{0,3}", piece_bytes in 1_usize..200, ending in prop_oneof![Just("csv"), Just("jsonl")],
        ) {
            let folder = tempfile::tempdir().unwrap();
            let (plain, gzip) = (folder.path().join(format!("a.{ending}")), folder.path().join(format!("b.{ending}.gz")));
            std::fs::write(&plain, &text).unwrap();
            let (first, second) = text.split_at(text.len() / 2);
            std::fs::write(&gzip, [compressed(first.as_bytes()), compressed(second.as_bytes())].concat()).unwrap();
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let pieces = |path| runtime.block_on(pieces(path, piece_bytes));
            let found = pieces(&plain);
            prop_assert_eq!(found.concat(), text.as_bytes());
            prop_assert!(found.iter().rev().skip(1).all(|piece| piece.last() == Some(&b'\n')));
            prop_assert_eq!(pieces(&gzip), found);
        }
    }
}
