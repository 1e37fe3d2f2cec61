//! Which constants of a model are weights, and along which axis their outputs lie.

use std::collections::HashMap;

use super::artifact::{Artifact, Use, attribute, int, operator};
use crate::engine::onnx::proto::NodeProto;

/// Constants of fewer elements are left alone: what stands around them would take more than they save.
const FEWEST: usize = 1024;

/// Tables of more elements are converted row by row, after each lookup; of fewer, as a whole at load.
const LARGE_TABLE: usize = 1 << 20;

/// A constant worth the effort: FP32, of at least two dimensions and many elements. Biases are none, nor are the
/// parameters of normalisations.
#[derive(Debug, Clone)]
pub(super) struct Weight {
    pub(super) name: String,
    pub(super) shape: Vec<usize>,
}

/// The weights of a model, in the order of the file.
pub(super) fn weights(artifact: &Artifact) -> Vec<Weight> {
    let floats = artifact.constants().into_iter().filter_map(|name| {
        let shape = artifact.shape_of_floats(&name)?;
        let large = shape.len() >= 2 && shape.iter().product::<usize>() >= FEWEST;
        large.then_some(Weight { name, shape })
    });
    floats.collect()
}

/// What a weight is to the node that reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// A factor of a product or convolution; each index on `axis` makes one output.
    Factor { axis: usize },
    /// A table whose entries on `axis` are looked up.
    Table { axis: usize },
}

impl Part {
    pub(super) fn axis(self) -> usize {
        match self {
            Self::Factor { axis } | Self::Table { axis } => axis,
        }
    }
}

/// What a weight is to the first of its readers that is known to work on quantised numbers well.
pub(super) fn part(artifact: &Artifact, weight: &Weight, uses: &HashMap<String, Vec<Use>>) -> Option<Part> {
    let rank = weight.shape.len();
    uses.get(&weight.name)?.iter().find_map(|reading| match reading {
        Use::Input(index, input) => {
            let node = &artifact.nodes()[*index];
            if operator(node) == Some("Transpose") {
                through_transpose(artifact, node, rank, uses)
            } else {
                part_in(node, *input, rank)
            }
        }
        Use::Inside(_) | Use::Caller => None,
    })
}

fn part_in(node: &NodeProto, input: usize, rank: usize) -> Option<Part> {
    let factor = |axis: usize| Some(Part::Factor { axis });
    let flag = |name: &str| int(node, name, 0) != 0;
    match (operator(node)?, input) {
        ("MatMul", 0) => factor(rank - 2),
        ("MatMul", 1) => factor(rank - 1),
        ("Gemm", 0) if rank == 2 => factor(usize::from(flag("transA"))),
        ("Gemm", 1) if rank == 2 => factor(usize::from(!flag("transB"))),
        ("Conv", 1) => factor(0),
        ("ConvTranspose", 1) => factor(1),
        ("LSTM" | "GRU" | "RNN", 1 | 2) => factor(1),
        ("Gather", 0) => {
            let axis = int(node, "axis", 0);
            let axis = if axis < 0 { axis + rank as i64 } else { axis };
            usize::try_from(axis).ok().filter(|&axis| axis < rank).map(|axis| Part::Table { axis })
        }
        _ => None,
    }
}

/// What a weight is to those who read its transpose.
fn through_transpose(
    artifact: &Artifact,
    node: &NodeProto,
    rank: usize,
    uses: &HashMap<String, Vec<Use>>,
) -> Option<Part> {
    let permutation: Vec<usize> = match attribute(node, "perm") {
        Some(permutation) => {
            permutation.ints.iter().map(|&axis| usize::try_from(axis).ok()).collect::<Option<_>>()?
        }
        None => (0..rank).rev().collect(),
    };
    uses.get(node.output.first()?)?.iter().find_map(|reading| {
        let Use::Input(index, input) = *reading else { return None };
        let before = |axis: usize| permutation.get(axis).copied().filter(|&axis| axis < rank);
        match part_in(&artifact.nodes()[index], input, rank)? {
            Part::Factor { axis } => before(axis).map(|axis| Part::Factor { axis }),
            Part::Table { axis } => before(axis).map(|axis| Part::Table { axis }),
        }
    })
}

/// The nodes that read a weight, when it is a large table [entries, width] and all of them look up whole entries.
pub(super) fn lookups(
    artifact: &Artifact,
    weight: &Weight,
    uses: &HashMap<String, Vec<Use>>,
) -> Option<Vec<usize>> {
    if weight.shape.len() != 2 || weight.shape.iter().product::<usize>() < LARGE_TABLE {
        return None;
    }
    let readings = uses.get(&weight.name)?.iter().map(|reading| match *reading {
        Use::Input(index, input) => {
            let node = &artifact.nodes()[index];
            (part_in(node, input, 2) == Some(Part::Table { axis: 0 })).then_some(index)
        }
        Use::Inside(_) | Use::Caller => None,
    });
    readings.collect::<Option<Vec<usize>>>().filter(|nodes| !nodes.is_empty())
}
