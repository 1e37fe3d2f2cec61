//! `ConvTranspose`: the gradient of a convolution as a layer of its own.

use std::sync::{Arc, Mutex, PoisonError};

use mlops_core::{Error, Result};

use crate::engine::onnx::ops::floats::{
    are_half, constant_singles, from_doubles, to_doubles, vector, widened, wrong_type,
};
use crate::engine::onnx::ops::support::{product, strides};
use crate::engine::onnx::ops::window::Window;
use crate::engine::onnx::ops::{Context, Operator, Outputs, Source, one};
use crate::engine::onnx::tensor::{Data, HostTensor, Shape, element_count};
use crate::engine::onnx::value::Inputs;
use crate::kernels::conv::{ConvolutionTransposed, GeometryNd};
use crate::kernels::epilogue::{Activation, Bias, Epilogue};

#[derive(Debug)]
struct ConvTranspose {
    window: Window,
    groups: usize,
    output_padding: Option<Vec<usize>>,
    output_shape: Option<Vec<usize>>,
    /// Constant weights and their shape.
    weights: Option<(Shape, Vec<f32>)>,
    /// The convolution of the last call whose weights were constant.
    prepared: Mutex<Option<(Layout, Arc<ConvolutionTransposed>)>>,
}

/// Where the results of an input of known size lie in the output.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Layout {
    geometry: GeometryNd,
    output_padding: Vec<usize>,
    output: Vec<usize>,
}

pub(super) fn build(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    let attributes = &source.node.attributes;
    let groups = usize::try_from(attributes.int("group", 1)?).ok().filter(|&groups| groups > 0);
    let list = |name: &str| -> Result<Option<Vec<usize>>> {
        let Some(values) = attributes.ints(name)? else { return Ok(None) };
        let size = |&value: &i64| usize::try_from(value).ok().filter(|&size| size < 1 << 40);
        let sizes = values.iter().map(size).collect::<Option<Vec<usize>>>();
        let wrong = || Error::invalid_input(format!("the attribute `{name}` cannot be {values:?}"));
        sizes.map(Some).ok_or_else(wrong)
    };
    let constant = source.constant(1).filter(|constant| constant.rank() >= 3);
    let weights = constant_singles(constant)
        .map(|elements| (constant.map(HostTensor::shape).unwrap_or_default().into(), elements));
    Ok(Box::new(ConvTranspose {
        window: Window::parse(attributes)?,
        groups: groups.ok_or_else(|| Error::invalid_input("the attribute `group` must be positive"))?,
        output_padding: list("output_padding")?,
        output_shape: list("output_shape")?,
        weights,
        prepared: Mutex::default(),
    }))
}

impl Operator for ConvTranspose {
    fn run(&self, inputs: &mut Inputs<'_>, context: &mut Context<'_>) -> Result<Outputs> {
        if are_half(inputs, 0)? {
            if self.weights.is_some() {
                inputs.take_value(1)?;
            }
            return widened(inputs, context, 1, |inputs, context| self.run(inputs, context));
        }
        let x = inputs.tensor(0)?;
        let (weights_shape, weights) = match (x.data(), &self.weights) {
            (Data::F32(_), Some((shape, elements))) => (shape.as_slice(), elements.as_slice()),
            (Data::F32(_), None) => (inputs.tensor(1)?.shape(), inputs.elements(1)?),
            (Data::F64(_), _) => (inputs.tensor(1)?.shape(), &[][..]),
            _ => return Err(wrong_type(x)),
        };
        let ([images, in_channels, size @ ..], [weights_in, group_out, kernel @ ..]) =
            (x.shape(), weights_shape)
        else {
            return Err(Error::engine("the input and the weights need a batch and a channel dimension"));
        };
        let (in_channels, out_channels) = (*in_channels, group_out.saturating_mul(self.groups));
        if in_channels != *weights_in || in_channels % self.groups != 0 || kernel.len() != size.len() {
            return Err(Error::engine(format!(
                "an input of shape {:?} does not fit weights of shape {weights_shape:?} in {} groups",
                x.shape(),
                self.groups
            )));
        }
        let layout = self.layout(kernel, size)?;
        let mut shape = Shape::from_slice(&[*images, out_channels]);
        shape.extend_from_slice(&layout.output);
        let count = element_count(&shape)?;
        if let Data::F64(elements) = x.data() {
            let weights = to_doubles(inputs.tensor(1)?)?;
            let bias = inputs.optional(2)?.map(to_doubles).transpose()?;
            if bias.as_ref().is_some_and(|bias| bias.len() != out_channels) {
                return Err(Error::engine(format!("the bias must have {out_channels} elements")));
            }
            let out = plain(&layout, x.shape(), elements, &weights, out_channels, bias.as_deref());
            return one(from_doubles(&shape, out, x.dtype())?);
        }
        let bias = vector(inputs, 2, out_channels)?.map_or(Bias::None, Bias::PerRow);
        let epilogue = Epilogue { bias, residual: None, activation: Activation::None };
        let mut out = context.memory.floats(count);
        if !out.is_empty() {
            let convolution = self.prepared(weights, in_channels, out_channels, layout);
            let (scratch, threads) = (&mut context.memory.scratch, context.threads);
            convolution.run(x.elements()?, x.shape(), &epilogue, &mut out, scratch, threads);
        }
        one(HostTensor::new(shape, out)?)
    }
}

impl ConvTranspose {
    fn prepared(
        &self,
        weights: &[f32],
        in_channels: usize,
        out_channels: usize,
        layout: Layout,
    ) -> Arc<ConvolutionTransposed> {
        let new = |layout: &Layout| {
            let Layout { geometry, output_padding, .. } = layout.clone();
            Arc::new(ConvolutionTransposed::new(weights, in_channels, out_channels, geometry, output_padding))
        };
        if self.weights.is_none() {
            return new(&layout);
        }
        let mut prepared = self.prepared.lock().unwrap_or_else(PoisonError::into_inner);
        match &*prepared {
            Some((known, convolution)) if known.is_prepared_like(&layout) => Arc::clone(convolution),
            _ => {
                let convolution = new(&layout);
                *prepared = Some((layout, Arc::clone(&convolution)));
                convolution
            }
        }
    }

    /// Pads and sizes, as the specification derives them from one another.
    fn layout(&self, kernel: &[usize], size: &[usize]) -> Result<Layout> {
        let rank = size.len();
        let (strides, dilations) = (self.window.strides(rank)?, self.window.dilations(rank)?);
        let (pads_begin, pads_end) = self.window.pads(rank)?;
        let per_axis = |list: &Option<Vec<usize>>, name: &str| match list {
            Some(list) if list.len() != rank => {
                let given = list.len();
                Err(Error::invalid_input(format!(
                    "{given} numbers of `{name}` were given for {rank} dimensions"
                )))
            }
            list => Ok(list.clone()),
        };
        let mut output_padding =
            per_axis(&self.output_padding, "output_padding")?.unwrap_or_else(|| vec![0; rank]);
        // A list for all dimensions is accepted as well, as onnxruntime does.
        let output_shape = match &self.output_shape {
            Some(shape) if shape.len() == rank + 2 => Some(shape[2..].to_vec()),
            shape => per_axis(shape, "output_shape")?,
        };
        let (mut pads_begin, mut pads_end) = (pads_begin.to_vec(), pads_end.to_vec());
        let mut output = Vec::with_capacity(rank);
        for axis in 0..rank {
            let too_large =
                || Error::engine(format!("an output for an input of {size:?} is larger than memory"));
            let whole = size[axis]
                .saturating_sub(1)
                .checked_mul(strides[axis])
                .zip(kernel[axis].saturating_sub(1).checked_mul(dilations[axis]))
                .and_then(|(steps, extent)| steps.checked_add(extent)?.checked_add(1 + output_padding[axis]))
                .filter(|&whole| whole < 1 << 48)
                .ok_or_else(too_large)?;
            let wanted = match &output_shape {
                Some(shape) => Some(shape[axis]),
                None if self.window.is_fixed() => None,
                None => Some(size[axis].checked_mul(strides[axis]).ok_or_else(too_large)?),
            };
            let Some(wanted) = wanted else {
                let cut = pads_begin[axis] + pads_end[axis];
                output.push(whole.checked_sub(cut).ok_or_else(|| {
                    Error::engine(format!("the pads cut off {cut} of {whole} outputs along axis {axis}"))
                })?);
                continue;
            };
            let total = whole.saturating_sub(wanted);
            let smaller = total / 2;
            let upper = self.window.is_same_upper();
            (pads_begin[axis], pads_end[axis]) =
                if upper { (smaller, total - smaller) } else { (total - smaller, smaller) };
            output_padding[axis] += wanted.saturating_sub(whole);
            output.push(wanted);
        }
        let geometry = GeometryNd {
            groups: self.groups,
            kernel: kernel.to_vec(),
            strides: strides.to_vec(),
            dilations: dilations.to_vec(),
            pads_begin,
            pads_end,
        };
        Ok(Layout { geometry, output_padding, output })
    }
}

impl Layout {
    fn is_prepared_like(&self, other: &Self) -> bool {
        self.geometry == other.geometry && self.output_padding == other.output_padding
    }
}

/// The transposed convolution in double precision, by its definition.
fn plain(
    layout: &Layout,
    x_shape: &[usize],
    x: &[f64],
    weights: &[f64],
    out_channels: usize,
    bias: Option<&[f64]>,
) -> Vec<f64> {
    let GeometryNd { groups, kernel, strides: steps, dilations, pads_begin, .. } = &layout.geometry;
    let (images, in_channels, size) = (x_shape[0], x_shape[1], &x_shape[2..]);
    let (in_len, out_len, elements) = (product(size), product(&layout.output), product(kernel));
    let (group_in, group_out) = (in_channels / groups, out_channels / groups);
    let [in_strides, kernel_strides] = [strides(size), strides(kernel)];
    let mut out = Vec::with_capacity(images * out_channels * out_len);
    for image in 0..images {
        for channel in 0..out_channels {
            let first = out.len();
            out.resize(first + out_len, bias.map_or(0.0, |bias| bias[channel]));
            let out = &mut out[first..];
            for inner in 0..group_in {
                let in_channel = channel / group_out.max(1) * group_in + inner;
                let x = &x[(image * in_channels + in_channel) * in_len..][..in_len];
                let weights =
                    &weights[(in_channel * group_out + channel % group_out) * elements..][..elements];
                for (position, x) in x.iter().enumerate() {
                    for (element, weight) in weights.iter().enumerate() {
                        let target = (0..size.len()).try_fold(0, |target, axis| {
                            let at = position / in_strides[axis] % size[axis] * steps[axis]
                                + element / kernel_strides[axis] % kernel[axis] * dilations[axis];
                            let at = at.checked_sub(pads_begin[axis])?;
                            (at < layout.output[axis]).then_some(target * layout.output[axis] + at)
                        });
                        if let Some(target) = target {
                            out[target] += x * weight;
                        }
                    }
                }
            }
        }
    }
    out
}
