//! Identity: what leaves any value as it is.

use mlops_core::Result;
use smallvec::smallvec;

use crate::engine::onnx::ops::{Context, Inputs, Operator, Outputs, Source};

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
