//! A graph for each slice of tensors.

use mlops_core::{Error, Result};
use smallvec::SmallVec;

use super::accumulator::Accumulator;
use super::body::Body;
use crate::engine::onnx::memory::Memory;
use crate::engine::onnx::ops::layout::{View, concatenated, stacked, strides};
use crate::engine::onnx::ops::{Context, Operator, Outputs, Source, support};
use crate::engine::onnx::tensor::{HostTensor, Shape, zeros};
use crate::engine::onnx::value::{Inputs, Value};

/// `Scan`: the graph gets the state and a slice of each scanned tensor; it gives the next state, and outputs that are
/// gathered over the slices.
#[derive(Debug)]
struct Scan {
    body: Body,
    states: usize,
    /// The dimension that is scanned of each tensor, and whether from the back.
    scanned: Vec<Way>,
    /// The dimension in which each output is gathered, and whether towards the front.
    gathered: Vec<Way>,
    /// In operator set 8 the first dimension of everything is that of a batch, whose sequences may differ in length.
    batched: bool,
}

#[derive(Debug, Clone, Copy)]
struct Way {
    axis: i64,
    reversed: bool,
}

pub(super) fn scan(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    let node = source.node;
    let batched = node.opset < 9;
    let given = node.inputs.len().saturating_sub(batched.into());
    let scanned = usize::try_from(node.attributes.int("num_scan_inputs", 0)?).ok();
    let scanned = scanned.filter(|&scanned| scanned > 0 && scanned <= given).ok_or_else(|| {
        Error::invalid_input("the attribute `num_scan_inputs` must be from 1 up to the number of inputs")
    })?;
    let states = given - scanned;
    let body = Body::new(source, "body")?;
    body.requires(given, states.max(node.outputs.len()))?;
    let gathered = body.outputs().len() - states;
    let ways = |axes: &str, directions: &str, count: usize| -> Result<Vec<Way>> {
        let list = |name: &str| -> Result<Vec<i64>> {
            let given = node.attributes.ints(name)?.cloned().unwrap_or_else(|| vec![0; count]);
            if given.len() != count {
                let what = format!("the attribute `{name}` must have {count} elements");
                return Err(Error::invalid_input(what));
            }
            Ok(given)
        };
        let directions = list(directions)?.into_iter().map(|direction| direction != 0);
        Ok(list(axes)?.into_iter().zip(directions).map(|(axis, reversed)| Way { axis, reversed }).collect())
    };
    let directions = if batched { "directions" } else { "scan_input_directions" };
    Ok(Box::new(Scan {
        body,
        states,
        scanned: ways("scan_input_axes", directions, scanned)?,
        gathered: ways("scan_output_axes", "scan_output_directions", gathered)?,
        batched,
    }))
}

impl Operator for Scan {
    fn run(&self, inputs: &mut Inputs<'_>, context: &mut Context<'_>) -> Result<Outputs> {
        if self.batched {
            return self.run_batch(inputs, context);
        }
        let states: Vec<Value> =
            (0..self.states).map(|index| inputs.take_value(index)).collect::<Result<_>>()?;
        let places = self.states..self.states + self.scanned.len();
        let scanned: Vec<HostTensor> = places.map(|index| inputs.take(index)).collect::<Result<_>>()?;
        let captured = self.body.captured(inputs)?;
        let length = self.length(&scanned)?;
        let (states, gathered) = self.sequence(states, &scanned, length, &captured, context)?;
        let mut outputs: Outputs = states.into_iter().collect();
        for (tensor, way) in gathered.into_iter().zip(&self.gathered) {
            outputs.push(Value::Tensor(way.laid_out(tensor, context.memory)?));
        }
        Ok(outputs)
    }
}

impl Scan {
    /// The number of slices, which must be the same for all tensors.
    fn length(&self, scanned: &[HostTensor]) -> Result<usize> {
        let mut lengths = scanned
            .iter()
            .zip(&self.scanned)
            .map(|(tensor, way)| support::axis(way.axis, tensor.rank()).map(|axis| tensor.shape()[axis]));
        let first = lengths.next().unwrap_or(Ok(0))?;
        for length in lengths {
            let length = length?;
            if length != first {
                return Err(Error::engine(format!(
                    "tensors of {first} and {length} slices are scanned together"
                )));
            }
        }
        Ok(first)
    }

    /// Runs the graph for the first `length` slices. Gives the last state and what is gathered in a first dimension.
    fn sequence(
        &self,
        mut states: Vec<Value>,
        scanned: &[HostTensor],
        length: usize,
        captured: &[Value],
        context: &mut Context<'_>,
    ) -> Result<(Vec<Value>, Vec<HostTensor>)> {
        let mut accumulators: Vec<Accumulator> = Vec::new();
        accumulators.resize_with(self.gathered.len(), Accumulator::default);
        for step in 0..length {
            let mut own = std::mem::take(&mut states);
            for (tensor, way) in scanned.iter().zip(&self.scanned) {
                let index = if way.reversed { length - 1 - step } else { step };
                let axis = support::axis(way.axis, tensor.rank())?;
                own.push(Value::Tensor(slice(tensor, axis, index, context.memory)?));
            }
            let mut outputs = self.body.run(own, captured, context)?.into_iter();
            states.extend(outputs.by_ref().take(self.states));
            for (accumulator, value) in accumulators.iter_mut().zip(outputs) {
                accumulator.push(value.into_tensor()?, context.memory)?;
            }
        }
        let declared = self.body.outputs().iter().skip(self.states);
        let gathered = accumulators.into_iter().zip(declared);
        let gathered = gathered.map(|(accumulator, declared)| accumulator.finish(declared.as_ref()));
        Ok((states, gathered.collect::<Result<_>>()?))
    }

    /// Operator set 8: the sequences of a batch one by one, shorter ones filled up with zeros.
    fn run_batch(&self, inputs: &mut Inputs<'_>, context: &mut Context<'_>) -> Result<Outputs> {
        let lengths = inputs.optional_i64s(0)?;
        let places = 1..1 + self.states + self.scanned.len();
        let own: Vec<HostTensor> = places.map(|index| inputs.take(index)).collect::<Result<_>>()?;
        let captured = self.body.captured(inputs)?;
        let batch = own.first().and_then(|tensor| tensor.shape().first().copied()).unwrap_or(0);
        let different = own.iter().any(|tensor| tensor.shape().first() != Some(&batch));
        if batch == 0 || different {
            return Err(Error::engine("states and scanned tensors need a common, positive batch size"));
        }
        if lengths.as_ref().is_some_and(|lengths| lengths.len() != batch) {
            return Err(Error::engine(format!(
                "there must be a sequence length for each of {batch} sequences"
            )));
        }
        let mut rows: Vec<Vec<HostTensor>> = Vec::new();
        for row in 0..batch {
            let mut own: Vec<HostTensor> =
                own.iter().map(|tensor| slice(tensor, 0, row, context.memory)).collect::<Result<_>>()?;
            let scanned = own.split_off(self.states);
            let whole = self.length(&scanned)?;
            let length = match &lengths {
                Some(lengths) => usize::try_from(lengths[row]).ok().filter(|&length| length <= whole),
                None => Some(whole),
            };
            let length = length
                .ok_or_else(|| Error::engine(format!("a sequence length is outside of 0 to {whole}")))?;
            let states = own.into_iter().map(Value::Tensor).collect();
            let (states, gathered) = self.sequence(states, &scanned, length, &captured, context)?;
            let mut outputs: Vec<HostTensor> =
                states.into_iter().map(Value::into_tensor).collect::<Result<_>>()?;
            for tensor in gathered {
                outputs.push(filled_up(tensor, whole, context.memory)?);
            }
            rows.push(outputs);
        }
        let outputs = (0..self.states + self.gathered.len()).map(|index| {
            let parts: Option<Vec<HostTensor>> = rows.iter().map(|row| row.get(index).cloned()).collect();
            let parts = parts.ok_or_else(|| Error::engine("the graph inside gives too few outputs"))?;
            stacked(&parts, 0, context.memory).map(Value::Tensor)
        });
        outputs.collect()
    }
}

impl Way {
    /// What was gathered in a first dimension, as the attributes want it.
    fn laid_out(self, tensor: HostTensor, memory: &mut Memory) -> Result<HostTensor> {
        let axis = support::axis(self.axis, tensor.rank())?;
        let length = tensor.shape()[0];
        let mut shape = Shape::from_slice(tensor.shape());
        let mut strides: SmallVec<[isize; 6]> = strides(tensor.shape());
        let mut start = 0;
        if self.reversed && length > 1 {
            start = strides[0].unsigned_abs().saturating_mul(length - 1);
            strides[0] = -strides[0];
        }
        shape[..=axis].rotate_left(1);
        strides[..=axis].rotate_left(1);
        View::new(shape, &strides, start)?.of(tensor, memory)
    }
}

/// The slice at `index` of a dimension, without the dimension.
fn slice(tensor: &HostTensor, axis: usize, index: usize, memory: &mut Memory) -> Result<HostTensor> {
    let mut shape = Shape::from_slice(tensor.shape());
    let mut strides = strides(&shape);
    shape.remove(axis);
    let stride = strides.remove(axis).unsigned_abs();
    View::new(shape, &strides, index.saturating_mul(stride))?.of(tensor.clone(), memory)
}

/// The tensor with zeros behind, up to that length of the first dimension.
fn filled_up(tensor: HostTensor, length: usize, memory: &mut Memory) -> Result<HostTensor> {
    let mut shape = Shape::from_slice(tensor.shape());
    if shape[0] == length {
        return Ok(tensor);
    }
    shape[0] = length - shape[0];
    concatenated(&[&tensor, &zeros(tensor.dtype(), shape)?], 0, memory)
}
