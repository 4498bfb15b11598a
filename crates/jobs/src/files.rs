//! Files that a program has written, opened without being led anywhere else.
//!
//! This server may read what a program may not. A program that puts a link where its output should be must not have this
//! server read through it, not even when it does so while the server looks.

use std::fs::File;
use std::io;
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::io::Errno;

/// Opens a regular file below a folder; nothing where there is none, or a link leads to it.
pub(crate) fn open_below(folder: &Path, name: &Path) -> io::Result<Option<File>> {
    let read = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let opened = openat(CWD, folder, OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .and_then(|folder| openat2(folder, name, read, Mode::empty(), resolve));
    match opened {
        Ok(file) => {
            let file = File::from(file);
            Ok(file.metadata()?.is_file().then_some(file))
        }
        Err(Errno::NOENT | Errno::LOOP | Errno::XDEV | Errno::NOTDIR) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_link_is_followed_wherever_it_stands() {
        let dir = tempfile::tempdir().unwrap();
        let inside = dir.path().join("inside");
        std::fs::create_dir(&inside).unwrap();
        std::fs::write(dir.path().join("secret"), "secret").unwrap();
        std::fs::write(inside.join("file"), "x").unwrap();
        std::os::unix::fs::symlink(dir.path().join("secret"), inside.join("link")).unwrap();
        std::os::unix::fs::symlink(dir.path(), inside.join("folder")).unwrap();
        let opens = |name: &str| open_below(&inside, Path::new(name)).unwrap().is_some();
        assert!(opens("file"));
        for name in ["link", "folder/secret", "folder/inside/file", "../secret", "gone", "file/deeper"] {
            assert!(!opens(name), "{name}");
        }
        assert!(open_below(dir.path(), Path::new("inside")).unwrap().is_none(), "a folder is no file");
    }
}
