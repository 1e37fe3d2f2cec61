//! The energy distance.

use super::StatsError;
use super::cdf::{area_between, weighted_area_between};

/// The energy distance of two samples, in the square root of their unit.
///
/// `√(2 E|X - Y| - E|X - X'| - E|Y - Y'|)`, which on the line equals `√(2 ∫ (F_x - F_y)² dt)` and is computed
/// so, in O((n + m) log(n + m)) instead of O((n + m)²). A metric, zero only for equal distributions. Equal to
/// `scipy.stats.energy_distance`.
///
/// Source: Székely & Rizzo, "Energy statistics: a class of statistics based on distances", Journal of
/// Statistical Planning and Inference 143(8), 2013.
///
/// # Errors
///
/// [`StatsError::EmptySample`], [`StatsError::NotANumber`]; [`StatsError::InvalidParameter`] for an infinite
/// value; [`StatsError::Undefined`] when the distance exceeds the largest float.
///
/// ```
/// use mlops_core::stats::energy_distance;
///
/// assert_eq!(energy_distance(&[0.0], &[8.0])?, 4.0);
/// # Ok::<(), mlops_core::stats::StatsError>(())
/// ```
pub fn energy_distance(x: &[f64], y: &[f64]) -> Result<f64, StatsError> {
    area_between(x, y, 2).map(from_area)
}

/// [`energy_distance`] for observations with weights, which need not sum to one.
///
/// # Errors
///
/// As [`energy_distance`]; [`StatsError::LengthMismatch`]; [`StatsError::InvalidParameter`] for a weight that
/// is negative, or weights without a positive finite total.
///
/// ```
/// use mlops_core::stats::energy_distance_weighted;
///
/// let distance = energy_distance_weighted(&[0.0, 1.0], &[0.0, 1.0], &[1.0], &[7.0])?;
/// assert_eq!(distance, 0.0);
/// # Ok::<(), mlops_core::stats::StatsError>(())
/// ```
pub fn energy_distance_weighted(
    x: &[f64],
    x_weights: &[f64],
    y: &[f64],
    y_weights: &[f64],
) -> Result<f64, StatsError> {
    weighted_area_between(x, x_weights, y, y_weights, 2).map(from_area)
}

fn from_area(area: f64) -> f64 {
    2.0 * (0.5 * area).sqrt()
}
