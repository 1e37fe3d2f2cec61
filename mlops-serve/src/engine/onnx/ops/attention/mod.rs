//! Attention, and what belongs to it in transformers.

mod core;
mod fused;
mod grouped;
mod linear;
mod multi_head;
mod plain;
mod rotary;
mod standard;

use super::{Entry, fused as put_in, microsoft, onnx};

pub(super) const OPERATORS: &[Entry] = &[
    onnx("Attention", 23, standard::build),
    microsoft("Attention", multi_head::packed),
    put_in("Attention", fused::build),
    microsoft("GroupQueryAttention", grouped::build),
    onnx("LinearAttention", 27, linear::build),
    microsoft("MultiHeadAttention", multi_head::build),
    onnx("RotaryEmbedding", 23, rotary::build),
    microsoft("RotaryEmbedding", rotary::microsoft),
];
