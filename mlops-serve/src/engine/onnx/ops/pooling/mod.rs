//! Poolings: one value for each window that slides over the spatial dimensions.

mod global;
mod pool;
mod unpool;

use super::{Entry, onnx};

pub(super) const OPERATORS: &[Entry] = &[
    onnx("AveragePool", 1, pool::average),
    onnx("GlobalAveragePool", 1, global::average),
    onnx("GlobalLpPool", 2, global::lp),
    onnx("GlobalMaxPool", 1, global::max),
    onnx("LpPool", 2, pool::lp),
    onnx("MaxPool", 1, pool::max),
    onnx("MaxUnpool", 9, unpool::build),
];
