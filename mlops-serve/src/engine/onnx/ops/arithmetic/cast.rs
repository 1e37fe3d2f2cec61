//! Conversions between element types, of values and of bits.

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use mlops_core::{DType, Error, Result};

use crate::engine::onnx::decode::dtype_of;
use crate::engine::onnx::ops::number::widen;
use crate::engine::onnx::ops::{Context, Inputs, Operator, Outputs, Source, one};
use crate::engine::onnx::tensor::{Data, HostTensor, Scalar, Shape};

pub(super) fn cast(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    Ok(Box::new(Cast { to: target(source)? }))
}

pub(super) fn cast_like(_: &Source<'_>) -> Result<Box<dyn Operator>> {
    Ok(Box::new(CastLike))
}

pub(super) fn bit_cast(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    Ok(Box::new(BitCast { to: target(source)? }))
}

fn target(source: &Source<'_>) -> Result<DType> {
    let number = source
        .node
        .attributes
        .optional_int("to")?
        .ok_or_else(|| Error::invalid_input("the attribute `to` is missing: the type to convert to"))?;
    dtype_of(i32::try_from(number).unwrap_or(0))
}

#[derive(Debug)]
struct Cast {
    to: DType,
}

impl Operator for Cast {
    fn run(&self, inputs: &mut Inputs<'_>, _: &mut Context<'_>) -> Result<Outputs> {
        one(converted(inputs.take(0)?, self.to)?)
    }
}

/// A cast to the type of the second input.
#[derive(Debug)]
struct CastLike;

impl Operator for CastLike {
    fn run(&self, inputs: &mut Inputs<'_>, _: &mut Context<'_>) -> Result<Outputs> {
        let to = inputs.tensor(1)?.dtype();
        one(converted(inputs.take(0)?, to)?)
    }
}

/// The same values as elements of another type.
///
/// Integers that do not fit wrap around, and so do floats, which are cut off at the decimal point: the standard leaves
/// that open, and NumPy and onnxruntime do it. Beyond the range of 64 bits (for `INT32` of 32), they are cut off at its
/// ends, and `NaN` becomes 0. Whatever is not zero is `true`. Strings are read as numbers and written in plain decimal
/// notation.
pub(in crate::engine::onnx::ops) fn converted(tensor: HostTensor, to: DType) -> Result<HostTensor> {
    if tensor.dtype() == to {
        return Ok(tensor);
    }
    let (shape, data) = tensor.into_parts();
    /// Primitive numbers to a type; `bool` and the half-precision types are made primitive first.
    macro_rules! from_primitive {
        ($elements:expr) => {{
            let elements = &$elements;
            let elements = elements.iter();
            match to {
                DType::Bool => data_of(elements.map(|&value| value as f64 != 0.0)),
                DType::Uint8 => data_of(elements.map(|&value| value as i64 as u8)),
                DType::Uint16 => data_of(elements.map(|&value| value as i64 as u16)),
                DType::Uint32 => data_of(elements.map(|&value| value as i64 as u32)),
                DType::Uint64 => data_of(
                    elements.map(
                        |&value| {
                            if (value as f64) < 0.0 { value as i64 as u64 } else { value as u64 }
                        },
                    ),
                ),
                DType::Int8 => data_of(elements.map(|&value| value as i64 as i8)),
                DType::Int16 => data_of(elements.map(|&value| value as i64 as i16)),
                DType::Int32 => data_of(elements.map(|&value| value as i32)),
                DType::Int64 => data_of(elements.map(|&value| value as i64)),
                DType::Fp16 => data_of(elements.map(|&value| f16::from_f64(value as f64))),
                DType::Bf16 => data_of(elements.map(|&value| bf16::from_f64(value as f64))),
                DType::Fp32 => data_of(elements.map(|&value| value as f32)),
                DType::Fp64 => data_of(elements.map(|&value| value as f64)),
                DType::Bytes => data_of(elements.map(|&value| written(value as f64, &value))),
            }
        }};
    }
    #[allow(clippy::unnecessary_cast)] // the macro casts every type to every type, its own included
    let data = match &data {
        Data::U8(elements) => from_primitive!(elements),
        Data::U16(elements) => from_primitive!(elements),
        Data::U32(elements) => from_primitive!(elements),
        Data::U64(elements) => from_primitive!(elements),
        Data::I8(elements) => from_primitive!(elements),
        Data::I16(elements) => from_primitive!(elements),
        Data::I32(elements) => from_primitive!(elements),
        Data::I64(elements) => from_primitive!(elements),
        Data::F64(elements) => from_primitive!(elements),
        Data::F32(elements) if to == DType::Fp16 => {
            let mut halves = vec![f16::ZERO; elements.len()];
            halves.convert_from_f32_slice(elements);
            f16::wrap(halves.into())
        }
        Data::F32(elements) => from_primitive!(elements),
        Data::F16(elements) if to == DType::Fp32 => {
            let mut floats = vec![0.0_f32; elements.len()];
            elements.convert_to_f32_slice(&mut floats);
            f32::wrap(floats.into())
        }
        Data::F16(elements) => from_primitive!(widen(elements)),
        Data::Bf16(elements) => from_primitive!(widen(elements)),
        Data::Bool(elements) => {
            from_primitive!(elements.iter().map(|&element| u8::from(element)).collect::<Vec<_>>())
        }
        Data::Text(elements) => read(elements, to)?,
    };
    HostTensor::from_data(shape, data)
}

fn data_of<T: Scalar>(elements: impl Iterator<Item = T>) -> Data {
    T::wrap(elements.collect::<Vec<_>>().into())
}

/// A number in plain decimal notation, as short as reads back the same.
fn written(value: f64, exact: &impl std::fmt::Display) -> String {
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "INF" } else { "-INF" }.to_owned()
    } else {
        exact.to_string()
    }
}

/// Strings as numbers: `3.14`, `1e-5`, and `INF`, `+INF`, `-INF`, `NaN` in any case.
fn read(strings: &[String], to: DType) -> Result<Data> {
    fn all<T: Scalar>(strings: &[String], one: impl Fn(&str) -> Option<T>) -> Result<Data> {
        let parsed = strings.iter().map(|string| {
            one(string.trim()).ok_or_else(|| {
                let dtype = T::DTYPE;
                Error::engine(format!("the string {string:?} cannot be read as a number of type {dtype}"))
            })
        });
        Ok(T::wrap(parsed.collect::<Result<Vec<T>>>()?.into()))
    }
    /// Whole numbers exactly; others are cut off at the decimal point.
    macro_rules! integers {
        ($type:ty) => {
            all(strings, |string| {
                let whole = string.parse::<i128>().ok();
                let whole = whole
                    .or_else(|| string.parse::<f64>().ok().filter(|v| !v.is_nan()).map(|v| v as i128))?;
                <$type>::try_from(whole).ok()
            })
        };
    }
    let float = |string: &str| string.parse::<f64>().ok();
    match to {
        DType::Bool => all(strings, |string| float(string).map(|value| value != 0.0)),
        DType::Uint8 => integers!(u8),
        DType::Uint16 => integers!(u16),
        DType::Uint32 => integers!(u32),
        DType::Uint64 => integers!(u64),
        DType::Int8 => integers!(i8),
        DType::Int16 => integers!(i16),
        DType::Int32 => integers!(i32),
        DType::Int64 => integers!(i64),
        DType::Fp16 => all(strings, |string| float(string).map(f16::from_f64)),
        DType::Bf16 => all(strings, |string| float(string).map(bf16::from_f64)),
        DType::Fp32 => all(strings, |string| string.parse::<f32>().ok()),
        DType::Fp64 => all(strings, float),
        DType::Bytes => Ok(String::wrap(strings.to_vec().into())),
    }
}

/// The same bits as elements of another type of the same width.
#[derive(Debug)]
struct BitCast {
    to: DType,
}

impl Operator for BitCast {
    fn run(&self, inputs: &mut Inputs<'_>, _: &mut Context<'_>) -> Result<Outputs> {
        let tensor = inputs.tensor(0)?;
        let from = tensor.dtype();
        let bits = bits(tensor.data())?;
        let data = reinterpreted(bits, self.to).ok_or_else(|| {
            let to = self.to;
            Error::engine(format!("{from} and {to} have different numbers of bits"))
        })?;
        one(HostTensor::from_data(Shape::from_slice(tensor.shape()), data)?)
    }
}

/// Elements as unsigned integers, by their width.
enum Bits {
    Of8(Vec<u8>),
    Of16(Vec<u16>),
    Of32(Vec<u32>),
    Of64(Vec<u64>),
}

fn bits(data: &Data) -> Result<Bits> {
    Ok(match data {
        Data::Bool(elements) => Bits::Of8(elements.iter().map(|&value| value.into()).collect()),
        Data::U8(elements) => Bits::Of8(elements.to_vec()),
        Data::I8(elements) => Bits::Of8(elements.iter().map(|&value| value.cast_unsigned()).collect()),
        Data::U16(elements) => Bits::Of16(elements.to_vec()),
        Data::I16(elements) => Bits::Of16(elements.iter().map(|&value| value.cast_unsigned()).collect()),
        Data::F16(elements) => Bits::Of16(elements.iter().map(|value| value.to_bits()).collect()),
        Data::Bf16(elements) => Bits::Of16(elements.iter().map(|value| value.to_bits()).collect()),
        Data::U32(elements) => Bits::Of32(elements.to_vec()),
        Data::I32(elements) => Bits::Of32(elements.iter().map(|&value| value.cast_unsigned()).collect()),
        Data::F32(elements) => Bits::Of32(elements.iter().map(|value| value.to_bits()).collect()),
        Data::U64(elements) => Bits::Of64(elements.to_vec()),
        Data::I64(elements) => Bits::Of64(elements.iter().map(|&value| value.cast_unsigned()).collect()),
        Data::F64(elements) => Bits::Of64(elements.iter().map(|value| value.to_bits()).collect()),
        Data::Text(_) => return Err(Error::engine("strings have no bits of a fixed number")),
    })
}

fn reinterpreted(bits: Bits, to: DType) -> Option<Data> {
    Some(match (bits, to) {
        (Bits::Of8(bits), DType::Bool) => data_of(bits.into_iter().map(|bits| bits != 0)),
        (Bits::Of8(bits), DType::Uint8) => data_of(bits.into_iter()),
        (Bits::Of8(bits), DType::Int8) => data_of(bits.into_iter().map(u8::cast_signed)),
        (Bits::Of16(bits), DType::Uint16) => data_of(bits.into_iter()),
        (Bits::Of16(bits), DType::Int16) => data_of(bits.into_iter().map(u16::cast_signed)),
        (Bits::Of16(bits), DType::Fp16) => data_of(bits.into_iter().map(f16::from_bits)),
        (Bits::Of16(bits), DType::Bf16) => data_of(bits.into_iter().map(bf16::from_bits)),
        (Bits::Of32(bits), DType::Uint32) => data_of(bits.into_iter()),
        (Bits::Of32(bits), DType::Int32) => data_of(bits.into_iter().map(u32::cast_signed)),
        (Bits::Of32(bits), DType::Fp32) => data_of(bits.into_iter().map(f32::from_bits)),
        (Bits::Of64(bits), DType::Uint64) => data_of(bits.into_iter()),
        (Bits::Of64(bits), DType::Int64) => data_of(bits.into_iter().map(u64::cast_signed)),
        (Bits::Of64(bits), DType::Fp64) => data_of(bits.into_iter().map(f64::from_bits)),
        _ => return None,
    })
}
