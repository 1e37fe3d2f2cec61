//! The Wasserstein-1 distance.

use super::cdf::{area_between, weighted_area_between};
use super::{StatsError, require_positive, undefined};

/// The Wasserstein-1 or earth mover's distance of two samples, in the unit of the samples.
///
/// `∫ |F_x(t) - F_y(t)| dt` over the empirical distribution functions: how far, on average, mass must move to
/// turn one sample into the other. A metric; a shift by c is a distance of c, a scaling scales it. It weighs
/// tails by their distance, so one outlier can dominate. O((n + m) log(n + m)). Equal to
/// `scipy.stats.wasserstein_distance`.
///
/// Source: Vallender, "Calculation of the Wasserstein distance between probability distributions on the
/// line", Theory of Probability and its Applications 18(4), 1974.
///
/// # Errors
///
/// [`StatsError::EmptySample`], [`StatsError::NotANumber`]; [`StatsError::InvalidParameter`] for an infinite
/// value; [`StatsError::Undefined`] when the distance exceeds the largest float.
///
/// ```
/// use mlops_core::stats::wasserstein_distance;
///
/// assert_eq!(wasserstein_distance(&[0.0, 1.0, 3.0], &[5.0, 6.0, 8.0])?, 5.0);
/// # Ok::<(), mlops_core::stats::StatsError>(())
/// ```
pub fn wasserstein_distance(x: &[f64], y: &[f64]) -> Result<f64, StatsError> {
    area_between(x, y, 1)
}

/// [`wasserstein_distance`] for observations with weights, which need not sum to one.
///
/// With bin midpoints for values and counts for weights it is the distance of two histograms.
///
/// # Errors
///
/// As [`wasserstein_distance`]; [`StatsError::LengthMismatch`]; [`StatsError::InvalidParameter`] for a weight
/// that is negative, or weights without a positive finite total.
///
/// ```
/// use mlops_core::stats::wasserstein_distance_weighted;
///
/// let distance = wasserstein_distance_weighted(&[0.0, 1.0], &[3.0, 1.0], &[0.0, 1.0], &[1.0, 1.0])?;
/// assert_eq!(distance, 0.25);
/// # Ok::<(), mlops_core::stats::StatsError>(())
/// ```
pub fn wasserstein_distance_weighted(
    x: &[f64],
    x_weights: &[f64],
    y: &[f64],
    y_weights: &[f64],
) -> Result<f64, StatsError> {
    weighted_area_between(x, x_weights, y, y_weights, 1)
}

/// [`wasserstein_distance`] in units of the reference's standard deviation, comparable across features.
///
/// The deviation has the divisor n and is at least `smallest_deviation`, in the unit of the samples, which
/// keeps the ratio finite for a constant reference. Evidently divides by at least 0.001 and warns from 0.1;
/// that floor hides drift of features whose own scale is below it.
///
/// # Errors
///
/// As [`wasserstein_distance`]; [`StatsError::InvalidParameter`] when `smallest_deviation` is not positive.
///
/// ```
/// use mlops_core::stats::wasserstein_distance_normed;
///
/// assert_eq!(wasserstein_distance_normed(&[0.0, 4.0], &[1.0, 5.0], 1e-3)?, 0.5);
/// # Ok::<(), mlops_core::stats::StatsError>(())
/// ```
pub fn wasserstein_distance_normed(
    reference: &[f64],
    current: &[f64],
    smallest_deviation: f64,
) -> Result<f64, StatsError> {
    require_positive("smallest_deviation", smallest_deviation)?;
    let distance = wasserstein_distance(reference, current)?;
    let n = reference.len() as f64;
    let mean = reference.iter().map(|value| value / n).sum::<f64>();
    let variance = reference.iter().map(|value| (value - mean).powi(2) / n).sum::<f64>();
    let ratio = distance / variance.sqrt().max(smallest_deviation);
    if variance.is_finite() && ratio.is_finite() {
        return Ok(ratio);
    }
    Err(undefined("the variance of the reference overflows: rescale the feature"))
}
