//! Elements chosen by a condition.

use mlops_core::{Error, Result};

use crate::engine::onnx::memory::Memory;
use crate::engine::onnx::ops::{Context, Operator, Outputs, Source, one, support};
use crate::engine::onnx::tensor::{Data, HostTensor, Scalar, Shape, element_count, for_any};
use crate::engine::onnx::value::Inputs;

/// `NonZero`: the positions of all elements that are not zero, `[dimensions, count]`.
#[derive(Debug)]
struct NonZero;

pub(super) fn non_zero(_: &Source<'_>) -> Result<Box<dyn Operator>> {
    Ok(Box::new(NonZero))
}

impl Operator for NonZero {
    fn run(&self, inputs: &mut Inputs<'_>, context: &mut Context<'_>) -> Result<Outputs> {
        let data = inputs.tensor(0)?;
        fn places<T: Scalar>(elements: &[T]) -> Vec<usize> {
            let zero = T::default();
            let all = elements.iter().enumerate();
            all.filter(|(_, element)| **element != zero).map(|(index, _)| index).collect()
        }
        let places = for_any!(data.data(), |elements| places(elements));
        let shape = [data.rank(), places.len()];
        let mut positions: Vec<i64> = context.memory.vector(element_count(&shape)?)?;
        for (&length, stride) in data.shape().iter().zip(support::strides(data.shape())) {
            positions.extend(places.iter().map(|place| (place / stride % length) as i64));
        }
        one(HostTensor::new(shape.as_slice(), positions)?)
    }
}

/// `Compress`: the slices along an axis whose condition is true; without an axis, of all elements in a row.
#[derive(Debug)]
struct Compress {
    axis: Option<i64>,
}

pub(super) fn compress(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    Ok(Box::new(Compress { axis: source.node.attributes.optional_int("axis")? }))
}

impl Operator for Compress {
    fn run(&self, inputs: &mut Inputs<'_>, context: &mut Context<'_>) -> Result<Outputs> {
        let (data, condition) = (inputs.tensor(0)?, inputs.elements::<bool>(1)?);
        let (mut shape, axis) = match self.axis {
            Some(axis) => (Shape::from_slice(data.shape()), support::axis(axis, data.rank())?),
            None => (Shape::from_slice(&[data.len()]), 0),
        };
        let around = support::around(&shape, axis);
        let chosen: Vec<usize> = (0..condition.len()).filter(|&index| condition[index]).collect();
        if let Some(last) = chosen.last().filter(|&&last| last >= around.length) {
            let length = around.length;
            return Err(Error::engine(format!(
                "the condition {last} is true, but there are {length} slices"
            )));
        }
        shape[axis] = chosen.len();
        let count = element_count(&shape)?;
        fn chosen_of<T: Scalar>(
            elements: &[T],
            chosen: &[usize],
            support::Around { length, inner, .. }: support::Around,
            count: usize,
            memory: &mut Memory,
        ) -> Result<Data> {
            let mut output: Vec<T> = memory.vector(count)?;
            if count > 0 {
                for block in elements.chunks_exact(length * inner) {
                    for slice in chosen {
                        output.extend_from_slice(&block[slice * inner..(slice + 1) * inner]);
                    }
                }
            }
            Ok(T::wrap(output.into()))
        }
        let data = for_any!(data.data(), |e| chosen_of(e, &chosen, around, count, context.memory)?);
        one(HostTensor::from_data(shape, data)?)
    }
}
