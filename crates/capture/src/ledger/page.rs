//! The page of counters that outlives the process: a file, mapped shared, so that after SIGKILL the kernel still holds
//! every increment, and the next start reads them.
//!
//! Invariant: the page is touched through atomics only, in words of eight bytes; there is no moment at which a counter
//! is half written. Names of a slot are written before the count of slots grows.
//! Refuses to: decide anything. After a power loss its content is old; recovery takes the larger of it and the ledger
//! frames of the journal.
//!
//! ```text
//! word 0  magic "CAPTBOOK"     word 1  version, 1     word 2  epoch     word 3  slots in use     word 4  minute     5..64  zero
//! then slots of 64 words: 0..16 endpoint and variant (length, then 63 bytes, each), 16..60 counters, 63 checksum of the names
//! ```

use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use memmap2::{MmapMut, MmapOptions, MmapRaw};
use rustix::fs::FallocateFlags;

use super::{AccountKey, COUNTERS, Counters};

/// Accounts that a page holds; calls of further ones go to the overflow account.
pub(crate) const MAX_ACCOUNTS: usize = 4096;

const SLOT_WORDS: usize = 64;
const WORDS: usize = SLOT_WORDS * (MAX_ACCOUNTS + 1);
const PAGE_BYTES: u64 = WORDS as u64 * 8;
const MAGIC: u64 = u64::from_le_bytes(*b"CAPTBOOK");
const VERSION: u64 = 1;
const EPOCH_WORD: usize = 2;
const USED_WORD: usize = 3;
const MINUTE_WORD: usize = 4;
const NAME_BYTES: usize = 128;
const COUNTERS_AT: usize = 16;
const CHECKSUM_AT: usize = 63;

pub(crate) struct Page {
    map: MmapRaw,
}

impl Page {
    /// Maps the page at `path`, creating it when it is missing.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = File::options().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        match rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, PAGE_BYTES) {
            // Without reservation a full disk would kill the process at the first touch of a new page: write them now.
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => extend_with_zeros(&file)?,
            other => other?,
        }
        let map = MmapOptions::new().len(WORDS * 8).map_raw(&file)?;
        let page = Self { map };
        if page.word(0).load(Ordering::Relaxed) == 0 {
            page.word(1).store(VERSION, Ordering::Relaxed);
            page.word(0).store(MAGIC, Ordering::Release);
        }
        Ok(page)
    }

    /// Maps an existing page for reading only.
    pub(crate) fn open_read_only(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        if file.metadata()?.len() < PAGE_BYTES {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(Self { map: MmapOptions::new().len(WORDS * 8).map_raw_read_only(&file)? })
    }

    /// A page that dies with the process, for when the disk gives none.
    pub(crate) fn in_memory() -> io::Result<Self> {
        let map = MmapMut::map_anon(WORDS * 8)?.into();
        let page = Self { map };
        page.word(1).store(VERSION, Ordering::Relaxed);
        page.word(0).store(MAGIC, Ordering::Relaxed);
        Ok(page)
    }

    /// Whether magic and version are ours.
    pub(crate) fn is_sound(&self) -> bool {
        self.word(0).load(Ordering::Acquire) == MAGIC && self.word(1).load(Ordering::Relaxed) == VERSION
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.word(EPOCH_WORD).load(Ordering::Relaxed)
    }

    pub(crate) fn set_epoch(&self, epoch: u32) {
        self.word(EPOCH_WORD).store(u64::from(epoch), Ordering::Relaxed);
    }

    /// The minute, since 1970, in which a process last counted here; 0 when none did.
    pub(crate) fn minute(&self) -> i64 {
        self.word(MINUTE_WORD).load(Ordering::Relaxed).cast_signed()
    }

    pub(crate) fn set_minute(&self, minute: i64) {
        self.word(MINUTE_WORD).store(minute.cast_unsigned(), Ordering::Relaxed);
    }

    /// Slots in use; the first one is the overflow account.
    pub(crate) fn used(&self) -> usize {
        usize::try_from(self.word(USED_WORD).load(Ordering::Acquire)).unwrap_or(usize::MAX).min(MAX_ACCOUNTS)
    }

    /// A counter of a slot.
    pub(crate) fn counter(&self, slot: usize, counter: usize) -> &AtomicU64 {
        assert!(slot < MAX_ACCOUNTS && counter < COUNTERS, "our bug: counter {counter} of slot {slot} does not exist");
        self.word((slot + 1) * SLOT_WORDS + COUNTERS_AT + counter)
    }

    /// All counters of a slot.
    pub(crate) fn counters(&self, slot: usize) -> Counters {
        std::array::from_fn(|counter| self.counter(slot, counter).load(Ordering::Relaxed))
    }

    /// Names of a slot; `None` when they are damaged.
    pub(crate) fn key(&self, slot: usize) -> Option<AccountKey> {
        let first = (slot + 1) * SLOT_WORDS;
        let mut names = [0; NAME_BYTES];
        for (word, bytes) in names.chunks_exact_mut(8).enumerate() {
            bytes.copy_from_slice(&self.word(first + word).load(Ordering::Relaxed).to_le_bytes());
        }
        let checksum = u64::from(crc32c::crc32c(&names));
        if self.word(first + CHECKSUM_AT).load(Ordering::Relaxed) != checksum {
            return None;
        }
        let (endpoint, variant) = names.split_at(NAME_BYTES / 2);
        let text = |name: &[u8]| Some(std::str::from_utf8(name.get(1..=usize::from(name[0]))?).ok()?.into());
        Some(AccountKey { endpoint: text(endpoint)?, variant: text(variant)? })
    }

    /// Adds a slot with these counters; `None` when the page is full. One caller at a time.
    pub(crate) fn add(&self, key: &AccountKey, counters: &Counters) -> Option<usize> {
        let slot = self.used();
        if slot == MAX_ACCOUNTS {
            return None;
        }
        self.write_slot(slot, key, counters);
        self.word(USED_WORD).store(slot as u64 + 1, Ordering::Release);
        Some(slot)
    }

    /// Writes names and counters of a slot.
    pub(crate) fn write_slot(&self, slot: usize, key: &AccountKey, counters: &Counters) {
        let first = (slot + 1) * SLOT_WORDS;
        let mut names = [0; NAME_BYTES];
        let (endpoint, variant) = names.split_at_mut(NAME_BYTES / 2);
        for (into, name) in [(endpoint, &key.endpoint), (variant, &key.variant)] {
            let length = name.len().min(NAME_BYTES / 2 - 1);
            into[0] = length as u8;
            into[1..=length].copy_from_slice(&name.as_bytes()[..length]);
        }
        for (word, bytes) in names.chunks_exact(8).enumerate() {
            let value = u64::from_le_bytes(bytes.try_into().expect("our bug: chunks of eight have eight bytes"));
            self.word(first + word).store(value, Ordering::Relaxed);
        }
        self.word(first + CHECKSUM_AT).store(u64::from(crc32c::crc32c(&names)), Ordering::Relaxed);
        for (counter, value) in counters.iter().enumerate() {
            self.counter(slot, counter).store(*value, Ordering::Relaxed);
        }
    }

    /// Makes a page that is not sound an empty one.
    pub(crate) fn clear(&self) {
        for word in 0..WORDS {
            self.word(word).store(0, Ordering::Relaxed);
        }
        self.word(1).store(VERSION, Ordering::Relaxed);
        self.word(0).store(MAGIC, Ordering::Release);
    }

    #[expect(unsafe_code, reason = "a shared mapping has no owner that Rust knows; atomics are the one sound way in")]
    fn word(&self, index: usize) -> &AtomicU64 {
        assert!(index < WORDS, "our bug: word {index} is outside the ledger page");
        // SAFETY: the map is WORDS * 8 bytes, readable, writable and aligned to a memory page; it lives as long as self.
        // The file was reserved to that length, is ours alone by the lock on the folder, and is never shortened. All
        // access, in this process, is through atomics of this width.
        unsafe { &*self.map.as_mut_ptr().cast::<AtomicU64>().add(index) }
    }
}

fn extend_with_zeros(file: &File) -> io::Result<()> {
    use std::os::unix::fs::FileExt as _;
    let mut length = file.metadata()?.len();
    let zeros = [0; 4096];
    while length < PAGE_BYTES {
        let part = zeros.len().min((PAGE_BYTES - length) as usize);
        file.write_all_at(&zeros[..part], length)?;
        length += part as u64;
    }
    Ok(())
}

impl std::fmt::Debug for Page {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Page").field("used", &self.used()).finish_non_exhaustive()
    }
}
