//! Products, convolutions, pooling, normalisation and attention.

use ::burn::backend::ops::{ActivationOps, AttentionModuleOptions, ConvOptions, FloatTensorOps, ModuleOps};
use ::burn::backend::{Dispatch, DispatchTensor};
use mlops_core::{Error, Result};
use smallvec::{SmallVec, smallvec};

use super::elementwise::{Function, activation, broadcast_shape};
use super::layout::axis;
use super::{DeviceInputs, DeviceOperator, DeviceTensor};
use crate::engine::onnx::graph::Attributes;
use crate::engine::onnx::ops::Source;
use crate::engine::onnx::tensor::Shape;

type DeviceOutputs = Option<SmallVec<[DeviceTensor; 1]>>;

/// Adds a residual, broadcast against it, and applies an activation.
fn finished(
    inputs: &DeviceInputs<'_>,
    residual: usize,
    activation: Function,
    result: DeviceTensor,
) -> Result<DeviceOutputs> {
    let mut result = result;
    if inputs.has(residual) {
        let Some(added) = inputs.float(residual)? else { return Ok(None) };
        let shape = broadcast_shape(result.shape(), added.shape())?;
        let rank = shape.len();
        let (a, b) = (result.with_rank(rank)?.into_burn(), added.with_rank(rank)?.into_burn());
        result = DeviceTensor::new(shape, Dispatch::float_add(a, b));
    }
    let shape = Shape::from_slice(result.shape());
    Ok(Some(smallvec![DeviceTensor::new(shape, activation.apply(result.into_burn()))]))
}

/// `activation(x w + bias + residual)` with constant weights.
#[derive(Debug)]
pub(super) struct Linear {
    activation: Function,
}

impl Linear {
    pub(super) fn new(attributes: &Attributes) -> Result<Self> {
        Ok(Self { activation: activation(attributes)? })
    }
}

impl DeviceOperator for Linear {
    fn run(&self, inputs: &mut DeviceInputs<'_>) -> Result<DeviceOutputs> {
        let (Some(x), Some(weights)) = (inputs.float(0)?, inputs.float(1)?) else { return Ok(None) };
        let (rows, columns) = (weights.shape()[0], weights.shape()[1]);
        if x.shape().last() != Some(&rows) {
            let shape = x.shape();
            return Err(Error::engine(format!(
                "a tensor of shape {shape:?} cannot be multiplied by [{rows}, {columns}]"
            )));
        }
        let mut shape = Shape::from_slice(x.shape());
        let flat = x.shape().iter().rev().skip(1).product();
        let last = shape.len() - 1;
        shape[last] = columns;
        let x = x.reshaped(&[flat, rows])?;
        let mut result = Dispatch::float_matmul(x.into_burn(), weights.into_burn());
        if inputs.has(2) {
            let Some(bias) = inputs.float(2)? else { return Ok(None) };
            result = Dispatch::float_add(result, bias.reshaped(&[1, columns])?.into_burn());
        }
        let result = DeviceTensor::new([flat, columns].as_slice(), result).reshaped(&shape)?;
        finished(inputs, 3, self.activation, result)
    }
}

/// A product of two tensors that are both computed.
#[derive(Debug)]
pub(super) struct MatMul;

impl DeviceOperator for MatMul {
    fn run(&self, inputs: &mut DeviceInputs<'_>) -> Result<DeviceOutputs> {
        let (Some(a), Some(b)) = (inputs.float(0)?, inputs.float(1)?) else { return Ok(None) };
        if a.rank() < 2 || b.rank() < 2 {
            return Ok(None);
        }
        let ([m, k], [k2, n]) = (last_two(a.shape()), last_two(b.shape()));
        if k != k2 {
            let (a, b) = (a.shape(), b.shape());
            return Err(Error::engine(format!("tensors of shape {a:?} and {b:?} cannot be multiplied")));
        }
        let mut shape = broadcast_shape(&a.shape()[..a.rank() - 2], &b.shape()[..b.rank() - 2])?;
        shape.extend_from_slice(&[m, n]);
        let rank = shape.len();
        let (a, b) = (a.with_rank(rank)?, b.with_rank(rank)?);
        Ok(Some(smallvec![DeviceTensor::new(shape, Dispatch::float_matmul(a.into_burn(), b.into_burn()))]))
    }
}

fn last_two(shape: &[usize]) -> [usize; 2] {
    [shape[shape.len() - 2], shape[shape.len() - 1]]
}

/// Where a window is put: strides, dilations and padding of one or two spatial dimensions.
#[derive(Debug, Clone)]
struct Window {
    kernel: Vec<usize>,
    strides: Vec<usize>,
    dilations: Vec<usize>,
    /// At the beginning and at the end of each dimension.
    pads: Vec<(usize, usize)>,
}

impl Window {
    /// `None` if padding follows from the input's size, or a number is negative.
    fn new(attributes: &Attributes, kernel: Vec<usize>) -> Result<Option<Self>> {
        let automatic = attributes.text("auto_pad")?.is_some_and(|pad| pad != "NOTSET" && pad != "VALID");
        let lengths = |name: &str, default: usize, count: usize| -> Result<Option<Vec<usize>>> {
            match attributes.ints(name)? {
                None => Ok(Some(vec![default; count])),
                Some(values) if values.len() == count => {
                    Ok(values.iter().map(|&value| usize::try_from(value).ok()).collect())
                }
                Some(_) => Ok(None),
            }
        };
        let count = kernel.len();
        let strides = lengths("strides", 1, count)?;
        let dilations = lengths("dilations", 1, count)?;
        let pads = lengths("pads", 0, 2 * count)?;
        let (Some(strides), Some(dilations), Some(pads)) = (strides, dilations, pads) else {
            return Ok(None);
        };
        if automatic || strides.contains(&0) || dilations.contains(&0) || kernel.contains(&0) {
            return Ok(None);
        }
        let pads = (0..count).map(|axis| (pads[axis], pads[axis + count])).collect();
        Ok(Some(Self { kernel, strides, dilations, pads }))
    }

    /// The lengths of the result; `None` if the window does not fit.
    fn output(&self, input: &[usize]) -> Option<Vec<usize>> {
        let lengths = input.iter().enumerate().map(|(axis, &length)| {
            let reach = self.dilations[axis] * (self.kernel[axis] - 1) + 1;
            let padded = length + self.pads[axis].0 + self.pads[axis].1;
            Some(padded.checked_sub(reach)? / self.strides[axis] + 1)
        });
        lengths.collect()
    }
}

/// `activation(conv(x, w) + bias + residual)` in one or two dimensions, with constant weights.
#[derive(Debug)]
pub(super) struct Convolution {
    window: Window,
    groups: usize,
    channels: usize,
    inputs: usize,
    activation: Function,
}

impl Convolution {
    pub(super) fn new(source: &Source<'_>) -> Result<Option<Self>> {
        let attributes = &source.node.attributes;
        let Some(weights) = source.constant(1) else { return Ok(None) };
        let shape = weights.shape();
        let groups = usize::try_from(attributes.int("group", 1)?).unwrap_or(0);
        if !(3..=4).contains(&shape.len()) || groups == 0 || weights.is_empty() || shape[0] % groups != 0 {
            return Ok(None);
        }
        let window = Window::new(attributes, shape[2..].to_vec())?;
        let activation = activation(attributes)?;
        let (channels, inputs) = (shape[0], shape[1] * groups);
        Ok(window.map(|window| Self { window, groups, channels, inputs, activation }))
    }

    fn convolve(
        &self,
        x: DispatchTensor,
        weights: DispatchTensor,
        bias: Option<DispatchTensor>,
    ) -> DispatchTensor {
        let Window { strides, dilations, pads, .. } = &self.window;
        if let [stride] = strides[..] {
            let mut options = ConvOptions::<1>::new([stride], [0], [dilations[0]], self.groups);
            options.padding = [pads[0]];
            return Dispatch::conv1d(x, weights, bias, options);
        }
        let mut options = ConvOptions::<2>::new(
            [strides[0], strides[1]],
            [0, 0],
            [dilations[0], dilations[1]],
            self.groups,
        );
        options.padding = [pads[0], pads[1]];
        Dispatch::conv2d(x, weights, bias, options)
    }
}

impl DeviceOperator for Convolution {
    fn run(&self, inputs: &mut DeviceInputs<'_>) -> Result<DeviceOutputs> {
        let (Some(x), Some(weights)) = (inputs.float(0)?, inputs.float(1)?) else { return Ok(None) };
        let rank = self.window.kernel.len() + 2;
        let output = if x.rank() == rank { self.window.output(&x.shape()[2..]) } else { None };
        let Some(output) = output.filter(|_| x.shape()[1] == self.inputs) else {
            let (shape, channels) = (x.shape(), self.inputs);
            let what = format!(
                "an input of shape {shape:?} does not fit a convolution of rank {rank} and {channels} channels"
            );
            return Err(Error::engine(what));
        };
        let bias = if inputs.has(2) { inputs.float(2)?.map(DeviceTensor::into_burn) } else { None };
        let mut shape = Shape::from_slice(&[x.shape()[0], self.channels]);
        shape.extend(output);
        let result = self.convolve(x.into_burn(), weights.into_burn(), bias);
        finished(inputs, 3, self.activation, DeviceTensor::new(shape, result))
    }
}

/// Pooling in two dimensions.
#[derive(Debug)]
pub(super) enum Pool {
    Max(Window2),
    Average(Window2, bool),
    GlobalAverage,
}

/// A window whose padding is the same at both ends, as burn's pooling wants it.
#[derive(Debug)]
pub(super) struct Window2 {
    window: Window,
    kernel: [usize; 2],
    strides: [usize; 2],
    pads: [usize; 2],
    dilations: [usize; 2],
}

impl Window2 {
    fn new(attributes: &Attributes) -> Result<Option<Self>> {
        let kernel: Option<Vec<usize>> = attributes
            .ints("kernel_shape")?
            .and_then(|kernel| kernel.iter().map(|&length| usize::try_from(length).ok()).collect());
        let Some(kernel) = kernel.filter(|kernel| kernel.len() == 2) else { return Ok(None) };
        let Some(window) = Window::new(attributes, kernel)? else { return Ok(None) };
        let even = window.pads.iter().all(|(begin, end)| begin == end);
        let inside = (0..2).all(|axis| window.pads[axis].0 * 2 <= window.kernel[axis]);
        if !even || !inside || attributes.flag("ceil_mode", false)? {
            return Ok(None);
        }
        let two = |values: &[usize]| [values[0], values[1]];
        Ok(Some(Self {
            kernel: two(&window.kernel),
            strides: two(&window.strides),
            pads: [window.pads[0].0, window.pads[1].0],
            dilations: two(&window.dilations),
            window,
        }))
    }
}

impl Pool {
    pub(super) fn new(source: &Source<'_>) -> Result<Option<Self>> {
        let attributes = &source.node.attributes;
        Ok(match &*source.node.operator {
            "GlobalAveragePool" => Some(Self::GlobalAverage),
            "MaxPool" => Window2::new(attributes)?.map(Self::Max),
            _ => {
                let counts_padding = attributes.flag("count_include_pad", false)?;
                let window = Window2::new(attributes)?.filter(|window| window.dilations == [1, 1]);
                window.map(|window| Self::Average(window, counts_padding))
            }
        })
    }
}

impl DeviceOperator for Pool {
    fn run(&self, inputs: &mut DeviceInputs<'_>) -> Result<DeviceOutputs> {
        let Some(x) = inputs.float(0)?.filter(|x| x.rank() == 4) else { return Ok(None) };
        let planes = Shape::from_slice(&x.shape()[..2]);
        let output = match self {
            Self::GlobalAverage => Some(vec![1, 1]),
            Self::Max(window) | Self::Average(window, _) => window.window.output(&x.shape()[2..]),
        };
        let Some(output) = output else { return Ok(None) };
        let mut shape = planes;
        shape.extend(output);
        let x = x.into_burn();
        let result = match self {
            Self::GlobalAverage => Dispatch::adaptive_avg_pool2d(x, [1, 1]),
            Self::Max(w) => Dispatch::max_pool2d(x, w.kernel, w.strides, w.pads, w.dilations, false),
            Self::Average(w, counts) => Dispatch::avg_pool2d(x, w.kernel, w.strides, w.pads, *counts, false),
        };
        Ok(Some(smallvec![DeviceTensor::new(shape, result)]))
    }
}

#[derive(Debug)]
pub(super) struct Softmax {
    axis: i64,
    logarithm: bool,
}

impl Softmax {
    pub(super) fn new(source: &Source<'_>) -> Result<Self> {
        let axis = source.node.attributes.int("axis", -1)?;
        Ok(Self { axis, logarithm: &*source.node.operator == "LogSoftmax" })
    }
}

impl DeviceOperator for Softmax {
    fn run(&self, inputs: &mut DeviceInputs<'_>) -> Result<DeviceOutputs> {
        let Some(x) = inputs.float(0)?.filter(|x| x.rank() > 0) else { return Ok(None) };
        let at = axis(self.axis, x.rank())?;
        let shape = Shape::from_slice(x.shape());
        let x = x.into_burn();
        let result = if self.logarithm { Dispatch::log_softmax(x, at) } else { Dispatch::softmax(x, at) };
        Ok(Some(smallvec![DeviceTensor::new(shape, result)]))
    }
}

/// Over the last axis.
#[derive(Debug)]
pub(super) struct LayerNormalization {
    axis: i64,
    epsilon: f64,
}

impl LayerNormalization {
    pub(super) fn new(source: &Source<'_>) -> Result<Option<Self>> {
        let attributes = &source.node.attributes;
        let epsilon = attributes.float("epsilon", 1e-5)?.into();
        Ok(Some(Self { axis: attributes.int("axis", -1)?, epsilon }))
    }
}

impl DeviceOperator for LayerNormalization {
    fn run(&self, inputs: &mut DeviceInputs<'_>) -> Result<DeviceOutputs> {
        let (Some(x), Some(gamma)) = (inputs.float(0)?, inputs.float(1)?) else { return Ok(None) };
        let beta = if inputs.has(2) { inputs.float(2)? } else { None };
        let columns = x.shape().last().copied().unwrap_or(0);
        let fits = |parameter: &DeviceTensor| parameter.shape() == [columns];
        if x.rank() == 0
            || axis(self.axis, x.rank())? + 1 != x.rank()
            || !fits(&gamma)
            || !beta.iter().all(fits)
        {
            return Ok(None);
        }
        let shape = Shape::from_slice(x.shape());
        let beta = beta.map(DeviceTensor::into_burn);
        let result = Dispatch::layer_norm(x.into_burn(), gamma.into_burn(), beta, self.epsilon);
        Ok(Some(smallvec![DeviceTensor::new(shape, result)]))
    }
}

/// A reduction along some axes.
#[derive(Debug)]
pub(super) struct Reduce {
    kind: Reduction,
    axes: Option<Vec<i64>>,
    keep: bool,
    none_is_all: bool,
}

#[derive(Debug, Clone, Copy)]
enum Reduction {
    Mean,
    Sum,
    Max,
    Min,
}

impl Reduce {
    pub(super) fn new(source: &Source<'_>) -> Result<Option<Self>> {
        let attributes = &source.node.attributes;
        Ok(Some(Self {
            kind: match &*source.node.operator {
                "ReduceMean" => Reduction::Mean,
                "ReduceSum" => Reduction::Sum,
                "ReduceMax" => Reduction::Max,
                _ => Reduction::Min,
            },
            axes: attributes.ints("axes")?.cloned(),
            keep: attributes.flag("keepdims", true)?,
            none_is_all: !attributes.flag("noop_with_empty_axes", false)?,
        }))
    }
}

impl DeviceOperator for Reduce {
    fn run(&self, inputs: &mut DeviceInputs<'_>) -> Result<DeviceOutputs> {
        let Some(x) = inputs.float(0)?.filter(|x| x.rank() > 0) else { return Ok(None) };
        let axes = match &self.axes {
            Some(axes) => axes.clone(),
            None if inputs.has(1) => inputs.host(1)?.to_i64s()?,
            None => Vec::new(),
        };
        if axes.is_empty() && !self.none_is_all {
            return Ok(Some(smallvec![x]));
        }
        let rank = x.rank();
        let axes: Vec<usize> = match axes.as_slice() {
            [] => (0..rank).collect(),
            axes => axes.iter().map(|&at| axis(at, rank)).collect::<Result<_>>()?,
        };
        let lengths = x.shape().iter().enumerate();
        let shape: Shape = lengths
            .filter(|(axis, _)| self.keep || !axes.contains(axis))
            .map(|(axis, &length)| if axes.contains(&axis) { 1 } else { length })
            .collect();
        let mut tensor = x.into_burn();
        for &axis in &axes {
            tensor = match self.kind {
                Reduction::Mean => Dispatch::float_mean_dim(tensor, axis),
                Reduction::Sum => Dispatch::float_sum_dim(tensor, axis),
                Reduction::Max => Dispatch::float_max_dim(tensor, axis),
                Reduction::Min => Dispatch::float_min_dim(tensor, axis),
            };
        }
        Ok(Some(smallvec![DeviceTensor::of(tensor).reshaped(&shape)?]))
    }
}

/// `softmax(scale q k' + mask) v`.
#[derive(Debug)]
pub(super) struct Attention {
    scale: f64,
    rows_first: [bool; 4],
}

impl Attention {
    pub(super) fn new(attributes: &Attributes) -> Result<Option<Self>> {
        let mut rows_first = [false; 4];
        for (flag, name) in rows_first.iter_mut().zip(["q_layout", "k_layout", "v_layout", "out_layout"]) {
            *flag = attributes.text(name)?.is_some_and(|layout| layout == "bshd");
        }
        Ok(Some(Self { scale: attributes.float("scale", 1.0)?.into(), rows_first }))
    }
}

impl DeviceOperator for Attention {
    fn run(&self, inputs: &mut DeviceInputs<'_>) -> Result<DeviceOutputs> {
        let mut heads = SmallVec::<[DispatchTensor; 3]>::new();
        let mut shapes = SmallVec::<[Shape; 3]>::new();
        for index in 0..3 {
            let Some(tensor) = inputs.float(index)?.filter(|tensor| tensor.rank() == 4) else {
                return Ok(None);
            };
            let mut shape = Shape::from_slice(tensor.shape());
            let mut tensor = tensor.into_burn();
            if self.rows_first[index] {
                tensor = Dispatch::float_permute(tensor, &[0, 2, 1, 3]);
                shape.swap(1, 2);
            }
            heads.push(tensor);
            shapes.push(shape);
        }
        let [q, k, v] = [&shapes[0], &shapes[1], &shapes[2]];
        if q[..2] != k[..2] || q[..2] != v[..2] || q[3] != k[3] || k[2] != v[2] {
            return Err(Error::engine(format!(
                "heads of shapes {q:?}, {k:?} and {v:?} do not belong together"
            )));
        }
        let scores = Shape::from_slice(&[q[0], q[1], q[2], k[2]]);
        let mask = if inputs.has(3) {
            let Some(mask) = inputs.float(3)? else { return Ok(None) };
            let mask = mask.with_rank(4)?;
            if broadcast_shape(mask.shape(), &scores)? != scores {
                return Ok(None);
            }
            Some(Dispatch::float_expand(mask.into_burn(), super::tensor::burn_shape(&scores)))
        } else {
            None
        };
        let mut shape = Shape::from_slice(&[q[0], q[1], q[2], v[3]]);
        let options = AttentionModuleOptions { scale: Some(self.scale), softcap: None, is_causal: false };
        let mut heads = heads.into_iter();
        let (Some(q), Some(k), Some(v)) = (heads.next(), heads.next(), heads.next()) else { return Ok(None) };
        let mut result = Dispatch::attention(q, k, v, None, mask, options);
        if self.rows_first[3] {
            result = Dispatch::float_permute(result, &[0, 2, 1, 3]);
            shape.swap(1, 2);
        }
        Ok(Some(smallvec![DeviceTensor::new(shape, result)]))
    }
}
