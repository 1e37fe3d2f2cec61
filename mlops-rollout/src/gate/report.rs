//! What the gates said.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Verdict;

/// The outcome of every gate, and of all together. Displayed as a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct GateReport {
    /// The worst of the verdicts; [`Verdict::Inconclusive`] without gates.
    pub verdict: Verdict,
    /// One by one.
    pub outcomes: Vec<GateOutcome>,
}

/// The outcome of one gate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateOutcome {
    /// The name of the gate.
    pub gate: String,
    /// Whether the candidate may pass.
    pub verdict: Verdict,
    /// Why.
    pub reason: String,
}

impl GateReport {
    pub(super) fn new(outcomes: Vec<GateOutcome>) -> Self {
        Self { verdict: Verdict::of_all(outcomes.iter().map(|outcome| outcome.verdict)), outcomes }
    }

    /// Whether every gate has passed, and there was one.
    #[must_use]
    pub fn is_passed(&self) -> bool {
        self.verdict == Verdict::Passed
    }
}

impl fmt::Display for GateReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.outcomes.iter().map(|outcome| outcome.gate.chars().count());
        let width = names.max().unwrap_or(0).max("gates".len());
        writeln!(f, "{:width$}  verdict       reason", "gate")?;
        for GateOutcome { gate, verdict, reason } in &self.outcomes {
            writeln!(f, "{gate:width$}  {verdict:12}  {reason}")?;
        }
        write!(f, "{:width$}  {}", "all", self.verdict)
    }
}
