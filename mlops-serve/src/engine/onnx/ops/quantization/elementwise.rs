//! onnxruntime's operators on quantised tensors, element by element: computed in real numbers and quantised again.

use mlops_core::{Error, Result};

use super::parameters::{Parameters, integers, stored};
use crate::engine::onnx::ops::support::{around, axis, broadcast, reserve, zip_in};
use crate::engine::onnx::ops::{Context, Inputs, Operator, Outputs, Source, one};
use crate::engine::onnx::tensor::{HostTensor, Shape, element_count};
use crate::kernels::normalize::softmax_axis;

/// The real numbers that the stored integers of an input stand for.
pub(super) fn dequantized(tensor: &HostTensor, parameters: Parameters) -> Result<Vec<f32>> {
    Ok(integers(tensor)?.into_iter().map(|stored| parameters.real(stored)).collect())
}

pub(super) fn add(_: &Source<'_>) -> Result<Box<dyn Operator>> {
    Ok(Box::new(Pairs { product: false }))
}

pub(super) fn mul(_: &Source<'_>) -> Result<Box<dyn Operator>> {
    Ok(Box::new(Pairs { product: true }))
}

/// Inputs: both operands, each with scale and zero point; then scale and zero point of the output.
#[derive(Debug)]
struct Pairs {
    /// Else the sum.
    product: bool,
}

impl Operator for Pairs {
    fn run(&self, inputs: &mut Inputs<'_>, context: &mut Context<'_>) -> Result<Outputs> {
        let (a, b) = (inputs.tensor(0)?, inputs.tensor(3)?);
        let shape = broadcast([a.shape(), b.shape()])?;
        let a_reals = dequantized(a, Parameters::of(inputs, 1, 2)?)?;
        let b_reals = dequantized(b, Parameters::of(inputs, 4, 5)?)?;
        let (first, second) = ((a.shape(), &*a_reals), (b.shape(), &*b_reals));
        let reals = if self.product {
            zip_in(context.memory, &shape, first, second, |a, b| a * b)?
        } else {
            zip_in(context.memory, &shape, first, second, |a, b| a + b)?
        };
        let data = stored(&reals, Parameters::of(inputs, 6, 7)?, a.dtype())?;
        one(HostTensor::from_data(shape, data)?)
    }
}

pub(super) fn sigmoid(_: &Source<'_>) -> Result<Box<dyn Operator>> {
    Ok(Box::new(Function::Sigmoid))
}

pub(super) fn leaky_relu(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    Ok(Box::new(Function::LeakyRelu { alpha: source.node.attributes.float("alpha", 0.01)? }))
}

/// Inputs: x with scale and zero point, scale and zero point of the output.
#[derive(Debug)]
enum Function {
    Sigmoid,
    LeakyRelu { alpha: f32 },
}

impl Operator for Function {
    fn run(&self, inputs: &mut Inputs<'_>, _: &mut Context<'_>) -> Result<Outputs> {
        let x = inputs.tensor(0)?;
        let mut reals = dequantized(x, Parameters::of(inputs, 1, 2)?)?;
        match *self {
            Self::Sigmoid => crate::kernels::math::sigmoid(&mut reals),
            Self::LeakyRelu { alpha } => crate::kernels::math::leaky_relu(alpha, &mut reals),
        }
        let data = stored(&reals, Parameters::of(inputs, 3, 4)?, x.dtype())?;
        one(HostTensor::from_data(x.shape().into(), data)?)
    }
}

pub(super) fn softmax(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    let attributes = &source.node.attributes;
    Ok(Box::new(Softmax { axis: attributes.int("axis", -1)?, to_the_end: attributes.int("opset", 13)? < 13 }))
}

/// Inputs: x with scale and zero point, scale and zero point of the output.
#[derive(Debug)]
struct Softmax {
    axis: i64,
    /// As in versions before 13 of Softmax: all dimensions from the axis to the end are one.
    to_the_end: bool,
}

impl Operator for Softmax {
    fn run(&self, inputs: &mut Inputs<'_>, _: &mut Context<'_>) -> Result<Outputs> {
        let x = inputs.tensor(0)?;
        let mut around = around(x.shape(), axis(self.axis, x.rank())?);
        if self.to_the_end {
            around.length = around.length.saturating_mul(around.inner);
            around.inner = 1;
        }
        let mut reals = dequantized(x, Parameters::of(inputs, 1, 2)?)?;
        if !reals.is_empty() {
            softmax_axis(&mut reals, around.length, around.inner);
        }
        let data = stored(&reals, Parameters::of(inputs, 3, 4)?, x.dtype())?;
        one(HostTensor::from_data(x.shape().into(), data)?)
    }
}

pub(super) fn concat(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    let axis = source.node.attributes.optional_int("axis")?;
    let axis = axis.ok_or_else(|| Error::invalid_input("the attribute `axis` is missing"))?;
    Ok(Box::new(Concat { axis }))
}

/// Inputs: scale and zero point of the output, then tensors, each with its scale and zero point.
#[derive(Debug)]
struct Concat {
    axis: i64,
}

impl Operator for Concat {
    fn run(&self, inputs: &mut Inputs<'_>, _: &mut Context<'_>) -> Result<Outputs> {
        let first = inputs.tensor(2)?;
        let (dtype, axis) = (first.dtype(), axis(self.axis, first.rank())?);
        let mut shape = Shape::from_slice(first.shape());
        shape[axis] = 0;
        let mut parts = Vec::new();
        for index in (2..inputs.len()).step_by(3) {
            let tensor = inputs.tensor(index)?;
            let mut expected = shape.clone();
            expected[axis] = tensor.shape().get(axis).copied().unwrap_or(0);
            if tensor.shape() != expected.as_slice() {
                let (one, other) = (first.shape(), tensor.shape());
                return Err(Error::engine(format!("{one:?} and {other:?} cannot be joined along {axis}")));
            }
            let reals = dequantized(tensor, Parameters::of(inputs, index + 1, index + 2)?)?;
            parts.push((reals, around(tensor.shape(), axis)));
            shape[axis] = shape[axis].saturating_add(expected[axis]);
        }
        let mut joined: Vec<f32> = reserve(element_count(&shape)?)?;
        let outer = if shape.contains(&0) { 0 } else { around(&shape, axis).outer };
        for row in 0..outer {
            for (reals, around) in &parts {
                let size = around.length * around.inner;
                joined.extend_from_slice(&reals[row * size..(row + 1) * size]);
            }
        }
        let data = stored(&joined, Parameters::of(inputs, 0, 1)?, dtype)?;
        one(HostTensor::from_data(shape, data)?)
    }
}
