//! `InstanceNormalization` ([Ulyanov, Vedaldi and Lempitsky, 2016](https://arxiv.org/abs/1607.08022)) and
//! `GroupNormalization` ([Wu and He, 2018](https://arxiv.org/abs/1803.08494)): groups of channels of each image by
//! their own statistics.

use mlops_core::{Error, Result};

use super::rows::{PARALLEL_ELEMENTS, statistics};
use crate::engine::onnx::ops::floats::{are_half, from_doubles, to_doubles, vector, widened, wrong_type};
use crate::engine::onnx::ops::support::product;
use crate::engine::onnx::ops::{Context, Operator, Outputs, Source, one};
use crate::engine::onnx::tensor::{Data, HostTensor};
use crate::engine::onnx::value::Inputs;
use crate::kernels::normalize::group_norm;
use crate::kernels::parallel::Threads;

#[derive(Debug)]
struct GroupNormalization {
    /// `None`: a group for each channel.
    groups: Option<usize>,
    /// Whether scale and bias are given for each group instead of each channel.
    by_group: bool,
    epsilon: f32,
}

pub(super) fn instance(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    let epsilon = source.node.attributes.float("epsilon", 1e-5)?;
    Ok(Box::new(GroupNormalization { groups: None, by_group: false, epsilon }))
}

pub(super) fn group(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    let groups = source.node.attributes.int("num_groups", 0)?;
    let groups = usize::try_from(groups).ok().filter(|&groups| groups > 0);
    let groups = groups.ok_or_else(|| Error::invalid_input("the attribute `num_groups` must be positive"))?;
    Ok(Box::new(GroupNormalization {
        groups: Some(groups),
        by_group: source.node.opset < 21,
        epsilon: source.node.attributes.float("epsilon", 1e-5)?,
    }))
}

impl Operator for GroupNormalization {
    fn run(&self, inputs: &mut Inputs<'_>, context: &mut Context<'_>) -> Result<Outputs> {
        if are_half(inputs, 0)? {
            return widened(inputs, context, 1, |inputs, context| self.run(inputs, context));
        }
        let x = inputs.tensor(0)?;
        let [_, channels, spatial @ ..] = x.shape() else {
            return Err(Error::engine("the input needs a batch and a channel dimension"));
        };
        let (channels, inner) = (*channels, product(spatial));
        let groups = self.groups.unwrap_or(channels);
        if groups == 0 || channels % groups != 0 {
            return if x.is_empty() {
                one(x.clone())
            } else {
                Err(Error::engine(format!("{channels} channels do not make {groups} equal groups")))
            };
        }
        let parameters = if self.by_group { groups } else { channels };
        match x.data() {
            Data::F32(elements) => {
                let parameter = |index: usize| -> Result<Vec<f32>> {
                    let values = vector(inputs, index, parameters)?;
                    let values = values.ok_or_else(|| Error::engine(format!("input {index} is missing")))?;
                    Ok(for_channels(values, channels))
                };
                let (gamma, beta) = (parameter(1)?, parameter(2)?);
                let mut out = context.memory.floats(elements.len());
                if !out.is_empty() {
                    let size = [channels, inner, groups];
                    self.run_single(elements, size, &gamma, &beta, &mut out, context.threads);
                }
                one(HostTensor::new(x.shape(), out)?)
            }
            Data::F64(elements) => {
                let (gamma, beta) = (to_doubles(inputs.tensor(1)?)?, to_doubles(inputs.tensor(2)?)?);
                if gamma.len() != parameters || beta.len() != parameters {
                    return Err(Error::engine(format!("scale and bias must have {parameters} elements")));
                }
                let (gamma, beta) = (for_channels(&gamma, channels), for_channels(&beta, channels));
                let mut out = elements.to_vec();
                let rows = out.chunks_exact_mut((channels / groups * inner).max(1));
                for (index, row) in rows.enumerate() {
                    let (mean, inverse) = statistics(row, self.epsilon, true);
                    let first = index % groups * (channels / groups);
                    for (channel, values) in row.chunks_exact_mut(inner).enumerate() {
                        let (gamma, beta) = (gamma[first + channel], beta[first + channel]);
                        values.iter_mut().for_each(|x| *x = (*x - mean) * inverse * gamma + beta);
                    }
                }
                one(from_doubles(x.shape(), out, x.dtype())?)
            }
            _ => Err(wrong_type(x)),
        }
    }
}

impl GroupNormalization {
    fn run_single(
        &self,
        x: &[f32],
        [channels, inner, groups]: [usize; 3],
        gamma: &[f32],
        beta: &[f32],
        out: &mut [f32],
        threads: &Threads,
    ) {
        if threads.count() == 1 || out.len() < PARALLEL_ELEMENTS {
            return group_norm(x, channels, inner, groups, gamma, beta, self.epsilon, out);
        }
        let each = channels / groups;
        threads.for_each_chunk_mut(out, each * inner, |index, out| {
            let own = index % groups * each..(index % groups + 1) * each;
            let x = &x[index * each * inner..][..each * inner];
            group_norm(x, each, inner, 1, &gamma[own.clone()], &beta[own], self.epsilon, out);
        });
    }
}

/// Parameters of groups or channels, for each channel.
fn for_channels<T: Copy>(values: &[T], channels: usize) -> Vec<T> {
    let each = channels / values.len().max(1);
    values.iter().flat_map(|&value| std::iter::repeat_n(value, each)).collect()
}
