//! Operators on maps in blocks of sixteen channels, as [`crate::kernels::blocked`] lays them out; only rewrites use them.
//!
//! `[N, C, H, W]` becomes `[N, ceil(C / 16), H, W, 16]`, so operators that work element by element need no other form.

use mlops_core::{Error, Result};

use super::floats::constant_singles;
use super::linear::epilogue::{activation, finish_broadcast};
use super::window::Window;
use super::{Context, Entry, Operator, Outputs, Source, fused, one};
use crate::engine::onnx::tensor::{HostTensor, Shape, element_count};
use crate::engine::onnx::value::Inputs;
use crate::kernels::blocked::{self, BLOCK, Depthwise, Entry as EntryKernel, Pointwise};
use crate::kernels::conv::Geometry;
use crate::kernels::epilogue::Activation;

pub(super) const OPERATORS: &[Entry] = &[
    fused("BlockedConv", convolution),
    fused("BlockedMean", mean),
    fused("FromBlocks", from_blocks),
    fused("ToBlocks", to_blocks),
];

/// From `[N, C, H, W]`, where C is the attribute `channels`.
#[derive(Debug)]
struct ToBlocks {
    channels: usize,
}

/// To `[N, C, H, W]`, where C is the attribute `channels`.
#[derive(Debug)]
struct FromBlocks {
    channels: usize,
}

/// The mean over all pixels, which leaves one.
#[derive(Debug)]
struct Mean;

fn to_blocks(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    Ok(Box::new(ToBlocks { channels: channels(source)? }))
}

fn from_blocks(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    Ok(Box::new(FromBlocks { channels: channels(source)? }))
}

fn mean(_source: &Source<'_>) -> Result<Box<dyn Operator>> {
    Ok(Box::new(Mean))
}

fn channels(source: &Source<'_>) -> Result<usize> {
    let channels = usize::try_from(source.node.attributes.int("channels", 0)?).ok();
    let channels = channels.filter(|&channels| channels > 0);
    channels.ok_or_else(|| Error::invalid_input("the attribute `channels` must be positive"))
}

impl Operator for ToBlocks {
    fn run(&self, inputs: &mut Inputs<'_>, context: &mut Context<'_>) -> Result<Outputs> {
        let x = inputs.tensor(0)?;
        let channels = self.channels;
        let &[images, given, height, width] = x.shape() else {
            return Err(Error::engine(format!(
                "the input must have 4 dimensions, not shape {:?}",
                x.shape()
            )));
        };
        if given != channels {
            return Err(Error::engine(format!("the input must have {channels} channels, not {given}")));
        }
        let shape = Shape::from_slice(&[images, channels.div_ceil(BLOCK), height, width, BLOCK]);
        let mut out = context.memory.floats(element_count(&shape)?);
        blocked::to_blocks(x.elements()?, channels, height * width, &mut out, context.threads);
        one(HostTensor::new(shape, out)?)
    }
}

impl Operator for FromBlocks {
    fn run(&self, inputs: &mut Inputs<'_>, context: &mut Context<'_>) -> Result<Outputs> {
        let (x, [images, _, height, width]) = in_blocks(inputs, 0, self.channels.div_ceil(BLOCK))?;
        let shape = Shape::from_slice(&[images, self.channels, height, width]);
        let mut out = context.memory.floats(element_count(&shape)?);
        blocked::from_blocks(x.elements()?, self.channels, height * width, &mut out, context.threads);
        one(HostTensor::new(shape, out)?)
    }
}

impl Operator for Mean {
    fn run(&self, inputs: &mut Inputs<'_>, context: &mut Context<'_>) -> Result<Outputs> {
        let x = inputs.tensor(0)?;
        let &[images, blocks, height, width, BLOCK] = x.shape() else { return Err(not_in_blocks(x)) };
        let mut out = context.memory.floats(images * blocks * BLOCK);
        if height * width == 0 {
            out.fill(0.0);
        } else {
            blocked::means(x.elements()?, height * width, &mut out, context.threads);
        }
        one(HostTensor::new(Shape::from_slice(&[images, blocks, 1, 1, BLOCK]), out)?)
    }
}

/// A convolution whose result is in blocks: with kernels of one pixel, or of one channel each, or of a plain map of few
/// channels, as the attribute `form` says.
///
/// Inputs: x, weights `[O, C / group, kH, kW]` and bias `[O]` as `Conv` has them, both constant, and, unless
/// x is plain, an optional residual in blocks that broadcasts with the result. Attributes: those of `Conv` and of the fused operators.
#[derive(Debug)]
struct BlockedConv {
    kernel: Kernel,
    window: Window,
    size: [usize; 2],
    activation: Activation,
}

#[derive(Debug)]
enum Kernel {
    Pointwise { convolution: Pointwise, in_blocks: usize },
    Depthwise(Depthwise),
    Entry(EntryKernel),
}

fn convolution(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    let attributes = &source.node.attributes;
    let constant = source.constant(1);
    let weights = constant_singles(constant).unwrap_or_default();
    let Some(&[outputs, inputs, height, width]) = constant.map(HostTensor::shape) else {
        return Err(Error::invalid_input("the weights must be constant and have 4 dimensions"));
    };
    let bias = constant_singles(source.constant(2));
    if bias.as_ref().is_some_and(|bias| bias.len() != outputs) {
        return Err(Error::invalid_input(format!("the bias must have {outputs} elements")));
    }
    let bias = bias.as_deref();
    let kernel = match attributes.text("form")?.map(String::as_str) {
        Some("pointwise") => {
            let convolution = Pointwise::new(&weights, bias, outputs, inputs);
            Kernel::Pointwise { convolution, in_blocks: inputs.div_ceil(BLOCK) }
        }
        Some("depthwise") => Kernel::Depthwise(Depthwise::new(&weights, bias, outputs)),
        Some("entry") => Kernel::Entry(EntryKernel::new(&weights, bias, outputs, inputs)),
        _ => return Err(Error::invalid_input("the attribute `form` must name a form")),
    };
    Ok(Box::new(BlockedConv {
        kernel,
        window: Window::parse(attributes)?,
        size: [height, width],
        activation: activation(attributes)?,
    }))
}

impl Operator for BlockedConv {
    fn run(&self, inputs: &mut Inputs<'_>, context: &mut Context<'_>) -> Result<Outputs> {
        let (x, [images, _, height, width]) = match &self.kernel {
            Kernel::Pointwise { in_blocks: blocks, .. } => in_blocks(inputs, 0, *blocks)?,
            Kernel::Depthwise(convolution) => in_blocks(inputs, 0, convolution.blocks())?,
            Kernel::Entry(convolution) => plain(inputs, 0, convolution.in_channels())?,
        };
        let out_blocks = match &self.kernel {
            Kernel::Pointwise { convolution, .. } => convolution.out_blocks(),
            Kernel::Depthwise(convolution) => convolution.blocks(),
            Kernel::Entry(convolution) => convolution.out_blocks(),
        };
        let placement = self.window.place(Some(&self.size), &[height, width])?;
        let &[out_height, out_width] = placement.output.as_slice() else {
            return Err(Error::engine("a map has two dimensions"));
        };
        let shape = Shape::from_slice(&[images, out_blocks, out_height, out_width, BLOCK]);
        let residual = inputs.optional(3)?;
        let direct = residual.filter(|residual| residual.shape() == shape.as_slice());
        let later = residual.filter(|_| direct.is_none());
        let direct = direct.map(HostTensor::elements::<f32>).transpose()?;
        let activation = if later.is_some() { Activation::None } else { self.activation };
        let elements = x.elements::<f32>()?;
        let mut out = context.memory.floats(element_count(&shape)?);
        let pair = |values: &[usize]| [values[0], values[1]];
        let ([top, left], [bottom, right]) = (pair(&placement.pads_begin), pair(&placement.pads_end));
        let geometry = Geometry {
            groups: 1,
            kernel: self.size,
            strides: pair(&placement.strides),
            dilations: pair(&placement.dilations),
            pads: [top, left, bottom, right],
        };
        let (size, threads, scratch) = ([height, width], context.threads, &mut context.memory.scratch);
        match &self.kernel {
            Kernel::Pointwise { convolution, .. } => {
                convolution.run(elements, height * width, direct, activation, &mut out, threads);
            }
            Kernel::Depthwise(convolution) => {
                convolution.run(&geometry, elements, size, direct, activation, &mut out, scratch, threads);
            }
            Kernel::Entry(convolution) => {
                convolution.run(&geometry, elements, size, activation, &mut out, scratch, threads);
            }
        }
        match later {
            Some(residual) => one(finish_broadcast(&out, &shape, residual, self.activation)?),
            None => one(HostTensor::new(shape, out)?),
        }
    }

    fn has_taken(&self, input: usize) -> bool {
        input == 1 || input == 2
    }
}

/// The plain input at that place, which must have that many channels, with its lengths.
fn plain<'a>(inputs: &'a Inputs<'_>, index: usize, channels: usize) -> Result<(&'a HostTensor, [usize; 4])> {
    let x = inputs.tensor(index)?;
    let &[images, given, height, width] = x.shape() else {
        return Err(Error::engine(format!("the input must have 4 dimensions, not shape {:?}", x.shape())));
    };
    if given != channels {
        return Err(Error::engine(format!("the input must have {channels} channels, not {given}")));
    }
    Ok((x, [images, given, height, width]))
}

/// The input at that place, which must have that many blocks, with its other lengths.
fn in_blocks<'a>(
    inputs: &'a Inputs<'_>,
    index: usize,
    blocks: usize,
) -> Result<(&'a HostTensor, [usize; 4])> {
    let x = inputs.tensor(index)?;
    match *x.shape() {
        [images, given, height, width, BLOCK] if given == blocks => Ok((x, [images, given, height, width])),
        _ => Err(not_in_blocks(x)),
    }
}

fn not_in_blocks(x: &HostTensor) -> Error {
    Error::engine(format!("an input of shape {:?} is not in the blocks that are needed", x.shape()))
}
