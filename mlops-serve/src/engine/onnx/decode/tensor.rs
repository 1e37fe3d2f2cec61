//! Weights and other constants.

use bytes::Bytes;
use half::{bf16, f16};
use mlops_core::{DType, Error, Result};

use super::ExternalData;
use super::kind::dtype_of;
use crate::engine::onnx::proto::{SparseTensorProto, TensorProto};
use crate::engine::onnx::tensor::{Data, HostTensor, Scalar, Shape, element_count};

/// The tensor of a message.
pub(super) fn tensor(proto: TensorProto, external: &ExternalData) -> Result<HostTensor> {
    let name = proto.name.clone().unwrap_or_default();
    decode(proto, external)
        .map_err(|cause| Error::invalid_input(format!("the tensor \"{name}\" cannot be read: {cause}")))
}

fn decode(proto: TensorProto, external: &ExternalData) -> Result<HostTensor> {
    let shape = shape(&proto.dims)?;
    let count = element_count(&shape)?;
    let dtype = dtype_of(proto.data_type.unwrap_or(0))?;
    let raw = if proto.data_location == Some(1) {
        Some(external.read(&proto.external_data, count, dtype)?)
    } else {
        proto.raw_data.filter(|raw| !raw.is_empty())
    };
    let data = match raw {
        Some(raw) => from_raw(dtype, &raw)?,
        None => match dtype {
            DType::Fp32 => f32::wrap(proto.float_data.into()),
            DType::Fp64 => f64::wrap(proto.double_data.into()),
            DType::Int64 => i64::wrap(proto.int64_data.into()),
            DType::Int32 => i32::wrap(proto.int32_data.into()),
            DType::Uint64 => u64::wrap(proto.uint64_data.into()),
            DType::Uint32 => narrow(proto.uint64_data, |value| u32::try_from(value).ok())?,
            DType::Uint16 => narrow(proto.int32_data, |value| u16::try_from(value).ok())?,
            DType::Uint8 => narrow(proto.int32_data, |value| u8::try_from(value).ok())?,
            DType::Int16 => narrow(proto.int32_data, |value| i16::try_from(value).ok())?,
            DType::Int8 => narrow(proto.int32_data, |value| i8::try_from(value).ok())?,
            DType::Bool => narrow(proto.int32_data, |value| Some(value != 0))?,
            DType::Fp16 => narrow(proto.int32_data, |value| u16::try_from(value).ok().map(f16::from_bits))?,
            DType::Bf16 => narrow(proto.int32_data, |value| u16::try_from(value).ok().map(bf16::from_bits))?,
            DType::Bytes => String::wrap(
                proto.string_data.into_iter().map(|bytes| text(&bytes)).collect::<Result<Vec<_>>>()?.into(),
            ),
        },
    };
    HostTensor::from_data(shape, data)
}

/// A string of the file.
pub(super) fn text(bytes: &Bytes) -> Result<String> {
    std::str::from_utf8(bytes)
        .map(str::to_owned)
        .map_err(|_| Error::invalid_input("a string of the file is not UTF-8"))
}

fn shape(dims: &[i64]) -> Result<Shape> {
    dims.iter()
        .map(|&length| {
            usize::try_from(length)
                .map_err(|_| Error::invalid_input(format!("a dimension cannot have the length {length}")))
        })
        .collect()
}

fn narrow<W, T: Scalar>(wide: Vec<W>, element: impl Fn(W) -> Option<T>) -> Result<Data> {
    let elements: Option<Vec<T>> = wide.into_iter().map(element).collect();
    match elements {
        Some(elements) => Ok(T::wrap(elements.into())),
        None => Err(Error::invalid_input(format!("an element is out of the range of {}", T::DTYPE))),
    }
}

/// Little-endian elements, as `raw_data` and external files hold them.
fn from_raw(dtype: DType, raw: &[u8]) -> Result<Data> {
    Ok(match dtype {
        DType::Bool => bool::wrap(raw.iter().map(|&byte| byte != 0).collect::<Vec<_>>().into()),
        DType::Uint8 => u8::wrap(raw.to_vec().into()),
        DType::Int8 => elements(raw, i8::from_le_bytes)?,
        DType::Uint16 => elements(raw, u16::from_le_bytes)?,
        DType::Int16 => elements(raw, i16::from_le_bytes)?,
        DType::Fp16 => elements(raw, f16::from_le_bytes)?,
        DType::Bf16 => elements(raw, bf16::from_le_bytes)?,
        DType::Uint32 => elements(raw, u32::from_le_bytes)?,
        DType::Int32 => elements(raw, i32::from_le_bytes)?,
        DType::Fp32 => elements(raw, f32::from_le_bytes)?,
        DType::Uint64 => elements(raw, u64::from_le_bytes)?,
        DType::Int64 => elements(raw, i64::from_le_bytes)?,
        DType::Fp64 => elements(raw, f64::from_le_bytes)?,
        DType::Bytes => return Err(Error::invalid_input("strings cannot be raw bytes")),
    })
}

fn elements<T: Scalar, const SIZE: usize>(raw: &[u8], element: impl Fn([u8; SIZE]) -> T) -> Result<Data> {
    let (chunks, rest) = raw.as_chunks::<SIZE>();
    if !rest.is_empty() {
        let length = raw.len();
        return Err(Error::invalid_input(format!("{length} bytes are no whole number of {}", T::DTYPE)));
    }
    Ok(T::wrap(chunks.iter().map(|&bytes| element(bytes)).collect::<Vec<_>>().into()))
}

/// The dense tensor of a sparse message. Its size is that of its shape, so that its bytes are taken from what is `left`.
pub(super) fn dense(
    proto: SparseTensorProto,
    external: &ExternalData,
    left: &mut usize,
) -> Result<(String, HostTensor)> {
    let values = proto.values.ok_or_else(|| Error::invalid_input("a sparse tensor has no values"))?;
    let name = values.name.clone().unwrap_or_default();
    let fault =
        |what: String| Error::invalid_input(format!("the sparse tensor \"{name}\" cannot be read: {what}"));
    let shape = shape(&proto.dims)?;
    let count = element_count(&shape)?;
    let values = tensor(values, external)?;
    let size = values.dtype().size().unwrap_or(size_of::<String>());
    *left = count.checked_mul(size).and_then(|bytes| left.checked_sub(bytes)).ok_or_else(|| {
        fault(format!("the shape {shape:?} would take more memory than sparse tensors may have"))
    })?;
    let indices = match proto.indices {
        Some(indices) => tensor(indices, external)?,
        None => return Err(fault("it has no indices".into())),
    };
    let positions = positions(&indices, values.len(), &shape).map_err(|cause| fault(cause.to_string()))?;
    let data =
        crate::engine::onnx::tensor::for_any!(values.data(), |elements| scatter(elements, &positions, count));
    Ok((name, HostTensor::from_data(shape, data)?))
}

fn scatter<T: Scalar>(values: &[T], positions: &[usize], count: usize) -> Data {
    let mut elements = vec![T::default(); count];
    for (value, &position) in values.iter().zip(positions) {
        elements[position] = value.clone();
    }
    T::wrap(elements.into())
}

/// Where each value goes: indices are positions in row-major order, or one index for each dimension.
fn positions(indices: &HostTensor, count: usize, shape: &[usize]) -> Result<Vec<usize>> {
    let total: usize = shape.iter().product();
    let flat = indices.elements::<i64>()?;
    let rank = shape.len();
    let positions: Option<Vec<usize>> = if indices.shape() == [count] {
        flat.iter().map(|&index| usize::try_from(index).ok().filter(|&index| index < total)).collect()
    } else if indices.shape() == [count, rank] {
        let rows = flat.chunks_exact(rank.max(1));
        let position = |row: &[i64]| {
            row.iter().zip(shape).try_fold(0_usize, |position, (&index, &length)| {
                let index = usize::try_from(index).ok().filter(|&index| index < length)?;
                Some(position * length + index)
            })
        };
        rows.map(position).collect()
    } else {
        let found = indices.shape();
        return Err(Error::invalid_input(format!("{count} values have indices of shape {found:?}")));
    };
    positions.ok_or_else(|| Error::invalid_input(format!("an index is outside the shape {shape:?}")))
}
