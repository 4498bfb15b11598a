//! Models that run inside this process.

pub(crate) mod onnx;
mod sniff;
pub mod trees;

pub use sniff::{ModelFormat, sniff};
