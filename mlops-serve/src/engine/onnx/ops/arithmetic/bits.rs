//! Operations on the bits of integers.

use mlops_core::{DType, Error, Result};

use super::Alignment;
use crate::engine::onnx::memory::Memory;
use crate::engine::onnx::ops::support::zip_in;
use crate::engine::onnx::ops::{Context, Inputs, Operator, Outputs, Source, one};
use crate::engine::onnx::tensor::{HostTensor, Scalar, Shape};

pub(super) fn and(_: &Source<'_>) -> Result<Box<dyn Operator>> {
    Ok(Box::new(Bitwise::And))
}

pub(super) fn or(_: &Source<'_>) -> Result<Box<dyn Operator>> {
    Ok(Box::new(Bitwise::Or))
}

pub(super) fn xor(_: &Source<'_>) -> Result<Box<dyn Operator>> {
    Ok(Box::new(Bitwise::Xor))
}

pub(super) fn shift(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    match source.node.attributes.text("direction")?.map(String::as_str) {
        Some("LEFT") => Ok(Box::new(Bitwise::ShiftLeft)),
        Some("RIGHT") => Ok(Box::new(Bitwise::ShiftRight)),
        other => {
            let given = other.unwrap_or("nothing");
            Err(Error::invalid_input(format!("the attribute `direction` must be LEFT or RIGHT, not {given}")))
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Bitwise {
    And,
    Or,
    Xor,
    ShiftLeft,
    ShiftRight,
}

/// An integer as bits.
trait Bits: Scalar + Copy {
    fn and(self, other: Self) -> Self;
    fn or(self, other: Self) -> Self;
    fn xor(self, other: Self) -> Self;
    fn inverted(self) -> Self;
    /// Zero when the distance is negative or not less than the number of bits.
    fn left(self, distance: Self) -> Self;
    /// What the sign bit alone gives when the distance is negative or not less than the number of bits.
    fn right(self, distance: Self) -> Self;
}

macro_rules! bits {
    ($($type:ty)*) => {
        $(impl Bits for $type {
            fn and(self, other: Self) -> Self {
                self & other
            }

            fn or(self, other: Self) -> Self {
                self | other
            }

            fn xor(self, other: Self) -> Self {
                self ^ other
            }

            fn inverted(self) -> Self {
                !self
            }

            fn left(self, distance: Self) -> Self {
                u32::try_from(distance).ok().and_then(|distance| self.checked_shl(distance)).unwrap_or(0)
            }

            fn right(self, distance: Self) -> Self {
                let sign = if Self::MIN == 0 { 0 } else { self >> (Self::BITS - 1) };
                u32::try_from(distance).ok().and_then(|distance| self.checked_shr(distance)).unwrap_or(sign)
            }
        })*
    };
}

bits!(u8 u16 u32 u64 i8 i16 i32 i64);

macro_rules! for_integer_type {
    ($dtype:expr, $function:ident($($argument:expr),*)) => {
        match $dtype {
            DType::Uint8 => $function::<u8>($($argument),*),
            DType::Uint16 => $function::<u16>($($argument),*),
            DType::Uint32 => $function::<u32>($($argument),*),
            DType::Uint64 => $function::<u64>($($argument),*),
            DType::Int8 => $function::<i8>($($argument),*),
            DType::Int16 => $function::<i16>($($argument),*),
            DType::Int32 => $function::<i32>($($argument),*),
            DType::Int64 => $function::<i64>($($argument),*),
            other => Err(Error::engine(format!("integers are needed, not {other}"))),
        }
    };
}

impl Operator for Bitwise {
    fn run(&self, inputs: &mut Inputs<'_>, context: &mut Context<'_>) -> Result<Outputs> {
        Alignment::Last.run(inputs, |inputs, shape| {
            let (a, b) = (inputs.tensor(0)?, inputs.tensor(1)?);
            for_integer_type!(a.dtype(), pairs(*self, shape, a, b, context.memory))
        })
    }
}

fn pairs<T: Bits>(
    operation: Bitwise,
    shape: Shape,
    a: &HostTensor,
    b: &HostTensor,
    memory: &mut Memory,
) -> Result<HostTensor> {
    let (a, b) = ((a.shape(), a.elements::<T>()?), (b.shape(), b.elements::<T>()?));
    let output = match operation {
        Bitwise::And => zip_in(memory, &shape, a, b, |&a, &b| a.and(b))?,
        Bitwise::Or => zip_in(memory, &shape, a, b, |&a, &b| a.or(b))?,
        Bitwise::Xor => zip_in(memory, &shape, a, b, |&a, &b| a.xor(b))?,
        Bitwise::ShiftLeft => zip_in(memory, &shape, a, b, |&a, &b| a.left(b))?,
        Bitwise::ShiftRight => zip_in(memory, &shape, a, b, |&a, &b| a.right(b))?,
    };
    HostTensor::new(shape, output)
}

pub(super) fn not(_: &Source<'_>) -> Result<Box<dyn Operator>> {
    Ok(Box::new(Not))
}

#[derive(Debug)]
struct Not;

impl Operator for Not {
    fn run(&self, inputs: &mut Inputs<'_>, _: &mut Context<'_>) -> Result<Outputs> {
        let tensor = inputs.take(0)?;
        one(for_integer_type!(tensor.dtype(), inverted(tensor))?)
    }
}

fn inverted<T: Bits>(tensor: HostTensor) -> Result<HostTensor> {
    let shape = Shape::from_slice(tensor.shape());
    let mut elements = tensor.into_elements::<T>()?;
    elements.iter_mut().for_each(|element| *element = element.inverted());
    HostTensor::new(shape, elements)
}
