//! Why a question has no answer.

use captura_archive::StoreError;
use captura_archive::reader::ReadError;

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum SqlError {
    /// The address leads nowhere, or what is there cannot be fetched.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The address leads to no store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What is at an address makes no table.
    #[error("{address} makes no table: {reason}")]
    Source {
        /// The address.
        address: String,
        /// Why, and what to do.
        reason: String,
    },
    /// Two sources make tables of the same name.
    #[error("two sources make a table {name:?}; give one of them a name of its own, --from NAME=URI")]
    TwoTables {
        /// The name.
        name: String,
    },
    /// The statement would change something or read what was not named.
    #[error(
        "{statement} is refused: captura sql only reads, and only what --from names; ask with SELECT, EXPLAIN, SHOW TABLES or DESCRIBE"
    )]
    ReadOnly {
        /// The statement's first words.
        statement: String,
    },
    /// The question cannot be understood, or not be answered; the text says where and what to do.
    #[error("{0}")]
    Question(String),
    /// The answer cannot be written.
    #[error("cannot write the answer: {0}")]
    Write(String),
}
