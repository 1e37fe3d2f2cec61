//! Where: the elements of one tensor or of another, by a condition.

use mlops_core::{Error, Result};

use crate::engine::onnx::ops::support::{Walk, broadcast};
use crate::engine::onnx::ops::{Context, Inputs, Operator, Outputs, Source, one};
use crate::engine::onnx::tensor::{Data, HostTensor, Scalar, Shape, for_any};

pub(super) fn select(_: &Source<'_>) -> Result<Box<dyn Operator>> {
    Ok(Box::new(Where))
}

#[derive(Debug)]
struct Where;

impl Operator for Where {
    fn run(&self, inputs: &mut Inputs<'_>, context: &mut Context<'_>) -> Result<Outputs> {
        let (condition, x, y) = (inputs.tensor(0)?, inputs.tensor(1)?, inputs.tensor(2)?);
        let shape = broadcast([condition.shape(), x.shape(), y.shape()])?;
        let walk = Walk::new(&shape, [condition.shape(), x.shape(), y.shape()]);
        let condition = condition.elements::<bool>()?;
        if let (Data::F32(x), Data::F32(y)) = (x.data(), y.data()) {
            let memory = context.memory.vector(walk.count())?;
            return one(HostTensor::new(shape, chosen(memory, &walk, condition, x, y))?);
        }
        one(for_any!(x.data(), |elements| typed(shape, &walk, condition, elements, y, context))?)
    }
}

fn typed<T: Scalar>(
    shape: Shape,
    walk: &Walk<3>,
    condition: &[bool],
    x: &[T],
    y: &HostTensor,
    context: &mut Context<'_>,
) -> Result<HostTensor> {
    let y = y.elements::<T>().map_err(|_| {
        let (x, y) = (T::DTYPE, y.dtype());
        Error::engine(format!("the two tensors to choose from must have one type, not {x} and {y}"))
    })?;
    HostTensor::new(shape, chosen(context.memory.vector(walk.count())?, walk, condition, x, y))
}

fn chosen<T: Clone>(mut output: Vec<T>, walk: &Walk<3>, condition: &[bool], x: &[T], y: &[T]) -> Vec<T> {
    output.clear();
    let run = walk.run();
    let moves: [bool; 3] = std::array::from_fn(|operand| walk.moves(operand));
    walk.for_each(|[i, j, k]| match moves {
        [false, x_moves, y_moves] => {
            let (source, start, moves) = if condition[i] { (x, j, x_moves) } else { (y, k, y_moves) };
            if moves {
                output.extend_from_slice(&source[start..start + run]);
            } else {
                output.extend(std::iter::repeat_n(&source[start], run).cloned());
            }
        }
        [true, true, true] => {
            let pairs = x[j..j + run].iter().zip(&y[k..k + run]);
            let choices = condition[i..i + run].iter().zip(pairs);
            output.extend(choices.map(|(&first, (x, y))| if first { x } else { y }).cloned());
        }
        [true, true, false] => {
            let choices = condition[i..i + run].iter().zip(&x[j..j + run]);
            output.extend(choices.map(|(&first, x)| if first { x } else { &y[k] }).cloned());
        }
        [true, false, true] => {
            let choices = condition[i..i + run].iter().zip(&y[k..k + run]);
            output.extend(choices.map(|(&first, y)| if first { &x[j] } else { y }).cloned());
        }
        [true, false, false] => {
            let choices = condition[i..i + run].iter();
            output.extend(choices.map(|&first| if first { &x[j] } else { &y[k] }).cloned());
        }
    });
    output
}
