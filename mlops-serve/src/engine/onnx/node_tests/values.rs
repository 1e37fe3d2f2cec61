//! Inputs and expected outputs: tensors, sequences and optionals, each in a file of its own.
//!
//! Field numbers are those of [`onnx-data.proto`](https://github.com/onnx/onnx/blob/main/onnx/onnx-data.proto).

use std::path::Path;

use bytes::Bytes;
use half::{bf16, f16};
use mlops_core::Error;
use prost::Message;

use crate::engine::onnx::decode;
use crate::engine::onnx::proto::TensorProto;
use crate::engine::onnx::tensor::{Data, HostTensor};
use crate::engine::onnx::value::Value;

#[derive(Clone, PartialEq, prost::Message)]
struct SequenceProto {
    #[prost(int32, optional, tag = "2")]
    elem_type: Option<i32>,
    #[prost(message, repeated, tag = "3")]
    tensor_values: Vec<TensorProto>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct OptionalProto {
    #[prost(int32, optional, tag = "2")]
    elem_type: Option<i32>,
    #[prost(message, optional, tag = "3")]
    tensor_value: Option<TensorProto>,
    #[prost(message, optional, tag = "5")]
    sequence_value: Option<SequenceProto>,
}

/// `elem_type` of a sequence or optional of tensors.
const TENSOR: i32 = 1;
/// `elem_type` of an optional sequence.
const SEQUENCE: i32 = 3;

/// The values `input_0.pb`, `input_1.pb` and so on of a data set.
pub(super) fn read_all(folder: &Path, direction: &str, count: usize) -> Result<Vec<Value>, Error> {
    let kinds = std::fs::read_to_string(folder.join("kinds.txt")).unwrap();
    (0..count)
        .map(|index| {
            let name = format!("{direction}_{index}.pb");
            let kind = kinds.lines().find_map(|line| line.strip_prefix(&name)).map(str::trim);
            let bytes = std::fs::read(folder.join(&name)).unwrap();
            read(Bytes::from(bytes), kind.unwrap())
        })
        .collect()
}

/// A file holds a tensor, a sequence or an optional; which, only `kinds.txt` says.
fn read(bytes: Bytes, kind: &str) -> Result<Value, Error> {
    match kind {
        "tensor_type" => decode::tensor(TensorProto::decode(bytes).unwrap()).map(Value::Tensor),
        "sequence_type" => sequence(SequenceProto::decode(bytes).unwrap()),
        "optional_type" => {
            let proto = OptionalProto::decode(bytes).unwrap();
            match (proto.elem_type, proto.tensor_value, proto.sequence_value) {
                (Some(TENSOR), Some(tensor), None) => decode::tensor(tensor).map(Value::Tensor),
                (Some(SEQUENCE), None, Some(tensors)) => sequence(tensors),
                (_, None, None) => Ok(Value::Nothing),
                (kind, ..) => Err(Error::unsupported(format!("an optional of the kind {kind:?}"))),
            }
        }
        other => Err(Error::unsupported(format!("a {other} as input or output"))),
    }
}

fn sequence(proto: SequenceProto) -> Result<Value, Error> {
    if !matches!(proto.elem_type, None | Some(0 | TENSOR)) {
        return Err(Error::unsupported(format!("a sequence of the kind {:?}", proto.elem_type)));
    }
    let tensors: Result<Vec<HostTensor>, Error> =
        proto.tensor_values.into_iter().map(decode::tensor).collect();
    Ok(tensors?.into())
}

/// Whether two values are the same, but for rounding.
pub(super) fn compare(actual: &Value, expected: &Value) -> Result<(), String> {
    match (actual, expected) {
        (Value::Tensor(actual), Value::Tensor(expected)) => compare_tensors(actual, expected),
        (Value::Nothing, Value::Nothing) => Ok(()),
        (Value::Sequence(actual), Value::Sequence(expected)) if actual.len() == expected.len() => actual
            .iter()
            .zip(expected.iter())
            .try_for_each(|(actual, expected)| compare_tensors(actual, expected)),
        _ => Err(format!("{actual:.200?} instead of {expected:.200?}")),
    }
}

/// Whether two tensors have the same type and shape: more cannot be said of random numbers.
pub(super) fn compare_kinds(actual: &Value, expected: &Value) -> Result<(), String> {
    match (actual, expected) {
        (Value::Tensor(actual), Value::Tensor(expected)) => same_kind(actual, expected),
        _ => Err(format!("{actual:.200?} instead of {expected:.200?}")),
    }
}

fn same_kind(actual: &HostTensor, expected: &HostTensor) -> Result<(), String> {
    if actual.shape() == expected.shape() && actual.dtype() == expected.dtype() {
        return Ok(());
    }
    let [a, b] = [actual, expected].map(|tensor| format!("{} {:?}", tensor.dtype(), tensor.shape()));
    Err(format!("{a} instead of {b}"))
}

fn compare_tensors(actual: &HostTensor, expected: &HostTensor) -> Result<(), String> {
    same_kind(actual, expected)?;
    if let (Some(a), Some(b)) = (floats(actual), floats(expected)) {
        let tolerance = match expected.data() {
            // Two units in the last place.
            Data::Bf16(_) => 2.0 * f64::from(bf16::EPSILON),
            Data::F16(_) => 2.0 * f64::from(f16::EPSILON),
            _ => 1e-3, // the tolerance of the ONNX project's own runner
        };
        // Where large numbers cancel, what is expected holds their rounding and not the sum.
        let largest = b.iter().map(|b| b.abs()).filter(|b| b.is_finite()).fold(0.0, f64::max);
        let rounding = 1e-7 + f64::from(f32::EPSILON) * largest;
        let wrong = a.iter().zip(&b).position(|(a, b)| {
            !(a == b || a.is_nan() && b.is_nan() || (a - b).abs() <= rounding + tolerance * b.abs())
        });
        return match wrong {
            None => Ok(()),
            Some(index) => Err(format!("element {index} is {} instead of {}", a[index], b[index])),
        };
    }
    let [a, b] = [actual, expected].map(|tensor| format!("{:?}", tensor.data()));
    if a == b { Ok(()) } else { Err(format!("{a:.200} instead of {b:.200}")) }
}

fn floats(tensor: &HostTensor) -> Option<Vec<f64>> {
    match tensor.data() {
        Data::F32(elements) => Some(elements.iter().map(|&value| value.into()).collect()),
        Data::F64(elements) => Some(elements.to_vec()),
        Data::F16(elements) => Some(elements.iter().map(|&value| value.into()).collect()),
        Data::Bf16(elements) => Some(elements.iter().map(|&value| value.into()).collect()),
        _ => None,
    }
}
