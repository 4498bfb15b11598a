//! Reconcilers: each compares what is intended with what is, takes no arguments, and is safe to run twice.

mod component_rollout;
pub(crate) mod endpoint;
pub(crate) mod inference_component;
pub(crate) mod loads;
pub(crate) mod managed;
pub(crate) mod monitoring;
pub(crate) mod processing_job;
mod rollback;
mod scaling;
mod traffic;
