//! Broken promises on purpose. A test of the promise that cannot fail proves nothing, so each is also run against a
//! build that breaks the promise, and must fail there.
//!
//! Without the feature `sabotage` every question here is the constant "no". With it, one sabotage is chosen for the
//! whole process. An optimised build refuses the feature, so no release can contain it.
//! Refuses to: break more than one thing at a time.

/// What is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sabotage {
    /// Files are not synced, and said to be.
    SkipFsync,
    /// Folders are not synced, and said to be.
    SkipDirectoryFsync,
    /// A sync that failed is repeated, and the second answer believed.
    RetryFsync,
    /// Replies say written and durable before anything is.
    AcknowledgeEarly,
    /// Dropped captures are told as queued.
    HideDrops,
    /// A segment is unlinked before the book says that it may be.
    UnlinkFirst,
    /// Checksums of records are not looked at.
    NoChecksum,
    /// The archive confirms objects that it never wrote.
    FreeUnconfirmed,
    /// Objects get another name with each attempt.
    RandomKeys,
    /// Reconciling compares no digests and reads no lines.
    BlindReconcile,
}

impl Sabotage {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::SkipFsync,
        Self::SkipDirectoryFsync,
        Self::RetryFsync,
        Self::AcknowledgeEarly,
        Self::HideDrops,
        Self::UnlinkFirst,
        Self::NoChecksum,
        Self::FreeUnconfirmed,
        Self::RandomKeys,
        Self::BlindReconcile,
    ];

    /// Its name, as people choose it: `skip-fsync`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::SkipFsync => "skip-fsync",
            Self::SkipDirectoryFsync => "skip-directory-fsync",
            Self::RetryFsync => "retry-fsync",
            Self::AcknowledgeEarly => "acknowledge-early",
            Self::HideDrops => "hide-drops",
            Self::UnlinkFirst => "unlink-first",
            Self::NoChecksum => "no-checksum",
            Self::FreeUnconfirmed => "free-unconfirmed",
            Self::RandomKeys => "random-keys",
            Self::BlindReconcile => "blind-reconcile",
        }
    }
}

#[cfg(all(feature = "sabotage", not(debug_assertions)))]
compile_error!("the feature `sabotage` breaks promises on purpose and is for debug builds only");

/// Whether this is broken here.
#[cfg(not(feature = "sabotage"))]
#[must_use]
#[inline]
pub const fn is(_: Sabotage) -> bool {
    false
}

#[cfg(feature = "sabotage")]
pub use chosen::{choose, is};

#[cfg(feature = "sabotage")]
mod chosen {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::Sabotage;

    /// Index into [`Sabotage::ALL`], from 1; 0 = nothing is broken.
    static CHOSEN: AtomicUsize = AtomicUsize::new(0);

    /// Breaks this from now on.
    ///
    /// # Errors
    /// When there is no such sabotage.
    pub fn choose(name: &str) -> Result<(), String> {
        let index = Sabotage::ALL.iter().position(|sabotage| sabotage.name() == name);
        let index = index.ok_or_else(|| format!("there is no sabotage {name}"))?;
        CHOSEN.store(index + 1, Ordering::Release);
        Ok(())
    }

    /// Whether this is broken here.
    #[must_use]
    pub fn is(sabotage: Sabotage) -> bool {
        CHOSEN.load(Ordering::Acquire).checked_sub(1).is_some_and(|index| Sabotage::ALL[index] == sabotage)
    }
}
