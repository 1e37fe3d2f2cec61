//! Where the values of a metric lie, compared by their ranks.

use mlops_core::stats::{
    Alternative, ChangeDirection, KayentaClass, KayentaJudgement, KayentaOptions, MannWhitneyMethod,
    StatsError, kayenta_judge, mann_whitney_u,
};
use serde::{Deserialize, Serialize};

use super::confidence::{Confidence, Estimate};
use super::finding::{Claim, Finding, Look};
use super::mean::{Short, metric, samples, with_refused};
use super::needed::{Samples, SamplesNeeded};
use super::rate::{information_time, is_zero};
use crate::{MetricEvidence, Worse};

/// Values of a metric of the candidate must not tend to be worse than those of the stable variant, whatever
/// their distribution: the Mann-Whitney test, in the form of Kayenta's canary analysis.
///
/// Heavy tails and outliers, which drown a mean, do not disturb ranks. It compares up to 512 values of each
/// variant, drawn uniformly from all that were seen.
///
/// Fails when the test tells values on the worse side from chance, and the means of the two samples differ by
/// more than the [relative tolerance](Self::with_relative_tolerance). Kayenta asks for more: that the interval
/// of the shift clears zero by a quarter of its estimate. So a canary of which 7 of 10 points are a hundred
/// times worse [passes](https://github.com/spinnaker/spinnaker/issues/6278): three that agree are enough to
/// pull the lower end of the interval to zero. Who wants that rule sets
/// [`with_shift_tolerance(0.25)`](Self::with_shift_tolerance).
///
/// Many looks: the sample of a long stream is renewed bit by bit, so that of twice the stream has half of its
/// values in common. Its standardized statistic correlates as that of a Brownian motion at the time `n²`, by
/// which the level of each look is timed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RankCheck {
    metric: String,
    worse: Worse,
    #[serde(default, skip_serializing_if = "is_zero")]
    relative_tolerance: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    shift_tolerance: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    min_samples: Option<u64>,
}

impl RankCheck {
    /// Higher values are worse.
    #[must_use]
    pub fn must_not_rise(metric: impl Into<String>) -> Self {
        Self::new(metric.into(), Worse::Higher)
    }

    /// Lower values are worse.
    #[must_use]
    pub fn must_not_fall(metric: impl Into<String>) -> Self {
        Self::new(metric.into(), Worse::Lower)
    }

    /// Any shift is worse.
    #[must_use]
    pub fn must_not_change(metric: impl Into<String>) -> Self {
        Self::new(metric.into(), Worse::Either)
    }

    fn new(metric: String, worse: Worse) -> Self {
        Self { metric, worse, relative_tolerance: 0.0, shift_tolerance: None, min_samples: None }
    }

    /// Tolerates a mean that is worse by this share: 0.1 for "at most 10 % worse". 0 unless set. Kayenta calls
    /// it the allowed increase and decrease.
    #[must_use]
    pub fn with_relative_tolerance(mut self, share: f64) -> Self {
        self.relative_tolerance = share;
        self
    }

    /// Judges by Kayenta's rule: the interval of the shift must clear zero by this share of its estimate, 0.25
    /// in Kayenta.
    #[must_use]
    pub fn with_shift_tolerance(mut self, share: f64) -> Self {
        self.shift_tolerance = Some(share);
        self
    }

    /// Asks for so many values of each variant, whatever the step asks for.
    #[must_use]
    pub fn with_min_samples(mut self, samples: u64) -> Self {
        self.min_samples = Some(samples);
        self
    }

    pub(super) fn name(&self) -> String {
        format!("ranks of {}", self.metric)
    }

    pub(super) fn fault(&self) -> Option<String> {
        let Self { metric, relative_tolerance, shift_tolerance, .. } = self;
        let good = |share: f64| (0.0..=1e6).contains(&share);
        if metric.is_empty() {
            return Some("compares the ranks of a metric without a name".to_owned());
        }
        let shift = shift_tolerance.unwrap_or_default();
        (!good(*relative_tolerance) || !good(shift)).then(|| {
            format!(
                "tolerates {metric} worse by a share of {relative_tolerance} and a shift of {shift} of itself; \
                 both must be in [0, 1e6]"
            )
        })
    }

    pub(super) fn needed(&self, needed: SamplesNeeded) -> SamplesNeeded {
        self.min_samples.map_or(needed, SamplesNeeded::each).at_least(2)
    }

    pub(super) fn samples(&self, look: Look<'_>) -> Samples {
        samples(&self.metric, look)
    }

    pub(super) fn find(&self, look: Look<'_>, confidence: Confidence) -> Result<Finding, StatsError> {
        let (stable, candidate) = metric(&self.metric, look)?;
        let (control, experiment): (Vec<f64>, Vec<f64>) =
            (stable.sample().collect(), candidate.sample().collect());
        let time = time(stable, candidate);
        let test = mann_whitney_u(&experiment, &control, Alternative::TwoSided, MannWhitneyMethod::Auto)?;
        let p_value = confidence.p_value(test.p_value, time)?;
        let effect = test.common_language_effect();
        let judged = self.judge(&control, &experiment, confidence.level(time));

        let worse = match (self.shift_tolerance, &judged) {
            (None, _) => {
                let risen = candidate.mean().unwrap_or_default() - stable.mean().unwrap_or_default();
                let allowed = self.relative_tolerance * stable.mean().unwrap_or_default().abs();
                // Without a tolerance the means do not matter: one outlier could move them anywhere.
                let beyond = |change: f64| self.relative_tolerance == 0.0 || change > allowed;
                let rise = self.worse.rise() && effect > 0.5 && beyond(risen);
                let fall = self.worse.fall() && effect < 0.5 && beyond(-risen);
                p_value <= confidence.alpha() && (rise || fall)
            }
            (Some(_), Ok(judged)) => judged.class != KayentaClass::Pass,
            (Some(_), Err(error)) => return Err(error.clone()),
        };
        let shift = judged.ok().and_then(|judged| judged.shift);
        let estimate = shift.map(|shift| Estimate {
            value: shift.estimate(),
            lower: shift.interval.lower,
            upper: shift.interval.upper,
            p_value,
        });
        let shifted = estimate.map_or_else(String::new, |Estimate { value, lower, upper, .. }| {
            format!(", shifted by {:+} in [{:+}, {:+}]", Short(value), Short(lower), Short(upper))
        });
        let words = format!(
            "{:.1} % of pairs are higher with the candidate{shifted}; p = {}",
            100.0 * effect,
            Short(p_value)
        );
        let finding = Finding::new(if worse { Claim::Worse } else { Claim::Fine }, words);
        let finding = finding.with_estimate(estimate.unwrap_or(Estimate {
            value: f64::NAN,
            lower: f64::NAN,
            upper: f64::NAN,
            p_value,
        }));
        Ok(with_refused(finding, stable, candidate))
    }

    fn judge(
        &self,
        control: &[f64],
        experiment: &[f64],
        level: Result<f64, StatsError>,
    ) -> Result<KayentaJudgement, StatsError> {
        let direction = match self.worse {
            Worse::Higher => ChangeDirection::Increase,
            Worse::Lower => ChangeDirection::Decrease,
            Worse::Either => ChangeDirection::Either,
        };
        let options = KayentaOptions::default()
            .with_direction(direction)
            .with_tolerance(self.shift_tolerance.unwrap_or_default())
            .with_allowed_ratios(1.0 + self.relative_tolerance, (1.0 - self.relative_tolerance).max(0.0));
        kayenta_judge(control, experiment, options.with_confidence(level?))
    }
}

/// How far the comparison has come: that of the samples, times the square of how often they were renewed.
fn time(stable: &MetricEvidence, candidate: &MetricEvidence) -> f64 {
    let (n, m) = (stable.sample().len(), candidate.sample().len());
    let renewed = |metric: &MetricEvidence, kept: usize| metric.count() as f64 / kept.max(1) as f64;
    let renewed = renewed(stable, n).max(renewed(candidate, m));
    information_time(n as f64, m as f64) * renewed * renewed
}

#[cfg(test)]
mod tests {
    use super::super::finding::conclude;
    use super::super::{CheckOutcome, TestMode};
    use super::*;
    use crate::{VariantEvidence, Verdict};

    fn judge(check: &RankCheck, mode: TestMode, stable: &[f64], candidate: &[f64]) -> CheckOutcome {
        let of =
            |values: &[f64]| VariantEvidence::default().with_metric("m", values.iter().copied().collect());
        let (stable, candidate) = (of(stable), of(candidate));
        let look = Look { stable: &stable, candidate: &candidate, share: None };
        let confidence = Confidence::new(mode, 0.05, 1_000);
        let needed = check.needed(SamplesNeeded::each(10));
        conclude(check.name(), check.find(look, confidence), check.samples(look), needed, confidence)
    }

    fn values(count: usize, shift: f64) -> Vec<f64> {
        (0..count).map(|index| shift + (1.0 + (index * 7_919 % 1_009) as f64).ln()).collect()
    }

    #[test]
    fn a_shift_to_the_worse_side_fails() {
        for mode in [TestMode::Sequential, TestMode::FixedHorizon] {
            let verdict = |check: &RankCheck, shift| {
                judge(check, mode, &values(400, 1.0), &values(400, 1.0 + shift)).verdict
            };
            for (check, verdicts) in [
                (RankCheck::must_not_rise("m"), [Verdict::Failed, Verdict::Passed]),
                (RankCheck::must_not_fall("m"), [Verdict::Passed, Verdict::Failed]),
                (RankCheck::must_not_change("m"), [Verdict::Failed, Verdict::Failed]),
            ] {
                assert_eq!([verdict(&check, 0.5), verdict(&check, -0.5)], verdicts, "{check:?} {mode:?}");
                assert_eq!(verdict(&check, 0.0), Verdict::Passed);
                let tolerant = check.with_relative_tolerance(0.5);
                assert_eq!([verdict(&tolerant, 0.5), verdict(&tolerant, -0.5)], [Verdict::Passed; 2]);
            }
        }
    }

    #[test]
    fn the_numbers_are_those_of_the_test() {
        let (stable, candidate) = (values(60, 0.0), values(50, 0.6));
        let outcome = judge(&RankCheck::must_not_rise("m"), TestMode::FixedHorizon, &stable, &candidate);
        let test =
            mann_whitney_u(&candidate, &stable, Alternative::TwoSided, MannWhitneyMethod::Auto).unwrap();
        assert_eq!(outcome.numbers.p_value, Some(test.p_value));
        let shift = mlops_core::stats::mann_whitney_interval(&candidate, &stable, 0.95).unwrap();
        assert_eq!(outcome.numbers.estimate, Some(shift.estimate()));
        assert!((outcome.numbers.lower.unwrap() - shift.interval.lower).abs() < 1e-12);
    }

    #[test]
    fn constants_tails_and_too_few() {
        let check = RankCheck::must_not_rise("m");
        let one = |stable: &[f64], candidate: &[f64]| {
            judge(&check, TestMode::Sequential, stable, candidate).verdict
        };
        assert_eq!(one(&[2.0; 50], &[2.0; 50]), Verdict::Passed);
        assert_eq!(one(&[2.0; 500], &[2.5; 500]), Verdict::Failed);
        assert_eq!(one(&[2.0], &[2.0; 50]), Verdict::Inconclusive);
        assert_eq!(one(&values(50, 0.0), &[f64::NAN; 50]), Verdict::Inconclusive);
        let mut spoiled = values(400, 0.0);
        spoiled[7] = 1e20; // which spoils the mean and not the ranks
        assert_eq!(one(&spoiled, &values(400, 0.5)), Verdict::Failed);
    }

    #[test]
    fn kayentas_rule_is_there_for_who_asks() {
        let strict = RankCheck::must_not_rise("m").with_shift_tolerance(0.25);
        for (shift, verdict) in [(0.1, Verdict::Passed), (0.8, Verdict::Failed)] {
            let candidate = values(60, shift);
            assert_eq!(judge(&strict, TestMode::FixedHorizon, &values(60, 0.0), &candidate).verdict, verdict);
        }
    }
}
