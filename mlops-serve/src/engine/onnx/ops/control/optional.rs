//! Values that may be absent. One that is there is represented by itself.

use mlops_core::{Error, Result};
use smallvec::smallvec;

use crate::engine::onnx::ops::{Context, Operator, Outputs, Source, one};
use crate::engine::onnx::tensor::HostTensor;
use crate::engine::onnx::value::{Inputs, Value};

/// `Optional`: the input, or nothing without one.
#[derive(Debug)]
struct Optional;

pub(super) fn optional(_: &Source<'_>) -> Result<Box<dyn Operator>> {
    Ok(Box::new(Optional))
}

impl Operator for Optional {
    fn run(&self, inputs: &mut Inputs<'_>, _: &mut Context<'_>) -> Result<Outputs> {
        Ok(smallvec![if inputs.has(0) { inputs.take_value(0)? } else { Value::Nothing }])
    }
}

/// `OptionalGetElement`: what is there.
#[derive(Debug)]
struct OptionalGetElement;

pub(super) fn optional_get_element(_: &Source<'_>) -> Result<Box<dyn Operator>> {
    Ok(Box::new(OptionalGetElement))
}

impl Operator for OptionalGetElement {
    fn run(&self, inputs: &mut Inputs<'_>, _: &mut Context<'_>) -> Result<Outputs> {
        match inputs.take_value(0)? {
            Value::Nothing => Err(Error::engine("the optional is empty")),
            value => Ok(smallvec![value]),
        }
    }
}

/// `OptionalHasElement`: whether something is there.
#[derive(Debug)]
struct OptionalHasElement;

pub(super) fn optional_has_element(_: &Source<'_>) -> Result<Box<dyn Operator>> {
    Ok(Box::new(OptionalHasElement))
}

impl Operator for OptionalHasElement {
    fn run(&self, inputs: &mut Inputs<'_>, _: &mut Context<'_>) -> Result<Outputs> {
        let has = inputs.has(0) && !matches!(inputs.value(0)?, Value::Nothing);
        one(HostTensor::scalar(has))
    }
}
