//! The score interval of statsmodels, for comparing against numbers made there. Do not report it.

use super::{
    BinomialSample, TwoProportionIntervalMethod, constrained_proportion, critical_value, restricted_variance,
    two_proportion_interval,
};
use crate::stats::special::turning_point;
use crate::stats::{Interval, StatsError, undefined};

/// Miettinen-Nurminen interval as statsmodels 0.15 computes it (`method="score"`).
///
/// The linear coefficient of its cubic multiplies the hypothetical difference by the second sample's
/// *successes* where Miettinen & Nurminen (1985) have its *trials*. The estimate under the constraint is
/// therefore not the maximum of the likelihood, may leave `[0, 1]`, and the interval is not antisymmetric
/// in the two samples: 1/10 against 1/10 gives `[-0.286, 0.331]`. The error shrinks with the sample size.
/// Use [`TwoProportionIntervalMethod::MiettinenNurminen`].
///
/// # Errors
///
/// [`StatsError::InvalidParameter`] for a `confidence` out of domain; [`StatsError::Undefined`] where
/// statsmodels raises because the root lies outside the bracket it searches, a widened Wald interval.
///
/// ```
/// use mlops_core::stats::BinomialSample;
/// use mlops_core::stats::proportion::compat::score_interval_statsmodels;
///
/// let sample = BinomialSample::new(1, 10)?;
/// let interval = score_interval_statsmodels(sample, sample, 0.95)?;
/// assert!((interval.lower + 0.2858).abs() < 1e-4 && (interval.upper - 0.3311).abs() < 1e-4);
/// # Ok::<(), mlops_core::stats::StatsError>(())
/// ```
pub fn score_interval_statsmodels(
    first: BinomialSample,
    second: BinomialSample,
    confidence: f64,
) -> Result<Interval, StatsError> {
    let z = critical_value(confidence)?;
    let wald = two_proportion_interval(first, second, confidence, TwoProportionIntervalMethod::Wald)?;
    let low = wald.lower - 0.25 * wald.lower.abs();
    let high = (wald.upper + 0.5 * wald.upper.abs()).min(0.99999);

    let estimate = first.proportion() - second.proportion();
    let rejected = |difference: f64| {
        let p2 = constrained_proportion(first, second, difference, second.x());
        let variance = restricted_variance(first, second, p2 + difference, p2);
        (estimate - difference).abs() > z * variance.sqrt()
    };
    if !(rejected(low) && rejected(high)) || rejected(estimate) {
        return Err(undefined("statsmodels finds no score interval within its widened Wald interval"));
    }
    Ok(Interval {
        lower: turning_point(low, estimate, |difference| !rejected(difference)),
        upper: turning_point(estimate, high, rejected),
    })
}
