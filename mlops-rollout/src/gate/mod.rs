//! What a candidate must prove before it sees a user.

mod adapt;
mod candidate;
mod champion;
mod closure;
mod document;
mod evaluation;
mod fairness;
mod finding;
mod group;
mod latency;
mod latency_regression;
mod measure;
mod metric;
mod regression;
mod report;
mod run;
mod sample_size;
mod signature;
#[cfg(test)]
mod simulation;
mod size;
mod slices;
mod stored;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

pub use adapt::{GateExt, Named, TimeLimited, WarnOnly};
pub use candidate::Candidate;
pub use champion::Champion;
pub use closure::{AsyncFnGate, FnGate};
pub use evaluation::Evaluation;
pub use fairness::FairnessGate;
pub use finding::Finding;
pub use group::{GateGroup, all_of, any_of};
pub use latency::LatencyCeiling;
pub use latency_regression::LatencyRegression;
pub use metric::{MetricCeiling, MetricFloor};
pub use regression::MetricRegression;
pub use report::{GateOutcome, GateReport};
pub use sample_size::SampleSize;
pub use signature::SignatureCompatible;
pub use size::SizeCeiling;
pub use slices::PerSlice;
pub use stored::StoredMatches;

/// How long a gate may take unless it says otherwise.
const TIME_LIMIT: Duration = Duration::from_secs(600);

/// One condition a candidate must meet before a rollout begins.
///
/// # Contract
/// * What cannot be looked at (a metric that was never measured, a champion that is not known) is
///   inconclusive or failed, never passed. So is NaN.
/// * The reason holds the numbers in words, the evidence as numbers.
#[async_trait]
pub trait Gate: fmt::Debug + Send + Sync + 'static {
    /// The name in reports: `accuracy floor`.
    fn name(&self) -> String;

    /// Whether the candidate meets it, and why.
    async fn check(&self, candidate: &Candidate) -> Finding;

    /// Whether its verdict is reported and does not count: [`GateExt::warn_only`].
    fn warns_only(&self) -> bool {
        false
    }

    /// How long it may take; one that takes longer has failed. Ten minutes unless said:
    /// [`GateExt::with_time_limit`].
    fn time_limit(&self) -> Duration {
        TIME_LIMIT
    }
}

/// Gates in a row: a candidate must pass them all.
///
/// | gate | asks |
/// |---|---|
/// | [`MetricFloor`], [`MetricCeiling`] | is it good enough? |
/// | [`MetricRegression`] | is it no worse than the champion, chance allowed for? |
/// | [`PerSlice`] | is it so in every slice of the rows? |
/// | [`FairnessGate`] | are groups treated alike? |
/// | [`SampleSize`] | were there rows enough to judge by? |
/// | [`LatencyCeiling`], [`LatencyRegression`] | is it fast enough, measured here and now? |
/// | [`SizeCeiling`] | are its artifacts and its memory small enough? |
/// | [`SignatureCompatible`] | can the champion's callers call it? |
/// | [`StoredMatches`] | does it still say the same once stored and loaded? |
/// | [`FnGate`], [`AsyncFnGate`] | anything else |
/// | [`all_of`], [`any_of`] | several of these as one |
///
/// ```
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
/// # runtime.block_on(async {
/// use std::time::Duration;
/// use mlops_core::{Model, Request, Response, Result, Signature};
/// use mlops_rollout::{
///     Candidate, FnGate, GateExt, Gates, Judgement, LatencyCeiling, MetricFloor, SignatureCompatible, Verdict,
/// };
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
///     .with(SignatureCompatible.warn_only())
///     .with(FnGate::new("four eyes", |_: &Candidate| Judgement::inconclusive("nobody has looked yet")));
///
/// let candidate = Candidate::new(model).with_metric("accuracy", 0.93).with_samples([Request::default()]);
/// let report = gates.evaluate(&candidate).await;
/// assert_eq!(report.verdict, Verdict::Inconclusive); // one gate is open, so all are not passed
/// assert_eq!(report.outcomes[0].reason, "0.93 is at least 0.9, as it was given");
/// println!("{report}"); // a table
/// # Ok::<(), mlops_core::Error>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// The same from a file; [`from_toml`](Self::from_toml) says which words there are.
///
/// ```
/// use mlops_rollout::Gates;
///
/// let gates = Gates::from_toml(
///     r#"
///     [[gates]]
///     kind = "metric_floor"
///     metric = "accuracy"
///     floor = 0.9
///
///     [[gates]]
///     kind = "metric_regression"
///     metric = "roc_auc"
///     max_drop = 0.005
///     time_limit = "1m"
///
///     [[gates]]
///     kind = "any_of"
///     name = "fast or small"
///     warn_only = true
///     gates = [
///         { kind = "latency_ceiling", p99 = "5ms" },
///         { kind = "size_ceiling", of = "artifacts", bytes = 1_000_000 },
///     ]
///     "#,
/// )?;
/// assert_eq!(gates.names(), ["accuracy floor", "roc_auc regression", "fast or small"]);
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Gates(Vec<Arc<dyn Gate>>);

impl Gates {
    /// No gate yet. Without gates nothing passes.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// And this gate.
    #[must_use]
    pub fn with(mut self, gate: impl Gate) -> Self {
        self.0.push(Arc::new(gate));
        self
    }

    /// The names of the gates, in order.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.0.iter().map(Gate::name).collect()
    }

    /// Asks every gate, one after the other, whatever the others said.
    ///
    /// Each is asked on a thread of its own, with the tokio runtime of the caller if there is one: a gate that
    /// panics has failed, and so has one that takes longer than its [limit](Gate::time_limit), even when it
    /// blocks its thread. Such a thread cannot be stopped and stays.
    pub async fn evaluate(&self, candidate: &Candidate) -> GateReport {
        let mut outcomes = Vec::with_capacity(self.0.len());
        for gate in &self.0 {
            outcomes.push(run::ask(gate, candidate).await);
        }
        GateReport::new(outcomes)
    }
}

macro_rules! gates_behind_pointers {
    ($($pointer:ident),*) => {$(
        #[async_trait]
        impl<G: Gate + ?Sized> Gate for $pointer<G> {
            fn name(&self) -> String {
                (**self).name()
            }

            async fn check(&self, candidate: &Candidate) -> Finding {
                (**self).check(candidate).await
            }

            fn warns_only(&self) -> bool {
                (**self).warns_only()
            }

            fn time_limit(&self) -> Duration {
                (**self).time_limit()
            }
        }
    )*};
}

gates_behind_pointers!(Arc, Box);

#[cfg(test)]
mod tests;
