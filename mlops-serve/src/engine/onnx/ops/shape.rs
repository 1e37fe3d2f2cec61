//! Shapes as data, and tensors made from nothing but numbers.

use half::{bf16, f16};
use mlops_core::{DType, Error, Result};

use super::layout::{Integers, lengths};
use super::{Context, Entry, Operator, Outputs, Source, one, onnx, support};
use crate::engine::onnx::decode::dtype_of;
use crate::engine::onnx::memory::Memory;
use crate::engine::onnx::tensor::{Data, HostTensor, Scalar, Shape as Lengths, element_count, for_any};
use crate::engine::onnx::value::Inputs;

pub(super) const OPERATORS: &[Entry] = &[
    onnx("ConstantOfShape", 9, constant_of_shape),
    onnx("EyeLike", 9, eye_like),
    onnx("OneHot", 9, one_hot),
    onnx("Range", 11, range),
    onnx("Shape", 1, shape),
    onnx("Size", 1, size),
];

/// `Shape`: the lengths of the dimensions from `start` up to `end`, which count from the back when negative.
#[derive(Debug)]
struct Shape {
    start: i64,
    end: i64,
}

fn shape(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    let attributes = &source.node.attributes;
    Ok(Box::new(Shape { start: attributes.int("start", 0)?, end: attributes.int("end", i64::MAX)? }))
}

impl Operator for Shape {
    fn run(&self, inputs: &mut Inputs<'_>, _: &mut Context<'_>) -> Result<Outputs> {
        let shape = inputs.tensor(0)?.shape();
        let place = |index: i64| {
            let index = if index < 0 { index.saturating_add_unsigned(shape.len() as u64) } else { index };
            usize::try_from(index).unwrap_or(0).min(shape.len())
        };
        let (start, end) = (place(self.start), place(self.end));
        let lengths = shape.get(start..end).unwrap_or(&[]);
        one(HostTensor::vector(lengths.iter().map(|&length| length as i64).collect()))
    }
}

/// `Size`: the number of elements.
#[derive(Debug)]
struct Size;

fn size(_: &Source<'_>) -> Result<Box<dyn Operator>> {
    Ok(Box::new(Size))
}

impl Operator for Size {
    fn run(&self, inputs: &mut Inputs<'_>, _: &mut Context<'_>) -> Result<Outputs> {
        one(HostTensor::scalar(inputs.tensor(0)?.len() as i64))
    }
}

/// `ConstantOfShape`: one value everywhere; 0 as `f32` unless another is given.
#[derive(Debug)]
struct ConstantOfShape {
    value: HostTensor,
    shape: Integers,
}

fn constant_of_shape(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    let value = source.node.attributes.tensor("value")?.cloned();
    let value = value.unwrap_or_else(|| HostTensor::vector(vec![0.0_f32]));
    if value.len() != 1 {
        return Err(Error::invalid_input(format!("the value must be one element, not {}", value.len())));
    }
    Ok(Box::new(ConstantOfShape { value, shape: Integers::input(source, 0)? }))
}

impl Operator for ConstantOfShape {
    fn run(&self, inputs: &mut Inputs<'_>, context: &mut Context<'_>) -> Result<Outputs> {
        let shape = self.shape.get(inputs)?.ok_or_else(|| Error::engine("the shape is missing"))?;
        let shape: Lengths = lengths(&shape)?;
        let count = element_count(&shape)?;
        let data = for_any!(self.value.data(), |value| repeated(&value[0], count, context.memory)?);
        one(HostTensor::from_data(shape, data)?)
    }
}

fn repeated<T: Scalar>(value: &T, count: usize, memory: &mut Memory) -> Result<Data> {
    let mut elements: Vec<T> = memory.vector(count)?;
    elements.resize(count, value.clone());
    Ok(T::wrap(elements.into()))
}

/// `Range`: the numbers from `start` up to, but without, `limit`, in steps of `delta`.
#[derive(Debug)]
struct Range {
    /// Whether narrow floats are computed as they are and not as `f32`.
    narrow: bool,
}

fn range(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    Ok(Box::new(Range { narrow: source.node.attributes.int("stash_type", 1)? != 1 }))
}

impl Operator for Range {
    fn run(&self, inputs: &mut Inputs<'_>, context: &mut Context<'_>) -> Result<Outputs> {
        let memory = &mut *context.memory;
        let narrow = self.narrow;
        one(match inputs.tensor(0)?.dtype() {
            DType::Fp32 => counted::<f32>(inputs, memory, |s, d, i| s + i as f32 * d)?,
            DType::Fp64 => counted::<f64>(inputs, memory, |s, d, i| s + i as f64 * d)?,
            DType::Int16 => {
                counted::<i16>(inputs, memory, |s, d, i| s.wrapping_add(d.wrapping_mul(i as i16)))?
            }
            DType::Int32 => {
                counted::<i32>(inputs, memory, |s, d, i| s.wrapping_add(d.wrapping_mul(i as i32)))?
            }
            DType::Int64 => {
                counted::<i64>(inputs, memory, |s, d, i| s.wrapping_add(d.wrapping_mul(i as i64)))?
            }
            DType::Fp16 => counted::<f16>(inputs, memory, |s, d, i| match narrow {
                true => s + f16::from_f32(i as f32) * d,
                false => f16::from_f32(s.to_f32() + i as f32 * d.to_f32()),
            })?,
            DType::Bf16 => counted::<bf16>(inputs, memory, |s, d, i| match narrow {
                true => s + bf16::from_f32(i as f32) * d,
                false => bf16::from_f32(s.to_f32() + i as f32 * d.to_f32()),
            })?,
            other => return Err(Error::engine(format!("a range of {other} is not defined"))),
        })
    }
}

/// A number whose range has a length.
trait Steps: Scalar + Copy {
    /// How many steps lead from `start` to `limit` or beyond; `None` when it is no number.
    fn steps(start: Self, limit: Self, delta: Self) -> Option<usize>;
}

macro_rules! integer_steps {
    ($($type:ty)*) => {
        $(impl Steps for $type {
            fn steps(start: Self, limit: Self, delta: Self) -> Option<usize> {
                let (distance, delta) = (i128::from(limit) - i128::from(start), i128::from(delta));
                if delta == 0 {
                    return None;
                }
                // Rounded towards the greater number of steps.
                let steps = distance / delta + i128::from(distance % delta != 0 && (distance < 0) == (delta < 0));
                Some(usize::try_from(steps.max(0)).unwrap_or(usize::MAX))
            }
        })*
    };
}

integer_steps! { i16 i32 i64 }

macro_rules! float_steps {
    ($($type:ty: $distance:expr;)*) => {
        $(impl Steps for $type {
            fn steps(start: Self, limit: Self, delta: Self) -> Option<usize> {
                let distance: fn(Self, Self) -> f64 = $distance;
                let steps = (distance(start, limit) / f64::from(delta)).ceil();
                // `as` saturates.
                if steps.is_nan() || delta == <$type>::default() { None } else { Some(steps.max(0.0) as usize) }
            }
        })*
    };
}

float_steps! {
    f32: |start, limit| f64::from(limit - start);
    f64: |start, limit| limit - start;
    f16: |start, limit| f64::from(limit) - f64::from(start);
    bf16: |start, limit| f64::from(limit) - f64::from(start);
}

fn counted<T: Steps>(
    inputs: &Inputs<'_>,
    memory: &mut Memory,
    at: impl Fn(T, T, usize) -> T,
) -> Result<HostTensor> {
    let scalar = |index: usize| inputs.tensor(index)?.to_scalar::<T>();
    let (start, limit, delta) = (scalar(0)?, scalar(1)?, scalar(2)?);
    let count = T::steps(start, limit, delta).ok_or_else(|| {
        Error::engine(format!("a range from {start:?} to {limit:?} by {delta:?} has no end"))
    })?;
    let mut elements: Vec<T> = memory.vector(count)?;
    elements.extend((0..count).map(|index| at(start, delta, index)));
    Ok(HostTensor::vector(elements))
}

/// `EyeLike`: ones on a diagonal of a matrix of the input's shape.
#[derive(Debug)]
struct EyeLike {
    dtype: Option<DType>,
    diagonal: i64,
}

fn eye_like(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    let attributes = &source.node.attributes;
    let dtype = attributes.optional_int("dtype")?.map(element_type).transpose()?;
    Ok(Box::new(EyeLike { dtype, diagonal: attributes.int("k", 0)? }))
}

/// The element type that an attribute gives by its number.
pub(super) fn element_type(number: i64) -> Result<DType> {
    dtype_of(i32::try_from(number).unwrap_or(i32::MAX))
}

impl Operator for EyeLike {
    fn run(&self, inputs: &mut Inputs<'_>, context: &mut Context<'_>) -> Result<Outputs> {
        let like = inputs.tensor(0)?;
        let &[rows, columns] = like.shape() else {
            return Err(Error::engine(format!("a matrix has 2 dimensions, not {}", like.rank())));
        };
        let count = element_count(like.shape())?;
        let first = self.diagonal;
        let mut eye = |one: HostTensor| -> Result<HostTensor> {
            fn filled<T: Scalar>(
                one: &T,
                [rows, columns, count]: [usize; 3],
                first: i64,
                memory: &mut Memory,
            ) -> Result<Data> {
                let mut elements: Vec<T> = memory.vector(count)?;
                elements.resize(count, T::default());
                for row in 0..rows {
                    let column = first.saturating_add(row as i64);
                    if let Some(column) = usize::try_from(column).ok().filter(|&column| column < columns) {
                        elements[row * columns + column] = one.clone();
                    }
                }
                Ok(T::wrap(elements.into()))
            }
            let size = [rows, columns, count];
            let data = for_any!(one.data(), |one| filled(&one[0], size, first, context.memory)?);
            HostTensor::from_data(Lengths::from_slice(&[rows, columns]), data)
        };
        one(eye(unit(self.dtype.unwrap_or(like.dtype()))?)?)
    }
}

/// The number one.
fn unit(dtype: DType) -> Result<HostTensor> {
    Ok(match dtype {
        DType::Bool => HostTensor::scalar(true),
        DType::Uint8 => HostTensor::scalar(1_u8),
        DType::Uint16 => HostTensor::scalar(1_u16),
        DType::Uint32 => HostTensor::scalar(1_u32),
        DType::Uint64 => HostTensor::scalar(1_u64),
        DType::Int8 => HostTensor::scalar(1_i8),
        DType::Int16 => HostTensor::scalar(1_i16),
        DType::Int32 => HostTensor::scalar(1_i32),
        DType::Int64 => HostTensor::scalar(1_i64),
        DType::Fp16 => HostTensor::scalar(f16::ONE),
        DType::Bf16 => HostTensor::scalar(bf16::ONE),
        DType::Fp32 => HostTensor::scalar(1.0_f32),
        DType::Fp64 => HostTensor::scalar(1.0_f64),
        DType::Bytes => return Err(Error::engine("strings have no one")),
    })
}

/// `OneHot`: a new dimension in which the element at the index is on and all others are off.
#[derive(Debug)]
struct OneHot {
    axis: i64,
    /// From operator set 11 on, indices count from the back when negative.
    from_back: bool,
}

fn one_hot(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    let axis = source.node.attributes.int("axis", -1)?;
    Ok(Box::new(OneHot { axis, from_back: source.node.opset >= 11 }))
}

impl Operator for OneHot {
    fn run(&self, inputs: &mut Inputs<'_>, context: &mut Context<'_>) -> Result<Outputs> {
        let indices = inputs.tensor(0)?;
        let axis = support::axis(self.axis, indices.rank() + 1)?;
        let depth = match *truncated(inputs.tensor(1)?)? {
            [depth] => depth,
            ref other => return Err(Error::engine(format!("the depth is one number, not {}", other.len()))),
        };
        let depth = lengths(&[depth])?[0];
        let mut shape = Lengths::from_slice(indices.shape());
        shape.insert(axis, depth);
        let count = element_count(&shape)?;
        let inner = support::product(&indices.shape()[axis..]);
        let indices = truncated(indices)?;
        let from_back = if self.from_back { depth as i64 } else { 0 };
        fn filled<T: Scalar>(
            values: &[T],
            indices: &[i64],
            [inner, depth, count]: [usize; 3],
            from_back: i64,
            memory: &mut Memory,
        ) -> Result<Data> {
            let [off, on] = values else {
                return Err(Error::engine(format!("the values are two, off and on, not {}", values.len())));
            };
            let mut elements: Vec<T> = memory.vector(count)?;
            elements.resize(count, off.clone());
            for (place, &index) in indices.iter().enumerate() {
                let index = if index < 0 { index.saturating_add(from_back) } else { index };
                if let Some(index) = usize::try_from(index).ok().filter(|&index| index < depth) {
                    elements[(place / inner * depth + index) * inner + place % inner] = on.clone();
                }
            }
            Ok(T::wrap(elements.into()))
        }
        let size = [inner, depth, count];
        let values = inputs.tensor(2)?;
        let data = for_any!(values.data(), |v| filled(v, &indices, size, from_back, context.memory)?);
        one(HostTensor::from_data(shape, data)?)
    }
}

/// Numbers of any type as integers, without what is behind the point.
fn truncated(tensor: &HostTensor) -> Result<Vec<i64>> {
    Ok(match tensor.data() {
        Data::F32(elements) => elements.iter().map(|&value| value as i64).collect(),
        Data::F64(elements) => elements.iter().map(|&value| value as i64).collect(),
        Data::F16(elements) => elements.iter().map(|&value| value.to_f32() as i64).collect(),
        Data::Bf16(elements) => elements.iter().map(|&value| value.to_f32() as i64).collect(),
        Data::U64(elements) => {
            elements.iter().map(|&value| i64::try_from(value).unwrap_or(i64::MAX)).collect()
        }
        _ => tensor.to_i64s()?,
    })
}

#[cfg(test)]
mod tests {
    use super::Steps;

    #[test]
    fn a_range_ends_before_its_limit() {
        assert_eq!(i64::steps(0, 10, 3), Some(4));
        assert_eq!(i64::steps(0, 9, 3), Some(3));
        assert_eq!(i64::steps(10, 4, -2), Some(3));
        assert_eq!(i64::steps(10, 5, -2), Some(3));
        assert_eq!(i64::steps(0, -1, 1), Some(0));
        assert_eq!(i64::steps(0, 1, 0), None);
        assert_eq!(i64::steps(i64::MIN, i64::MAX, 1), Some(usize::MAX));
        assert_eq!(f32::steps(0.0, 1.0, 0.3), Some(4));
        assert_eq!(f32::steps(0.0, f32::INFINITY, 1.0), Some(usize::MAX));
        assert_eq!(f32::steps(0.0, f32::NAN, 1.0), None);
        assert_eq!(f32::steps(1.0, 2.0, 0.0), None);
    }
}
