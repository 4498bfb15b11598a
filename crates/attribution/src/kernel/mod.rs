//! Kernel SHAP: what each feature of a record adds to a prediction.
//!
//! ```text
//! features ── Coalitions::draw ──▶ subsets with weights ── a model answers each ──▶ gains ── attributions ──▶ Shapley values
//! ```
//! A subset of the features is a record that has the explained values there and a baseline's elsewhere. Where every subset
//! is asked, the answer is exact; else it is the weighted least-squares fit over the subsets that were drawn.
//!
//! Invariant: attributions add up to the whole gain (local accuracy), however few subsets were drawn. The same features,
//! budget and seed give the same subsets.
//! Refuses to: know models, records and requests. It is arithmetic.
//!
//! S. M. Lundberg, S.-I. Lee, "A unified approach to interpreting model predictions", NeurIPS 2017; the closed form of the
//! constrained fit is that of I. Covert, S.-I. Lee, "Improving KernelSHAP", AISTATS 2021.

mod coalitions;
mod deviation;
mod solve;
#[cfg(test)]
mod tests;

pub use self::coalitions::{Coalitions, subsets};
pub use self::deviation::deviations;
pub use self::solve::attributions;
