//! Fourier transforms, windows, and the mel scale.

mod dft;
mod fourier;
mod mel;
mod window;

use mlops_core::{DType, Error, Result};

use super::floats::from_doubles;
use super::{Entry, onnx};
use crate::engine::onnx::tensor::{HostTensor, Scalar};
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
fn of_type(dtype: DType, shape: &[usize], numbers: Vec<f64>) -> Result<HostTensor> {
    fn tensor<T: Scalar>(shape: &[usize], numbers: &[f64], convert: impl Fn(f64) -> T) -> Result<HostTensor> {
        HostTensor::new(shape, numbers.iter().map(|&number| convert(number)).collect::<Vec<T>>())
    }
    match dtype {
        DType::Uint8 => tensor(shape, &numbers, |number| number as u8),
        DType::Uint16 => tensor(shape, &numbers, |number| number as u16),
        DType::Uint32 => tensor(shape, &numbers, |number| number as u32),
        DType::Uint64 => tensor(shape, &numbers, |number| number as u64),
        DType::Int8 => tensor(shape, &numbers, |number| number as i8),
        DType::Int16 => tensor(shape, &numbers, |number| number as i16),
        DType::Int32 => tensor(shape, &numbers, |number| number as i32),
        DType::Int64 => tensor(shape, &numbers, |number| number as i64),
        _ => from_doubles(shape, numbers, dtype),
    }
}

/// A number of things, which an input gives; `None` when it is left out.
fn count(inputs: &Inputs<'_>, index: usize, what: &str) -> Result<Option<usize>> {
    match inputs.optional_i64s(index)?.as_deref() {
        None => Ok(None),
        Some(&[count]) if count >= 0 => Ok(usize::try_from(count).ok()),
        Some(other) => Err(Error::engine(format!("{what} must be one number from 0 up, not {other:?}"))),
    }
}
