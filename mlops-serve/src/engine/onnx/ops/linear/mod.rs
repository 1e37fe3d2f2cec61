//! Matrix products.

mod det;
mod einsum;
pub(super) mod epilogue;
mod fused;
mod gemm;
mod matmul;
pub(super) mod product;

use super::{Entry, fused as put_in, onnx};

pub(super) const OPERATORS: &[Entry] = &[
    onnx("Det", 11, det::build),
    onnx("Einsum", 12, einsum::build),
    onnx("Gemm", 7, gemm::build),
    put_in("Linear", fused::build),
    onnx("MatMul", 1, matmul::build),
];
