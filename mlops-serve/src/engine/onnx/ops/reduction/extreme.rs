//! ArgMax and ArgMin: where along a dimension the largest or smallest element is.

use mlops_core::{Error, Result};

use crate::engine::onnx::ops::number::Number;
use crate::engine::onnx::ops::support::{Around, around, axis, product};
use crate::engine::onnx::ops::{Context, Inputs, Operator, Outputs, Source, one};
use crate::engine::onnx::tensor::{Data, HostTensor, Shape, for_numbers};
use crate::kernels::reduce::{argmax_rows, argmin_rows};

pub(super) fn arg_max(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    build(source, true)
}

pub(super) fn arg_min(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    build(source, false)
}

fn build(source: &Source<'_>, largest: bool) -> Result<Box<dyn Operator>> {
    let attributes = &source.node.attributes;
    Ok(Box::new(Extreme {
        largest,
        axis: attributes.int("axis", 0)?,
        keep: attributes.flag("keepdims", true)?,
        last: attributes.flag("select_last_index", false)?,
    }))
}

#[derive(Debug)]
struct Extreme {
    largest: bool,
    axis: i64,
    /// Whether the dimension stays, with length 1.
    keep: bool,
    /// Whether of several equal elements the last is meant; else the first.
    last: bool,
}

impl Operator for Extreme {
    fn run(&self, inputs: &mut Inputs<'_>, _: &mut Context<'_>) -> Result<Outputs> {
        let tensor = inputs.tensor(0)?;
        let axis = axis(self.axis, tensor.rank())?;
        let around = around(tensor.shape(), axis);
        if around.length == 0 {
            return Err(Error::engine("there is no extreme of no elements"));
        }
        let mut shape = Shape::from_slice(tensor.shape());
        shape[axis] = 1;
        let positions = match tensor.data() {
            Data::F32(elements) if around.inner == 1 => {
                let mut positions = vec![0_i64; product(&shape)];
                let rows = if self.largest { argmax_rows } else { argmin_rows };
                rows(elements, around.length, self.last, &mut positions);
                positions
            }
            data => for_numbers!(data, |elements| self.positions(elements, around), other => {
                let dtype = other.dtype();
                return Err(Error::engine(format!("numbers are needed, not {dtype}")));
            }),
        };
        if !self.keep {
            shape.remove(axis);
        }
        one(HostTensor::new(shape, positions)?)
    }
}

impl Extreme {
    fn positions<T: Number>(&self, elements: &[T], around: Around) -> Vec<i64> {
        let Around { length, inner, .. } = around;
        let block = length.saturating_mul(inner);
        let mut positions = Vec::new();
        if block == 0 || elements.is_empty() {
            return positions;
        }
        let (mut best, mut places) = (Vec::with_capacity(inner), vec![0_i64; inner]);
        for block in elements.chunks_exact(block) {
            best.clear();
            best.extend_from_slice(&block[..inner]);
            places.fill(0);
            for (index, row) in block.chunks_exact(inner).enumerate().skip(1) {
                for ((best, place), &value) in best.iter_mut().zip(&mut places).zip(row) {
                    if self.replaces(value, *best) {
                        (*best, *place) = (value, index as i64);
                    }
                }
            }
            positions.extend_from_slice(&places);
        }
        positions
    }

    /// Whether a later element takes the place of an earlier one. `NaN` counts as an extreme.
    #[inline(always)]
    fn replaces<T: Number>(&self, later: T, earlier: T) -> bool {
        match (later.is_not_a_number(), earlier.is_not_a_number()) {
            (true, true) => self.last,
            (true, false) => true,
            (false, true) => false,
            (false, false) if later == earlier => self.last,
            (false, false) => (later > earlier) == self.largest,
        }
    }
}
