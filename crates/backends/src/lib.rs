//! Ways to run a model.
//!
//! Invariant: a backend answers every call once, or says why not; a request that does not suit the model is refused in
//! words that name the column. Refuses to: know which endpoint it serves, capture, or speak AWS.
