//! `LRN`: each value by the values of the channels around it ([Krizhevsky, Sutskever and Hinton,
//! 2012](https://papers.nips.cc/paper/4824)).

use mlops_core::{Error, Result};

use crate::engine::onnx::ops::floats::{are_half, widened, wrong_type};
use crate::engine::onnx::ops::number::Number;
use crate::engine::onnx::ops::support::product;
use crate::engine::onnx::ops::{Context, Operator, Outputs, Source, one};
use crate::engine::onnx::tensor::{Data, HostTensor};
use crate::engine::onnx::value::Inputs;

#[derive(Debug)]
struct LocalResponse {
    size: usize,
    alpha: f64,
    beta: f64,
    bias: f64,
}

pub(super) fn build(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    let attributes = &source.node.attributes;
    let size = usize::try_from(attributes.int("size", 0)?).ok().filter(|&size| size > 0);
    Ok(Box::new(LocalResponse {
        size: size.ok_or_else(|| Error::invalid_input("the attribute `size` must be positive"))?,
        alpha: attributes.float("alpha", 1e-4)?.into(),
        beta: attributes.float("beta", 0.75)?.into(),
        bias: attributes.float("bias", 1.0)?.into(),
    }))
}

impl Operator for LocalResponse {
    fn run(&self, inputs: &mut Inputs<'_>, context: &mut Context<'_>) -> Result<Outputs> {
        if are_half(inputs, 0)? {
            return widened(inputs, context, 1, |inputs, context| self.run(inputs, context));
        }
        let x = inputs.tensor(0)?;
        let [_, channels, spatial @ ..] = x.shape() else {
            return Err(Error::engine("the input needs a batch and a channel dimension"));
        };
        let (channels, inner) = (*channels, product(spatial));
        match x.data() {
            Data::F32(elements) => {
                let mut out = context.memory.floats(elements.len());
                self.normalise(elements, channels, inner, &mut out, |sum| match self.beta {
                    // Two roots are far quicker than a power.
                    0.75 => (sum.sqrt() * sum.sqrt().sqrt()).recip(),
                    beta => sum.powf(-beta as f32),
                });
                one(HostTensor::new(x.shape(), out)?)
            }
            Data::F64(elements) => {
                let mut out = vec![0.0; elements.len()];
                self.normalise(elements, channels, inner, &mut out, |sum| sum.powf(-self.beta));
                one(HostTensor::new(x.shape(), out)?)
            }
            _ => Err(wrong_type(x)),
        }
    }
}

impl LocalResponse {
    fn normalise<T: Number>(
        &self,
        x: &[T],
        channels: usize,
        inner: usize,
        out: &mut [T],
        factor: impl Fn(T) -> T,
    ) {
        if out.is_empty() {
            return;
        }
        let (alpha, bias) = (T::from_f64(self.alpha / self.size as f64), T::from_f64(self.bias));
        let (before, after) = ((self.size - 1) / 2, self.size - 1 - (self.size - 1) / 2);
        let image = channels * inner;
        for (x, out) in x.chunks_exact(image).zip(out.chunks_exact_mut(image)) {
            for (channel, out) in out.chunks_exact_mut(inner).enumerate() {
                let window = channel.saturating_sub(before)..channels.min(channel.saturating_add(after + 1));
                out.fill(T::ZERO);
                for neighbour in window {
                    for (out, &x) in out.iter_mut().zip(&x[neighbour * inner..]) {
                        *out = out.plus(x.times(x));
                    }
                }
                for (out, &x) in out.iter_mut().zip(&x[channel * inner..]) {
                    *out = x.times(factor(bias.plus(alpha.times(*out))));
                }
            }
        }
    }
}
