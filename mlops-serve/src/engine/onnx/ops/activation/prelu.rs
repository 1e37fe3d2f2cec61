//! PRelu: a slope for negative values that is a tensor.

use mlops_core::{DType, Error, Result};

use crate::engine::onnx::ops::elementwise::combine;
use crate::engine::onnx::ops::number::{Number, for_number_type};
use crate::engine::onnx::ops::support::{broadcast, zip};
use crate::engine::onnx::ops::{Context, Inputs, Operator, Outputs, Source, one};
use crate::engine::onnx::tensor::{HostTensor, Shape};
use crate::engine::onnx::value::Value;
use crate::kernels::elementwise::Binary;

pub(super) fn prelu(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    Ok(Box::new(PRelu { slope_of_channels: source.node.opset < 7 }))
}

#[derive(Debug)]
struct PRelu {
    /// Before version 7 a vector of slopes belongs to dimension 1, not to the last one.
    slope_of_channels: bool,
}

impl Operator for PRelu {
    fn run(&self, inputs: &mut Inputs<'_>, context: &mut Context<'_>) -> Result<Outputs> {
        let (x, mut slope) = (inputs.take(0)?, inputs.take(1)?);
        if self.slope_of_channels && slope.rank() == 1 && x.rank() > 2 {
            let mut shape = Shape::from_slice(slope.shape());
            shape.resize(x.rank() - 1, 1);
            slope = slope.reshaped(shape)?;
        }
        let shape = Shape::from_slice(x.shape());
        if broadcast([x.shape(), slope.shape()])? != shape {
            let (slope, x) = (slope.shape(), x.shape());
            return Err(Error::engine(format!("the slope {slope:?} cannot be broadcast to {x:?}")));
        }
        let dtype = x.dtype();
        if dtype == DType::Fp32 {
            let mut pair = [Some(Value::Tensor(x)), Some(Value::Tensor(slope))];
            return one(combine(Binary::Prelu, shape, &mut Inputs::new(&mut pair), context)?);
        }
        one(for_number_type!(
            dtype,
            T => typed::<T>(shape, &x, &slope)?,
            else return Err(Error::engine(format!("numbers are needed, not {dtype}")))
        ))
    }
}

fn typed<T: Number>(shape: Shape, x: &HostTensor, slope: &HostTensor) -> Result<HostTensor> {
    let (x, slope) = ((x.shape(), x.elements::<T>()?), (slope.shape(), slope.elements::<T>()?));
    let output = zip(&shape, x, slope, |&x, &slope| if x < T::ZERO { x.times(slope) } else { x })?;
    HostTensor::new(shape, output)
}
