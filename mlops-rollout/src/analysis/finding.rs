//! From numbers to a verdict: the one place where too little data is never success.

use mlops_core::stats::StatsError;

use super::confidence::{Confidence, Estimate};
use super::needed::{Samples, SamplesNeeded, growth};
use super::report::{CheckOutcome, Numbers};
use crate::{VariantEvidence, Verdict};

/// What is compared.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look<'a> {
    pub(super) stable: &'a VariantEvidence,
    pub(super) candidate: &'a VariantEvidence,
    /// The candidate's intended share of the traffic, where it is known.
    pub(super) share: Option<f64>,
}

/// What the numbers say, leaving aside whether there are enough.
#[derive(Debug)]
pub(super) struct Finding {
    claim: Claim,
    words: String,
    estimate: Option<Estimate>,
    /// By which factor data must grow to decide.
    growth: Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Claim {
    /// Worse for certain.
    Worse,
    /// Not worse, as far as one can see.
    Fine,
    /// It could be either.
    Open,
}

impl Finding {
    pub(super) fn new(claim: Claim, words: impl Into<String>) -> Self {
        Self { claim, words: words.into(), estimate: None, growth: None }
    }

    /// Adds the numbers.
    pub(super) fn with_estimate(mut self, estimate: Estimate) -> Self {
        self.estimate = Some(estimate);
        self
    }

    /// Says how much more data an open claim needs: `decides` is asked about data that have grown by a factor.
    pub(super) fn with_growth(mut self, decides: impl Fn(f64) -> bool) -> Self {
        if self.claim == Claim::Open {
            self.growth = growth(decides);
        }
        self
    }

    /// Adds why it is not fine after all; what is worse stays so.
    pub(super) fn doubted(mut self, why: &str) -> Self {
        if self.claim == Claim::Fine {
            self.claim = Claim::Open;
        }
        self.words = format!("{}; {why}", self.words);
        self
    }

    #[cfg(test)]
    pub(super) fn is_worse(&self) -> bool {
        self.claim == Claim::Worse
    }
}

/// The outcome of a check of that name.
///
/// A finding of "worse" stands whatever is missing, except where one look is all there is; one of "fine" needs
/// all samples.
pub(super) fn conclude(
    check: String,
    found: Result<Finding, StatsError>,
    samples: Samples,
    needed: SamplesNeeded,
    confidence: Confidence,
) -> CheckOutcome {
    let missing = samples.missing(needed);
    let finding = found.unwrap_or_else(|error| Finding::new(Claim::Open, error.to_string()));
    let early = !confidence.is_sequential() && missing.is_some();
    let verdict = match finding.claim {
        Claim::Worse if !early => Verdict::Failed,
        Claim::Fine if missing.is_none() => Verdict::Passed,
        _ => Verdict::Inconclusive,
    };
    let missing = missing.or_else(|| {
        let factor = finding.growth?;
        let (more, words) = samples.missing_to_grow(factor);
        Some((more, format!("{}; {words}", finding.words)))
    });
    let (more, reason) = match (verdict, missing) {
        (Verdict::Inconclusive, Some((more, words))) => (Some(more), words),
        _ => (None, finding.words),
    };
    let numbers = Numbers::new(finding.estimate, confidence.alpha(), samples, more);
    CheckOutcome { check, verdict, reason, numbers }
}
