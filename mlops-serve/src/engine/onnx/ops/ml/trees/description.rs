//! Trees as `TreeEnsembleClassifier` and `TreeEnsembleRegressor` describe them: lists with an entry for each node,
//! named by the number of its tree and its own.

use std::collections::HashMap;

use mlops_core::{Error, Result};

use crate::engine::onnx::graph::Attributes;
use crate::engine::onnx::tensor::{Data, HostTensor};
use crate::kernels::trees::{Aggregate, LeafWeight, NodeMode, TreeNode};

/// Trees in the widest number type: those of a file in floats are the same in it.
#[derive(Debug)]
pub(super) struct Description {
    pub(super) nodes: Vec<TreeNode<f64>>,
    pub(super) roots: Vec<usize>,
    pub(super) weights: Vec<LeafWeight<f64>>,
    pub(super) targets: usize,
    pub(super) base_values: Vec<f64>,
    pub(super) aggregate: Aggregate,
    /// Whether the file has the numbers as doubles, which it does for inputs that are doubles.
    pub(super) double: bool,
}

/// How the lists with the weights of the leaves are named.
#[derive(Debug, Clone, Copy)]
pub(super) struct Names {
    pub(super) ids: &'static str,
    pub(super) nodes: &'static str,
    pub(super) trees: &'static str,
    pub(super) weights: &'static str,
}

impl Description {
    pub(super) fn parse(attributes: &Attributes, names: Names, targets: usize) -> Result<Self> {
        let ints = |name: &str| Ok::<_, Error>(attributes.ints(name)?.map_or(&[][..], Vec::as_slice));
        let trees = ints("nodes_treeids")?;
        let count = trees.len();
        let each = |name: &str| {
            let list = ints(name)?;
            if list.len() != count {
                let given = list.len();
                return Err(Error::invalid_input(format!("`{name}` has {given} of {count} nodes")));
            }
            Ok(list)
        };
        let numbers = each("nodes_nodeids")?;
        let features = each("nodes_featureids")?;
        let (yes, no) = (each("nodes_truenodeids")?, each("nodes_falsenodeids")?);
        let modes = attributes.texts("nodes_modes")?.map_or(&[][..], Vec::as_slice);
        let thresholds = Doubles::parse(attributes, "nodes_values")?;
        if modes.len() != count || thresholds.values.len() != count {
            return Err(Error::invalid_input(format!(
                "`nodes_modes` or `nodes_values` is not for {count} nodes"
            )));
        }
        let missing = ints("nodes_missing_value_tracks_true")?;
        let mut places = HashMap::with_capacity(count);
        for (place, (&tree, &number)) in trees.iter().zip(numbers).enumerate() {
            if places.insert((tree, number), place).is_some() {
                return Err(Error::invalid_input(format!("node {number} of tree {tree} is there twice")));
            }
        }
        let place = |tree: i64, number: i64| {
            let place = places.get(&(tree, number)).copied();
            place.ok_or_else(|| Error::invalid_input(format!("tree {tree} has no node {number}")))
        };
        let mut nodes = Vec::with_capacity(count);
        for index in 0..count {
            let mode = mode(&modes[index])?;
            let leaf = mode == NodeMode::Leaf;
            nodes.push(TreeNode {
                feature: if leaf { 0 } else { feature(features[index])? },
                threshold: thresholds.values[index],
                true_child: if leaf { 0 } else { place(trees[index], yes[index])? },
                false_child: if leaf { 0 } else { place(trees[index], no[index])? },
                missing_goes_true: missing.get(index) == Some(&1),
                mode,
            });
        }
        let starts_tree = |index: &usize| *index == 0 || trees[index - 1] != trees[*index];
        let roots = (0..count).filter(starts_tree).collect();
        let weights = Doubles::parse(attributes, names.weights)?;
        let (ids, leaves, of_trees) = (ints(names.ids)?, ints(names.nodes)?, ints(names.trees)?);
        if leaves.len() != ids.len() || of_trees.len() != ids.len() || weights.values.len() != ids.len() {
            let (ids, weights) = (names.ids, names.weights);
            return Err(Error::invalid_input(format!("`{ids}` and `{weights}` are of different lengths")));
        }
        let mut leaf_weights = Vec::with_capacity(ids.len());
        for (index, &weight) in weights.values.iter().enumerate() {
            let leaf = place(of_trees[index], leaves[index])?;
            // Old versions of onnxmltools give weights to branches as well, where they mean nothing.
            if nodes[leaf].mode == NodeMode::Leaf {
                let target = target(ids[index], targets)?;
                leaf_weights.push(LeafWeight { leaf, target, weight });
            }
        }
        let base_values = Doubles::parse(attributes, "base_values")?;
        let aggregate = match attributes.text("aggregate_function")?.map_or("SUM", String::as_str) {
            "SUM" => Aggregate::Sum,
            "AVERAGE" => Aggregate::Average,
            "MIN" => Aggregate::Min,
            "MAX" => Aggregate::Max,
            other => return Err(Error::invalid_input(format!("there is no aggregate_function `{other}`"))),
        };
        Ok(Self {
            nodes,
            roots,
            weights: leaf_weights,
            targets,
            double: thresholds.double || weights.double || base_values.double,
            base_values: base_values.values,
            aggregate,
        })
    }
}

fn mode(name: &str) -> Result<NodeMode<f64>> {
    Ok(match name {
        "BRANCH_LEQ" => NodeMode::BranchLeq,
        "BRANCH_LT" => NodeMode::BranchLt,
        "BRANCH_GTE" => NodeMode::BranchGte,
        "BRANCH_GT" => NodeMode::BranchGt,
        "BRANCH_EQ" => NodeMode::BranchEq,
        "BRANCH_NEQ" => NodeMode::BranchNeq,
        "LEAF" => NodeMode::Leaf,
        other => return Err(Error::invalid_input(format!("there is no node mode `{other}`"))),
    })
}

/// The place of a feature in a row.
pub(super) fn feature(id: i64) -> Result<usize> {
    usize::try_from(id).map_err(|_| Error::invalid_input(format!("a node looks at feature {id}")))
}

/// The place of a target or class in a row of scores.
pub(super) fn target(id: i64, targets: usize) -> Result<usize> {
    let target = usize::try_from(id).ok().filter(|&target| target < targets);
    target.ok_or_else(|| Error::invalid_input(format!("a leaf has a weight for target {id} of {targets}")))
}

/// A list of numbers: floats, or a tensor in the attribute of the name with `_as_tensor`.
struct Doubles {
    values: Vec<f64>,
    double: bool,
}

impl Doubles {
    fn parse(attributes: &Attributes, name: &str) -> Result<Self> {
        let floats = attributes.floats(name)?.filter(|values| !values.is_empty());
        let tensor = attributes.tensor(&format!("{name}_as_tensor"))?.filter(|tensor| !tensor.is_empty());
        match (floats, tensor) {
            (None, None) => Ok(Self { values: Vec::new(), double: false }),
            (Some(floats), None) => {
                Ok(Self { values: floats.iter().map(|&value| value.into()).collect(), double: false })
            }
            (None, Some(tensor)) => {
                Ok(Self { values: doubles(tensor)?, double: matches!(tensor.data(), Data::F64(_)) })
            }
            (Some(_), Some(_)) => {
                Err(Error::invalid_input(format!("`{name}` and `{name}_as_tensor` exclude each other")))
            }
        }
    }
}

/// Floats of any width as doubles.
pub(super) fn doubles(tensor: &HostTensor) -> Result<Vec<f64>> {
    Ok(match tensor.data() {
        Data::F64(elements) => elements.to_vec(),
        Data::F32(elements) => elements.iter().map(|&value| value.into()).collect(),
        Data::F16(elements) => elements.iter().map(|&value| value.into()).collect(),
        other => {
            let dtype = other.dtype();
            return Err(Error::invalid_input(format!("the numbers of trees are floats, not {dtype}")));
        }
    })
}
