//! More or fewer elements at the ends of dimensions.

use mlops_core::{Error, Result};
use smallvec::SmallVec;

use super::expand::lengths;
use super::parameter::Integers;
use crate::engine::onnx::memory::Memory;
use crate::engine::onnx::ops::{Context, Operator, Outputs, Source, one, support};
use crate::engine::onnx::tensor::{Data, HostTensor, Scalar, Shape, element_count, for_any};
use crate::engine::onnx::value::Inputs;

/// What stands beyond the ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Constant,
    /// As in a mirror at the last element, which is not repeated.
    Reflect,
    /// The last element.
    Edge,
    /// The other end.
    Wrap,
}

/// `Pad`. A negative number removes elements; they are removed first, so that what is added follows from the rest.
#[derive(Debug)]
struct Pad {
    mode: Mode,
    pads: Integers,
    axes: Integers,
    /// Before operator set 11, the constant is an attribute.
    value: Option<f32>,
}

pub(super) fn pad(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    let attributes = &source.node.attributes;
    let mode = match attributes.text("mode")?.map_or("constant", String::as_str) {
        "constant" => Mode::Constant,
        "reflect" => Mode::Reflect,
        "edge" => Mode::Edge,
        "wrap" => Mode::Wrap,
        other => return Err(Error::invalid_input(format!("there is no mode `{other}`"))),
    };
    let by_attributes = source.node.opset < 11;
    Ok(Box::new(Pad {
        mode,
        pads: Integers::attribute_until(11, source, "pads", 1)?,
        axes: if by_attributes { Integers::Absent } else { Integers::input(source, 3)? },
        value: if by_attributes { Some(attributes.float("value", 0.0)?) } else { None },
    }))
}

impl Operator for Pad {
    fn run(&self, inputs: &mut Inputs<'_>, context: &mut Context<'_>) -> Result<Outputs> {
        let pads = self.pads.get(inputs)?.ok_or_else(|| Error::engine("the pads are missing"))?;
        let axes = self.axes.get(inputs)?;
        let rank = inputs.tensor(0)?.rank();
        let axes = match axes {
            Some(axes) => support::axes(&axes, rank)?,
            None => (0..rank).collect(),
        };
        if pads.len() != 2 * axes.len() {
            let (count, axes) = (pads.len(), axes.len());
            return Err(Error::engine(format!("{count} pads are given for the ends of {axes} dimensions")));
        }
        let mut ends: SmallVec<[[i64; 2]; 6]> = SmallVec::from_elem([0, 0], rank);
        for (index, &axis) in axes.iter().enumerate() {
            ends[axis] = [pads[index], pads[axes.len() + index]];
        }
        if ends.iter().all(|ends| *ends == [0, 0]) {
            return one(inputs.take(0)?);
        }
        let constant = match (self.value, inputs.optional(2)?) {
            (Some(value), _) => Some(HostTensor::scalar(value)),
            (None, constant) => constant.cloned(),
        };
        one(padded(&inputs.take(0)?, &ends, self.mode, constant.as_ref(), context.memory)?)
    }
}

/// A tensor with elements added to or removed from both ends of each dimension.
fn padded(
    data: &HostTensor,
    ends: &[[i64; 2]],
    mode: Mode,
    constant: Option<&HostTensor>,
    memory: &mut Memory,
) -> Result<HostTensor> {
    let lengths = data.shape().iter().zip(ends);
    let shape: Shape =
        lengths.map(|(&length, &ends)| padded_length(length, ends, mode)).collect::<Result<_>>()?;
    let count = element_count(&shape)?;
    let all = |memory: &mut Memory| {
        for_any!(data.data(), |elements| {
            fill(elements, (data.shape(), ends, mode, &shape), constant, count, memory)
        })
    };
    HostTensor::from_data(shape.clone(), all(memory)?)
}

/// A dimension of the input and how that of the output is made of it.
#[derive(Debug)]
struct Axis {
    length: usize,
    stride: usize,
    runs: Vec<Run>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Run {
    Constant(usize),
    Copy { start: usize, length: usize },
}

fn padded_length(length: usize, [begin, end]: [i64; 2], mode: Mode) -> Result<usize> {
    let removed = |pad: i64| usize::try_from(pad.min(0).unsigned_abs()).unwrap_or(usize::MAX);
    let Some(rest) = length.checked_sub(removed(begin).saturating_add(removed(end))) else {
        return Err(Error::engine(format!(
            "pads {begin} and {end} remove more than a dimension of {length}"
        )));
    };
    if rest == 0 && mode != Mode::Constant && (begin > 0 || end > 0) {
        return Err(Error::engine("a dimension without elements can only be padded with a constant"));
    }
    let added = |pad: i64| usize::try_from(pad.max(0)).unwrap_or(usize::MAX);
    Ok(rest.saturating_add(added(begin)).saturating_add(added(end)))
}

/// Which elements of a dimension make up the padded one, as runs of neighbours.
fn runs(length: usize, [begin, end]: [i64; 2], padded: usize, mode: Mode) -> Vec<Run> {
    let removed = |pad: i64| usize::try_from(pad.min(0).unsigned_abs()).unwrap_or(usize::MAX);
    let added = usize::try_from(begin.max(0)).unwrap_or(usize::MAX);
    let first = removed(begin);
    let rest = length.saturating_sub(first.saturating_add(removed(end)));
    let middle = Run::Copy { start: first, length: rest };
    let after = padded.saturating_sub(added.saturating_add(rest));
    if mode == Mode::Constant {
        return vec![Run::Constant(added), middle, Run::Constant(after)];
    }
    let mut runs: Vec<Run> = Vec::new();
    let mut push = |place: usize| match runs.last_mut() {
        Some(Run::Copy { start, length }) if *start + *length == place => *length += 1,
        _ => runs.push(Run::Copy { start: place, length: 1 }),
    };
    for index in 0..padded {
        push(first + source(index, added, rest, mode));
    }
    runs
}

/// Where the element at `index` of a padded dimension comes from, which starts with `added` others.
fn source(index: usize, added: usize, length: usize, mode: Mode) -> usize {
    if length <= 1 {
        return 0;
    }
    match mode {
        Mode::Edge => index.saturating_sub(added).min(length - 1),
        Mode::Wrap => {
            let phase = added % length;
            (index % length + length - phase) % length
        }
        Mode::Reflect | Mode::Constant => {
            let period = 2 * (length - 1);
            let phase = added % period;
            let place = (index % period + period - phase) % period;
            place.min(period - place)
        }
    }
}

/// What is padded: the shape, the ends, how, and the shape that results.
type Plan<'a> = (&'a [usize], &'a [[i64; 2]], Mode, &'a [usize]);

fn fill<T: Scalar>(
    elements: &[T],
    plan: Plan<'_>,
    constant: Option<&HostTensor>,
    count: usize,
    memory: &mut Memory,
) -> Result<Data> {
    let constant = match constant {
        Some(constant) => constant.to_scalar::<T>()?,
        None => T::default(),
    };
    let mut output: Vec<T> = memory.vector(count)?;
    if count > 0 {
        let (axes, block) = axes(plan);
        append(&mut output, elements, 0, &axes, block, &constant);
    }
    Ok(T::wrap(output.into()))
}

/// The dimensions up to the last that changes, and how many elements go on together behind it.
fn axes((lengths, ends, mode, padded): Plan<'_>) -> (SmallVec<[Axis; 6]>, usize) {
    let mut axes: SmallVec<[Axis; 6]> = SmallVec::new();
    let mut block = 1_usize;
    for (index, (&length, &ends)) in lengths.iter().zip(ends).enumerate().rev() {
        if axes.is_empty() && ends == [0, 0] {
            block = block.saturating_mul(length);
            continue;
        }
        let stride = axes.last().map_or(block, |inner: &Axis| inner.stride.saturating_mul(inner.length));
        axes.push(Axis { length, stride, runs: runs(length, ends, padded[index], mode) });
    }
    axes.reverse();
    (axes, block)
}

/// Appends the padded part of the input that starts at `place`.
fn append<T: Scalar>(
    output: &mut Vec<T>,
    elements: &[T],
    place: usize,
    axes: &[Axis],
    block: usize,
    constant: &T,
) {
    let Some((axis, inner)) = axes.split_first() else {
        return output.extend_from_slice(&elements[place..place + block]);
    };
    for run in &axis.runs {
        match *run {
            Run::Constant(length) => {
                let padded = |axis: &Axis| -> usize {
                    let lengths = axis.runs.iter().map(|run| match *run {
                        Run::Constant(length) | Run::Copy { length, .. } => length,
                    });
                    lengths.sum()
                };
                let size = inner.iter().map(padded).product::<usize>() * block * length;
                output.extend(std::iter::repeat_n(constant, size).cloned());
            }
            Run::Copy { start, length } if inner.is_empty() => {
                let first = place + start * axis.stride;
                output.extend_from_slice(&elements[first..first + length * axis.stride]);
            }
            Run::Copy { start, length } => {
                for index in start..start + length {
                    append(output, elements, place + index * axis.stride, inner, block, constant);
                }
            }
        }
    }
}

/// `CenterCropPad`: the middle of a tensor, surrounded by zeros where it is too small.
#[derive(Debug)]
struct CenterCropPad {
    shape: Integers,
    axes: Option<Vec<i64>>,
}

pub(super) fn center_crop_pad(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    Ok(Box::new(CenterCropPad {
        shape: Integers::input(source, 1)?,
        axes: source.node.attributes.ints("axes")?.cloned(),
    }))
}

impl Operator for CenterCropPad {
    fn run(&self, inputs: &mut Inputs<'_>, context: &mut Context<'_>) -> Result<Outputs> {
        let wanted = self.shape.get(inputs)?.ok_or_else(|| Error::engine("the shape is missing"))?;
        let data = inputs.take(0)?;
        let axes = match &self.axes {
            Some(axes) => support::axes(axes, data.rank())?,
            None => (0..data.rank()).collect(),
        };
        let wanted = lengths(&wanted)?;
        if wanted.len() != axes.len() {
            let (count, axes) = (wanted.len(), axes.len());
            return Err(Error::engine(format!("{count} lengths are given for {axes} dimensions")));
        }
        let mut ends: SmallVec<[[i64; 2]; 6]> = SmallVec::from_elem([0, 0], data.rank());
        for (&axis, &wanted) in axes.iter().zip(&wanted) {
            let length = data.shape()[axis];
            // Half of what is removed or added, rounded down, goes to the front.
            let front = (wanted.abs_diff(length) / 2) as i64;
            let back = wanted.abs_diff(length).div_ceil(2) as i64;
            ends[axis] = if wanted < length { [-front, -back] } else { [front, back] };
        }
        one(padded(&data, &ends, Mode::Constant, None, context.memory)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vector(elements: &[i64], ends: [i64; 2], mode: Mode) -> Option<Vec<i64>> {
        let data = HostTensor::vector(elements.to_vec());
        let padded = padded(&data, &[ends], mode, None, &mut Memory::default()).ok()?;
        Some(padded.elements::<i64>().unwrap().to_vec())
    }

    /// Expected values: `numpy.pad` 2.4.
    #[test]
    fn pads_longer_than_the_dimension_go_on_as_numpys() {
        let of = |ends, mode| vector(&[1, 2, 3], ends, mode).unwrap();
        assert_eq!(of([5, 4], Mode::Reflect), [2, 1, 2, 3, 2, 1, 2, 3, 2, 1, 2, 3]);
        assert_eq!(of([4, 5], Mode::Wrap), [3, 1, 2, 3, 1, 2, 3, 1, 2, 3, 1, 2]);
        assert_eq!(of([2, 1], Mode::Edge), [1, 1, 1, 2, 3, 3]);
        assert_eq!(vector(&[7], [2, 1], Mode::Reflect).unwrap(), [7, 7, 7, 7]);
    }

    #[test]
    fn negative_pads_remove_first() {
        let of = |ends, mode| vector(&[1, 2, 3, 4], ends, mode);
        assert_eq!(of([-1, 2], Mode::Constant).unwrap(), [2, 3, 4, 0, 0]);
        assert_eq!(of([-1, 2], Mode::Reflect).unwrap(), [2, 3, 4, 3, 2]);
        assert_eq!(of([-1, 2], Mode::Wrap).unwrap(), [2, 3, 4, 2, 3]);
        assert_eq!(of([-4, 1], Mode::Constant).unwrap(), [0]);
        assert_eq!(of([-4, 1], Mode::Edge), None);
        assert_eq!(of([-3, -2], Mode::Constant), None);
        assert_eq!(of([i64::MIN, i64::MAX], Mode::Constant), None);
        assert_eq!(of([0, i64::MAX], Mode::Edge), None);
    }

    #[test]
    fn only_the_dimensions_named_change() {
        let data = HostTensor::new([2, 2, 2].as_slice(), (1..=8).collect::<Vec<i64>>()).unwrap();
        let ends = [[0, 0], [1, 0], [0, 0]];
        let padded = padded(&data, &ends, Mode::Constant, None, &mut Memory::default()).unwrap();
        assert_eq!(padded.shape(), [2, 3, 2]);
        assert_eq!(padded.elements::<i64>().unwrap(), [0, 0, 1, 2, 3, 4, 0, 0, 5, 6, 7, 8]);
    }
}
