//! What the fused operators `Linear` and `Conv` do to their result: residual and activation.
//!
//! The attribute `activation` names the function and `activation_parameters` holds its numbers, in the order of the
//! fields of [`Activation`]; an optional input is added before the activation.

use mlops_core::{Error, Result};

use crate::engine::onnx::graph::Attributes;
use crate::engine::onnx::ops::support::{broadcast, zip};
use crate::engine::onnx::tensor::HostTensor;
use crate::kernels::epilogue::Activation;
use crate::kernels::math::activate;

/// The activation of a fused operator.
pub(in crate::engine::onnx::ops) fn activation(attributes: &Attributes) -> Result<Activation> {
    let Some(name) = attributes.text("activation")? else { return Ok(Activation::None) };
    let parameters = attributes.floats("activation_parameters")?.map_or(&[][..], Vec::as_slice);
    Ok(match (name.as_str(), parameters) {
        ("relu", []) => Activation::Relu,
        ("gelu", []) => Activation::Gelu,
        ("gelu_tanh", []) => Activation::GeluTanh,
        ("sigmoid", []) => Activation::Sigmoid,
        ("tanh", []) => Activation::Tanh,
        ("silu", []) => Activation::Silu,
        ("hard_swish", []) => Activation::HardSwish,
        ("softplus", []) => Activation::Softplus,
        ("mish", []) => Activation::Mish,
        ("leaky_relu", &[slope]) => Activation::LeakyRelu(slope),
        ("elu", &[alpha]) => Activation::Elu(alpha),
        ("clip", &[min, max]) => Activation::Clip { min, max },
        ("hard_sigmoid", &[alpha, beta]) => Activation::HardSigmoid { alpha, beta },
        _ => {
            let count = parameters.len();
            return Err(Error::invalid_input(format!(
                "there is no activation `{name}` of {count} parameters"
            )));
        }
    })
}

/// `activation(product + residual)` for a residual that is not of the shape of the product.
pub(in crate::engine::onnx::ops) fn finish_broadcast(
    product: &[f32],
    shape: &[usize],
    residual: &HostTensor,
    activation: Activation,
) -> Result<HostTensor> {
    let common = broadcast([shape, residual.shape()])?;
    let residual = (residual.shape(), residual.elements::<f32>()?);
    let mut sum = zip(&common, (shape, product), residual, |a: &f32, b: &f32| a + b)?;
    activate(&activation, &mut sum);
    HostTensor::new(common, sum)
}
