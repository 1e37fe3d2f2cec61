//! Ranges of dimensions, with steps.

use mlops_core::{Error, Result};
use smallvec::SmallVec;

use crate::engine::onnx::ops::layout::{Integers, View, strides};
use crate::engine::onnx::ops::{Context, Operator, Outputs, Source, one, support};
use crate::engine::onnx::tensor::Shape;
use crate::engine::onnx::value::Inputs;

/// `Slice`: from `starts` up to, but without, `ends` along some axes; bounds beyond a dimension mean its end.
#[derive(Debug)]
struct Slice {
    starts: Integers,
    ends: Integers,
    axes: Integers,
    steps: Integers,
}

pub(super) fn slice(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    let opset = source.node.opset;
    Ok(Box::new(Slice {
        starts: Integers::attribute_until(10, source, "starts", 1)?,
        ends: Integers::attribute_until(10, source, "ends", 2)?,
        axes: Integers::attribute_until(10, source, "axes", 3)?,
        steps: if opset < 10 { Integers::Absent } else { Integers::input(source, 4)? },
    }))
}

impl Operator for Slice {
    fn run(&self, inputs: &mut Inputs<'_>, context: &mut Context<'_>) -> Result<Outputs> {
        let missing = || Error::engine("starts and ends are missing");
        let starts = self.starts.get(inputs)?.ok_or_else(missing)?;
        let ends = self.ends.get(inputs)?.ok_or_else(missing)?;
        let (axes, steps) = (self.axes.get(inputs)?, self.steps.get(inputs)?);
        let data = inputs.take(0)?;
        let axes = match axes {
            Some(axes) => support::axes(&axes, data.rank())?,
            None if starts.len() <= data.rank() => (0..starts.len()).collect(),
            None => return Err(Error::engine("there are more starts than dimensions")),
        };
        let steps = steps.unwrap_or_else(|| vec![1; axes.len()].into());
        if [starts.len(), ends.len(), steps.len()] != [axes.len(); 3] {
            return Err(Error::engine("starts, ends, axes and steps differ in number"));
        }
        let mut shape = Shape::from_slice(data.shape());
        let mut strides: SmallVec<[isize; 6]> = strides(data.shape());
        let mut first = 0_usize;
        for (index, &axis) in axes.iter().enumerate() {
            let (start, count) = range(starts[index], ends[index], steps[index], shape[axis])?;
            first = first.saturating_add(start.saturating_mul(strides[axis].unsigned_abs()));
            shape[axis] = count;
            // With more than one element the step is shorter than the dimension.
            strides[axis] = if count > 1 { strides[axis].saturating_mul(steps[index] as isize) } else { 0 };
        }
        one(View::new(shape, &strides, first)?.of(data, context.memory)?)
    }
}

/// The first element and the number of elements of a range in a dimension.
fn range(start: i64, end: i64, step: i64, length: usize) -> Result<(usize, usize)> {
    let whole = i64::try_from(length).unwrap_or(i64::MAX);
    let from_front = |index: i64| if index < 0 { index.saturating_add(whole) } else { index };
    let (start, end) = (from_front(start), from_front(end));
    let (first, count) = match step {
        0 => return Err(Error::engine("the step of a slice cannot be 0")),
        1.. => {
            let (start, end) = (start.clamp(0, whole), end.clamp(0, whole));
            (start, (end - start).max(0).unsigned_abs().div_ceil(step.unsigned_abs()))
        }
        _ if whole == 0 => (0, 0),
        _ => {
            // Unlike Python's, a start before the first element is the first. As in onnxruntime, the greatest number
            // stands for the end in the direction of the step.
            let end = if end == i64::MAX || end == i64::from(i32::MAX) { -1 } else { end };
            let (start, end) = (start.clamp(0, whole - 1), end.clamp(-1, whole - 1));
            (start, (start - end).max(0).unsigned_abs().div_ceil(step.unsigned_abs()))
        }
    };
    Ok((usize::try_from(first).unwrap_or(0), usize::try_from(count).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::range;

    /// Expected: the first element and the length of `range(length)[start:end:step]` in Python, but for two.
    #[test]
    fn bounds_beyond_the_ends_are_the_ends() {
        let of = |start, end, step, length| range(start, end, step, length).unwrap();
        assert_eq!(of(1, 1000, 2, 10), (1, 5));
        assert_eq!(of(-3, i64::MAX, 1, 10), (7, 3));
        assert_eq!(of(i64::MIN, i64::MAX, 1, 10), (0, 10));
        assert_eq!(of(i64::MAX, i64::MIN, -1, 10), (9, 10));
        assert_eq!(of(7, -11, -3, 10), (7, 3));
        assert_eq!(of(0, i64::MAX, i64::MAX, 10), (0, 1));
        assert_eq!(of(9, i64::MIN, i64::MIN, 10), (9, 1));
        assert_eq!(of(-11, i64::MIN, -1, 10), (0, 1), "not Python's, which gives nothing");
        assert_eq!(of(5, i64::MAX, -1, 10), (5, 6), "not Python's, which gives nothing");
        assert_eq!(of(5, 2, 1, 10).1, 0);
        assert_eq!(of(0, -1, -1, 0), (0, 0));
        assert!(range(0, 1, 0, 5).is_err());
    }
}
