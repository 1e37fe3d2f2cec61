//! Sample quantiles and the bin edges made from them.

use super::selection::order_statistics;
use super::{StatsError, invalid, require_bins, require_sample, undefined};

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
    let position = Position::of(q, sorted.len())?;
    position.between(sorted[position.index], sorted[position.next])
}

/// Several quantiles of one sample, which need not be sorted.
///
/// Long samples are not sorted: a pass counts them in buckets, and only what shares a bucket with a wanted
/// quantile is gathered and sorted. Expected O(n) time and little memory; O(n log n) and O(n) where too many
/// values share these buckets. Definition and errors of [`quantile`].
///
/// ```
/// use mlops_core::stats::quantiles;
///
/// assert_eq!(quantiles(&[8.0, 1.0, 4.0, 2.0], &[0.0, 0.5, 1.0])?, [1.0, 3.0, 8.0]);
/// # Ok::<(), mlops_core::stats::StatsError>(())
/// ```
pub fn quantiles(values: &[f64], qs: &[f64]) -> Result<Vec<f64>, StatsError> {
    require_sample("values", values)?;
    quantiles_of(values, qs)
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
    quantile_edges_of(values, bins)
}

/// [`quantile_edges`] of a sample and a number of bins known to be sound.
pub(super) fn quantile_edges_of(values: &[f64], bins: usize) -> Result<Vec<f64>, StatsError> {
    let qs: Vec<f64> = (1..bins).map(|k| k as f64 / bins as f64).collect();
    let mut edges = quantiles_of(values, &qs)?;
    edges.dedup_by(|edge, last| *edge <= *last);
    Ok(edges)
}

/// [`quantiles`] of a sample that is neither empty nor holds a NaN.
fn quantiles_of(values: &[f64], qs: &[f64]) -> Result<Vec<f64>, StatsError> {
    let positions: Vec<Position> =
        qs.iter().map(|&q| Position::of(q, values.len())).collect::<Result<_, _>>()?;
    let mut ranks: Vec<usize> =
        positions.iter().flat_map(|position| [position.index, position.next]).collect();
    ranks.sort_unstable();
    ranks.dedup();
    let statistics = order_statistics(values, &ranks);
    let at = |rank: usize| statistics[ranks.partition_point(|&other| other < rank)];
    positions.iter().map(|position| position.between(at(position.index), at(position.next))).collect()
}

/// Where a quantile lies among the order statistics.
struct Position {
    q: f64,
    index: usize,
    next: usize,
    weight: f64,
}

impl Position {
    fn of(q: f64, length: usize) -> Result<Self, StatsError> {
        if !(0.0..=1.0).contains(&q) {
            return Err(invalid("q", format!("{q} is not between 0 and 1")));
        }
        let last = length - 1;
        let position = last as f64 * q;
        let index = (position as usize).min(last);
        Ok(Self { q, index, next: (index + 1).min(last), weight: position - index as f64 })
    }

    fn between(&self, below: f64, above: f64) -> Result<f64, StatsError> {
        let weight = self.weight;
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
            return Err(undefined(format!("the {} quantile falls between -infinity and +infinity", self.q)));
        }
        Ok(value)
    }
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
