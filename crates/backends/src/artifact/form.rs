//! What an address of data means: `S3DataType` and `CompressionType` of a `ModelDataSource`.

use serde::{Deserialize, Serialize};

/// What an address of data means, and how an object is packed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DataForm {
    /// Whatever is found there: an object, an archive if it begins like one, or a prefix of objects. `ModelDataUrl`.
    #[default]
    AsFound,
    /// `S3Prefix`, `None`: all objects below the address, as they are.
    Prefix,
    /// `S3Object`, `None`: one object, as it is.
    Object,
    /// `S3Object`, `Gzip`: a compressed archive.
    Archive,
}
