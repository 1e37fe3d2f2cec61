//! `Linear`: `activation(x weights + bias + residual)`.
//!
//! Inputs: x `[.., K]`, constant weights `[K, N]`, optional bias `[N]`, optional residual that broadcasts with the
//! product. Attributes: see [`super::epilogue`]. Everything is FP32.

use mlops_core::{Error, Result};

use super::epilogue::{activation, finish_broadcast};
use crate::engine::onnx::ops::floats::vector;
use crate::engine::onnx::ops::support::product;
use crate::engine::onnx::ops::{Context, Operator, Outputs, Source, one};
use crate::engine::onnx::tensor::{HostTensor, Shape, element_count};
use crate::engine::onnx::value::Inputs;
use crate::kernels::epilogue::{Activation, Bias, Epilogue};
use crate::kernels::gemm::{MatrixRef, PackedB, gemm};

#[derive(Debug)]
struct Linear {
    weights: PackedB,
    depth: usize,
    columns: usize,
    activation: Activation,
}

pub(super) fn build(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    let weights = source.constant(1).ok_or_else(|| Error::invalid_input("the weights are no constant"))?;
    let &[depth, columns] = weights.shape() else {
        return Err(Error::invalid_input("the weights are no matrix"));
    };
    let matrix = MatrixRef::row_major(weights.elements::<f32>()?, depth, columns);
    Ok(Box::new(Linear {
        weights: PackedB::pack(matrix),
        depth,
        columns,
        activation: activation(&source.node.attributes)?,
    }))
}

impl Operator for Linear {
    fn run(&self, inputs: &mut Inputs<'_>, context: &mut Context<'_>) -> Result<Outputs> {
        let (depth, columns) = (self.depth, self.columns);
        let x = inputs.tensor(0)?;
        let Some((&x_depth, outer)) = x.shape().split_last() else {
            return Err(Error::engine("a scalar has no product with a matrix"));
        };
        if x_depth != depth {
            return Err(Error::engine(format!(
                "the input has {x_depth} elements in its last dimension, but the weights have {depth} rows"
            )));
        }
        let mut shape = Shape::from_slice(outer);
        shape.push(columns);
        let count = element_count(&shape)?;
        let residual = inputs.optional(3)?;
        let bias = vector(inputs, 2, columns)?.map_or(Bias::None, Bias::PerColumn);
        let direct = residual.filter(|residual| residual.shape() == shape.as_slice());
        let later = residual.filter(|_| direct.is_none());
        let epilogue = Epilogue {
            bias,
            residual: direct.map(HostTensor::elements::<f32>).transpose()?,
            activation: if later.is_some() { Activation::None } else { self.activation },
        };
        let mut out = context.memory.floats(count);
        if count > 0 {
            let a = MatrixRef::row_major(x.elements()?, product(outer), depth);
            let scratch = &mut context.memory.scratch;
            gemm(&mut out, columns, a, &self.weights, &epilogue, scratch, context.threads);
        }
        match later {
            Some(residual) => one(finish_broadcast(&out, &shape, residual, self.activation)?),
            None => one(HostTensor::new(shape, out)?),
        }
    }
}
