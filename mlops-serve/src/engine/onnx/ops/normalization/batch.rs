//! `BatchNormalization` ([Ioffe and Szegedy, 2015](https://arxiv.org/abs/1502.03167)).

use mlops_core::{Error, Result};

use super::rows::PARALLEL_ELEMENTS;
use crate::engine::onnx::ops::floats::{are_half, constant_singles, from_doubles, to_doubles, widened};
use crate::engine::onnx::ops::support::product;
use crate::engine::onnx::ops::{Context, Operator, Outputs, Source, one};
use crate::engine::onnx::tensor::{Data, HostTensor};
use crate::engine::onnx::value::{Inputs, Value};
use crate::kernels::normalize::{fold_batch_norm, scale_shift_channels};
use crate::kernels::parallel::Threads;

#[derive(Debug)]
struct BatchNormalization {
    epsilon: f32,
    momentum: f32,
    training: bool,
    /// What a channel is multiplied by and what is added to it, if all parameters are constant.
    folded: Option<(Vec<f32>, Vec<f32>)>,
}

pub(super) fn build(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    let attributes = &source.node.attributes;
    if !attributes.flag("spatial", true)? {
        return Err(Error::unsupported("statistics for each pixel (spatial = 0) are not supported"));
    }
    let training = attributes.flag("training_mode", false)?;
    if !training && (1..5).any(|index| source.wants(index)) {
        return Err(Error::unsupported("statistics are computed in training mode only"));
    }
    let epsilon = attributes.float("epsilon", 1e-5)?;
    let parameters = [1, 2, 3, 4].map(|index| constant_singles(source.constant(index)));
    let folded = match &parameters {
        [Some(gamma), Some(beta), Some(mean), Some(variance)] if !training => {
            let same = [beta, mean, variance].iter().all(|other| other.len() == gamma.len());
            same.then(|| fold_batch_norm(gamma, beta, mean, variance, epsilon))
        }
        _ => None,
    };
    Ok(Box::new(BatchNormalization {
        epsilon,
        momentum: attributes.float("momentum", 0.9)?,
        training,
        folded,
    }))
}

impl Operator for BatchNormalization {
    fn run(&self, inputs: &mut Inputs<'_>, context: &mut Context<'_>) -> Result<Outputs> {
        if are_half(inputs, 0)? {
            return widened(inputs, context, usize::MAX, |inputs, context| self.run(inputs, context));
        }
        let x = inputs.tensor(0)?;
        let (channels, inner) = match x.shape() {
            [] => return Err(Error::engine("the input needs a batch dimension")),
            [_] => (1, 1),
            [_, channels, spatial @ ..] => (*channels, product(spatial)),
        };
        for index in 1..5 {
            let given = inputs.tensor(index)?.len();
            if given != channels {
                return Err(Error::engine(format!(
                    "input {index} must have {channels} elements, not {given}"
                )));
            }
        }
        if let (Data::F32(elements), false) = (x.data(), self.training) {
            let now;
            let (scale, shift) = match &self.folded {
                Some(folded) => folded,
                None => {
                    let singles = |index: usize| -> Result<Vec<f32>> {
                        Ok(to_doubles(inputs.tensor(index)?)?.into_iter().map(|value| value as f32).collect())
                    };
                    now =
                        fold_batch_norm(&singles(1)?, &singles(2)?, &singles(3)?, &singles(4)?, self.epsilon);
                    &now
                }
            };
            let mut out = context.memory.floats(elements.len());
            apply(elements, channels, inner, scale, shift, &mut out, context.threads);
            return one(HostTensor::new(x.shape(), out)?);
        }
        self.run_doubles(x, inputs, channels, inner)
    }
}

/// `scale[c] x + shift[c]`
fn apply(
    x: &[f32],
    channels: usize,
    inner: usize,
    scale: &[f32],
    shift: &[f32],
    out: &mut [f32],
    threads: &Threads,
) {
    if out.is_empty() {
        return;
    }
    if inner == 1 {
        for (x, out) in x.chunks_exact(channels).zip(out.chunks_exact_mut(channels)) {
            for (((out, x), scale), shift) in out.iter_mut().zip(x).zip(scale).zip(shift) {
                *out = x * scale + shift;
            }
        }
        return;
    }
    if threads.count() == 1 || out.len() < PARALLEL_ELEMENTS {
        return scale_shift_channels(x, inner, scale, shift, out);
    }
    threads.for_each_chunk_mut(out, inner, |plane, out| {
        let channel = plane % channels;
        let x = &x[plane * inner..][..inner];
        scale_shift_channels(x, inner, &scale[channel..=channel], &shift[channel..=channel], out);
    });
}

impl BatchNormalization {
    fn run_doubles(
        &self,
        x: &HostTensor,
        inputs: &Inputs<'_>,
        channels: usize,
        inner: usize,
    ) -> Result<Outputs> {
        let mut elements = to_doubles(x)?;
        let doubles = |index: usize| to_doubles(inputs.tensor(index)?);
        let (gamma, beta, mut means, mut variances) = (doubles(1)?, doubles(2)?, doubles(3)?, doubles(4)?);
        let plane = channels * inner;
        let momentum = f64::from(self.momentum);
        for channel in 0..channels {
            let range = channel * inner..(channel + 1) * inner;
            let (mut mean, mut variance) = (means[channel], variances[channel]);
            if self.training {
                let values = || elements.chunks_exact(plane.max(1)).flat_map(|image| &image[range.clone()]);
                let count = (elements.len() / channels).max(1) as f64;
                mean = values().sum::<f64>() / count;
                variance = values().map(|x| (x - mean) * (x - mean)).sum::<f64>() / count;
                means[channel] = means[channel] * momentum + mean * (1.0 - momentum);
                variances[channel] = variances[channel] * momentum + variance * (1.0 - momentum);
            }
            let scale = gamma[channel] / (variance + f64::from(self.epsilon)).sqrt();
            for image in elements.chunks_exact_mut(plane.max(1)) {
                image[range.clone()].iter_mut().for_each(|x| *x = (*x - mean) * scale + beta[channel]);
            }
        }
        let mut outputs = Outputs::from_elem(Value::from(from_doubles(x.shape(), elements, x.dtype())?), 1);
        if self.training {
            for (index, values) in [(3, means), (4, variances)] {
                let given = inputs.tensor(index)?;
                outputs.push(from_doubles(given.shape(), values, given.dtype())?.into());
            }
        }
        Ok(outputs)
    }
}
