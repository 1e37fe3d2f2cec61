//! How often every kind of check fails a candidate that is no worse, at one look and at many.

use std::time::Duration;

use super::simulation::{ALPHA, Random};
use super::{
    Analysis, Check, LatencyCheck, LatencyLimit, MeanCheck, MeanLimit, RankCheck, RateCheck, RateLimit,
    SamplesNeeded, SrmCheck, TestMode,
};
use crate::{VariantEvidence, Verdict};

/// What is seen of a variant in a [`Trial`].
type Observe = fn(&mut Random, &mut VariantEvidence);

/// A candidate that is no worse, looked at.
struct Trial {
    name: &'static str,
    check: Check,
    /// Of the candidate.
    share: f64,
    observe: Observe,
    /// Requests of both in all.
    horizon: u64,
    /// Requests between two looks.
    every: u64,
}

/// Of how many candidates a trial failed.
#[derive(Debug, Clone, Copy)]
struct FalseAlarms {
    /// At one look, of a fixed horizon.
    one_look: f64,
    /// At ten looks of the same.
    ten_looks: f64,
    /// At all looks of the same.
    all_looks: f64,
    /// At all looks of a sequential test.
    sequential: f64,
}

impl Trial {
    fn fails(&self, mode: TestMode, every: u64, random: &mut Random) -> bool {
        let (mut stable, mut candidate) = (VariantEvidence::default(), VariantEvidence::default());
        // What does not judge the candidate needs company that never fails it.
        let judged = if self.check.judges_the_candidate() {
            self.check.clone()
        } else {
            MeanLimit::at_most("none", 0.0).into()
        };
        let analysis = Analysis::new([judged]).and_then(|analysis| analysis.with_check(self.check.clone()));
        let analysis = analysis.unwrap().with_mode(mode);
        (1..=self.horizon).any(|request| {
            let seen = if random.chance(self.share) { &mut candidate } else { &mut stable };
            (self.observe)(random, seen);
            request % every == 0 && {
                let report = analysis.compare_at(self.share, &stable, &candidate, SamplesNeeded::each(0));
                let mismatch = |reason: &str| reason.starts_with("mismatch");
                report
                    .checks
                    .iter()
                    .any(|outcome| outcome.verdict == Verdict::Failed || mismatch(&outcome.reason))
            }
        })
    }

    fn failing(&self, mode: TestMode, every: u64, runs: u64) -> f64 {
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64);
        let failed: usize = std::thread::scope(|scope| {
            let count = |core| {
                move || {
                    (core..runs)
                        .step_by(cores as usize)
                        .filter(|run| self.fails(mode, every, &mut Random(run << 32)))
                        .count()
                }
            };
            let threads: Vec<_> = (0..cores).map(|core| scope.spawn(count(core))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        failed as f64 / runs as f64
    }

    fn false_alarms(&self, runs: u64) -> FalseAlarms {
        let once = |every| self.failing(TestMode::FixedHorizon, every, runs);
        FalseAlarms {
            one_look: once(self.horizon),
            ten_looks: once(self.horizon / 10),
            all_looks: once(self.every),
            sequential: self.failing(TestMode::Sequential, self.every, runs),
        }
    }
}

fn request<const PER_MILLE: u32>(random: &mut Random, seen: &mut VariantEvidence) {
    let failed = random.chance(f64::from(PER_MILLE) / 1e3);
    if failed { seen.failures += 1 } else { seen.successes += 1 }
}

fn add(seen: &mut VariantEvidence, value: f64) {
    seen.metrics.entry("m".to_owned()).or_default().extend([value]);
}

/// Around ten.
fn normal(random: &mut Random, seen: &mut VariantEvidence) {
    add(seen, 10.0 + random.normal());
}

/// A mean of exp(0.5).
fn lognormal(random: &mut Random, seen: &mut VariantEvidence) {
    add(seen, random.normal().exp());
}

/// One in fifty.
fn rare(random: &mut Random, seen: &mut VariantEvidence) {
    add(seen, f64::from(u8::from(random.chance(0.02))));
}

/// With a covariate that explains nine tenths of the variance.
fn known_before(random: &mut Random, seen: &mut VariantEvidence) {
    let before = 3.0 * random.normal();
    seen.metrics.entry("m".to_owned()).or_default().extend([(before + random.normal(), before)]);
}

/// Exponential around a millisecond.
fn answer(random: &mut Random, seen: &mut VariantEvidence) {
    let nanos = -1e6 * (1.0 - random.unit()).ln();
    seen.latencies.merge(&vec![(nanos as u64, 1)].into());
}

fn trials() -> Vec<Trial> {
    let trial = |name, check: Check, share, observe: Observe, horizon, every| Trial {
        name,
        check,
        share,
        observe,
        horizon,
        every,
    };
    let p99 = Duration::from_secs_f64(1e-3 * 100_f64.ln() * 65.0 / 64.0);
    vec![
        trial(
            "`RateCheck`, 1 % failures, share 50 %",
            RateCheck::failures().into(),
            0.5,
            request::<10>,
            5_000,
            10,
        ),
        trial(
            "`RateCheck`, 1 % failures, share 5 %",
            RateCheck::failures().into(),
            0.05,
            request::<10>,
            5_000,
            10,
        ),
        trial(
            "`RateCheck`, 20 % failures, share 50 %",
            RateCheck::failures().into(),
            0.5,
            request::<200>,
            5_000,
            10,
        ),
        trial(
            "`RateLimit` at the rate of 1 %",
            RateLimit::failures(0.01).into(),
            0.5,
            request::<10>,
            5_000,
            10,
        ),
        trial(
            "`RateLimit` at the rate of 20 %",
            RateLimit::failures(0.2).into(),
            0.5,
            request::<200>,
            5_000,
            10,
        ),
        trial("`LatencyCheck`, p99, share 50 %", LatencyCheck::p99(1.0).into(), 0.5, answer, 5_000, 50),
        trial("`LatencyLimit` at the p99", LatencyLimit::p99(p99).into(), 0.5, answer, 5_000, 50),
        trial(
            "`MeanCheck`, normal, any change",
            MeanCheck::must_not_change("m").into(),
            0.5,
            normal,
            3_000,
            10,
        ),
        trial(
            "`MeanCheck`, normal, share 5 %",
            MeanCheck::must_not_rise("m").into(),
            0.05,
            normal,
            3_000,
            10,
        ),
        trial(
            "`MeanCheck`, lognormal, share 50 %",
            MeanCheck::must_not_rise("m").into(),
            0.5,
            lognormal,
            3_000,
            10,
        ),
        trial(
            "`MeanCheck`, lognormal, share 5 %",
            MeanCheck::must_not_rise("m").into(),
            0.05,
            lognormal,
            3_000,
            10,
        ),
        trial(
            "`MeanCheck`, one in fifty, share 5 %",
            MeanCheck::must_not_fall("m").into(),
            0.05,
            rare,
            3_000,
            10,
        ),
        trial(
            "`MeanCheck` with CUPED",
            MeanCheck::must_not_rise("m").with_cuped().into(),
            0.5,
            known_before,
            3_000,
            10,
        ),
        trial("`MeanLimit`, normal", MeanLimit::at_most("m", 10.0).into(), 0.5, normal, 3_000, 10),
        trial(
            "`MeanLimit`, lognormal",
            MeanLimit::at_most("m", 0.5_f64.exp()).into(),
            0.5,
            lognormal,
            3_000,
            10,
        ),
        trial(
            "`RankCheck`, normal, any change",
            RankCheck::must_not_change("m").into(),
            0.5,
            normal,
            5_000,
            50,
        ),
        trial(
            "`RankCheck`, lognormal, share 5 %",
            RankCheck::must_not_rise("m").into(),
            0.05,
            lognormal,
            5_000,
            50,
        ),
        trial("`SrmCheck`, share 50 %", SrmCheck::new().into(), 0.5, request::<10>, 5_000, 10),
        trial("`SrmCheck`, share 5 %", SrmCheck::new().into(), 0.05, request::<10>, 5_000, 10),
    ]
}

/// The table of the documentation. `cargo test --release -p mlops-rollout -- --ignored --nocapture table`
#[test]
#[ignore = "minutes in release: prints the table of the documentation"]
#[allow(clippy::print_stdout)]
fn table_of_false_alarms() {
    println!("| a candidate that is no worse | one look | ten looks | all looks | sequential, all looks |");
    println!("|---|---|---|---|---|");
    for trial in trials() {
        let alarms = trial.false_alarms(400);
        let percent = |share: f64| format!("{:.1} %", 100.0 * share);
        let FalseAlarms { one_look, ten_looks, all_looks, sequential } = alarms;
        let [one, ten, all, ours] = [one_look, ten_looks, all_looks, sequential].map(percent);
        println!("| {} | {one} | {ten} | {all} | {ours} |", trial.name);
        assert!(sequential <= ALPHA, "{} {alarms:?}", trial.name);
    }
}

/// The same for few runs, so that no check loses its guarantee unseen.
#[test]
fn every_check_keeps_alpha_at_many_looks() {
    for mut trial in trials() {
        (trial.horizon, trial.every) = (800, trial.every.max(20));
        let sequential = trial.failing(TestMode::Sequential, trial.every, 100);
        assert!(sequential <= ALPHA, "{}: {sequential}", trial.name);
    }
}

/// A sample of 512 that is renewed again and again gives no more false alarms than one that grows.
#[test]
#[ignore = "a minute in release: prints a table of the documentation"]
#[allow(clippy::print_stdout)]
fn table_of_renewed_samples() {
    let check = RankCheck::must_not_change("m").into();
    let trial = Trial { name: "", check, share: 0.5, observe: normal, horizon: 50_000, every: 200 };
    let sequential = trial.failing(TestMode::Sequential, trial.every, 400);
    println!("`RankCheck` over 50000 values: {sequential}");
    assert!(sequential <= ALPHA, "{sequential}");
}
