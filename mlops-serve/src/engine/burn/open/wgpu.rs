//! Adapters that wgpu finds: chosen by us, set up by burn with the features its shaders need.

use std::pin::pin;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};

use ::burn::tensor::wgpu::{WgpuBackend, wgpu};
use ::burn::tensor::{Device as BurnDevice, DeviceKind};
use mlops_core::{Error, Result};

use super::{AvailableDevice, broken, guarded, listed, probe};
use crate::engine::device::{Device, WgpuAdapter};

/// An adapter in burn's terms: burn counts the adapters of each kind for themselves.
#[derive(Debug, Clone)]
struct Adapter {
    name: String,
    kind: DeviceKind,
    api: WgpuBackend,
    described: String,
}

/// One burn device per adapter for the life of the process, because burn sets an adapter up only once.
static OPENED: Mutex<Vec<(DeviceKind, WgpuBackend, BurnDevice)>> = Mutex::new(Vec::new());

pub(super) fn open(wanted: &WgpuAdapter) -> Result<BurnDevice> {
    // Held over the set-up, so that two threads do not race to it.
    let mut opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
    let device = Device::Wgpu(wanted.clone());
    let adapter = choose(wanted, &device, guarded(&device, adapters)?)?;
    let known = opened.iter().find(|(kind, api, _)| *kind == adapter.kind && *api == adapter.api);
    let burn_device = match known {
        Some((_, _, known)) => known.clone(),
        None => {
            let fresh = set_up(&device, &adapter)?;
            opened.push((adapter.kind, adapter.api, fresh.clone()));
            fresh
        }
    };
    drop(opened);
    probe(&device, &burn_device)?;
    Ok(burn_device)
}

pub(super) fn available() -> Vec<AvailableDevice> {
    let _one_at_a_time = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
    let adapters = guarded(&Device::Wgpu(WgpuAdapter::best()), adapters);
    described(&adapters.unwrap_or_default())
}

fn described(adapters: &[Adapter]) -> Vec<AvailableDevice> {
    adapters
        .iter()
        .enumerate()
        .map(|(index, adapter)| AvailableDevice {
            device: Device::Wgpu(WgpuAdapter::index(index)),
            name: adapter.described.clone(),
        })
        .collect()
}

fn choose(wanted: &WgpuAdapter, device: &Device, adapters: Vec<Adapter>) -> Result<Adapter> {
    if adapters.is_empty() {
        return Err(Error::unavailable(format!(
            "`{device}` cannot be opened: no driver for Vulkan, Metal or DirectX 12 was found"
        )));
    }
    let position = if let Some(index) = wanted.as_index() {
        Some(index)
    } else if let Some(text) = wanted.as_name() {
        let text = text.to_lowercase();
        adapters.iter().position(|adapter| adapter.name.to_lowercase().contains(&text))
    } else {
        (0..adapters.len()).min_by_key(|&index| preference(&adapters[index].kind))
    };
    let chosen = position.and_then(|position| adapters.get(position)).cloned();
    chosen.ok_or_else(|| {
        Error::unavailable(format!("there is no `{device}`; there are {}", listed(&described(&adapters))))
    })
}

fn preference(kind: &DeviceKind) -> u8 {
    match kind {
        DeviceKind::DiscreteGpu(_) => 0,
        DeviceKind::IntegratedGpu(_) => 1,
        DeviceKind::VirtualGpu(_) => 2,
        _ => 3,
    }
}

fn set_up(device: &Device, adapter: &Adapter) -> Result<BurnDevice> {
    let options = BurnDevice::wgpu_options().device_kind(adapter.kind.clone()).graphics_api(adapter.api);
    let (burn_device, setup) =
        guarded(device, || options.init_with_setup())?.map_err(|cause| broken(device, &cause.to_string()))?;
    let got = setup.adapter.get_info().name;
    if got != adapter.name {
        return Err(broken(device, &format!("burn set up `{got}` instead")));
    }
    Ok(burn_device)
}

/// What the drivers have, in their order, the graphics interfaces one after another.
fn adapters() -> Vec<Adapter> {
    // Kept, because the Vulkan loader does not stand instances that come and go on several threads.
    static INSTANCE: OnceLock<wgpu::Instance> = OnceLock::new();
    let instance = INSTANCE.get_or_init(|| {
        wgpu::Instance::new(wgpu::InstanceDescriptor {
            backends: wgpu::Backends::VULKAN | wgpu::Backends::METAL | wgpu::Backends::DX12,
            ..wgpu::InstanceDescriptor::new_without_display_handle()
        })
    });
    let mut found = Vec::new();
    for api in [WgpuBackend::Vulkan, WgpuBackend::Metal, WgpuBackend::Dx12] {
        let (backends, api_name) = match api {
            WgpuBackend::Metal => (wgpu::Backends::METAL, "Metal"),
            WgpuBackend::Dx12 => (wgpu::Backends::DX12, "DirectX 12"),
            _ => (wgpu::Backends::VULKAN, "Vulkan"),
        };
        let mut counts = [0_usize; 3];
        let mut count = |kind: usize| {
            counts[kind] += 1;
            counts[kind] - 1
        };
        let mut software = false;
        for info in now(instance.enumerate_adapters(backends)).iter().map(wgpu::Adapter::get_info) {
            let (kind, kind_name) = match info.device_type {
                wgpu::DeviceType::DiscreteGpu => (DeviceKind::DiscreteGpu(count(0)), "discrete"),
                wgpu::DeviceType::IntegratedGpu => (DeviceKind::IntegratedGpu(count(1)), "integrated"),
                wgpu::DeviceType::VirtualGpu => (DeviceKind::VirtualGpu(count(2)), "virtual"),
                // burn reaches one software adapter for each interface, and none of unknown kind.
                wgpu::DeviceType::Cpu if !software => {
                    software = true;
                    (DeviceKind::Cpu, "software")
                }
                _ => continue,
            };
            let described = format!("{}, {kind_name}, {api_name}", info.name);
            found.push(Adapter { name: info.name, kind, api, described });
        }
    }
    found
}

/// Adapters are listed at once everywhere but in a browser.
fn now<T: Default>(listing: impl Future<Output = T>) -> T {
    match pin!(listing).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(listed) => listed,
        Poll::Pending => T::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn adapter(name: &str, kind: DeviceKind) -> Adapter {
        Adapter { name: name.to_owned(), kind, api: WgpuBackend::Vulkan, described: name.to_owned() }
    }

    fn chosen(text: &str) -> Result<String> {
        let device: Device = text.parse()?;
        let Device::Wgpu(wanted) = &device else { panic!("{device} is no wgpu device") };
        let adapters = vec![
            adapter("llvmpipe (LLVM 15)", DeviceKind::Cpu),
            adapter("Iris Xe", DeviceKind::IntegratedGpu(0)),
            adapter("GeForce RTX 4090", DeviceKind::DiscreteGpu(0)),
        ];
        choose(wanted, &device, adapters).map(|adapter| adapter.name)
    }

    #[test]
    fn the_best_the_numbered_or_the_named_adapter_is_chosen() {
        assert_eq!(chosen("wgpu").unwrap(), "GeForce RTX 4090");
        assert_eq!(chosen("wgpu:1").unwrap(), "Iris Xe");
        assert_eq!(chosen("wgpu:LLVMPIPE").unwrap(), "llvmpipe (LLVM 15)");
    }

    #[test]
    fn what_is_not_there_is_answered_with_what_is() {
        for text in ["wgpu:3", "wgpu:radeon"] {
            let error = chosen(text).unwrap_err();
            assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
            assert!(
                error.to_string().contains("there are wgpu:0 (llvmpipe (LLVM 15)), wgpu:1 (Iris Xe)"),
                "{error}"
            );
        }
        let none = choose(&WgpuAdapter::best(), &"wgpu".parse().unwrap(), Vec::new()).unwrap_err();
        assert!(none.to_string().contains("no driver for Vulkan"), "{none}");
    }
}
