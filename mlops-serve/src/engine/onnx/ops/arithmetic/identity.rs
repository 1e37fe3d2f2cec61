//! What leaves its input as it is: Identity, and Dropout when nothing is trained.

use mlops_core::{Error, Result};
use smallvec::smallvec;

use crate::engine::onnx::ops::{Context, Inputs, Operator, Outputs, Source};
use crate::engine::onnx::tensor::{Data, HostTensor, Shape};
use crate::engine::onnx::value::Value;

pub(super) fn identity(_: &Source<'_>) -> Result<Box<dyn Operator>> {
    Ok(Box::new(Identity))
}

#[derive(Debug)]
struct Identity;

impl Operator for Identity {
    fn run(&self, inputs: &mut Inputs<'_>, _: &mut Context<'_>) -> Result<Outputs> {
        Ok(smallvec![inputs.take_value(0)?])
    }
}

pub(super) fn dropout(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    Ok(Box::new(Dropout { mask: source.wants(1), mask_is_bool: source.node.opset >= 10 }))
}

/// Training is asked for by input 2 since version 12; before, it is never done, as elsewhere at inference.
#[derive(Debug)]
struct Dropout {
    mask: bool,
    mask_is_bool: bool,
}

impl Operator for Dropout {
    fn run(&self, inputs: &mut Inputs<'_>, _: &mut Context<'_>) -> Result<Outputs> {
        let training = match inputs.optional(2)? {
            Some(training) => training.to_scalar::<bool>()?,
            None => false,
        };
        if training && ratio(inputs)? != 0.0 {
            return Err(Error::unsupported("Dropout in training mode: export the model for inference"));
        }
        let data = inputs.take(0)?;
        let mut outputs: Outputs = smallvec![];
        if self.mask {
            let (shape, count) = (Shape::from_slice(data.shape()), data.len());
            let mask = match data.data() {
                Data::F32(_) if !self.mask_is_bool => HostTensor::new(shape, vec![1.0_f32; count])?,
                Data::F64(_) if !self.mask_is_bool => HostTensor::new(shape, vec![1.0_f64; count])?,
                Data::F16(_) if !self.mask_is_bool => HostTensor::new(shape, vec![half::f16::ONE; count])?,
                _ => HostTensor::new(shape, vec![true; count])?,
            };
            outputs.push(Value::Tensor(mask));
        }
        outputs.insert(0, Value::Tensor(data));
        Ok(outputs)
    }
}

/// Which share of the elements training would drop.
fn ratio(inputs: &Inputs<'_>) -> Result<f64> {
    let Some(ratio) = inputs.optional(1)? else { return Ok(0.5) };
    match ratio.data() {
        Data::F32(_) => Ok(ratio.to_scalar::<f32>()?.into()),
        Data::F16(_) => Ok(ratio.to_scalar::<half::f16>()?.into()),
        Data::Bf16(_) => Ok(ratio.to_scalar::<half::bf16>()?.into()),
        _ => ratio.to_scalar::<f64>(),
    }
}
