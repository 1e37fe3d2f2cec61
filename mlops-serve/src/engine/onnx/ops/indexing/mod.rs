//! Some of the elements, found by their place: gather, scatter, slice, sort, select.

mod gather;
mod scatter;
mod select;
mod slice;
mod top_k;
mod unique;

use mlops_core::{Error, Result};

use super::{Entry, onnx};

pub(super) const OPERATORS: &[Entry] = &[
    onnx("Compress", 9, select::compress),
    onnx("Gather", 1, gather::gather),
    onnx("GatherElements", 11, gather::gather_elements),
    onnx("GatherND", 11, gather::gather_nd),
    onnx("NonZero", 9, select::non_zero),
    onnx("Scatter", 9, scatter::scatter_elements),
    onnx("ScatterElements", 11, scatter::scatter_elements),
    onnx("ScatterND", 11, scatter::scatter_nd),
    onnx("Slice", 1, slice::slice),
    onnx("TensorScatter", 24, scatter::tensor_scatter),
    onnx("TopK", 1, top_k::top_k),
    onnx("Unique", 11, unique::unique),
];

/// An index as a place in a dimension of that length; negative ones count from the back.
fn place(index: i64, length: usize) -> Result<usize> {
    let from_front = if index < 0 { index.saturating_add_unsigned(length as u64) } else { index };
    usize::try_from(from_front)
        .ok()
        .filter(|&place| place < length)
        .ok_or_else(|| Error::engine(format!("the index {index} is outside of a dimension of {length}")))
}
