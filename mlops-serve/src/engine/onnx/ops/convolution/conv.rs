//! `Conv`, and the fused `Conv` with residual and activation.
//!
//! Inputs: x `[N, C, ..]`, weights `[O, C / group, ..]`, optional bias `[O]`; of the fused operator also an optional
//! residual that broadcasts with the result, and the attributes of [`crate::engine::onnx::ops::linear::epilogue`].

use std::sync::{Arc, Mutex, PoisonError};

use mlops_core::{Error, Result};

use super::plain::convolve;
use crate::engine::onnx::ops::floats::{
    are_half, constant_singles, from_doubles, to_doubles, vector, widened, wrong_type,
};
use crate::engine::onnx::ops::linear::epilogue::{activation, finish_broadcast};
use crate::engine::onnx::ops::window::{Placement, Window};
use crate::engine::onnx::ops::{Context, Operator, Outputs, Source, one};
use crate::engine::onnx::tensor::{Data, HostTensor, Shape, element_count};
use crate::engine::onnx::value::Inputs;
use crate::kernels::conv::{Convolution, ConvolutionNd, Geometry, GeometryNd};
use crate::kernels::epilogue::{Activation, Bias, Epilogue};

#[derive(Debug)]
struct Conv {
    window: Window,
    groups: usize,
    activation: Activation,
    /// The weights, if they are constant.
    weights: Option<Weights>,
    /// What was prepared, for each padding there was: it may depend on the size of the input.
    prepared: Mutex<Vec<Prepared>>,
}

#[derive(Debug)]
struct Weights {
    shape: Shape,
    elements: Arc<[f32]>,
}

/// For how many paddings of the same weights a convolution is kept.
const KEPT: usize = 4;

#[derive(Debug, Clone)]
struct Prepared {
    pads_begin: Vec<usize>,
    pads_end: Vec<usize>,
    kernel: Kernel,
}

#[derive(Debug, Clone)]
enum Kernel {
    /// Of one or two spatial dimensions.
    Flat(Arc<Convolution>),
    Any(Arc<ConvolutionNd>),
}

pub(super) fn build(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    let attributes = &source.node.attributes;
    let groups = attributes.int("group", 1)?;
    let groups = usize::try_from(groups).ok().filter(|&groups| groups > 0);
    let constant = source.constant(1);
    let weights = constant_singles(constant).map(|elements| Weights {
        shape: constant.map(HostTensor::shape).unwrap_or_default().into(),
        elements: elements.into(),
    });
    Ok(Box::new(Conv {
        window: Window::parse(attributes)?,
        groups: groups.ok_or_else(|| Error::invalid_input("the attribute `group` must be positive"))?,
        activation: activation(attributes)?,
        weights: weights.filter(|weights| weights.shape.len() >= 3),
        prepared: Mutex::default(),
    }))
}

impl Operator for Conv {
    fn run(&self, inputs: &mut Inputs<'_>, context: &mut Context<'_>) -> Result<Outputs> {
        if are_half(inputs, 0)? {
            return widened(inputs, context, 1, |inputs, context| self.run(inputs, context));
        }
        let x = inputs.tensor(0)?;
        match (x.data(), &self.weights) {
            (Data::F32(_), Some(weights)) => {
                let sizes = Sizes::new(&self.window, self.groups, x.shape(), &weights.shape)?;
                let kernel = self.prepared(&weights.elements, &sizes);
                self.run_single(&sizes, &kernel, inputs, context)
            }
            (Data::F32(_), None) => {
                let weights = inputs.tensor(1)?;
                let sizes = Sizes::new(&self.window, self.groups, x.shape(), weights.shape())?;
                let kernel = sizes.kernel(&weights.elements()?.into());
                self.run_single(&sizes, &kernel, inputs, context)
            }
            (Data::F64(x_elements), _) => {
                let weights = inputs.tensor(1)?;
                let sizes = Sizes::new(&self.window, self.groups, x.shape(), weights.shape())?;
                let bias = inputs.optional(2)?.map(to_doubles).transpose()?;
                if bias.as_ref().is_some_and(|bias| bias.len() != sizes.out_channels) {
                    return Err(Error::engine(format!("the bias must have {} elements", sizes.out_channels)));
                }
                let weights = to_doubles(weights)?;
                let out =
                    convolve(&sizes.placement, self.groups, x.shape(), x_elements, &weights, bias.as_deref());
                one(from_doubles(&sizes.shape, out, x.dtype())?)
            }
            _ => Err(wrong_type(x)),
        }
    }

    fn has_taken(&self, input: usize) -> bool {
        input == 1 && self.weights.is_some()
    }
}

impl Conv {
    fn prepared(&self, weights: &Arc<[f32]>, sizes: &Sizes) -> Kernel {
        let placement = &sizes.placement;
        let mut prepared = self.prepared.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |known: &&Prepared| {
            known.pads_begin == placement.pads_begin.as_slice()
                && known.pads_end == placement.pads_end.as_slice()
        };
        if let Some(known) = prepared.iter().find(fits) {
            return known.kernel.clone();
        }
        let kernel = sizes.kernel(weights);
        if prepared.len() >= KEPT {
            prepared.remove(0);
        }
        prepared.push(Prepared {
            pads_begin: placement.pads_begin.to_vec(),
            pads_end: placement.pads_end.to_vec(),
            kernel: kernel.clone(),
        });
        kernel
    }

    fn run_single(
        &self,
        sizes: &Sizes,
        kernel: &Kernel,
        inputs: &Inputs<'_>,
        context: &mut Context<'_>,
    ) -> Result<Outputs> {
        let x = inputs.tensor(0)?;
        let elements = x.elements::<f32>()?;
        let bias = vector(inputs, 2, sizes.out_channels)?.map_or(Bias::None, Bias::PerRow);
        let residual = inputs.optional(3)?;
        let direct = residual.filter(|residual| residual.shape() == sizes.shape.as_slice());
        let later = residual.filter(|_| direct.is_none());
        let epilogue = Epilogue {
            bias,
            residual: direct.map(HostTensor::elements::<f32>).transpose()?,
            activation: if later.is_some() { Activation::None } else { self.activation },
        };
        let mut out = context.memory.floats(element_count(&sizes.shape)?);
        if !out.is_empty() {
            let (scratch, threads) = (&mut context.memory.scratch, context.threads);
            match kernel {
                Kernel::Flat(convolution) => {
                    let dims = match *x.shape() {
                        [images, channels, width] => [images, channels, 1, width],
                        [images, channels, height, width] => [images, channels, height, width],
                        _ => return Err(Error::engine("the input does not fit the weights")),
                    };
                    convolution.run(elements, dims, &epilogue, &mut out, scratch, threads);
                }
                Kernel::Any(convolution) => {
                    convolution.run(elements, x.shape(), &epilogue, &mut out, scratch, threads);
                }
            }
        }
        match later {
            Some(residual) => one(finish_broadcast(&out, &sizes.shape, residual, self.activation)?),
            None => one(HostTensor::new(sizes.shape.clone(), out)?),
        }
    }
}

/// A convolution of an input of known size.
struct Sizes {
    placement: Placement,
    groups: usize,
    in_channels: usize,
    out_channels: usize,
    /// The shape of the output.
    shape: Shape,
}

impl Sizes {
    fn new(window: &Window, groups: usize, x: &[usize], weights: &[usize]) -> Result<Self> {
        let ([images, in_channels, size @ ..], [out_channels, group_in, kernel @ ..]) = (x, weights) else {
            return Err(Error::engine("the input and the weights need a batch and a channel dimension"));
        };
        let (images, in_channels, out_channels) = (*images, *in_channels, *out_channels);
        if size.is_empty() || group_in.checked_mul(groups) != Some(in_channels) || out_channels % groups != 0
        {
            return Err(Error::engine(format!(
                "an input of shape {x:?} does not fit weights of shape {weights:?} in {groups} groups"
            )));
        }
        let placement = window.place(Some(kernel), size)?;
        let mut shape = Shape::from_slice(&[images, out_channels]);
        shape.extend_from_slice(&placement.output);
        element_count(&shape)?;
        Ok(Self { placement, groups, in_channels, out_channels, shape })
    }

    fn kernel(&self, weights: &Arc<[f32]>) -> Kernel {
        let Placement { kernel, strides, dilations, pads_begin, pads_end, .. } = &self.placement;
        let pair = |values: &[usize], filler: usize| match *values {
            [only] => [filler, only],
            [first, second, ..] => [first, second],
            [] => [filler; 2],
        };
        if kernel.len() > 2 {
            let geometry = GeometryNd {
                groups: self.groups,
                kernel: kernel.to_vec(),
                strides: strides.to_vec(),
                dilations: dilations.to_vec(),
                pads_begin: pads_begin.to_vec(),
                pads_end: pads_end.to_vec(),
            };
            let convolution = ConvolutionNd::new(weights, self.out_channels, self.in_channels, geometry);
            return Kernel::Any(Arc::new(convolution));
        }
        let [[top, left], [bottom, right]] = [pair(pads_begin, 0), pair(pads_end, 0)];
        let geometry = Geometry {
            groups: self.groups,
            kernel: pair(kernel, 1),
            strides: pair(strides, 1),
            dilations: pair(dilations, 1),
            pads: [top, left, bottom, right],
        };
        let weights = Arc::clone(weights);
        Kernel::Flat(Arc::new(Convolution::new(weights, self.out_channels, self.in_channels, geometry)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::onnx::graph::Attribute;
    use crate::engine::onnx::ops::testing::fused;
    use crate::kernels::testing::{Random, assert_close};

    #[test]
    fn a_residual_is_added_before_the_activation_whatever_its_shape() {
        let mut random = Random::new(2);
        let (x, weights, bias) = (random.values(2 * 3 * 16), random.values(4 * 3 * 9), random.values(4));
        let tensor =
            |shape: &[usize], elements: &[f32]| Some(HostTensor::new(shape, elements.to_vec()).unwrap());
        for residual_shape in [[2, 4, 4, 4], [1, 4, 1, 1], [2, 1, 4, 4]] {
            let residual = random.values(residual_shape.iter().product());
            let inputs = [
                tensor(&[2, 3, 4, 4], &x),
                tensor(&[4, 3, 3, 3], &weights),
                tensor(&[4], &bias),
                tensor(&residual_shape, &residual),
            ];
            let attributes =
                [("pads", Attribute::Ints(vec![1; 4])), ("activation", Attribute::Text("relu".into()))];
            let out = fused("Conv", attributes, inputs, &[1, 2], 1).unwrap().remove(0);
            let mut expected = Vec::new();
            for place in 0..2 * 4 * 16_usize {
                let at = [place / 64, place / 16 % 4, place / 4 % 4, place % 4];
                let [image, channel, row, column] = at;
                let mut sum = bias[channel];
                for tap in 0..27 {
                    let (input, y, x_at) = (tap / 9, row + tap / 3 % 3, column + tap % 3);
                    if (1..5).contains(&y) && (1..5).contains(&x_at) {
                        let value = x[(image * 3 + input) * 16 + (y - 1) * 4 + x_at - 1];
                        sum += value * weights[channel * 27 + tap];
                    }
                }
                let index = residual_shape
                    .iter()
                    .zip(at)
                    .fold(0, |index, (&length, at)| index * length + at % length);
                expected.push((sum + residual[index]).max(0.0));
            }
            assert_close(out.elements().unwrap(), &expected, 1e-4, &format!("{residual_shape:?}"));
        }
    }
}
