//! Distances between two discrete distributions over the same categories or bins.
//!
//! Every function takes two slices of non-negative weights of equal length, position by position the same
//! category: shares or counts alike, since each is divided by its total first. Call the results P and Q.
//!
//! | distance | range | symmetric | triangle inequality |
//! |---|---|---|---|
//! | [`jensen_shannon_distance`] | 0 to 1 (base 2), 0 to √ln 2 (natural) | yes | yes |
//! | [`hellinger_distance`] | 0 to 1 | yes | yes |
//! | [`total_variation`], [`chebyshev_distance`] | 0 to 1 | yes | yes |
//! | [`kullback_leibler`] | 0 to ∞ nats | no | no |
//!
//! None of them is a test: with few observations they are far from zero without any change. Compare them
//! with thresholds only at fixed sample sizes, or test with
//! [`ContingencyTable::chi_squared_test`](super::ContingencyTable::chi_squared_test).

use std::f64::consts::LN_2;

use super::special::deviance;
use super::{StatsError, invalid, require_same_length, require_sample};

/// The unit of information.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum LogBase {
    /// Nats, as in `scipy.spatial.distance.jensenshannon` by default.
    Natural,
    /// Bits, which bound the Jensen-Shannon divergence by one; the default.
    #[default]
    Two,
}

impl LogBase {
    fn of_nats(self, nats: f64) -> f64 {
        match self {
            Self::Natural => nats,
            Self::Two => nats / LN_2,
        }
    }
}

/// The Jensen-Shannon divergence, `½ KL(P‖M) + ½ KL(Q‖M)` with `M = (P + Q)/2`.
///
/// Finite for all distributions: 0 if they are equal, one bit (`ln 2` nats) if they share no category. Its
/// square root is a metric, [`jensen_shannon_distance`].
///
/// Source: Lin, "Divergence measures based on the Shannon entropy", IEEE Transactions on Information Theory
/// 37(1), 1991.
///
/// # Errors
///
/// [`StatsError::LengthMismatch`]; [`StatsError::EmptySample`] for empty slices; [`StatsError::NotANumber`];
/// [`StatsError::InvalidParameter`] for a weight that is negative or infinite, and for weights that are all
/// zero.
///
/// ```
/// use mlops_core::stats::{LogBase, jensen_shannon_divergence};
///
/// assert_eq!(jensen_shannon_divergence(&[1.0, 0.0], &[0.0, 1.0], LogBase::Two)?, 1.0);
/// # Ok::<(), mlops_core::stats::StatsError>(())
/// ```
pub fn jensen_shannon_divergence(p: &[f64], q: &[f64], base: LogBase) -> Result<f64, StatsError> {
    let term = |(p, q)| {
        let middle = 0.5 * (p + q);
        deviance(p, middle) + deviance(q, middle)
    };
    let nats = 0.5 * shares(p, q)?.map(term).sum::<f64>();
    Ok(base.of_nats(nats.min(LN_2)))
}

/// The Jensen-Shannon distance, the square root of [`jensen_shannon_divergence`].
///
/// Source: Endres & Schindelin, "A new metric for probability distributions", IEEE Transactions on
/// Information Theory 49(7), 2003.
///
/// # Errors
///
/// As [`jensen_shannon_divergence`].
///
/// ```
/// use mlops_core::stats::{LogBase, jensen_shannon_distance};
///
/// let distance = jensen_shannon_distance(&[30.0, 70.0], &[0.5, 0.5], LogBase::Two)?;
/// assert!((distance - 0.1741).abs() < 1e-4);
/// # Ok::<(), mlops_core::stats::StatsError>(())
/// ```
pub fn jensen_shannon_distance(p: &[f64], q: &[f64], base: LogBase) -> Result<f64, StatsError> {
    jensen_shannon_divergence(p, q, base).map(f64::sqrt)
}

/// The Kullback-Leibler divergence of P from Q in nats, `Σ p ln(p/q)`.
///
/// Zero only for equal distributions. Infinite, as a value, when P has a category that Q has not: for
/// monitoring, where new categories are common, take [`jensen_shannon_distance`].
///
/// Source: Kullback & Leibler, "On information and sufficiency", Annals of Mathematical Statistics 22(1),
/// 1951.
///
/// # Errors
///
/// As [`jensen_shannon_divergence`].
///
/// ```
/// use mlops_core::stats::kullback_leibler;
///
/// assert_eq!(kullback_leibler(&[0.5, 0.5], &[1.0, 0.0])?, f64::INFINITY);
/// assert_eq!(kullback_leibler(&[1.0, 0.0], &[0.5, 0.5])?, std::f64::consts::LN_2);
/// # Ok::<(), mlops_core::stats::StatsError>(())
/// ```
pub fn kullback_leibler(p: &[f64], q: &[f64]) -> Result<f64, StatsError> {
    Ok(shares(p, q)?.map(|(p, q)| deviance(p, q)).sum())
}

/// The Hellinger distance, `√(½ Σ (√p - √q)²)`: 0 for equal distributions, 1 for disjoint ones.
///
/// Source: Pollard, "A User's Guide to Measure Theoretic Probability", Cambridge University Press, 2002,
/// section 3.3.
///
/// # Errors
///
/// As [`jensen_shannon_divergence`].
///
/// ```
/// use mlops_core::stats::hellinger_distance;
///
/// assert_eq!(hellinger_distance(&[3.0, 0.0], &[0.0, 5.0])?, 1.0);
/// # Ok::<(), mlops_core::stats::StatsError>(())
/// ```
pub fn hellinger_distance(p: &[f64], q: &[f64]) -> Result<f64, StatsError> {
    let sum: f64 = shares(p, q)?.map(|(p, q)| (p.sqrt() - q.sqrt()).powi(2)).sum();
    Ok((0.5 * sum).sqrt().min(1.0))
}

/// The Bhattacharyya coefficient, `Σ √(pq)`, the overlap of two distributions: 1 if they are equal, 0 if they
/// are disjoint. One minus the square of [`hellinger_distance`].
///
/// Source: Bhattacharyya, Bulletin of the Calcutta Mathematical Society 35, 1943.
///
/// # Errors
///
/// As [`jensen_shannon_divergence`].
///
/// ```
/// use mlops_core::stats::bhattacharyya_coefficient;
///
/// assert_eq!(bhattacharyya_coefficient(&[1.0, 1.0], &[7.0, 7.0])?, 1.0);
/// # Ok::<(), mlops_core::stats::StatsError>(())
/// ```
pub fn bhattacharyya_coefficient(p: &[f64], q: &[f64]) -> Result<f64, StatsError> {
    Ok(shares(p, q)?.map(|(p, q)| p.sqrt() * q.sqrt()).sum::<f64>().min(1.0))
}

/// The total variation distance, `½ Σ |p - q|`: the largest difference in the probability of any event.
///
/// # Errors
///
/// As [`jensen_shannon_divergence`].
///
/// ```
/// use mlops_core::stats::total_variation;
///
/// assert_eq!(total_variation(&[1.0, 1.0], &[1.0, 3.0])?, 0.25);
/// # Ok::<(), mlops_core::stats::StatsError>(())
/// ```
pub fn total_variation(p: &[f64], q: &[f64]) -> Result<f64, StatsError> {
    Ok((0.5 * shares(p, q)?.map(|(p, q)| (p - q).abs()).sum::<f64>()).min(1.0))
}

/// The Chebyshev or L∞ distance, `max |p - q|`: the largest change of any one share.
///
/// # Errors
///
/// As [`jensen_shannon_divergence`].
///
/// ```
/// use mlops_core::stats::chebyshev_distance;
///
/// assert_eq!(chebyshev_distance(&[1.0, 1.0, 2.0], &[1.0, 3.0, 0.0])?, 0.5);
/// # Ok::<(), mlops_core::stats::StatsError>(())
/// ```
pub fn chebyshev_distance(p: &[f64], q: &[f64]) -> Result<f64, StatsError> {
    Ok(shares(p, q)?.map(|(p, q)| (p - q).abs()).fold(0.0, f64::max))
}

/// The weights divided by their totals, pair by pair.
fn shares<'a>(p: &'a [f64], q: &'a [f64]) -> Result<impl Iterator<Item = (f64, f64)> + use<'a>, StatsError> {
    require_same_length("q", p.len(), q.len())?;
    let (p_total, q_total) = (require_weights("p", p)?, require_weights("q", q)?);
    Ok(p.iter().zip(q).map(move |(&p, &q)| (p_total.share(p), q_total.share(q))))
}

/// A total, kept as its largest part and the rest in units of it, since the sum itself may overflow.
#[derive(Clone, Copy)]
struct Total {
    largest: f64,
    in_largest: f64,
}

impl Total {
    fn share(self, weight: f64) -> f64 {
        if self.largest < 1e300 {
            return weight / (self.largest * self.in_largest);
        }
        weight / self.largest / self.in_largest
    }
}

fn require_weights(what: &'static str, weights: &[f64]) -> Result<Total, StatsError> {
    require_sample(what, weights)?;
    if let Some(weight) = weights.iter().find(|&&weight| weight < 0.0 || weight.is_infinite()) {
        return Err(invalid(what, format!("{weight} is not a finite weight of at least zero")));
    }
    let largest = weights.iter().copied().fold(0.0, f64::max);
    if largest == 0.0 {
        return Err(invalid(what, "all weights are zero, so there is no distribution: wait for data"));
    }
    Ok(Total { largest, in_largest: weights.iter().map(|weight| weight / largest).sum() })
}
