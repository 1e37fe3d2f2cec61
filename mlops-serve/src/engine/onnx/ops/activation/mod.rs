//! Activation functions.

mod function;
mod gated;
mod microsoft;
mod prelu;
mod relu;

#[cfg(test)]
mod tests;

use super::{Entry, microsoft, onnx};

pub(super) const OPERATORS: &[Entry] = &[
    onnx("Celu", 12, function::celu),
    onnx("Elu", 1, function::elu),
    onnx("Gelu", 20, function::gelu),
    onnx("HardSigmoid", 1, function::hard_sigmoid),
    onnx("HardSwish", 14, function::hard_swish),
    onnx("LeakyRelu", 1, function::leaky_relu),
    onnx("Mish", 18, function::mish),
    onnx("PRelu", 1, prelu::prelu),
    onnx("Relu", 1, relu::relu),
    onnx("Selu", 1, function::selu),
    onnx("Shrink", 9, relu::shrink),
    onnx("Sigmoid", 1, function::sigmoid),
    onnx("Softplus", 1, function::softplus),
    onnx("Softsign", 1, function::softsign),
    onnx("SwiGLU", 28, gated::swiglu),
    onnx("Swish", 24, function::swish),
    onnx("Tanh", 1, function::tanh),
    onnx("ThresholdedRelu", 10, function::thresholded_relu),
    microsoft("BiasGelu", microsoft::bias_gelu),
    microsoft("FastGelu", microsoft::fast_gelu),
    microsoft("Gelu", function::gelu_exact),
    microsoft("QuickGelu", function::quick_gelu),
];
