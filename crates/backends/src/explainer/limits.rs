//! What one explained call may take of this server.
//!
//! A call holds one permit for as long as it runs, and asks the model one batch after another: explained or not, there are
//! never more calls at work in a model than permits. The time that a call has covers everything that is done for it.

/// Most features of a record. A fit holds a square of them in memory.
pub(super) const FEATURES_MAX: usize = 512;
/// Most subsets of the features of one record.
pub(super) const SAMPLES_MAX: usize = 1 << 14;
/// Bodies above this are read on a thread that may take its time, bytes.
pub(super) const READ_AT_ONCE_MAX_BYTES: usize = 64 << 10;
/// Records after which others have their turn while an expression is evaluated on each.
pub(super) const EVALUATED_AT_ONCE: usize = 128;
/// Largest baseline, bytes.
pub(super) const BASELINE_MAX_BYTES: u64 = 8 << 20;
/// Most synthetic records that one call asks the model about.
pub(super) const SYNTHETIC_RECORDS_MAX: usize = 1 << 20;
/// Most numbers that one call is answered with.
pub(super) const ATTRIBUTIONS_MAX: usize = 200_000;
/// Most records of a request to the model, and how many are tried first where the configuration does not say.
pub(super) const BATCH_RECORDS_MAX: usize = 500;
/// How much smaller batches become when the model does not take one.
pub(super) const BATCH_STEP: usize = 8;
/// Largest request to the model, megabytes, where the configuration does not say.
pub(super) const PAYLOAD_DEFAULT_MB: u32 = 6;
/// Fits that are computed at the same time for one model; further ones wait their turn within their calls' time.
pub(super) const FITS_AT_ONCE: usize = 2;
