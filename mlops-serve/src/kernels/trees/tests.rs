use super::*;

/// A small generator of reproducible numbers.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 11
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// Few different values, so that equality happens; now and then one at the edge.
    fn value(&mut self, with_nan: bool) -> f32 {
        match self.below(20) {
            0 if with_nan => f32::NAN,
            1 => f32::INFINITY,
            2 => f32::NEG_INFINITY,
            3 => -0.0,
            _ => self.below(9) as f32 * 0.5 - 2.0,
        }
    }
}

fn grow(
    random: &mut Random,
    spec: &mut TreeSpec<f32>,
    modes: &[NodeMode<f32>],
    depth: usize,
    deepest: usize,
) -> usize {
    let number = spec.nodes.len();
    let leaf = depth == deepest || (depth > 0 && random.below(5) == 0);
    let mode = if leaf { NodeMode::Leaf } else { modes[random.below(modes.len())].clone() };
    spec.nodes.push(TreeNode {
        feature: random.below(spec.features),
        mode,
        threshold: random.value(true),
        true_child: 0,
        false_child: 0,
        missing_goes_true: random.below(2) == 0,
    });
    if !leaf {
        spec.nodes[number].true_child = grow(random, spec, modes, depth + 1, deepest);
        spec.nodes[number].false_child = grow(random, spec, modes, depth + 1, deepest);
    }
    number
}

/// A forest; `per_leaf` weights per leaf at most (exactly one if 1).
fn forest(
    seed: u64,
    modes: &[NodeMode<f32>],
    depth: usize,
    trees: usize,
    targets: usize,
    per_leaf: usize,
) -> TreeSpec<f32> {
    let mut random = Random(seed * 2 + 1);
    let mut spec = TreeSpec {
        nodes: Vec::new(),
        roots: Vec::new(),
        weights: Vec::new(),
        features: 5,
        targets,
        aggregate: Aggregate::Sum,
        base_values: if seed.is_multiple_of(2) {
            (0..targets).map(|t| t as f32 + 0.5).collect()
        } else {
            Vec::new()
        },
    };
    for _ in 0..trees {
        let root = grow(&mut random, &mut spec, modes, 0, depth);
        spec.roots.push(root);
    }
    for leaf in 0..spec.nodes.len() {
        if spec.nodes[leaf].mode == NodeMode::Leaf {
            let count = if per_leaf == 1 { 1 } else { random.below(per_leaf + 1) };
            for _ in 0..count {
                let target = random.below(targets);
                let weight = random.below(1000) as f32 / 7.0 - 70.0;
                spec.weights.push(LeafWeight { leaf, target, weight });
            }
        }
    }
    spec
}

/// The specification read aloud.
fn oracle(spec: &TreeSpec<f32>, row: &[f32]) -> Vec<f32> {
    let mut scores: Vec<Vec<f32>> = vec![Vec::new(); spec.targets];
    for &root in &spec.roots {
        let mut at = root;
        while spec.nodes[at].mode != NodeMode::Leaf {
            let node = &spec.nodes[at];
            let (x, t) = (row[node.feature], node.threshold);
            let holds = match &node.mode {
                NodeMode::BranchLeq => x <= t,
                NodeMode::BranchLt => x < t,
                NodeMode::BranchGte => x >= t,
                NodeMode::BranchGt => x > t,
                NodeMode::BranchEq => x == t,
                NodeMode::BranchNeq => x != t,
                NodeMode::Member(set) => set.contains(&x),
                NodeMode::Leaf => unreachable!(),
            };
            at = if holds || (x.is_nan() && node.missing_goes_true) {
                node.true_child
            } else {
                node.false_child
            };
        }
        for weight in spec.weights.iter().filter(|weight| weight.leaf == at) {
            scores[weight.target].push(weight.weight);
        }
    }
    let trees = spec.roots.len() as f32;
    scores
        .iter()
        .enumerate()
        .map(|(target, scores)| {
            let sum = scores.iter().fold(0.0, |sum, x| sum + x);
            let value = match spec.aggregate {
                Aggregate::Sum => sum,
                Aggregate::Average => sum / trees,
                Aggregate::Min => scores.iter().copied().reduce(f32::min).unwrap_or(0.0),
                Aggregate::Max => scores.iter().copied().reduce(f32::max).unwrap_or(0.0),
            };
            if scores.is_empty() && spec.targets > 1 {
                return 0.0;
            }
            value + spec.base_values.get(target).copied().unwrap_or(0.0)
        })
        .collect()
}

fn check(spec: &TreeSpec<f32>, seed: u64, with_nan: bool, threads: &Threads) {
    let mut random = Random(seed + 99);
    let ensemble = TreeEnsemble::new(spec.clone()).unwrap();
    for count in [0, 1, 7, 130, 400] {
        let rows: Vec<f32> = (0..count * spec.features).map(|_| random.value(with_nan)).collect();
        let mut out = vec![f32::NAN; count * spec.targets];
        ensemble.evaluate(&rows, &mut out, threads);
        for (row, out) in rows.chunks(spec.features).zip(out.chunks(spec.targets)) {
            assert_eq!(out, oracle(spec, row), "{row:?}");
        }
    }
}

const ORDER: [NodeMode<f32>; 4] =
    [NodeMode::BranchLeq, NodeMode::BranchLt, NodeMode::BranchGte, NodeMode::BranchGt];

#[test]
fn forests_of_every_shape_agree_with_the_specification() {
    let mut all = ORDER.to_vec();
    all.extend([NodeMode::BranchEq, NodeMode::BranchNeq, NodeMode::Member(vec![0.5, -1.0, f32::INFINITY])]);
    let two = Threads::new(2).unwrap();
    for seed in 0..12 {
        for depth in [0, 1, 2, 3, 5, 6, 8, 9, 13] {
            for (targets, per_leaf) in [(1, 1), (1, 3), (3, 2)] {
                for modes in [&ORDER[..1], &ORDER[..], &all[..]] {
                    let trees = if depth > 8 { 3 } else { 1 + seed as usize % 7 };
                    let mut spec = forest(seed, modes, depth, trees, targets, per_leaf);
                    spec.aggregate = [Aggregate::Sum, Aggregate::Average, Aggregate::Min, Aggregate::Max]
                        [seed as usize % 4];
                    let threads = if seed % 3 == 0 { &two } else { &Threads::single() };
                    check(&spec, seed, seed % 2 == 1, threads);
                }
            }
        }
    }
}

#[test]
fn double_precision_decides_where_single_cannot() {
    let threshold = 1.0 + f64::EPSILON;
    let leaf = TreeNode {
        feature: 0,
        mode: NodeMode::Leaf,
        threshold: 0.0,
        true_child: 0,
        false_child: 0,
        missing_goes_true: false,
    };
    let spec = TreeSpec {
        nodes: vec![
            TreeNode { mode: NodeMode::BranchLt, threshold, true_child: 1, false_child: 2, ..leaf.clone() },
            leaf.clone(),
            leaf,
        ],
        roots: vec![0],
        weights: vec![
            LeafWeight { leaf: 1, target: 0, weight: 1e-17 },
            LeafWeight { leaf: 2, target: 0, weight: 2.0 },
        ],
        features: 1,
        targets: 1,
        aggregate: Aggregate::Sum,
        base_values: Vec::new(),
    };
    let mut out = [0.0; 3];
    TreeEnsemble::new(spec).unwrap().evaluate(&[1.0, threshold, f64::NAN], &mut out, &Threads::single());
    assert_eq!(out, [1e-17, 2.0, 2.0]);
}

#[test]
fn no_trees_give_the_base_value() {
    let mut spec = forest(2, &ORDER, 2, 0, 1, 2);
    for aggregate in [Aggregate::Sum, Aggregate::Average, Aggregate::Min, Aggregate::Max] {
        spec.aggregate = aggregate;
        let mut out = [9.0];
        TreeEnsemble::new(spec.clone()).unwrap().evaluate(&[0.0; 5], &mut out, &Threads::single());
        assert_eq!(out, [0.5]);
    }
}

#[test]
fn leaves_alone_need_no_features() {
    for trees in [1, 3] {
        let mut spec = forest(1, &ORDER, 0, trees, 1, 1);
        spec.features = 0;
        let mut out = [9.0; 2];
        let total = spec.weights.iter().fold(0.0, |sum, weight| sum + weight.weight);
        TreeEnsemble::new(spec).unwrap().evaluate(&[], &mut out, &Threads::single());
        assert_eq!(out, [total; 2]);
    }
}

#[test]
fn broken_ensembles_are_refused() {
    let good = forest(3, &ORDER, 3, 2, 2, 1);
    let refusal = |change: &dyn Fn(&mut TreeSpec<f32>)| {
        let mut spec = good.clone();
        change(&mut spec);
        TreeEnsemble::new(spec).unwrap_err()
    };
    assert!(TreeEnsemble::new(good.clone()).is_ok());
    assert!(refusal(&|spec| spec.nodes[0].feature = 5).contains("feature 5 of 5"));
    assert!(refusal(&|spec| spec.nodes[0].true_child = 10_000).contains("does not exist"));
    assert!(refusal(&|spec| spec.nodes[0].true_child = 0).contains("reached twice"));
    assert!(refusal(&|spec| spec.roots[1] = 99_999).contains("does not exist"));
    assert!(refusal(&|spec| spec.roots[1] = spec.roots[0]).contains("reached twice"));
    assert!(refusal(&|spec| spec.weights[0].target = 2).contains("target 2 of 2"));
    assert!(refusal(&|spec| spec.weights[0].leaf = 0).contains("no leaf"));
    assert!(refusal(&|spec| spec.weights[0].leaf = 99_999).contains("no leaf"));
    assert!(refusal(&|spec| spec.base_values = vec![0.0; 3]).contains("base values"));
    assert!(refusal(&|spec| spec.targets = 0).contains("no targets"));
}
