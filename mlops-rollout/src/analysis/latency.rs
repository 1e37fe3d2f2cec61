//! A quantile of the latency, compared.

use std::time::Duration;

use mlops_core::stats::StatsError;
use serde::{Deserialize, Serialize};

use super::confidence::Confidence;
use super::finding::{Claim, Finding, Look};
use super::needed::{Samples, SamplesNeeded};
use super::rate::{Count, difference};

/// The candidate's latency at a quantile must not exceed `max_ratio` times that of the stable variant.
///
/// Quantiles are compared by counting: when the candidate's p99 is within the limit, at most 1 % of its
/// answers take longer than the limit. So the check compares the share of the candidate's answers beyond
/// `max_ratio` × the stable p99 with the share of the stable answers beyond the stable p99, as
/// [`RateCheck`](super::RateCheck) compares rates. It fails when the candidate's is higher for certain, and
/// passes when the observed ratio is within the limit; it needs 5 samples beyond the quantile of each
/// variant, that is 500 for the p99. Failed requests have no latency.
///
/// The limit is itself an estimate, so the guarantee is approximate; the bias vanishes as stable samples
/// come in, and a ratio above 1 leaves room for it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LatencyCheck {
    quantile: f64,
    max_ratio: f64,
}

impl LatencyCheck {
    /// The latency that one answer in a hundred exceeds: `max_ratio` 1.2 tolerates 20 % more.
    #[must_use]
    pub fn p99(max_ratio: f64) -> Self {
        Self::at(0.99, max_ratio)
    }

    /// The latency at any quantile, between 0 and 1.
    #[must_use]
    pub fn at(quantile: f64, max_ratio: f64) -> Self {
        Self { quantile, max_ratio }
    }

    pub(super) fn name(&self) -> String {
        format!("{} latency", quantile_name(self.quantile))
    }

    pub(super) fn fault(&self) -> Option<String> {
        let Self { quantile, max_ratio } = self;
        let good = is_quantile(*quantile) && *max_ratio > 0.0 && max_ratio.is_finite();
        (!good).then(|| {
            format!(
                "limits the latency at the quantile {quantile} to {max_ratio} times; \
                 the quantile must lie between 0 and 1, the ratio be positive and finite"
            )
        })
    }

    pub(super) fn needed(&self, needed: SamplesNeeded) -> SamplesNeeded {
        needed.at_least(samples_beyond(self.quantile))
    }

    pub(super) fn samples(look: Look<'_>) -> Samples {
        let (stable, candidate) = (look.stable.latencies.count(), look.candidate.latencies.count());
        Samples { what: "answers", stable: Some(stable), candidate }
    }

    pub(super) fn find(&self, look: Look<'_>, confidence: Confidence) -> Result<Finding, StatsError> {
        let (stable, candidate) = (&look.stable.latencies, &look.candidate.latencies);
        let Some((usual, observed)) = stable.quantile(self.quantile).zip(candidate.quantile(self.quantile))
        else {
            return Err(StatsError::EmptySample { what: "latencies" });
        };
        let limit =
            Duration::try_from_secs_f64(usual.as_secs_f64() * self.max_ratio).unwrap_or(Duration::MAX);
        let slow_stable = Count::new(stable.count_above(usual), stable.count());
        let slow = Count::new(candidate.count_above(limit), candidate.count());
        let numbers = format!("{observed:.1?} against {usual:.1?}; {slow} took more than {limit:.1?}");
        let found = difference(slow_stable, slow, 1.0, confidence)?;
        // A stable p99 of a few samples is no limit to be failed by.
        let enough_stable = stable.count() >= samples_beyond(self.quantile);
        let finding = if found.lower > 0.0 && enough_stable {
            Finding::new(Claim::Worse, numbers)
        } else if observed <= limit {
            Finding::new(Claim::Fine, numbers)
        } else {
            Finding::new(Claim::Open, format!("{numbers}, which may still be chance"))
        };
        let tells = |factor| {
            difference(slow_stable.times(factor), slow.times(factor), 1.0, confidence)
                .is_ok_and(|grown| grown.lower > 0.0)
        };
        Ok(finding.with_estimate(found).with_growth(tells))
    }
}

/// `p99`, `p99.9`.
pub(super) fn quantile_name(quantile: f64) -> String {
    format!("p{}", (1e4 * quantile).round() / 100.0)
}

pub(super) fn is_quantile(quantile: f64) -> bool {
    quantile > 0.0 && quantile < 1.0
}

/// With so many samples 5 are expected beyond the quantile.
pub(super) fn samples_beyond(quantile: f64) -> u64 {
    (5.0 / (1.0 - quantile)).round() as u64
}

#[cfg(test)]
mod tests {
    use super::super::finding::conclude;
    use super::super::{CheckOutcome, TestMode};
    use super::*;
    use crate::{VariantEvidence, Verdict};

    fn seen(count: u64, micros: impl Fn(u64) -> u64) -> VariantEvidence {
        let latencies = (0..count).map(|index| Duration::from_micros(micros(index)));
        VariantEvidence::new(count, 0).with_latencies(latencies)
    }

    fn judge(stable: &VariantEvidence, candidate: &VariantEvidence) -> CheckOutcome {
        let check = LatencyCheck::p99(1.2);
        let look = Look { stable, candidate, share: None };
        let confidence = Confidence::new(TestMode::Sequential, 0.05, 1_000);
        let needed = check.needed(SamplesNeeded::each(10));
        conclude(check.name(), check.find(look, confidence), LatencyCheck::samples(look), needed, confidence)
    }

    #[test]
    fn a_slower_tail_fails_an_equal_one_passes_and_few_samples_say_nothing() {
        let usual = |index: u64| 1_000 + index * 7_919 % 1_000;
        let stable = seen(5_000, usual);
        assert_eq!(judge(&stable, &seen(600, usual)).verdict, Verdict::Passed);
        let slower = judge(&stable, &seen(600, |index| if index % 10 == 0 { 9_000 } else { usual(index) }));
        assert_eq!(slower.verdict, Verdict::Failed);
        assert_eq!(slower.reason, "9.0ms against 2.0ms; 10.000 % (60 of 600) took more than 2.4ms");
        let few = judge(&stable, &seen(100, usual));
        assert_eq!(few.verdict, Verdict::Inconclusive);
        assert_eq!(few.reason, "400 more answers of the candidate are needed (100 of 500)");
        let chance = judge(&stable, &seen(600, |index| if index % 75 == 0 { 9_000 } else { usual(index) }));
        assert_eq!(chance.verdict, Verdict::Inconclusive, "{chance:?}");
        assert!(chance.reason.contains("which may still be chance; some "), "{}", chance.reason);
        assert_eq!(judge(&stable, &VariantEvidence::default()).verdict, Verdict::Inconclusive);
    }
}
