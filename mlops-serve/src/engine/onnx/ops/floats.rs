//! Floats of every width: 16-bit ones are computed in FP32 and rounded once.

use mlops_core::{DType, Error, Result};
use smallvec::SmallVec;

use super::number::{round, widen};
use super::{Context, Outputs};
use crate::engine::onnx::tensor::{Data, HostTensor, Shape};
use crate::engine::onnx::value::{Inputs, Value};
use half::{bf16, f16};

/// Whether the input at that place holds 16-bit floats.
pub(super) fn are_half(inputs: &Inputs<'_>, index: usize) -> Result<bool> {
    Ok(matches!(inputs.tensor(index)?.data(), Data::F16(_) | Data::Bf16(_)))
}

/// Runs an operator that knows FP32 on 16-bit floats. Its first `narrowed` outputs are of the type of the first input
/// that is of 16 bits.
pub(super) fn widened(
    inputs: &mut Inputs<'_>,
    context: &mut Context<'_>,
    narrowed: usize,
    run: impl FnOnce(&mut Inputs<'_>, &mut Context<'_>) -> Result<Outputs>,
) -> Result<Outputs> {
    let mut narrow = None;
    let mut values: SmallVec<[Option<Value>; 8]> = SmallVec::new();
    for index in 0..inputs.len() {
        if !inputs.has(index) {
            values.push(None);
            continue;
        }
        let value = inputs.take_value(index)?;
        values.push(Some(match value {
            Value::Tensor(tensor) if matches!(tensor.data(), Data::F16(_) | Data::Bf16(_)) => {
                narrow = narrow.or(Some(tensor.dtype()));
                Value::Tensor(to_single(&tensor)?)
            }
            other => other,
        }));
    }
    let outputs = run(&mut Inputs::new(&mut values), context)?;
    let narrow = narrow.unwrap_or(DType::Fp32);
    let outputs = outputs.into_iter().enumerate().map(|(index, value)| match value {
        Value::Tensor(tensor) if index < narrowed => from_single(tensor, narrow).map(Value::Tensor),
        other => Ok(other),
    });
    outputs.collect()
}

/// 16-bit floats as FP32; other types stay as they are.
pub(super) fn to_single(tensor: &HostTensor) -> Result<HostTensor> {
    match tensor.data() {
        Data::F16(elements) => HostTensor::new(tensor.shape(), widen(elements)),
        Data::Bf16(elements) => HostTensor::new(tensor.shape(), widen(elements)),
        _ => Ok(tensor.clone()),
    }
}

/// FP32 as 16-bit floats of that type; other types stay as they are.
pub(super) fn from_single(tensor: HostTensor, dtype: DType) -> Result<HostTensor> {
    let Data::F32(elements) = tensor.data() else { return Ok(tensor) };
    match dtype {
        DType::Fp16 => HostTensor::new(tensor.shape(), round::<f16>(elements)),
        DType::Bf16 => HostTensor::new(tensor.shape(), round::<bf16>(elements)),
        _ => Ok(tensor),
    }
}

/// The elements of a constant as FP32, if they are floats of at most 32 bits.
pub(super) fn constant_singles(constant: Option<&HostTensor>) -> Option<Vec<f32>> {
    match constant?.data() {
        Data::F32(elements) => Some(elements.to_vec()),
        Data::F16(elements) => Some(widen(elements)),
        Data::Bf16(elements) => Some(widen(elements)),
        _ => None,
    }
}

/// Elements of any float type in double precision.
pub(super) fn to_doubles(tensor: &HostTensor) -> Result<Vec<f64>> {
    match tensor.data() {
        Data::F64(elements) => Ok(elements.to_vec()),
        Data::F32(elements) => Ok(elements.iter().map(|&element| element.into()).collect()),
        Data::F16(elements) => Ok(elements.iter().map(|&element| element.into()).collect()),
        Data::Bf16(elements) => Ok(elements.iter().map(|&element| element.into()).collect()),
        _ => Err(wrong_type(tensor)),
    }
}

/// Elements in double precision, of a float type of that width.
pub(super) fn from_doubles(shape: &[usize], elements: Vec<f64>, dtype: DType) -> Result<HostTensor> {
    let shape = Shape::from_slice(shape);
    match dtype {
        DType::Fp64 => HostTensor::new(shape, elements),
        DType::Fp32 => {
            HostTensor::new(shape, elements.iter().map(|&element| element as f32).collect::<Vec<_>>())
        }
        DType::Fp16 => HostTensor::new(shape, elements.iter().map(|&x| f16::from_f64(x)).collect::<Vec<_>>()),
        DType::Bf16 => {
            HostTensor::new(shape, elements.iter().map(|&x| bf16::from_f64(x)).collect::<Vec<_>>())
        }
        other => Err(Error::engine(format!("floats are needed, not {other}"))),
    }
}

/// The type of a tensor is none that the operator knows.
pub(super) fn wrong_type(tensor: &HostTensor) -> Error {
    Error::engine(format!("elements of type {} have no such operation", tensor.dtype()))
}

/// The elements of an optional vector of FP32 (bias, gamma, ...), which must be that many.
pub(super) fn vector<'a>(inputs: &'a Inputs<'_>, index: usize, length: usize) -> Result<Option<&'a [f32]>> {
    let Some(tensor) = inputs.optional(index)? else { return Ok(None) };
    let elements = tensor.elements::<f32>()?;
    if elements.len() != length {
        let actual = elements.len();
        return Err(Error::engine(format!("input {index} must have {length} elements, not {actual}")));
    }
    Ok(Some(elements))
}
