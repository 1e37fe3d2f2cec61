//! Fast enough, measured here and now.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use mlops_core::Clock;
use mlops_core::stats::quantiles;

use super::measure::{Calls, FOR_P50, FOR_P99, seconds};
use super::{Candidate, Finding, Gate};
use crate::Verdict;

/// The candidate's latency on the sample requests must stay below ceilings.
///
/// The gate asks the model the samples in turn, one call at a time: some calls to warm up, then those that
/// count (10 and 200 unless set), for a minute at most. A call that fails fails the gate. Without samples, and
/// when the minute ends before there are 10 calls for a p50 or 100 for a p99, it is inconclusive.
#[derive(Debug, Clone, Default)]
pub struct LatencyCeiling {
    p50: Option<Duration>,
    p99: Option<Duration>,
    calls: Calls,
}

impl LatencyCeiling {
    /// No ceiling yet. Without a ceiling nothing passes.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The median must not be above this. Needs 10 calls.
    #[must_use]
    pub fn with_p50(mut self, ceiling: Duration) -> Self {
        self.p50 = Some(ceiling);
        self
    }

    /// One call in a hundred may take longer than this. Needs 100 calls.
    #[must_use]
    pub fn with_p99(mut self, ceiling: Duration) -> Self {
        self.p99 = Some(ceiling);
        self
    }

    /// How many calls count.
    #[must_use]
    pub fn with_calls(mut self, calls: usize) -> Self {
        self.calls.counted = calls;
        self
    }

    /// How many calls come before those that count.
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
            return Some("no ceiling is set; set `p50` or `p99`".to_owned());
        }
        self.calls.fault(self.p99.is_some())
    }

    fn judge(&self, latencies: &[f64]) -> Finding {
        let needed = if self.p99.is_some() { FOR_P99 } else { FOR_P50 };
        if latencies.len() < needed {
            return Finding::inconclusive(format!(
                "there was time for {} calls of the {needed} that are needed",
                latencies.len()
            ));
        }
        let found = quantiles(latencies, &[0.5, 0.99]).unwrap_or_default();
        let [p50, p99] = found[..] else { return Finding::inconclusive("no call was measured") };
        let mut reasons = Vec::new();
        let mut good = true;
        for (name, measured, ceiling) in [("p50", p50, self.p50), ("p99", p99, self.p99)] {
            let measured = seconds(measured);
            if let Some(ceiling) = ceiling {
                good &= measured <= ceiling;
                let relation = if measured <= ceiling { "within" } else { "above" };
                reasons.push(format!("{name} {measured:.2?} is {relation} {ceiling:.2?}"));
            }
        }
        let reason = format!("{} ({} calls)", reasons.join("; "), latencies.len());
        let ceiling = |ceiling: Option<Duration>| ceiling.map_or(f64::NAN, |ceiling| ceiling.as_secs_f64());
        Finding::new(if good { Verdict::Passed } else { Verdict::Failed }, reason)
            .with_evidence("p50_seconds", p50)
            .with_evidence("p99_seconds", if self.p99.is_some() { p99 } else { f64::NAN })
            .with_evidence("p50_ceiling", ceiling(self.p50))
            .with_evidence("p99_ceiling", ceiling(self.p99))
            .with_evidence("calls", latencies.len() as f64)
    }
}

#[async_trait]
impl Gate for LatencyCeiling {
    fn name(&self) -> String {
        "latency ceiling".to_owned()
    }

    async fn check(&self, candidate: &Candidate) -> Finding {
        if let Some(fault) = self.fault() {
            return Finding::inconclusive(fault);
        }
        if candidate.samples().is_empty() {
            return Finding::inconclusive("there are no sample requests to measure with");
        }
        let mut latencies = Vec::with_capacity(self.calls.counted);
        for (call, request) in self.calls.plan(candidate.samples()) {
            match self.calls.time(candidate.model(), request).await {
                Ok(latency) if call >= self.calls.warm_up => latencies.push(latency),
                Ok(_) => {}
                Err(error) => return Finding::failed(format!("call {call} failed: {error}")),
            }
        }
        self.judge(&latencies)
    }
}
