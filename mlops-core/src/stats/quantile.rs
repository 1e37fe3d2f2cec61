//! Sample quantiles and the bin edges made from them.

use super::{StatsError, invalid, require_bins, require_sample, sorted, undefined};

/// The `q` quantile of a sample sorted in ascending order.
///
/// Definition 7 of Hyndman & Fan (1996), the default of numpy and R: with `h = (n - 1) q`, the value
/// interpolated linearly between the order statistics at positions `⌊h⌋` and `⌊h⌋ + 1`, counted from
/// zero. The result is in the unit of the sample. Takes O(n), for the check that `sorted` is sorted; for
/// many quantiles of one sample use [`quantiles`].
///
/// # Errors
///
/// [`StatsError::EmptySample`], [`StatsError::NotANumber`], [`StatsError::InvalidParameter`] when `q` is
/// outside `[0, 1]` or the sample is not sorted, [`StatsError::Undefined`] between `-∞` and `+∞`.
///
/// ```
/// use mlops_core::stats::quantile;
///
/// assert_eq!(quantile(&[1.0, 2.0, 4.0, 8.0], 0.5)?, 3.0);
/// # Ok::<(), mlops_core::stats::StatsError>(())
/// ```
pub fn quantile(sorted: &[f64], q: f64) -> Result<f64, StatsError> {
    require_sample("sorted", sorted)?;
    if !sorted.is_sorted() {
        return Err(invalid("sorted", "the sample is not in ascending order: sort it, or use `quantiles`"));
    }
    interpolated(sorted, q)
}

/// Several quantiles of one sample, which need not be sorted.
///
/// Sorts a copy once: O(n log n) time, O(n) memory. Definition and errors of [`quantile`].
///
/// ```
/// use mlops_core::stats::quantiles;
///
/// assert_eq!(quantiles(&[8.0, 1.0, 4.0, 2.0], &[0.0, 0.5, 1.0])?, [1.0, 3.0, 8.0]);
/// # Ok::<(), mlops_core::stats::StatsError>(())
/// ```
pub fn quantiles(values: &[f64], qs: &[f64]) -> Result<Vec<f64>, StatsError> {
    require_sample("values", values)?;
    let sorted = sorted(values.to_vec());
    qs.iter().map(|&q| interpolated(&sorted, q)).collect()
}

/// Inner edges of `bins` equally populated bins: the distinct quantiles at `k / bins`, `k = 1 … bins - 1`.
///
/// Equal quantiles collapse, so there are between 1 and `bins - 1` edges and one bin more than edges. The
/// outermost bins reach to `±∞`.
///
/// # Errors
///
/// Those of [`quantile`]; [`StatsError::InvalidParameter`] when `bins` is below 2 or
/// above 2²⁰.
///
/// ```
/// use mlops_core::stats::quantile_edges;
///
/// assert_eq!(quantile_edges(&[0.0, 1.0, 2.0, 3.0, 4.0], 4)?, [1.0, 2.0, 3.0]);
/// assert_eq!(quantile_edges(&[7.0; 5], 4)?, [7.0]);
/// # Ok::<(), mlops_core::stats::StatsError>(())
/// ```
pub fn quantile_edges(values: &[f64], bins: usize) -> Result<Vec<f64>, StatsError> {
    require_bins(bins)?;
    require_sample("values", values)?;
    let sorted = sorted(values.to_vec());
    let mut edges = Vec::new();
    for k in 1..bins {
        let edge = interpolated(&sorted, k as f64 / bins as f64)?;
        if edges.last().is_none_or(|&last| last < edge) {
            edges.push(edge);
        }
    }
    Ok(edges)
}

fn interpolated(sorted: &[f64], q: f64) -> Result<f64, StatsError> {
    if !(0.0..=1.0).contains(&q) {
        return Err(invalid("q", format!("{q} is not between 0 and 1")));
    }
    let last = sorted.len() - 1;
    let position = last as f64 * q;
    let index = (position as usize).min(last);
    let weight = position - index as f64;
    let (below, above) = (sorted[index], sorted[(index + 1).min(last)]);
    if weight == 0.0 || below == above {
        return Ok(below);
    }
    let step = above - below;
    let value = if step.is_infinite() {
        below * (1.0 - weight) + above * weight
    } else if weight < 0.5 {
        below + step * weight
    } else {
        above - step * (1.0 - weight)
    };
    if value.is_nan() {
        return Err(undefined(format!("the {q} quantile falls between -infinity and +infinity")));
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn infinities_and_extreme_ranges() {
        let infinity = f64::INFINITY;
        assert_eq!(quantile(&[-infinity, 1.0], 0.5), Ok(-infinity));
        assert_eq!(quantile(&[1.0, infinity], 0.5), Ok(infinity));
        assert_eq!(quantile(&[-f64::MAX, f64::MAX], 0.5), Ok(0.0));
        assert!(matches!(quantile(&[-infinity, infinity], 0.5), Err(StatsError::Undefined { .. })));
    }

    #[test]
    fn bad_input_is_refused() {
        assert_eq!(quantile(&[], 0.5), Err(StatsError::EmptySample { what: "sorted" }));
        assert!(matches!(quantile(&[2.0, 1.0], 0.5), Err(StatsError::InvalidParameter { .. })));
        assert!(matches!(quantile(&[1.0], f64::NAN), Err(StatsError::InvalidParameter { .. })));
        assert!(matches!(quantile_edges(&[1.0], 1), Err(StatsError::InvalidParameter { .. })));
    }
}
