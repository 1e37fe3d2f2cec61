//! Each gate passes, fails and abstains.

use std::time::Duration;

use futures_util::FutureExt;
use mlops_core::{
    DType, Dimension, Error, ManualClock, Model, Request, Response, Result, Signature, TensorSpec,
};

use super::*;
use crate::Verdict::{self, Failed, Inconclusive, Passed};

/// Takes a millisecond of the manual clock, and a second every fiftieth time.
#[derive(Debug)]
struct Timed {
    signature: Signature,
    clock: ManualClock,
    calls: std::sync::atomic::AtomicU64,
}

fn signature(inputs: &[&str]) -> Signature {
    Signature::new(inputs.iter().map(|name| TensorSpec::new(*name, DType::Fp32, [Dimension::Batch])), [])
        .unwrap()
}

fn timed(clock: &ManualClock) -> Timed {
    Timed { signature: signature(&["x"]), clock: clock.clone(), calls: 0.into() }
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
        let call = self.calls.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        self.clock.advance(Duration::from_millis(if call % 50 == 49 { 1_000 } else { 1 }));
        Ok(Response::default())
    }
}

fn candidate() -> Candidate {
    Candidate::new(timed(&ManualClock::default()))
        .with_metrics([("accuracy", 0.93), ("log_loss", 0.2), ("broken", f64::NAN)])
        .with_champion(Champion::new(signature(&["x"])).with_metrics([
            ("accuracy", 0.94),
            ("log_loss", 0.1),
            ("broken", 0.5),
        ]))
}

fn verdict(gate: impl Gate, candidate: &Candidate) -> Verdict {
    Gates::new().with(gate).evaluate(candidate).now_or_never().unwrap().verdict
}

#[test]
fn metrics_know_their_direction_and_nan_never_passes() {
    let candidate = candidate();
    for (gate, expected) in [
        (MetricFloor::new("accuracy", 0.93), Passed),
        (MetricFloor::new("accuracy", 0.94), Failed),
        (MetricFloor::new("log_loss", 0.2).lower_is_better(), Passed),
        (MetricFloor::new("log_loss", 0.1).lower_is_better(), Failed),
        (MetricFloor::new("recall", 0.1), Inconclusive),
        (MetricFloor::new("broken", 0.1), Failed),
        (MetricFloor::new("broken", 0.1).lower_is_better(), Failed),
        (MetricFloor::new("accuracy", f64::NAN), Failed),
    ] {
        assert_eq!(verdict(gate.clone(), &candidate), expected, "{gate:?}");
    }
    for (gate, expected) in [
        (MetricRegression::new("accuracy", 0.02), Passed),
        (MetricRegression::new("accuracy", 0.005), Failed),
        (MetricRegression::new("log_loss", 0.2).lower_is_better(), Passed),
        (MetricRegression::new("log_loss", 0.05).lower_is_better(), Failed),
        (MetricRegression::new("log_loss", 0.0), Passed),
        (MetricRegression::new("recall", 0.1), Inconclusive),
        (MetricRegression::new("broken", 0.9), Failed),
        (MetricRegression::new("accuracy", f64::NAN), Failed),
    ] {
        assert_eq!(verdict(gate.clone(), &candidate), expected, "{gate:?}");
    }
    let alone = Candidate::new(timed(&ManualClock::default())).with_metric("accuracy", 1.0);
    assert_eq!(verdict(MetricRegression::new("accuracy", 0.1), &alone), Inconclusive);
    assert_eq!(verdict(SignatureCompatible, &alone), Inconclusive);
}

#[test]
fn latency_is_measured_on_the_candidate() {
    let clock = ManualClock::default();
    let gate = || LatencyCeiling::new().with_clock(clock.clone());
    let samples = || Candidate::new(timed(&clock)).with_samples([Request::default()]);
    let millis = Duration::from_millis;
    assert_eq!(verdict(gate().with_p50(millis(1)), &samples()), Passed);
    assert_eq!(verdict(gate().with_p50(millis(1)).with_p99(millis(500)), &samples()), Failed);
    assert_eq!(verdict(gate().with_p99(millis(1_000)), &samples()), Passed);
    assert_eq!(verdict(gate().with_p99(millis(1_000)).with_calls(99), &samples()), Inconclusive);
    assert_eq!(verdict(gate().with_p50(millis(1)).with_calls(0), &samples()), Inconclusive);
    assert_eq!(verdict(gate(), &samples()), Inconclusive);
    assert_eq!(verdict(gate().with_p50(millis(1)), &Candidate::new(timed(&clock))), Inconclusive);
    let failing = Candidate::new(timed(&clock)).with_samples([Request::default().with_id("a")]);
    assert_eq!(verdict(gate().with_p50(millis(1)), &failing), Failed);
}

#[test]
fn a_report_is_a_table_with_reasons() {
    let candidate = candidate().with_champion(Champion::new(signature(&[])));
    let gates = Gates::new()
        .with(MetricFloor::new("accuracy", 0.9))
        .with(SignatureCompatible)
        .with(FnGate::new("bug", |_: &Candidate| panic!("oh")));
    let report = gates.evaluate(&candidate).now_or_never().unwrap();
    assert_eq!(
        report.to_string(),
        "gate                  verdict       reason\n\
         accuracy floor        passed        0.93 is at least 0.9\n\
         signature compatible  failed        breaking: input `x` (FP32 [batch]) is added\n\
         bug                   failed        the gate itself panicked\n\
         all                   failed"
    );
    assert!(!report.is_passed());
    let json = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<GateReport>(&json).unwrap(), report);
    assert_eq!(Gates::new().evaluate(&candidate).now_or_never().unwrap().verdict, Inconclusive);
}
