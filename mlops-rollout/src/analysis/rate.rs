//! Two rates, compared.

use mlops_core::stats::StatsError;
use serde::{Deserialize, Serialize};

use super::confidence::{Confidence, Estimate};
use super::finding::{Claim, Finding, Look};
use super::needed::{Samples, SamplesNeeded};
use crate::VariantEvidence;

/// The candidate's rate of something bad must not lie above that of the stable variant.
///
/// Fails when the whole interval of the difference lies above the tolerance. Passes with enough samples
/// when it does not: no regression was *found*. To demand proof that there is none beyond some size, set a
/// [non-inferiority margin](Self::with_margin).
///
/// Requests count as independent of each other, unless [users are counted](crate::Evidence::with_users): then failures
/// count as many as are, which is fewer where the same users fail again and again.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateCheck {
    of: Rate,
    #[serde(default)]
    tolerance: f64,
    #[serde(default, skip_serializing_if = "is_zero")]
    relative_tolerance: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    margin: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    min_samples: Option<u64>,
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

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's signature
pub(super) fn is_zero(number: &f64) -> bool {
    *number == 0.0
}

impl Rate {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Failures => "failure rate",
            Self::BadOutcomes => "bad outcome rate",
        }
    }

    /// Of what it is a rate.
    pub(super) fn of(self) -> &'static str {
        match self {
            Self::Failures => "requests",
            Self::BadOutcomes => "outcomes",
        }
    }

    pub(super) fn count(self, seen: &VariantEvidence) -> Count {
        match self {
            Self::Failures => {
                Count { alike: seen.groups.design_effect(), ..Count::new(seen.failures, seen.requests()) }
            }
            Self::BadOutcomes => Count::new(seen.bad, seen.outcomes()),
        }
    }

    /// `; engine 12, deadline_exceeded 3`, the most frequent first, where it is known.
    pub(super) fn classes(self, seen: &VariantEvidence) -> String {
        let mut classes: Vec<_> = match self {
            Self::Failures => seen.failures_by_class.iter().collect(),
            Self::BadOutcomes => Vec::new(),
        };
        classes.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        let classes: Vec<_> = classes.into_iter().map(|(class, count)| format!("{class} {count}")).collect();
        if classes.is_empty() { String::new() } else { format!("; {}", classes.join(", ")) }
    }
}

impl RateCheck {
    /// Compares failed requests.
    #[must_use]
    pub fn failures() -> Self {
        Self { of: Rate::Failures, tolerance: 0.0, relative_tolerance: 0.0, margin: None, min_samples: None }
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

    /// Tolerates a rate that is higher by this share of the stable one: 0.1 for "at most 10 % worse". 0 unless
    /// set.
    #[must_use]
    pub fn with_relative_tolerance(mut self, share: f64) -> Self {
        self.relative_tolerance = share;
        self
    }

    /// Passes only once the whole interval lies below `margin`, which must exceed the tolerance. Proof
    /// takes many samples: some `16 · rate / margin²` of each variant.
    #[must_use]
    pub fn with_margin(mut self, margin: f64) -> Self {
        self.margin = Some(margin);
        self
    }

    /// Asks for so many samples of each variant, whatever the step asks for: outcomes are often fewer than
    /// requests.
    #[must_use]
    pub fn with_min_samples(mut self, samples: u64) -> Self {
        self.min_samples = Some(samples);
        self
    }

    pub(super) fn name(&self) -> &'static str {
        self.of.name()
    }

    pub(super) fn fault(&self) -> Option<String> {
        let Self { tolerance, relative_tolerance, margin, .. } = self;
        if !(0.0..1.0).contains(tolerance) {
            return Some(format!("tolerates a {} higher by {tolerance}; it must be in [0, 1)", self.name()));
        }
        if !(0.0..=1e6).contains(relative_tolerance) {
            let share = relative_tolerance;
            return Some(format!(
                "tolerates a {} higher by a share of {share}; it must be in [0, 1e6]",
                self.name()
            ));
        }
        let margin = margin.filter(|margin| !(margin > tolerance && *margin <= 1.0))?;
        Some(format!("has a margin of {margin} for the {}; it must be in (tolerance, 1]", self.name()))
    }

    pub(super) fn needed(&self, needed: SamplesNeeded) -> SamplesNeeded {
        self.min_samples.map_or(needed, SamplesNeeded::each)
    }

    pub(super) fn samples(&self, look: Look<'_>) -> Samples {
        let count = |seen| self.of.count(seen).all;
        Samples { what: self.of.of(), stable: Some(count(look.stable)), candidate: count(look.candidate) }
    }

    pub(super) fn find(&self, look: Look<'_>, confidence: Confidence) -> Result<Finding, StatsError> {
        let (stable, candidate) = (self.of.count(look.stable), self.of.count(look.candidate));
        let ratio = 1.0 + self.relative_tolerance;
        let found = difference(stable, candidate, ratio, confidence)?;
        let points = |rate: f64| (100.0 * rate).clamp(-100.0 * ratio, 100.0);
        let from = if ratio > 1.0 { format!(" from {ratio} times that") } else { String::new() };
        let numbers = format!(
            "{candidate} against {stable}; the difference of {:+.3} points{from} lies in [{:+.3}, {:+.3}]",
            points(found.value),
            points(found.lower),
            points(found.upper)
        );
        let finding = match self.margin {
            _ if found.lower > self.tolerance => {
                let classes = self.of.classes(look.candidate);
                Finding::new(Claim::Worse, format!("{numbers}, above {:+}{classes}", 100.0 * self.tolerance))
            }
            Some(margin) if found.upper >= margin => {
                Finding::new(Claim::Open, format!("{numbers}, not yet below {:+}", 100.0 * margin))
            }
            _ => Finding::new(Claim::Fine, numbers),
        };
        let below = |factor| {
            let grown = difference(stable.times(factor), candidate.times(factor), ratio, confidence);
            self.margin.is_some_and(|margin| grown.is_ok_and(|grown| grown.upper < margin))
        };
        Ok(finding.with_estimate(found).with_growth(below))
    }
}

/// So many bad ones among all.
#[derive(Debug, Clone, Copy)]
pub(super) struct Count {
    pub(super) bad: u64,
    pub(super) all: u64,
    /// So many of them tell as much as one would that is independent of the others:
    /// [`UserGroups::design_effect`](crate::UserGroups::design_effect).
    pub(super) alike: f64,
}

/// `1.250 % (5 of 400)`, or `1.250 % (5 of 400, which tell as much as 90)`.
impl std::fmt::Display for Count {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.3} % ({} of {}", 100.0 * self.rate(), self.bad, self.all)?;
        if self.alike > 1.0 {
            write!(f, ", which tell as much as {:.0}", self.independent())?;
        }
        f.write_str(")")
    }
}

impl Count {
    /// Independent of each other.
    pub(super) fn new(bad: u64, all: u64) -> Self {
        Self { bad, all, alike: 1.0 }
    }

    fn rate(self) -> f64 {
        self.bad as f64 / self.all as f64
    }

    /// As many as tell something.
    fn independent(self) -> f64 {
        self.all as f64 / self.alike
    }

    /// p̃(1-p̃) with p̃ = (x+1)/(n+2), so that 0 of n and n of n have a variance too. Agresti & Caffo,
    /// "Simple and effective confidence intervals for proportions and differences of proportions", The
    /// American Statistician 54(4), 2000, add one success and one failure likewise.
    fn smoothed_variance(self) -> f64 {
        let rate = (self.bad as f64 / self.alike + 1.0) / (self.independent() + 2.0);
        rate * (1.0 - rate)
    }

    /// The same rate of `factor` times as many.
    pub(super) fn times(self, factor: f64) -> Self {
        let times = |count: u64| (count as f64 * factor).round() as u64;
        Self { bad: times(self.bad), all: times(self.all), alike: self.alike }
    }
}

/// The larger of the two squared standard errors of the candidate's rate minus `ratio` times the stable one: each
/// sample with its own variance, or both with that of the rates that would make it zero. Samples are as large as they
/// are independent.
///
/// While a sample is small its own variance is too low whenever all of it happens to agree. The own one
/// alone fails up to 9 % of candidates that are no worse at alpha 5 % (rate 0.9, share 0.05); the larger of
/// both stays below alpha at every rate and share: see `simulation.rs`.
fn squared_standard_error(stable: Count, candidate: Count, ratio: f64) -> f64 {
    let (n1, n2) = (stable.independent(), candidate.independent());
    let squared = ratio * ratio;
    let apart = squared * stable.smoothed_variance() / n1 + candidate.smoothed_variance() / n2;
    let bad = stable.bad as f64 / stable.alike + candidate.bad as f64 / candidate.alike;
    let rate = (bad + 1.0) / (n1 + ratio * n2 + 2.0);
    let raised = (ratio * rate).min(1.0);
    apart.max(squared * rate * (1.0 - rate) / n1 + raised * (1.0 - raised) / n2)
}

/// How far a comparison of two samples has come: `4 n₁n₂/(n₁+n₂)`, which is `n₁+n₂` for equal ones.
///
/// Under equal rates or variances it is proportional to the information 1/s² whatever the split, and in
/// information time the standardized difference is a Brownian motion even when the split changes or one sample
/// stops growing (Jennison & Turnbull, "Group Sequential Methods with Applications to Clinical Trials", 2000,
/// chapter 11). Timed by `n₁+n₂` that would hold only for a constant split.
pub(super) fn information_time(stable: f64, candidate: f64) -> f64 {
    4.0 * stable / (stable + candidate) * candidate
}

/// The interval for the candidate's rate minus `ratio` times the stable one's.
pub(super) fn difference(
    stable: Count,
    candidate: Count,
    ratio: f64,
    confidence: Confidence,
) -> Result<Estimate, StatsError> {
    for (what, count) in [("stable", stable), ("candidate", candidate)] {
        if count.all == 0 {
            return Err(StatsError::EmptySample { what });
        }
    }
    let variance = squared_standard_error(stable, candidate, ratio);
    let time = information_time(stable.independent(), candidate.independent());
    confidence.interval(candidate.rate() - ratio * stable.rate(), variance, time)
}

/// The interval for a rate minus a limit, with the larger of its own variance and that at the limit. A sample
/// that is `renewed` so many times has come that often squared as far: see [`RankCheck`](super::RankCheck).
pub(super) fn difference_from(
    limit: f64,
    count: Count,
    renewed: f64,
    confidence: Confidence,
) -> Result<Estimate, StatsError> {
    if count.all == 0 {
        return Err(StatsError::EmptySample { what: "candidate" });
    }
    let n = count.independent();
    let variance = count.smoothed_variance().max(limit * (1.0 - limit)) / n;
    confidence.interval(count.rate() - limit, variance, n * renewed * renewed)
}

#[cfg(test)]
mod tests {
    use super::super::finding::conclude;
    use super::super::{CheckOutcome, TestMode};
    use super::*;
    use crate::Verdict;

    fn judge(check: RateCheck, stable: (u64, u64), candidate: (u64, u64), needed: u64) -> CheckOutcome {
        let of = |(bad, all): (u64, u64)| VariantEvidence::new(all - bad, bad).with_outcomes(all - bad, bad);
        let (stable, candidate) = (of(stable), of(candidate));
        let look = Look { stable: &stable, candidate: &candidate, share: None };
        let confidence = Confidence::new(TestMode::Sequential, 0.05, 1_000);
        let found = check.find(look, confidence);
        conclude(String::new(), found, check.samples(look), SamplesNeeded::each(needed), confidence)
    }

    #[test]
    fn the_reason_holds_the_numbers() {
        let outcome = judge(RateCheck::failures(), (0, 200), (15, 15), 100);
        assert_eq!(outcome.verdict, Verdict::Failed);
        assert_eq!(
            outcome.reason,
            "100.000 % (15 of 15) against 0.000 % (0 of 200); \
             the difference of +100.000 points lies in [+68.194, +100.000], above +0"
        );
        assert_eq!((outcome.numbers.estimate, outcome.numbers.candidate), (Some(1.0), 15));
        assert!(outcome.numbers.p_value.unwrap() < 0.05);
        let outcome = judge(RateCheck::bad_outcomes(), (5, 150), (1, 20), 100);
        assert_eq!(outcome.reason, "80 more outcomes of the candidate are needed (20 of 100)");
        assert_eq!(outcome.numbers.more, Some(SamplesNeeded { stable: 0, candidate: 80 }));
    }

    #[test]
    fn tolerance_and_margin_move_the_bar() {
        let (stable, candidate) = ((100, 10_000), (300, 10_000));
        assert_eq!(judge(RateCheck::failures(), stable, candidate, 1).verdict, Verdict::Failed);
        let tolerant = RateCheck::failures().with_tolerance(0.05);
        assert_eq!(judge(tolerant, stable, candidate, 1).verdict, Verdict::Passed);
        for (tolerance, verdict) in [(0.5, Verdict::Failed), (0.9, Verdict::Failed), (1.5, Verdict::Passed)] {
            let tolerant = RateCheck::failures().with_relative_tolerance(tolerance);
            assert_eq!(judge(tolerant, stable, candidate, 1).verdict, verdict, "{tolerance}");
        }
        let proven = RateCheck::failures().with_margin(0.01);
        assert_eq!(judge(proven, stable, (100, 10_000), 1).verdict, Verdict::Passed);
    }

    #[test]
    fn what_is_not_yet_proven_says_how_much_more_it_takes() {
        let proven = RateCheck::failures().with_margin(0.01);
        let open = judge(proven, (10, 1_000), (10, 1_000), 1);
        assert_eq!(open.verdict, Verdict::Inconclusive);
        let more = open.numbers.more.unwrap();
        assert!(
            open.reason.contains(&format!("not yet below +1; some {} more", more.candidate)),
            "{}",
            open.reason
        );
        let grown = |extra: f64| {
            let all = 1_000 + (more.candidate as f64 * extra) as u64;
            judge(proven, (all / 100, all), (all / 100, all), 1).verdict
        };
        assert_eq!((grown(1.05), grown(0.9)), (Verdict::Passed, Verdict::Inconclusive));
        let hopeless = judge(proven, (0, 10_000), (99, 10_000), 1);
        assert_eq!((hopeless.verdict, hopeless.numbers.more.is_some()), (Verdict::Failed, false));
    }
}
