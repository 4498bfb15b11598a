//! How much a job may ask for.

use std::time::Duration;

/// Most instances of one job.
pub const INSTANCES_MAX: u32 = 8;
/// Most objects of one job's inputs.
pub const INPUT_OBJECTS_MAX: usize = 100_000;
/// As much of `/opt/ml/output/message` as is told.
pub const EXIT_MESSAGE_MAX_BYTES: u64 = 1_024;
/// Largest manifest, bytes.
pub(crate) const MANIFEST_MAX_BYTES: u64 = 64 << 20;
/// Most files of one output.
pub(crate) const OUTPUT_FILES_MAX: usize = 100_000;
/// Largest file of metrics that is read, bytes.
pub(crate) const METRICS_FILE_MAX_BYTES: u64 = 16 << 20;
/// Files from this size on are sent in parts, each of this size, bytes.
pub(crate) const PART_BYTES: usize = 8 << 20;
/// How often an output that goes on while the job runs is looked at.
pub(crate) const CONTINUOUS_PERIOD: Duration = Duration::from_secs(10);
/// Time between asking a program to end and ending it.
pub(crate) const GRACE: Duration = Duration::from_secs(30);
/// Characters of a program's last words that a reason quotes.
pub(crate) const LAST_WORDS_MAX_CHARACTERS: usize = 600;
