//! What an analysis found.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Verdict;

/// The outcome of every check, and of all together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AnalysisReport {
    /// The worst of the verdicts.
    pub verdict: Verdict,
    /// One by one.
    pub checks: Vec<CheckOutcome>,
}

/// The outcome of one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckOutcome {
    /// What was compared.
    pub check: String,
    /// Whether the candidate stands the comparison.
    pub verdict: Verdict,
    /// The rates, counts and intervals behind it, or how many samples are missing.
    pub reason: String,
}

impl AnalysisReport {
    pub(super) fn new(checks: impl Iterator<Item = CheckOutcome>) -> Self {
        let checks: Vec<_> = checks.collect();
        Self { verdict: Verdict::of_all(checks.iter().map(|outcome| outcome.verdict)), checks }
    }
}

/// The verdict, and the checks that made it so.
impl fmt::Display for AnalysisReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.verdict)?;
        let decisive = self.checks.iter().filter(|outcome| outcome.verdict == self.verdict);
        for (index, CheckOutcome { check, reason, .. }) in decisive.enumerate() {
            let separator = if index == 0 { ": " } else { " | " };
            write!(f, "{separator}{check}: {reason}")?;
        }
        Ok(())
    }
}
