//! `DeformConv`: a convolution whose kernel elements look where an input tells them to
//! ([Dai et al., 2017](https://arxiv.org/abs/1703.06211); with mask,
//! [Zhu et al., 2018](https://arxiv.org/abs/1811.11168)).
//!
//! For each position the values under the kernel are interpolated linearly into a column; the rest is a product.

use mlops_core::{DType, Error, Result};

use crate::engine::onnx::ops::floats::{are_half, from_doubles, to_doubles, widened};
use crate::engine::onnx::ops::linear::product::{Matrix, Multiply};
use crate::engine::onnx::ops::support::{product, repeated, strides};
use crate::engine::onnx::ops::window::{Placement, Window};
use crate::engine::onnx::ops::{Context, Operator, Outputs, Source, one};
use crate::engine::onnx::tensor::{HostTensor, Shape, element_count};
use crate::engine::onnx::value::Inputs;

#[derive(Debug)]
struct DeformConv {
    window: Window,
    groups: usize,
    offset_groups: usize,
}

pub(super) fn build(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    let attributes = &source.node.attributes;
    let positive = |name: &str| -> Result<usize> {
        let value = usize::try_from(attributes.int(name, 1)?).ok().filter(|&value| value > 0);
        value.ok_or_else(|| Error::invalid_input(format!("the attribute `{name}` must be positive")))
    };
    Ok(Box::new(DeformConv {
        window: Window::parse(attributes)?,
        groups: positive("group")?,
        offset_groups: positive("offset_group")?,
    }))
}

impl Operator for DeformConv {
    fn run(&self, inputs: &mut Inputs<'_>, context: &mut Context<'_>) -> Result<Outputs> {
        if are_half(inputs, 0)? {
            return widened(inputs, context, 1, |inputs, context| self.run(inputs, context));
        }
        let x = inputs.tensor(0)?;
        let weights = inputs.tensor(1)?;
        let ([images, in_channels, size @ ..], [out_channels, group_in, kernel @ ..]) =
            (x.shape(), weights.shape())
        else {
            return Err(Error::engine("the input and the weights need a batch and a channel dimension"));
        };
        let (images, in_channels, out_channels) = (*images, *in_channels, *out_channels);
        let fits = group_in.checked_mul(self.groups) == Some(in_channels)
            && out_channels % self.groups == 0
            && in_channels % self.offset_groups == 0
            && !size.is_empty();
        if !fits {
            return Err(Error::engine(format!(
                "an input of shape {:?} does not fit weights of shape {:?}",
                x.shape(),
                weights.shape()
            )));
        }
        let placement = self.window.place(Some(kernel), size)?;
        let mut shape = Shape::from_slice(&[images, out_channels]);
        shape.extend_from_slice(&placement.output);
        let count = element_count(&shape)?;
        let (elements, positions) = (product(kernel), product(&placement.output));
        let offset_count = images * self.offset_groups * elements * positions;
        let check = |index: usize, wanted: usize| match inputs.optional(index) {
            Ok(Some(tensor)) if tensor.len() != wanted => {
                let actual = tensor.len();
                Err(Error::engine(format!("input {index} must have {wanted} elements, not {actual}")))
            }
            _ => Ok(()),
        };
        check(2, offset_count * size.len())?;
        check(3, out_channels)?;
        check(4, offset_count)?;
        let problem = Problem { placement: &placement, size, in_channels, out_channels, groups: self.groups };
        if x.dtype() == DType::Fp32 {
            let optional =
                |index: usize| inputs.optional(index)?.map(HostTensor::elements::<f32>).transpose();
            let operands = Operands {
                x: x.elements()?,
                weights: weights.elements()?,
                offsets: inputs.elements(2)?,
                bias: optional(3)?,
                mask: optional(4)?,
            };
            let mut out = context.memory.floats(count);
            problem.run(&operands, images, self.offset_groups, &mut out, context)?;
            return one(HostTensor::new(shape, out)?);
        }
        let doubles = |index: usize| inputs.optional(index)?.map(to_doubles).transpose();
        let (x_elements, weights) = (to_doubles(x)?, to_doubles(weights)?);
        let (offsets, bias, mask) = (to_doubles(inputs.tensor(2)?)?, doubles(3)?, doubles(4)?);
        let operands = Operands {
            x: &x_elements,
            weights: &weights,
            offsets: &offsets,
            bias: bias.as_deref(),
            mask: mask.as_deref(),
        };
        let mut out = vec![0.0; count];
        problem.run(&operands, images, self.offset_groups, &mut out, context)?;
        one(from_doubles(&shape, out, x.dtype())?)
    }
}

struct Problem<'a> {
    placement: &'a Placement,
    size: &'a [usize],
    in_channels: usize,
    out_channels: usize,
    groups: usize,
}

struct Operands<'a, T> {
    x: &'a [T],
    weights: &'a [T],
    /// [images, offset groups, kernel elements, axes, positions]
    offsets: &'a [T],
    bias: Option<&'a [T]>,
    /// [images, offset groups, kernel elements, positions]
    mask: Option<&'a [T]>,
}

impl Problem<'_> {
    fn run<T: Multiply>(
        &self,
        operands: &Operands<'_, T>,
        images: usize,
        offset_groups: usize,
        out: &mut [T],
        context: &mut Context<'_>,
    ) -> Result<()> {
        let Placement { kernel, output, .. } = self.placement;
        let (elements, positions, in_len) = (product(kernel), product(output), product(self.size));
        let rank = self.size.len();
        if out.is_empty() || positions == 0 {
            return Ok(());
        }
        let (kernel_strides, output_strides) = (strides(kernel), strides(output));
        let per_group = self.in_channels / offset_groups;
        let mut columns: Vec<T> =
            repeated(T::ZERO, element_count(&[self.in_channels, elements, positions])?)?;
        let depth = self.in_channels / self.groups * elements;
        let group_out = self.out_channels / self.groups;
        for image in 0..images {
            let mut corners = Vec::with_capacity(1 << rank);
            for group in 0..offset_groups {
                for element in 0..elements {
                    let at = (image * offset_groups + group) * elements + element;
                    for position in 0..positions {
                        let factor =
                            operands.mask.map_or(1.0, |mask| mask[at * positions + position].to_f64());
                        corners.clear();
                        corners.push((0_usize, factor));
                        for axis in 0..rank {
                            let tap = element / kernel_strides[axis] % kernel[axis];
                            let step = position / output_strides[axis] % output[axis];
                            let offset = operands.offsets[(at * rank + axis) * positions + position].to_f64();
                            let place = (step * self.placement.strides[axis]) as f64
                                - self.placement.pads_begin[axis] as f64
                                + (tap * self.placement.dilations[axis]) as f64
                                + offset;
                            split(&mut corners, place, self.size[axis]);
                        }
                        for channel in group * per_group..(group + 1) * per_group {
                            let x = &operands.x[(image * self.in_channels + channel) * in_len..][..in_len];
                            let value = corners.iter().map(|&(at, weight)| weight * x[at].to_f64()).sum();
                            columns[(channel * elements + element) * positions + position] =
                                T::from_f64(value);
                        }
                    }
                }
            }
            for group in 0..self.groups {
                let weights = &operands.weights[group * group_out * depth..][..group_out * depth];
                let columns = &columns[group * depth * positions..][..depth * positions];
                let first = image * self.out_channels + group * group_out;
                let out = &mut out[first * positions..][..group_out * positions];
                if depth == 0 {
                    out.fill(T::ZERO);
                } else {
                    let a = Matrix::row_major(weights, group_out, depth);
                    let b = Matrix::row_major(columns, depth, positions);
                    T::multiply(out, a, b, &mut context.memory.scratch, context.threads);
                }
                if let Some(bias) = operands.bias {
                    for (row, bias) in out.chunks_exact_mut(positions).zip(&bias[group * group_out..]) {
                        row.iter_mut().for_each(|value| *value = value.plus(*bias));
                    }
                }
            }
        }
        Ok(())
    }
}

/// Splits every corner into its two neighbours along an axis, by their distance from `place`. Neighbours outside of
/// the input count as zero.
fn split(corners: &mut Vec<(usize, f64)>, place: f64, length: usize) {
    if !(place > -1.0 && place < length as f64) {
        corners.clear();
        return;
    }
    let low = place.floor();
    let fraction = place - low;
    let whole = std::mem::take(corners);
    for (at, weight) in whole {
        for (neighbour, share) in [(low, 1.0 - fraction), (low + 1.0, fraction)] {
            if neighbour >= 0.0 && neighbour < length as f64 && share != 0.0 {
                corners.push((at * length + neighbour as usize, weight * share));
            }
        }
    }
}
