//! An ensemble in the number type of its inputs.

use std::sync::OnceLock;

use mlops_core::{DType, Error, Result};

use super::description::Description;
use crate::engine::onnx::graph::{Kind, Length};
use crate::engine::onnx::memory::Memory;
use crate::engine::onnx::ops::ml::{floats, rows_and_columns};
use crate::engine::onnx::ops::{Context, Source};
use crate::engine::onnx::tensor::{Data, HostTensor, element_count};
use crate::kernels::parallel::Threads;
use crate::kernels::trees::{LeafWeight, NodeMode, TreeEnsemble, TreeNode, TreeNumber, TreeSpec};

/// The rows of a file may be declared this long; what is longer is copied to what the trees look at.
const LONGEST_ROW: usize = 1 << 16;

/// The number type of scores: floats, or doubles for inputs that are doubles.
pub(super) trait Score: TreeNumber {
    fn from_double(number: f64) -> Self;
    fn to_float(self) -> f32;
    fn negated(self) -> Self;
    fn buffer(memory: &mut Memory, length: usize) -> Vec<Self>;
}

impl Score for f32 {
    fn from_double(number: f64) -> Self {
        number as Self
    }

    fn to_float(self) -> f32 {
        self
    }

    fn negated(self) -> Self {
        -self
    }

    fn buffer(memory: &mut Memory, length: usize) -> Vec<Self> {
        memory.floats(length)
    }
}

impl Score for f64 {
    fn from_double(number: f64) -> Self {
        number
    }

    fn to_float(self) -> f32 {
        self as f32
    }

    fn negated(self) -> Self {
        -self
    }

    fn buffer(_: &mut Memory, length: usize) -> Vec<Self> {
        vec![0.0; length]
    }
}

/// Sums, averages or extremes of the weights of the leaves, `[rows, targets]`.
#[derive(Debug)]
pub(super) enum Scores {
    Floats(Vec<f32>),
    Doubles(Vec<f64>),
}

/// Trees laid out for evaluation: in floats, or in doubles for inputs that are doubles.
#[derive(Debug)]
pub(super) struct Ensemble {
    /// What is laid out when an input of its type comes; `None` when the file says which type that is.
    description: Option<Description>,
    features: usize,
    targets: usize,
    floats: OnceLock<TreeEnsemble<f32>>,
    doubles: OnceLock<TreeEnsemble<f64>>,
}

impl Ensemble {
    /// Checks the trees, and lays them out for the type and length of the rows that the file declares.
    pub(super) fn new(mut description: Description, source: &Source<'_>) -> Result<Self> {
        description.untangle()?;
        let branches = description.nodes.iter().filter(|node| node.mode != NodeMode::Leaf);
        let needed = branches.map(|node| node.feature.saturating_add(1)).max().unwrap_or(1);
        let declared = source.node.input(0).and_then(|id| source.graph.values[id.0].kind.as_ref());
        let (dtype, length) = match declared {
            Some(Kind::Tensor { dtype, shape }) => {
                let length = match shape.as_deref() {
                    Some([.., Length::Fixed(length)]) => Some(*length),
                    _ => None,
                };
                (Some(*dtype), length)
            }
            _ => (None, None),
        };
        let length = length.filter(|length| (needed..=LONGEST_ROW).contains(length));
        let mut ensemble = Self {
            features: length.unwrap_or(needed),
            targets: description.targets,
            floats: OnceLock::new(),
            doubles: OnceLock::new(),
            description: None,
        };
        match dtype {
            Some(DType::Fp64) => drop(ensemble.doubles.set(lay_out(&description, ensemble.features)?)),
            None if description.double => {
                drop(ensemble.doubles.set(lay_out(&description, ensemble.features)?));
            }
            _ => drop(ensemble.floats.set(lay_out(&description, ensemble.features)?)),
        }
        if dtype.is_none() {
            ensemble.description = Some(description);
        }
        Ok(ensemble)
    }

    pub(super) fn targets(&self) -> usize {
        self.targets
    }

    /// The number of rows, and their scores.
    pub(super) fn evaluate(&self, input: &HostTensor, context: &mut Context<'_>) -> Result<(usize, Scores)> {
        let (rows, columns) = rows_and_columns(input)?;
        if columns < self.features {
            let features = self.features;
            return Err(Error::engine(format!(
                "the trees look at {features} features, but a row has {columns}"
            )));
        }
        let count = element_count(&[rows, self.targets])?;
        let scores = match input.data() {
            Data::F64(elements) => {
                let trees = self.laid_out(&self.doubles)?;
                Scores::Doubles(evaluate(trees, elements, columns, count, context.memory, context.threads))
            }
            Data::F16(elements) => {
                let elements: Vec<f32> = elements.iter().map(|&x| x.into()).collect();
                let trees = self.laid_out(&self.floats)?;
                Scores::Floats(evaluate(trees, &elements, columns, count, context.memory, context.threads))
            }
            _ => {
                let trees = self.laid_out(&self.floats)?;
                let elements = floats(input)?;
                Scores::Floats(evaluate(trees, &elements, columns, count, context.memory, context.threads))
            }
        };
        Ok((rows, scores))
    }

    fn laid_out<'a, T: Score>(&self, place: &'a OnceLock<TreeEnsemble<T>>) -> Result<&'a TreeEnsemble<T>> {
        if let Some(trees) = place.get() {
            return Ok(trees);
        }
        let Some(description) = &self.description else {
            return Err(Error::engine("the input is of another type than the file declares"));
        };
        let trees = lay_out(description, self.features)?;
        Ok(place.get_or_init(|| trees))
    }
}

fn lay_out<T: Score>(description: &Description, features: usize) -> Result<TreeEnsemble<T>> {
    let numbers = |numbers: &[f64]| numbers.iter().map(|&number| T::from_double(number)).collect();
    let node = |node: &TreeNode<f64>| TreeNode {
        feature: node.feature,
        mode: match &node.mode {
            NodeMode::BranchLeq => NodeMode::BranchLeq,
            NodeMode::BranchLt => NodeMode::BranchLt,
            NodeMode::BranchGte => NodeMode::BranchGte,
            NodeMode::BranchGt => NodeMode::BranchGt,
            NodeMode::BranchEq => NodeMode::BranchEq,
            NodeMode::BranchNeq => NodeMode::BranchNeq,
            NodeMode::Member(values) => NodeMode::Member(numbers(values)),
            NodeMode::Leaf => NodeMode::Leaf,
        },
        threshold: T::from_double(node.threshold),
        true_child: node.true_child,
        false_child: node.false_child,
        missing_goes_true: node.missing_goes_true,
    };
    let weight = |weight: &LeafWeight<f64>| LeafWeight {
        leaf: weight.leaf,
        target: weight.target,
        weight: T::from_double(weight.weight),
    };
    TreeEnsemble::new(TreeSpec {
        nodes: description.nodes.iter().map(node).collect(),
        roots: description.roots.clone(),
        weights: description.weights.iter().map(weight).collect(),
        features,
        targets: description.targets,
        aggregate: description.aggregate,
        base_values: numbers(&description.base_values),
    })
    .map_err(Error::invalid_input)
}

/// Evaluates rows that may have more columns than the trees look at.
fn evaluate<T: Score>(
    trees: &TreeEnsemble<T>,
    rows: &[T],
    columns: usize,
    count: usize,
    memory: &mut Memory,
    threads: &Threads,
) -> Vec<T> {
    let mut scores = T::buffer(memory, count);
    let features = trees.features();
    if columns == features {
        trees.evaluate(rows, &mut scores, threads);
    } else {
        let needed: Vec<T> =
            rows.chunks_exact(columns).flat_map(|row| row[..features].iter().copied()).collect();
        trees.evaluate(&needed, &mut scores, threads);
    }
    scores
}
