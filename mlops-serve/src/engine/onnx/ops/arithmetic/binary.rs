//! Sums, differences, products, quotients and what divisions leave.

use mlops_core::{DType, Error, Result};

use super::Alignment;
use crate::engine::onnx::memory::Memory;
use crate::engine::onnx::ops::elementwise::combine;
use crate::engine::onnx::ops::number::{Number, for_number_type};
use crate::engine::onnx::ops::support::zip_in;
use crate::engine::onnx::ops::{Context, Inputs, Operator, Outputs, Source};
use crate::engine::onnx::tensor::{HostTensor, Shape};
use crate::kernels::elementwise::Binary;

pub(super) fn add(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    build(source, Operation::Add)
}

pub(super) fn sub(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    build(source, Operation::Sub)
}

pub(super) fn mul(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    build(source, Operation::Mul)
}

pub(super) fn div(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    build(source, Operation::Div)
}

/// The attribute `fmod` says which sign the result has: that of the dividend (1) or that of the divisor (0).
pub(super) fn modulo(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    let fmod = source.node.attributes.flag("fmod", false)?;
    build(source, if fmod { Operation::Remainder } else { Operation::Modulo })
}

fn build(source: &Source<'_>, operation: Operation) -> Result<Box<dyn Operator>> {
    Ok(Box::new(Arithmetic { operation, alignment: Alignment::of(source)? }))
}

#[derive(Debug)]
struct Arithmetic {
    operation: Operation,
    alignment: Alignment,
}

/// What is computed of two numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    Add,
    Sub,
    Mul,
    Div,
    Min,
    Max,
    Modulo,
    Remainder,
}

impl Operator for Arithmetic {
    fn run(&self, inputs: &mut Inputs<'_>, context: &mut Context<'_>) -> Result<Outputs> {
        self.alignment.run(inputs, |inputs, shape| compute(self.operation, shape, inputs, context))
    }
}

/// The operation on the first two inputs, which have one type, broadcast to `shape`.
pub(super) fn compute(
    operation: Operation,
    shape: Shape,
    inputs: &mut Inputs<'_>,
    context: &mut Context<'_>,
) -> Result<HostTensor> {
    let dtype = inputs.tensor(0)?.dtype();
    let vectorised = match operation {
        Operation::Add => Some(Binary::Add),
        Operation::Sub => Some(Binary::Sub),
        Operation::Mul => Some(Binary::Mul),
        Operation::Div => Some(Binary::Div),
        Operation::Min => Some(Binary::Min),
        Operation::Max => Some(Binary::Max),
        Operation::Modulo | Operation::Remainder => None,
    };
    if let Some(operation) = vectorised
        && dtype == DType::Fp32
    {
        return combine(operation, shape, inputs, context);
    }
    for_number_type!(
        dtype,
        T => typed::<T>(operation, shape, inputs.tensor(0)?, inputs.tensor(1)?, context.memory),
        else Err(Error::engine(format!("numbers are needed, not {dtype}")))
    )
}

fn typed<T: Number>(
    operation: Operation,
    shape: Shape,
    a: &HostTensor,
    b: &HostTensor,
    memory: &mut Memory,
) -> Result<HostTensor> {
    let (a, b) = ((a.shape(), a.elements::<T>()?), (b.shape(), b.elements::<T>()?));
    let divides = matches!(operation, Operation::Div | Operation::Modulo | Operation::Remainder);
    if divides && !T::IS_FLOAT && b.1.contains(&T::ZERO) {
        return Err(Error::engine("an integer is divided by zero"));
    }
    let output = match operation {
        Operation::Add => zip_in(memory, &shape, a, b, |&a, &b| a.plus(b))?,
        Operation::Sub => zip_in(memory, &shape, a, b, |&a, &b| a.minus(b))?,
        Operation::Mul => zip_in(memory, &shape, a, b, |&a, &b| a.times(b))?,
        Operation::Div => zip_in(memory, &shape, a, b, |&a, &b| a.over(b))?,
        Operation::Min => zip_in(memory, &shape, a, b, |&a, &b| a.smaller(b))?,
        Operation::Max => zip_in(memory, &shape, a, b, |&a, &b| a.larger(b))?,
        Operation::Modulo => zip_in(memory, &shape, a, b, |&a, &b| a.modulo(b))?,
        Operation::Remainder => zip_in(memory, &shape, a, b, |&a, &b| a.remainder(b))?,
    };
    HostTensor::new(shape, output)
}
