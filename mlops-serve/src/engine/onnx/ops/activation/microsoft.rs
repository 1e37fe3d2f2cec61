//! onnxruntime's GELUs with a bias.

use mlops_core::{DType, Result};

use super::function::Function;
use crate::engine::onnx::ops::arithmetic::{added, converted};
use crate::engine::onnx::ops::elementwise::map;
use crate::engine::onnx::ops::{Context, Inputs, Operator, Outputs, Source, one};
use crate::engine::onnx::tensor::HostTensor;
use crate::engine::onnx::value::Value;

pub(super) fn bias_gelu(_: &Source<'_>) -> Result<Box<dyn Operator>> {
    Ok(Box::new(Biased { function: Function::Gelu }))
}

pub(super) fn fast_gelu(_: &Source<'_>) -> Result<Box<dyn Operator>> {
    Ok(Box::new(Biased { function: Function::GeluTanh }))
}

/// A function of the sum of the first input and, if given, the second.
#[derive(Debug)]
struct Biased {
    function: Function,
}

impl Operator for Biased {
    fn run(&self, inputs: &mut Inputs<'_>, context: &mut Context<'_>) -> Result<Outputs> {
        let function = self.function;
        let single = |values: &mut [f32]| function.single(values);
        let double = |value| function.double(value);
        if !inputs.has(1) {
            return one(map(inputs, context, &single, &double)?);
        }
        let dtype = inputs.tensor(0)?.dtype();
        let sum = if matches!(dtype, DType::Fp16 | DType::Bf16) {
            added(widened(inputs, 0)?, widened(inputs, 1)?, context)?
        } else {
            added(inputs.take(0)?, inputs.take(1)?, context)?
        };
        let mut sum = [Some(Value::Tensor(sum))];
        let result = map(&mut Inputs::new(&mut sum), context, &single, &double)?;
        one(converted(result, dtype)?)
    }
}

fn widened(inputs: &mut Inputs<'_>, index: usize) -> Result<HostTensor> {
    converted(inputs.take(index)?, DType::Fp32)
}
