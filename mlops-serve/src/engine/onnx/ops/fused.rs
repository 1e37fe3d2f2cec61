//! Activation functions that rewrites have recognised.

use mlops_core::Result;

use super::linear::epilogue::activation;
use super::{Context, Entry, Operator, Outputs, Source, fused, one};
use crate::engine::onnx::tensor::{HostTensor, Shape};
use crate::engine::onnx::value::Inputs;
use crate::kernels::epilogue::Activation;
use crate::kernels::math::{activate, activate_into};

pub(super) const OPERATORS: &[Entry] = &[fused("Activation", build)];

/// `activation(x)` with the attributes of the fused operators. Everything is FP32.
#[derive(Debug)]
struct Activate(Activation);

fn build(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    Ok(Box::new(Activate(activation(&source.node.attributes)?)))
}

impl Operator for Activate {
    fn run(&self, inputs: &mut Inputs<'_>, context: &mut Context<'_>) -> Result<Outputs> {
        let x = inputs.take(0)?;
        let shape = Shape::from_slice(x.shape());
        if x.is_unshared() {
            let mut elements = x.into_elements::<f32>()?;
            activate(&self.0, &mut elements);
            return one(HostTensor::new(shape, elements)?);
        }
        let mut out = context.memory.floats(x.len());
        activate_into(&self.0, x.elements()?, &mut out);
        one(HostTensor::new(shape, out)?)
    }
}
