//! What the fuzzers share: running a file or a request, and changing one so that it stays nearly right.

#[cfg(feature = "onnx")]
pub mod onnx;
#[cfg(feature = "requests")]
pub mod requests;
pub mod tree;
