//! Limits and rhythms of the capture.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use captura_route::MemoryBudget;

use crate::witness::Witness;

/// A disk with this much free space is not nearly full, however large it is, bytes.
pub(crate) const AMPLE_FREE_BYTES: u64 = 5 << 30;

/// Settings of one journal. Every queue and file has its limit here.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Folder of the journal, `DATA_DIR/journal`; made when it is missing.
    pub dir: PathBuf,
    /// A segment is sealed at this size, bytes.
    pub seal_bytes: u64,
    /// A segment is sealed this long after its first record.
    pub seal_after: Duration,
    /// Written records are made durable at least this often.
    pub sync_interval: Duration,
    /// Written records are made durable when this many bytes wait, bytes.
    pub sync_bytes: u64,
    /// Largest size of the journal, bytes; beyond it capture stops until segments are archived.
    pub spool_max_bytes: u64,
    /// Capture stops while the disk has less free space than this, bytes, and goes on by itself when it has more.
    pub min_free_bytes: u64,
    /// Capture also stops while so many hundredths of the disk are used, unless 5 GiB are free.
    pub stop_percent: u8,
    /// So many hundredths of the disk used are told as a warning, unless 5 GiB are free.
    pub alarm_percent: u8,
    /// Most bytes of records that wait to be written.
    pub queue_max_bytes: u64,
    /// Most bytes of recent records kept in memory for `tail`.
    pub tail_max_bytes: u64,
    /// Space set aside for the answer of a call that must be captured (`refuse`), bytes.
    pub response_reserve_bytes: u64,
    /// Who sees how each invocation ends.
    pub witness: Option<Arc<dyn Witness>>,
    /// Memory that records take their part of until they are durable.
    pub memory: MemoryBudget,
}

impl Settings {
    /// The defaults, in a folder.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            seal_bytes: 64 << 20,
            seal_after: Duration::from_secs(60),
            sync_interval: Duration::from_millis(100),
            sync_bytes: 8 << 20,
            spool_max_bytes: 8 << 30,
            min_free_bytes: 1 << 30,
            stop_percent: 85,
            alarm_percent: 75,
            queue_max_bytes: 64 << 20,
            tail_max_bytes: 4 << 20,
            response_reserve_bytes: 6 << 20,
            witness: None,
            memory: MemoryBudget::new(MemoryBudget::DEFAULT_BYTES),
        }
    }
}
