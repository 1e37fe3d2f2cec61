//! Activations that integers have, too: Relu and Shrink.

use mlops_core::{DType, Error, Result};

use crate::engine::onnx::ops::elementwise::map;
use crate::engine::onnx::ops::number::{Number, for_number_type};
use crate::engine::onnx::ops::{Context, Inputs, Operator, Outputs, Source, one};
use crate::engine::onnx::tensor::{HostTensor, Shape};
use crate::kernels::math;

pub(super) fn relu(_: &Source<'_>) -> Result<Box<dyn Operator>> {
    Ok(Box::new(Relu))
}

#[derive(Debug)]
struct Relu;

impl Operator for Relu {
    fn run(&self, inputs: &mut Inputs<'_>, context: &mut Context<'_>) -> Result<Outputs> {
        let dtype = inputs.tensor(0)?.dtype();
        if dtype == DType::Fp32 {
            return one(map(inputs, context, &math::relu, &|value| value.larger(0.0))?);
        }
        one(for_number_type!(
            dtype,
            T => each::<T>(inputs.take(0)?, |value| value.larger(T::ZERO))?,
            else return Err(Error::engine(format!("numbers are needed, not {dtype}")))
        ))
    }
}

pub(super) fn shrink(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    let attributes = &source.node.attributes;
    Ok(Box::new(Shrink {
        bias: attributes.float("bias", 0.0)?.into(),
        threshold: attributes.float("lambd", 0.5)?.into(),
    }))
}

/// Zero within the threshold; beyond, nearer to zero by the bias.
#[derive(Debug)]
struct Shrink {
    bias: f64,
    threshold: f64,
}

impl Operator for Shrink {
    fn run(&self, inputs: &mut Inputs<'_>, _: &mut Context<'_>) -> Result<Outputs> {
        let tensor = inputs.take(0)?;
        let dtype = tensor.dtype();
        let shrunk = |value: f64| {
            if value < -self.threshold {
                value + self.bias
            } else if value > self.threshold {
                value - self.bias
            } else {
                0.0
            }
        };
        one(for_number_type!(
            dtype,
            T => each::<T>(tensor, |value| T::from_f64(shrunk(Number::to_f64(value))))?,
            else return Err(Error::engine(format!("numbers are needed, not {dtype}")))
        ))
    }
}

fn each<T: Number>(tensor: HostTensor, function: impl Fn(T) -> T) -> Result<HostTensor> {
    let shape = Shape::from_slice(tensor.shape());
    let mut elements = tensor.into_elements::<T>()?;
    elements.iter_mut().for_each(|element| *element = function(*element));
    HostTensor::new(shape, elements)
}
