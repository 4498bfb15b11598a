//! How much a model's data may hold.

/// How much a model's data may hold. An archive that goes beyond is refused as soon as it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes of all files together, unpacked.
    pub max_bytes: u64,
    /// Most unpacked bytes for each byte of the archive; not looked at below [`Limits::RATIO_FLOOR_BYTES`].
    pub max_ratio: u64,
    /// Most files and folders.
    pub max_entries: u64,
    /// Most folders above a file.
    pub max_depth: usize,
}

impl Limits {
    /// Small archives of zeros compress well without being bombs: the ratio counts from here on.
    pub const RATIO_FLOOR_BYTES: u64 = 1024 * 1024;
    /// Longest single part of a name, bytes, as file systems have it.
    pub const MAX_NAME_PART_BYTES: usize = 255;
    /// Longest header that describes another one (long names, PAX records), bytes.
    pub const MAX_EXTENSION_BYTES: u64 = 64 * 1024;
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_bytes: 4 * 1024 * 1024 * 1024, max_ratio: 200, max_entries: 100_000, max_depth: 32 }
    }
}
