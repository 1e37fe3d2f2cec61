//! Gates made of gates.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::report::counting;
use super::{Candidate, Finding, Gate, GateOutcome, run};
use crate::Verdict;

/// A gate that is passed when all of its parts are.
///
/// The verdict is the worst of the parts that count; without such parts it is inconclusive. The parts are in
/// the report one by one.
#[must_use]
pub fn all_of(name: impl Into<String>) -> GateGroup {
    GateGroup { name: name.into(), needs: Needs::All, gates: Vec::new() }
}

/// A gate that is passed when any of its parts is.
///
/// The verdict is the best of the parts that count; without such parts it is inconclusive. All parts are asked,
/// and are in the report one by one.
///
/// ```
/// use std::time::Duration;
/// use mlops_rollout::{LatencyCeiling, SizeCeiling, any_of};
///
/// let fits_the_edge = any_of("fast or small")
///     .with(LatencyCeiling::new().with_p99(Duration::from_millis(5)))
///     .with(SizeCeiling::of_artifacts(1 << 20));
/// ```
#[must_use]
pub fn any_of(name: impl Into<String>) -> GateGroup {
    GateGroup { name: name.into(), needs: Needs::Any, gates: Vec::new() }
}

/// See [`all_of`] and [`any_of`].
#[derive(Debug, Clone)]
pub struct GateGroup {
    name: String,
    needs: Needs,
    gates: Vec<Arc<dyn Gate>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Needs {
    All,
    Any,
}

impl GateGroup {
    /// And this gate.
    #[must_use]
    pub fn with(mut self, gate: impl Gate) -> Self {
        self.gates.push(Arc::new(gate));
        self
    }

    fn verdict(&self, parts: &[GateOutcome]) -> Verdict {
        match self.needs {
            Needs::All => Verdict::of_all(counting(parts)),
            Needs::Any => counting(parts).min().unwrap_or(Verdict::Inconclusive),
        }
    }
}

#[async_trait]
impl Gate for GateGroup {
    fn name(&self) -> String {
        self.name.clone()
    }

    async fn check(&self, candidate: &Candidate) -> Finding {
        let mut parts = Vec::with_capacity(self.gates.len());
        for gate in &self.gates {
            parts.push(run::ask(gate, candidate).await);
        }
        let passed = counting(&parts).filter(|verdict| *verdict == Verdict::Passed).count();
        let needed = match self.needs {
            Needs::All => "all are needed",
            Needs::Any => "one is needed",
        };
        let reason = format!("{passed} of {} passed, {needed}", counting(&parts).count());
        Finding::new(self.verdict(&parts), reason).with_parts(parts)
    }

    /// That of the parts together, and a second.
    fn time_limit(&self) -> Duration {
        let parts = self.gates.iter().map(Gate::time_limit);
        parts.fold(Duration::from_secs(1), Duration::saturating_add)
    }
}
