//! What computes, and where.

#[cfg(feature = "cpu")]
#[cfg_attr(docsrs, doc(cfg(feature = "cpu")))]
pub mod burn;
mod device;

pub use device::{Device, WgpuAdapter};
