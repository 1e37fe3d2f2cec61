//! SwiGLU: one tensor gated by the Swish of another.

use mlops_core::{DType, Error, Result};

use super::function::Function;
use crate::engine::onnx::ops::elementwise::{combine, map};
use crate::engine::onnx::ops::number::{Number, for_number_type};
use crate::engine::onnx::ops::support::zip;
use crate::engine::onnx::ops::{Context, Inputs, Operator, Outputs, Source, one};
use crate::engine::onnx::tensor::{HostTensor, Shape};
use crate::engine::onnx::value::Value;
use crate::kernels::elementwise::Binary;

pub(super) fn swiglu(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    Ok(Box::new(SwiGlu { alpha: source.node.attributes.float("alpha", 1.0)? }))
}

/// `a sigmoid(alpha a) b`.
#[derive(Debug)]
struct SwiGlu {
    alpha: f32,
}

impl Operator for SwiGlu {
    fn run(&self, inputs: &mut Inputs<'_>, context: &mut Context<'_>) -> Result<Outputs> {
        let (a, b) = (inputs.tensor(0)?, inputs.tensor(1)?);
        if a.shape() != b.shape() {
            let [a, b] = [a.shape(), b.shape()];
            return Err(Error::engine(format!(
                "the gate {a:?} and the value {b:?} must have the same shape"
            )));
        }
        let (shape, dtype) = (Shape::from_slice(a.shape()), a.dtype());
        if matches!(dtype, DType::Fp16 | DType::Bf16) {
            // Both factors in single precision, rounded once.
            return one(for_number_type!(
                dtype,
                T => self.rounded_once::<T>(shape, a, b)?,
                else return Err(Error::engine("floats are needed"))
            ));
        }
        let function = Function::Swish { alpha: self.alpha };
        let gate = map(inputs, context, &|values| function.single(values), &|value| function.double(value))?;
        let mut pair = [Some(Value::Tensor(gate)), Some(Value::Tensor(inputs.take(1)?))];
        let mut pair = Inputs::new(&mut pair);
        if dtype == DType::Fp32 {
            return one(combine(Binary::Mul, shape, &mut pair, context)?);
        }
        let (gate, value) = (pair.elements::<f64>(0)?, pair.elements::<f64>(1)?);
        one(HostTensor::new(shape.clone(), zip(&shape, (&shape, gate), (&shape, value), |a, b| a * b)?)?)
    }
}

impl SwiGlu {
    fn rounded_once<T: Number>(&self, shape: Shape, a: &HostTensor, b: &HostTensor) -> Result<HostTensor> {
        let function = Function::Swish { alpha: self.alpha };
        let pairs = a.elements::<T>()?.iter().zip(b.elements::<T>()?);
        let products = pairs.map(|(a, b)| T::from_f64(function.double(a.to_f64()) * b.to_f64()));
        HostTensor::new(shape, products.collect::<Vec<_>>())
    }
}
