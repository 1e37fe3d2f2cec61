//! Opening devices for burn.

#[cfg(feature = "cuda")]
mod cuda;
#[cfg(feature = "wgpu")]
mod wgpu;

use std::fmt;
#[cfg(any(feature = "cuda", feature = "wgpu"))]
use std::panic::{AssertUnwindSafe, catch_unwind};

#[cfg(not(all(feature = "cpu", feature = "cuda", feature = "wgpu")))]
use mlops_core::Error;
use mlops_core::Result;

use crate::engine::Device;

impl Device {
    /// The burn device, for making modules and tensors on it.
    ///
    /// Opening a device twice gives the same burn device, from whatever thread. A GPU is asked to compute
    /// something first, so what is wrong with its driver is found out here and not in the first request.
    ///
    /// # Errors
    /// [`Error::Unsupported`](mlops_core::Error::Unsupported) when this build is without the feature of that device;
    /// [`Error::Unavailable`](mlops_core::Error::Unavailable) when the machine is without the device or its driver,
    /// or the driver is broken, with the devices that are there.
    pub fn open(&self) -> Result<::burn::tensor::Device> {
        match self {
            #[cfg(feature = "cpu")]
            Self::Cpu => Ok(::burn::tensor::Device::flex()),
            #[cfg(not(feature = "cpu"))]
            Self::Cpu => {
                Err(Error::unsupported("this build has no burn on the CPU: enable the feature `cpu`"))
            }
            #[cfg(feature = "wgpu")]
            Self::Wgpu(adapter) => wgpu::open(adapter),
            #[cfg(not(feature = "wgpu"))]
            Self::Wgpu(_) => Err(Error::unsupported("this build has no wgpu: enable the feature `wgpu`")),
            #[cfg(feature = "cuda")]
            Self::Cuda(index) => cuda::open(*index),
            #[cfg(not(feature = "cuda"))]
            Self::Cuda(_) => Err(Error::unsupported("this build has no CUDA: enable the feature `cuda`")),
        }
    }

    /// What this build finds on this machine. It asks the drivers, but opens nothing.
    #[must_use]
    pub fn available() -> Vec<AvailableDevice> {
        [
            #[cfg(feature = "cpu")]
            vec![AvailableDevice { device: Self::Cpu, name: "the processor".to_owned() }],
            #[cfg(feature = "cuda")]
            cuda::available(),
            #[cfg(feature = "wgpu")]
            wgpu::available(),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

/// A device that is there, as [`Device::available`] lists it: `wgpu:0 (llvmpipe, software, Vulkan)`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AvailableDevice {
    /// The device, to be opened.
    pub device: Device,
    /// What its driver calls it, for people.
    pub name: String,
}

impl fmt::Display for AvailableDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.device, self.name)
    }
}

/// The list in the words of an error.
#[cfg(any(feature = "cuda", feature = "wgpu"))]
fn listed(devices: &[AvailableDevice]) -> String {
    devices.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Has the device compute 1 + 1. Drivers that are broken, lost or out of memory panic or fail here.
#[cfg(any(feature = "cuda", feature = "wgpu"))]
fn probe(device: &Device, opened: &::burn::tensor::Device) -> Result<()> {
    let sum = guarded(device, || {
        let one = ::burn::tensor::Tensor::<1>::from_data([1.0_f32], opened);
        one.add_scalar(1.0).try_into_vec_as::<f32>().map_err(|cause| cause.to_string())
    })?;
    match sum {
        Ok(sum) if sum == [2.0] => Ok(()),
        Ok(other) => Err(broken(device, &format!("1 + 1 gave {other:?}"))),
        Err(cause) => Err(broken(device, &cause)),
    }
}

/// Panics of driver bindings as errors.
#[cfg(any(feature = "cuda", feature = "wgpu"))]
fn guarded<T>(device: &Device, work: impl FnOnce() -> T) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work))
        .map_err(|payload| broken(device, &mlops_core::Error::panicked(&*payload).to_string()))
}

#[cfg(any(feature = "cuda", feature = "wgpu"))]
fn broken(device: &Device, cause: &str) -> mlops_core::Error {
    mlops_core::Error::unavailable(format!("`{device}` is there, but cannot be used: {cause}"))
}
