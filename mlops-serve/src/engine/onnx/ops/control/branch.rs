//! One of two graphs.

use mlops_core::{Error, Result};

use super::body::Body;
use crate::engine::onnx::ops::{Context, Operator, Outputs, Source};
use crate::engine::onnx::tensor::HostTensor;
use crate::engine::onnx::value::Inputs;

/// `If`.
#[derive(Debug)]
struct If {
    then_branch: Body,
    else_branch: Body,
}

pub(super) fn branch(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    let outputs = source.node.outputs.len();
    let body = |attribute: &str| -> Result<Body> {
        let body = Body::new(source, attribute)?;
        body.requires(0, outputs)?;
        Ok(body)
    };
    Ok(Box::new(If { then_branch: body("then_branch")?, else_branch: body("else_branch")? }))
}

impl Operator for If {
    fn run(&self, inputs: &mut Inputs<'_>, context: &mut Context<'_>) -> Result<Outputs> {
        let condition = condition(inputs, 0)?.ok_or_else(|| Error::engine("the condition is missing"))?;
        let body = if condition { &self.then_branch } else { &self.else_branch };
        let captured = body.captured(inputs)?;
        Ok(body.run_once([], captured, context)?.into_iter().collect())
    }
}

/// The only element of a condition; `None` when it is left out.
pub(super) fn condition(inputs: &Inputs<'_>, index: usize) -> Result<Option<bool>> {
    inputs.optional(index)?.map(HostTensor::to_scalar::<bool>).transpose()
}
