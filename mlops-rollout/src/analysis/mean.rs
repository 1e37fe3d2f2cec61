//! The means of a metric, compared.

use std::fmt;

use mlops_core::stats::{
    Alternative, PairedMoments, SampleMoments, StatsError, TTest, cuped_from_moments,
    welch_t_test_from_moments,
};
use serde::{Deserialize, Serialize};

use super::confidence::{Confidence, Estimate};
use super::finding::{Claim, Finding, Look};
use super::needed::{Samples, SamplesNeeded};
use super::rate::{information_time, is_zero};
use crate::{MetricEvidence, VariantEvidence};

/// The mean of a metric of the candidate must not be worse than that of the stable variant.
///
/// With one look it is Welch's t-test. With many, the test is widened to the level that the look allows, and
/// takes the larger of two standard errors: that of each variant's own variance, and that of one variance of
/// all values together, since the own variance of a small sample is too low whenever its values happen to
/// agree. Fails when the whole interval of the difference lies beyond the tolerance on the worse side.
///
/// What a candidate gives instead of numbers (NaN, infinities) is not averaged away: while its share of them
/// is higher than the stable variant's, the check does not pass.
///
/// ```
/// use mlops_rollout::{Analysis, MeanCheck, MetricEvidence, SamplesNeeded, VariantEvidence, Verdict};
///
/// let analysis = Analysis::new([MeanCheck::must_not_fall("revenue")])?;
/// let seen = |mean: f64| {
///     let values = (0..2_000).map(|index| mean + f64::from(index % 10));
///     VariantEvidence::default().with_metric("revenue", values.collect::<MetricEvidence>())
/// };
/// let report = analysis.compare(&seen(20.0), &seen(19.0), SamplesNeeded::each(1_000));
/// assert_eq!(report.verdict, Verdict::Failed);
/// assert_eq!(report.checks[0].numbers.estimate, Some(-1.0));
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MeanCheck {
    metric: String,
    worse: Worse,
    #[serde(default, skip_serializing_if = "is_zero")]
    tolerance: f64,
    #[serde(default, skip_serializing_if = "is_zero")]
    relative_tolerance: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    margin: Option<f64>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    cuped: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    min_samples: Option<u64>,
}

/// Which change of a metric is bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Worse {
    /// A rise: of costs, of complaints.
    Higher,
    /// A fall: of revenue, of ratings.
    Lower,
    /// Any: of scores, whose distribution should stay.
    Either,
}

impl Worse {
    pub(super) fn rise(self) -> bool {
        self != Self::Lower
    }

    pub(super) fn fall(self) -> bool {
        self != Self::Higher
    }
}

impl MeanCheck {
    /// A higher mean is worse.
    #[must_use]
    pub fn must_not_rise(metric: impl Into<String>) -> Self {
        Self::new(metric.into(), Worse::Higher)
    }

    /// A lower mean is worse.
    #[must_use]
    pub fn must_not_fall(metric: impl Into<String>) -> Self {
        Self::new(metric.into(), Worse::Lower)
    }

    /// Any other mean is worse.
    #[must_use]
    pub fn must_not_change(metric: impl Into<String>) -> Self {
        Self::new(metric.into(), Worse::Either)
    }

    fn new(metric: String, worse: Worse) -> Self {
        let (tolerance, relative_tolerance) = (0.0, 0.0);
        Self { metric, worse, tolerance, relative_tolerance, margin: None, cuped: false, min_samples: None }
    }

    /// Tolerates a mean that is worse by this much, in the unit of the metric. 0 unless set.
    #[must_use]
    pub fn with_tolerance(mut self, tolerance: f64) -> Self {
        self.tolerance = tolerance;
        self
    }

    /// Tolerates a mean that is worse by this share of the stable one: 0.1 for "at most 10 % worse". 0 unless
    /// set.
    #[must_use]
    pub fn with_relative_tolerance(mut self, share: f64) -> Self {
        self.relative_tolerance = share;
        self
    }

    /// Passes only once the whole interval lies within `margin`, which must exceed the tolerance.
    #[must_use]
    pub fn with_margin(mut self, margin: f64) -> Self {
        self.margin = Some(margin);
        self
    }

    /// Takes out of the comparison what was known of the units before (CUPED):
    /// [`Evidence::with_covariate`](crate::Evidence::with_covariate). Where metric and covariate correlate by
    /// r, as many samples tell as much as `1/(1 - r²)` times as many would without.
    #[must_use]
    pub fn with_cuped(mut self) -> Self {
        self.cuped = true;
        self
    }

    /// Asks for so many values of each variant, whatever the step asks for.
    #[must_use]
    pub fn with_min_samples(mut self, samples: u64) -> Self {
        self.min_samples = Some(samples);
        self
    }

    pub(super) fn name(&self) -> String {
        format!("mean of {}", self.metric)
    }

    pub(super) fn fault(&self) -> Option<String> {
        let Self { metric, tolerance, relative_tolerance, margin, cuped, .. } = self;
        let finite = |number: f64| (0.0..=1e29).contains(&number);
        if metric.is_empty() {
            return Some("compares the mean of a metric without a name".to_owned());
        }
        if !finite(*tolerance) || !finite(*relative_tolerance) {
            return Some(format!(
                "tolerates a mean of {metric} worse by {tolerance} and a share of {relative_tolerance}; \
                 both must be finite and at least 0"
            ));
        }
        if *cuped && *relative_tolerance > 0.0 {
            return Some(format!("adjusts the mean of {metric} by CUPED, which knows no relative tolerance"));
        }
        let margin = margin.filter(|margin| !(margin > tolerance && finite(*margin)))?;
        Some(format!("has a margin of {margin} for the mean of {metric}; it must exceed the tolerance"))
    }

    pub(super) fn needed(&self, needed: SamplesNeeded) -> SamplesNeeded {
        self.min_samples.map_or(needed, SamplesNeeded::each).at_least(2)
    }

    pub(super) fn samples(&self, look: Look<'_>) -> Samples {
        samples(&self.metric, look)
    }

    pub(super) fn find(&self, look: Look<'_>, confidence: Confidence) -> Result<Finding, StatsError> {
        let (stable, candidate) = metric(&self.metric, look)?;
        let arms = Arms::of(stable, candidate);
        if self.cuped && !stable.has_covariate() && !candidate.has_covariate() {
            return Err(StatsError::Undefined {
                reason: format!("nothing is known of the units of {} before, which CUPED needs", self.metric),
            });
        }
        if let Some(constant) = arms.constant() {
            let finding = Finding::new(Claim::Fine, format!("both are {}", Short(constant)));
            return Ok(with_refused(finding, stable, candidate));
        }
        let found = self.compare(arms, confidence)?;
        let [rise, fall] = found.differences;
        let words = |difference: Estimate, ratio: f64| {
            let from = if ratio == 1.0 { String::new() } else { format!(" from {ratio} times that") };
            let Estimate { value, lower, upper, .. } = difference;
            format!(
                "{} against {}{}; the difference of {:+}{from} lies in [{:+}, {:+}]",
                Short(found.candidate),
                Short(found.stable),
                found.words,
                Short(value),
                Short(lower),
                Short(upper)
            )
        };
        let [up, down] = [words(rise, found.ratios[0]), words(fall, found.ratios[1])];
        let (tolerance, shown) = (self.tolerance, Short(self.tolerance));
        let finding = if self.worse.rise() && rise.lower > tolerance {
            Finding::new(Claim::Worse, format!("{up}, above {shown}")).with_estimate(rise)
        } else if self.worse.fall() && fall.upper < -tolerance {
            Finding::new(Claim::Worse, format!("{down}, below {:+}", Short(-tolerance))).with_estimate(fall)
        } else {
            let (estimate, words) = if self.worse == Worse::Lower { (fall, down) } else { (rise, up) };
            let proven = |found: &Comparison| self.is_proven(found);
            let (claim, words) = if proven(&found) {
                (Claim::Fine, words)
            } else {
                (Claim::Open, format!("{words}, not yet within {}", Short(self.margin.unwrap_or_default())))
            };
            let grown =
                |factor| self.compare(arms.times(factor), confidence).is_ok_and(|grown| proven(&grown));
            Finding::new(claim, words).with_estimate(estimate).with_growth(grown)
        };
        Ok(with_refused(finding, stable, candidate))
    }

    /// Whether the whole interval lies within the margin, if there is one.
    fn is_proven(&self, found: &Comparison) -> bool {
        let [rise, fall] = found.differences;
        self.margin.is_none_or(|margin| {
            (!self.worse.rise() || rise.upper < margin) && (!self.worse.fall() || fall.lower > -margin)
        })
    }

    fn compare(&self, arms: Arms, confidence: Confidence) -> Result<Comparison, StatsError> {
        let Arms { stable, candidate, .. } = arms;
        let time = information_time(stable.count as f64, candidate.count as f64);
        if self.cuped {
            let adjusted = cuped_from_moments(arms.paired[0], arms.paired[1])?;
            let total = if confidence.is_sequential() { arms.pooled_variance() } else { 0.0 };
            let pooled = total * (1.0 - adjusted.variance_reduction);
            let difference = widened(adjusted.test, pooled, arms, time, confidence)?;
            let (stable, candidate) = (adjusted.control_mean, adjusted.treatment_mean);
            let words =
                format!(" (CUPED takes out {:.0} % of the variance)", 100.0 * adjusted.variance_reduction);
            return Ok(Comparison {
                stable,
                candidate,
                ratios: [1.0; 2],
                differences: [difference; 2],
                words,
            });
        }
        let share = self.relative_tolerance.copysign(stable.mean);
        let ratios = [1.0 + share, 1.0 - share];
        let difference = |ratio: f64| {
            let arms = arms.with_stable_times(ratio);
            let test = welch_t_test_from_moments(arms.candidate, arms.stable)?;
            let pooled = if confidence.is_sequential() { arms.pooled_variance() } else { 0.0 };
            widened(test, pooled, arms, time, confidence)
        };
        let rise = difference(ratios[0])?;
        let fall = if share == 0.0 { rise } else { difference(ratios[1])? };
        let (stable, candidate) = (stable.mean, candidate.mean);
        Ok(Comparison { stable, candidate, ratios, differences: [rise, fall], words: String::new() })
    }
}

/// The candidate's mean minus a multiple of the stable one.
struct Comparison {
    stable: f64,
    candidate: f64,
    /// Which multiple, for a rise and for a fall.
    ratios: [f64; 2],
    differences: [Estimate; 2],
    words: String,
}

/// What is known of both variants.
#[derive(Debug, Clone, Copy)]
struct Arms {
    stable: SampleMoments,
    candidate: SampleMoments,
    paired: [PairedMoments; 2],
}

impl Arms {
    fn of(stable: &MetricEvidence, candidate: &MetricEvidence) -> Self {
        Self {
            stable: stable.moments(),
            candidate: candidate.moments(),
            paired: [stable.paired_moments(), candidate.paired_moments()],
        }
    }

    /// The value that all have, if all have one.
    fn constant(&self) -> Option<f64> {
        let Self { stable, candidate, .. } = self;
        let same = stable.variance == 0.0 && candidate.variance == 0.0 && stable.mean == candidate.mean;
        same.then_some(stable.mean)
    }

    fn with_stable_times(mut self, ratio: f64) -> Self {
        self.stable.mean *= ratio;
        self.stable.variance *= ratio * ratio;
        self
    }

    fn times(mut self, factor: f64) -> Self {
        let [stable, candidate] = &mut self.paired;
        for count in [
            &mut self.stable.count,
            &mut self.candidate.count,
            &mut stable.before.count,
            &mut stable.during.count,
            &mut candidate.before.count,
            &mut candidate.during.count,
        ] {
            *count = (*count as f64 * factor).round() as u64;
        }
        self
    }

    /// The variance of all values about the mean of all. Chan, Golub & LeVeque, "Algorithms for computing the
    /// sample variance", The American Statistician 37(3), 1983.
    fn pooled_variance(&self) -> f64 {
        let Self { stable, candidate, .. } = self;
        let (n, m) = (stable.count as f64, candidate.count as f64);
        let between = n / (n + m) * m * (candidate.mean - stable.mean).powi(2);
        ((n - 1.0) * stable.variance + (m - 1.0) * candidate.variance + between) / (n + m - 1.0)
    }
}

/// The interval of a t-test at the level of this look, with a standard error not below that of the pooled
/// variance.
fn widened(
    test: TTest,
    pooled: f64,
    arms: Arms,
    time: f64,
    confidence: Confidence,
) -> Result<Estimate, StatsError> {
    let (n, m) = (arms.stable.count as f64, arms.candidate.count as f64);
    let standard_error = test.standard_error.max((pooled * (1.0 / n + 1.0 / m)).sqrt());
    let statistic = test.difference / standard_error;
    // Two constants have no degrees of freedom of their own.
    let dof = if test.standard_error == 0.0 { n + m - 2.0 } else { test.dof };
    estimate(TTest { standard_error, statistic, dof, ..test }, time, confidence)
}

/// The interval of a t-test at the level of this look.
pub(super) fn estimate(test: TTest, time: f64, confidence: Confidence) -> Result<Estimate, StatsError> {
    let interval = test.interval(confidence.level(time)?)?;
    let p_value = confidence.p_value(test.p_value(Alternative::TwoSided)?, time)?;
    Ok(Estimate { value: test.difference, lower: interval.lower, upper: interval.upper, p_value })
}

pub(super) fn samples(metric: &str, look: Look<'_>) -> Samples {
    let count = |seen: &VariantEvidence| seen.metrics.get(metric).map_or(0, MetricEvidence::count);
    Samples { what: "values", stable: Some(count(look.stable)), candidate: count(look.candidate) }
}

/// What is known of a metric, if there are two values of each variant.
pub(super) fn metric<'a>(
    name: &str,
    look: Look<'a>,
) -> Result<(&'a MetricEvidence, &'a MetricEvidence), StatsError> {
    let of = |seen: &'a VariantEvidence| seen.metrics.get(name).filter(|metric| metric.count() > 1);
    of(look.stable).zip(of(look.candidate)).ok_or(StatsError::EmptySample { what: "metric" })
}

/// A candidate that gives more of what is no number does not pass.
pub(super) fn with_refused(finding: Finding, stable: &MetricEvidence, candidate: &MetricEvidence) -> Finding {
    let share =
        |metric: &MetricEvidence| metric.refused() as f64 / (metric.refused() as f64 + metric.count() as f64);
    if candidate.refused() == 0 || share(candidate) <= share(stable) {
        return finding;
    }
    let words = format!(
        "{} of the candidate's values are no numbers, {} of the stable variant's",
        candidate.refused(),
        stable.refused()
    );
    finding.doubted(&words)
}

/// A number in about five digits.
pub(super) struct Short(pub(super) f64);

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if f.sign_plus() && self.0 >= 0.0 { "+" } else { "" };
        let digits = match self.0.abs() {
            0.0 => "0".to_owned(),
            1e-3..1e6 => {
                let decimals = (4 - self.0.abs().log10().floor() as i32).clamp(0, 7).unsigned_abs() as usize;
                let fixed = format!("{:.decimals$}", self.0);
                match fixed.contains('.') {
                    true => fixed.trim_end_matches('0').trim_end_matches('.').to_owned(),
                    false => fixed,
                }
            }
            _ => format!("{:.3e}", self.0),
        };
        write!(f, "{sign}{digits}")
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::conclude;
    use super::super::{CheckOutcome, TestMode};
    use super::*;
    use crate::Verdict;
    use mlops_core::stats::welch_t_test;

    fn judge_as(
        mode: TestMode,
        check: &MeanCheck,
        stable: &[f64],
        candidate: &[f64],
        needed: u64,
    ) -> CheckOutcome {
        let of =
            |values: &[f64]| VariantEvidence::default().with_metric("m", values.iter().copied().collect());
        let (stable, candidate) = (of(stable), of(candidate));
        let look = Look { stable: &stable, candidate: &candidate, share: None };
        let confidence = Confidence::new(mode, 0.05, 1_000);
        let needed = check.needed(SamplesNeeded::each(needed));
        conclude(check.name(), check.find(look, confidence), check.samples(look), needed, confidence)
    }

    fn judge(check: &MeanCheck, stable: &[f64], candidate: &[f64]) -> Verdict {
        judge_as(TestMode::Sequential, check, stable, candidate, 10).verdict
    }

    fn values(count: usize, mean: f64) -> Vec<f64> {
        (0..count).map(|index| mean + (index * 7 % 11) as f64 - 5.0).collect()
    }

    #[test]
    fn one_look_is_welchs_test() {
        let (stable, candidate) = (values(50, 10.0), values(40, 12.0));
        let check = MeanCheck::must_not_rise("m");
        let outcome = judge_as(TestMode::FixedHorizon, &check, &stable, &candidate, 40);
        let welch = welch_t_test(&candidate, &stable).unwrap();
        let interval = welch.interval(0.95).unwrap();
        let numbers = outcome.numbers;
        let close = |one: Option<f64>, other: f64| (one.unwrap() - other).abs() < 1e-9;
        assert!(close(numbers.lower, interval.lower) && close(numbers.upper, interval.upper), "{outcome:?}");
        assert!(close(numbers.p_value, welch.p_value(Alternative::TwoSided).unwrap()));
        assert_eq!(outcome.verdict, Verdict::Failed);
        let early = judge_as(TestMode::FixedHorizon, &check, &stable, &candidate, 41);
        assert_eq!(
            (early.verdict, early.numbers.more),
            (Verdict::Inconclusive, Some(SamplesNeeded { stable: 0, candidate: 1 }))
        );
    }

    #[test]
    fn each_direction_knows_its_worse_side() {
        let (stable, higher, lower) = (values(900, 10.0), values(900, 12.0), values(900, 8.0));
        for (check, verdicts) in [
            (MeanCheck::must_not_rise("m"), [Verdict::Failed, Verdict::Passed]),
            (MeanCheck::must_not_fall("m"), [Verdict::Passed, Verdict::Failed]),
            (MeanCheck::must_not_change("m"), [Verdict::Failed, Verdict::Failed]),
        ] {
            assert_eq!(
                [judge(&check, &stable, &higher), judge(&check, &stable, &lower)],
                verdicts,
                "{check:?}"
            );
            assert_eq!(judge(&check, &stable, &values(900, 10.0)), Verdict::Passed);
            let tolerant = check.clone().with_tolerance(3.0);
            assert_eq!(
                [judge(&tolerant, &stable, &higher), judge(&tolerant, &stable, &lower)],
                [Verdict::Passed; 2]
            );
        }
    }

    #[test]
    fn relative_tolerance_is_of_the_size_of_the_mean() {
        let check = |share| MeanCheck::must_not_rise("m").with_relative_tolerance(share);
        let (stable, worse) = (values(900, 10.0), values(900, 12.0));
        assert_eq!(judge(&check(0.1), &stable, &worse), Verdict::Failed);
        assert_eq!(judge(&check(0.25), &stable, &worse), Verdict::Passed);
        let (negative, risen) = (values(900, -10.0), values(900, -8.0));
        assert_eq!(judge(&check(0.1), &negative, &risen), Verdict::Failed);
        assert_eq!(judge(&check(0.25), &negative, &risen), Verdict::Passed);
        let fall = |share| MeanCheck::must_not_fall("m").with_relative_tolerance(share);
        assert_eq!(judge(&fall(0.1), &worse, &stable), Verdict::Failed);
        assert_eq!(judge(&fall(0.25), &worse, &stable), Verdict::Passed);
    }

    #[test]
    fn a_margin_asks_for_proof_and_says_how_much_it_takes() {
        let check = MeanCheck::must_not_fall("m").with_margin(0.5);
        let open = judge_as(TestMode::Sequential, &check, &values(200, 10.0), &values(200, 10.0), 10);
        assert_eq!(open.verdict, Verdict::Inconclusive);
        let more = open.numbers.more.unwrap().candidate as usize;
        let count = 200 + more + more / 10;
        assert_eq!(
            judge(&check, &values(count, 10.0), &values(count, 10.0)),
            Verdict::Passed,
            "{}",
            open.reason
        );
    }

    #[test]
    fn constants_and_what_is_no_number() {
        let check = MeanCheck::must_not_change("m");
        assert_eq!(judge(&check, &[1.0; 20], &[1.0; 30]), Verdict::Passed);
        assert_eq!(judge(&check, &[1.0; 5], &[1.0; 30]), Verdict::Inconclusive);
        assert_eq!(judge(&check, &[0.0; 2], &[1.0; 2]), Verdict::Inconclusive, "two that agree are chance");
        assert_eq!(judge(&check, &[0.0; 300], &[1.0; 300]), Verdict::Failed);
        let mut broken = values(900, 10.0);
        broken.push(f64::NAN);
        let outcome = judge_as(TestMode::Sequential, &check, &values(900, 10.0), &broken, 10);
        assert_eq!(outcome.verdict, Verdict::Inconclusive);
        assert!(
            outcome.reason.ends_with("1 of the candidate's values are no numbers, 0 of the stable variant's")
        );
        assert_eq!(judge(&check, &broken, &broken), Verdict::Passed);
        assert_eq!(judge(&check, &values(900, 10.0), &[]), Verdict::Inconclusive);
    }

    #[test]
    fn cuped_finds_what_noise_hides() {
        let units = |shift: f64, offset: usize| -> MetricEvidence {
            let before = |index: usize| ((index * 7_919 + offset) % 1_009) as f64;
            MetricEvidence::from_pairs(
                (0..600).map(|index| (before(index) + shift + (index % 5) as f64, before(index))),
            )
        };
        let of = |metric: MetricEvidence| VariantEvidence::default().with_metric("m", metric);
        let (stable, candidate) = (of(units(2.0, 0)), of(units(0.0, 400)));
        let look = Look { stable: &stable, candidate: &candidate, share: None };
        let confidence = Confidence::new(TestMode::Sequential, 0.05, 1_000);
        let plain = MeanCheck::must_not_fall("m");
        assert!(!plain.find(look, confidence).unwrap().is_worse());
        assert!(plain.clone().with_cuped().find(look, confidence).unwrap().is_worse());
        let without = VariantEvidence::default().with_metric("m", values(600, 1.0).into_iter().collect());
        let look = Look { stable: &without, candidate: &without, share: None };
        assert!(plain.with_cuped().find(look, confidence).is_err(), "a covariate that nobody gave");
    }

    #[test]
    fn numbers_are_short() {
        let shown = [0.0, 12.0, -0.123_456_7, 123_456.7, 1e-7, 2.5e9].map(|number| Short(number).to_string());
        assert_eq!(shown, ["0", "12", "-0.12346", "123457", "1.000e-7", "2.500e9"]);
        assert_eq!(format!("{:+} {:+}", Short(1.5), Short(-1.5)), "+1.5 -1.5");
    }
}
