//! Small files beside the segments, each replaced as a whole.
//!
//! - `identity`: node and salt, drawn once.
//! - `book`: epoch, accounts, and which segments are sealed or freed. Freeing a segment *is* the replacement of this
//!   file: it books the records as uploaded and names the segment as freed in one step, and only then is the segment
//!   unlinked. Whatever is cut off when, records are uploaded or pending, never both, never neither.
//!
//! Invariant: what the book says of `uploaded`, `expired`, `erased`, `quarantined`, `evicted` is the truth; of the other
//! counters it is an old copy.
//! Refuses to: be needed. A lost book is rebuilt from the segments, their ledger frames and the counter page.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::disk::{Disk, read_small, replace_file};
use super::segment::{AccountRecords, SealedSegment, SegmentName};
use crate::ledger::{
    Account, AccountKey, CAPTURED, COUNTERS, Counters, DROPPED, DropReason, ERASED, EVICTED, EXPIRED, INVOKED,
    QUARANTINED, REFUSED, SAMPLED_OUT, UPLOADED,
};

pub(crate) const IDENTITY_FILE: &str = "identity";
pub(crate) const BOOK_FILE: &str = "book";
/// Newest format of both files.
pub(crate) const FORMAT: u32 = 1;
/// Format of a book that names parts of segments, which captura could not read at first.
const FORMAT_WITH_PARTS: u32 = 2;
/// Longest file that is read, bytes.
const LIMIT_BYTES: usize = 256 << 20;

/// Who this data directory is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub(crate) format: u32,
    /// Eight hexadecimal digits.
    pub(crate) node: String,
    /// Thirty-two hexadecimal digits.
    pub(crate) salt: String,
}

/// A sealed segment as the book knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BookedSegment {
    pub(crate) name: SegmentName,
    pub(crate) accounts: Vec<AccountRecords>,
}

/// The content of the book.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Book {
    pub(crate) format: u32,
    pub(crate) epoch: u32,
    /// The kernel's boot id when the epoch began: another one means that the machine went down in between.
    pub(crate) boot_id: String,
    /// Whether the epoch ended with everything synced and booked.
    pub(crate) closed: bool,
    pub(crate) accounts: Vec<Account>,
    pub(crate) sealed: Vec<BookedSegment>,
    /// Segments whose records are uploaded and booked so; their files may go at any time.
    pub(crate) freed: Vec<SegmentName>,
}

/// What was found where a file should be.
#[derive(Debug)]
pub(crate) enum Found<T> {
    Whole(T),
    Missing,
    Damaged(String),
    Newer(u32),
}

#[derive(Deserialize)]
struct FormatOnly {
    format: u32,
}

/// Reads one of the small files.
pub(crate) fn read<T: serde::de::DeserializeOwned>(disk: &dyn Disk, dir: &Path, name: &str) -> Found<T> {
    let bytes = match read_small(disk, &dir.join(name), LIMIT_BYTES) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Found::Missing,
        Err(error) => return Found::Damaged(error.to_string()),
    };
    let Some((checksum, json)) = bytes.split_first_chunk::<9>() else { return Found::Damaged("it is empty".into()) };
    if checksum[..] != checksum_line(json)[..] {
        return Found::Damaged("its checksum does not hold".into());
    }
    match serde_json::from_slice::<FormatOnly>(json) {
        Ok(FormatOnly { format }) if format > FORMAT_WITH_PARTS => return Found::Newer(format),
        _ => {}
    }
    match serde_json::from_slice(json) {
        Ok(content) => Found::Whole(content),
        Err(error) => Found::Damaged(error.to_string()),
    }
}

/// Replaces one of the small files: eight hexadecimal digits of CRC32C, a line feed, JSON.
pub(crate) fn write<T: Serialize>(disk: &dyn Disk, dir: &Path, name: &str, content: &T) -> io::Result<()> {
    let json = serde_json::to_vec(content).expect("our bug: the book holds only text and numbers");
    let mut bytes = checksum_line(&json).to_vec();
    bytes.extend(json);
    replace_file(disk, dir, name, &bytes)
}

fn checksum_line(json: &[u8]) -> [u8; 9] {
    let mut line = *b"00000000\n";
    let text = format!("{:08x}", crc32c::crc32c(json));
    line[..8].copy_from_slice(text.as_bytes());
    line
}

/// The counters of an account as it is written in the book.
pub(crate) fn counters_of(account: &Account) -> (AccountKey, Counters) {
    let mut counters = [0; COUNTERS];
    counters[INVOKED] = account.invoked;
    counters[CAPTURED] = account.captured;
    counters[SAMPLED_OUT] = account.sampled_out;
    counters[UPLOADED] = account.uploaded;
    counters[EXPIRED] = account.expired;
    counters[ERASED] = account.erased;
    counters[QUARANTINED] = account.quarantined;
    counters[EVICTED] = account.evicted;
    counters[REFUSED] = account.refused;
    for reason in DropReason::ALL {
        counters[DROPPED + reason as usize] = account.dropped.get(&reason).copied().unwrap_or(0);
    }
    let key = AccountKey { endpoint: account.endpoint.as_str().into(), variant: account.variant.as_str().into() };
    (key, counters)
}

/// The book of a running journal.
#[derive(Debug)]
pub(crate) struct BookKeeping {
    pub(crate) epoch: u32,
    pub(crate) boot_id: String,
    pub(crate) sealed: BTreeMap<SegmentName, SealedSegment>,
    pub(crate) freed: Vec<SegmentName>,
    /// Those of the freed that are unlinked. The book names them until the folder was synced after that: of a book without
    /// the name and the unlinking a power cut may keep the one and not the other, and the segment would come back as a new one.
    pub(crate) unlinked: Vec<SegmentName>,
    /// Whether the epoch is on disk; before it is, no record may be written.
    pub(crate) epoch_durable: bool,
    /// Whether the journal was closed: what is freed after that does not open it again.
    pub(crate) closed: bool,
    /// Node and salt, until they are on disk.
    pub(crate) identity_unsaved: Option<Identity>,
}

impl BookKeeping {
    /// Replaces the book on disk.
    pub(crate) fn save(&mut self, disk: &dyn Disk, dir: &Path, accounts: Vec<Account>, closed: bool) -> io::Result<()> {
        if let Some(identity) = &self.identity_unsaved {
            write(disk, dir, IDENTITY_FILE, identity)?;
            self.identity_unsaved = None;
        }
        let sealed = self.sealed.values();
        let sealed = sealed.map(|segment| BookedSegment { name: segment.name, accounts: segment.accounts.clone() });
        let has_parts = self.sealed.keys().chain(&self.freed).any(|name| name.part > 0);
        let book = Book {
            format: if has_parts { FORMAT_WITH_PARTS } else { FORMAT },
            epoch: self.epoch,
            boot_id: self.boot_id.clone(),
            closed,
            accounts,
            sealed: sealed.collect(),
            freed: self.freed.clone(),
        };
        write(disk, dir, BOOK_FILE, &book)?;
        let unlinked = std::mem::take(&mut self.unlinked);
        self.freed.retain(|name| !unlinked.contains(name));
        self.epoch_durable = true;
        self.closed = closed;
        Ok(())
    }
}
