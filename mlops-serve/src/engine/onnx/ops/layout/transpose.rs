//! Dimensions in another order.

use mlops_core::{Error, Result};
use smallvec::SmallVec;

use super::view::{View, strides};
use crate::engine::onnx::ops::{Context, Operator, Outputs, Source, one, support};
use crate::engine::onnx::tensor::Shape;
use crate::engine::onnx::value::Inputs;

/// `Transpose`: dimension `i` of the output is `permutation[i]` of the input; without one, the order is reversed.
#[derive(Debug)]
struct Transpose {
    permutation: Option<Vec<i64>>,
}

pub(super) fn transpose(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    Ok(Box::new(Transpose { permutation: source.node.attributes.ints("perm")?.cloned() }))
}

impl Operator for Transpose {
    fn run(&self, inputs: &mut Inputs<'_>, context: &mut Context<'_>) -> Result<Outputs> {
        let data = inputs.take(0)?;
        let rank = data.rank();
        let permutation: SmallVec<[usize; 6]> = match &self.permutation {
            Some(permutation) if permutation.len() == rank => support::axes(permutation, rank)?,
            Some(permutation) => {
                return Err(Error::engine(format!(
                    "the permutation {permutation:?} does not fit a tensor of {rank} dimensions"
                )));
            }
            None => (0..rank).rev().collect(),
        };
        let own = strides(data.shape());
        let shape: Shape = permutation.iter().map(|&axis| data.shape()[axis]).collect();
        let strides: SmallVec<[isize; 6]> = permutation.iter().map(|&axis| own[axis]).collect();
        one(View::new(shape, &strides, 0)?.of(data, context.memory)?)
    }
}
