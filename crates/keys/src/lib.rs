//! Access keys, and what they may do.
//!
//! A key is an id that everyone may see, a secret that only its holder has, the consumer whose it is, and a policy.
//! [`Store`] keeps them in the data directory; the command line changes them there, and a running server's [`Guard`]
//! notices. The guard answers one question, for every request before it is routed: who is this, and may they?
//!
//! Invariant: secrets are encrypted on the disk, in files that only their owner can read, and are in no log, no error and
//! no `Debug`; an unknown key costs a caller the same time as a wrong secret.
//! Refuses to: know HTTP, route anything, or open a file that others can read.

mod attempts;
mod glob;
mod guard;
mod key;
mod keyring;
mod policy;
mod private;
mod seal;
mod store;

pub use guard::{Guard, GuardSettings};
pub use key::{ConsumerName, InvalidConsumerName, Key, NewKey};
pub use keyring::Keyring;
pub use policy::{InvalidRule, Policy, Rule};
pub use store::{Created, FOLDER, Store, StoreError};
