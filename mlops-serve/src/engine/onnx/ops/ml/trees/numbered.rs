//! Trees as `TreeEnsemble` (`ai.onnx.ml` 5) describes them: branches and leaves in lists of their own.

use mlops_core::{Error, Result};

use super::description::{Description, doubles, feature, target};
use crate::engine::onnx::graph::Attributes;
use crate::engine::onnx::tensor::{Data, HostTensor};
use crate::kernels::trees::{Aggregate, LeafWeight, NodeMode, TreeNode};

impl Description {
    /// Branches come first among the nodes, then the leaves.
    pub(super) fn parse_numbered(attributes: &Attributes) -> Result<Self> {
        let ints = |name: &str| Ok::<_, Error>(attributes.ints(name)?.map_or(&[][..], Vec::as_slice));
        let tensor = |name: &str| {
            let tensor = attributes.tensor(name)?;
            tensor.ok_or_else(|| Error::invalid_input(format!("the attribute `{name}` is needed")))
        };
        let modes = match tensor("nodes_modes")?.data() {
            Data::U8(modes) => modes.clone(),
            _ => return Err(Error::invalid_input("`nodes_modes` must be UINT8")),
        };
        let branches = modes.len();
        let each = |name: &str| {
            let list = ints(name)?;
            if list.len() != branches {
                let given = list.len();
                return Err(Error::invalid_input(format!("`{name}` has {given} of {branches} nodes")));
            }
            Ok(list)
        };
        let features = each("nodes_featureids")?;
        let (yes, no) = (each("nodes_truenodeids")?, each("nodes_falsenodeids")?);
        let (yes_leaf, no_leaf) = (each("nodes_trueleafs")?, each("nodes_falseleafs")?);
        let splits = doubles(tensor("nodes_splits")?)?;
        if splits.len() != branches {
            return Err(Error::invalid_input(format!("`nodes_splits` is not for {branches} nodes")));
        }
        let missing = ints("nodes_missing_value_tracks_true")?;
        let leaf_targets = ints("leaf_targetids")?;
        let leaf_weights = tensor("leaf_weights")?;
        let weights = doubles(leaf_weights)?;
        let leaves = weights.len();
        if leaf_targets.len() != leaves {
            return Err(Error::invalid_input("`leaf_targetids` and `leaf_weights` are of different lengths"));
        }
        let targets = match attributes.optional_int("n_targets")? {
            Some(targets) => usize::try_from(targets).ok(),
            None => leaf_targets.iter().max().and_then(|&last| usize::try_from(last).ok()?.checked_add(1)),
        };
        let targets = targets.filter(|&targets| targets > 0);
        let targets = targets.ok_or_else(|| Error::invalid_input("`n_targets` must be positive"))?;
        let child = |place: i64, leaf: i64| {
            let (count, first) = if leaf == 0 { (branches, 0) } else { (leaves, branches) };
            let place = usize::try_from(place).ok().filter(|&place| place < count);
            place
                .map(|place| first + place)
                .ok_or_else(|| Error::invalid_input("a node has a child that is not there"))
        };
        let mut sets = Sets::new(attributes.tensor("membership_values")?)?;
        let mut nodes = Vec::with_capacity(branches + leaves);
        for index in 0..branches {
            let mode = match modes[index] {
                0 => NodeMode::BranchLeq,
                1 => NodeMode::BranchLt,
                2 => NodeMode::BranchGte,
                3 => NodeMode::BranchGt,
                4 => NodeMode::BranchEq,
                5 => NodeMode::BranchNeq,
                6 => NodeMode::Member(sets.next()?),
                other => return Err(Error::invalid_input(format!("there is no node mode {other}"))),
            };
            nodes.push(TreeNode {
                feature: feature(features[index])?,
                mode,
                threshold: splits[index],
                true_child: child(yes[index], yes_leaf[index])?,
                false_child: child(no[index], no_leaf[index])?,
                missing_goes_true: missing.get(index) == Some(&1),
            });
        }
        let leaf = TreeNode {
            feature: 0,
            mode: NodeMode::Leaf,
            threshold: 0.0,
            true_child: 0,
            false_child: 0,
            missing_goes_true: false,
        };
        nodes.resize(branches + leaves, leaf);
        let weight = |(index, &weight): (usize, &f64)| {
            let target = target(leaf_targets[index], targets)?;
            Ok(LeafWeight { leaf: branches + index, target, weight })
        };
        let weights = weights.iter().enumerate().map(weight).collect::<Result<_>>()?;
        let roots = ints("tree_roots")?.iter().map(|&root| child(root, 0)).collect::<Result<_>>()?;
        let aggregate = match attributes.int("aggregate_function", 1)? {
            0 => Aggregate::Average,
            1 => Aggregate::Sum,
            2 => Aggregate::Min,
            3 => Aggregate::Max,
            other => return Err(Error::invalid_input(format!("there is no aggregate_function {other}"))),
        };
        Ok(Self {
            nodes,
            roots,
            weights,
            targets,
            base_values: Vec::new(),
            aggregate,
            double: matches!(leaf_weights.data(), Data::F64(_)),
        })
    }
}

/// The sets of the membership tests, one after the other in a list, with NaN between them.
struct Sets(std::vec::IntoIter<f64>);

impl Sets {
    fn new(values: Option<&HostTensor>) -> Result<Self> {
        Ok(Self(values.map(doubles).transpose()?.unwrap_or_default().into_iter()))
    }

    fn next(&mut self) -> Result<Vec<f64>> {
        let set: Vec<f64> = self.0.by_ref().take_while(|value| !value.is_nan()).collect();
        if set.is_empty() {
            return Err(Error::invalid_input("`membership_values` has no set for a membership test"));
        }
        Ok(set)
    }
}
