//! Lists of tensors.

use mlops_core::{Error, Result};
use smallvec::smallvec;

use super::body::Body;
use crate::engine::onnx::ops::layout::{checked_lengths, concatenated, parts, stacked};
use crate::engine::onnx::ops::{Context, Operator, Outputs, Source, one, support};
use crate::engine::onnx::tensor::{HostTensor, Shape};
use crate::engine::onnx::value::{Inputs, Value};

/// `SequenceEmpty` and `SequenceConstruct`: the inputs as a list.
#[derive(Debug)]
struct SequenceConstruct;

pub(super) fn sequence_empty(_: &Source<'_>) -> Result<Box<dyn Operator>> {
    Ok(Box::new(SequenceConstruct))
}

pub(super) fn sequence_construct(_: &Source<'_>) -> Result<Box<dyn Operator>> {
    Ok(Box::new(SequenceConstruct))
}

impl Operator for SequenceConstruct {
    fn run(&self, inputs: &mut Inputs<'_>, _: &mut Context<'_>) -> Result<Outputs> {
        let tensors: Vec<HostTensor> =
            (0..inputs.len()).map(|index| inputs.take(index)).collect::<Result<_>>()?;
        Ok(smallvec![tensors.into()])
    }
}

/// The position that an input names among `count`; `None` when it is left out.
fn position(inputs: &Inputs<'_>, index: usize, count: usize) -> Result<Option<usize>> {
    let Some(position) = inputs.optional_i64s(index)? else { return Ok(None) };
    match *position {
        [position] => support::axis(position, count)
            .map(Some)
            .map_err(|_| Error::engine(format!("there is no position {position} among {count}"))),
        ref several => Err(Error::engine(format!("a position is one number, not {}", several.len()))),
    }
}

/// `SequenceAt`.
#[derive(Debug)]
struct SequenceAt;

pub(super) fn sequence_at(_: &Source<'_>) -> Result<Box<dyn Operator>> {
    Ok(Box::new(SequenceAt))
}

impl Operator for SequenceAt {
    fn run(&self, inputs: &mut Inputs<'_>, _: &mut Context<'_>) -> Result<Outputs> {
        let tensors = inputs.sequence(0)?;
        let position = position(inputs, 1, tensors.len())?;
        let position = position.ok_or_else(|| Error::engine("the position is missing"))?;
        one(tensors[position].clone())
    }
}

/// `SequenceInsert`: at a position, or at the end.
#[derive(Debug)]
struct SequenceInsert;

pub(super) fn sequence_insert(_: &Source<'_>) -> Result<Box<dyn Operator>> {
    Ok(Box::new(SequenceInsert))
}

impl Operator for SequenceInsert {
    fn run(&self, inputs: &mut Inputs<'_>, _: &mut Context<'_>) -> Result<Outputs> {
        let count = inputs.sequence(0)?.len();
        // One may insert behind the last; from the back, positions are counted without that place.
        let place = match inputs.optional_i64s(2)?.as_deref() {
            None => count,
            Some(&[place]) if usize::try_from(place) == Ok(count) => count,
            Some(_) => position(inputs, 2, count)?.unwrap_or(count),
        };
        let tensor = inputs.take(1)?;
        let mut tensors = inputs.take_sequence(0)?;
        tensors.insert(place, tensor);
        Ok(smallvec![tensors.into()])
    }
}

/// `SequenceErase`: at a position, or the last.
#[derive(Debug)]
struct SequenceErase;

pub(super) fn sequence_erase(_: &Source<'_>) -> Result<Box<dyn Operator>> {
    Ok(Box::new(SequenceErase))
}

impl Operator for SequenceErase {
    fn run(&self, inputs: &mut Inputs<'_>, _: &mut Context<'_>) -> Result<Outputs> {
        let count = inputs.sequence(0)?.len();
        let place = match position(inputs, 1, count)? {
            Some(place) => place,
            None => count.checked_sub(1).ok_or_else(|| Error::engine("the sequence is empty"))?,
        };
        let mut tensors = inputs.take_sequence(0)?;
        tensors.remove(place);
        Ok(smallvec![tensors.into()])
    }
}

/// `SequenceLength`.
#[derive(Debug)]
struct SequenceLength;

pub(super) fn sequence_length(_: &Source<'_>) -> Result<Box<dyn Operator>> {
    Ok(Box::new(SequenceLength))
}

impl Operator for SequenceLength {
    fn run(&self, inputs: &mut Inputs<'_>, _: &mut Context<'_>) -> Result<Outputs> {
        one(HostTensor::scalar(inputs.sequence(0)?.len() as i64))
    }
}

/// `ConcatFromSequence`: one after the other along an axis, or along a new one.
#[derive(Debug)]
struct ConcatFromSequence {
    axis: i64,
    new_axis: bool,
}

pub(super) fn concat_from_sequence(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    let attributes = &source.node.attributes;
    let axis = attributes.optional_int("axis")?;
    let axis = axis.ok_or_else(|| Error::invalid_input("the attribute `axis` is missing"))?;
    Ok(Box::new(ConcatFromSequence { axis, new_axis: attributes.flag("new_axis", false)? }))
}

impl Operator for ConcatFromSequence {
    fn run(&self, inputs: &mut Inputs<'_>, context: &mut Context<'_>) -> Result<Outputs> {
        let tensors = inputs.sequence(0)?;
        let rank = tensors.first().map_or(0, HostTensor::rank);
        one(if self.new_axis {
            stacked(tensors, support::axis(self.axis, rank + 1)?, context.memory)?
        } else {
            let tensors: Vec<&HostTensor> = tensors.iter().collect();
            concatenated(&tensors, support::axis(self.axis, rank)?, context.memory)?
        })
    }
}

/// The most parts a tensor is split into: without elements, it could have any number.
const MOST_PARTS: usize = 1 << 24;

/// `SplitToSequence`: parts along an axis, all of one length (but the last) or of given lengths.
#[derive(Debug)]
struct SplitToSequence {
    axis: i64,
    keep_dimensions: bool,
}

pub(super) fn split_to_sequence(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    let attributes = &source.node.attributes;
    let axis = attributes.int("axis", 0)?;
    let keep_dimensions = attributes.flag("keepdims", true)? || source.node.input(1).is_some();
    Ok(Box::new(SplitToSequence { axis, keep_dimensions }))
}

impl Operator for SplitToSequence {
    fn run(&self, inputs: &mut Inputs<'_>, context: &mut Context<'_>) -> Result<Outputs> {
        let given = match inputs.optional(1)? {
            Some(split) => Some((split.rank(), split.to_i64s()?)),
            None => None,
        };
        let data = inputs.take(0)?;
        let axis = support::axis(self.axis, data.rank())?;
        let whole = data.shape()[axis];
        let lengths = match given {
            Some((1, lengths)) => checked_lengths(&lengths, whole)?,
            Some((0, length)) => equal_lengths(length.first().copied().unwrap_or(0), whole)?,
            Some((rank, _)) => return Err(Error::engine(format!("the lengths have {rank} dimensions"))),
            None => equal_lengths(1, whole)?,
        };
        let mut tensors = parts(&data, axis, &lengths, context.memory)?;
        if !self.keep_dimensions {
            for tensor in &mut tensors {
                let mut shape = Shape::from_slice(tensor.shape());
                shape.remove(axis);
                *tensor = tensor.clone().reshaped(shape)?;
            }
        }
        Ok(smallvec![tensors.into()])
    }
}

fn equal_lengths(length: i64, whole: usize) -> Result<Vec<usize>> {
    let length = usize::try_from(length).ok().filter(|&length| length > 0);
    let length = length.ok_or_else(|| Error::engine("the length of a part must be positive"))?;
    if whole / length > MOST_PARTS {
        return Err(Error::engine(format!(
            "a dimension of {whole} in parts of {length} does not fit in memory"
        )));
    }
    Ok((0..whole.div_ceil(length)).map(|index| length.min(whole - index * length)).collect())
}

/// `SequenceMap`: a graph for each element; tensors among the inputs are the same for all.
#[derive(Debug)]
struct SequenceMap {
    body: Body,
    inputs: usize,
}

pub(super) fn sequence_map(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    let inputs = source.node.inputs.len();
    let body = Body::new(source, "body")?;
    body.requires(inputs, source.node.outputs.len())?;
    Ok(Box::new(SequenceMap { body, inputs }))
}

impl Operator for SequenceMap {
    fn run(&self, inputs: &mut Inputs<'_>, context: &mut Context<'_>) -> Result<Outputs> {
        let count = inputs.sequence(0)?.len();
        let own: Vec<Value> =
            (0..self.inputs).map(|index| inputs.take_value(index)).collect::<Result<_>>()?;
        let captured = self.body.captured(inputs)?;
        let mut outputs: Vec<Vec<HostTensor>> = vec![Vec::new(); self.body.outputs().len()];
        for index in 0..count {
            let element = |value: &Value| match value {
                Value::Sequence(tensors) => {
                    let tensor = tensors.get(index).cloned().map(Value::Tensor);
                    tensor.ok_or_else(|| Error::engine("the sequences differ in length"))
                }
                other => Ok(other.clone()),
            };
            let elements: Vec<Value> = own.iter().map(element).collect::<Result<_>>()?;
            let results = self.body.run(elements, &captured, context)?;
            for (output, result) in outputs.iter_mut().zip(results) {
                output.push(result.into_tensor()?);
            }
        }
        Ok(outputs.into_iter().map(Value::from).collect())
    }
}
