//! From stored tensors into the parameters of a module.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use ::burn::module::{Module, ModuleMapper, Param, ParamId};
use ::burn::store::burn_pack::Tensor as Stored;
use ::burn::store::{IdentityAdapter, ModuleAdapter, ModuleContext, PyTorchToBurnAdapter, bridge};
use ::burn::tensor::kind::Basic;
use ::burn::tensor::{Bool, DType, Device, Element, Int, Shape, Tensor, TensorData};
use half::{bf16, f16};
use mlops_core::{Error, Result};

use super::report::{Fault, Report};
use super::source::StoredTensors;
use super::{Layout, Options};

/// The module with the stored tensors in it, or everything that hinders it.
pub(super) fn fill<M: Module>(module: M, stored: StoredTensors, options: &Options) -> Result<M> {
    let StoredTensors { tensors: list, layout, format } = stored;
    let mut tensors = BTreeMap::new();
    for tensor in list {
        if let Some(twice) = tensors.insert(tensor.name.clone(), tensor) {
            let name = twice.name;
            return Err(Error::invalid_input(format!(
                "two tensors are called `{name}` once they are renamed"
            )));
        }
    }
    let adapter: Box<dyn ModuleAdapter> = match layout {
        Layout::Burn => Box::new(IdentityAdapter),
        Layout::Pytorch => Box::new(PyTorchToBurnAdapter),
    };
    let mut filling = Filling {
        tensors,
        adapter,
        options,
        used: BTreeSet::new(),
        path: Vec::new(),
        containers: Vec::new(),
        report: Report::new(format),
    };
    let module = module.map(&mut filling);
    filling.into_report().into_result(module, options)
}

/// A walk over a module that exchanges its parameters.
struct Filling<'a> {
    tensors: BTreeMap<String, Stored>,
    adapter: Box<dyn ModuleAdapter>,
    options: &'a Options,
    used: BTreeSet<String>,
    /// The names from the module to the present parameter, and whether each is that of an enum's variant.
    path: Vec<(String, bool)>,
    /// The types from the module to the present parameter, in the words of adapters.
    containers: Vec<String>,
    report: Report,
}

/// The kinds of tensors, which never turn into one another.
#[derive(Clone, Copy)]
enum Kind {
    Float,
    Int,
    Bool,
}

impl Kind {
    fn holds(self, dtype: DType) -> bool {
        match self {
            Self::Float => dtype.is_float() || matches!(dtype, DType::QFloat(_)),
            Self::Int => dtype.is_int() || dtype.is_uint(),
            // Formats without booleans keep them as integers.
            Self::Bool => dtype.is_bool() || matches!(dtype, DType::U8 | DType::U32),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Float => "floats",
            Self::Int => "integers",
            Self::Bool => "booleans",
        }
    }
}

impl Filling<'_> {
    /// The tensor for the present parameter, with the identity it was stored under.
    fn tensor<const D: usize, K: Basic>(
        &mut self,
        kind: Kind,
        device: &Device,
        shape: &Shape,
    ) -> Option<(Tensor<D, K>, Option<ParamId>)> {
        let path = self.joined(true);
        let Some(stored) = self.find() else {
            self.report.add(path, Fault::Missing);
            return None;
        };
        let id = stored.param_id.map(ParamId::from);
        match self.read(kind, device, shape, &path, stored) {
            Ok(data) => {
                let dtype = data.dtype();
                Some((Tensor::from_data(data, (device, dtype)), id))
            }
            Err(fault) => {
                self.report.add(path, fault);
                None
            }
        }
    }

    /// Takes the tensor under the parameter's name, with or without the variants of enums, or the name that the
    /// layout of the file has for it.
    fn find(&mut self) -> Option<Stored> {
        let parameter = self.path.last().map_or("", |(name, _)| name);
        let context = ModuleContext::new(&self.containers);
        let other = context
            .module_type()
            .and_then(|module| self.adapter.get_alternative_param_name(parameter, module));
        for path in [self.joined(true), self.joined(false)] {
            let parent = path.strip_suffix(parameter).unwrap_or_default();
            let candidates = [Some(path.clone()), other.as_ref().map(|other| format!("{parent}{other}"))];
            for name in candidates.into_iter().flatten() {
                if let Some(found) = self.tensors.get(&name).cloned() {
                    self.used.insert(name);
                    return Some(found);
                }
            }
        }
        None
    }

    /// Reads the tensor, after all that can be known of it before has been found right.
    fn read(
        &self,
        kind: Kind,
        device: &Device,
        shape: &Shape,
        path: &str,
        mut stored: Stored,
    ) -> std::result::Result<TensorData, Fault> {
        let in_file = stored.shape.as_slice().to_vec();
        path.clone_into(&mut stored.name);
        let stored = self.adapter.adapt(stored, ModuleContext::new(&self.containers));
        if !kind.holds(stored.dtype) {
            return Err(Fault::Kind { expected: kind.name(), found: format!("{:?}", stored.dtype) });
        }
        if stored.shape != *shape {
            return Err(Fault::Shape { expected: shape.as_slice().to_vec(), found: in_file });
        }
        let data = bridge::into_data(stored).map_err(|cause| Fault::Unreadable(cause.to_string()))?;
        // A copy of its own, so that no file stays mapped for the life of the module.
        let data = TensorData::from_bytes_vec(data.as_bytes().to_vec(), data.shape().clone(), data.dtype());
        let (stored, settings) = (data.dtype(), device.settings());
        let target = match kind {
            _ if self.options.stored_precision || matches!(stored, DType::QFloat(_)) => stored,
            Kind::Float => settings.float_dtype.into(),
            Kind::Int => settings.int_dtype.into(),
            Kind::Bool => stored,
        };
        let data = match kind {
            _ if target == stored => data,
            Kind::Int => narrowed(data, target)?,
            Kind::Float | Kind::Bool => data.convert_dtype(target),
        };
        let is_plain_float = data.dtype().is_float() && !matches!(data.dtype(), DType::QFloat(_));
        let checked = is_plain_float && !self.options.allow_not_finite;
        if let Some(index) = checked.then(|| not_finite(&data)).flatten() {
            return Err(Fault::NotFinite { index, dtype: format!("{:?}", data.dtype()) });
        }
        Ok(data)
    }

    fn joined(&self, with_variants: bool) -> String {
        let names = self.path.iter().filter(|(_, is_variant)| with_variants || !is_variant);
        names.map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(".")
    }

    fn into_report(mut self) -> Report {
        for name in self.tensors.into_keys().filter(|name| !self.used.contains(name)) {
            // A counter that PyTorch keeps for training.
            if !name.ends_with("num_batches_tracked") {
                self.report.add(name, Fault::Unexpected);
            }
        }
        self.report
    }
}

/// Integers in another type, when it holds them all.
fn narrowed(data: TensorData, target: DType) -> std::result::Result<TensorData, Fault> {
    fn beyond<T: Element + Into<i128>>(data: &TensorData, range: RangeInclusive<i128>) -> Option<usize> {
        data.as_slice::<T>().ok()?.iter().position(|number| !range.contains(&(*number).into()))
    }
    // The integers that burn's backends compute in.
    let range = match target {
        DType::I64 => i128::from(i64::MIN)..=i128::from(i64::MAX),
        DType::I32 => i128::from(i32::MIN)..=i128::from(i32::MAX),
        _ => return Ok(data),
    };
    let index = match data.dtype() {
        DType::I64 => beyond::<i64>(&data, range),
        DType::U64 => beyond::<u64>(&data, range),
        DType::U32 => beyond::<u32>(&data, range),
        _ => None,
    };
    match index {
        None => Ok(data.convert_dtype(target)),
        Some(index) => Err(Fault::OutOfRange { index, dtype: format!("{target:?}") }),
    }
}

/// The position of the first value that is NaN or infinite.
fn not_finite(data: &TensorData) -> Option<usize> {
    fn first<E: Element>(data: &TensorData, is_finite: fn(&E) -> bool) -> Option<usize> {
        data.as_slice::<E>().ok()?.iter().position(|value| !is_finite(value))
    }
    match data.dtype() {
        DType::F64 => first::<f64>(data, |value| value.is_finite()),
        DType::F32 => first::<f32>(data, |value| value.is_finite()),
        DType::F16 => first::<f16>(data, |value| value.is_finite()),
        DType::BF16 => first::<bf16>(data, |value| value.is_finite()),
        _ => data.iter::<f64>().position(|value| !value.is_finite()),
    }
}

impl ModuleMapper for Filling<'_> {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.path.push((name.to_owned(), container_type.starts_with("Enum:")));
        self.containers.push(container_type.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
        self.containers.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        match self.tensor(Kind::Float, &param.lazy_device(), &param.lazy_shape()) {
            Some((tensor, id)) => {
                let own = param.id;
                param.transform_for_load(tensor, id.unwrap_or(own))
            }
            None => param,
        }
    }

    fn map_int<const D: usize>(&mut self, param: Param<Tensor<D, Int>>) -> Param<Tensor<D, Int>> {
        match self.tensor(Kind::Int, &param.lazy_device(), &param.lazy_shape()) {
            Some((tensor, id)) => {
                let own = param.id;
                param.transform_for_load(tensor, id.unwrap_or(own))
            }
            None => param,
        }
    }

    fn map_bool<const D: usize>(&mut self, param: Param<Tensor<D, Bool>>) -> Param<Tensor<D, Bool>> {
        match self.tensor(Kind::Bool, &param.lazy_device(), &param.lazy_shape()) {
            Some((tensor, id)) => {
                let own = param.id;
                param.transform_for_load(tensor, id.unwrap_or(own))
            }
            None => param,
        }
    }
}
