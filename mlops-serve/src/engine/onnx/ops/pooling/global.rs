//! `GlobalMaxPool`, `GlobalAveragePool` and `GlobalLpPool`: one value for each channel of each image.

use mlops_core::{Error, Result};

use super::pool::{exponent, power, root};
use crate::engine::onnx::ops::floats::{are_half, widened, wrong_type};
use crate::engine::onnx::ops::number::Number;
use crate::engine::onnx::ops::support::product;
use crate::engine::onnx::ops::{Context, Operator, Outputs, Source, one};
use crate::engine::onnx::tensor::{Data, HostTensor, Shape, element_count};
use crate::engine::onnx::value::Inputs;
use crate::kernels::reduce::{Reduction, reduce};

#[derive(Debug)]
enum Global {
    Max,
    Average,
    Lp(f64),
}

pub(super) fn max(_source: &Source<'_>) -> Result<Box<dyn Operator>> {
    Ok(Box::new(Global::Max))
}

pub(super) fn average(_source: &Source<'_>) -> Result<Box<dyn Operator>> {
    Ok(Box::new(Global::Average))
}

pub(super) fn lp(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    Ok(Box::new(Global::Lp(exponent(source)?)))
}

impl Operator for Global {
    fn run(&self, inputs: &mut Inputs<'_>, context: &mut Context<'_>) -> Result<Outputs> {
        if are_half(inputs, 0)? {
            return widened(inputs, context, 1, |inputs, context| self.run(inputs, context));
        }
        let x = inputs.tensor(0)?;
        let [images, channels, size @ ..] = x.shape() else {
            return Err(Error::engine("the input needs a batch and a channel dimension"));
        };
        let mut shape = Shape::from_slice(&[*images, *channels]);
        shape.extend(size.iter().map(|_| 1));
        let count = element_count(&shape)?;
        let length = product(size);
        match x.data() {
            Data::F32(elements) => {
                let mut out = context.memory.floats(count);
                match self {
                    _ if length == 0 => out.fill(0.0),
                    Self::Max => reduce(Reduction::Max, elements, length, 1, &mut out),
                    Self::Average => reduce(Reduction::Mean, elements, length, 1, &mut out),
                    Self::Lp(_) => self.fold(elements, length, &mut out),
                }
                one(HostTensor::new(shape, out)?)
            }
            Data::F64(elements) => {
                let mut out = vec![0.0; count];
                self.fold(elements, length, &mut out);
                one(HostTensor::new(shape, out)?)
            }
            _ => Err(wrong_type(x)),
        }
    }
}

impl Global {
    fn fold<T: Number>(&self, x: &[T], length: usize, out: &mut [T]) {
        if length == 0 {
            return;
        }
        for (plane, out) in x.chunks_exact(length).zip(out) {
            let plane = plane.iter().copied();
            *out = match self {
                Self::Max => plane.fold(T::LOWEST, T::larger),
                Self::Average => plane.fold(T::ZERO, T::plus).over(T::from_f64(length as f64)),
                Self::Lp(p) => root(plane.fold(T::ZERO, |sum, x| sum.plus(power(x, *p))), *p),
            };
        }
    }
}
