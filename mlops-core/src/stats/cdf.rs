//! The area between two empirical distribution functions.

use super::pooled::tie_groups;
use super::{StatsError, invalid, require_finite, require_no_nan, require_same_length, sorted, undefined};

/// `∫ |F_x(t) - F_y(t)|^power dt` over the empirical distribution functions; O((n + m) log(n + m)).
pub(super) fn area_between(x: &[f64], y: &[f64], power: i32) -> Result<f64, StatsError> {
    require_finite("x", x)?;
    require_finite("y", y)?;
    let (x, y) = (sorted(x.to_vec()), sorted(y.to_vec()));
    let (n, m) = (x.len() as f64, y.len() as f64);
    let (mut below_x, mut below_y) = (0, 0);
    let steps = tie_groups(&x, &y).map(|group| {
        below_x += group.x;
        below_y += group.y;
        (group.value, below_x as f64 / n - below_y as f64 / m)
    });
    area_under(steps, power)
}

/// [`area_between`] for observations that weigh differently.
pub(super) fn weighted_area_between(
    x: &[f64],
    x_weights: &[f64],
    y: &[f64],
    y_weights: &[f64],
    power: i32,
) -> Result<f64, StatsError> {
    let mut steps = signed_weights(["x", "x_weights"], x, x_weights, 1.0)?;
    steps.extend(signed_weights(["y", "y_weights"], y, y_weights, -1.0)?);
    steps.sort_by(|(one, _), (other, _)| one.total_cmp(other));
    let mut difference = 0.0;
    let steps = steps.into_iter().map(|(value, step)| {
        difference += step;
        (value, difference)
    });
    area_under(steps, power)
}

/// Area of |difference|^power under a step function given as (start of the step, its height).
fn area_under(steps: impl Iterator<Item = (f64, f64)>, power: i32) -> Result<f64, StatsError> {
    let mut area = 0.0;
    let mut last: Option<(f64, f64)> = None;
    for (value, difference) in steps {
        if let Some((start, height)) = last {
            area += f64::powi(height.abs(), power) * (value - start);
        }
        last = Some((value, difference));
    }
    if area.is_finite() {
        return Ok(area);
    }
    Err(undefined("the distance overflows: rescale the feature, its range exceeds that of a float"))
}

/// Observations with their shares of the total weight, times `sign`.
fn signed_weights(
    [what, what_weights]: [&'static str; 2],
    values: &[f64],
    weights: &[f64],
    sign: f64,
) -> Result<Vec<(f64, f64)>, StatsError> {
    require_finite(what, values)?;
    require_same_length(what_weights, values.len(), weights.len())?;
    require_no_nan(what_weights, weights)?;
    if let Some(weight) = weights.iter().find(|&&weight| weight < 0.0) {
        return Err(invalid(what_weights, format!("{weight} is negative")));
    }
    let total: f64 = weights.iter().sum();
    if total == 0.0 || !total.is_finite() {
        return Err(invalid(what_weights, format!("they sum to {total}: a positive finite total is needed")));
    }
    Ok(values.iter().zip(weights).map(|(&value, weight)| (value, sign * weight / total)).collect())
}
