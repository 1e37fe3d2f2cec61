//! onnxruntime's average pooling of quantised tensors.
//!
//! Inputs: x with scale and zero point, scale and zero point of the output.

use mlops_core::{Error, Result};

use super::elementwise::dequantized;
use super::parameters::{Parameters, stored};
use super::patches::Patches;
use crate::engine::onnx::ops::support::{product, reserve};
use crate::engine::onnx::ops::window::Window;
use crate::engine::onnx::ops::{Context, Inputs, Operator, Outputs, Source, one};
use crate::engine::onnx::tensor::{HostTensor, Shape, element_count};

pub(super) fn average(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    let attributes = &source.node.attributes;
    refuse_channels_last(source)?;
    let window = Window::parse(attributes)?;
    window.kernel()?;
    let count_padding = attributes.flag("count_include_pad", false)?;
    Ok(Box::new(Average { window, count_padding }))
}

pub(super) fn global_average(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    refuse_channels_last(source)?;
    Ok(Box::new(GlobalAverage))
}

fn refuse_channels_last(source: &Source<'_>) -> Result<()> {
    if source.node.attributes.flag("channels_last", false)? {
        return Err(Error::unsupported("pooling with channels last"));
    }
    Ok(())
}

#[derive(Debug)]
struct Average {
    window: Window,
    /// Whether padding counts as zeros; else it does not count.
    count_padding: bool,
}

impl Operator for Average {
    fn run(&self, inputs: &mut Inputs<'_>, _: &mut Context<'_>) -> Result<Outputs> {
        let x = inputs.tensor(0)?;
        let [batch, channels, spatial @ ..] = x.shape() else {
            return Err(Error::engine("pooling needs a batch and channels"));
        };
        let patches = Patches::new(&self.window, None, spatial)?;
        let mut shape = Shape::from_slice(&[*batch, *channels]);
        shape.extend_from_slice(patches.output());
        let mut averages: Vec<f32> = reserve(element_count(&shape)?)?;
        let reals = dequantized(x, Parameters::of(inputs, 1, 2)?)?;
        let (plane, places) = (product(spatial), patches.places());
        let mut offsets = Vec::new();
        for plane in reals.chunks_exact(plane.max(1)) {
            for place in 0..places {
                patches.at(place, &mut offsets);
                let inside = offsets.iter().filter_map(|&offset| plane.get(offset));
                let count = if self.count_padding { offsets.len() } else { inside.clone().count() };
                averages.push(inside.sum::<f32>() / count.max(1) as f32);
            }
        }
        let data = stored(&averages, Parameters::of(inputs, 3, 4)?, x.dtype())?;
        one(HostTensor::from_data(shape, data)?)
    }
}

#[derive(Debug)]
struct GlobalAverage;

impl Operator for GlobalAverage {
    fn run(&self, inputs: &mut Inputs<'_>, _: &mut Context<'_>) -> Result<Outputs> {
        let x = inputs.tensor(0)?;
        let [batch, channels, spatial @ ..] = x.shape() else {
            return Err(Error::engine("pooling needs a batch and channels"));
        };
        let plane = product(spatial);
        if plane == 0 {
            return Err(Error::engine("there is no average of no elements"));
        }
        let reals = dequantized(x, Parameters::of(inputs, 1, 2)?)?;
        let averages: Vec<f32> =
            reals.chunks_exact(plane).map(|plane| plane.iter().sum::<f32>() / plane.len() as f32).collect();
        let mut shape = Shape::from_slice(&[*batch, *channels]);
        shape.resize(x.rank(), 1);
        let data = stored(&averages, Parameters::of(inputs, 3, 4)?, x.dtype())?;
        one(HostTensor::from_data(shape, data)?)
    }
}
