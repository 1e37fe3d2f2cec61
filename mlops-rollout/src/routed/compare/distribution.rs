//! Over many requests.

use std::fmt;

use mlops_core::stats::{KsOptions, ks_2samp};
use mlops_core::{Error, Result, Tensor};
use serde::{Deserialize, Serialize};

use super::numbers;
use crate::Verdict;
use crate::routed::sample::Sample;

/// Whether the values of an output are distributed alike, over all requests that both models answered: for
/// outputs that need not agree request by request, such as sampled or noisy ones, and for shifts too small
/// to see in a single answer.
///
/// The two-sample Kolmogorov-Smirnov test ([`ks_2samp`](mlops_core::stats::ks_2samp)) on a capped, uniform
/// sample of the values of each side: every element of a tensor of numbers or truth values is a value; NaN
/// counts as larger than every number, so that the NaNs of one side show. The test is made when a report is
/// asked for:
///
/// * **Look once**, when enough has been seen: to look again and again and stop at the first failure makes
///   false alarms more frequent than `alpha`.
/// * The test takes values for independent. Those that both sides give to the same request are alike, which
///   makes it slow to raise an alarm; those of one answer may be too, which makes it quick to.
///
/// ```
/// use mlops_rollout::{SameDistribution, Verdict};
///
/// let test = SameDistribution::new().with_alpha(0.01)?.with_min_values(50);
/// let (low, high): (Vec<f64>, Vec<f64>) = (0..100).map(|i| (f64::from(i), f64::from(i) + 40.0)).unzip();
/// let report = test.judge(&low, &high);
/// assert_eq!(report.verdict, Verdict::Failed);
/// assert!(report.reason.starts_with("KS 0.4000, p = "));
/// assert_eq!(test.judge(&low, &low).verdict, Verdict::Passed);
/// assert_eq!(test.judge(&low, &high[..49]).reason, "1 more values of the shadow are needed (49 of 50)");
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SameDistribution {
    alpha: f64,
    tolerance: f64,
    values: usize,
    min_values: usize,
}

/// What [`SameDistribution`] found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct DistributionReport {
    /// Whether they are distributed alike, as far as the sample can tell.
    pub verdict: Verdict,
    /// Why.
    pub reason: String,
    /// The largest difference of the two empirical distribution functions, 0 to 1.
    pub statistic: Option<f64>,
    /// The probability of a statistic at least this large between samples of one distribution.
    pub p_value: Option<f64>,
    /// Values that were compared of what callers got.
    pub primary_values: u64,
    /// Values that were compared of what the shadow said.
    pub shadow_values: u64,
}

/// The values of one output, of both sides.
#[derive(Debug, Clone)]
pub(in crate::routed) struct Distributions {
    test: SameDistribution,
    primary: Sample<f64>,
    shadow: Sample<f64>,
}

impl SameDistribution {
    /// Differences that are significant at 0.01, in samples of 4,096 values (32 KiB a side) and no fewer
    /// than 100.
    #[must_use]
    pub fn new() -> Self {
        Self { alpha: 0.01, tolerance: 0.0, values: 4_096, min_values: 100 }
    }

    /// Sets how often a look may raise a false alarm.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when it does not lie between 0 and 1.
    pub fn with_alpha(self, alpha: f64) -> Result<Self> {
        if alpha > 0.0 && alpha < 1.0 {
            return Ok(Self { alpha, ..self });
        }
        Err(Error::invalid_input(format!("{alpha} is no significance level; it lies between 0 and 1")))
    }

    /// Lets a difference of the distribution functions pass that is no larger than that, however significant.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when it is no number from 0 to 1.
    pub fn with_tolerance(self, tolerance: f64) -> Result<Self> {
        if (0.0..=1.0).contains(&tolerance) {
            return Ok(Self { tolerance, ..self });
        }
        Err(Error::invalid_input(format!("{tolerance} is no difference of shares; it goes from 0 to 1")))
    }

    /// How many values are kept of each side. Up to 10,000 the p-value is exact.
    #[must_use]
    pub fn with_sampled_values(self, values: usize) -> Self {
        Self { values, ..self }
    }

    /// With fewer values of either side the verdict is [`Verdict::Inconclusive`].
    #[must_use]
    pub fn with_min_values(self, values: usize) -> Self {
        Self { min_values: values, ..self }
    }

    /// Tests two samples.
    #[must_use]
    pub fn judge(&self, primary: &[f64], shadow: &[f64]) -> DistributionReport {
        let report = |verdict, reason, test: Option<(f64, f64)>| DistributionReport {
            verdict,
            reason,
            statistic: test.map(|(statistic, _)| statistic),
            p_value: test.map(|(_, p_value)| p_value),
            primary_values: primary.len() as u64,
            shadow_values: shadow.len() as u64,
        };
        for (side, seen) in [("the primary", primary.len()), ("the shadow", shadow.len())] {
            let needed = self.min_values.max(1);
            if seen < needed {
                let missing = needed - seen;
                let reason = format!("{missing} more values of {side} are needed ({seen} of {needed})");
                return report(Verdict::Inconclusive, reason, None);
            }
        }
        let comparable = |values: &[f64]| -> Vec<f64> {
            values.iter().map(|value| if value.is_nan() { f64::INFINITY } else { *value }).collect()
        };
        match ks_2samp(&comparable(primary), &comparable(shadow), KsOptions::default()) {
            Ok(test) => {
                let differ = test.p_value < self.alpha && test.statistic > self.tolerance;
                let verdict = if differ { Verdict::Failed } else { Verdict::Passed };
                let reason = format!("KS {:.4}, p = {:.3e}", test.statistic, test.p_value);
                report(verdict, reason, Some((test.statistic, test.p_value)))
            }
            Err(error) => report(Verdict::Inconclusive, error.to_string(), None),
        }
    }
}

impl Default for SameDistribution {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for DistributionReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.verdict, self.reason)
    }
}

impl Distributions {
    pub(in crate::routed) fn new(test: SameDistribution) -> Self {
        // Other seeds, so that what is kept of the two sides are not the answers to the same requests.
        let sample = |seed| Sample::new(test.values, seed);
        Self { test, primary: sample(1), shadow: sample(2) }
    }

    pub(in crate::routed) fn add(&mut self, primary: &Tensor, shadow: &Tensor) {
        for (sample, tensor) in [(&mut self.primary, primary), (&mut self.shadow, shadow)] {
            numbers(tensor).into_iter().flatten().for_each(|value| sample.offer(|| value));
        }
    }

    pub(in crate::routed) fn report(&self) -> DistributionReport {
        self.test.judge(self.primary.kept(), self.shadow.kept())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Evenly spread over [0, 1) in an order without pattern: multiples of the golden ratio.
    fn spread(count: u32, shift: f64) -> Vec<f64> {
        (0..count).map(|i| (f64::from(i) * 0.618_033_988_749_895).fract() + shift).collect()
    }

    #[test]
    fn the_statistic_is_that_of_the_test() {
        let (one, other) = (spread(500, 0.0), spread(400, 0.2));
        let test = ks_2samp(&one, &other, KsOptions::default()).unwrap();
        let report = SameDistribution::new().judge(&one, &other);
        assert_eq!((report.statistic, report.p_value), (Some(test.statistic), Some(test.p_value)));
        assert_eq!(
            (report.verdict, report.primary_values, report.shadow_values),
            (Verdict::Failed, 500, 400)
        );
        let tolerant = SameDistribution::new().with_tolerance(0.25).unwrap();
        assert_eq!(tolerant.judge(&one, &other).verdict, Verdict::Passed);
    }

    #[test]
    fn nothing_is_no_success_and_nans_of_one_side_fail() {
        let test = SameDistribution::new();
        let good = spread(200, 0.0);
        assert_eq!(test.judge(&[], &[]).verdict, Verdict::Inconclusive);
        assert_eq!(test.with_min_values(0).judge(&[], &good).verdict, Verdict::Inconclusive);
        assert_eq!(test.judge(&good, &[f64::NAN; 200]).verdict, Verdict::Failed);
        assert_eq!(test.judge(&[f64::NAN; 200], &[f64::NAN; 200]).verdict, Verdict::Passed);
        for bad in [0.0, 1.0, -0.5, f64::NAN] {
            assert!(test.with_alpha(bad).is_err(), "{bad}");
        }
        assert!(test.with_tolerance(f64::NAN).is_err() && test.with_tolerance(1.5).is_err());
    }

    #[test]
    fn long_streams_are_sampled_and_still_told_apart() {
        let mut same = Distributions::new(SameDistribution::new().with_sampled_values(1_000));
        let mut shifted = same.clone();
        for (value, other) in spread(50_000, 0.0).into_iter().zip(spread(50_000, 0.15)) {
            let tensor = |value: f64| Tensor::from(vec![value]);
            same.add(&tensor(value), &tensor(value));
            shifted.add(&tensor(value), &tensor(other));
        }
        let (same, shifted) = (same.report(), shifted.report());
        assert_eq!((same.primary_values, same.shadow_values), (1_000, 1_000));
        assert_eq!((same.verdict, shifted.verdict), (Verdict::Passed, Verdict::Failed), "{same} {shifted}");
    }

    #[test]
    fn text_has_no_distribution_of_numbers() {
        let mut distributions = Distributions::new(SameDistribution::new());
        let text = Tensor::from_byte_strings(&[1], ["a"]).unwrap();
        distributions.add(&text, &text);
        assert_eq!(distributions.report().verdict, Verdict::Inconclusive);
    }
}
