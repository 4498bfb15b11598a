//! The invocation table: captured calls as columns, for whoever asks questions of many calls at once.
//!
//! ```text
//! {to}/invocations/endpoint=churn/date=2026-11-26/hour=14/part-….parquet    a row for each call
//! {to}/rows/endpoint=churn/date=2026-11-26/hour=14/part-….parquet           a row for each row of a call, decoded
//! ```
//! Parts are made of a journal segment by the archive ([`Parquet`]), or of captured objects ([`export`]); small ones of an
//! hour that is over are merged ([`compact`]).
//!
//! Invariant: every call is a row of `invocations` and at least one of `rows`, in exactly one part each, whatever its
//! bodies hold; the bytes of a part are a function of its records and the plan.
//! Refuses to: guess types. What a model does not tell is not decoded; the bodies are there as they travelled.

mod call;
mod captured;
mod columns;
pub mod compact;
pub mod export;
mod file;
mod layout;
pub mod lines;
mod merging;
pub mod refill;
mod renderer;
mod rows;
mod signature;
mod typed;

pub use layout::Kind;
pub use renderer::Parquet;

#[cfg(test)]
mod tests;
