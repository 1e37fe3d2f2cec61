//! Resampling of images and their like.

mod axis;
mod grid;
mod nearest;
mod sample;
mod sizes;
mod weighted;

use super::{Entry, onnx};

pub(super) const OPERATORS: &[Entry] = &[
    onnx("AffineGrid", 20, grid::build),
    onnx("GridSample", 16, sample::build),
    onnx("Resize", 10, sizes::resize),
    onnx("Upsample", 7, sizes::upsample),
];
