//! The durable local log of records.
//!
//! One folder:
//!
//! ```text
//! lock                                  held exclusively by the running server
//! identity                              node and salt                       (see book)
//! book                                  epoch, accounts, sealed and freed   (see book)
//! counters                              the mapped page of counters         (see ledger::page)
//! seg-0000000003-000000000002.open      being written                       (see frame, segment)
//! seg-0000000003-000000000001.seg       sealed, waits to be archived
//! seg-0000000002-000000000007-01.seg    what was left of a sealed one for a failing destination (see carry)
//! *.new, *.rewrite                      half-made replacements; a start removes them
//! ```
//!
//! The write protocol: a segment is reserved, gets its head, is synced, and its name is synced, before a record enters.
//! Records of many callers are written with one `write` and synced together every `sync_interval`, or at once where a
//! caller waits for it. A full segment gets a footer, is synced, renamed to `.seg`, and the folder is synced. It is
//! unlinked only after the book durably says that its records are uploaded. A file whose sync failed is never synced
//! again. Every start takes a new epoch, and numbers within an epoch have no gaps but those that a gap frame tells.

pub(crate) mod book;
pub mod carry;
pub(crate) mod commit;
pub mod digest;
pub mod disk;
#[cfg(any(test, feature = "fault-injection"))]
pub mod faulty_disk;
pub mod frame;
pub(crate) mod keeper;
pub(crate) mod line;
pub mod reader;
pub(crate) mod recovery;
pub(crate) mod scan;
pub mod segment;
pub mod space;
pub(crate) mod writer;

pub use recovery::{Inspection, RecoveryReport, Unreadable, inspect};

pub(crate) const LOCK_FILE: &str = "lock";
pub(crate) const PAGE_FILE: &str = "counters";

/// Which boot of the machine this is; empty where the kernel does not tell.
pub(crate) fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}
