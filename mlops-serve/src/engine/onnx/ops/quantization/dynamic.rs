//! DynamicQuantizeLinear: to 8 bits, with the scale and zero point that the elements ask for.

use mlops_core::{DType, Result};
use smallvec::smallvec;

use super::parameters::{Parameters, stored};
use crate::engine::onnx::ops::{Context, Inputs, Operator, Outputs, Source};
use crate::engine::onnx::tensor::{Data, HostTensor};
use crate::engine::onnx::value::Value;
use crate::kernels::reduce::{Reduction, reduce};

pub(super) fn dynamic_quantize(_: &Source<'_>) -> Result<Box<dyn Operator>> {
    Ok(Box::new(DynamicQuantize))
}

#[derive(Debug)]
struct DynamicQuantize;

impl Operator for DynamicQuantize {
    fn run(&self, inputs: &mut Inputs<'_>, _: &mut Context<'_>) -> Result<Outputs> {
        let x = inputs.tensor(0)?;
        let (data, parameters) = quantized(x.elements::<f32>()?)?;
        Ok(smallvec![
            Value::Tensor(HostTensor::from_data(x.shape().into(), data)?),
            Value::Tensor(HostTensor::scalar(parameters.scale)),
            Value::Tensor(HostTensor::scalar(parameters.zero as u8)),
        ])
    }
}

/// The elements as `u8`, such that zero and both extremes are within the range.
pub(super) fn quantized(x: &[f32]) -> Result<(Data, Parameters)> {
    let parameters = parameters(x);
    Ok((stored(x, parameters, DType::Uint8)?, parameters))
}

fn parameters(x: &[f32]) -> Parameters {
    let extreme = |kind| {
        let mut extreme = [0.0_f32];
        if !x.is_empty() {
            reduce(kind, x, x.len(), 1, &mut extreme);
        }
        extreme[0]
    };
    let (lowest, highest) = (extreme(Reduction::Min).min(0.0), extreme(Reduction::Max).max(0.0));
    let range = highest - lowest;
    // All zeros are stored as zeros whatever the scale.
    let scale = if range == 0.0 { 1.0 } else { range / 255.0 };
    let zero = (-lowest / scale).round_ties_even().clamp(0.0, 255.0);
    Parameters { scale, zero: zero as i32 }
}
