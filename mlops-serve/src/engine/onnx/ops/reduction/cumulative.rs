//! CumSum and CumProd: sums and products of the elements so far.

use half::{bf16, f16};
use mlops_core::{Error, Result};

use crate::engine::onnx::ops::number::{Half, Number, round, widen};
use crate::engine::onnx::ops::support::{Around, around, axis};
use crate::engine::onnx::ops::{Context, Inputs, Operator, Outputs, Source, one};
use crate::engine::onnx::tensor::{Data, HostTensor, Scalar, for_numbers};

pub(super) fn cum_sum(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    build(source, false)
}

pub(super) fn cum_prod(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    build(source, true)
}

fn build(source: &Source<'_>, product: bool) -> Result<Box<dyn Operator>> {
    let attributes = &source.node.attributes;
    Ok(Box::new(Cumulative {
        product,
        exclusive: attributes.flag("exclusive", false)?,
        reverse: attributes.flag("reverse", false)?,
    }))
}

#[derive(Debug)]
struct Cumulative {
    /// Else sums.
    product: bool,
    /// Whether an element itself is left out of its result.
    exclusive: bool,
    /// Whether it begins at the end.
    reverse: bool,
}

impl Operator for Cumulative {
    fn run(&self, inputs: &mut Inputs<'_>, _: &mut Context<'_>) -> Result<Outputs> {
        let given = match inputs.tensor(1)?.to_i64s()?.as_slice() {
            [axis] => *axis,
            several => {
                return Err(Error::engine(format!("the axis must be one number, not {}", several.len())));
            }
        };
        let tensor = inputs.take(0)?;
        let around = around(tensor.shape(), axis(given, tensor.rank())?);
        let (shape, data) = tensor.into_parts();
        let data = match data {
            Data::F16(elements) => self.half::<f16>(&elements, around),
            Data::Bf16(elements) => self.half::<bf16>(&elements, around),
            data => for_numbers!(data, |elements| self.numbers(elements.into_vec(), around), other => {
                let dtype = other.dtype();
                return Err(Error::engine(format!("numbers are needed, not {dtype}")));
            }),
        };
        one(HostTensor::from_data(shape, data)?)
    }
}

impl Cumulative {
    fn half<T: Half>(&self, elements: &[T], around: Around) -> Data {
        let mut widened = widen(elements);
        self.accumulate(&mut widened, around);
        T::wrap(round::<T>(&widened).into())
    }

    fn numbers<T: Number + Scalar>(&self, mut elements: Vec<T>, around: Around) -> Data {
        self.accumulate(&mut elements, around);
        T::wrap(elements.into())
    }

    fn accumulate<T: Number>(&self, elements: &mut [T], around: Around) {
        if elements.is_empty() {
            return;
        }
        let Around { length, inner, .. } = around;
        let start = if self.product { T::ONE } else { T::ZERO };
        let mut accumulators = vec![start; inner];
        for block in elements.chunks_exact_mut(length * inner) {
            accumulators.fill(start);
            for index in 0..length {
                let index = if self.reverse { length - 1 - index } else { index };
                let row = &mut block[index * inner..(index + 1) * inner];
                for (value, accumulator) in row.iter_mut().zip(&mut accumulators) {
                    let before = *accumulator;
                    *accumulator = if self.product { before.times(*value) } else { before.plus(*value) };
                    *value = if self.exclusive { before } else { *accumulator };
                }
            }
        }
    }
}
