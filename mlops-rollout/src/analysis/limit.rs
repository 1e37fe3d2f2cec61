//! Guardrails: what a candidate must keep whatever the stable variant does.

use std::time::Duration;

use jiff::fmt::serde::unsigned_duration::friendly::compact;
use mlops_core::stats::{SampleMoments, StatsError, TTest, welch_t_test_from_moments};
use serde::{Deserialize, Serialize};

use super::confidence::{Confidence, Estimate};
use super::finding::{Claim, Finding, Look};
use super::latency::{is_quantile, quantile_name, samples_beyond};
use super::mean::{Short, estimate, with_refused};
use super::needed::{Samples, SamplesNeeded};
use super::rate::{Count, Rate, difference_from};
use crate::MetricEvidence;

/// The candidate's rate of something bad must not exceed a limit: a failure rate of at most 1 %.
///
/// A guardrail fails when the rate lies above the limit for certain, passes with enough samples when the
/// observed one does not, and in between says how much more data will tell.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateLimit {
    of: Rate,
    at_most: f64,
}

/// The candidate's latency at a quantile must not exceed a limit: a p99 of at most 50 ms.
///
/// Decided by counting the answers that took longer, as [`LatencyCheck`](super::LatencyCheck) does.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LatencyLimit {
    quantile: f64,
    #[serde(with = "compact::required")]
    at_most: Duration,
}

/// The candidate's mean of a metric must keep to a limit.
///
/// The t-test of one sample, with the largest of three variances: its own, that about the limit, and the
/// stable variant's where it is known. For what is good or bad, a [`RateLimit`] of outcomes is the better
/// guardrail: rare values are no news to it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MeanLimit {
    metric: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    at_most: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    at_least: Option<f64>,
}

#[derive(Debug, Clone, Copy)]
enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

impl RateLimit {
    /// Limits failed requests among all requests: 0.01 for 1 %.
    #[must_use]
    pub fn failures(at_most: f64) -> Self {
        Self { of: Rate::Failures, at_most }
    }

    /// Limits bad outcomes among all outcomes.
    #[must_use]
    pub fn bad_outcomes(at_most: f64) -> Self {
        Self { of: Rate::BadOutcomes, at_most }
    }

    pub(super) fn name(&self) -> String {
        format!("{} of at most {} %", self.of.name(), Short(100.0 * self.at_most))
    }

    pub(super) fn fault(&self) -> Option<String> {
        let Self { of, at_most } = self;
        let good = *at_most >= 0.0 && *at_most < 1.0;
        (!good).then(|| format!("limits the {} to {at_most}; the limit must be in [0, 1)", of.name()))
    }

    pub(super) fn samples(&self, look: Look<'_>) -> Samples {
        Samples { what: self.of.of(), stable: None, candidate: self.of.count(look.candidate).all }
    }

    pub(super) fn find(&self, look: Look<'_>, confidence: Confidence) -> Result<Finding, StatsError> {
        let count = self.of.count(look.candidate);
        let found = difference_from(self.at_most, count, 1.0, confidence)?;
        let words = format!("{count} of at most {} %", Short(100.0 * self.at_most));
        let finding = by_sign(found, words, &self.of.classes(look.candidate));
        Ok(finding.with_growth(|factor| {
            difference_from(self.at_most, count.times(factor), 1.0, confidence)
                .is_ok_and(|grown| grown.lower > 0.0)
        }))
    }
}

impl LatencyLimit {
    /// Limits the latency that one answer in a hundred exceeds.
    #[must_use]
    pub fn p99(at_most: Duration) -> Self {
        Self::at(0.99, at_most)
    }

    /// Limits the latency at any quantile, between 0 and 1.
    #[must_use]
    pub fn at(quantile: f64, at_most: Duration) -> Self {
        Self { quantile, at_most }
    }

    pub(super) fn name(&self) -> String {
        format!("{} latency of at most {:?}", quantile_name(self.quantile), self.at_most)
    }

    pub(super) fn fault(&self) -> Option<String> {
        let Self { quantile, at_most } = self;
        let good = is_quantile(*quantile) && !at_most.is_zero();
        (!good).then(|| {
            format!(
                "limits the latency at the quantile {quantile} to {at_most:?}; \
                 the quantile must lie between 0 and 1, the limit above 0"
            )
        })
    }

    pub(super) fn needed(&self, needed: SamplesNeeded) -> SamplesNeeded {
        needed.at_least(samples_beyond(self.quantile))
    }

    pub(super) fn samples(look: Look<'_>) -> Samples {
        Samples { what: "answers", stable: None, candidate: look.candidate.latencies.count() }
    }

    pub(super) fn find(&self, look: Look<'_>, confidence: Confidence) -> Result<Finding, StatsError> {
        let latencies = &look.candidate.latencies;
        let slow = Count::new(latencies.count_above(self.at_most), latencies.count());
        let allowed = 1.0 - self.quantile;
        let found = difference_from(allowed, slow, 1.0, confidence)?;
        let observed = latencies.quantile(self.quantile).unwrap_or_default();
        let words = format!("{observed:.1?}; {slow} took more than {:.1?}", self.at_most);
        Ok(by_sign(found, words, "").with_growth(|factor| {
            difference_from(allowed, slow.times(factor), 1.0, confidence).is_ok_and(|grown| grown.lower > 0.0)
        }))
    }
}

impl MeanLimit {
    /// Limits the mean from above.
    #[must_use]
    pub fn at_most(metric: impl Into<String>, limit: f64) -> Self {
        Self { metric: metric.into(), at_most: Some(limit), at_least: None }
    }

    /// Limits the mean from below.
    #[must_use]
    pub fn at_least(metric: impl Into<String>, limit: f64) -> Self {
        Self { metric: metric.into(), at_most: None, at_least: Some(limit) }
    }

    pub(super) fn name(&self) -> String {
        let bound = self.bound().map_or_else(String::new, Bound::words);
        format!("mean of {} of {bound}", self.metric)
    }

    /// The limit, if there is exactly one.
    fn bound(&self) -> Option<Bound> {
        match (self.at_most, self.at_least) {
            (Some(limit), None) => Some(Bound::AtMost(limit)),
            (None, Some(limit)) => Some(Bound::AtLeast(limit)),
            _ => None,
        }
    }

    pub(super) fn fault(&self) -> Option<String> {
        if self.metric.is_empty() {
            return Some("limits the mean of a metric without a name".to_owned());
        }
        let Some(Bound::AtMost(limit) | Bound::AtLeast(limit)) = self.bound() else {
            return Some(format!(
                "limits the mean of {} neither or twice; give at_most or at_least",
                self.metric
            ));
        };
        let good = limit.abs() <= 1e29;
        (!good).then(|| format!("limits the mean of {} to {limit}; it must be finite", self.metric))
    }

    pub(super) fn needed(needed: SamplesNeeded) -> SamplesNeeded {
        needed.at_least(2)
    }

    pub(super) fn samples(&self, look: Look<'_>) -> Samples {
        let count = look.candidate.metrics.get(&self.metric).map_or(0, MetricEvidence::count);
        Samples { what: "values", stable: None, candidate: count }
    }

    pub(super) fn find(&self, look: Look<'_>, confidence: Confidence) -> Result<Finding, StatsError> {
        let candidate = look.candidate.metrics.get(&self.metric).filter(|metric| metric.count() > 1);
        let (Some(candidate), Some(bound)) = (candidate, self.bound()) else {
            return Err(StatsError::EmptySample { what: "metric" });
        };
        let unknown = MetricEvidence::default();
        let stable = look.stable.metrics.get(&self.metric).unwrap_or(&unknown);
        let usual = stable.variance().unwrap_or_default();
        let moments = candidate.moments();
        let found = bound.excess(moments, usual, confidence);
        let words = format!("{} of {}", Short(moments.mean), bound.words());
        let finding = match found {
            Ok(found) => by_sign(found, words, ""),
            // Far on the right side there may be no variation to speak of.
            Err(_) if bound.distance(moments.mean) <= 0.0 => Finding::new(Claim::Fine, words),
            Err(error) => return Err(error),
        };
        let finding = finding.with_growth(|factor| {
            let count = (moments.count as f64 * factor).round() as u64;
            let grown = bound.excess(SampleMoments { count, ..moments }, usual, confidence);
            grown.is_ok_and(|grown| grown.lower > 0.0)
        });
        Ok(with_refused(finding, stable, candidate))
    }
}

impl Bound {
    fn words(self) -> String {
        match self {
            Self::AtMost(limit) => format!("at most {}", Short(limit)),
            Self::AtLeast(limit) => format!("at least {}", Short(limit)),
        }
    }

    /// How far a mean lies on the wrong side.
    fn distance(self, mean: f64) -> f64 {
        match self {
            Self::AtMost(limit) => mean - limit,
            Self::AtLeast(limit) => limit - mean,
        }
    }

    fn excess(self, of: SampleMoments, usual: f64, confidence: Confidence) -> Result<Estimate, StatsError> {
        let n = of.count as f64;
        let distance = self.distance(of.mean);
        // A sample without variance, so that Welch's test is that of one sample.
        let test = welch_t_test_from_moments(
            SampleMoments { mean: distance, ..of },
            SampleMoments { count: 2, mean: 0.0, variance: 0.0 },
        )?;
        let about_limit = of.variance + distance * distance;
        let widest = if confidence.is_sequential() { about_limit.max(usual) } else { of.variance };
        let standard_error = (widest / n).sqrt();
        let statistic = distance / standard_error;
        estimate(TTest { standard_error, statistic, dof: n - 1.0, ..test }, n, confidence)
    }
}

/// Worse above zero for certain, fine if the estimate is not above it.
fn by_sign(found: Estimate, words: String, details: &str) -> Finding {
    let finding = if found.lower > 0.0 {
        Finding::new(Claim::Worse, format!("{words}{details}"))
    } else if found.value <= 0.0 {
        Finding::new(Claim::Fine, words)
    } else {
        Finding::new(Claim::Open, format!("{words}, which may still be chance"))
    };
    finding.with_estimate(found)
}

#[cfg(test)]
mod tests {
    use super::super::{Analysis, Check, CheckOutcome, TestMode};
    use super::*;
    use crate::{VariantEvidence, Verdict};

    fn judge(check: impl Into<Check>, candidate: &VariantEvidence) -> CheckOutcome {
        let analysis = Analysis::new([check]).unwrap();
        analysis.compare(&VariantEvidence::default(), candidate, SamplesNeeded::each(100)).checks.remove(0)
    }

    #[test]
    fn a_rate_is_held_to_its_limit() {
        let of =
            |failures, all| judge(RateLimit::failures(0.01), &VariantEvidence::new(all - failures, failures));
        assert_eq!(of(10, 1_000).verdict, Verdict::Passed);
        let failed = of(60, 1_000);
        assert_eq!((failed.verdict, failed.check.as_str()), (Verdict::Failed, "failure rate of at most 1 %"));
        assert_eq!(failed.reason, "6.000 % (60 of 1000) of at most 1 %");
        let open = of(15, 1_000);
        assert_eq!(open.verdict, Verdict::Inconclusive);
        let more = open.numbers.more.unwrap();
        assert_eq!(more.stable, 0);
        let factor = (1_000.0 + more.candidate as f64 * 1.05) / 1_000.0;
        assert_eq!(of((15.0 * factor) as u64, (1_000.0 * factor) as u64).verdict, Verdict::Failed);
        assert_eq!(of(0, 99).reason, "1 more requests of the candidate are needed (99 of 100)");
        let outcomes = VariantEvidence::default().with_outcomes(10, 90);
        assert_eq!(judge(RateLimit::bad_outcomes(0.5), &outcomes).verdict, Verdict::Failed);
    }

    #[test]
    fn a_latency_is_held_to_its_limit() {
        let limit = LatencyLimit::p99(Duration::from_millis(50));
        let of = |slow: u64, all: u64| {
            let millis = (0..all).map(|index| Duration::from_millis(if index < slow { 80 } else { 20 }));
            judge(limit, &VariantEvidence::new(all, 0).with_latencies(millis))
        };
        assert_eq!(of(8, 1_000).verdict, Verdict::Passed);
        assert_eq!(of(100, 1_000).verdict, Verdict::Failed);
        assert_eq!(of(13, 1_000).verdict, Verdict::Inconclusive);
        assert_eq!(of(0, 499).reason, "1 more answers of the candidate are needed (499 of 500)");
    }

    #[test]
    fn a_mean_is_held_to_its_limit() {
        let of = |mean: f64| {
            let values = (0..500).map(|index| mean + (index * 7 % 11) as f64 - 5.0);
            VariantEvidence::default().with_metric("m", values.collect())
        };
        for (limit, verdict) in [
            (MeanLimit::at_most("m", 11.0), Verdict::Passed),
            (MeanLimit::at_most("m", 9.0), Verdict::Failed),
            (MeanLimit::at_most("m", 9.9), Verdict::Inconclusive),
            (MeanLimit::at_least("m", 9.0), Verdict::Passed),
            (MeanLimit::at_least("m", 11.0), Verdict::Failed),
            (MeanLimit::at_least("other", 0.0), Verdict::Inconclusive),
        ] {
            let outcome = judge(limit.clone(), &of(10.0));
            assert_eq!(outcome.verdict, verdict, "{limit:?} {outcome:?}");
        }
        let constant = VariantEvidence::default().with_metric("m", [3.0; 500].into_iter().collect());
        assert_eq!(judge(MeanLimit::at_most("m", 3.0), &constant).verdict, Verdict::Passed);
        assert_eq!(judge(MeanLimit::at_most("m", 2.0), &constant).verdict, Verdict::Failed);
        let once = Analysis::new([MeanLimit::at_least("m", 10.4)]).unwrap().with_mode(TestMode::FixedHorizon);
        let report = once.compare(&VariantEvidence::default(), &of(10.0), SamplesNeeded::each(500));
        assert_eq!(report.verdict, Verdict::Failed, "{report}");
    }

    #[test]
    fn limits_that_make_no_sense_are_refused() {
        assert!(Analysis::new([RateLimit::failures(1.0)]).is_err());
        assert!(Analysis::new([RateLimit::failures(f64::NAN)]).is_err());
        assert!(Analysis::new([LatencyLimit::p99(Duration::ZERO)]).is_err());
        assert!(Analysis::new([LatencyLimit::at(1.0, Duration::from_secs(1))]).is_err());
        assert!(Analysis::new([MeanLimit::at_most("", 1.0)]).is_err());
        assert!(Analysis::new([MeanLimit::at_most("m", f64::INFINITY)]).is_err());
    }
}
