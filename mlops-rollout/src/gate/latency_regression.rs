//! As fast as before, measured side by side.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use mlops_core::Clock;
use mlops_core::stats::{BinomialSample, TwoProportionIntervalMethod, quantiles, two_proportion_interval};

use super::measure::{Calls, FOR_P50, FOR_P99, seconds};
use super::{Candidate, Finding, Gate};
use crate::Verdict;

/// The candidate's latency on the sample requests must not exceed the champion's by more than a ratio.
///
/// The gate asks both models the same samples in turn, now the one first and now the other, so that whatever
/// else the machine does meets both: 10 calls of each to warm up, then 500 that count, for a minute at most. It
/// needs the champion's model: [`Champion::of`](super::Champion::of).
///
/// A quantile is compared by counting. When the candidate's p99 is within the limit, `max_ratio` times the
/// champion's p99, then at most 1 % of its calls take longer. The gate fails when the share of its calls that do
/// exceeds that of the champion's calls beyond the champion's own p99 for certain (the two-sided interval of
/// Newcombe at 95 % lies above 0), passes when the measured quantile is within the limit, and is inconclusive
/// between the two.
///
/// ```
/// use mlops_rollout::LatencyRegression;
///
/// let gate = LatencyRegression::new().with_p50(1.1).with_p99(1.25); // 10 % and 25 % more
/// ```
#[derive(Debug, Clone)]
pub struct LatencyRegression {
    p50: Option<f64>,
    p99: Option<f64>,
    calls: Calls,
}

const CONFIDENCE: f64 = 0.95;

impl LatencyRegression {
    /// No ratio yet. Without a ratio nothing passes.
    #[must_use]
    pub fn new() -> Self {
        Self { p50: None, p99: None, calls: Calls { counted: 500, ..Calls::default() } }
    }

    /// The median must not be above `max_ratio` times the champion's.
    #[must_use]
    pub fn with_p50(mut self, max_ratio: f64) -> Self {
        self.p50 = Some(max_ratio);
        self
    }

    /// The p99 must not be above `max_ratio` times the champion's.
    #[must_use]
    pub fn with_p99(mut self, max_ratio: f64) -> Self {
        self.p99 = Some(max_ratio);
        self
    }

    /// How many calls of each model count.
    #[must_use]
    pub fn with_calls(mut self, calls: usize) -> Self {
        self.calls.counted = calls;
        self
    }

    /// How many calls of each model come before those that count.
    #[must_use]
    pub fn with_warm_up(mut self, calls: usize) -> Self {
        self.calls.warm_up = calls;
        self
    }

    /// For how long calls are made.
    #[must_use]
    pub fn within(mut self, time: Duration) -> Self {
        self.calls.within = time;
        self
    }

    /// Takes time from `clock`.
    #[must_use]
    pub fn with_clock(mut self, clock: impl Clock) -> Self {
        self.calls.clock = Arc::new(clock);
        self
    }

    pub(super) fn fault(&self) -> Option<String> {
        if self.p50.is_none() && self.p99.is_none() {
            return Some("no ratio is set; set `p50` or `p99`".to_owned());
        }
        for (name, ratio) in [("p50", self.p50), ("p99", self.p99)] {
            if let Some(ratio) = ratio.filter(|ratio| !(*ratio > 0.0 && ratio.is_finite())) {
                return Some(format!("`{name}` is {ratio}; it must be a positive, finite ratio"));
            }
        }
        self.calls.fault(self.p99.is_some())
    }

    fn judge(&self, ours: &[f64], theirs: &[f64]) -> Finding {
        let needed = if self.p99.is_some() { FOR_P99 } else { FOR_P50 };
        if ours.len() < needed {
            let calls = ours.len();
            return Finding::inconclusive(format!(
                "there was time for {calls} calls of each of the {needed} that are needed"
            ));
        }
        let (mut verdicts, mut reasons) = (Vec::new(), Vec::new());
        let mut finding = Finding::inconclusive("").with_evidence("calls", ours.len() as f64);
        for (name, quantile, ratio) in [("p50", 0.5, self.p50), ("p99", 0.99, self.p99)] {
            let Some(ratio) = ratio else { continue };
            let at = |latencies: &[f64]| quantiles(latencies, &[quantile]).ok()?.first().copied();
            let (Some(mine), Some(usual)) = (at(ours), at(theirs)) else {
                return Finding::inconclusive("no call was measured");
            };
            let (verdict, word) = compare(ours, theirs, mine, usual, usual * ratio);
            verdicts.push(verdict);
            let (was, is) = (seconds(usual), seconds(mine));
            reasons.push(format!("{name} {is:.2?} against {was:.2?} is {word} {ratio} times"));
            finding = finding
                .with_evidence(format!("{name}_seconds"), mine)
                .with_evidence(format!("{name}_champion_seconds"), usual)
                .with_evidence(format!("{name}_max_ratio"), ratio);
        }
        let reason = format!("{} ({} calls of each)", reasons.join("; "), ours.len());
        Finding { verdict: Verdict::of_all(verdicts), reason, ..finding }
    }
}

fn compare(ours: &[f64], theirs: &[f64], mine: f64, usual: f64, limit: f64) -> (Verdict, &'static str) {
    let beyond = |latencies: &[f64], limit: f64| {
        let slow = latencies.iter().filter(|latency| **latency > limit).count();
        BinomialSample::new(slow as u64, latencies.len() as u64)
    };
    let interval = beyond(ours, limit).and_then(|slow| {
        two_proportion_interval(
            slow,
            beyond(theirs, usual)?,
            CONFIDENCE,
            TwoProportionIntervalMethod::Newcombe,
        )
    });
    match interval {
        Ok(interval) if interval.lower > 0.0 => (Verdict::Failed, "above"),
        Ok(_) if mine <= limit => (Verdict::Passed, "within"),
        _ => (Verdict::Inconclusive, "above, though not for certain,"),
    }
}

impl Default for LatencyRegression {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Gate for LatencyRegression {
    fn name(&self) -> String {
        "latency regression".to_owned()
    }

    async fn check(&self, candidate: &Candidate) -> Finding {
        if let Some(fault) = self.fault() {
            return Finding::inconclusive(fault);
        }
        let Some(champion) = candidate.champion().and_then(|champion| champion.model()) else {
            return Finding::inconclusive("there is no model of a champion to compare with");
        };
        if candidate.samples().is_empty() {
            return Finding::inconclusive("there are no sample requests to measure with");
        }
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for (call, request) in self.calls.plan(candidate.samples()) {
            let (mine, usual) = if call % 2 == 0 {
                let mine = self.calls.time(candidate.model(), request).await;
                (mine, self.calls.time(champion, request).await)
            } else {
                let usual = self.calls.time(champion, request).await;
                (self.calls.time(candidate.model(), request).await, usual)
            };
            match (mine, usual) {
                (Err(error), _) => return Finding::failed(format!("call {call} failed: {error}")),
                (_, Err(error)) => {
                    return Finding::inconclusive(format!("call {call} of the champion failed: {error}"));
                }
                (Ok(mine), Ok(usual)) if call >= self.calls.warm_up => {
                    ours.push(mine);
                    theirs.push(usual);
                }
                _ => {}
            }
        }
        self.judge(&ours, &theirs)
    }
}
