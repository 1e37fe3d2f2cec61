//! Fast enough, measured here and now.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use mlops_core::stats::quantiles;
use mlops_core::{Clock, SystemClock};

use super::{Candidate, Gate};
use crate::Judgement;

/// The candidate's latency on the sample requests must stay below ceilings.
///
/// The gate asks the model the samples in turn, one call at a time: some calls to warm up, then those that
/// count (10 and 200 unless set). A call that fails fails the gate. Without samples or without a ceiling it
/// is inconclusive. For a model that might hang, set deadlines or wrap it in a timeout.
#[derive(Debug, Clone)]
pub struct LatencyCeiling {
    p50: Option<Duration>,
    p99: Option<Duration>,
    warm_up: usize,
    calls: usize,
    clock: Arc<dyn Clock>,
}

impl LatencyCeiling {
    /// No ceiling yet.
    #[must_use]
    pub fn new() -> Self {
        Self { p50: None, p99: None, warm_up: 10, calls: 200, clock: Arc::new(SystemClock) }
    }

    /// The median must not be above this.
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
        self.calls = calls;
        self
    }

    /// How many calls come before those that count.
    #[must_use]
    pub fn with_warm_up(mut self, calls: usize) -> Self {
        self.warm_up = calls;
        self
    }

    /// Takes time from `clock`.
    #[must_use]
    pub fn with_clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    fn judge(&self, seconds: &[f64]) -> Judgement {
        let Ok([p50, p99]) = quantiles(seconds, &[0.5, 0.99]).map(|found| [found[0], found[1]]) else {
            return Judgement::inconclusive("no call was measured");
        };
        let mut reasons = Vec::new();
        let mut good = true;
        for (name, measured, ceiling) in [("p50", p50, self.p50), ("p99", p99, self.p99)] {
            let measured = Duration::try_from_secs_f64(measured).unwrap_or(Duration::MAX);
            if let Some(ceiling) = ceiling {
                good &= measured <= ceiling;
                let relation = if measured <= ceiling { "within" } else { "above" };
                reasons.push(format!("{name} {measured:.2?} is {relation} {ceiling:.2?}"));
            }
        }
        let reason = format!("{} ({} calls)", reasons.join("; "), seconds.len());
        if good { Judgement::passed(reason) } else { Judgement::failed(reason) }
    }
}

impl Default for LatencyCeiling {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Gate for LatencyCeiling {
    fn name(&self) -> String {
        "latency ceiling".to_owned()
    }

    async fn check(&self, candidate: &Candidate) -> Judgement {
        if self.p50.is_none() && self.p99.is_none() {
            return Judgement::inconclusive("no ceiling is set");
        }
        if self.p99.is_some() && self.calls < 100 {
            return Judgement::inconclusive(format!("a p99 needs 100 calls, not {}", self.calls));
        }
        if candidate.samples().is_empty() {
            return Judgement::inconclusive("there are no sample requests to measure with");
        }
        let mut seconds = Vec::with_capacity(self.calls);
        let requests = candidate.samples().iter().cycle().take(self.warm_up.saturating_add(self.calls));
        for (call, request) in requests.enumerate() {
            let request = request.clone();
            let began = self.clock.instant();
            let result = candidate.model().predict(request).await;
            let latency = self.clock.instant().saturating_duration_since(began);
            if let Err(error) = result {
                return Judgement::failed(format!("call {call} failed: {error}"));
            }
            if call >= self.warm_up {
                seconds.push(latency.as_secs_f64());
            }
        }
        self.judge(&seconds)
    }
}
