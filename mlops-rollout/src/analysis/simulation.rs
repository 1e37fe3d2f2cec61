//! How often a look at every request fails a candidate: one that is no worse, and one that is.

use std::time::Duration;

use mlops_core::Variant;

use super::confidence::Confidence;
use super::rate::{Count, difference};
use super::{Analysis, LatencyCheck, SamplesNeeded, TestMode};
use crate::{Event, EvidenceSnapshot, Plan, Rollout, State, Step, VariantEvidence, Verdict};

pub(super) const ALPHA: f64 = 0.05;

fn confidence() -> Confidence {
    Confidence::new(TestMode::Sequential, ALPHA, 1_000)
}

/// SplitMix64, as in the routers; here a plain number.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    pub(super) fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Box & Muller, "A note on the generation of random normal deviates", 1958.
    pub(super) fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }
}

/// One canary, looked at after every request of the candidate.
struct Canary {
    /// Of the candidate.
    share: f64,
    stable_rate: f64,
    candidate_rate: f64,
    /// Requests of the stable variant before the first of the candidate.
    head_start: u64,
    /// Requests of the candidate until it is let go.
    horizon: u64,
}

impl Canary {
    /// How many requests of the candidate it took to fail it, if it failed.
    fn failed_after(&self, random: &mut Random) -> Option<u64> {
        let (mut stable, mut candidate) = (Count::new(0, 0), Count::new(0, 0));
        let confidence = confidence();
        for _ in 0..self.head_start {
            stable.add(random.chance(self.stable_rate));
        }
        while candidate.all < self.horizon {
            if !random.chance(self.share) {
                stable.add(random.chance(self.stable_rate));
                continue;
            }
            candidate.add(random.chance(self.candidate_rate));
            let higher = candidate.bad * stable.all > stable.bad * candidate.all;
            if higher && difference(stable, candidate, 1.0, confidence).is_ok_and(|found| found.lower > 0.0) {
                return Some(candidate.all);
            }
        }
        None
    }

    /// The share of runs that failed.
    fn failing(&self, runs: u64) -> f64 {
        let failed = (0..runs).filter(|run| self.failed_after(&mut Random(run << 32)).is_some()).count();
        failed as f64 / runs as f64
    }
}

impl Count {
    fn add(&mut self, bad: bool) {
        self.bad += u64::from(bad);
        self.all += 1;
    }
}

fn alike(rate: f64, share: f64, horizon: u64) -> Canary {
    Canary { share, stable_rate: rate, candidate_rate: rate, head_start: 0, horizon }
}

#[test]
fn a_candidate_that_is_no_worse_fails_less_often_than_alpha() {
    for rate in [0.001, 0.01, 0.1, 0.5] {
        for (share, horizon) in [(0.5, 1_000), (0.1, 300)] {
            let failing = alike(rate, share, horizon).failing(1_000);
            assert!(failing <= ALPHA, "rate {rate}, share {share}: {failing}");
        }
    }
}

/// At full share the stable variant gets no requests any more, and its window before is what there is.
#[test]
fn a_baseline_that_stopped_growing_is_no_reason_to_fail() {
    for rate in [0.01, 0.5] {
        let failing = Canary { head_start: 500, ..alike(rate, 1.0, 1_500) }.failing(500);
        assert!(failing <= ALPHA, "{rate}: {failing}");
    }
}

#[test]
fn a_clear_regression_is_found_soon() {
    for (stable_rate, candidate_rate, within) in
        [(0.0, 1.0, 10), (0.01, 0.5, 40), (0.01, 0.1, 400), (0.1, 0.3, 400)]
    {
        let canary = Canary { stable_rate, candidate_rate, ..alike(0.0, 0.1, within) };
        let found = canary.failing(200);
        assert!(found >= 0.95, "{stable_rate} to {candidate_rate}: {found} within {within}");
    }
}

/// All steps and all looks of a rollout together.
#[test]
fn whole_rollouts_of_good_candidates_are_promoted() {
    let share = promoted_share(0.1, 200);
    assert!(share >= 0.95, "{share}");
}

fn promoted_share(rate: f64, runs: u64) -> f64 {
    let plan = Plan::new([0.05, 0.25, 0.5, 1.0].map(|share| Step::new(share).with_min_samples(200))).unwrap();
    let [stable, candidate] = ["stable", "candidate"].map(|name| Variant::new(name).unwrap());
    let rollout = Rollout::new(plan, stable, candidate);
    let promoted = (0..runs).filter(|run| promoted(&rollout, rate, &mut Random(run << 32))).count();
    promoted as f64 / runs as f64
}

/// A rollout with a look after every 20 requests, until it is decided.
fn promoted(rollout: &Rollout, rate: f64, random: &mut Random) -> bool {
    let (mut state, mut seen) = (State::Pending, EvidenceSnapshot::new());
    let mut now = Duration::ZERO;
    while !state.is_final() {
        now += Duration::from_secs(1);
        let share = rollout.share(&state);
        for _ in 0..20 {
            let variant = if random.chance(share) { rollout.candidate() } else { rollout.stable() };
            let counts = seen.current.entry(variant.clone()).or_default();
            if random.chance(rate) { counts.failures += 1 } else { counts.successes += 1 }
        }
        let next = rollout.decide(&state, &Event::Tick, &seen, now);
        if !next.effects.is_empty() {
            seen.previous = std::mem::take(&mut seen.current);
        }
        state = next.state;
    }
    state == State::Promoted
}

/// The p99 compared without any allowance, a look after every 100 requests.
#[test]
fn a_latency_that_is_no_worse_fails_less_often_than_alpha() {
    let failing = failing_latency(0.5, 200);
    assert!(failing <= ALPHA, "{failing}");
}

/// The share of runs in which equal exponential latencies were told apart.
fn failing_latency(share: f64, runs: u64) -> f64 {
    let analysis = Analysis::new([LatencyCheck::p99(1.0)]).unwrap();
    let failed = (0..runs).filter(|run| {
        let random = &mut Random(run << 32);
        let (mut stable, mut candidate) = (Vec::new(), Vec::new());
        (0..30).any(|_| {
            for _ in 0..100 {
                let arm = if random.chance(share) { &mut candidate } else { &mut stable };
                arm.push(Duration::from_secs_f64(-1e-3 * (1.0 - random.unit()).ln()));
            }
            let seen = |all: &[Duration]| VariantEvidence::default().with_latencies(all.iter().copied());
            let (stable, candidate) = (seen(&stable), seen(&candidate));
            analysis.compare(&stable, &candidate, SamplesNeeded::each(1)).verdict == Verdict::Failed
        })
    });
    failed.count() as f64 / runs as f64
}

/// Rates and whole rollouts, closer. `cargo test --release -p mlops-rollout -- --ignored --nocapture table`
#[test]
#[ignore = "takes a minute in release; .ci/run runs it"]
#[allow(clippy::print_stdout)]
fn table_of_false_and_right_rollbacks() {
    let false_rollbacks = |of: String, share: f64| {
        println!("{of}: {share}");
        assert!(share <= ALPHA, "{of}: {share}");
    };
    for rate in [0.001, 0.01, 0.1, 0.5] {
        false_rollbacks(format!("whole rollouts, rate {rate}"), 1.0 - promoted_share(rate, 1_000));
    }
    for share in [0.1, 0.5, 0.9] {
        false_rollbacks(format!("p99, share {share}"), failing_latency(share, 1_000));
    }
    for share in [0.01, 0.05, 0.25, 0.5, 0.9] {
        for rate in [0.0001, 0.001, 0.01, 0.1, 0.5, 0.9, 0.99] {
            false_rollbacks(format!("share {share}, rate {rate}"), alike(rate, share, 5_000).failing(2_000));
        }
    }
    for rate in [0.001, 0.01, 0.1, 0.5] {
        for head_start in [100, 1_000] {
            let failing = Canary { head_start, ..alike(rate, 1.0, 10_000) }.failing(2_000);
            false_rollbacks(format!("frozen after {head_start}, rate {rate}"), failing);
        }
    }
    for (stable_rate, candidate_rate) in [
        (0.0, 1.0),
        (0.0, 0.1),
        (0.001, 0.01),
        (0.01, 0.5),
        (0.01, 0.05),
        (0.01, 0.02),
        (0.1, 0.2),
        (0.5, 0.6),
    ] {
        let canary = Canary { stable_rate, candidate_rate, ..alike(0.0, 0.05, 100_000) };
        let mut after: Vec<_> =
            (0..200).map(|run| canary.failed_after(&mut Random(run << 32)).unwrap_or(u64::MAX)).collect();
        after.sort_unstable();
        println!("{stable_rate} to {candidate_rate}: median {} p95 {}", after[100], after[190]);
    }
}
