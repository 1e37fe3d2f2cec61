//! Softmax, its logarithm, and Hardmax.

use half::{bf16, f16};
use mlops_core::{Error, Result};

use crate::engine::onnx::ops::number::{Half, Number, round, widen};
use crate::engine::onnx::ops::support::{Around, around, axis};
use crate::engine::onnx::ops::{Context, Inputs, Operator, Outputs, Source, one};
use crate::engine::onnx::tensor::{Data, HostTensor};
use crate::kernels::normalize::{log_softmax_axis, softmax_axis};

pub(super) fn softmax(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    build(source, Kind::Softmax)
}

pub(super) fn log_softmax(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    build(source, Kind::LogSoftmax)
}

pub(super) fn hardmax(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    build(source, Kind::Hardmax)
}

fn build(source: &Source<'_>, kind: Kind) -> Result<Box<dyn Operator>> {
    let to_the_end = source.node.opset < 13;
    let axis = source.node.attributes.int("axis", if to_the_end { 1 } else { -1 })?;
    Ok(Box::new(Normalized { kind, axis, to_the_end }))
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Softmax,
    LogSoftmax,
    /// 1 at the first largest element, 0 elsewhere.
    Hardmax,
}

#[derive(Debug)]
struct Normalized {
    kind: Kind,
    axis: i64,
    /// Before version 13 all dimensions from the axis to the end are one.
    to_the_end: bool,
}

/// From this many elements on, threads share the work.
const WORTH_THREADS: usize = 1 << 13;

impl Operator for Normalized {
    fn run(&self, inputs: &mut Inputs<'_>, context: &mut Context<'_>) -> Result<Outputs> {
        let tensor = inputs.take(0)?;
        if tensor.rank() == 0 {
            return Err(Error::engine("a tensor without dimensions has no axis to be normalised along"));
        }
        let mut around = around(tensor.shape(), axis(self.axis, tensor.rank())?);
        if self.to_the_end {
            around.length = around.length.saturating_mul(around.inner);
            around.inner = 1;
        }
        if tensor.is_empty() {
            return one(tensor);
        }
        let (shape, data) = tensor.into_parts();
        one(match data {
            Data::F32(buffer) if buffer.is_unshared() => {
                let mut elements = buffer.into_vec();
                self.floats(&mut elements, around, context);
                HostTensor::new(shape, elements)?
            }
            Data::F32(buffer) => {
                let mut elements = context.memory.floats(buffer.len());
                elements.copy_from_slice(&buffer);
                self.floats(&mut elements, around, context);
                HostTensor::new(shape, elements)?
            }
            Data::F64(elements) => {
                let mut elements = elements.into_vec();
                self.numbers(&mut elements, around);
                HostTensor::new(shape, elements)?
            }
            Data::F16(elements) => HostTensor::new(shape, self.half::<f16>(&elements, around, context))?,
            Data::Bf16(elements) => HostTensor::new(shape, self.half::<bf16>(&elements, around, context))?,
            other => {
                let dtype = other.dtype();
                return Err(Error::engine(format!("floats are needed, not {dtype}")));
            }
        })
    }
}

impl Normalized {
    fn half<T: Half>(&self, elements: &[T], around: Around, context: &Context<'_>) -> Vec<T> {
        let mut widened = widen(elements);
        self.floats(&mut widened, around, context);
        round(&widened)
    }

    fn floats(&self, elements: &mut [f32], around: Around, context: &Context<'_>) {
        let Around { outer, length, inner } = around;
        let block = length * inner;
        let function = |elements: &mut [f32]| match self.kind {
            Kind::Softmax => softmax_axis(elements, length, inner),
            Kind::LogSoftmax => log_softmax_axis(elements, length, inner),
            Kind::Hardmax => self.numbers(elements, around),
        };
        if outer == 1 || elements.len() < WORTH_THREADS || context.threads.count() == 1 {
            function(elements);
        } else {
            let share = outer.div_ceil(context.threads.count()) * block;
            context.threads.for_each_chunk_mut(elements, share, |_, elements| function(elements));
        }
    }

    /// Any float type, one line of elements after the other.
    fn numbers<T: Number>(&self, elements: &mut [T], around: Around) {
        let Around { length, inner, .. } = around;
        for block in elements.chunks_exact_mut(length * inner) {
            for start in 0..inner {
                let places = || (start..length * inner).step_by(inner);
                let largest = places().fold(T::LOWEST, |largest, place| largest.larger(block[place]));
                if matches!(self.kind, Kind::Hardmax) {
                    let first = places().find(|&place| block[place] == largest || largest.is_not_a_number());
                    places().for_each(|place| {
                        block[place] = if Some(place) == first { T::ONE } else { T::ZERO };
                    });
                    continue;
                }
                let largest = largest.to_f64();
                let power = |value: T| (value.to_f64() - largest).exp();
                let sum: f64 = places().map(|place| power(block[place])).sum();
                places().for_each(|place| {
                    let value = block[place];
                    block[place] = match self.kind {
                        Kind::LogSoftmax => T::from_f64(value.to_f64() - largest - sum.ln()),
                        _ => T::from_f64(power(value) / sum),
                    };
                });
            }
        }
    }
}
