//! Which targets a row has a weight for at all.
//!
//! onnxruntime tells a sum of no weights from a sum that is 0: what has no weight wins no comparison, and takes no base
//! value.

use mlops_core::Result;

use super::description::Description;
use super::ensemble::{Ensemble, Scores};
use crate::engine::onnx::ops::{Context, Source};
use crate::engine::onnx::tensor::HostTensor;
use crate::kernels::trees::{Aggregate, LeafWeight, NodeMode};

/// Which targets have a weight in a leaf that a row comes to.
#[derive(Debug)]
pub(super) enum Scored {
    /// The same ones for every row.
    Always(Vec<bool>),
    /// Those of which this ensemble, whose weights are 1, says more than 0.
    Counted(Box<Ensemble>),
}

impl Scored {
    /// Of trees where no node is reached twice.
    pub(super) fn new(description: &Description, source: &Source<'_>) -> Result<Self> {
        let leaves = leaves_by_tree(description);
        let mut count_of_tree = vec![0_usize; description.roots.len()];
        leaves.iter().flatten().for_each(|&tree| count_of_tree[tree] += 1);
        let mut weights: Vec<(usize, usize, usize)> = description
            .weights
            .iter()
            .filter_map(|weight| Some((weight.target, leaves[weight.leaf]?, weight.leaf)))
            .collect();
        weights.sort_unstable();
        weights.dedup();
        let mut ever = vec![false; description.targets];
        let mut always = vec![false; description.targets];
        for group in weights.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)) {
            let (class, tree, _) = group[0];
            ever[class] = true;
            always[class] |= group.len() == count_of_tree[tree];
        }
        if ever == always {
            return Ok(Self::Always(always));
        }
        let counted = weights.iter().map(|&(target, _, leaf)| LeafWeight { leaf, target, weight: 1.0 });
        let counting = Description {
            nodes: description.nodes.clone(),
            roots: description.roots.clone(),
            weights: counted.collect(),
            targets: description.targets,
            base_values: Vec::new(),
            aggregate: Aggregate::Max,
            double: description.double,
        };
        Ok(Self::Counted(Box::new(Ensemble::new(counting, source)?)))
    }

    /// Whether every row has a weight for every target.
    pub(super) fn is_everything(&self) -> bool {
        matches!(self, Self::Always(scored) if scored.iter().all(|&scored| scored))
    }

    /// What holds for the rows of an input, to be taken apart with [`row`](Self::row).
    pub(super) fn of(&self, input: &HostTensor, context: &mut Context<'_>) -> Result<Vec<bool>> {
        Ok(match self {
            Self::Always(scored) => scored.clone(),
            Self::Counted(ensemble) => match ensemble.evaluate(input, context)?.1 {
                Scores::Floats(counts) => counts.iter().map(|&count| count > 0.0).collect(),
                Scores::Doubles(counts) => counts.iter().map(|&count| count > 0.0).collect(),
            },
        })
    }

    /// For each target, whether that row has a weight for it.
    pub(super) fn row<'a>(&self, scored: &'a [bool], row: usize) -> &'a [bool] {
        match self {
            Self::Always(_) => scored,
            Self::Counted(ensemble) => &scored[row * ensemble.targets()..][..ensemble.targets()],
        }
    }
}

/// Which tree each leaf belongs to; `None` for what is no leaf or not reached.
fn leaves_by_tree(description: &Description) -> Vec<Option<usize>> {
    let mut leaves = vec![None; description.nodes.len()];
    for (tree, &root) in description.roots.iter().enumerate() {
        let mut open = vec![root];
        while let Some(place) = open.pop() {
            let node = &description.nodes[place];
            if node.mode == NodeMode::Leaf {
                leaves[place] = Some(tree);
            } else {
                open.extend([node.true_child, node.false_child]);
            }
        }
    }
    leaves
}
