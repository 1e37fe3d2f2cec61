//! How often the gates that allow for chance are wrong: about candidates that are as good, and about those that
//! are not.

use mlops_core::Signature;

use super::tests::says;
use super::{Candidate, Champion, Evaluation, Gate, MetricRegression};
use crate::Verdict;

/// SplitMix64, as in the routers; here a plain number.
struct Random(u64);

impl Random {
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (((z ^ (z >> 31)) >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
    }

    fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    fn normal(&mut self) -> f64 {
        (-2.0 * self.unit().ln()).sqrt() * (std::f64::consts::TAU * self.unit()).cos()
    }
}

/// A kind of model: draws what candidate and champion answer to so many rows, the candidate being worse by `drop`.
type World = fn(&mut Random, usize, f64) -> (Evaluation, Evaluation);

/// The champion is right in 90 % of rows, of either class. The candidate is right in 30 % of the others, and wrong
/// in as many of these as it takes.
fn decisions(random: &mut Random, rows: usize, drop: f64) -> (Evaluation, Evaluation) {
    let (mut labels, mut ours, mut theirs) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rows {
        let label = random.chance(0.5);
        let right = random.chance(0.9);
        let ours_right = if right { !random.chance((0.03 + drop) / 0.9) } else { random.chance(0.3) };
        labels.push(label);
        theirs.push(label == right);
        ours.push(label == ours_right);
    }
    (Evaluation::decisions(labels.clone(), ours).unwrap(), Evaluation::decisions(labels, theirs).unwrap())
}

/// Scores of positives lie above those of negatives by so much that the area is 0.90, less the drop; those of the
/// two models correlate by 0.8.
fn scores(random: &mut Random, rows: usize, drop: f64) -> (Evaluation, Evaluation) {
    // √2 times the normal quantiles of 0.90, 0.88 and 0.85.
    let apart = |drop: f64| {
        if drop < 0.01 {
            1.812_388
        } else if drop < 0.03 {
            1.661_684
        } else {
            1.465_738
        }
    };
    let (mut labels, mut ours, mut theirs) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rows {
        let label = random.chance(0.5);
        let (shared, own) = (random.normal(), random.normal());
        labels.push(label);
        theirs.push(f64::from(label) * apart(0.0) + shared);
        ours.push(f64::from(label) * apart(drop) + 0.8 * shared + 0.6 * own);
    }
    (Evaluation::binary(labels.clone(), ours).unwrap(), Evaluation::binary(labels, theirs).unwrap())
}

/// Absolute errors are exponential with mean 0.5, and partly shared.
fn errors(random: &mut Random, rows: usize, drop: f64) -> (Evaluation, Evaluation) {
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..rows {
        let (shared, own) = (-0.5 * random.unit().ln(), -0.5 * random.unit().ln());
        theirs.push(shared);
        ours.push(0.7 * shared + 0.3 * own + drop);
    }
    let actual = vec![0.0; rows];
    (Evaluation::regression(actual.clone(), ours).unwrap(), Evaluation::regression(actual, theirs).unwrap())
}

fn judge(gate: &impl Gate, (ours, theirs): (Evaluation, Evaluation)) -> Verdict {
    let champion = Champion::new(Signature::new([], []).unwrap()).with_evaluation(theirs);
    let candidate = Candidate::new(says(1.0)).with_evaluation(ours).with_champion(champion);
    pollster::block_on(gate.check(&candidate)).verdict
}

/// The shares of runs that passed, failed and were left open.
fn shares(gate: &impl Gate, runs: u64, draw: impl Fn(&mut Random) -> (Evaluation, Evaluation)) -> [f64; 3] {
    let mut counts = [0.0; 3];
    for run in 0..runs {
        let place = match judge(gate, draw(&mut Random(run << 32))) {
            Verdict::Passed => 0,
            Verdict::Failed => 1,
            Verdict::Inconclusive => 2,
        };
        counts[place] += 1.0;
    }
    counts.map(|count| count / runs as f64)
}

const TOLERANCE: f64 = 0.02;

/// Of each line of the tables.
const RUNS: u64 = 200;

#[test]
fn a_candidate_at_the_tolerance_neither_passes_nor_fails_often() {
    for (metric, world, rows) in [("accuracy", decisions as World, 400), ("mae", errors, 400)] {
        let gate = MetricRegression::new(metric, TOLERANCE);
        let [passed, failed, _] = shares(&gate, 300, |random| world(random, rows, TOLERANCE));
        assert!(passed <= 0.05 && failed <= 0.05, "{metric}: {passed} {failed}");
        let [_, failed, _] = shares(&gate, 100, |random| world(random, rows, 0.15));
        assert!(failed >= 0.9, "{metric}: {failed}");
    }
}

/// So many slices of so many rows each, in all of which the candidate is as good as is tolerated.
fn sliced(random: &mut Random, slices: usize, rows: usize) -> (Evaluation, Evaluation) {
    let (ours, theirs) = decisions(random, slices * rows, TOLERANCE);
    let names = (0..slices * rows).map(|row| format!("slice {}", row / rows));
    (ours.with_slices("slice", names).unwrap(), theirs)
}

#[test]
#[ignore = "minutes in release: prints the tables of the documentation"]
#[allow(clippy::print_stdout)]
fn table_of_verdicts() {
    println!("| metric | rows | true drop | passed | failed | inconclusive |\n|---|---|---|---|---|---|");
    let worlds: [(&str, World, &[usize]); 4] = [
        ("accuracy", decisions, &[500, 2_000, 5_000]),
        ("f1", decisions, &[500, 2_000]),
        ("mae", errors, &[500, 2_000, 5_000]),
        ("roc_auc", scores, &[500, 1_000]),
    ];
    for (metric, world, sizes) in worlds {
        let gate = MetricRegression::new(metric, TOLERANCE);
        for rows in sizes {
            for drop in [0.0, TOLERANCE, 0.05] {
                let [passed, failed, open] =
                    shares(&gate, RUNS, |random| world(random, *rows, drop)).map(|share| 100.0 * share);
                println!("| `{metric}` | {rows} | {drop} | {passed:.1} % | {failed:.1} % | {open:.1} % |");
                let wrong = match drop {
                    0.0 => failed,
                    TOLERANCE => passed.max(failed),
                    _ => passed,
                };
                assert!(wrong <= 6.0, "{metric} {rows} {drop}: {wrong}");
            }
        }
    }
    println!(
        "\n| slices | of rows | failed by the gate per slice | failed by one of as many gates |\n|---|---|---|---|"
    );
    for slices in [5, 20] {
        let together = MetricRegression::new("accuracy", TOLERANCE).on_each("slice");
        let [_, failed, _] = shares(&together, RUNS, |random| sliced(random, slices, 200));
        let alone = MetricRegression::new("accuracy", TOLERANCE);
        let any = (0..RUNS).filter(|run| {
            let random = &mut Random(run << 32);
            (0..slices).any(|_| judge(&alone, decisions(random, 200, TOLERANCE)) == Verdict::Failed)
        });
        let any = any.count() as f64 / RUNS as f64;
        println!("| {slices} | 200 | {:.1} % | {:.1} % |", 100.0 * failed, 100.0 * any);
        assert!(failed <= 0.05, "{slices}: {failed}");
    }
}
