//! Other arrangements of the same elements.

use ::burn::backend::Dispatch;
use ::burn::backend::ops::FloatTensorOps;
use ::burn::tensor::Slice as BurnSlice;
use mlops_core::{Error, Result};
use smallvec::{SmallVec, smallvec};

use super::elementwise::broadcast_shape;
use super::tensor::{burn_shape, upload_integers};
use super::{DeviceInputs, DeviceOperator, DeviceTensor};
use crate::engine::onnx::graph::Attributes;
use crate::engine::onnx::ops::Source;
use crate::engine::onnx::tensor::Shape;

type DeviceOutputs = Option<SmallVec<[DeviceTensor; 1]>>;

/// The axis of that number, which may count from the back.
pub(super) fn axis(axis: i64, rank: usize) -> Result<usize> {
    let counted = if axis < 0 { axis + rank as i64 } else { axis };
    usize::try_from(counted)
        .ok()
        .filter(|&axis| axis < rank)
        .ok_or_else(|| Error::engine(format!("there is no axis {axis} in a tensor of rank {rank}")))
}

/// Reshape, Flatten, Squeeze and Unsqueeze: the elements stay where they are.
#[derive(Debug)]
pub(super) enum Reshape {
    To { allow_zero: bool },
    Flatten(i64),
    Squeeze(Option<Vec<i64>>),
    Unsqueeze(Option<Vec<i64>>),
}

impl Reshape {
    pub(super) fn new(source: &Source<'_>) -> Result<Self> {
        let attributes = &source.node.attributes;
        let axes = attributes.ints("axes")?.cloned();
        Ok(match &*source.node.operator {
            "Flatten" => Self::Flatten(attributes.int("axis", 1)?),
            "Squeeze" => Self::Squeeze(axes),
            "Unsqueeze" => Self::Unsqueeze(axes),
            _ => Self::To { allow_zero: attributes.flag("allowzero", false)? },
        })
    }

    fn shape(&self, given: &[usize], parameter: Option<Vec<i64>>) -> Result<Option<Shape>> {
        Ok(Some(match self {
            Self::To { allow_zero } => match parameter {
                Some(wanted) => resolved(given, &wanted, *allow_zero)?,
                None => return Ok(None),
            },
            Self::Flatten(at) => {
                let at = if *at == given.len() as i64 { given.len() } else { axis(*at, given.len())? };
                Shape::from_slice(&[given[..at].iter().product(), given[at..].iter().product()])
            }
            Self::Squeeze(axes) => {
                let axes = axes.clone().or(parameter);
                let dropped: Option<Vec<usize>> =
                    axes.map(|axes| axes.iter().map(|&at| axis(at, given.len())).collect()).transpose()?;
                let drops = |index: usize, length: usize| match &dropped {
                    Some(dropped) => dropped.contains(&index),
                    None => length == 1,
                };
                let kept = given.iter().enumerate().filter(|(index, length)| !drops(*index, **length));
                kept.map(|(_, &length)| length).collect()
            }
            Self::Unsqueeze(axes) => {
                let Some(axes) = axes.clone().or(parameter) else { return Ok(None) };
                let rank = given.len() + axes.len();
                let added: Vec<usize> = axes.iter().map(|&at| axis(at, rank)).collect::<Result<_>>()?;
                let mut rest = given.iter();
                let length =
                    |index: usize| if added.contains(&index) { Some(1) } else { rest.next().copied() };
                (0..rank).map_while(length).collect()
            }
        }))
    }
}

/// 0 stands for the length that is there, -1 for what is left.
fn resolved(given: &[usize], wanted: &[i64], allow_zero: bool) -> Result<Shape> {
    let cannot = || Error::engine(format!("the shape {given:?} cannot become {wanted:?}"));
    let mut shape = Shape::new();
    for (index, &length) in wanted.iter().enumerate() {
        shape.push(match length {
            -1 => 1,
            0 if !allow_zero => *given.get(index).ok_or_else(cannot)?,
            length => usize::try_from(length).map_err(|_| cannot())?,
        });
    }
    if let Some(open) = wanted.iter().position(|&length| length == -1) {
        let known: usize = shape.iter().product();
        shape[open] = given.iter().product::<usize>().checked_div(known).ok_or_else(cannot)?;
    }
    Ok(shape)
}

impl DeviceOperator for Reshape {
    fn run(&self, inputs: &mut DeviceInputs<'_>) -> Result<DeviceOutputs> {
        let Some(x) = inputs.float(0)? else { return Ok(None) };
        let parameter = if inputs.has(1) { Some(inputs.host(1)?.to_i64s()?) } else { None };
        match self.shape(x.shape(), parameter)? {
            Some(shape) => Ok(Some(smallvec![x.reshaped(&shape)?])),
            None => Ok(None),
        }
    }
}

#[derive(Debug)]
pub(super) struct Transpose(Option<Vec<i64>>);

impl Transpose {
    pub(super) fn new(attributes: &Attributes) -> Result<Self> {
        Ok(Self(attributes.ints("perm")?.cloned()))
    }
}

impl DeviceOperator for Transpose {
    fn run(&self, inputs: &mut DeviceInputs<'_>) -> Result<DeviceOutputs> {
        let Some(x) = inputs.float(0)? else { return Ok(None) };
        let rank = x.rank();
        let axes: Vec<usize> = match &self.0 {
            Some(axes) => axes.iter().map(|&at| axis(at, rank)).collect::<Result<_>>()?,
            None => (0..rank).rev().collect(),
        };
        if axes.len() != rank || (0..rank).any(|axis| !axes.contains(&axis)) {
            return Err(Error::engine(format!("{axes:?} is no order of the {rank} axes")));
        }
        if rank < 2 {
            return Ok(Some(smallvec![x]));
        }
        let shape: Shape = axes.iter().map(|&axis| x.shape()[axis]).collect();
        Ok(Some(smallvec![DeviceTensor::new(shape, Dispatch::float_permute(x.into_burn(), &axes))]))
    }
}

#[derive(Debug)]
pub(super) struct Concat(i64);

impl Concat {
    pub(super) fn new(attributes: &Attributes) -> Result<Self> {
        Ok(Self(attributes.int("axis", 1)?))
    }
}

impl DeviceOperator for Concat {
    fn run(&self, inputs: &mut DeviceInputs<'_>) -> Result<DeviceOutputs> {
        let parts: Option<Vec<DeviceTensor>> =
            (0..inputs.len()).map(|index| inputs.float(index)).collect::<Result<Option<_>>>()?;
        let Some(parts) = parts.filter(|parts| !parts.is_empty()) else { return Ok(None) };
        let mut shape = Shape::from_slice(parts[0].shape());
        let at = axis(self.0, shape.len())?;
        let fits = |part: &DeviceTensor| {
            part.rank() == shape.len()
                && (0..shape.len()).all(|axis| axis == at || part.shape()[axis] == shape[axis])
        };
        if !parts.iter().all(fits) {
            return Err(Error::engine(
                "tensors to join differ in another axis than that along which they are joined",
            ));
        }
        shape[at] = parts.iter().map(|part| part.shape()[at]).sum();
        let joined = Dispatch::float_cat(parts.into_iter().map(DeviceTensor::into_burn).collect(), at);
        Ok(Some(smallvec![DeviceTensor::new(shape, joined)]))
    }
}

#[derive(Debug)]
pub(super) struct Expand;

impl DeviceOperator for Expand {
    fn run(&self, inputs: &mut DeviceInputs<'_>) -> Result<DeviceOutputs> {
        let Some(x) = inputs.float(0)? else { return Ok(None) };
        let wanted: Option<Shape> =
            inputs.host(1)?.to_i64s()?.into_iter().map(|length| usize::try_from(length).ok()).collect();
        let wanted = wanted.ok_or_else(|| Error::engine("a dimension cannot have a negative length"))?;
        let shape = broadcast_shape(x.shape(), &wanted)?;
        if shape.is_empty() || shape.contains(&0) {
            return Ok(None);
        }
        let x = x.with_rank(shape.len())?;
        let expanded = Dispatch::float_expand(x.into_burn(), burn_shape(&shape));
        Ok(Some(smallvec![DeviceTensor::new(shape, expanded)]))
    }
}

/// A part of a tensor: from start to end along each axis.
#[derive(Debug)]
pub(super) struct Slice;

impl DeviceOperator for Slice {
    fn run(&self, inputs: &mut DeviceInputs<'_>) -> Result<DeviceOutputs> {
        let Some(x) = inputs.float(0)? else { return Ok(None) };
        let rank = x.rank();
        let starts = inputs.host(1)?.to_i64s()?;
        let ends = inputs.host(2)?.to_i64s()?;
        let axes =
            if inputs.has(3) { inputs.host(3)?.to_i64s()? } else { (0..starts.len() as i64).collect() };
        let steps = if inputs.has(4) { inputs.host(4)?.to_i64s()? } else { vec![1; starts.len()] };
        if [ends.len(), axes.len(), steps.len()] != [starts.len(); 3] {
            return Err(Error::engine("starts, ends, axes and steps of a slice differ in number"));
        }
        if rank == 0 || steps.iter().any(|&step| step < 1) {
            return Ok(None);
        }
        let mut shape = Shape::from_slice(x.shape());
        let mut ranges: Vec<(usize, usize, usize)> = shape.iter().map(|&length| (0, length, 1)).collect();
        for index in 0..starts.len() {
            let at = axis(axes[index], rank)?;
            let length = x.shape()[at] as i64;
            let bound =
                |value: i64| if value < 0 { value.saturating_add(length) } else { value }.clamp(0, length);
            let (start, end) = (bound(starts[index]), bound(ends[index]));
            let step = steps[index].min(length.max(1));
            let count = (end - start + step - 1).max(0) / step;
            if count == 0 {
                return Ok(None);
            }
            ranges[at] = (start as usize, end as usize, step as usize);
            shape[at] = count as usize;
        }
        let slices: Vec<BurnSlice> = ranges
            .into_iter()
            .map(|(start, end, step)| BurnSlice::new(start as isize, Some(end as isize), step as isize))
            .collect();
        Ok(Some(smallvec![DeviceTensor::new(shape, Dispatch::float_slice(x.into_burn(), &slices))]))
    }
}

#[derive(Debug)]
pub(super) struct Split {
    axis: i64,
    outputs: usize,
}

impl Split {
    pub(super) fn new(source: &Source<'_>) -> Result<Self> {
        Ok(Self { axis: source.node.attributes.int("axis", 0)?, outputs: source.node.outputs.len() })
    }
}

impl DeviceOperator for Split {
    fn run(&self, inputs: &mut DeviceInputs<'_>) -> Result<DeviceOutputs> {
        let Some(x) = inputs.float(0)? else { return Ok(None) };
        let at = axis(self.axis, x.rank())?;
        let length = x.shape()[at];
        let parts: Vec<usize> = if inputs.has(1) {
            let parts: Option<Vec<usize>> =
                inputs.host(1)?.to_i64s()?.into_iter().map(|length| usize::try_from(length).ok()).collect();
            parts.ok_or_else(|| Error::engine("a part cannot have a negative length"))?
        } else {
            let each = length.div_ceil(self.outputs.max(1));
            (0..self.outputs).map(|index| length.saturating_sub(index * each).min(each)).collect()
        };
        if parts.iter().sum::<usize>() != length {
            return Err(Error::engine(format!("parts of {parts:?} do not make up the length {length}")));
        }
        if parts.contains(&0) {
            return Ok(None);
        }
        let mut start = 0;
        let split = parts.into_iter().map(|part| {
            let mut shape = Shape::from_slice(x.shape());
            shape[at] = part;
            let ranges = shape.iter().enumerate().map(|(axis, &length)| {
                let from = if axis == at { start } else { 0 };
                BurnSlice::new(from as isize, Some((from + length) as isize), 1)
            });
            let ranges: Vec<BurnSlice> = ranges.collect();
            start += part;
            DeviceTensor::new(shape, Dispatch::float_slice(x.clone().into_burn(), &ranges))
        });
        Ok(Some(split.collect()))
    }
}

/// Rows of a table by index.
#[derive(Debug)]
pub(super) struct Gather {
    axis: i64,
}

impl Gather {
    pub(super) fn new(source: &Source<'_>) -> Result<Self> {
        Ok(Self { axis: source.node.attributes.int("axis", 0)? })
    }
}

impl DeviceOperator for Gather {
    fn run(&self, inputs: &mut DeviceInputs<'_>) -> Result<DeviceOutputs> {
        let Some(x) = inputs.float(0)? else { return Ok(None) };
        if x.rank() == 0 {
            return Ok(None);
        }
        let at = axis(self.axis, x.rank())?;
        let length = x.shape()[at] as i64;
        let mut indices = inputs.host(1)?.to_i64s()?;
        for index in &mut indices {
            let counted = if *index < 0 { *index + length } else { *index };
            if !(0..length).contains(&counted) {
                return Err(Error::engine(format!(
                    "the index {index} is outside an axis of length {length}"
                )));
            }
            *index = counted;
        }
        if indices.is_empty() {
            return Ok(None);
        }
        let index_shape = Shape::from_slice(inputs.host(1)?.shape());
        let mut shape = Shape::from_slice(&x.shape()[..at]);
        shape.extend_from_slice(&index_shape);
        shape.extend_from_slice(&x.shape()[at + 1..]);
        let count = indices.len();
        let indices = upload_integers(indices, &[count], inputs.device);
        let selected = Dispatch::float_select(x.into_burn(), at, indices);
        let flat = DeviceTensor::of(selected);
        Ok(Some(smallvec![flat.reshaped(&shape)?]))
    }
}
