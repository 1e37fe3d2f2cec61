//! What computes, and where.

#[cfg(feature = "burn")]
#[cfg_attr(docsrs, doc(cfg(any(feature = "cpu", feature = "wgpu", feature = "cuda"))))]
pub mod burn;
mod device;

pub use device::{Device, WgpuAdapter};
