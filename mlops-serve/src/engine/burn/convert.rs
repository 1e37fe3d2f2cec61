//! Between the tensors of the house and those of burn, without a copy where types agree.

use ::burn::tensor::{AllocationProperty, Bytes, DType as BurnDType, IntDType, TensorData};
use half::{bf16, f16};
use mlops_core::{DType, Element, Error, Result, Tensor, TensorSpec};

pub(super) fn float_data(tensor: &Tensor) -> Option<TensorData> {
    let dtype = match tensor.dtype() {
        DType::Fp16 => BurnDType::F16,
        DType::Bf16 => BurnDType::BF16,
        DType::Fp32 => BurnDType::F32,
        DType::Fp64 => BurnDType::F64,
        _ => return None,
    };
    shared(tensor, dtype)
}

pub(super) fn int_data(tensor: &Tensor) -> Option<TensorData> {
    let dtype = match tensor.dtype() {
        DType::Uint8 => BurnDType::U8,
        DType::Uint16 => BurnDType::U16,
        DType::Uint32 => BurnDType::U32,
        DType::Uint64 => BurnDType::U64,
        DType::Int8 => BurnDType::I8,
        DType::Int16 => BurnDType::I16,
        DType::Int32 => BurnDType::I32,
        DType::Int64 => BurnDType::I64,
        _ => return None,
    };
    shared(tensor, dtype)
}

pub(super) fn bool_data(tensor: &Tensor) -> Option<TensorData> {
    let values = tensor.as_slice::<bool>().ok()?;
    Some(TensorData::new(values.to_vec(), tensor.shape().to_vec()))
}

/// burn sees the same memory; it copies only what it writes to.
fn shared(tensor: &Tensor, dtype: BurnDType) -> Option<TensorData> {
    let bytes = Bytes::from_shared(tensor.to_bytes(), AllocationProperty::Native);
    TensorData::try_from_bytes(bytes, tensor.shape().to_vec(), dtype).ok()
}

/// The position of the first integer that the device's integers cannot hold.
pub(super) fn out_of_range(tensor: &Tensor, device: IntDType) -> Option<usize> {
    fn first<T: Element, D: TryFrom<T>>(tensor: &Tensor) -> Option<usize> {
        tensor.as_slice::<T>().ok()?.iter().position(|number| D::try_from(*number).is_err())
    }
    match (device, tensor.dtype()) {
        (IntDType::I32, DType::Int64) => first::<i64, i32>(tensor),
        (IntDType::I32, DType::Uint64) => first::<u64, i32>(tensor),
        (IntDType::I32, DType::Uint32) => first::<u32, i32>(tensor),
        (IntDType::I64, DType::Uint64) => first::<u64, i64>(tensor),
        _ => None,
    }
}

/// The output in the type its specification names.
pub(super) fn to_tensor(spec: &TensorSpec, data: TensorData) -> Result<Tensor> {
    let name = spec.name();
    match spec.dtype() {
        DType::Bool => elements::<bool>(name, data),
        DType::Uint8 => elements::<u8>(name, data),
        DType::Uint16 => elements::<u16>(name, data),
        DType::Uint32 => elements::<u32>(name, data),
        DType::Uint64 => elements::<u64>(name, data),
        DType::Int8 => elements::<i8>(name, data),
        DType::Int16 => elements::<i16>(name, data),
        DType::Int32 => elements::<i32>(name, data),
        DType::Int64 => elements::<i64>(name, data),
        DType::Fp16 => elements::<f16>(name, data),
        DType::Bf16 => elements::<bf16>(name, data),
        DType::Fp32 => elements::<f32>(name, data),
        DType::Fp64 => elements::<f64>(name, data),
        DType::Bytes => Err(Error::engine(format!("output `{name}` is BYTES, which burn cannot compute"))),
    }
}

fn elements<T: Element + ::burn::tensor::Element>(name: &str, data: TensorData) -> Result<Tensor> {
    let shape = data.shape().as_slice().to_vec();
    let elements = data.try_into_vec_as::<T>().map_err(|cause| {
        Error::engine(format!("output `{name}` cannot be converted to {}: {cause}", T::DTYPE))
    })?;
    Tensor::from_vec(&shape, elements)
        .map_err(|cause| Error::engine(format!("output `{name}` is malformed")).with_source(cause))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn burn_sees_the_memory_of_the_tensor() {
        let floats = Tensor::from(vec![1.0_f32, 2.0, 3.0]);
        let data = float_data(&floats).unwrap();
        assert_eq!(data.bytes().as_ptr(), floats.as_bytes().as_ptr());
        let from_a_body = Tensor::from_bytes(DType::Int64, &[2], vec![7_u8; 16]).unwrap();
        let data = int_data(&from_a_body).unwrap();
        assert_eq!(data.bytes().as_ptr(), from_a_body.as_bytes().as_ptr());
    }

    #[test]
    fn integers_beyond_the_devices_are_found() {
        let large = Tensor::from(vec![1_i64, -5, i64::from(i32::MAX) + 1]);
        assert_eq!(out_of_range(&large, IntDType::I32), Some(2));
        assert_eq!(out_of_range(&large, IntDType::I64), None);
        assert_eq!(out_of_range(&Tensor::from(vec![u64::MAX]), IntDType::I64), Some(0));
        assert_eq!(out_of_range(&Tensor::from(vec![3_u32, u32::MAX]), IntDType::I32), Some(1));
        assert_eq!(out_of_range(&Tensor::from(vec![i32::MIN]), IntDType::I32), None);
    }

    #[test]
    fn other_kinds_are_no_data() {
        let texts = Tensor::from_byte_strings(&[1], ["a"]).unwrap();
        assert!(float_data(&texts).is_none() && int_data(&texts).is_none() && bool_data(&texts).is_none());
    }
}
