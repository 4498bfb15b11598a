//! Any tar, sound or not, unpacks into its own folder or leaves nothing, and never a file beside it.
//!
//! The input is the tar itself; it is compressed here, because a fuzzer does not find checksums of gzip.
#![no_main]

use std::io::Read as _;

use captura_backends::artifact::{Limits, extract};
use flate2::Compression;
use flate2::read::GzEncoder;
use libfuzzer_sys::fuzz_target;

const LIMITS: Limits = Limits { max_bytes: 1 << 20, max_ratio: 200, max_entries: 32, max_depth: 8 };

fuzz_target!(|tar: &[u8]| {
    let parent = tempfile::tempdir().expect("a temporary folder");
    let into = parent.path().join("model");
    let mut archive = Vec::new();
    GzEncoder::new(tar, Compression::fast()).read_to_end(&mut archive).expect("memory can be compressed");
    let extracted = extract(archive.as_slice(), &into, &LIMITS);
    let left: Vec<_> = std::fs::read_dir(parent.path())
        .expect("the folder is there")
        .flatten()
        .map(|entry| entry.file_name())
        .collect();
    match extracted {
        Ok(extracted) => {
            assert!(extracted.bytes <= LIMITS.max_bytes && extracted.entries <= LIMITS.max_entries);
            assert_eq!(left, ["model"], "nothing but the model's folder");
        }
        Err(_) => assert!(left.is_empty(), "a refused archive left {left:?}"),
    }
});
