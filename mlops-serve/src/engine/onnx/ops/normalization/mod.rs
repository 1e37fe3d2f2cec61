//! Normalisations: by statistics of rows, of channels, of groups of channels, or by stored statistics.

mod batch;
mod embed;
mod group;
mod local;
mod lp;
mod moments;
mod rows;
mod skip;

use super::{Entry, fused, microsoft, onnx};

pub(super) const OPERATORS: &[Entry] = &[
    onnx("BatchNormalization", 7, batch::build),
    microsoft("EmbedLayerNormalization", embed::build),
    onnx("GroupNormalization", 18, group::group),
    onnx("InstanceNormalization", 6, group::instance),
    onnx("LRN", 1, local::build),
    onnx("LayerNormalization", 1, rows::layer),
    onnx("LpNormalization", 1, lp::build),
    onnx("MeanVarianceNormalization", 9, moments::build),
    onnx("RMSNormalization", 23, rows::root_mean_square),
    onnx("SimplifiedLayerNormalization", 1, rows::root_mean_square),
    microsoft("SimplifiedLayerNormalization", rows::root_mean_square),
    fused("SkipLayerNormalization", skip::build_fused),
    microsoft("SkipLayerNormalization", skip::layer),
    microsoft("SkipSimplifiedLayerNormalization", skip::root_mean_square),
];
