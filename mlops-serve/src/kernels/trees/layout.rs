//! Trees in memory, and the walks from root to leaf.

use super::{NodeMode, TreeNumber};

/// What a node of [`GeneralNode`] does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Test {
    Leq,
    Lt,
    Gte,
    Gt,
    Eq,
    Neq,
    /// One of the set of this number.
    Member(u32),
    /// The leaf of this number.
    Leaf(u32),
}

impl Test {
    /// The test of a mode; the values of a set are moved to `sets`.
    pub(super) fn of<T: TreeNumber>(mode: &NodeMode<T>, sets: &mut Vec<Vec<T>>, leaf: u32) -> Self {
        match mode {
            NodeMode::BranchLeq => Self::Leq,
            NodeMode::BranchLt => Self::Lt,
            NodeMode::BranchGte => Self::Gte,
            NodeMode::BranchGt => Self::Gt,
            NodeMode::BranchEq => Self::Eq,
            NodeMode::BranchNeq => Self::Neq,
            NodeMode::Member(values) => {
                sets.push(values.clone());
                Self::Member(sets.len() as u32 - 1)
            }
            NodeMode::Leaf => Self::Leaf(leaf),
        }
    }
}

/// A node as the file has it.
#[derive(Clone, Debug)]
pub(super) struct GeneralNode<T> {
    pub(super) test: Test,
    pub(super) threshold: T,
    pub(super) feature: u32,
    pub(super) true_child: u32,
    pub(super) false_child: u32,
    pub(super) missing_goes_true: bool,
}

impl<T: TreeNumber> GeneralNode<T> {
    /// The node as a comparison that sends `NaN` where it belongs. Order tests only.
    fn oriented(&self) -> Oriented<T> {
        let (yes, no) = (self.true_child, self.false_child);
        let t = self.threshold;
        // First as x <= threshold, right for every x but NaN. No comparison with a threshold of NaN holds.
        let (threshold, yes, no) = match self.test {
            _ if t.is_nan() => (T::NAN, yes, no),
            Test::Lt => (below(t), yes, no),
            Test::Gte => (below(t), no, yes),
            Test::Gt => (t, no, yes),
            _ => (t, yes, no),
        };
        let nan_goes_to = if self.missing_goes_true { self.true_child } else { self.false_child };
        if nan_goes_to == no {
            Oriented { threshold, negated: false, met: yes, not_met: no }
        } else {
            // x <= threshold is the contrary of -x < -threshold.
            let threshold = if threshold.is_nan() { T::INFINITY } else { below(-threshold) };
            Oriented { threshold, negated: true, met: no, not_met: yes }
        }
    }
}

/// `x <= threshold`, or `-x <= threshold` where negated: one child if it is met, the other if not, as with `NaN`.
struct Oriented<T> {
    threshold: T,
    negated: bool,
    met: u32,
    not_met: u32,
}

/// The threshold that turns `<` into `<=`. Below the least number lies none, and with `NaN` no comparison holds.
fn below<T: TreeNumber>(threshold: T) -> T {
    let below = threshold.next_down();
    if below < threshold { below } else { T::NAN }
}

/// The row to compare with: the features, and, if any node wants them, their negatives.
#[derive(Clone, Copy, Debug)]
pub(super) struct Columns {
    features: usize,
    pub(super) negatives: bool,
}

impl Columns {
    /// What the order tests among `nodes` look at.
    pub(super) fn of<T: TreeNumber>(nodes: &[GeneralNode<T>], features: usize) -> Self {
        let negatives =
            nodes.iter().any(|node| !matches!(node.test, Test::Leaf(_)) && node.oriented().negated);
        Self { features, negatives }
    }

    fn number<T>(self, feature: u32, oriented: &Oriented<T>) -> u32 {
        if oriented.negated { feature + self.features as u32 } else { feature }
    }

    /// Values in a row.
    pub(super) fn count(self) -> usize {
        if self.negatives { 2 * self.features } else { self.features }
    }
}

/// The number of the leaf that `row` comes to, step by step as the operator's text has it.
pub(super) fn walk_general<T: TreeNumber>(
    nodes: &[GeneralNode<T>],
    sets: &[Vec<T>],
    root: u32,
    row: &[T],
) -> u32 {
    let mut at = root;
    loop {
        let node = &nodes[at as usize];
        let x = if let Test::Leaf(_) = node.test { T::NAN } else { row[node.feature as usize] };
        let holds = match node.test {
            Test::Leq => x <= node.threshold,
            Test::Lt => x < node.threshold,
            Test::Gte => x >= node.threshold,
            Test::Gt => x > node.threshold,
            Test::Eq => x == node.threshold,
            Test::Neq => x != node.threshold,
            Test::Member(set) => sets[set as usize].contains(&x),
            Test::Leaf(leaf) => return leaf,
        };
        let holds = holds || (node.missing_goes_true && x.is_nan());
        at = if holds { node.true_child } else { node.false_child };
    }
}

/// Trees laid out for order tests.
#[derive(Debug)]
pub(super) enum Forest<T> {
    Perfect(Perfect<T>),
    Compact(Compact<T>),
}

/// Trees or rows that are walked side by side: each waits for memory and comparisons at every step, so that one alone would
/// leave the processor idle.
const LANES: usize = 8;

/// A way from the roots of trees to the slots of their leaves.
pub(super) trait Walk<T: TreeNumber> {
    /// Where `trees` end for the row of each.
    fn slots<'a>(&self, trees: [usize; LANES], row: impl Fn(usize) -> &'a [T]) -> [usize; LANES];

    /// Sets `out[row]` to the sum of the row's `values[slot]` over the trees in their order.
    #[inline(always)]
    fn sum(&self, trees: usize, values: &[T], rows: &[T], columns: usize, out: &mut [T]) {
        out.fill(T::default());
        let together = out.len() / LANES * LANES;
        let (blocks, rest) = out.split_at_mut(together);
        for tree in 0..trees {
            for (block, totals) in blocks.chunks_exact_mut(LANES).enumerate() {
                let rows = &rows[block * LANES * columns..(block + 1) * LANES * columns];
                let slots = self.slots([tree; LANES], |lane| &rows[lane * columns..(lane + 1) * columns]);
                for (total, slot) in totals.iter_mut().zip(slots) {
                    *total += values[slot];
                }
            }
        }
        for (number, total) in rest.iter_mut().enumerate() {
            let row = &rows[(together + number) * columns..][..columns];
            self.visit_row(trees, row, |_, slot| *total += values[slot]);
        }
    }

    /// Calls `visit` with the number and the slot of every tree for one row, in the order of the trees.
    #[inline(always)]
    fn visit_row(&self, trees: usize, row: &[T], mut visit: impl FnMut(usize, usize)) {
        for first in (0..trees).step_by(LANES) {
            let count = LANES.min(trees - first);
            // Beyond the last tree, it is walked again and not visited.
            let numbers = std::array::from_fn(|lane| first + lane.min(count - 1));
            for (lane, slot) in self.slots(numbers, |_| row).into_iter().take(count).enumerate() {
                visit(first + lane, slot);
            }
        }
    }

    /// Sets `out[row]` to the first of the row's `values[slot]` that none after it is `better` than.
    #[inline(always)]
    fn extreme(
        &self,
        trees: usize,
        values: &[T],
        rows: &[T],
        columns: usize,
        out: &mut [T],
        better: impl Fn(T, T) -> bool,
    ) {
        for (number, best) in out.iter_mut().enumerate() {
            let row = &rows[number * columns..(number + 1) * columns];
            self.visit_row(trees, row, |tree, slot| {
                if tree == 0 || better(values[slot], *best) {
                    *best = values[slot];
                }
            });
        }
    }
}

/// Something to do with a walk of a depth that is known when it is compiled.
pub(super) trait VisitWalk<T: TreeNumber> {
    fn visit(self, walk: impl Walk<T>);
}

/// Trees padded to the same depth. Node 1 is the root, and below node `n` are `2n`, if the comparison
/// is met, and `2n + 1`;
/// the leaves come after the last level.
#[derive(Debug)]
pub(super) struct Perfect<T> {
    depth: usize,
    nodes: Vec<PerfectNode<T>>,
}

#[derive(Clone, Copy, Debug)]
struct PerfectNode<T> {
    threshold: T,
    feature: u32,
}

impl<T: TreeNumber> Perfect<T> {
    /// Lays out trees of order tests, none of them deeper than `depth`; also returns the leaf in each slot.
    pub(super) fn new(
        general: &[GeneralNode<T>],
        columns: Columns,
        roots: &[u32],
        depth: usize,
    ) -> (Self, Vec<u32>) {
        let width = 1 << depth;
        let mut nodes = vec![PerfectNode { threshold: T::default(), feature: 0 }; roots.len() * width];
        let mut leaves = vec![0; roots.len() * width];
        for (tree, &root) in roots.iter().enumerate() {
            let mut open = vec![(root, 1_usize)];
            while let Some((at, place)) = open.pop() {
                let node = &general[at as usize];
                if let Test::Leaf(leaf) = node.test {
                    // All that lies below the leaf's place in the padded tree is the leaf.
                    let levels = depth - place.ilog2() as usize;
                    let first = (place << levels) - width;
                    leaves[tree * width..][first..first + (1 << levels)].fill(leaf);
                } else {
                    let oriented = node.oriented();
                    let feature = columns.number(node.feature, &oriented);
                    nodes[tree * width + place] = PerfectNode { threshold: oriented.threshold, feature };
                    open.push((oriented.met, 2 * place));
                    open.push((oriented.not_met, 2 * place + 1));
                }
            }
        }
        (Self { depth, nodes }, leaves)
    }

    /// Calls `visitor` with the walk for the depth of these trees.
    #[inline(always)]
    pub(super) fn visit(&self, visitor: impl VisitWalk<T>) {
        match self.depth {
            0 => visitor.visit(Levels::<T, 0, 1>::of(self)),
            1 => visitor.visit(Levels::<T, 1, 2>::of(self)),
            2 => visitor.visit(Levels::<T, 2, 4>::of(self)),
            3 => visitor.visit(Levels::<T, 3, 8>::of(self)),
            4 => visitor.visit(Levels::<T, 4, 16>::of(self)),
            5 => visitor.visit(Levels::<T, 5, 32>::of(self)),
            6 => visitor.visit(Levels::<T, 6, 64>::of(self)),
            7 => visitor.visit(Levels::<T, 7, 128>::of(self)),
            _ => visitor.visit(Levels::<T, 8, 256>::of(self)),
        }
    }
}

/// [`Perfect`] trees of a known depth: `WIDTH` is `2^DEPTH`.
struct Levels<'a, T, const DEPTH: usize, const WIDTH: usize> {
    trees: &'a [[PerfectNode<T>; WIDTH]],
}

impl<'a, T: TreeNumber, const DEPTH: usize, const WIDTH: usize> Levels<'a, T, DEPTH, WIDTH> {
    fn of(perfect: &'a Perfect<T>) -> Self {
        Self { trees: perfect.nodes.as_chunks().0 }
    }
}

impl<T: TreeNumber, const DEPTH: usize, const WIDTH: usize> Walk<T> for Levels<'_, T, DEPTH, WIDTH> {
    #[inline(always)]
    fn slots<'a>(&self, trees: [usize; LANES], row: impl Fn(usize) -> &'a [T]) -> [usize; LANES] {
        let mut at = [1; LANES];
        for _ in 0..DEPTH {
            for (lane, at) in at.iter_mut().enumerate() {
                let node = &self.trees[trees[lane]][*at % WIDTH];
                *at = 2 * *at + usize::from(!is_at_most(row(lane)[node.feature as usize], node.threshold));
            }
        }
        for (at, tree) in at.iter_mut().zip(trees) {
            *at = tree * WIDTH + *at % WIDTH;
        }
        at
    }
}

/// Whether `x <= threshold`.
#[inline(always)]
fn is_at_most<T: TreeNumber>(x: T, threshold: T) -> bool {
    x <= threshold
}

/// Trees of any shape. The children of a node are neighbours: at `below` if the comparison is not met, and after it
/// if so.
/// A leaf is below itself, so that a walk may go on past it.
#[derive(Debug)]
pub(super) struct Compact<T> {
    nodes: Vec<CompactNode<T>>,
    trees: Vec<CompactTree>,
}

#[derive(Clone, Copy, Debug)]
struct CompactNode<T> {
    threshold: T,
    feature: u32,
    below: u32,
}

#[derive(Clone, Copy, Debug)]
struct CompactTree {
    root: u32,
    depth: u32,
}

/// Steps between two looks at whether the leaf is reached.
const STRIDE: u32 = 3;

impl<T: TreeNumber> Compact<T> {
    /// Lays out trees of order tests; also returns the leaf in each slot (zero where there is none).
    pub(super) fn new(
        general: &[GeneralNode<T>],
        columns: Columns,
        roots: &[u32],
        depths: &[usize],
    ) -> (Self, Vec<u32>) {
        let mut nodes = Vec::with_capacity(general.len());
        let mut leaves = Vec::with_capacity(general.len());
        let mut trees = Vec::with_capacity(roots.len());
        let empty = CompactNode { threshold: T::NAN, feature: 0, below: 0 };
        for (&root, &depth) in roots.iter().zip(depths) {
            trees.push(CompactTree { root: nodes.len() as u32, depth: depth as u32 });
            nodes.push(empty);
            leaves.push(0);
            // Breadth first, so that the upper levels, which every row visits, lie together.
            let mut open = std::collections::VecDeque::from([(root, nodes.len() - 1)]);
            while let Some((at, place)) = open.pop_front() {
                let node = &general[at as usize];
                if let Test::Leaf(leaf) = node.test {
                    nodes[place] = CompactNode { below: place as u32, ..empty };
                    leaves[place] = leaf;
                } else {
                    let oriented = node.oriented();
                    let feature = columns.number(node.feature, &oriented);
                    let below = nodes.len();
                    nodes[place] =
                        CompactNode { threshold: oriented.threshold, feature, below: below as u32 };
                    nodes.extend([empty; 2]);
                    leaves.extend([0; 2]);
                    open.push_back((oriented.not_met, below));
                    open.push_back((oriented.met, below + 1));
                }
            }
        }
        (Self { nodes, trees }, leaves)
    }

    #[inline(always)]
    fn step(&self, at: u32, row: &[T]) -> u32 {
        let node = &self.nodes[at as usize];
        // An ensemble of leaves only may come without features.
        let Some(&x) = row.get(node.feature as usize) else { return at };
        node.below + u32::from(is_at_most(x, node.threshold))
    }
}

impl<T: TreeNumber> Walk<T> for &Compact<T> {
    #[inline(always)]
    fn slots<'a>(&self, trees: [usize; LANES], row: impl Fn(usize) -> &'a [T]) -> [usize; LANES] {
        let mut at = trees.map(|tree| self.trees[tree].root);
        let mut left = trees.iter().map(|&tree| self.trees[tree].depth).max().unwrap_or(0);
        while left > 0 {
            for _ in 0..STRIDE {
                for (lane, at) in at.iter_mut().enumerate() {
                    *at = self.step(*at, row(lane));
                }
            }
            left = left.saturating_sub(STRIDE);
            if at.iter().all(|&at| self.nodes[at as usize].below == at) {
                break;
            }
        }
        at.map(|at| at as usize)
    }
}
