//! Models that run inside this process.

pub(crate) mod onnx;
