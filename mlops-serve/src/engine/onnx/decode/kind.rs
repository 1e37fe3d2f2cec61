//! Types of values.

use mlops_core::{DType, Error, Result};

use crate::engine::onnx::graph::{Kind, Length};
use crate::engine::onnx::proto::{TensorShapeProto, TypeProto, data_type, dimension_proto, type_proto};

/// The element type that ONNX numbers so.
pub(crate) fn dtype_of(number: i32) -> Result<DType> {
    Ok(match number {
        data_type::FLOAT => DType::Fp32,
        data_type::UINT8 => DType::Uint8,
        data_type::INT8 => DType::Int8,
        data_type::UINT16 => DType::Uint16,
        data_type::INT16 => DType::Int16,
        data_type::INT32 => DType::Int32,
        data_type::INT64 => DType::Int64,
        data_type::STRING => DType::Bytes,
        data_type::BOOL => DType::Bool,
        data_type::FLOAT16 => DType::Fp16,
        data_type::DOUBLE => DType::Fp64,
        data_type::UINT32 => DType::Uint32,
        data_type::UINT64 => DType::Uint64,
        data_type::BFLOAT16 => DType::Bf16,
        other => {
            let name = match other {
                14 => "COMPLEX64",
                15 => "COMPLEX128",
                17..=20 | 24 => "an 8-bit float",
                21 => "UINT4",
                22 => "INT4",
                23 => "FLOAT4E2M1",
                25 => "UINT2",
                26 => "INT2",
                _ => "unknown",
            };
            return Err(Error::unsupported(format!("the element type {other} ({name}) is not supported")));
        }
    })
}

/// The type of a value; `None` when the message leaves it open.
pub(super) fn kind(proto: TypeProto) -> Result<Option<Kind>> {
    Ok(match proto.value {
        None => None,
        Some(type_proto::Value::Tensor(tensor)) => match tensor.elem_type.unwrap_or(0) {
            0 => None,
            number => {
                Some(Kind::Tensor { dtype: dtype_of(number)?, shape: tensor.shape.map(lengths).transpose()? })
            }
        },
        Some(type_proto::Value::Sequence(sequence)) => inner(sequence.elem_type)?.map(Kind::Sequence),
        Some(type_proto::Value::Optional(optional)) => inner(optional.elem_type)?.map(Kind::Optional),
        Some(type_proto::Value::Map(map)) => {
            let key = dtype_of(map.key_type.unwrap_or(0))?;
            inner(map.value_type)?.map(|value| Kind::Map { key, value })
        }
        Some(type_proto::Value::SparseTensor(_)) => {
            return Err(Error::unsupported("sparse tensors as inputs or outputs are not supported"));
        }
    })
}

fn inner(proto: Option<Box<TypeProto>>) -> Result<Option<Box<Kind>>> {
    Ok(match proto {
        Some(proto) => kind(*proto)?.map(Box::new),
        None => None,
    })
}

fn lengths(proto: TensorShapeProto) -> Result<Vec<Length>> {
    let lengths = proto.dim.into_iter().map(|dimension| match dimension.value {
        Some(dimension_proto::Value::DimValue(length)) => usize::try_from(length)
            .map(Length::Fixed)
            .map_err(|_| Error::invalid_input(format!("a dimension cannot have the length {length}"))),
        Some(dimension_proto::Value::DimParam(symbol)) if !symbol.is_empty() => {
            Ok(Length::Symbol(symbol.into()))
        }
        _ => Ok(Length::Unknown),
    });
    lengths.collect()
}
