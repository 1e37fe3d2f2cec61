//! CUDA devices. The driver (`libcuda`) is loaded at run time; no CUDA toolkit is needed to build.

use ::burn::tensor::{Device as BurnDevice, DeviceType};
use mlops_core::{Error, Result};

use super::{AvailableDevice, guarded, listed, probe};
use crate::engine::Device;

pub(super) fn open(index: usize) -> Result<BurnDevice> {
    let device = Device::Cuda(index);
    let devices = available();
    if devices.is_empty() {
        let what = format!("`{device}` cannot be opened: no NVIDIA driver (libcuda) with a device was found");
        return Err(Error::unavailable(what));
    }
    if index >= devices.len() {
        return Err(Error::unavailable(format!("there is no `{device}`; there are {}", listed(&devices))));
    }
    let opened = guarded(&device, || BurnDevice::cuda(index))?;
    probe(&device, &opened)?;
    Ok(opened)
}

pub(super) fn available() -> Vec<AvailableDevice> {
    let count = guarded(&Device::Cuda(0), || BurnDevice::enumerate(DeviceType::Cuda).into_vec().len());
    (0..count.unwrap_or(0))
        .map(|index| AvailableDevice { device: Device::Cuda(index), name: "CUDA".to_owned() })
        .collect()
}
