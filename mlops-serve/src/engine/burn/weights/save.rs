//! Weights as bytes, for artifacts of a registry and for other tools.

use std::collections::{BTreeMap, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};

use ::burn::store::{BurnToPyTorchAdapter, BurnpackStore, ModuleSnapshot, bridge};
use ::burn::tensor::{BoolStore, DType, TensorData};
use bytes::Bytes;
use mlops_core::{Error, Result};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, serialize};

/// The weights of a module in burn's own format (burnpack).
///
/// # Errors
/// [`Error::Engine`] when a weight cannot be read from its device.
pub fn save_burnpack<M: ModuleSnapshot>(module: &M) -> Result<Bytes> {
    let failed = |cause| Error::engine(format!("the weights cannot be written as burnpack: {cause}"));
    guarded(|| {
        let mut store = BurnpackStore::from_bytes(None);
        module.save_into(&mut store).map_err(failed)?;
        Ok(Bytes::from(store.get_bytes().map_err(failed)?.to_vec()))
    })
}

/// The weights of a module as safetensors in the layout of PyTorch, which other tools read, and so does
/// [`Weights`](super::Weights).
///
/// # Errors
/// [`Error::Engine`] when a weight cannot be read from its device; [`Error::Unsupported`] when it is quantized,
/// or two weights have one name once the variants of enums are left out, as PyTorch does.
pub fn save_safetensors<M: ModuleSnapshot>(module: &M) -> Result<Bytes> {
    guarded(|| {
        let mut tensors: BTreeMap<String, (Dtype, TensorData)> = BTreeMap::new();
        for tensor in module.collect(None, Some(Box::new(BurnToPyTorchAdapter)), true) {
            let name = tensor.name.clone();
            let data = bridge::into_data(tensor).map_err(|cause| {
                Error::engine(format!("`{name}` cannot be read from its device: {cause}"))
            })?;
            let data = if data.dtype().is_bool() {
                data.convert_dtype(DType::Bool(BoolStore::Native))
            } else {
                data
            };
            let dtype = dtype(data.dtype()).ok_or_else(|| {
                Error::unsupported(format!("safetensors have no type for {:?} of `{name}`", data.dtype()))
            })?;
            if tensors.insert(name.clone(), (dtype, data)).is_some() {
                return Err(Error::unsupported(format!(
                    "two weights would be called `{name}` in safetensors"
                )));
            }
        }
        let failed = |cause| Error::engine(format!("the weights cannot be written as safetensors: {cause}"));
        let views = tensors
            .iter()
            .map(|(name, (dtype, data))| {
                let shape = data.shape().as_slice().to_vec();
                Ok((name.as_str(), TensorView::new(*dtype, shape, data.as_bytes()).map_err(failed)?))
            })
            .collect::<Result<Vec<_>>>()?;
        // What PyTorch's own writer says, and readers of its ecosystem ask for.
        let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
        serialize(views, Some(metadata)).map(Bytes::from).map_err(failed)
    })
}

fn guarded(save: impl FnOnce() -> Result<Bytes>) -> Result<Bytes> {
    catch_unwind(AssertUnwindSafe(save)).unwrap_or_else(|payload| Err(Error::panicked(&*payload)))
}

fn dtype(dtype: DType) -> Option<Dtype> {
    Some(match dtype {
        DType::F64 => Dtype::F64,
        DType::F32 | DType::Flex32 => Dtype::F32,
        DType::F16 => Dtype::F16,
        DType::BF16 => Dtype::BF16,
        DType::I64 => Dtype::I64,
        DType::I32 => Dtype::I32,
        DType::I16 => Dtype::I16,
        DType::I8 => Dtype::I8,
        DType::U64 => Dtype::U64,
        DType::U32 => Dtype::U32,
        DType::U16 => Dtype::U16,
        DType::U8 => Dtype::U8,
        DType::Bool(BoolStore::Native) => Dtype::BOOL,
        DType::Bool(_) | DType::QFloat(_) => return None,
    })
}
