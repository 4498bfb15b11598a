//! Asynchronous invocations: a queue on disk, worked off in its own time.
//!
//! A call is accepted when its entry is synced; it is then run at least once, and its outcome is written under a key that
//! belongs to the call alone, so that a repeat after a crash changes nothing. Models are run through a door that the
//! gateway gives, by the same life as every other call; payloads are read and answers written through the stores that the
//! binary gives; notices are handed out, and delivering them is for others.
//!
//! Invariant: an accepted call ends in an answer, in a written failure, or is still in the queue. Every limit has a name in
//! [`Settings`]. Refuses to: know HTTP, choose models, deliver notices.

mod disk;
mod entry;
mod figures;
mod notice;
mod outcome;
mod queue;
mod settings;
mod shelf;
mod work;

pub use disk::{Disk, RealDisk};
pub use figures::{EndpointFigures, Figures};
pub use queue::{Backlog, NotKept, OpenError};
pub use settings::{Doors, Lanes, Notify, Resolve, Run, Settings, Use};

#[cfg(test)]
mod tests;
