//! Several tensors as one, and one as several.

use mlops_core::{Error, Result};

use super::parameter::Integers;
use super::view::{View, strides};
use crate::engine::onnx::memory::Memory;
use crate::engine::onnx::ops::{Context, Operator, Outputs, Source, one, support};
use crate::engine::onnx::tensor::{Data, HostTensor, Scalar, Shape, element_count, for_any};
use crate::engine::onnx::value::{Inputs, Value};

/// `Concat`: one tensor after the other along an axis.
#[derive(Debug)]
struct Concat {
    axis: i64,
}

pub(super) fn concat(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    let axis = match source.node.attributes.optional_int("axis")? {
        Some(axis) => axis,
        None if source.node.opset < 4 => 1,
        None => return Err(Error::invalid_input("the attribute `axis` is missing")),
    };
    Ok(Box::new(Concat { axis }))
}

impl Operator for Concat {
    fn run(&self, inputs: &mut Inputs<'_>, context: &mut Context<'_>) -> Result<Outputs> {
        if inputs.len() == 1 {
            let only = inputs.take(0)?;
            support::axis(self.axis, only.rank())?;
            return one(only);
        }
        let parts = inputs.tensors()?;
        let rank = parts.first().map_or(0, |part| part.rank());
        one(concatenated(&parts, support::axis(self.axis, rank)?, context.memory)?)
    }
}

/// Tensors of one type, one after the other along a dimension; the other dimensions must be the same.
pub(in crate::engine::onnx::ops) fn concatenated(
    parts: &[&HostTensor],
    axis: usize,
    memory: &mut Memory,
) -> Result<HostTensor> {
    let first = parts.first().ok_or_else(|| Error::engine("there is nothing to concatenate"))?;
    let mut shape = Shape::from_slice(first.shape());
    if axis >= shape.len() {
        return Err(Error::engine(format!(
            "there is no axis {axis} in a tensor of {} dimensions",
            shape.len()
        )));
    }
    shape[axis] = 0;
    for part in parts {
        let others = |shape: &[usize]| [&shape[..axis], &shape[axis + 1..]].concat();
        if part.rank() != shape.len() || others(part.shape()) != others(&shape) {
            return Err(Error::engine(format!(
                "shapes {:?} and {:?} differ in more than the dimension {axis}",
                first.shape(),
                part.shape()
            )));
        }
        shape[axis] = shape[axis].saturating_add(part.shape()[axis]);
    }
    let count = element_count(&shape)?;
    fn collect<T: Scalar>(
        parts: &[&HostTensor],
        axis: usize,
        count: usize,
        memory: &mut Memory,
    ) -> Result<Data> {
        let slices: Vec<(&[T], usize)> = parts
            .iter()
            .map(|part| Ok((part.elements::<T>()?, support::product(&part.shape()[axis..]))))
            .collect::<Result<_>>()?;
        let outer = support::product(&parts[0].shape()[..axis]);
        let mut output: Vec<T> = memory.vector(count)?;
        if count > 0 {
            for index in 0..outer {
                for (elements, chunk) in &slices {
                    output.extend_from_slice(&elements[index * chunk..(index + 1) * chunk]);
                }
            }
        }
        Ok(T::wrap(output.into()))
    }
    fn by_type<T: Scalar>(
        _: &[T],
        parts: &[&HostTensor],
        axis: usize,
        count: usize,
        memory: &mut Memory,
    ) -> Result<Data> {
        collect::<T>(parts, axis, count, memory)
    }
    let data = for_any!(first.data(), |elements| by_type(elements, parts, axis, count, memory)?);
    HostTensor::from_data(shape, data)
}

/// Tensors of one shape and type along a new dimension at `axis`, which is at most their rank.
pub(in crate::engine::onnx::ops) fn stacked(
    parts: &[HostTensor],
    axis: usize,
    memory: &mut Memory,
) -> Result<HostTensor> {
    let raised = parts.iter().map(|part| {
        let mut shape = Shape::from_slice(part.shape());
        if axis > shape.len() {
            return Err(Error::engine(format!("there is no place {axis} for a dimension of {shape:?}")));
        }
        shape.insert(axis, 1);
        part.clone().reshaped(shape)
    });
    let raised: Vec<HostTensor> = raised.collect::<Result<_>>()?;
    concatenated(&raised.iter().collect::<Vec<_>>(), axis, memory)
}

/// `Split`: a tensor in parts along an axis.
#[derive(Debug)]
struct Split {
    axis: i64,
    lengths: Integers,
    parts: usize,
    /// Before operator set 18, parts of their own accord must be equal.
    equal: bool,
}

pub(super) fn split(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    let node = source.node;
    if node.opset < 13 && node.inputs.len() > 1 {
        return Err(Error::unsupported("lengths as an input are supported from operator set 13 on"));
    }
    let parts = node.outputs.len();
    let declared = node.attributes.optional_int("num_outputs")?;
    if parts == 0 || declared.is_some_and(|declared| usize::try_from(declared) != Ok(parts)) {
        return Err(Error::invalid_input(format!(
            "the attribute `num_outputs` is not {parts}, as the outputs are"
        )));
    }
    Ok(Box::new(Split {
        axis: node.attributes.int("axis", 0)?,
        lengths: Integers::attribute_until(13, source, "split", 1)?,
        parts,
        equal: node.opset < 18,
    }))
}

impl Operator for Split {
    fn run(&self, inputs: &mut Inputs<'_>, context: &mut Context<'_>) -> Result<Outputs> {
        let lengths = self.lengths.get(inputs)?;
        let data = inputs.take(0)?;
        let axis = support::axis(self.axis, data.rank())?;
        let whole = data.shape()[axis];
        let lengths = match lengths {
            Some(lengths) => checked_lengths(&lengths, whole)?,
            None if self.equal && whole % self.parts != 0 => {
                let parts = self.parts;
                return Err(Error::engine(format!("{whole} cannot be split in {parts} equal parts")));
            }
            None => {
                let largest = whole.div_ceil(self.parts);
                let length = |index: usize| largest.min(whole.saturating_sub(index.saturating_mul(largest)));
                (0..self.parts).map(length).collect()
            }
        };
        let parts = parts(&data, axis, &lengths, context.memory)?;
        Ok(parts.into_iter().map(Value::Tensor).collect())
    }
}

/// Lengths whose sum must be that of the whole.
pub(in crate::engine::onnx::ops) fn checked_lengths(lengths: &[i64], whole: usize) -> Result<Vec<usize>> {
    let positive: Option<Vec<usize>> = lengths.iter().map(|&length| usize::try_from(length).ok()).collect();
    let sum = |lengths: &Vec<usize>| lengths.iter().try_fold(0_usize, |sum, &length| sum.checked_add(length));
    positive.filter(|lengths| sum(lengths) == Some(whole)).ok_or_else(|| {
        Error::engine(format!("a dimension of {whole} cannot be split into the lengths {lengths:?}"))
    })
}

/// The parts of a tensor along a dimension, whose lengths are checked to be in it.
pub(in crate::engine::onnx::ops) fn parts(
    data: &HostTensor,
    axis: usize,
    lengths: &[usize],
    memory: &mut Memory,
) -> Result<Vec<HostTensor>> {
    let strides = strides(data.shape());
    let mut start = 0_usize;
    let mut parts = Vec::with_capacity(lengths.len());
    for &length in lengths {
        let mut shape = Shape::from_slice(data.shape());
        shape[axis] = length;
        let place = start.saturating_mul(strides[axis].unsigned_abs());
        parts.push(View::new(shape, &strides, place)?.of(data.clone(), memory)?);
        start += length;
    }
    Ok(parts)
}
