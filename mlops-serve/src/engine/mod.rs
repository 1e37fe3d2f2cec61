//! What computes, and where.

#[cfg(feature = "burn")]
#[cfg_attr(docsrs, doc(cfg(any(feature = "cpu", feature = "wgpu", feature = "cuda"))))]
pub mod burn;
mod device;
#[cfg(feature = "onnx")]
#[cfg_attr(docsrs, doc(cfg(feature = "onnx")))]
pub mod onnx;

pub use device::{Device, WgpuAdapter};
