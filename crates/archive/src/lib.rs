//! Durable becomes object, and can be found again.
//!
//! Invariant: a sealed segment is freed only after every object made from it was confirmed and the confirmation is
//! itself durable. Keys and bytes of objects are functions of the segment, so doing it twice changes nothing.
//! Refuses to: know the wire or route tables, delete what is not confirmed.

pub mod archiving;
pub mod backoff;
pub mod batch;
#[cfg(feature = "cloud")]
mod cloud;
pub mod destinations;
mod direct;
pub mod document;
pub mod figures;
pub mod folder;
pub mod journal;
pub mod jsonl;
pub mod layout;
pub mod level;
pub mod line;
pub mod manifest;
pub mod merges;
pub mod profiles;
pub mod put;
pub mod reader;
pub mod reconcile;
pub mod removal;
pub mod rendering;
pub mod runs;
mod segment;
pub mod stores;
pub mod uploader;

pub use archiving::{Archiving, Stopped};
pub use figures::{ArchiveFigures, Figures};
pub use stores::{StoreError, StoreMapping, StoreSettings, Stores};
pub use uploader::{Overdue, Uploader, UploaderSettings};

#[cfg(test)]
mod fake_journal;
#[cfg(test)]
#[cfg(feature = "cloud")]
mod fake_s3;
#[cfg(test)]
mod fake_table;
#[cfg(test)]
mod faulty_store;
#[cfg(test)]
mod fixture;
