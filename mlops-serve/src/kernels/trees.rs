//! Tree ensembles: gradient boosting and random forests, as ONNX's `TreeEnsemble*` operators describe them.
//!
//! A [`TreeSpec`] is checked once and laid out for speed by [`TreeEnsemble::new`]: shallow trees are padded to perfect
//! ones, whose nodes need no child pointers, deeper ones become pairs of adjacent children. Both are walked without
//! branches that depend on the data, so that the processor works on several trees at a time. Each comparison is turned such
//! that it fails for `NaN` where `NaN` should go, if need be by comparing the negative feature. Trees that test for equality
//! or membership take a plain walk that follows the operator's text step by step.
//!
//! Weights are added in the order of the trees, in the number type of the ensemble.

mod layout;
#[cfg(test)]
mod tests;

use self::layout::{Columns, Compact, Forest, GeneralNode, Perfect, Test, VisitWalk, Walk, walk_general};
use crate::kernels::parallel::Threads;

/// The number type of inputs, thresholds and weights: `f32` or `f64`.
pub(crate) trait TreeNumber:
    Copy
    + PartialOrd
    + Default
    + Send
    + Sync
    + std::fmt::Debug
    + std::ops::AddAssign
    + std::ops::Neg<Output = Self>
    + 'static
{
    /// Not a number: no comparison with it holds.
    const NAN: Self;
    const INFINITY: Self;
    fn is_nan(self) -> bool;
    /// The greatest number below this one.
    fn next_down(self) -> Self;
    /// `self / count`.
    fn over(self, count: usize) -> Self;
}

macro_rules! tree_number {
    ($type:ty) => {
        impl TreeNumber for $type {
            const NAN: Self = <$type>::NAN;
            const INFINITY: Self = <$type>::INFINITY;
            #[inline(always)]
            fn is_nan(self) -> bool {
                self.is_nan()
            }
            fn next_down(self) -> Self {
                self.next_down()
            }
            fn over(self, count: usize) -> Self {
                self / count as $type
            }
        }
    };
}
tree_number!(f32);
tree_number!(f64);

/// What a node does with its feature `x`: the true child follows if the comparison holds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum NodeMode<T> {
    /// `x <= threshold`
    BranchLeq,
    /// `x < threshold`
    BranchLt,
    /// `x >= threshold`
    BranchGte,
    /// `x > threshold`
    BranchGt,
    /// `x == threshold`
    BranchEq,
    /// `x != threshold`; holds for `NaN`, as it does in C
    BranchNeq,
    /// `x` is one of these values
    Member(Vec<T>),
    /// No children: the weights of the node count.
    Leaf,
}

/// A node of a tree. Leaves ignore all but their mode.
#[derive(Clone, Debug)]
pub(crate) struct TreeNode<T> {
    pub(crate) feature: usize,
    pub(crate) mode: NodeMode<T>,
    pub(crate) threshold: T,
    /// Indices into [`TreeSpec::nodes`].
    pub(crate) true_child: usize,
    pub(crate) false_child: usize,
    /// Whether `NaN` takes the true branch whatever the comparison says.
    pub(crate) missing_goes_true: bool,
}

/// What a leaf adds to one target.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LeafWeight<T> {
    /// Index into [`TreeSpec::nodes`].
    pub(crate) leaf: usize,
    pub(crate) target: usize,
    pub(crate) weight: T,
}

/// How the weights of all trees become one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Aggregate {
    Sum,
    /// The sum over the number of trees.
    Average,
    Min,
    Max,
}

/// An ensemble as the file describes it.
#[derive(Clone, Debug)]
pub(crate) struct TreeSpec<T> {
    pub(crate) nodes: Vec<TreeNode<T>>,
    /// The root of each tree, in the order in which they are added.
    pub(crate) roots: Vec<usize>,
    /// In any order; those of one leaf are added in theirs.
    pub(crate) weights: Vec<LeafWeight<T>>,
    /// Values in a row of input.
    pub(crate) features: usize,
    /// Values in a row of output.
    pub(crate) targets: usize,
    pub(crate) aggregate: Aggregate,
    /// Added at the end: one per target, or none. Of several targets, those without any weight in a row stay zero.
    pub(crate) base_values: Vec<T>,
}

/// Rows evaluated together: their features stay in the first cache while the trees pass by.
const ROW_BLOCK: usize = 128;

/// Perfect trees may have this many levels of branches.
const PERFECT_DEPTH: usize = 8;

/// A checked ensemble, laid out for evaluation.
#[derive(Debug)]
pub(crate) struct TreeEnsemble<T> {
    features: usize,
    targets: usize,
    aggregate: Aggregate,
    base_values: Vec<T>,
    general: Vec<GeneralNode<T>>,
    sets: Vec<Vec<T>>,
    roots: Vec<u32>,
    weights: LeafWeights<T>,
    fast: Option<Fast<T>>,
}

/// The weights of the leaves in the order of their numbers.
#[derive(Debug)]
struct LeafWeights<T> {
    /// Where the weights of each leaf begin, and the end of the last.
    starts: Vec<u32>,
    targets: Vec<u32>,
    weights: Vec<T>,
}

impl<T: TreeNumber> LeafWeights<T> {
    #[inline(always)]
    fn of(&self, leaf: usize) -> impl Iterator<Item = (usize, T)> + '_ {
        let place = self.starts[leaf] as usize..self.starts[leaf + 1] as usize;
        self.targets[place.clone()]
            .iter()
            .map(|&target| target as usize)
            .zip(self.weights[place].iter().copied())
    }
}

/// The layout for order tests.
#[derive(Debug)]
struct Fast<T> {
    forest: Forest<T>,
    columns: Columns,
    /// The leaf in each slot of the layout.
    leaves: Vec<u32>,
    /// If every leaf has exactly one weight and there is one target: the weight in each slot.
    single: Option<Vec<T>>,
}

impl<T: TreeNumber> TreeEnsemble<T> {
    /// Checks and lays out an ensemble.
    ///
    /// # Errors
    /// Words for a child, root, feature, target or leaf that does not exist, a node that is reached twice (as in a
    /// cycle), base values of the wrong number, or more nodes or weights than 32 bits count.
    pub(crate) fn new(spec: TreeSpec<T>) -> Result<Self, String> {
        check_sizes(&spec)?;
        let depths = check_trees(&spec)?;

        // Leaves are numbered in the order of their nodes.
        let mut number_of = vec![None; spec.nodes.len()];
        let mut leaves = 0_u32;
        for (node, number) in spec.nodes.iter().zip(&mut number_of) {
            if node.mode == NodeMode::Leaf {
                *number = Some(leaves);
                leaves += 1;
            }
        }
        let weights = gather_weights(&spec, &number_of, leaves as usize)?;

        let mut sets = Vec::new();
        let mut general = Vec::with_capacity(spec.nodes.len());
        for (node, number) in spec.nodes.iter().zip(&number_of) {
            general.push(GeneralNode {
                test: Test::of(&node.mode, &mut sets, number.unwrap_or(0)),
                threshold: node.threshold,
                feature: node.feature as u32,
                true_child: node.true_child as u32,
                false_child: node.false_child as u32,
                missing_goes_true: node.missing_goes_true,
            });
        }
        let roots: Vec<u32> = spec.roots.iter().map(|&root| root as u32).collect();
        let fast = lay_out(&general, &roots, &depths, &weights, (spec.features, spec.targets));
        Ok(Self {
            features: spec.features,
            targets: spec.targets,
            aggregate: spec.aggregate,
            base_values: spec.base_values,
            general,
            sets,
            roots,
            weights,
            fast,
        })
    }

    /// Values in a row of input.
    pub(crate) fn features(&self) -> usize {
        self.features
    }

    /// Evaluates `rows`, `[n, features]`, to `out`, `[n, targets]`, before any transformation of the scores.
    pub(crate) fn evaluate(&self, rows: &[T], out: &mut [T], threads: &Threads) {
        debug_assert_eq!(rows.len() * self.targets, out.len() * self.features);
        let threads =
            if out.len() / self.targets * self.roots.len() > 20_000 { threads } else { &Threads::single() };
        let block = if threads.count() > 1 {
            // A few blocks per thread, so that a late thread does not hold the others up.
            (out.len() / self.targets).div_ceil(4 * threads.count()).clamp(16, ROW_BLOCK)
        } else {
            ROW_BLOCK
        };
        threads.for_each_chunk_mut(out, block * self.targets, |number, out| {
            let first = number * block * self.features;
            let rows = &rows[first..first + out.len() / self.targets * self.features];
            self.evaluate_block(rows, out);
        });
    }

    fn evaluate_block(&self, rows: &[T], out: &mut [T]) {
        match &self.fast {
            Some(fast) if fast.columns.negatives => {
                let mut both = Vec::with_capacity(2 * rows.len());
                for row in rows.chunks_exact(self.features) {
                    both.extend_from_slice(row);
                    both.extend(row.iter().map(|&x| -x));
                }
                self.evaluate_fast(fast, &both, out);
            }
            Some(fast) => self.evaluate_fast(fast, rows, out),
            None => self.evaluate_general(rows, out),
        }
    }

    fn evaluate_fast(&self, fast: &Fast<T>, rows: &[T], out: &mut [T]) {
        let evaluation = Evaluation { ensemble: self, fast, rows, out };
        match &fast.forest {
            Forest::Perfect(perfect) => perfect.visit(evaluation),
            Forest::Compact(compact) => evaluation.visit(compact),
        }
    }

    fn evaluate_general(&self, rows: &[T], out: &mut [T]) {
        let mut scores = Scores::new(self);
        for (number, out) in out.chunks_exact_mut(self.targets).enumerate() {
            let row = &rows[number * self.features..(number + 1) * self.features];
            scores.begin(out);
            for &root in &self.roots {
                scores.add(out, walk_general(&self.general, &self.sets, root, row));
            }
            scores.finish(out);
        }
    }
}

/// The scores of one row, for any number of targets and of weights per leaf.
struct Scores<'a, T> {
    ensemble: &'a TreeEnsemble<T>,
    /// Whether each target has had a weight.
    seen: Vec<bool>,
}

impl<'a, T: TreeNumber> Scores<'a, T> {
    fn new(ensemble: &'a TreeEnsemble<T>) -> Self {
        Self { ensemble, seen: vec![false; ensemble.targets] }
    }

    fn begin(&mut self, out: &mut [T]) {
        out.fill(T::default());
        self.seen.fill(false);
    }

    #[inline(always)]
    fn add(&mut self, out: &mut [T], leaf: u32) {
        for (target, weight) in self.ensemble.weights.of(leaf as usize) {
            let (total, seen) = (&mut out[target], &mut self.seen[target]);
            match self.ensemble.aggregate {
                Aggregate::Sum | Aggregate::Average => *total += weight,
                Aggregate::Min if !*seen || weight < *total => *total = weight,
                Aggregate::Max if !*seen || weight > *total => *total = weight,
                Aggregate::Min | Aggregate::Max => {}
            }
            *seen = true;
        }
    }

    fn finish(&self, out: &mut [T]) {
        let trees = self.ensemble.roots.len();
        if self.ensemble.aggregate == Aggregate::Average && trees > 0 {
            out.iter_mut().for_each(|total| *total = total.over(trees));
        }
        for ((total, &base), &seen) in out.iter_mut().zip(&self.ensemble.base_values).zip(&self.seen) {
            // A target among several that no leaf spoke of stays zero, as it does in onnxruntime.
            if seen || self.ensemble.targets == 1 {
                *total += base;
            }
        }
    }
}

/// Evaluation by a fast layout.
struct Evaluation<'a, T> {
    ensemble: &'a TreeEnsemble<T>,
    fast: &'a Fast<T>,
    rows: &'a [T],
    out: &'a mut [T],
}

impl<T: TreeNumber> VisitWalk<T> for Evaluation<'_, T> {
    #[inline(always)]
    fn visit(self, walk: impl Walk<T>) {
        let Self { ensemble, fast, rows, out } = self;
        let (trees, columns) = (ensemble.roots.len(), fast.columns.count());
        let Some(values) = &fast.single else {
            let mut scores = Scores::new(ensemble);
            for (number, out) in out.chunks_exact_mut(ensemble.targets).enumerate() {
                let row = &rows[number * columns..(number + 1) * columns];
                scores.begin(out);
                walk.visit_row(trees, row, |_, slot| scores.add(out, fast.leaves[slot]));
                scores.finish(out);
            }
            return;
        };
        match ensemble.aggregate {
            Aggregate::Sum | Aggregate::Average => {
                walk.sum(trees, values, rows, columns, out);
                if ensemble.aggregate == Aggregate::Average {
                    out.iter_mut().for_each(|total| *total = total.over(trees));
                }
            }
            Aggregate::Min => walk.extreme(trees, values, rows, columns, out, |value, best| value < best),
            Aggregate::Max => walk.extreme(trees, values, rows, columns, out, |value, best| value > best),
        }
        if let Some(&base) = ensemble.base_values.first() {
            out.iter_mut().for_each(|total| *total += base);
        }
    }
}

fn check_sizes<T: TreeNumber>(spec: &TreeSpec<T>) -> Result<(), String> {
    if spec.targets == 0 {
        return Err("the tree ensemble has no targets".to_owned());
    }
    if !spec.base_values.is_empty() && spec.base_values.len() != spec.targets {
        return Err(format!(
            "the tree ensemble has {} base values for {} targets; give one per target or none",
            spec.base_values.len(),
            spec.targets
        ));
    }
    let limit = 1 << 30;
    if spec.nodes.len() > limit || spec.weights.len() > limit || spec.features > limit || spec.targets > limit
    {
        return Err("the tree ensemble has more than 2^30 nodes, weights, features or targets".to_owned());
    }
    for (number, node) in spec.nodes.iter().enumerate() {
        if node.mode == NodeMode::Leaf {
            continue;
        }
        if node.feature >= spec.features {
            return Err(format!(
                "node {number} of the tree ensemble looks at feature {} of {}",
                node.feature, spec.features
            ));
        }
        for child in [node.true_child, node.false_child] {
            if child >= spec.nodes.len() {
                return Err(format!(
                    "node {number} of the tree ensemble has child {child}, which does not exist"
                ));
            }
        }
    }
    Ok(())
}

/// Walks all trees; returns the depth of each: the branches on its longest path.
fn check_trees<T: TreeNumber>(spec: &TreeSpec<T>) -> Result<Vec<usize>, String> {
    let mut reached = vec![false; spec.nodes.len()];
    let mut depths = Vec::with_capacity(spec.roots.len());
    for &root in &spec.roots {
        let mut deepest = 0;
        let mut open = vec![(root, 0_usize)];
        while let Some((number, depth)) = open.pop() {
            let Some(node) = spec.nodes.get(number) else {
                return Err(format!("the tree ensemble has root {number}, which does not exist"));
            };
            if std::mem::replace(&mut reached[number], true) {
                return Err(format!(
                    "node {number} of the tree ensemble is reached twice; trees must not share nodes"
                ));
            }
            deepest = deepest.max(depth);
            if node.mode != NodeMode::Leaf {
                open.push((node.true_child, depth + 1));
                open.push((node.false_child, depth + 1));
            }
        }
        depths.push(deepest);
    }
    Ok(depths)
}

fn gather_weights<T: TreeNumber>(
    spec: &TreeSpec<T>,
    number_of: &[Option<u32>],
    leaves: usize,
) -> Result<LeafWeights<T>, String> {
    let mut counted = vec![0_u32; leaves + 1];
    let mut placed = Vec::with_capacity(spec.weights.len());
    for weight in &spec.weights {
        if weight.target >= spec.targets {
            return Err(format!(
                "a leaf of the tree ensemble has target {} of {}",
                weight.target, spec.targets
            ));
        }
        let Some(leaf) = number_of.get(weight.leaf).copied().flatten() else {
            return Err(format!("node {} of the tree ensemble has weights but is no leaf", weight.leaf));
        };
        counted[leaf as usize + 1] += 1;
        placed.push(leaf as usize);
    }
    for leaf in 0..leaves {
        counted[leaf + 1] += counted[leaf];
    }
    let starts = counted.clone();
    let mut next = counted;
    let mut targets = vec![0; spec.weights.len()];
    let mut weights = vec![T::default(); spec.weights.len()];
    for (weight, leaf) in spec.weights.iter().zip(placed) {
        let place = next[leaf] as usize;
        next[leaf] += 1;
        targets[place] = weight.target as u32;
        weights[place] = weight.weight;
    }
    Ok(LeafWeights { starts, targets, weights })
}

/// The layout for order tests; `None` if some test is no comparison of order.
fn lay_out<T: TreeNumber>(
    general: &[GeneralNode<T>],
    roots: &[u32],
    depths: &[usize],
    weights: &LeafWeights<T>,
    (features, targets): (usize, usize),
) -> Option<Fast<T>> {
    if roots.is_empty()
        || general.iter().any(|node| matches!(node.test, Test::Eq | Test::Neq | Test::Member(_)))
    {
        return None;
    }
    let deepest = depths.iter().copied().max().unwrap_or(0);
    let slots = roots.len().checked_mul(1 << deepest.min(PERFECT_DEPTH))?;
    let columns = Columns::of(general, features);
    // Perfect trees win as long as padding does not make them several times larger.
    let (forest, leaves) = if deepest <= PERFECT_DEPTH && slots <= 3 * general.len() {
        let (perfect, leaves) = Perfect::new(general, columns, roots, deepest);
        (Forest::Perfect(perfect), leaves)
    } else {
        let (compact, leaves) = Compact::new(general, columns, roots, depths);
        (Forest::Compact(compact), leaves)
    };
    let one_each = targets == 1 && weights.starts.windows(2).all(|pair| pair[1] - pair[0] == 1);
    let single = one_each.then(|| leaves.iter().map(|&leaf| weights.weights[leaf as usize]).collect());
    Some(Fast { forest, columns, leaves, single })
}
