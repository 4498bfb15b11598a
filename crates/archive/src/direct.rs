//! A file's bytes, written past the system's page cache where that can be.
//!
//! An object is written once and read much later, if at all. Through the page cache each of its bytes is copied into
//! fresh memory that the kernel must find and clear first: more than half of all that archiving a record cost, and other
//! files' pages make room for it. Large bodies therefore go to the device from where they lie (`O_DIRECT`).
//!
//! Invariant: `Ok` means that the file holds exactly these bytes. Whatever the file system does not take directly (an
//! unaligned body, the end of one, everything on tmpfs) is written through the cache, and only that path's errors count.
//! Refuses to: sync; that is the caller's.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// Memory, offset and length of a direct write are multiples of this, bytes: the page, and no device's block is larger.
const ALIGNMENT_BYTES: usize = 4096;
/// Smaller bodies are not worth a second handle, bytes.
const DIRECT_MIN_BYTES: usize = 256 << 10;
/// One write to the device, bytes.
const SLICE_BYTES: usize = 4 << 20;

/// Writes `bytes` at `offset` of the open `file`, which lies at `path`.
///
/// # Errors
/// When the disk does not take them.
pub(crate) fn write_at(file: &File, path: &Path, bytes: &[u8], offset: u64) -> io::Result<()> {
    let done = write_directly(path, bytes, offset);
    file.write_all_at(&bytes[done..], offset + done as u64)
}

/// How many bytes from the front are in the file; none where it cannot be done, which is no failure.
#[cfg(target_os = "linux")]
fn write_directly(path: &Path, bytes: &[u8], offset: u64) -> usize {
    use std::os::unix::fs::OpenOptionsExt as _;
    let aligned = bytes.as_ptr().addr().is_multiple_of(ALIGNMENT_BYTES);
    if bytes.len() < DIRECT_MIN_BYTES || !aligned || !offset.is_multiple_of(ALIGNMENT_BYTES as u64) {
        return 0;
    }
    let direct = rustix::fs::OFlags::DIRECT.bits().cast_signed();
    let Ok(file) = std::fs::OpenOptions::new().write(true).custom_flags(direct).open(path) else { return 0 };
    let whole = bytes.len() - bytes.len() % ALIGNMENT_BYTES;
    let mut done = 0;
    while done < whole && done.is_multiple_of(ALIGNMENT_BYTES) {
        match file.write_at(&bytes[done..whole.min(done + SLICE_BYTES)], offset + done as u64) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // A full or broken disk says so again when the rest is written.
            Ok(0) | Err(_) => break,
            Ok(written) => done += written,
        }
    }
    done
}

#[cfg(not(target_os = "linux"))]
fn write_directly(_: &Path, _: &[u8], _: u64) -> usize {
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_of_every_length_and_place_arrive_as_they_are() {
        // Where this program lies is a disk; the system's folder for temporary files may be none.
        let program = std::env::current_exe().unwrap();
        for folder in [tempfile::tempdir(), tempfile::tempdir_in(program.parent().unwrap())] {
            let folder = folder.unwrap();
            let memory: Vec<u8> = (0..(6_usize << 20)).map(|n| (n % 251) as u8).collect();
            let start = memory.as_ptr().align_offset(ALIGNMENT_BYTES);
            for (number, (from, length)) in
                [(0, 0), (0, 1), (0, DIRECT_MIN_BYTES), (0, DIRECT_MIN_BYTES + 1), (0, (5 << 20) + 4095), (1, 3 << 20)]
                    .into_iter()
                    .enumerate()
            {
                let path = folder.path().join(number.to_string());
                let file = File::create(&path).unwrap();
                let bytes = &memory[start + from..start + from + length];
                write_at(&file, &path, bytes, 0).unwrap();
                file.sync_all().unwrap();
                assert!(std::fs::read(&path).unwrap() == bytes, "{length} bytes from {from}");
                // Behind what is there, aligned or not.
                write_at(&file, &path, bytes, length as u64).unwrap();
                assert!(std::fs::read(&path).unwrap() == [bytes, bytes].concat(), "{length} bytes from {from}, twice");
            }
        }
    }
}
