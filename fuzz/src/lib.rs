//! What the fuzzers share: running a file, a request or an import, opening a registry, and changing
//! one so that it stays nearly right.

pub mod bytes;
#[cfg(feature = "registry")]
pub mod layouts;
#[cfg(feature = "onnx")]
pub mod onnx;
#[cfg(feature = "registry")]
pub mod registry;
#[cfg(feature = "requests")]
pub mod requests;
pub mod tree;
