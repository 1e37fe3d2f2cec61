//! Operators of detection networks.

mod boxes;
mod regions;

use super::{Entry, onnx};

pub(super) const OPERATORS: &[Entry] = &[
    onnx("MaxRoiPool", 1, regions::max_pool),
    onnx("NonMaxSuppression", 10, boxes::build),
    onnx("RoiAlign", 10, regions::align),
];
