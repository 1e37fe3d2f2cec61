//! Fourier transforms, windows, and the mel scale.

mod dft;
mod fourier;
mod mel;
mod window;

use half::{bf16, f16};
use mlops_core::{DType, Error, Result};

use super::{Entry, onnx};
use crate::engine::onnx::tensor::{Data, HostTensor, Scalar, Shape};
use crate::engine::onnx::value::Inputs;

pub(super) const OPERATORS: &[Entry] = &[
    onnx("BlackmanWindow", 17, window::blackman),
    onnx("DFT", 17, dft::dft),
    onnx("HammingWindow", 17, window::hamming),
    onnx("HannWindow", 17, window::hann),
    onnx("MelWeightMatrix", 17, mel::mel_weight_matrix),
    onnx("STFT", 17, dft::stft),
];

/// Numbers as a tensor of that type.
fn of_type(dtype: DType, shape: Shape, numbers: Vec<f64>) -> Result<HostTensor> {
    fn data<T: Scalar>(numbers: &[f64], convert: impl Fn(f64) -> T) -> Data {
        T::wrap(numbers.iter().map(|&number| convert(number)).collect::<Vec<T>>().into())
    }
    let data = match dtype {
        DType::Fp64 => f64::wrap(numbers.into()),
        DType::Fp32 => data(&numbers, |number| number as f32),
        DType::Fp16 => data(&numbers, f16::from_f64),
        DType::Bf16 => data(&numbers, bf16::from_f64),
        DType::Uint8 => data(&numbers, |number| number as u8),
        DType::Uint16 => data(&numbers, |number| number as u16),
        DType::Uint32 => data(&numbers, |number| number as u32),
        DType::Uint64 => data(&numbers, |number| number as u64),
        DType::Int8 => data(&numbers, |number| number as i8),
        DType::Int16 => data(&numbers, |number| number as i16),
        DType::Int32 => data(&numbers, |number| number as i32),
        DType::Int64 => data(&numbers, |number| number as i64),
        DType::Bool | DType::Bytes => return Err(Error::engine(format!("numbers cannot be {dtype}"))),
    };
    HostTensor::from_data(shape, data)
}

/// The elements of a tensor of floats.
fn floats(tensor: &HostTensor) -> Result<Vec<f64>> {
    Ok(match tensor.data() {
        Data::F32(elements) => elements.iter().map(|&element| element.into()).collect(),
        Data::F64(elements) => elements.to_vec(),
        Data::F16(elements) => elements.iter().map(|&element| element.into()).collect(),
        Data::Bf16(elements) => elements.iter().map(|&element| element.into()).collect(),
        other => return Err(Error::engine(format!("floats are needed, not {}", other.dtype()))),
    })
}

/// A number of things, which an input gives; `None` when it is left out.
fn count(inputs: &Inputs<'_>, index: usize, what: &str) -> Result<Option<usize>> {
    match inputs.optional_i64s(index)?.as_deref() {
        None => Ok(None),
        Some(&[count]) if count >= 0 => Ok(usize::try_from(count).ok()),
        Some(other) => Err(Error::engine(format!("{what} must be one number from 0 up, not {other:?}"))),
    }
}
