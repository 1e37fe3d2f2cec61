//! How far one sample lies above another: the interval form of the Mann-Whitney test.

use super::mann_whitney::standard_deviation;
use super::pooled::tie_term;
use super::special::normal_isf;
use super::{Interval, StatsError, require_finite, require_open_unit, sorted, undefined};

/// Result of [`mann_whitney_interval`], in the unit of the samples.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ShiftInterval {
    /// The shifts of x that the test does not reject.
    pub interval: Interval,
    /// The shifts at which the standardised statistic is zero: between the two middle differences when their
    /// number is even, between the neighbours of the middle one when it is odd.
    pub zero: Interval,
}

impl ShiftInterval {
    /// The Hodges-Lehmann estimate of the shift, the middle of [`zero`](Self::zero).
    #[must_use]
    pub fn estimate(&self) -> f64 {
        0.5 * self.zero.lower + 0.5 * self.zero.upper
    }
}

/// A confidence interval for the shift of x against y: the `μ` for which `x - μ` and `y` are not told apart.
///
/// Inverts the asymptotic Mann-Whitney test with correction for ties within a sample and for continuity. Its
/// ends are order statistics of the nm differences `x_i - y_j`, found by bisection over floats with a count
/// in O(n + m) each, so that the differences are never formed: O((n + m) log(n + m)) in all. This is the
/// interval of R's `wilcox.test(correct = TRUE, exact = FALSE)`, to the jump of the step function that R
/// approximates by root finding, and of Kayenta's canary judge.
///
/// `confidence` is in `(0, 1)`, for example 0.98.
///
/// Source: Hollander, Wolfe & Chicken, "Nonparametric Statistical Methods", 3rd edition, Wiley, 2014,
/// sections 4.2 and 4.3.
///
/// # Errors
///
/// [`StatsError::EmptySample`], [`StatsError::NotANumber`]; [`StatsError::InvalidParameter`] for an infinite
/// value or a `confidence` out of domain; [`StatsError::Undefined`] when the samples are too small for any
/// finite interval of that confidence, or too far apart for their difference to be a float.
///
/// ```
/// use mlops_core::stats::mann_whitney_interval;
///
/// let y: Vec<f64> = (0..30).map(f64::from).collect();
/// let x: Vec<f64> = y.iter().map(|value| value + 50.0).collect();
/// let shift = mann_whitney_interval(&x, &y, 0.95)?;
/// assert_eq!(shift.estimate(), 50.0);
/// assert!(shift.interval.lower > 44.0 && shift.interval.upper < 56.0);
/// # Ok::<(), mlops_core::stats::StatsError>(())
/// ```
pub fn mann_whitney_interval(x: &[f64], y: &[f64], confidence: f64) -> Result<ShiftInterval, StatsError> {
    require_finite("x", x)?;
    require_finite("y", y)?;
    require_open_unit("confidence", confidence)?;
    let (x, y) = (sorted(x.to_vec()), sorted(y.to_vec()));
    let lowest = x[0] - y[y.len() - 1];
    let highest = x[x.len() - 1] - y[0];
    if !lowest.is_finite() || !highest.is_finite() {
        return Err(undefined("the difference of the samples overflows: rescale the metric"));
    }

    let within = |sample: &[f64]| tie_term(sample.chunk_by(|one, other| one == other).map(<[f64]>::len));
    let (n, m) = (x.len() as f64, y.len() as f64);
    let reach = normal_isf((1.0 - confidence) / 2.0) * standard_deviation(n, m, within(&x) + within(&y));
    let pairs = n * m;
    // The statistic exceeds a bound up to the first difference that leaves at most so many pairs above it.
    let first_leaving = |pairs_above: f64| {
        let rank = (pairs - pairs_above.floor()).max(1.0) as u128;
        difference_of_rank(&x, &y, rank)
    };
    let (above_lower, above_upper) = (pairs / 2.0 + reach + 0.5, pairs / 2.0 - reach - 0.5);
    if above_lower.floor() >= pairs || above_upper < 0.0 {
        return Err(undefined(format!(
            "samples of {n} and {m} cannot reach a confidence of {confidence}: collect more or lower it"
        )));
    }
    Ok(ShiftInterval {
        interval: Interval { lower: first_leaving(above_lower), upper: first_leaving(above_upper) },
        zero: Interval {
            lower: first_leaving(pairs / 2.0 + 0.5),
            upper: first_leaving((pairs / 2.0 - 0.5).ceil() - 1.0),
        },
    })
}

/// The `rank`-th smallest, from one, of the differences of two sorted samples of finite numbers.
///
/// Rounding is monotone, so the pairs with a difference of at most some bound are counted by one pass with
/// two indices, and the bound is narrowed over the ordered floats.
fn difference_of_rank(x: &[f64], y: &[f64], rank: u128) -> f64 {
    let reached = |bound: f64| {
        let (mut first, mut count) = (0, 0_u128);
        for &value in x {
            while first < y.len() && value - y[first] > bound {
                first += 1;
            }
            count += (y.len() - first) as u128;
        }
        count >= rank
    };
    let (mut low, mut high) = (position(x[0] - y[y.len() - 1]), position(x[x.len() - 1] - y[0]));
    while low < high {
        let middle = low + (high.abs_diff(low) / 2).cast_signed();
        if reached(at_position(middle)) { high = middle } else { low = middle + 1 }
    }
    at_position(low) + 0.0
}

/// Place of a float among all floats in ascending order, zero for zero.
fn position(value: f64) -> i64 {
    let magnitude = value.abs().to_bits().cast_signed();
    if value < 0.0 { -magnitude } else { magnitude }
}

fn at_position(position: i64) -> f64 {
    let magnitude = f64::from_bits(position.unsigned_abs());
    if position < 0 { -magnitude } else { magnitude }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn ranks_differences_like_sorting_them() {
        let (x, y) = ([-3.5, 0.0, 0.25, 0.25, 1e9], [-2.0, -0.0, 0.1, 7.0]);
        let mut differences: Vec<f64> = x.iter().flat_map(|x| y.map(|y| x - y)).collect();
        differences.sort_by(f64::total_cmp);
        for (index, difference) in differences.iter().enumerate() {
            assert_eq!(difference_of_rank(&x, &y, index as u128 + 1), *difference);
        }
    }

    #[test]
    fn small_samples_reach_no_high_confidence() {
        let interval = |confidence| mann_whitney_interval(&[1.0, 2.0, 3.0], &[4.0, 5.0, 6.0], confidence);
        assert!(matches!(interval(0.99), Err(StatsError::Undefined { .. })));
        assert_eq!(interval(0.5).unwrap().estimate(), -3.0);
    }
}
