//! `MaxUnpool`: puts maxima back to where `MaxPool` found them.

use mlops_core::{Error, Result};

use crate::engine::onnx::ops::floats::wrong_type;
use crate::engine::onnx::ops::support::{product, repeated, strides};
use crate::engine::onnx::ops::window::Window;
use crate::engine::onnx::ops::{Context, Operator, Outputs, Source, one};
use crate::engine::onnx::tensor::{HostTensor, Shape, element_count, for_numbers};
use crate::engine::onnx::value::Inputs;

#[derive(Debug)]
struct MaxUnpool {
    window: Window,
}

pub(super) fn build(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    let window = Window::parse(&source.node.attributes)?;
    window.kernel()?;
    Ok(Box::new(MaxUnpool { window }))
}

impl Operator for MaxUnpool {
    fn run(&self, inputs: &mut Inputs<'_>, _context: &mut Context<'_>) -> Result<Outputs> {
        let x = inputs.tensor(0)?;
        let indices = inputs.elements::<i64>(1)?;
        let [images, channels, size @ ..] = x.shape() else {
            return Err(Error::engine("the input needs a batch and a channel dimension"));
        };
        let kernel = self.window.kernel()?;
        if kernel.len() != size.len() || indices.len() != x.len() {
            return Err(Error::engine("the kernel, the input and the indices are not of the same sizes"));
        }
        // What the maxima were taken from, by the attributes: the indices count in it.
        let (steps, (begin, end)) = (self.window.strides(size.len())?, self.window.pads(size.len())?);
        let mut pooled = Shape::from_slice(&[*images, *channels]);
        for (axis, &length) in size.iter().enumerate() {
            let whole =
                length.saturating_sub(1).checked_mul(steps[axis]).and_then(|n| n.checked_add(kernel[axis]));
            let inner = whole.and_then(|whole| whole.checked_sub(begin[axis] + end[axis]));
            pooled.push(inner.ok_or_else(|| Error::engine("the padding is larger than what was pooled"))?);
        }
        let shape = match inputs.optional_i64s(2)? {
            None => pooled.clone(),
            Some(shape) => {
                let lengths =
                    shape.iter().map(|&length| usize::try_from(length).ok()).collect::<Option<Shape>>();
                let fits = |shape: &Shape| {
                    shape.len() == pooled.len() && shape.iter().zip(&pooled).all(|(given, own)| given >= own)
                };
                lengths.filter(fits).ok_or_else(|| {
                    Error::engine(format!("the output must be at least {pooled:?}, but {shape:?} was given"))
                })?
            }
        };
        let pooled_count = element_count(&pooled)?;
        let count = element_count(&shape)?;
        let own = strides(&pooled);
        let target = |index: i64| -> Option<usize> {
            let index = usize::try_from(index).ok().filter(|&index| index < pooled_count)?;
            let place = |flat: usize, axis: usize| flat * shape[axis] + index / own[axis] % pooled[axis];
            Some((0..shape.len()).fold(0, place))
        };
        let outside = || Error::engine(format!("an index lies outside of the {} elements", product(&pooled)));
        for_numbers!(x.data(), |elements| {
            let mut out = repeated(Default::default(), count)?;
            for (&value, &index) in elements.iter().zip(indices) {
                out[target(index).ok_or_else(outside)?] = value;
            }
            one(HostTensor::new(shape, out)?)
        }, _other => Err(wrong_type(x)))
    }
}
