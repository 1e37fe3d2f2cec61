//! The same elements several times.

use mlops_core::{Error, Result};
use smallvec::SmallVec;

use super::parameter::Integers;
use super::view::{View, strides};
use crate::engine::onnx::ops::{Context, Operator, Outputs, Source, one, support};
use crate::engine::onnx::tensor::Shape;
use crate::engine::onnx::value::Inputs;

/// `Expand`: broadcast together with a shape.
#[derive(Debug)]
struct Expand {
    shape: Integers,
}

pub(super) fn expand(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    Ok(Box::new(Expand { shape: Integers::input(source, 1)? }))
}

impl Operator for Expand {
    fn run(&self, inputs: &mut Inputs<'_>, context: &mut Context<'_>) -> Result<Outputs> {
        let wanted = self.shape.get(inputs)?.ok_or_else(|| Error::engine("the shape is missing"))?;
        let data = inputs.take(0)?;
        let wanted: Shape = lengths(&wanted)?;
        let shape = support::broadcast([data.shape(), &wanted])?;
        let leading = shape.len() - data.rank();
        let own = strides(data.shape());
        let stride = |axis: usize| match axis.checked_sub(leading) {
            Some(axis) if data.shape()[axis] != 1 => own[axis],
            _ => 0,
        };
        let strides: SmallVec<[isize; 6]> = (0..shape.len()).map(stride).collect();
        one(View::new(shape, &strides, 0)?.of(data, context.memory)?)
    }
}

/// `Tile`: repeated along each dimension.
#[derive(Debug)]
struct Tile {
    repeats: Integers,
}

pub(super) fn tile(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    Ok(Box::new(Tile { repeats: Integers::input(source, 1)? }))
}

impl Operator for Tile {
    fn run(&self, inputs: &mut Inputs<'_>, context: &mut Context<'_>) -> Result<Outputs> {
        let repeats = self.repeats.get(inputs)?.ok_or_else(|| Error::engine("the repeats are missing"))?;
        let data = inputs.take(0)?;
        let repeats = lengths(&repeats)?;
        if repeats.len() != data.rank() {
            let (count, rank) = (repeats.len(), data.rank());
            return Err(Error::engine(format!("{count} repeats are given for {rank} dimensions")));
        }
        let mut tiled = Shape::new();
        let mut shape = Shape::new();
        let mut tiled_strides: SmallVec<[isize; 12]> = SmallVec::new();
        for ((&length, &repeat), stride) in data.shape().iter().zip(&repeats).zip(strides(data.shape())) {
            shape.push(length.saturating_mul(repeat));
            tiled.extend_from_slice(&[repeat, length]);
            tiled_strides.extend_from_slice(&[0, stride]);
        }
        one(View::new(tiled, &tiled_strides, 0)?.of(data, context.memory)?.reshaped(shape)?)
    }
}

/// Lengths that come from data.
pub(in crate::engine::onnx::ops) fn lengths(lengths: &[i64]) -> Result<Shape> {
    let length = |&length: &i64| {
        usize::try_from(length).map_err(|_| Error::engine(format!("a length cannot be {length}")))
    };
    lengths.iter().map(length).collect()
}
