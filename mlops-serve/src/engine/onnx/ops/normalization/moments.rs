//! `MeanVarianceNormalization`: `(x - mean) / deviation` over any axes.

use mlops_core::Result;

use crate::engine::onnx::ops::floats::{from_doubles, to_doubles};
use crate::engine::onnx::ops::support::{axes, strides};
use crate::engine::onnx::ops::{Context, Operator, Outputs, Source, one};
use crate::engine::onnx::value::Inputs;

#[derive(Debug)]
struct MeanVariance {
    axes: Vec<i64>,
}

pub(super) fn build(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    let axes = source.node.attributes.ints("axes")?.cloned().unwrap_or_else(|| vec![0, 2, 3]);
    Ok(Box::new(MeanVariance { axes }))
}

/// What keeps a deviation of zero from being divided by.
const EPSILON: f64 = 1e-9;

impl Operator for MeanVariance {
    fn run(&self, inputs: &mut Inputs<'_>, _context: &mut Context<'_>) -> Result<Outputs> {
        let x = inputs.tensor(0)?;
        let reduced = axes(&self.axes, x.rank())?;
        let kept: Vec<(usize, usize, usize)> = {
            // Length, stride in the input, stride among the statistics of each axis that stays.
            let own = strides(x.shape());
            let mut stride = 1;
            let mut kept: Vec<_> = (0..x.rank())
                .rev()
                .filter(|axis| !reduced.contains(axis))
                .map(|axis| {
                    let entry = (x.shape()[axis], own[axis], stride);
                    stride *= x.shape()[axis];
                    entry
                })
                .collect();
            kept.reverse();
            kept
        };
        let group = |position: usize| -> usize {
            kept.iter().map(|&(length, own, stride)| position / own % length * stride).sum()
        };
        let groups = if x.is_empty() { 0 } else { kept.iter().map(|&(length, ..)| length).product() };
        let mut elements = to_doubles(x)?;
        let count = (elements.len() / groups.max(1)) as f64;
        let mut means = vec![0.0; groups];
        for (position, x) in elements.iter().enumerate() {
            means[group(position)] += x / count;
        }
        let mut variances = vec![0.0; groups];
        for (position, x) in elements.iter_mut().enumerate() {
            let group = group(position);
            *x -= means[group];
            variances[group] += *x * *x / count;
        }
        for (position, x) in elements.iter_mut().enumerate() {
            *x /= variances[group(position)].sqrt() + EPSILON;
        }
        one(from_doubles(x.shape(), elements, x.dtype())?)
    }
}
