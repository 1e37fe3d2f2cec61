//! What one gate found.

use std::collections::BTreeMap;

use super::GateOutcome;
use crate::{Judgement, Verdict};

/// The answer of a [`Gate`](super::Gate): a verdict, its reason in words, and the numbers behind it.
///
/// ```
/// use mlops_rollout::{Finding, Verdict};
///
/// let finding = Finding::failed("the model card has 2 empty sections").with_evidence("empty_sections", 2.0);
/// assert_eq!(finding.verdict, Verdict::Failed);
/// assert_eq!(finding.evidence["empty_sections"], 2.0);
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Finding {
    /// Whether the candidate may pass.
    pub verdict: Verdict,
    /// Why.
    pub reason: String,
    /// What was measured, by name. All of it is finite.
    pub evidence: BTreeMap<String, f64>,
    /// What the parts of a gate that is made of gates said.
    pub parts: Vec<GateOutcome>,
}

impl Finding {
    /// Looked at, and good.
    pub fn passed(reason: impl Into<String>) -> Self {
        Self::new(Verdict::Passed, reason)
    }

    /// Too little is known to say.
    pub fn inconclusive(reason: impl Into<String>) -> Self {
        Self::new(Verdict::Inconclusive, reason)
    }

    /// Looked at, and bad.
    pub fn failed(reason: impl Into<String>) -> Self {
        Self::new(Verdict::Failed, reason)
    }

    pub(super) fn new(verdict: Verdict, reason: impl Into<String>) -> Self {
        Self { verdict, reason: reason.into(), evidence: BTreeMap::new(), parts: Vec::new() }
    }

    /// Adds a number. One that is not finite is left out, since neither JSON nor a registry holds it: say it
    /// in the reason.
    #[must_use]
    pub fn with_evidence(mut self, name: impl Into<String>, value: f64) -> Self {
        if value.is_finite() {
            self.evidence.insert(name.into(), value);
        }
        self
    }

    pub(super) fn with_parts(mut self, parts: Vec<GateOutcome>) -> Self {
        self.parts = parts;
        self
    }
}

impl From<Judgement> for Finding {
    fn from(judgement: Judgement) -> Self {
        Self::new(judgement.verdict, judgement.reason)
    }
}
