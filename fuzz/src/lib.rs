//! What the fuzzers share: running a file or a request, opening a registry, and changing one so
//! that it stays nearly right.

#[cfg(feature = "onnx")]
pub mod onnx;
#[cfg(feature = "registry")]
pub mod registry;
#[cfg(feature = "requests")]
pub mod requests;
pub mod text;
pub mod tree;
