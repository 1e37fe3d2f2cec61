//! `AffineGrid`: where each output of an affine transform looks ([Jaderberg et al.,
//! 2015](https://arxiv.org/abs/1506.02025)).

use mlops_core::{Error, Result};

use crate::engine::onnx::ops::floats::{from_doubles, to_doubles};
use crate::engine::onnx::ops::support::{product, reserve, strides};
use crate::engine::onnx::ops::{Context, Operator, Outputs, Source, one};
use crate::engine::onnx::tensor::{Shape, element_count};
use crate::engine::onnx::value::Inputs;

#[derive(Debug)]
struct AffineGrid {
    align_corners: bool,
}

pub(super) fn build(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    Ok(Box::new(AffineGrid { align_corners: source.node.attributes.flag("align_corners", false)? }))
}

impl Operator for AffineGrid {
    fn run(&self, inputs: &mut Inputs<'_>, _context: &mut Context<'_>) -> Result<Outputs> {
        let theta = inputs.tensor(0)?;
        let size = inputs.tensor(1)?.to_i64s()?;
        let lengths = size.iter().map(|&length| usize::try_from(length).ok()).collect::<Option<Shape>>();
        let wrong = || {
            Error::engine(format!(
                "matrices of shape {:?} make no grid for an output of {size:?}",
                theta.shape()
            ))
        };
        let lengths = lengths.ok_or_else(wrong)?;
        let [batch, _, spatial @ ..] = lengths.as_slice() else { return Err(wrong()) };
        let rank = spatial.len();
        if !(2..=3).contains(&rank) || theta.shape() != [*batch, rank, rank + 1] {
            return Err(wrong());
        }
        let mut shape = Shape::from_slice(&[*batch]);
        shape.extend_from_slice(spatial);
        shape.push(rank);
        let mut out: Vec<f64> = reserve(element_count(&shape)?)?;
        let matrices = to_doubles(theta)?;
        let strides = strides(spatial);
        for matrix in matrices.chunks_exact(rank * (rank + 1)) {
            for position in 0..product(spatial) {
                // x first: the last dimension of the output.
                let coordinate = |axis: usize| {
                    let axis = rank - 1 - axis;
                    let (index, length) = (position / strides[axis] % spatial[axis], spatial[axis] as f64);
                    if !self.align_corners {
                        (2 * index + 1) as f64 / length - 1.0
                    } else if spatial[axis] > 1 {
                        2.0 * index as f64 / (length - 1.0) - 1.0
                    } else {
                        -1.0
                    }
                };
                out.extend(
                    matrix.chunks_exact(rank + 1).map(|row| {
                        row[rank] + (0..rank).map(|axis| row[axis] * coordinate(axis)).sum::<f64>()
                    }),
                );
            }
        }
        one(from_doubles(&shape, out, theta.dtype())?)
    }
}
