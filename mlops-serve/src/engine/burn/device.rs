//! Where an engine computes: a value, always chosen, never guessed.

use std::fmt;
use std::str::FromStr;

use mlops_core::{Error, Result};

/// A device an engine computes on.
///
/// Cargo features only make devices available; which one is used is a value, so one binary serves them all.
///
/// ```
/// use mlops_serve::engine::burn::Device;
///
/// assert_eq!("cpu".parse::<Device>()?, Device::Cpu);
/// assert_eq!(Device::Cpu.to_string(), "cpu");
/// let error = "gpu".parse::<Device>().unwrap_err().to_string();
/// assert_eq!(error, "invalid input: there is no device `gpu` in this build; there is `cpu`");
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Device {
    /// The processor, by burn's flex backend: SIMD kernels, parallel by rayon.
    Cpu,
}

impl Device {
    /// The burn device, for making modules and tensors on it.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the device is not there.
    pub fn open(self) -> Result<::burn::tensor::Device> {
        match self {
            Self::Cpu => Ok(::burn::tensor::Device::flex()),
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
        }
    }
}

impl FromStr for Device {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "cpu" => Ok(Self::Cpu),
            other => {
                let shown: String = other.chars().take(80).collect();
                Err(Error::invalid_input(format!(
                    "there is no device `{shown}` in this build; there is `cpu`"
                )))
            }
        }
    }
}
