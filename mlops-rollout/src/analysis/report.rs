//! What an analysis found.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::SamplesNeeded;
use super::confidence::Estimate;
use super::needed::Samples;
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
#[non_exhaustive]
pub struct CheckOutcome {
    /// What was compared.
    pub check: String,
    /// Whether the candidate stands the comparison.
    pub verdict: Verdict,
    /// The rates, counts and intervals behind it, or how many samples are missing.
    pub reason: String,
    /// The same, for programs.
    #[serde(default)]
    pub numbers: Numbers,
}

/// The numbers of one check. Those that there are none of, such as an end of an interval that is infinite, are
/// left out.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Numbers {
    /// What is estimated: the candidate's rate, mean or position minus what it is compared with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub estimate: Option<f64>,
    /// Where its interval begins, at the level of `1 - alpha`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lower: Option<f64>,
    /// Where it ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upper: Option<f64>,
    /// The two-sided p-value of "no difference", valid at every look if the analysis is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p_value: Option<f64>,
    /// The part of alpha that this check had.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alpha: Option<f64>,
    /// Samples of the stable variant, where it matters.
    pub stable: u64,
    /// Samples of the candidate.
    pub candidate: u64,
    /// How many more are needed, where that can be said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub more: Option<SamplesNeeded>,
}

impl AnalysisReport {
    pub(super) fn new(checks: impl IntoIterator<Item = CheckOutcome>) -> Self {
        let checks: Vec<_> = checks.into_iter().collect();
        Self { verdict: Verdict::of_all(checks.iter().map(|outcome| outcome.verdict)), checks }
    }
}

impl Numbers {
    pub(super) fn new(
        estimate: Option<Estimate>,
        alpha: f64,
        samples: Samples,
        more: Option<SamplesNeeded>,
    ) -> Self {
        let finite = |of: fn(Estimate) -> f64| estimate.map(of).filter(|number| number.is_finite());
        Self {
            estimate: finite(|estimate| estimate.value),
            lower: finite(|estimate| estimate.lower),
            upper: finite(|estimate| estimate.upper),
            p_value: finite(|estimate| estimate.p_value),
            alpha: Some(alpha),
            stable: samples.stable.unwrap_or_default(),
            candidate: samples.candidate,
            more,
        }
    }

    fn floats(&self) -> [Option<u64>; 5] {
        [self.estimate, self.lower, self.upper, self.p_value, self.alpha]
            .map(|number| number.map(f64::to_bits))
    }
}

/// Bit by bit, so that it is an equivalence whatever somebody writes into it.
impl PartialEq for Numbers {
    fn eq(&self, other: &Self) -> bool {
        let counts = |numbers: &Self| (numbers.stable, numbers.candidate, numbers.more);
        self.floats() == other.floats() && counts(self) == counts(other)
    }
}

impl Eq for Numbers {}

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
