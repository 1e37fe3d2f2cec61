//! Writing tensors.

use half::{bf16, f16};
use serde::ser::{Error as _, SerializeMap};
use serde::{Serialize, Serializer};

use super::super::{Tensor, TensorError};
use crate::{DType, Element};

impl Serialize for Tensor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(3))?;
        TensorFields(self).write(&mut map)?;
        map.end()
    }
}

/// Writes `shape`, `datatype` and `data` into a map that may have other entries, such as a name.
pub(crate) struct TensorFields<'a>(pub(crate) &'a Tensor);

impl TensorFields<'_> {
    pub(crate) fn write<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        map.serialize_entry("shape", self.0.shape())?;
        map.serialize_entry("datatype", &self.0.dtype())?;
        map.serialize_entry("data", &Data(self.0))
    }
}

struct Data<'a>(&'a Tensor);

impl Serialize for Data<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let tensor = self.0;
        if let Some(index) = tensor.first_not_finite() {
            let value = float_at(tensor, index);
            return Err(S::Error::custom(TensorError::NotFinite { index, value }));
        }
        match tensor.dtype() {
            DType::Bool => elements::<bool, S>(tensor, serializer),
            DType::Uint8 => elements::<u8, S>(tensor, serializer),
            DType::Uint16 => elements::<u16, S>(tensor, serializer),
            DType::Uint32 => elements::<u32, S>(tensor, serializer),
            DType::Uint64 => elements::<u64, S>(tensor, serializer),
            DType::Int8 => elements::<i8, S>(tensor, serializer),
            DType::Int16 => elements::<i16, S>(tensor, serializer),
            DType::Int32 => elements::<i32, S>(tensor, serializer),
            DType::Int64 => elements::<i64, S>(tensor, serializer),
            DType::Fp16 => {
                serializer.collect_seq(slice::<f16, S>(tensor)?.iter().map(|value| value.to_f32()))
            }
            DType::Bf16 => {
                serializer.collect_seq(slice::<bf16, S>(tensor)?.iter().map(|value| value.to_f32()))
            }
            DType::Fp32 => elements::<f32, S>(tensor, serializer),
            DType::Fp64 => elements::<f64, S>(tensor, serializer),
            DType::Bytes => serializer.collect_seq(tensor.strings().map_err(S::Error::custom)?),
        }
    }
}

fn elements<T: Element + Serialize, S: Serializer>(
    tensor: &Tensor,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(slice::<T, S>(tensor)?)
}

fn slice<T: Element, S: Serializer>(tensor: &Tensor) -> Result<&[T], S::Error> {
    tensor.as_slice::<T>().map_err(S::Error::custom)
}

fn float_at(tensor: &Tensor, index: usize) -> f64 {
    let value = match tensor.dtype() {
        DType::Fp16 => tensor.as_slice::<f16>().map(|values| values[index].to_f64()),
        DType::Bf16 => tensor.as_slice::<bf16>().map(|values| values[index].to_f64()),
        DType::Fp32 => tensor.as_slice::<f32>().map(|values| f64::from(values[index])),
        _ => tensor.as_slice::<f64>().map(|values| values[index]),
    };
    value.unwrap_or(f64::NAN)
}
