//! Trees of which several branches lead to the same node.
//!
//! Converters write "is one of these categories" as a chain of tests for equality whose true branches share a node.
//! Such chains become one test for membership; what is shared beyond that is copied.

use mlops_core::{Error, Result};

use super::description::Description;
use crate::kernels::trees::{LeafWeight, NodeMode, TreeNode};

/// How many times as many nodes there may be after copying.
const GROWTH: usize = 8;

/// The nodes that may be there after copying, whatever there was before.
const FEW: usize = 1 << 12;

impl Description {
    /// Makes a tree of each root, where no node is reached twice.
    pub(super) fn untangle(&mut self) -> Result<()> {
        if !self.is_tangled() {
            return Ok(());
        }
        let mut weights_of: Vec<Vec<LeafWeight<f64>>> = vec![Vec::new(); self.nodes.len()];
        for weight in &self.weights {
            if let Some(list) = weights_of.get_mut(weight.leaf) {
                list.push(*weight);
            }
        }
        let limit = self.nodes.len().saturating_mul(GROWTH).max(FEW);
        let mut copy = Copy { nodes: Vec::new(), weights: Vec::new() };
        let mut roots = Vec::with_capacity(self.roots.len());
        for &root in &self.roots {
            roots.push(copy.nodes.len());
            // Which node to copy, and where to write the place of the copy.
            let mut open = vec![(root, None)];
            while let Some((place, parent)) = open.pop() {
                if copy.nodes.len() >= limit {
                    return Err(Error::invalid_input(
                        "the nodes of a tree form a cycle, or share too many nodes",
                    ));
                }
                let (node, otherwise) = self.merged(place)?;
                let new = copy.nodes.len();
                match parent {
                    Some((parent, true)) => copy.node(parent).true_child = new,
                    Some((parent, false)) => copy.node(parent).false_child = new,
                    None => {}
                }
                let weights = weights_of[place].iter().map(|weight| LeafWeight { leaf: new, ..*weight });
                copy.weights.extend(weights);
                if node.mode != NodeMode::Leaf {
                    open.push((otherwise, Some((new, false))));
                    open.push((node.true_child, Some((new, true))));
                }
                copy.nodes.push(node);
            }
        }
        self.nodes = copy.nodes;
        self.weights = copy.weights;
        self.roots = roots;
        Ok(())
    }

    fn is_tangled(&self) -> bool {
        let mut reached = vec![false; self.nodes.len()];
        let mut open = self.roots.clone();
        while let Some(place) = open.pop() {
            if std::mem::replace(&mut reached[place], true) {
                return true;
            }
            let node = &self.nodes[place];
            if node.mode != NodeMode::Leaf {
                open.extend([node.true_child, node.false_child]);
            }
        }
        false
    }

    /// The node at that place, merged with tests for equality that follow it and agree with it but for the value; and
    /// its false child.
    fn merged(&self, place: usize) -> Result<(TreeNode<f64>, usize)> {
        let mut node = self.nodes[place].clone();
        let mut otherwise = node.false_child;
        if node.mode != NodeMode::BranchEq {
            return Ok((node, otherwise));
        }
        let mut values = vec![node.threshold];
        while let Some(next) = self.nodes.get(otherwise)
            && next.mode == NodeMode::BranchEq
            && next.feature == node.feature
            && next.true_child == node.true_child
            && next.missing_goes_true == node.missing_goes_true
        {
            values.push(next.threshold);
            otherwise = next.false_child;
            if values.len() > self.nodes.len() {
                return Err(Error::invalid_input("the nodes of a tree form a cycle"));
            }
        }
        if values.len() > 1 {
            node.mode = NodeMode::Member(values);
        }
        Ok((node, otherwise))
    }
}

struct Copy {
    nodes: Vec<TreeNode<f64>>,
    weights: Vec<LeafWeight<f64>>,
}

impl Copy {
    fn node(&mut self, place: usize) -> &mut TreeNode<f64> {
        &mut self.nodes[place]
    }
}
