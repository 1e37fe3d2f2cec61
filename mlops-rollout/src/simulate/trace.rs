//! One rollout, look by look.

use std::time::Duration;

use jiff::fmt::serde::unsigned_duration::friendly::compact;
use mlops_core::stats::{BinomialSample, confidence_sequence_rho, two_proportion_confidence_sequence};
use serde::{Deserialize, Serialize};

use crate::{EvidenceSnapshot, Rollout, VariantEvidence};

/// What a rollout knew at one look, and what it did.
///
/// Rates, latencies and the interval are those of the window in which the controller judges: it begins with
/// every step. At a share of 1 those of the stable variant come from the window before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TracePoint {
    /// How long after the beginning.
    #[serde(with = "compact::required")]
    pub at: Duration,
    /// The candidate's share of the traffic from now on.
    pub share: f64,
    /// Failures of the stable variant among its requests.
    pub stable_failures: Option<f64>,
    /// Failures of the candidate among its requests.
    pub candidate_failures: Option<f64>,
    /// The 95 % confidence sequence of the candidate's failure rate minus the stable one's, narrowest at
    /// 1,000 requests. The checks of a plan share its alpha, so what rolls back is surer than that.
    pub difference: Option<(f64, f64)>,
    /// The p99 latency of the stable variant.
    #[serde(with = "compact::optional")]
    pub stable_p99: Option<Duration>,
    /// The p99 latency of the candidate.
    #[serde(with = "compact::optional")]
    pub candidate_p99: Option<Duration>,
    /// Where it moved, if it did.
    pub moved_to: Option<String>,
    /// Why, or what it waits for.
    pub reason: String,
}

impl TracePoint {
    pub(super) fn new(
        at: Duration,
        rollout: &Rollout,
        share: f64,
        seen: &EvidenceSnapshot,
        reason: String,
    ) -> Self {
        let none = VariantEvidence::default();
        let baseline = if share >= 1.0 { &seen.previous } else { &seen.current };
        let stable = baseline.get(rollout.stable()).unwrap_or(&none);
        let candidate = seen.current.get(rollout.candidate()).unwrap_or(&none);
        Self {
            at,
            share,
            stable_failures: failure_rate(stable),
            candidate_failures: failure_rate(candidate),
            difference: difference(stable, candidate),
            stable_p99: stable.latencies.quantile(0.99),
            candidate_p99: candidate.latencies.quantile(0.99),
            moved_to: None,
            reason,
        }
    }
}

fn sample(seen: &VariantEvidence) -> Option<BinomialSample> {
    BinomialSample::new(seen.failures, seen.requests()).ok()
}

fn failure_rate(seen: &VariantEvidence) -> Option<f64> {
    sample(seen).map(|sample| sample.proportion())
}

fn difference(stable: &VariantEvidence, candidate: &VariantEvidence) -> Option<(f64, f64)> {
    const ALPHA: f64 = 0.05;
    let rho = confidence_sequence_rho(1_000.0, ALPHA).ok()?;
    let sequence =
        two_proportion_confidence_sequence(sample(stable)?, sample(candidate)?, ALPHA, rho).ok()?;
    Some((sequence.interval.lower.max(-1.0), sequence.interval.upper.min(1.0)))
}
