//! What is kept of personal data: rules by which it leaves exchanges before they are records, and keys of the people that
//! calls are about, which are destroyed when they ask.
//!
//! Invariant: what rules cannot be applied to is not kept. Nothing that a rule takes out is in an error, a log or a file.
//! Refuses to: know HTTP, what a model means, and who may ask.

mod action;
mod csv;
mod erasure;
mod evidence;
mod failed;
mod files;
mod holds;
mod json;
mod master;
mod plan;
mod pointer;
mod redactor;
mod retention;
mod rules;
mod scan;
mod sealed;
mod vault;
mod walk;

pub use action::Action;
pub use erasure::{EVENTS_MAX, EraseError, Eraser, Erasure, State, verify};
pub use evidence::{Evidence, Moment};
pub use failed::Failed;
pub use holds::{Held, Hold, HoldError, Holds, Released};
pub use master::{Master, MasterError};
pub use redactor::{Outcome, Redactor, Secrets, Step};
pub use retention::{Retention, Round, Terms};
pub use rules::{RuleSet, rules_of};
pub use sealed::KeyService;
pub use vault::{KeyFact, Opener, Vault, VaultError};
