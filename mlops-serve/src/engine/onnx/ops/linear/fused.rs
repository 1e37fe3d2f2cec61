//! `Linear`: `activation(x weights + bias + residual)`.
//!
//! Inputs: x `[.., K]`, constant weights `[K, N]`, optional bias `[N]`, optional residual that broadcasts with the
//! product. Attributes: see [`super::epilogue`]. Everything is FP32.

use mlops_core::{Error, Result};

use super::epilogue::{activation, finish_broadcast};
use crate::engine::onnx::ops::floats::{constant_singles, vector};
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
    /// If it is constant.
    bias: Option<Vec<f32>>,
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
        bias: constant_singles(source.constant(2)).filter(|bias| bias.len() == columns),
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
        let bias = match &self.bias {
            Some(bias) => Bias::PerColumn(bias),
            None => vector(inputs, 2, columns)?.map_or(Bias::None, Bias::PerColumn),
        };
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

    fn has_taken(&self, input: usize) -> bool {
        input == 1 || input == 2 && self.bias.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::onnx::graph::Attribute;
    use crate::engine::onnx::ops::testing::fused;
    use crate::kernels::testing::{Random, assert_close};

    fn tensor(shape: &[usize], elements: &[f32]) -> Option<HostTensor> {
        Some(HostTensor::new(shape, elements.to_vec()).unwrap())
    }

    #[test]
    fn bias_residual_and_activation_are_applied_in_this_order() {
        let mut random = Random::new(1);
        let (x, weights, bias) = (random.values(6), random.values(15), random.values(5));
        let product = |row: usize, column: usize| -> f32 {
            (0..3).map(|k| x[row * 3 + k] * weights[k * 5 + column]).sum::<f32>() + bias[column]
        };
        // A residual of the shape of the product, one that is repeated, and one that the product is repeated to.
        for residual_shape in [vec![2, 5], vec![5], vec![2, 1], vec![3, 1, 5]] {
            let count: usize = residual_shape.iter().product();
            let residual = random.values(count);
            for (name, parameters, function) in [
                ("relu", vec![], (|x| x.max(0.0)) as fn(f32) -> f32),
                ("leaky_relu", vec![0.1], |x| if x < 0.0 { 0.1 * x } else { x }),
                ("clip", vec![-0.2, 0.3], |x| x.clamp(-0.2, 0.3)),
                ("tanh", vec![], f32::tanh),
                ("silu", vec![], |x| x / (1.0 + (-x).exp())),
                ("hard_sigmoid", vec![0.2, 0.5], |x| (0.2 * x + 0.5).clamp(0.0, 1.0)),
                ("hard_swish", vec![], |x| x * (x / 6.0 + 0.5).clamp(0.0, 1.0)),
                ("elu", vec![0.7], |x| if x < 0.0 { 0.7 * x.exp_m1() } else { x }),
                ("softplus", vec![], |x| x.exp().ln_1p()),
            ] {
                let attributes = [
                    ("activation", Attribute::Text(name.into())),
                    ("activation_parameters", Attribute::Floats(parameters)),
                ];
                let inputs = [
                    tensor(&[2, 3], &x),
                    tensor(&[3, 5], &weights),
                    tensor(&[5], &bias),
                    tensor(&residual_shape, &residual),
                ];
                let out = fused("Linear", attributes, inputs, &[1, 2], 1).unwrap().remove(0);
                let batches = if residual_shape.len() == 3 { 3 } else { 1 };
                let expected: Vec<f32> = (0..batches * 10)
                    .map(|place| {
                        let (batch, row, column) = (place / 10, place / 5 % 2, place % 5);
                        let residual = match residual_shape.as_slice() {
                            [2, 5] => residual[row * 5 + column],
                            [5] => residual[column],
                            [2, 1] => residual[row],
                            _ => residual[batch * 5 + column],
                        };
                        function(product(row, column) + residual)
                    })
                    .collect();
                assert_close(out.elements().unwrap(), &expected, 1e-5, name);
            }
        }
    }

    #[test]
    fn a_vector_has_a_product_and_another_depth_is_an_error() {
        let weights = || tensor(&[2, 2], &[1.0, 2.0, 3.0, 4.0]);
        let out = fused("Linear", [], [tensor(&[2], &[1.0, 1.0]), weights()], &[1], 1).unwrap().remove(0);
        assert_eq!((out.shape(), out.elements::<f32>().unwrap()), (&[2][..], &[4.0, 6.0][..]));
        assert!(fused("Linear", [], [tensor(&[3], &[1.0; 3]), weights()], &[1], 1).is_err());
        assert!(fused("Linear", [], [tensor(&[2], &[1.0; 2]), weights()], &[], 1).is_err());
        let unknown = [("activation", Attribute::Text("gate".into()))];
        assert!(fused("Linear", unknown, [tensor(&[2], &[1.0; 2]), weights()], &[1], 1).is_err());
    }
}
