//! A quantile of the latency, compared at every look.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::rate::{Count, difference};
use super::{Confidence, SamplesNeeded};
use crate::{Judgement, VariantEvidence};

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
        format!("p{} latency", (1e4 * self.quantile).round() / 100.0)
    }

    pub(super) fn fault(&self) -> Option<String> {
        let Self { quantile, max_ratio } = self;
        let good = *quantile > 0.0 && *quantile < 1.0 && *max_ratio > 0.0 && max_ratio.is_finite();
        (!good).then(|| {
            format!(
                "limits the latency at the quantile {quantile} to {max_ratio} times; \
                 the quantile must lie between 0 and 1, the ratio be positive and finite"
            )
        })
    }

    pub(super) fn judge(
        &self,
        stable: &VariantEvidence,
        candidate: &VariantEvidence,
        needed: SamplesNeeded,
        confidence: Confidence,
    ) -> Judgement {
        let (stable, candidate) = (&stable.latencies, &candidate.latencies);
        let floor = (5.0 / (1.0 - self.quantile)).round() as u64;
        let needed =
            SamplesNeeded { stable: needed.stable.max(floor), candidate: needed.candidate.max(floor) };
        let missing = needed.missing("answers", stable.count(), candidate.count());
        let quantiles = (stable.quantile(self.quantile), candidate.quantile(self.quantile));
        let (Some(usual), Some(observed)) = quantiles else {
            return Judgement::inconclusive(missing.unwrap_or_default());
        };
        let limit =
            Duration::try_from_secs_f64(usual.as_secs_f64() * self.max_ratio).unwrap_or(Duration::MAX);
        let slow_stable = Count { bad: stable.count_above(usual), all: stable.count() };
        let slow = Count { bad: candidate.count_above(limit), all: candidate.count() };
        let numbers = format!("{observed:.1?} against {usual:.1?}; {slow} took more than {limit:.1?}");
        // A stable p99 of a few samples is no limit to be failed by.
        let enough_stable = stable.count() >= floor;
        match difference(slow_stable, slow, confidence) {
            Ok(sequence) if enough_stable && sequence.interval.lower > 0.0 => Judgement::failed(numbers),
            Ok(_) if missing.is_none() && observed <= limit => Judgement::passed(numbers),
            Ok(_) => Judgement::inconclusive(
                missing.unwrap_or_else(|| format!("{numbers}, which may still be chance")),
            ),
            Err(error) => Judgement::inconclusive(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Verdict;

    fn seen(count: u64, micros: impl Fn(u64) -> u64) -> VariantEvidence {
        let latencies = (0..count).map(|index| Duration::from_micros(micros(index)));
        VariantEvidence::new(count, 0).with_latencies(latencies)
    }

    #[test]
    fn a_slower_tail_fails_an_equal_one_passes_and_few_samples_say_nothing() {
        let confidence = Confidence { alpha: 0.05, narrowest_at: 1_000 };
        let usual = |index: u64| 1_000 + index * 7_919 % 1_000;
        let judge = |candidate: &VariantEvidence| {
            LatencyCheck::p99(1.2).judge(&seen(5_000, usual), candidate, SamplesNeeded::each(10), confidence)
        };
        assert_eq!(judge(&seen(600, usual)).verdict, Verdict::Passed);
        let slower = judge(&seen(600, |index| if index % 10 == 0 { 9_000 } else { usual(index) }));
        assert_eq!(slower.verdict, Verdict::Failed);
        assert_eq!(slower.reason, "9.0ms against 2.0ms; 10.000 % (60 of 600) took more than 2.4ms");
        let few = judge(&seen(100, usual));
        assert_eq!(few, Judgement::inconclusive("400 more answers of the candidate are needed (100 of 500)"));
        let chance = judge(&seen(600, |index| if index % 75 == 0 { 9_000 } else { usual(index) }));
        assert_eq!(chance.verdict, Verdict::Inconclusive, "{chance:?}");
        assert_eq!(judge(&VariantEvidence::default()).verdict, Verdict::Inconclusive);
    }
}
