//! Quantised tensors: numbers stored as small integers, `real = scale (stored - zero point)`.

mod convolution;
mod dynamic;
mod elementwise;
mod layout;
mod linear;
mod matmul;
mod parameters;
mod patches;
mod pooling;

#[cfg(test)]
mod tests;

use super::{Entry, microsoft, onnx};

pub(super) const OPERATORS: &[Entry] = &[
    onnx("ConvInteger", 10, convolution::conv_integer),
    onnx("DequantizeLinear", 10, linear::dequantize),
    onnx("DynamicQuantizeLinear", 11, dynamic::dynamic_quantize),
    onnx("MatMulInteger", 10, matmul::mat_mul_integer),
    onnx("QLinearConv", 10, convolution::q_linear_conv),
    onnx("QLinearMatMul", 10, matmul::q_linear_mat_mul),
    onnx("QuantizeLinear", 10, linear::quantize),
    microsoft("DequantizeLinear", linear::dequantize),
    microsoft("DynamicQuantizeMatMul", matmul::dynamic_quantize_mat_mul),
    microsoft("MatMulIntegerToFloat", matmul::mat_mul_integer_to_float),
    microsoft("QGemm", matmul::q_gemm),
    microsoft("QLinearAdd", elementwise::add),
    microsoft("QLinearAveragePool", pooling::average),
    microsoft("QLinearConcat", elementwise::concat),
    microsoft("QLinearConv", convolution::q_linear_conv),
    microsoft("QLinearGlobalAveragePool", pooling::global_average),
    microsoft("QLinearLeakyRelu", elementwise::leaky_relu),
    microsoft("QLinearMul", elementwise::mul),
    microsoft("QLinearSigmoid", elementwise::sigmoid),
    microsoft("QLinearSoftmax", elementwise::softmax),
    microsoft("QuantizeLinear", linear::quantize),
];
