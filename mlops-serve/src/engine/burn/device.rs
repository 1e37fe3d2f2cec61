//! Opening devices for burn.

use mlops_core::{Error, Result};

use crate::engine::Device;

impl Device {
    /// The burn device, for making modules and tensors on it.
    ///
    /// # Errors
    /// [`Error::Unsupported`] when this build is without the feature of that device.
    pub fn open(&self) -> Result<::burn::tensor::Device> {
        match self {
            Self::Cpu => Ok(::burn::tensor::Device::flex()),
            Self::Wgpu(_) => Err(Error::unsupported("this build has no wgpu: enable the feature `wgpu`")),
            Self::Cuda(_) => Err(Error::unsupported("this build has no cuda: enable the feature `cuda`")),
        }
    }
}
