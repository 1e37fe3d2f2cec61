//! What a candidate must prove before it sees a user.

mod candidate;
mod latency;
mod metric;
mod report;
mod signature;

use std::fmt;
use std::panic::AssertUnwindSafe;

use async_trait::async_trait;
use futures_util::FutureExt;

use crate::Judgement;

pub use candidate::{Candidate, Champion};
pub use latency::LatencyCeiling;
pub use metric::{MetricFloor, MetricRegression};
pub use report::{GateOutcome, GateReport};
pub use signature::SignatureCompatible;

/// One condition a candidate must meet before a rollout begins.
///
/// # Contract
/// * What cannot be looked at (a metric that was never measured, a champion that is not known) is
///   inconclusive or failed, never passed. So is NaN.
/// * The reason holds the numbers.
#[async_trait]
pub trait Gate: fmt::Debug + Send + Sync + 'static {
    /// The name in reports: `accuracy floor`.
    fn name(&self) -> String;

    /// Whether the candidate meets it, and why.
    async fn check(&self, candidate: &Candidate) -> Judgement;
}

/// Gates in a row: a candidate must pass them all.
///
/// ```
/// # futures_util::FutureExt::now_or_never(async {
/// use std::time::Duration;
/// use mlops_core::{Model, Request, Response, Result, Signature};
/// use mlops_rollout::{Candidate, FnGate, Gates, Judgement, LatencyCeiling, MetricFloor, Verdict};
///
/// # #[derive(Debug)] struct Echo(Signature);
/// # #[async_trait::async_trait] impl Model for Echo {
/// #     fn signature(&self) -> &Signature { &self.0 }
/// #     async fn predict(&self, request: Request) -> Result<Response> { Ok(Response::new(request.inputs)) }
/// # }
/// # let model = Echo(Signature::new([], [])?);
/// let gates = Gates::new()
///     .with(MetricFloor::new("accuracy", 0.9))
///     .with(LatencyCeiling::new().with_p99(Duration::from_millis(50)))
///     .with(FnGate::new("four eyes", |_: &Candidate| Judgement::inconclusive("nobody has looked yet")));
///
/// let candidate = Candidate::new(model).with_metric("accuracy", 0.93).with_samples([Request::default()]);
/// let report = gates.evaluate(&candidate).await;
/// assert_eq!(report.verdict, Verdict::Inconclusive); // one gate is open, so all are not passed
/// assert_eq!(report.outcomes[0].reason, "0.93 is at least 0.9");
/// println!("{report}"); // a table
/// # Ok::<(), mlops_core::Error>(())
/// # }).unwrap().unwrap();
/// ```
#[derive(Debug, Default)]
pub struct Gates(Vec<Box<dyn Gate>>);

impl Gates {
    /// No gate yet. Without gates nothing passes.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// And this gate.
    #[must_use]
    pub fn with(mut self, gate: impl Gate) -> Self {
        self.0.push(Box::new(gate));
        self
    }

    /// Asks every gate, one after the other, whatever the others said. A gate that panics has failed.
    pub async fn evaluate(&self, candidate: &Candidate) -> GateReport {
        let mut outcomes = Vec::with_capacity(self.0.len());
        for gate in &self.0 {
            let judgement = AssertUnwindSafe(gate.check(candidate)).catch_unwind().await;
            let Judgement { verdict, reason } =
                judgement.unwrap_or_else(|_| Judgement::failed("the gate itself panicked"));
            outcomes.push(GateOutcome { gate: gate.name(), verdict, reason });
        }
        GateReport::new(outcomes)
    }
}

/// A gate made of a closure.
pub struct FnGate<F> {
    name: String,
    check: F,
}

impl<F: Fn(&Candidate) -> Judgement + Send + Sync + 'static> FnGate<F> {
    /// Asks `check`.
    pub fn new(name: impl Into<String>, check: F) -> Self {
        Self { name: name.into(), check }
    }
}

#[async_trait]
impl<F: Fn(&Candidate) -> Judgement + Send + Sync + 'static> Gate for FnGate<F> {
    fn name(&self) -> String {
        self.name.clone()
    }

    async fn check(&self, candidate: &Candidate) -> Judgement {
        (self.check)(candidate)
    }
}

impl<F> fmt::Debug for FnGate<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FnGate").field("name", &self.name).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
