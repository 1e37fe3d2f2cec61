//! Two rates, compared at every look.

use mlops_core::stats::{ConfidenceSequence, StatsError, confidence_sequence, confidence_sequence_rho};
use serde::{Deserialize, Serialize};

use super::{Confidence, SamplesNeeded};
use crate::{Judgement, VariantEvidence};

/// The candidate's rate of something bad must not lie above that of the stable variant.
///
/// Fails when the whole interval of the difference lies above the tolerance. Passes with enough samples
/// when it does not: no regression was *found*. To demand proof that there is none beyond some size, set a
/// [non-inferiority margin](Self::with_margin).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateCheck {
    of: Rate,
    #[serde(default)]
    tolerance: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    margin: Option<f64>,
}

/// Which rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Rate {
    /// Failed requests among all requests.
    Failures,
    /// Bad outcomes among all outcomes.
    BadOutcomes,
}

impl RateCheck {
    /// Compares failed requests.
    #[must_use]
    pub fn failures() -> Self {
        Self { of: Rate::Failures, tolerance: 0.0, margin: None }
    }

    /// Compares bad outcomes: [`Evidence::record_outcome`](crate::Evidence::record_outcome).
    #[must_use]
    pub fn bad_outcomes() -> Self {
        Self { of: Rate::BadOutcomes, ..Self::failures() }
    }

    /// Tolerates a rate that is higher by this much: 0.01 for one percentage point. 0 unless set.
    #[must_use]
    pub fn with_tolerance(mut self, tolerance: f64) -> Self {
        self.tolerance = tolerance;
        self
    }

    /// Passes only once the whole interval lies below `margin`, which must exceed the tolerance. Proof
    /// takes many samples: some `16 · rate / margin²` of each variant.
    #[must_use]
    pub fn with_margin(mut self, margin: f64) -> Self {
        self.margin = Some(margin);
        self
    }

    pub(super) fn name(&self) -> &'static str {
        match self.of {
            Rate::Failures => "failure rate",
            Rate::BadOutcomes => "bad outcome rate",
        }
    }

    pub(super) fn fault(&self) -> Option<String> {
        let Self { tolerance, margin, .. } = self;
        if !(0.0..1.0).contains(tolerance) {
            return Some(format!("tolerates a {} higher by {tolerance}; it must be in [0, 1)", self.name()));
        }
        let margin = margin.filter(|margin| !(margin > tolerance && *margin <= 1.0))?;
        Some(format!("has a margin of {margin} for the {}; it must be in (tolerance, 1]", self.name()))
    }

    pub(super) fn judge(
        &self,
        stable: &VariantEvidence,
        candidate: &VariantEvidence,
        needed: SamplesNeeded,
        confidence: Confidence,
    ) -> Judgement {
        let (what, count): (_, fn(&VariantEvidence) -> Count) = match self.of {
            Rate::Failures => ("requests", |seen| Count { bad: seen.failures, all: seen.requests() }),
            Rate::BadOutcomes => ("outcomes", |seen| Count { bad: seen.bad, all: seen.outcomes() }),
        };
        let (stable, candidate) = (count(stable), count(candidate));
        let missing = needed.missing(what, stable.all, candidate.all);
        let sequence = match difference(stable, candidate, confidence) {
            Ok(sequence) => sequence,
            Err(error) => return Judgement::inconclusive(missing.unwrap_or_else(|| error.to_string())),
        };
        let points = |rate: f64| (100.0 * rate).clamp(-100.0, 100.0);
        let (lower, upper) = (points(sequence.interval.lower), points(sequence.interval.upper));
        let numbers = format!(
            "{candidate} against {stable}; the difference of {:+.3} points lies in [{lower:+.3}, {upper:+.3}]",
            points(sequence.difference)
        );
        if sequence.interval.lower > self.tolerance {
            return Judgement::failed(format!("{numbers}, above {:+}", 100.0 * self.tolerance));
        }
        if let Some(missing) = missing {
            return Judgement::inconclusive(missing);
        }
        match self.margin {
            Some(margin) if sequence.interval.upper >= margin => {
                Judgement::inconclusive(format!("{numbers}, not yet below {:+}", 100.0 * margin))
            }
            _ => Judgement::passed(numbers),
        }
    }
}

/// So many bad ones among all.
#[derive(Debug, Clone, Copy)]
pub(super) struct Count {
    pub(super) bad: u64,
    pub(super) all: u64,
}

/// `1.250 % (5 of 400)`.
impl std::fmt::Display for Count {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.3} % ({} of {})", 100.0 * self.rate(), self.bad, self.all)
    }
}

impl Count {
    fn rate(self) -> f64 {
        self.bad as f64 / self.all as f64
    }

    /// p̃(1-p̃) with p̃ = (x+1)/(n+2), so that 0 of n and n of n have a variance too. Agresti & Caffo,
    /// "Simple and effective confidence intervals for proportions and differences of proportions", The
    /// American Statistician 54(4), 2000, add one success and one failure likewise.
    fn smoothed_variance(self) -> f64 {
        let rate = (self.bad as f64 + 1.0) / (self.all as f64 + 2.0);
        rate * (1.0 - rate)
    }

    fn plus(self, other: Self) -> Self {
        Self { bad: self.bad + other.bad, all: self.all + other.all }
    }
}

/// The larger of the two squared standard errors of a difference of rates: each sample with its own
/// variance, or both with the one of all data together, as under equal rates.
///
/// While a sample is small its own variance is too low whenever all of it happens to agree. The own one
/// alone fails up to 9 % of candidates that are no worse at alpha 5 % (rate 0.9, share 0.05); the larger of
/// both stays below alpha at every rate and share: see `simulation.rs`.
fn squared_standard_error(first: Count, second: Count) -> f64 {
    let (n1, n2) = (first.all as f64, second.all as f64);
    let apart = first.smoothed_variance() / n1 + second.smoothed_variance() / n2;
    let pooled = first.plus(second).smoothed_variance() * (1.0 / n1 + 1.0 / n2);
    apart.max(pooled)
}

/// The anytime-valid interval for the candidate's rate minus the stable one's.
///
/// The sequence is timed by `4 n₁n₂/(n₁+n₂)`, which is `n₁+n₂` for equal samples. Under equal rates it is
/// proportional to the information 1/s² whatever the split, and in information time the standardized
/// difference is a Brownian motion even when the split changes or one sample stops growing (Jennison &
/// Turnbull, "Group Sequential Methods with Applications to Clinical Trials", 2000, chapter 11). Timed by
/// `n₁+n₂` that would hold only for a constant split.
pub(super) fn difference(
    stable: Count,
    candidate: Count,
    Confidence { alpha, narrowest_at }: Confidence,
) -> Result<ConfidenceSequence, StatsError> {
    for (what, count) in [("stable", stable), ("candidate", candidate)] {
        if count.all == 0 {
            return Err(StatsError::EmptySample { what });
        }
    }
    let variance = squared_standard_error(stable, candidate);
    let (n1, n2) = (stable.all as f64, candidate.all as f64);
    let time = (4.0 * n1 / (n1 + n2) * n2).round().max(1.0) as u64;
    let rho = confidence_sequence_rho(narrowest_at as f64, alpha)?;
    confidence_sequence(candidate.rate() - stable.rate(), variance, time, alpha, rho)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Verdict;

    const CONFIDENCE: Confidence = Confidence { alpha: 0.05, narrowest_at: 1_000 };

    fn judge(check: RateCheck, stable: (u64, u64), candidate: (u64, u64), needed: u64) -> Judgement {
        let of = |(bad, all): (u64, u64)| VariantEvidence::new(all - bad, bad).with_outcomes(all - bad, bad);
        check.judge(&of(stable), &of(candidate), SamplesNeeded::each(needed), CONFIDENCE)
    }

    #[test]
    fn the_reason_holds_the_numbers() {
        let judgement = judge(RateCheck::failures(), (0, 200), (15, 15), 100);
        assert_eq!(judgement.verdict, Verdict::Failed);
        assert_eq!(
            judgement.reason,
            "100.000 % (15 of 15) against 0.000 % (0 of 200); \
             the difference of +100.000 points lies in [+68.194, +100.000], above +0"
        );
        let judgement = judge(RateCheck::bad_outcomes(), (5, 150), (1, 20), 100);
        assert_eq!(judgement.reason, "80 more outcomes of the candidate are needed (20 of 100)");
    }

    #[test]
    fn tolerance_and_margin_move_the_bar() {
        let (stable, candidate) = ((100, 10_000), (300, 10_000));
        assert_eq!(judge(RateCheck::failures(), stable, candidate, 1).verdict, Verdict::Failed);
        let tolerant = RateCheck::failures().with_tolerance(0.05);
        assert_eq!(judge(tolerant, stable, candidate, 1).verdict, Verdict::Passed);
        let proven = RateCheck::failures().with_margin(0.01);
        assert_eq!(judge(proven, stable, (100, 10_000), 1).verdict, Verdict::Passed);
        assert_eq!(judge(proven, (10, 1_000), (10, 1_000), 1).verdict, Verdict::Inconclusive);
    }
}
