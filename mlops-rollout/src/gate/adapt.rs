//! A gate under another name, with another time limit, or without power.

use std::time::Duration;

use async_trait::async_trait;

use super::{Candidate, Finding, Gate};

/// What can be said of any gate, in fluent form.
///
/// ```
/// use std::time::Duration;
/// use mlops_rollout::{Gate, GateExt, MetricFloor};
///
/// let gate = MetricFloor::new("recall", 0.8).named("finds fraud").with_time_limit(Duration::from_secs(5)).warn_only();
/// assert_eq!(gate.name(), "finds fraud");
/// assert!(gate.warns_only());
/// ```
pub trait GateExt: Gate + Sized {
    /// The same gate, whose verdict is reported and does not count.
    fn warn_only(self) -> WarnOnly<Self> {
        WarnOnly(self)
    }

    /// The same gate under another name.
    fn named(self, name: impl Into<String>) -> Named<Self> {
        Named { gate: self, name: name.into() }
    }

    /// The same gate, which has failed when it takes longer.
    fn with_time_limit(self, limit: Duration) -> TimeLimited<Self> {
        TimeLimited { gate: self, limit }
    }
}

impl<G: Gate> GateExt for G {}

/// See [`GateExt::warn_only`].
#[derive(Debug, Clone)]
pub struct WarnOnly<G>(G);

/// See [`GateExt::named`].
#[derive(Debug, Clone)]
pub struct Named<G> {
    gate: G,
    name: String,
}

/// See [`GateExt::with_time_limit`].
#[derive(Debug, Clone)]
pub struct TimeLimited<G> {
    gate: G,
    limit: Duration,
}

#[async_trait]
impl<G: Gate> Gate for WarnOnly<G> {
    fn name(&self) -> String {
        self.0.name()
    }

    async fn check(&self, candidate: &Candidate) -> Finding {
        self.0.check(candidate).await
    }

    fn warns_only(&self) -> bool {
        true
    }

    fn time_limit(&self) -> Duration {
        self.0.time_limit()
    }
}

#[async_trait]
impl<G: Gate> Gate for Named<G> {
    fn name(&self) -> String {
        self.name.clone()
    }

    async fn check(&self, candidate: &Candidate) -> Finding {
        self.gate.check(candidate).await
    }

    fn warns_only(&self) -> bool {
        self.gate.warns_only()
    }

    fn time_limit(&self) -> Duration {
        self.gate.time_limit()
    }
}

#[async_trait]
impl<G: Gate> Gate for TimeLimited<G> {
    fn name(&self) -> String {
        self.gate.name()
    }

    async fn check(&self, candidate: &Candidate) -> Finding {
        self.gate.check(candidate).await
    }

    fn warns_only(&self) -> bool {
        self.gate.warns_only()
    }

    fn time_limit(&self) -> Duration {
        self.limit
    }
}
