//! Where an engine computes: a value, always chosen, never guessed.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use mlops_core::{Error, Result};

/// A device an engine computes on.
///
/// Cargo features only make devices available; which one is used is a value, so one binary serves them all.
/// Any device can be named in any build. Whether this build and this machine have it is found out when it is opened.
///
/// | text | device |
/// |---|---|
/// | `cpu` | the processor |
/// | `cuda`, `cuda:1` | an NVIDIA GPU by its CUDA number, 0 where none is given |
/// | `wgpu` | the fastest kind of GPU that Vulkan, Metal, DirectX or WebGPU finds |
/// | `wgpu:1` | that adapter of the list |
/// | `wgpu:llvmpipe` | the first adapter whose name contains the text, in any case |
///
/// ```
/// use mlops_serve::engine::Device;
///
/// assert_eq!("cpu".parse::<Device>()?, Device::Cpu);
/// assert_eq!("cuda".parse::<Device>()?.to_string(), "cuda:0");
/// assert_eq!("wgpu:RTX 4090".parse::<Device>()?.to_string(), "wgpu:RTX 4090");
/// let error = "gpu".parse::<Device>().unwrap_err().to_string();
/// assert_eq!(error, "invalid input: there is no device `gpu`; there are `cpu`, `cuda`, `cuda:0`, `wgpu`, `wgpu:0`, `wgpu:NAME`");
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Device {
    /// The processor.
    Cpu,
    /// A GPU (or a software one) by Vulkan, Metal, DirectX 12 or WebGPU. Feature `wgpu`.
    Wgpu(WgpuAdapter),
    /// An NVIDIA GPU by its CUDA number. Feature `cuda`.
    Cuda(usize),
}

/// Which of the adapters that wgpu finds.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct WgpuAdapter(Choice);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Choice {
    Best,
    Index(usize),
    Named(Arc<str>),
}

impl WgpuAdapter {
    /// A discrete GPU before an integrated one, that before a virtual one, that before a software one.
    #[must_use]
    pub fn best() -> Self {
        Self(Choice::Best)
    }

    /// The adapter of that number, counted from 0 in the order in which wgpu lists them. The order is that
    /// of the drivers: stable on one machine, not between machines.
    #[must_use]
    pub fn index(index: usize) -> Self {
        Self(Choice::Index(index))
    }

    /// The first adapter whose name contains `text`, in any case.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when `text` is blank, or a number, which would be an [index](Self::index).
    pub fn named(text: &str) -> Result<Self> {
        let text = text.trim();
        if text.is_empty() {
            return Err(Error::invalid_input("a wgpu adapter is named by part of its name, which is empty"));
        }
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            let what = format!("`{text}` is the number of a wgpu adapter, not part of a name");
            return Err(Error::invalid_input(what));
        }
        Ok(Self(Choice::Named(text.into())))
    }

    #[cfg(feature = "wgpu")]
    pub(crate) fn as_index(&self) -> Option<usize> {
        if let Choice::Index(index) = self.0 { Some(index) } else { None }
    }

    #[cfg(feature = "wgpu")]
    pub(crate) fn as_name(&self) -> Option<&str> {
        if let Choice::Named(text) = &self.0 { Some(text) } else { None }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(index) => write!(f, "cuda:{index}"),
            Self::Wgpu(WgpuAdapter(Choice::Best)) => f.write_str("wgpu"),
            Self::Wgpu(WgpuAdapter(Choice::Index(index))) => write!(f, "wgpu:{index}"),
            Self::Wgpu(WgpuAdapter(Choice::Named(text))) => write!(f, "wgpu:{text}"),
        }
    }
}

impl FromStr for Device {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let (kind, which) =
            name.split_once(':').map_or((name, None), |(kind, which)| (kind, Some(which.trim())));
        let number = which.and_then(|which| which.parse::<usize>().ok());
        match (kind, which, number) {
            ("cpu", None, _) => Ok(Self::Cpu),
            ("cuda", None, _) => Ok(Self::Cuda(0)),
            ("cuda", Some(_), Some(index)) => Ok(Self::Cuda(index)),
            ("wgpu", None, _) => Ok(Self::Wgpu(WgpuAdapter::best())),
            ("wgpu", Some(_), Some(index)) => Ok(Self::Wgpu(WgpuAdapter::index(index))),
            ("wgpu", Some(text), None) => WgpuAdapter::named(text).map(Self::Wgpu),
            _ => {
                let shown: String = name.chars().take(80).collect();
                Err(Error::invalid_input(format!(
                    "there is no device `{shown}`; there are `cpu`, `cuda`, `cuda:0`, `wgpu`, `wgpu:0`, `wgpu:NAME`"
                )))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_read_and_written() {
        for (text, device, written) in [
            ("cpu", Device::Cpu, "cpu"),
            ("cuda", Device::Cuda(0), "cuda:0"),
            ("cuda:3", Device::Cuda(3), "cuda:3"),
            ("wgpu", Device::Wgpu(WgpuAdapter::best()), "wgpu"),
            ("wgpu:1", Device::Wgpu(WgpuAdapter::index(1)), "wgpu:1"),
            ("wgpu: llvmpipe ", Device::Wgpu(WgpuAdapter::named("llvmpipe").unwrap()), "wgpu:llvmpipe"),
            ("wgpu:a:b", Device::Wgpu(WgpuAdapter::named("a:b").unwrap()), "wgpu:a:b"),
        ] {
            assert_eq!(text.parse::<Device>().unwrap(), device);
            assert_eq!(device.to_string(), written);
        }
    }

    #[test]
    fn what_is_no_device_is_refused() {
        let too_large = format!("wgpu:{}0", usize::MAX);
        for text in ["", "CPU", "gpu", "cpu:0", "cuda:", "cuda:x", "cuda:-1", "wgpu:", "wgpu:  ", &too_large]
        {
            assert!(matches!(text.parse::<Device>(), Err(Error::InvalidInput(_))), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_read_is_written_and_read_again(text in "(cpu|cuda|wgpu)?:?.{0,6}") {
            if let Ok(device) = text.parse::<Device>() {
                prop_assert_eq!(device.to_string().parse::<Device>().unwrap(), device);
            }
        }
    }
}
