//! Access keys and every other way to prove who one is, and what each may do.
//!
//! A key is an id that everyone may see, a secret that only its holder has, the consumer whose it is, and a policy.
//! [`Store`] keeps them in the data directory; the command line changes them there, and a running server's [`Guard`]
//! notices. An API key is a key that is sent instead of signed with; of it only a digest is kept. Bearer tokens are held
//! against the public keys of their issuers, certificates and proxies are known by the connection.
//! The guard answers one question, for every request before it is routed: who is this, and may they?
//!
//! Invariant: secrets are encrypted on the disk, in files that only their owner can read, and are in no log, no error and
//! no `Debug`; an unknown key costs a caller the same time as a wrong secret.
//! Refuses to: know HTTP, route anything, or open a file that others can read.

mod attempts;
mod glob;
mod guard;
mod key;
mod keyring;
mod network;
mod policy;
mod private;
mod registry;
mod seal;
mod store;
mod token;

pub use guard::{Guard, GuardSettings, Proxy};
pub use key::{ConsumerName, InvalidConsumerName, Key, Kind, NewKey};
pub use keyring::Keyring;
pub use network::{InvalidNetwork, Network};
pub use policy::{InvalidRule, Policy, Rule};
pub use registry::{InvalidRegistry, RegisteredConsumer, Registry};
pub use store::{Created, FOLDER, Store, StoreError};
pub use token::{InvalidKeySet, Issuer, KEY_SET_MAX_BYTES, KeySet, Renewal, TokenRule};
