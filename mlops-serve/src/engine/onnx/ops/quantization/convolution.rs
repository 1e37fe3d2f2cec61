//! Convolutions of quantised tensors.

use std::borrow::Cow;

use mlops_core::{Error, Result};

use super::layout::rows;
use super::parameters::{Parameters, Stored, for_stored_type, integers, reals, small_integers};
use super::patches::Patches;
use crate::engine::onnx::ops::support::{product as count_of, repeated};
use crate::engine::onnx::ops::window::Window;
use crate::engine::onnx::ops::{Context, Inputs, Operator, Outputs, Source, one};
use crate::engine::onnx::tensor::{Data, HostTensor, Shape, element_count};
use crate::kernels::integer::product;
use crate::kernels::parallel::Threads;

/// Inputs: x, weights, zero point of x, zero points of the weights.
pub(super) fn conv_integer(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    Ok(Box::new(ConvInteger { convolution: Convolution::parse(source, 1, 3)? }))
}

/// Inputs: x with scale and zero point, weights with theirs, scale and zero point of the output, bias.
pub(super) fn q_linear_conv(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    if source.node.attributes.flag("channels_last", false)? {
        return Err(Error::unsupported("QLinearConv with channels last"));
    }
    Ok(Box::new(QLinearConv { convolution: Convolution::parse(source, 3, 5)? }))
}

/// What both have in common.
#[derive(Debug)]
struct Convolution {
    window: Window,
    groups: usize,
    weights: usize,
    weights_zero: usize,
    /// The weights, output channel after output channel, if they are constants.
    prepared: Option<Vec<i16>>,
}

/// How many places of the window are laid out at once.
const PLACES: usize = 256;

impl Convolution {
    fn parse(source: &Source<'_>, weights: usize, weights_zero: usize) -> Result<Self> {
        let attributes = &source.node.attributes;
        let groups = attributes.int("group", 1)?;
        let groups = usize::try_from(groups).ok().filter(|&groups| groups > 0);
        let zero_is_known =
            source.node.input(weights_zero).is_none() || source.constant(weights_zero).is_some();
        let prepared = match source.constant(weights) {
            Some(tensor) if zero_is_known => Some(centred(tensor, source.constant(weights_zero))?),
            _ => None,
        };
        Ok(Self {
            window: Window::parse(attributes)?,
            groups: groups.ok_or_else(|| Error::invalid_input("the attribute `group` must be positive"))?,
            weights,
            weights_zero,
            prepared,
        })
    }

    /// The sums, before any scale, as `[batch, out channels, places]`.
    fn sums(&self, inputs: &Inputs<'_>, x_zero: Option<&HostTensor>, threads: &Threads) -> Result<Sums> {
        let (x, weights) = (inputs.tensor(0)?, inputs.tensor(self.weights)?);
        let (shape, window) = self.layout(x.shape(), weights.shape())?;
        let weights: Cow<'_, [i16]> = match &self.prepared {
            Some(prepared) => Cow::Borrowed(prepared),
            None => Cow::Owned(centred(weights, inputs.optional(self.weights_zero)?)?),
        };
        let zero = x_zero.map(small_integers).transpose()?.unwrap_or_else(|| vec![0]);
        if zero.len() != 1 {
            return Err(Error::engine("the input of a convolution has one zero point"));
        }
        // As rows of one element they would be padded.
        let elements: Vec<i16> =
            small_integers(x)?.into_iter().map(|element| element.wrapping_sub(zero[0])).collect();
        let mut output = repeated(0_i32, element_count(&shape)?)?;
        let places = window.places();
        if output.is_empty() || places == 0 {
            return Ok(Sums { shape, places, elements: output });
        }
        let (channels, out_channels) = (x.shape()[1], shape[1]);
        let plane = count_of(&x.shape()[2..]);
        let (group_channels, group_outputs) = (channels / self.groups, out_channels / self.groups);
        let stride = weights.len() / out_channels;
        let (mut patches, mut offsets, mut products) = (Vec::new(), Vec::new(), Vec::new());
        for (image, output) in output.chunks_exact_mut(out_channels * places).enumerate() {
            for group in 0..self.groups {
                let first = (image * channels + group * group_channels) * plane;
                let input = &elements[first..first + group_channels * plane];
                let weights = &weights[group * group_outputs * stride..(group + 1) * group_outputs * stride];
                for start in (0..places).step_by(PLACES) {
                    let end = (start + PLACES).min(places);
                    patches.clear();
                    for place in start..end {
                        window.at(place, &mut offsets);
                        for channel in 0..group_channels {
                            let plane = &input[channel * plane..(channel + 1) * plane];
                            patches.extend(offsets.iter().map(|&at| plane.get(at).copied().unwrap_or(0)));
                        }
                        patches.resize((place + 1 - start) * stride, 0);
                    }
                    products.clear();
                    products.resize(group_outputs * (end - start), 0);
                    product(weights, &patches, stride, &mut products, end - start, threads);
                    for (channel, products) in products.chunks_exact(end - start).enumerate() {
                        let row = (group * group_outputs + channel) * places;
                        output[row + start..row + end].copy_from_slice(products);
                    }
                }
            }
        }
        Ok(Sums { shape, places, elements: output })
    }

    /// The shape of the output, and how the window moves.
    fn layout(&self, x: &[usize], weights: &[usize]) -> Result<(Shape, Patches)> {
        let ([batch, channels, spatial @ ..], [out_channels, group_channels, kernel @ ..]) = (x, weights)
        else {
            return Err(Error::engine("a convolution needs a batch and channels"));
        };
        if group_channels.saturating_mul(self.groups) != *channels || out_channels % self.groups != 0 {
            let groups = self.groups;
            return Err(Error::engine(format!(
                "the weights {weights:?} do not fit {channels} channels in {groups} groups"
            )));
        }
        let patches = Patches::new(&self.window, Some(kernel), spatial)?;
        let mut shape = Shape::from_slice(&[*batch, *out_channels]);
        shape.extend_from_slice(patches.output());
        element_count(&shape)?;
        Ok((shape, patches))
    }
}

/// Weights `[out channels, ..]` with one zero point, or one for each output channel, taken off.
fn centred(weights: &HostTensor, zero: Option<&HostTensor>) -> Result<Vec<i16>> {
    let elements = small_integers(weights)?;
    let zeros = zero.map(small_integers).transpose()?.unwrap_or_else(|| vec![0]);
    let channels = weights.shape().first().copied().unwrap_or(0);
    if zeros.len() != 1 && zeros.len() != channels {
        let count = zeros.len();
        return Err(Error::engine(format!("{count} zero points are given for {channels} output channels")));
    }
    let depth = elements.len().checked_div(channels).unwrap_or(0);
    rows(elements, depth, &zeros)
}

/// What a convolution adds up to.
struct Sums {
    shape: Shape,
    places: usize,
    elements: Vec<i32>,
}

#[derive(Debug)]
struct ConvInteger {
    convolution: Convolution,
}

impl Operator for ConvInteger {
    fn run(&self, inputs: &mut Inputs<'_>, context: &mut Context<'_>) -> Result<Outputs> {
        let sums = self.convolution.sums(inputs, inputs.optional(2)?, context.threads)?;
        one(HostTensor::new(sums.shape, sums.elements)?)
    }
}

#[derive(Debug)]
struct QLinearConv {
    convolution: Convolution,
}

impl Operator for QLinearConv {
    fn run(&self, inputs: &mut Inputs<'_>, context: &mut Context<'_>) -> Result<Outputs> {
        let sums = self.convolution.sums(inputs, inputs.optional(2)?, context.threads)?;
        let x = Parameters::of(inputs, 1, 2)?;
        let output = Parameters::of(inputs, 6, 7)?;
        let channels = sums.shape[1];
        let scales = reals(inputs.tensor(4)?)?;
        if scales.len() != 1 && scales.len() != channels {
            let count = scales.len();
            return Err(Error::engine(format!("{count} scales are given for {channels} output channels")));
        }
        let bias = inputs.optional(8)?.map(integers).transpose()?;
        if bias.as_ref().is_some_and(|bias| bias.len() != channels) {
            return Err(Error::engine(format!("the bias does not have {channels} elements")));
        }
        let channel = |channel: usize| {
            let scale = if scales.len() == 1 { scales[0] } else { scales[channel] };
            (x.scale * scale / output.scale, bias.as_ref().map_or(0, |bias| bias[channel]))
        };
        let dtype = match inputs.optional(7)? {
            Some(zero) => zero.dtype(),
            None => inputs.tensor(0)?.dtype(),
        };
        let data = for_stored_type!(dtype, rounded(&sums, channels, output.zero as f32, &channel))?;
        one(HostTensor::from_data(sums.shape, data)?)
    }
}

/// The sums plus the bias of their channel, times its scale, as integers of a type.
fn rounded<T: Stored>(
    sums: &Sums,
    channels: usize,
    zero: f32,
    channel: &dyn Fn(usize) -> (f32, i32),
) -> Result<Data> {
    let mut output = vec![T::default(); sums.elements.len()];
    let rows = sums.elements.chunks_exact(sums.places.max(1));
    for (row, (output, sums)) in output.chunks_exact_mut(sums.places.max(1)).zip(rows).enumerate() {
        let (scale, bias) = channel(row % channels.max(1));
        pulp::Arch::new().dispatch(|| {
            for (output, &sum) in output.iter_mut().zip(sums) {
                *output = T::nearest(sum.wrapping_add(bias) as f32 * scale, zero);
            }
        });
    }
    Ok(T::wrap(output.into()))
}
