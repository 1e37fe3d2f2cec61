//! Each gate passes, fails and abstains.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use mlops_core::{
    DType, Dimension, Error, ManualClock, Model, ModelId, ModelName, Request, Response, Result, Signature,
    Tensor, TensorSpec, Tensors,
};

use super::*;
use crate::Verdict::{self, Failed, Inconclusive, Passed};
use crate::{Judgement, Within};

/// Takes a millisecond of the manual clock, and a second every fiftieth time.
#[derive(Debug)]
struct Timed {
    signature: Signature,
    clock: ManualClock,
    calls: AtomicU64,
    usual: Duration,
}

fn signature(inputs: &[&str]) -> Signature {
    Signature::new(inputs.iter().map(|name| TensorSpec::new(*name, DType::Fp32, [Dimension::Batch])), [])
        .unwrap()
}

const MILLI: Duration = Duration::from_millis(1);

fn timed(clock: &ManualClock, usual: Duration) -> Timed {
    Timed { signature: signature(&["x"]), clock: clock.clone(), calls: 0.into(), usual }
}

#[async_trait]
impl Model for Timed {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    async fn predict(&self, request: Request) -> Result<Response> {
        if request.id.is_some() {
            return Err(Error::engine("no room for names"));
        }
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        self.clock.advance(if call % 50 == 49 { Duration::from_secs(1) } else { self.usual });
        Ok(Response::default())
    }
}

/// Answers every request with a number.
#[derive(Debug)]
pub(super) struct Says(Signature, f32);

pub(super) fn says(number: f32) -> Says {
    Says(signature(&[]), number)
}

#[async_trait]
impl Model for Says {
    fn signature(&self) -> &Signature {
        &self.0
    }

    async fn predict(&self, _: Request) -> Result<Response> {
        Ok(Response::new(Tensors::new().with("y", Tensor::from(vec![self.1]))))
    }
}

fn candidate() -> Candidate {
    Candidate::new(timed(&ManualClock::default(), MILLI))
        .with_metrics([("accuracy", 0.93), ("log_loss", 0.2), ("broken", f64::NAN), ("huge", 1e308)])
        .with_champion(Champion::new(signature(&["x"])).with_metrics([
            ("accuracy", 0.94),
            ("log_loss", 0.1),
            ("broken", 0.5),
            ("huge", -1e308),
        ]))
}

fn report(gates: &Gates, candidate: &Candidate) -> GateReport {
    pollster::block_on(gates.evaluate(candidate))
}

fn outcome(gate: impl Gate, candidate: &Candidate) -> GateOutcome {
    report(&Gates::new().with(gate), candidate).outcomes.remove(0)
}

fn verdict(gate: impl Gate, candidate: &Candidate) -> Verdict {
    outcome(gate, candidate).verdict
}

fn always(verdict: Verdict) -> impl Gate {
    FnGate::new(format!("always {verdict}"), move |_: &Candidate| Finding::new(verdict, "so it is"))
}

#[test]
fn metrics_know_their_direction_and_nan_never_passes() {
    let candidate = candidate();
    for (gate, expected) in [
        (MetricFloor::new("accuracy", 0.93), Passed),
        (MetricFloor::new("accuracy", 0.94), Failed),
        (MetricFloor::new("recall", 0.1), Inconclusive),
        (MetricFloor::new("broken", 0.1), Failed),
        (MetricFloor::new("accuracy", f64::NAN), Failed),
        (MetricFloor::new("accuracy", 0.5).with_confidence(0.95), Inconclusive),
        (MetricFloor::new("accuracy", 0.5).with_confidence(1.0), Failed),
    ] {
        assert_eq!(verdict(gate.clone(), &candidate), expected, "{gate:?}");
    }
    for (gate, expected) in [
        (MetricCeiling::new("log_loss", 0.2), Passed),
        (MetricCeiling::new("log_loss", 0.1), Failed),
        (MetricCeiling::new("broken", 0.1), Failed),
        (MetricCeiling::new("log_loss", f64::INFINITY), Failed),
    ] {
        assert_eq!(verdict(gate.clone(), &candidate), expected, "{gate:?}");
    }
    for (gate, expected) in [
        (MetricRegression::new("accuracy", 0.02), Passed),
        (MetricRegression::new("accuracy", 0.005), Failed),
        (MetricRegression::new("log_loss", 0.2), Passed),
        (MetricRegression::new("log_loss", 0.05), Failed),
        (MetricRegression::new("log_loss", 0.0).higher_is_better(), Passed),
        (MetricRegression::new("recall", 0.1), Inconclusive),
        (MetricRegression::new("broken", 0.9), Failed),
        (MetricRegression::new("accuracy", f64::NAN), Failed),
        (MetricRegression::new("accuracy", f64::INFINITY), Failed),
        (MetricRegression::new("huge", 1e308).lower_is_better(), Failed),
        (MetricRegression::new("bias", 0.1), Failed),
    ] {
        assert_eq!(verdict(gate.clone(), &candidate), expected, "{gate:?}");
    }
    let alone = Candidate::new(says(1.0)).with_metric("accuracy", 1.0);
    assert_eq!(verdict(MetricRegression::new("accuracy", 0.1), &alone), Inconclusive);
    assert_eq!(verdict(SignatureCompatible, &alone), Inconclusive);
    let impossible = Candidate::new(says(1.0)).with_metrics([("accuracy", 1e300), ("log_loss", -1.0)]);
    assert_eq!(verdict(MetricFloor::new("accuracy", 0.9), &impossible), Failed);
    assert_eq!(verdict(MetricCeiling::new("log_loss", 0.9), &impossible), Failed);
}

/// Labels half and half; scores that are right in all rows but every `wrong`th.
fn rows(count: usize, wrong: usize) -> Evaluation {
    let labels = (0..count).map(|row| row % 2 == 0);
    let scores = (0..count).map(|row| {
        let right = if row % 2 == 0 { 0.9 } else { 0.1 };
        if wrong > 0 && row % wrong == 0 { 1.0 - right } else { right }
    });
    Evaluation::binary(labels, scores).unwrap()
}

fn evaluated(ours: Evaluation, theirs: Evaluation) -> Candidate {
    let champion = Champion::new(signature(&[])).with_evaluation(theirs);
    Candidate::new(says(1.0)).with_evaluation(ours).with_champion(champion)
}

#[test]
fn metrics_are_computed_from_rows_rather_than_believed() {
    let candidate = Candidate::new(says(1.0)).with_evaluation(rows(100, 10)).with_metric("accuracy", 1.0);
    let found = outcome(MetricFloor::new("accuracy", 0.9), &candidate);
    assert_eq!(found.reason, "0.9 is at least 0.9, on 100 rows");
    assert_eq!((found.evidence["value"], found.evidence["rows"]), (0.9, 100.0));
    assert_eq!(verdict(MetricFloor::new("accuracy", 0.91), &candidate), Failed);
    assert_eq!(verdict(MetricFloor::new("mae", 0.0), &candidate), Inconclusive);
    let sure = |floor| MetricFloor::new("accuracy", floor).with_confidence(0.95);
    for (floor, expected) in [(0.8, Passed), (0.88, Inconclusive), (0.92, Inconclusive), (0.97, Failed)] {
        assert_eq!(verdict(sure(floor), &candidate), expected, "{floor}");
    }
    for metric in ["f1", "roc_auc", "log_loss", "mcc"] {
        let found = outcome(MetricFloor::new(metric, 0.0).with_confidence(0.95), &candidate);
        assert_eq!(found.verdict, Passed, "{found:?}");
        assert!(found.evidence["lower"] < found.evidence["value"], "{found:?}");
    }
}

#[test]
fn a_regression_is_judged_by_its_interval() {
    let gate = || MetricRegression::new("accuracy", 0.02);
    // 10 % wrong against 10 %: the same rows.
    assert_eq!(verdict(gate(), &evaluated(rows(4_000, 10), rows(4_000, 10))), Passed);
    // 20 % against 10 %.
    let worse = outcome(gate(), &evaluated(rows(4_000, 5), rows(4_000, 10)));
    assert_eq!((worse.verdict, worse.evidence["rows"]), (Failed, 4_000.0));
    assert!((worse.evidence["drop"] - 0.1).abs() < 1e-12 && worse.evidence["drop_lower"] > 0.08);
    // The same, on few rows: it may still be chance, and it may not.
    let few = outcome(MetricRegression::new("accuracy", 0.06), &evaluated(rows(60, 5), rows(60, 10)));
    assert_eq!(few.verdict, Inconclusive);
    assert!(few.reason.ends_with("more rows will hardly show that it is within"), "{}", few.reason);
    let unsure = outcome(gate(), &evaluated(rows(100, 10), rows(100, 10)));
    assert_eq!(unsure.verdict, Inconclusive);
    assert!(unsure.reason.contains("rows would tell"), "{}", unsure.reason);
    assert_eq!(verdict(gate().lenient(), &evaluated(rows(100, 10), rows(100, 10))), Passed);
    assert_eq!(verdict(gate().lenient(), &evaluated(rows(4_000, 5), rows(4_000, 10))), Failed);
    let hardly = outcome(gate().lenient(), &evaluated(rows(20, 10), rows(20, 10)));
    assert_eq!((hardly.verdict, &*hardly.reason), (Inconclusive, "10 more rows are needed (20 of 30)"));
}

#[test]
fn other_rows_are_compared_as_such_and_figures_alone_are_said_to_be() {
    let shorter = evaluated(rows(3_000, 10), rows(4_000, 10));
    let found = outcome(MetricRegression::new("accuracy", 0.05), &shorter);
    assert_eq!(found.verdict, Passed);
    assert!(found.reason.ends_with("(3000 rows against 4000 others)"), "{}", found.reason);
    let found = outcome(MetricRegression::new("roc_auc", 0.01), &shorter);
    assert_eq!(found.verdict, Passed);
    assert!(found.reason.ends_with("figures alone, chance is not ruled out"), "{}", found.reason);
    assert_eq!(verdict(MetricRegression::new("log_loss", 0.05), &shorter), Passed);
}

#[test]
fn rows_without_an_answer_never_pass() {
    let nothing = || Evaluation::binary([], []).unwrap();
    let one_class = || Evaluation::binary(vec![true; 50], vec![0.9; 50]).unwrap();
    let nan = || Evaluation::binary([true, false].repeat(50), vec![f64::NAN; 100]).unwrap();
    let huge = || Evaluation::regression([1.0, 2.0].repeat(25), [f64::MAX; 50]).unwrap();
    for metric in ["accuracy", "roc_auc", "f1", "log_loss", "brier_score", "calibration_error"] {
        let gate = || MetricFloor::new(metric, -10.0);
        let both = |rows: fn() -> Evaluation| evaluated(rows(), rows());
        assert_eq!(verdict(gate(), &both(nothing)), Inconclusive, "{metric}");
        assert_eq!(verdict(gate(), &both(nan)), Failed, "{metric}");
        let regression = || MetricRegression::new(metric, 10.0);
        assert_ne!(verdict(regression(), &both(nothing)), Passed, "{metric}");
        assert_ne!(verdict(regression(), &both(nan)), Passed, "{metric}");
        assert_eq!(verdict(regression(), &evaluated(nan(), rows(100, 10))), Failed, "{metric}");
        assert_eq!(verdict(regression(), &evaluated(rows(100, 10), nan())), Inconclusive, "{metric}");
    }
    assert_eq!(verdict(MetricFloor::new("roc_auc", 0.0), &evaluated(one_class(), one_class())), Inconclusive);
    for metric in ["mae", "mse", "rmse", "bias", "r2", "median_absolute_error"] {
        let candidate = evaluated(huge(), huge());
        let finds = [
            verdict(MetricFloor::new(metric, -10.0).with_confidence(0.9), &candidate),
            verdict(MetricRegression::new(metric, 10.0).lower_is_better(), &candidate),
        ];
        // A median is a number all the same.
        let harmless = metric == "median_absolute_error";
        assert!(harmless || finds.iter().all(|verdict| *verdict != Passed), "{metric} {finds:?}");
    }
}

#[test]
fn the_worst_slice_is_named_and_small_ones_are_not_passed_over() {
    // 600 rows in NO and SE each, half as many wrong in NO; 10 rows in DK.
    let countries = (0..1_210).map(|row| match row {
        0..600 => "NO",
        600..1_200 => "SE",
        _ => "DK",
    });
    let labels = (0..1_210).map(|row| row % 2 == 0);
    let right = (0..1_210).map(|row| row % if row < 600 { 10 } else { 5 } != 0);
    let decisions = labels.clone().zip(right).map(|(label, right)| label == right);
    let ours = Evaluation::decisions(labels, decisions).unwrap().with_slices("country", countries).unwrap();
    let candidate = Candidate::new(says(1.0)).with_evaluation(ours.clone());
    let floor = |floor| MetricFloor::new("accuracy", floor).on_each("country");

    let found = outcome(floor(0.75), &candidate);
    assert_eq!(found.verdict, Inconclusive);
    assert_eq!(
        found.reason,
        "worst country = DK: too few rows: 10 of 30 rows; 0 failed and 1 open of 3 slices"
    );
    assert_eq!(verdict(floor(0.75).leaving_small_out(), &candidate), Passed);
    let failed = outcome(floor(0.85).leaving_small_out(), &candidate);
    assert_eq!(failed.verdict, Failed);
    assert!(failed.reason.starts_with("worst country = SE: 0.8000 on 600 rows"), "{}", failed.reason);
    assert!(failed.reason.ends_with("1 failed and 0 open of 3 slices, 1 left out as too small"));
    assert_eq!(failed.parts.len(), 2);
    // Below the floor, but not for certain.
    assert_eq!(verdict(floor(0.81).leaving_small_out(), &candidate), Inconclusive);
    assert_eq!(verdict(floor(0.81).leaving_small_out().lenient(), &candidate), Passed);
    assert_eq!(verdict(floor(0.99).with_min_rows(10_000).leaving_small_out(), &candidate), Inconclusive);
    assert_eq!(verdict(MetricFloor::new("accuracy", 0.1).on_each("planet"), &candidate), Inconclusive);
    assert_eq!(verdict(MetricFloor::new("accuracy", f64::NAN).on_each("country"), &candidate), Failed);

    let labels: Vec<bool> = (0..1_210).map(|row| row % 2 == 0).collect();
    let champion = |wrong: usize| {
        let decisions = labels.iter().enumerate().map(|(row, label)| *label == (row % wrong != 0));
        Champion::new(signature(&[]))
            .with_evaluation(Evaluation::decisions(labels.clone(), decisions).unwrap())
    };
    let regression = || MetricRegression::new("accuracy", 0.02).on_each("country").leaving_small_out();
    let against = |wrong| candidate.clone().with_champion(champion(wrong));
    assert_eq!(verdict(regression(), &candidate), Inconclusive);
    let found = outcome(regression(), &against(10));
    assert_eq!(found.verdict, Failed);
    assert!(found.reason.starts_with("worst country = SE: 0.1000 on 600 rows"), "{}", found.reason);
    assert_eq!(verdict(regression(), &against(5)), Passed);
}

#[test]
fn groups_are_compared_once_they_are_large_enough() {
    // Of 200 of each group half are positive; `a` is called positive in all of them, `b` in half of them.
    let groups = (0..400).map(|row| if row < 200 { "a" } else { "b" });
    let labels: Vec<bool> = (0..400).map(|row| row % 2 == 0).collect();
    let decisions = labels.iter().enumerate().map(|(row, label)| *label && (row < 200 || row % 4 == 0));
    let ours = Evaluation::decisions(labels.clone(), decisions).unwrap();
    let candidate = Candidate::new(says(1.0)).with_evaluation(ours.with_slices("gender", groups).unwrap());
    let gate = || FairnessGate::new("gender");
    for (gate, expected) in [
        (gate().with_max_demographic_parity_difference(0.25), Passed),
        (gate().with_max_demographic_parity_difference(0.2), Failed),
        (gate().with_min_demographic_parity_ratio(0.5), Passed),
        (gate().with_min_demographic_parity_ratio(0.8), Failed),
        (gate().with_max_equal_opportunity_difference(0.5), Passed),
        (gate().with_max_equal_opportunity_difference(0.4), Failed),
        (gate().with_max_equalized_odds_difference(0.4), Failed),
        (gate().with_max_equalized_odds_difference(0.5).with_min_rows(101), Inconclusive),
        (gate().with_max_demographic_parity_difference(0.25).with_min_rows(200), Passed),
        (gate().with_max_demographic_parity_difference(0.25).with_min_rows(201), Inconclusive),
        (gate().with_max_demographic_parity_difference(f64::NAN), Inconclusive),
        (gate(), Inconclusive),
        (FairnessGate::new("age").with_max_demographic_parity_difference(1.0), Inconclusive),
    ] {
        assert_eq!(verdict(gate.clone(), &candidate), expected, "{gate:?}");
    }
    let found = outcome(gate().with_min_demographic_parity_ratio(0.8), &candidate);
    assert_eq!(found.reason, "demographic_parity_ratio 0.5000 is not at least 0.8 (`b` 0.2500, `a` 0.5000)");
    let one_group = Evaluation::decisions(labels.clone(), labels.clone()).unwrap();
    let alone = one_group.with_slices("gender", vec!["a"; 400]).unwrap();
    let alone = Candidate::new(says(1.0)).with_evaluation(alone);
    assert_eq!(verdict(gate().with_max_demographic_parity_difference(1.0), &alone), Inconclusive);
}

#[test]
fn samples_are_counted_in_all_and_by_class_and_slice() {
    let ours = rows(100, 0).with_slices("country", (0..100).map(|row| if row < 90 { "NO" } else { "SE" }));
    let candidate = Candidate::new(says(1.0)).with_evaluation(ours.unwrap());
    assert_eq!(verdict(SampleSize::of_rows(100).with_each_class(50), &candidate), Passed);
    assert_eq!(verdict(SampleSize::of_rows(101), &candidate), Inconclusive);
    assert_eq!(verdict(SampleSize::of_rows(1).with_each_class(51), &candidate), Inconclusive);
    let found = outcome(SampleSize::of_rows(1).with_each_slice("country", 50), &candidate);
    assert_eq!(found.reason, "40 more rows of country = SE are needed (10 of 50)");
    let empty = Candidate::new(says(1.0)).with_evaluation(Evaluation::binary([], []).unwrap());
    assert_eq!(verdict(SampleSize::of_rows(0), &empty), Inconclusive);
    assert_eq!(verdict(SampleSize::of_rows(0), &Candidate::new(says(1.0))), Inconclusive);
}

#[test]
fn latency_is_measured_on_the_candidate() {
    let clock = ManualClock::default();
    let gate = || LatencyCeiling::new().with_clock(clock.clone());
    let samples = || Candidate::new(timed(&clock, MILLI)).with_samples([Request::default()]);
    let millis = Duration::from_millis;
    assert_eq!(verdict(gate().with_p50(millis(1)), &samples()), Passed);
    assert_eq!(verdict(gate().with_p50(millis(1)).with_p99(millis(500)), &samples()), Failed);
    let found = outcome(gate().with_p99(millis(1_000)), &samples());
    assert_eq!((found.verdict, found.evidence["calls"], found.evidence["p99_seconds"]), (Passed, 200.0, 1.0));
    assert_eq!(verdict(gate().with_p99(millis(1_000)).with_calls(99), &samples()), Inconclusive);
    assert_eq!(verdict(gate().with_p50(millis(1)).with_calls(0), &samples()), Inconclusive);
    assert_eq!(verdict(gate(), &samples()), Inconclusive);
    assert_eq!(verdict(gate().with_p50(millis(1)), &Candidate::new(timed(&clock, MILLI))), Inconclusive);
    let failing = Candidate::new(timed(&clock, MILLI)).with_samples([Request::default().with_id("a")]);
    assert_eq!(verdict(gate().with_p50(millis(1)), &failing), Failed);
    let hurried = outcome(gate().with_p99(millis(1_000)).within(millis(50)), &samples());
    assert_eq!(hurried.verdict, Inconclusive);
    assert!(hurried.reason.ends_with("calls of the 100 that are needed"), "{}", hurried.reason);
}

#[test]
fn latencies_are_compared_side_by_side() {
    let clock = ManualClock::default();
    let gate = || LatencyRegression::new().with_clock(clock.clone());
    let against = |ours: Duration, theirs: Duration| {
        Candidate::new(timed(&clock, ours))
            .with_champion(Champion::of(timed(&clock, theirs)))
            .with_samples([Request::default()])
    };
    assert_eq!(verdict(gate().with_p50(1.1), &against(MILLI, MILLI)), Passed);
    let slower = outcome(gate().with_p50(1.1), &against(2 * MILLI, MILLI));
    assert_eq!(slower.verdict, Failed);
    assert_eq!(slower.reason, "p50 2.00ms against 1.00ms is above 1.1 times (500 calls of each)");
    assert_eq!(verdict(gate().with_p50(2.0).with_p99(1.0), &against(2 * MILLI, MILLI)), Passed);
    assert_eq!(verdict(gate().with_p50(1.1), &against(MILLI, 2 * MILLI)), Passed);
    assert_eq!(verdict(gate(), &against(MILLI, MILLI)), Inconclusive);
    assert_eq!(verdict(gate().with_p50(f64::NAN), &against(MILLI, MILLI)), Inconclusive);
    assert_eq!(verdict(gate().with_p50(1.1).within(Duration::ZERO), &against(MILLI, MILLI)), Inconclusive);
    let alone = Candidate::new(timed(&clock, MILLI)).with_samples([Request::default()]);
    assert_eq!(verdict(gate().with_p50(1.1), &alone), Inconclusive);
    let nothing_to_ask =
        Candidate::new(timed(&clock, MILLI)).with_champion(Champion::of(timed(&clock, MILLI)));
    assert_eq!(verdict(gate().with_p50(1.1), &nothing_to_ask), Inconclusive);
}

#[test]
fn sizes_are_given_or_measured() {
    let candidate = Candidate::new(says(1.0)).with_size(1_000).with_memory(5_000);
    assert_eq!(verdict(SizeCeiling::of_artifacts(1_000), &candidate), Passed);
    assert_eq!(verdict(SizeCeiling::of_artifacts(999), &candidate), Failed);
    assert_eq!(verdict(SizeCeiling::of_memory(4_999), &candidate), Failed);
    assert_eq!(verdict(SizeCeiling::of_memory(1), &Candidate::new(says(1.0))), Inconclusive);
    let measured = |bytes| SizeCeiling::of_memory(100).measured_by(move |_: &Candidate| Ok(bytes));
    assert_eq!(verdict(measured(100), &candidate), Passed);
    assert_eq!(verdict(measured(u64::MAX), &candidate), Failed);
    let broken = SizeCeiling::of_memory(100).measured_by(|_: &Candidate| Err(Error::internal("no gauge")));
    assert_eq!(verdict(broken, &candidate), Failed);
    let grown = || SizeCeiling::of_artifacts(u64::MAX).with_max_growth(1.1);
    let against = |bytes| {
        let champion = Champion::new(signature(&[])).with_size(bytes);
        candidate.clone().with_champion(champion)
    };
    assert_eq!(verdict(grown(), &against(950)), Passed);
    assert_eq!(verdict(grown(), &against(900)), Failed);
    assert_eq!(verdict(grown(), &candidate), Inconclusive);
    assert_eq!(verdict(SizeCeiling::of_artifacts(1).with_max_growth(f64::NAN), &candidate), Inconclusive);
}

#[test]
fn the_stored_model_must_say_the_same() {
    let samples = || Candidate::new(says(1.0)).with_samples([Request::default(), Request::default()]);
    let gate = StoredMatches::new;
    assert_eq!(verdict(gate(), &samples()), Inconclusive);
    assert_eq!(verdict(gate(), &Candidate::new(says(1.0)).with_stored(says(1.0))), Inconclusive);
    assert_eq!(verdict(gate(), &samples().with_stored(says(1.0))), Passed);
    let near = samples().with_stored(says(1.001));
    let found = outcome(gate(), &near);
    assert_eq!(found.verdict, Failed);
    assert_eq!(found.reason, "other answers to 2 of 2 samples, the first of them sample 0");
    assert_eq!(verdict(gate().with_comparer(Within::new(0.01, 0.0)), &near), Passed);
    let other = samples().with_stored(timed(&ManualClock::default(), MILLI));
    assert_eq!(verdict(gate(), &other), Failed);
    let nan = Candidate::new(says(f32::NAN)).with_samples([Request::default()]).with_stored(says(1.0));
    assert_eq!(verdict(gate().with_comparer(Within::new(f64::MAX, 0.0)), &nan), Failed);
}

#[test]
fn closures_of_either_kind_are_gates() {
    let gates = Gates::new()
        .with(FnGate::new("judged", |_: &Candidate| Judgement::passed("yes")))
        .with(FnGate::new("found", |_: &Candidate| Finding::passed("yes").with_evidence("nan", f64::NAN)))
        .with(AsyncFnGate::new("asked", |candidate: Candidate| async move {
            match candidate.model().predict(Request::default()).await {
                Ok(_) => Finding::passed("it answers").with_evidence("answers", 1.0),
                Err(error) => Finding::failed(error.to_string()),
            }
        }));
    let report = report(&gates, &Candidate::new(says(1.0)));
    assert!(report.is_passed(), "{report}");
    assert!(report.outcomes[1].evidence.is_empty());
    assert_eq!(report.outcomes[2].evidence["answers"], 1.0);
}

#[test]
fn a_gate_that_panics_hangs_or_blocks_has_failed_and_the_others_have_not() {
    let limit = Duration::from_millis(100);
    let gates = Gates::new()
        .with(FnGate::new("panics", |_: &Candidate| -> Finding { panic!("oh") }))
        .with(
            AsyncFnGate::new("hangs", |_: Candidate| std::future::pending::<Finding>())
                .with_time_limit(limit),
        )
        .with(
            FnGate::new("blocks", |_: &Candidate| -> Finding {
                std::thread::sleep(Duration::from_secs(5));
                Finding::passed("too late")
            })
            .with_time_limit(limit),
        )
        .with(
            all_of("inside")
                .with(
                    AsyncFnGate::new("hangs", |_: Candidate| std::future::pending::<Finding>())
                        .with_time_limit(limit),
                )
                .with(always(Passed)),
        )
        .with(always(Passed));
    let began = Instant::now();
    let report = report(&gates, &Candidate::new(says(1.0)));
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    let verdicts: Vec<Verdict> = report.outcomes.iter().map(|outcome| outcome.verdict).collect();
    assert_eq!(verdicts, [Failed, Failed, Failed, Failed, Passed], "{report}");
    assert_eq!(report.outcomes[0].reason, "the gate itself panicked: oh");
    assert_eq!(report.outcomes[1].reason, "the gate did not end within 100ms");
    assert_eq!(report.outcomes[3].reason, "1 of 2 passed, all are needed");
}

#[tokio::test]
async fn gates_have_the_runtime_of_the_caller_and_end_with_it() {
    let gate = AsyncFnGate::new("spawns", |_: Candidate| async {
        tokio::time::sleep(MILLI).await;
        tokio::spawn(async { Finding::passed("on the runtime") }).await.unwrap()
    });
    let gates = Gates::new().with(gate);
    assert!(gates.evaluate(&Candidate::new(says(1.0))).await.is_passed());

    let (dropped, was_dropped) = tokio::sync::mpsc::channel::<()>(1);
    let waiting = AsyncFnGate::new("waits", move |_: Candidate| {
        let dropped = dropped.clone();
        async move {
            let _held = dropped;
            std::future::pending::<Finding>().await
        }
    });
    let (gates, candidate) = (Gates::new().with(waiting), Candidate::new(says(1.0)));
    assert!(tokio::time::timeout(20 * MILLI, gates.evaluate(&candidate)).await.is_err());
    drop(gates);
    let mut was_dropped = was_dropped;
    // Nobody holds the sender any more once the gate has been dropped.
    assert!(tokio::time::timeout(Duration::from_secs(5), was_dropped.recv()).await.unwrap().is_none());
}

#[test]
fn warnings_are_told_and_do_not_count() {
    let gates = Gates::new().with(always(Passed)).with(always(Failed).warn_only());
    let found = report(&gates, &Candidate::new(says(1.0)));
    assert!(found.is_passed());
    assert_eq!(found.warnings().map(|outcome| &*outcome.gate).collect::<Vec<_>>(), ["always failed"]);
    assert!(found.to_string().contains("failed (warns only)"), "{found}");
    let nothing_counts = Gates::new().with(always(Passed).warn_only());
    assert_eq!(report(&nothing_counts, &Candidate::new(says(1.0))).verdict, Inconclusive);
}

#[test]
fn a_report_is_a_table_with_reasons_and_comes_back_from_json() {
    let candidate = candidate().with_champion(Champion::new(signature(&[])));
    let gates = Gates::new()
        .with(MetricFloor::new("accuracy", 0.9))
        .with(SignatureCompatible)
        .with(any_of("either").with(always(Failed)).with(always(Passed).warn_only()))
        .with(FnGate::new("bug", |_: &Candidate| -> Finding { panic!("oh\nno") }).warn_only());
    let report = report(&gates, &candidate);
    assert_eq!(
        report.to_string(),
        "gate                  verdict              reason\n\
         accuracy floor        passed               0.93 is at least 0.9, as it was given\n\
         signature compatible  failed               breaking: input `x` (FP32 [batch]) is added\n\
         either                failed               0 of 1 passed, one is needed\n  \
           always failed       failed               so it is\n  \
           always passed       passed               so it is\n\
         bug                   failed (warns only)  the gate itself panicked: oh no\n\
         all                   failed"
    );
    assert!(!report.is_passed());
    let json = report.to_json().unwrap();
    assert_eq!(GateReport::from_json(json.as_bytes()).unwrap(), report);
    let forged = json.replacen("\"verdict\": \"failed\"", "\"verdict\": \"passed\"", 1);
    let error = GateReport::from_json(forged.as_bytes()).unwrap_err();
    assert!(error.to_string().contains("says passed, but its outcomes say failed"), "{error}");
    assert!(GateReport::from_json(b"{}").is_err());
    let none = pollster::block_on(Gates::new().evaluate(&candidate));
    assert_eq!(none.verdict, Inconclusive);
}

#[test]
fn a_report_is_attached_with_its_numbers() {
    let id = || ModelId::new(ModelName::new("fraud").unwrap(), "2.0.0".parse().unwrap());
    let gates = Gates::new()
        .with(MetricFloor::new("accuracy", 0.9))
        .with(all_of("both").with(MetricCeiling::new("log_loss", 0.3)).with(always(Passed)));
    let report = report(&gates, &candidate());
    let new = report.for_version(id(), "release gates").by("ci");
    assert_eq!((new.passed, &*new.name, &*new.actor), (Some(true), "release gates", "ci"));
    assert_eq!(new.metrics["accuracy floor/value"], 0.93);
    assert_eq!(new.metrics["both/log_loss ceiling/value"], 0.2);
    assert_eq!(new.summary, report.to_string());

    let long = FnGate::new("talks", |_: &Candidate| {
        let finding = Finding::inconclusive("ä".repeat(100_000)).with_evidence("n".repeat(300), 1.0);
        (0..2_000).fold(finding, |finding, index| finding.with_evidence(index.to_string(), 1.0))
    });
    let new = pollster::block_on(Gates::new().with(long).evaluate(&candidate())).for_version(id(), "long");
    assert_eq!((new.passed, new.metrics.len()), (Some(false), 1_000));
    assert!(new.summary.len() < 64 << 10);
    assert!(new.summary.ends_with("(the table goes on)\n(1001 numbers are left out)"));
}
