//! Other arrangements of the same elements: reshape, transpose, concat, split, pad, tile.

mod blocks;
mod expand;
mod join;
mod order;
mod pad;
mod parameter;
mod reshape;
mod transpose;
mod view;

use super::{Entry, onnx};
pub(super) use expand::lengths;
pub(super) use join::{checked_lengths, concatenated, parts, stacked};
pub(super) use parameter::Integers;
pub(super) use view::{View, strides};

pub(super) const OPERATORS: &[Entry] = &[
    onnx("CenterCropPad", 18, pad::center_crop_pad),
    onnx("Col2Im", 18, blocks::col2im),
    onnx("Concat", 1, join::concat),
    onnx("DepthToSpace", 1, blocks::depth_to_space),
    onnx("Expand", 8, expand::expand),
    onnx("Flatten", 1, reshape::flatten),
    onnx("Pad", 2, pad::pad),
    onnx("Reshape", 1, reshape::reshape),
    onnx("ReverseSequence", 10, order::reverse_sequence),
    onnx("SpaceToDepth", 1, blocks::space_to_depth),
    onnx("Split", 1, join::split),
    onnx("Squeeze", 1, reshape::squeeze),
    onnx("Tile", 6, expand::tile),
    onnx("Transpose", 1, transpose::transpose),
    onnx("Trilu", 14, order::trilu),
    onnx("Unsqueeze", 1, reshape::unsqueeze),
];
