//! Normalisation of a sum, as transformers have it: onnxruntime's `SkipLayerNormalization` and
//! `SkipSimplifiedLayerNormalization`, and the fused `SkipLayerNormalization` of our own.
//!
//! Inputs: x `[.., N]`, skip of the same shape (or without the batch), gamma `[N]`, beta `[N]` (not of the simplified
//! one), optional bias `[N]`. Outputs: the normalised `x + skip + bias`, mean and reciprocal deviation of each row
//! (of onnxruntime's operators), the sum. The fused operator takes x, skip, gamma and optional beta, and has two outputs:
//! the normalised sum and the sum.

use mlops_core::{Error, Result};

use super::rows::{for_each_rows, statistics};
use crate::engine::onnx::ops::floats::{are_half, from_doubles, to_doubles, vector, widened};
use crate::engine::onnx::ops::support::expanded;
use crate::engine::onnx::ops::{Context, Operator, Outputs, Source, one};
use crate::engine::onnx::tensor::{HostTensor, Shape};
use crate::engine::onnx::value::{Inputs, Value};
use crate::kernels::normalize::{residual_layer_norm_rows, rms_norm_rows};

#[derive(Debug)]
struct SkipNormalization {
    epsilon: f32,
    centred: bool,
    /// The input that is a bias.
    bias: Option<usize>,
    has_beta: bool,
    wants_statistics: bool,
    /// The output that is the sum, if it is asked for.
    sum: Option<usize>,
}

pub(super) fn layer(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    build(source, true)
}

pub(super) fn root_mean_square(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    build(source, false)
}

fn build(source: &Source<'_>, centred: bool) -> Result<Box<dyn Operator>> {
    Ok(Box::new(SkipNormalization {
        epsilon: source.node.attributes.float("epsilon", 1e-12)?,
        centred,
        bias: Some(if centred { 4 } else { 3 }),
        has_beta: centred,
        wants_statistics: source.wants(1) || source.wants(2),
        sum: source.wants(3).then_some(3),
    }))
}

pub(super) fn build_fused(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    Ok(Box::new(SkipNormalization {
        epsilon: source.node.attributes.float("epsilon", 1e-5)?,
        centred: true,
        bias: None,
        has_beta: true,
        wants_statistics: false,
        sum: source.wants(1).then_some(1),
    }))
}

impl Operator for SkipNormalization {
    fn run(&self, inputs: &mut Inputs<'_>, context: &mut Context<'_>) -> Result<Outputs> {
        if are_half(inputs, 0)? {
            return widened(inputs, context, usize::MAX, |inputs, context| self.run(inputs, context));
        }
        let (x, skip) = (inputs.tensor(0)?, inputs.tensor(1)?);
        let Some(&columns) = x.shape().last() else { return Err(Error::engine("the input is a scalar")) };
        let elements = x.elements::<f32>()?;
        let repeated;
        let residual = if skip.len() == x.len() {
            skip.elements::<f32>()?
        } else {
            let own = skip.shape();
            let leading = own.iter().take_while(|&&length| length == 1).count();
            if !x.shape().ends_with(&own[leading..]) || own.len() > x.rank() {
                return Err(Error::engine(format!("{own:?} cannot be added to {:?}", x.shape())));
            }
            repeated = expanded(x.shape(), own, skip.elements::<f32>()?)?;
            &repeated
        };
        let required = |index: usize| -> Result<&[f32]> {
            vector(inputs, index, columns)?.ok_or_else(|| Error::engine(format!("input {index} is missing")))
        };
        let gamma = required(2)?;
        let beta = if self.has_beta { vector(inputs, 3, columns)? } else { None };
        let bias = self.bias.map(|index| vector(inputs, index, columns)).transpose()?.flatten();
        let mut out = context.memory.floats(elements.len());
        let mut sum = None;
        if self.sum.is_some() || self.wants_statistics || !self.centred {
            let mut total = context.memory.floats(elements.len());
            for_each_rows(&mut total, columns, context.threads, |first, total| {
                for (total, (x, skip)) in
                    total.iter_mut().zip(elements[first..].iter().zip(&residual[first..]))
                {
                    *total = x + skip;
                }
                let Some(bias) = bias else { return };
                for row in total.chunks_exact_mut(columns) {
                    row.iter_mut().zip(bias).for_each(|(total, bias)| *total += bias);
                }
            });
            sum = Some(total);
        }
        for_each_rows(&mut out, columns, context.threads, |first, out| {
            if self.centred {
                let (x, skip) = (&elements[first..][..out.len()], &residual[first..][..out.len()]);
                residual_layer_norm_rows(x, skip, bias, columns, gamma, beta, self.epsilon, None, out);
            } else if let Some(sum) = &sum {
                rms_norm_rows(&sum[first..][..out.len()], columns, gamma, self.epsilon, out);
            }
        });
        let out = HostTensor::new(x.shape(), out)?;
        let Some(sum) = sum.filter(|_| self.sum.is_some() || self.wants_statistics) else { return one(out) };
        let sum = HostTensor::new(x.shape(), sum)?;
        if self.sum == Some(1) {
            return Ok([Value::from(out), Value::from(sum)].into_iter().collect());
        }
        let doubles = to_doubles(&sum)?;
        let rows = doubles.chunks_exact(columns.max(1));
        let (means, inverses): (Vec<f64>, Vec<f64>) =
            rows.map(|row| statistics(row, self.epsilon, self.centred)).unzip();
        let mut shape = Shape::from_slice(x.shape());
        if let Some(last) = shape.last_mut() {
            *last = 1;
        }
        let [means, inverses] = [means, inverses].map(|values| from_doubles(&shape, values, x.dtype()));
        Ok([Value::from(out), means?.into(), inverses?.into(), sum.into()].into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::onnx::graph::Attribute;
    use crate::engine::onnx::ops::testing::fused;
    use crate::kernels::testing::{Random, assert_close};

    #[test]
    fn the_fused_one_gives_the_normalised_sum_and_the_sum() {
        let mut random = Random::new(4);
        let (x, skip, gamma, beta) =
            (random.values(12), random.values(12), random.values(4), random.values(4));
        let tensor =
            |shape: &[usize], elements: &[f32]| Some(HostTensor::new(shape, elements.to_vec()).unwrap());
        let shape = [1, 3, 4];
        let inputs = [tensor(&shape, &x), tensor(&shape, &skip), tensor(&[4], &gamma), tensor(&[4], &beta)];
        let epsilon = [("epsilon", Attribute::Float(1e-3))];
        let outputs = fused("SkipLayerNormalization", epsilon, inputs, &[2, 3], 2).unwrap();
        let sum: Vec<f32> = x.iter().zip(&skip).map(|(x, skip)| x + skip).collect();
        let mut expected = Vec::new();
        for row in sum.chunks_exact(4) {
            let mean = row.iter().sum::<f32>() / 4.0;
            let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / 4.0;
            let normalised = row.iter().map(|x| (x - mean) / (variance + 1e-3).sqrt());
            expected
                .extend(normalised.zip(gamma.iter().zip(&beta)).map(|(x, (gamma, beta))| x * gamma + beta));
        }
        assert_close(outputs[0].elements().unwrap(), &expected, 1e-5, "normalised");
        assert_close(outputs[1].elements().unwrap(), &sum, 1e-6, "sum");
    }
}
