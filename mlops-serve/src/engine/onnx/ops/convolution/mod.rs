//! Convolutions, plain, transposed, deformable and causal.

mod causal;
mod conv;
mod deformable;
mod plain;
mod transposed;

use super::{Entry, fused, onnx};

pub(super) const OPERATORS: &[Entry] = &[
    onnx("CausalConvWithState", 27, causal::build),
    onnx("Conv", 1, conv::build),
    fused("Conv", conv::build),
    onnx("ConvTranspose", 1, transposed::build),
    onnx("DeformConv", 19, deformable::build),
];
