//! The Mann-Whitney U test.

use super::pooled::{tie_groups, tie_term};
use super::special::normal_sf;
use super::{Alternative, StatsError, gcd, require_sample, sorted, undefined};

/// Smaller sample up to which [`MannWhitneyMethod::Auto`] computes the exact p-value.
const AUTO_EXACT_LIMIT: usize = 8;
/// Product of the sizes from which there is no exact p-value.
const EXACT_PAIRS_LIMIT: usize = 1 << 23;

/// How [`mann_whitney_u`] computes its p-value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum MannWhitneyMethod {
    /// Exact when one sample holds at most eight observations and there are no ties, otherwise asymptotic.
    #[default]
    Auto,
    /// The permutation distribution of samples without ties.
    Exact,
    /// Normal approximation with correction for ties and for continuity.
    Asymptotic,
    /// Normal approximation with correction for ties only.
    AsymptoticUncorrected,
}

/// Result of [`mann_whitney_u`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MannWhitneyTest {
    /// Pairs in which the observation of x is the larger one, plus half the pairs in which they are equal.
    pub u1: f64,
    /// The same for y: `nm - u1`.
    pub u2: f64,
    /// Probability, under equal distributions, of a statistic at least as far in the tested direction.
    pub p_value: f64,
    /// How it was computed; never [`MannWhitneyMethod::Auto`].
    pub method: MannWhitneyMethod,
}

impl MannWhitneyTest {
    /// The common-language effect size, in `[0, 1]`: the probability that a random observation of x exceeds
    /// one of y, counting equality as half. ½ means no effect; it is also the area under the ROC curve of
    /// "is from x".
    #[must_use]
    pub fn common_language_effect(&self) -> f64 {
        self.u1 / (self.u1 + self.u2)
    }
}

/// Tests whether observations of one sample tend to be larger than those of the other.
///
/// With midranks `r`, `U1 = Σ r(x) - n(n+1)/2`; its mean is `nm/2` and its variance
/// `nm/12 · (N + 1 - Σ(t³ - t)/(N(N-1)))` over groups of `t` ties. [`Alternative::Greater`] means that x tends
/// to be larger. Equal to `scipy.stats.mannwhitneyu`, with one deliberate difference: when all observations
/// are equal every ordering gives the same statistic, so p is 1, where scipy has NaN without the continuity
/// correction. Infinities are ordinary values. O((n + m) log(n + m)), and for the exact p-value O(n²m) with
/// n the smaller size.
///
/// Source: Mann & Whitney, "On a test of whether one of two random variables is stochastically larger than
/// the other", Annals of Mathematical Statistics 18(1), 1947.
///
/// # Errors
///
/// [`StatsError::EmptySample`], [`StatsError::NotANumber`]; with [`MannWhitneyMethod::Exact`],
/// [`StatsError::Undefined`] under ties and for samples whose orderings are too many to count
/// (nm beyond 2²³, or about 2¹²⁸ orderings).
///
/// ```
/// use mlops_core::stats::{Alternative, MannWhitneyMethod, mann_whitney_u};
///
/// let (x, y) = ([1.1, 2.3, 3.8], [4.0, 5.2, 6.1, 7.7]);
/// let test = mann_whitney_u(&x, &y, Alternative::TwoSided, MannWhitneyMethod::Auto)?;
/// assert_eq!((test.u1, test.u2, test.method), (0.0, 12.0, MannWhitneyMethod::Exact));
/// assert!((test.p_value - 2.0 / 35.0).abs() < 1e-15);
/// # Ok::<(), mlops_core::stats::StatsError>(())
/// ```
pub fn mann_whitney_u(
    x: &[f64],
    y: &[f64],
    alternative: Alternative,
    method: MannWhitneyMethod,
) -> Result<MannWhitneyTest, StatsError> {
    require_sample("x", x)?;
    require_sample("y", y)?;
    let (n, m) = (x.len(), y.len());
    let (x, y) = (sorted(x.to_vec()), sorted(y.to_vec()));

    let (mut twice_u1, mut y_below) = (0_u128, 0_u128);
    for group in tie_groups(&x, &y) {
        let y_here = group.y as u128;
        twice_u1 += group.x as u128 * (2 * y_below + y_here);
        y_below += y_here;
    }
    let pairs = n as u128 * m as u128;
    let (u1, u2) = (twice_u1 as f64 / 2.0, (2 * pairs - twice_u1) as f64 / 2.0);
    let ties = tie_term(tie_groups(&x, &y).map(|group| group.len()));

    // The statistic whose upper tail is the p-value, and how many such tails there are.
    let (tested, tails) = match alternative {
        Alternative::Greater => (u1, 1.0),
        Alternative::Less => (u2, 1.0),
        Alternative::TwoSided => (u1.max(u2), 2.0),
    };
    let exact = |tested: f64| {
        if ties > 0.0 {
            return Err(undefined("there are ties: use the asymptotic p-value"));
        }
        exact_sf(n.min(m), n.max(m), tested as usize)
    };
    let asymptotic = |continuity| asymptotic_sf(tested, n as f64, m as f64, ties, continuity);
    let (tail, method) = match method {
        MannWhitneyMethod::Exact => (exact(tested)?, MannWhitneyMethod::Exact),
        MannWhitneyMethod::AsymptoticUncorrected => (asymptotic(0.0), method),
        MannWhitneyMethod::Auto if n.min(m) <= AUTO_EXACT_LIMIT => match exact(tested) {
            Ok(tail) => (tail, MannWhitneyMethod::Exact),
            Err(_) => (asymptotic(0.5), MannWhitneyMethod::Asymptotic),
        },
        MannWhitneyMethod::Auto | MannWhitneyMethod::Asymptotic => {
            (asymptotic(0.5), MannWhitneyMethod::Asymptotic)
        }
    };
    Ok(MannWhitneyTest { u1, u2, p_value: (tails * tail).min(1.0), method })
}

/// Standard deviation of U for samples of `n` and `m` with the given [`tie_term`].
pub(super) fn standard_deviation(n: f64, m: f64, ties: f64) -> f64 {
    let total = n + m;
    (n * m / 12.0 * (total + 1.0 - ties / (total * (total - 1.0)))).max(0.0).sqrt()
}

fn asymptotic_sf(u: f64, n: f64, m: f64, ties: f64, continuity: f64) -> f64 {
    let deviation = standard_deviation(n, m, ties);
    // Zero when all observations are equal, up to rounding, and at least ½√(nm) otherwise.
    if deviation < 0.1 * (n * m).sqrt() {
        return 1.0;
    }
    normal_sf((u - n * m / 2.0 - continuity) / deviation)
}

/// P(U >= u) over all orderings of two samples without ties, of sizes `small <= large`.
///
/// The orderings with each value of U are the coefficients of the Gaussian binomial
/// `Π_{i=1..small} (1 - q^(large+i)) / (1 - q^i)`, computed as integers: intermediate ones modulo 2¹²⁸, which
/// the final ones do not reach.
fn exact_sf(small: usize, large: usize, u: usize) -> Result<f64, StatsError> {
    let too_many = || undefined("there are too many orderings to count: use the asymptotic p-value");
    let pairs = small.checked_mul(large).filter(|&pairs| pairs < EXACT_PAIRS_LIMIT).ok_or_else(too_many)?;
    let all = binomial(small + large, small).ok_or_else(too_many)?;
    // The distribution is symmetric about pairs/2: count the shorter side, from the rarest value.
    let upper_tail = 2 * u > pairs;
    let degree = if upper_tail {
        pairs - u
    } else if u == 0 {
        return Ok(1.0);
    } else {
        u - 1
    };

    let mut orderings = vec![0_u128; degree + 1];
    orderings[0] = 1;
    for i in 1..=small {
        for power in (large + i..=degree).rev() {
            orderings[power] = orderings[power].wrapping_sub(orderings[power - large - i]);
        }
        for power in i..=degree {
            orderings[power] = orderings[power].wrapping_add(orderings[power - i]);
        }
    }
    let counted: u128 = orderings.iter().sum();
    Ok(if upper_tail { counted as f64 / all as f64 } else { (all - counted) as f64 / all as f64 })
}

/// `C(n, k)`, if it fits.
fn binomial(n: usize, k: usize) -> Option<u128> {
    (1..=k as u128).try_fold(1_u128, |product, i| {
        // C(n, i) from C(n, i-1): multiply by (n-i+1)/i with common factors taken out first.
        let (factor, divisor) = (n as u128 - i + 1, i);
        let shared = gcd(product, divisor);
        (product / shared).checked_mul(factor / (divisor / shared))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn binomials_are_exact_up_to_the_largest() {
        assert_eq!(binomial(40, 20), Some(137_846_528_820));
        assert_eq!(binomial(5, 0), Some(1));
        assert!(binomial(120, 60).is_some());
        assert!(binomial(1_000, 500).is_none());
    }

    #[test]
    fn exact_tails_are_complementary() {
        for (small, large, step) in [(1, 1, 1), (2, 5, 1), (7, 9, 1), (60, 60, 400)] {
            for u in (0..=small * large + 1).step_by(step) {
                let upper = if u > small * large { 0.0 } else { exact_sf(small, large, u).unwrap() };
                let lower = if u == 0 { 0.0 } else { exact_sf(small, large, small * large + 1 - u).unwrap() };
                assert!((upper + lower - 1.0).abs() < 1e-12, "{small} {large} {u}");
            }
        }
    }

    #[test]
    fn equal_observations_are_no_evidence() {
        for method in [MannWhitneyMethod::Auto, MannWhitneyMethod::AsymptoticUncorrected] {
            let test = mann_whitney_u(&[3.0; 20], &[3.0; 15], Alternative::Less, method).unwrap();
            assert_eq!((test.p_value, test.common_language_effect()), (1.0, 0.5));
        }
        let exact = mann_whitney_u(&[3.0], &[3.0], Alternative::Less, MannWhitneyMethod::Exact);
        assert!(matches!(exact, Err(StatsError::Undefined { .. })));
    }
}
