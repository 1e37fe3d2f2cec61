//! Min, max, sum and mean of any number of tensors.

use half::{bf16, f16};
use mlops_core::{Error, Result};

use super::binary::{Operation, compute};
use crate::engine::onnx::ops::elementwise::broadcast_to;
use crate::engine::onnx::ops::number::{Half, round, widen};
use crate::engine::onnx::ops::support::broadcast;
use crate::engine::onnx::ops::{Context, Inputs, Operator, Outputs, Source, one};
use crate::engine::onnx::tensor::{Data, HostTensor, Shape};
use crate::engine::onnx::value::Value;

pub(super) fn min(_: &Source<'_>) -> Result<Box<dyn Operator>> {
    Ok(Box::new(Variadic { operation: Operation::Min, mean: false }))
}

pub(super) fn max(_: &Source<'_>) -> Result<Box<dyn Operator>> {
    Ok(Box::new(Variadic { operation: Operation::Max, mean: false }))
}

pub(super) fn sum(_: &Source<'_>) -> Result<Box<dyn Operator>> {
    Ok(Box::new(Variadic { operation: Operation::Add, mean: false }))
}

pub(super) fn mean(_: &Source<'_>) -> Result<Box<dyn Operator>> {
    Ok(Box::new(Variadic { operation: Operation::Add, mean: true }))
}

#[derive(Debug)]
struct Variadic {
    operation: Operation,
    /// Whether the result is divided by the number of inputs.
    mean: bool,
}

impl Operator for Variadic {
    fn run(&self, inputs: &mut Inputs<'_>, context: &mut Context<'_>) -> Result<Outputs> {
        let shapes = inputs.tensors()?.into_iter().map(HostTensor::shape).collect::<Vec<_>>();
        let shape = broadcast(shapes)?;
        let mut tensors = Vec::with_capacity(inputs.len());
        for index in 0..inputs.len() {
            tensors.push(inputs.take(index)?);
        }
        match tensors.first().map(HostTensor::data) {
            None => Err(Error::engine("at least one input is needed")),
            Some(Data::F16(_)) => one(self.in_single_precision::<f16>(tensors, &shape, context)?),
            Some(Data::Bf16(_)) => one(self.in_single_precision::<bf16>(tensors, &shape, context)?),
            Some(_) => one(self.fold(tensors, &shape, context)?),
        }
    }
}

impl Variadic {
    /// Half-precision tensors are rounded once, at the end.
    fn in_single_precision<T: Half>(
        &self,
        tensors: Vec<HostTensor>,
        shape: &Shape,
        context: &mut Context<'_>,
    ) -> Result<HostTensor> {
        let widened = tensors
            .into_iter()
            .map(|tensor| HostTensor::new(Shape::from_slice(tensor.shape()), widen::<T>(tensor.elements()?)));
        let result = self.fold(widened.collect::<Result<_>>()?, shape, context)?;
        HostTensor::new(shape.clone(), round::<T>(result.elements()?))
    }

    fn fold(&self, tensors: Vec<HostTensor>, shape: &Shape, context: &mut Context<'_>) -> Result<HostTensor> {
        let count = tensors.len();
        let mut tensors = tensors.into_iter();
        let Some(mut result) = tensors.next() else {
            return Err(Error::engine("at least one input is needed"));
        };
        for next in tensors {
            result = step(self.operation, result, next, context)?;
        }
        let mut result = broadcast_to(result, shape)?;
        if self.mean {
            let divisor = match result.data() {
                Data::F32(_) => HostTensor::scalar(count as f32),
                Data::F64(_) => HostTensor::scalar(count as f64),
                _ => return Err(Error::engine("the mean is taken of floats only")),
            };
            result = step(Operation::Div, result, divisor, context)?;
        }
        Ok(result)
    }
}

/// The sum of two tensors of one type, broadcast to each other.
pub(in crate::engine::onnx::ops) fn added(
    a: HostTensor,
    b: HostTensor,
    context: &mut Context<'_>,
) -> Result<HostTensor> {
    step(Operation::Add, a, b, context)
}

fn step(operation: Operation, a: HostTensor, b: HostTensor, context: &mut Context<'_>) -> Result<HostTensor> {
    let shape = broadcast([a.shape(), b.shape()])?;
    let mut values = [Some(Value::Tensor(a)), Some(Value::Tensor(b))];
    let result = compute(operation, shape, &mut Inputs::new(&mut values), context);
    values.into_iter().flatten().for_each(|value| context.memory.recycle(value));
    result
}
