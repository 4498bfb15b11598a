//! The control plane: intents become rows, reconcilers make reality follow, and a new route table is published.
//!
//! Invariant: an answered intent is in the catalog; a reconciler takes no arguments and is safe to run twice.
//! Refuses to: sit in the path of an invocation, import the gateway, keep rules in the HTTP layer.
