//! Dimensions in another order.

use mlops_core::{DType, Error, Result};
use smallvec::SmallVec;

use super::view::{View, strides};
use crate::engine::onnx::ops::{Context, Operator, Outputs, Source, one, support};
use crate::engine::onnx::tensor::{HostTensor, Shape};
use crate::engine::onnx::value::Inputs;
use crate::kernels::transpose::Transpose as Kernel;

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
        if data.dtype() == DType::Fp32 {
            return one(by_kernel(data, &permutation, context)?);
        }
        let own = strides(data.shape());
        let shape: Shape = permutation.iter().map(|&axis| data.shape()[axis]).collect();
        let strides: SmallVec<[isize; 6]> = permutation.iter().map(|&axis| own[axis]).collect();
        one(View::new(shape, &strides, 0)?.of(data, context.memory)?)
    }
}

/// The type that most activations have, by the vectorised kernel.
fn by_kernel(data: HostTensor, permutation: &[usize], context: &mut Context<'_>) -> Result<HostTensor> {
    let shape: Shape = permutation.iter().map(|&axis| data.shape()[axis]).collect();
    let kernel = Kernel::new(data.shape(), permutation).map_err(Error::engine)?;
    if kernel.is_copy() {
        return data.reshaped(shape);
    }
    let mut out = context.memory.floats(data.len());
    kernel.run(data.elements::<f32>()?, &mut out, context.threads);
    HostTensor::new(shape, out)
}
