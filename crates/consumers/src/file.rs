//! The book on the disk: one JSON file, replaced whole.
//!
//! Invariant: the file is the book as it was at one moment, with the position in the journal that belongs to that moment.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::book::Book;

const NAME: &str = "book.json";
/// Version of the file's form.
const FORM: u32 = 1;

/// Why the book cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum BookError {
    /// The disk does not give it.
    #[error("cannot use the book of consumers {path}: {source}", path = path.display())]
    File {
        /// Which file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is of a newer captura, or none.
    #[error("{path} is no book of consumers: {why}; move it away to begin a new one", path = path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// Why.
        why: String,
    },
}

#[derive(Serialize)]
struct Written<'a> {
    version: u32,
    #[serde(flatten)]
    book: &'a Book,
}

#[derive(Deserialize)]
struct Read {
    version: u32,
    #[serde(flatten)]
    book: Book,
}

/// The book in that folder; nothing where there is none yet.
pub(crate) fn read(folder: &Path) -> Result<Option<Book>, BookError> {
    let at = |path: &Path| {
        let path = path.to_owned();
        move |source| BookError::File { path, source }
    };
    std::fs::create_dir_all(folder).map_err(at(folder))?;
    let path = folder.join(NAME);
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(at(&path)(source)),
    };
    let damaged = |why: String| BookError::Damaged { path: path.clone(), why };
    let Read { version, mut book } = serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
    if version != FORM {
        return Err(damaged(format!("its form is version {version}, and this captura knows version {FORM}")));
    }
    book.index();
    Ok(Some(book))
}

/// The bytes of a book.
pub(crate) fn bytes(book: &Book) -> Vec<u8> {
    serde_json::to_vec(&Written { version: FORM, book }).expect("our bug: a book is text and numbers")
}

/// Puts a book in place of the one before; it survives power loss when this returns.
pub(crate) fn replace(folder: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(folder.join(NAME))?;
    File::open(folder)?.sync_all()
}
