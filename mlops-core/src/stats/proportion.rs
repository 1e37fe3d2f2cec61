//! Intervals for a proportion, and tests and intervals for the difference of two.

pub mod compat;

use super::special::{beta_isf, beta_quantile, normal_isf, normal_sf, turning_point};
use super::{Alternative, Interval, StatsError, invalid, require_open_unit, undefined};

/// Successes among independent trials: at least one trial, and no more successes than trials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BinomialSample {
    successes: u64,
    trials: u64,
}

impl BinomialSample {
    /// Creates the sample.
    ///
    /// # Errors
    ///
    /// [`StatsError::EmptySample`] without trials; [`StatsError::InvalidParameter`] when `successes`
    /// exceeds `trials`.
    ///
    /// ```
    /// use mlops_core::stats::BinomialSample;
    ///
    /// assert_eq!(BinomialSample::new(3, 12)?.proportion(), 0.25);
    /// assert!(BinomialSample::new(3, 2).is_err());
    /// # Ok::<(), mlops_core::stats::StatsError>(())
    /// ```
    pub fn new(successes: u64, trials: u64) -> Result<Self, StatsError> {
        if trials == 0 {
            return Err(StatsError::EmptySample { what: "trials" });
        }
        if successes > trials {
            return Err(invalid("successes", format!("{successes} successes in {trials} trials")));
        }
        Ok(Self { successes, trials })
    }

    /// Number of successes.
    #[must_use]
    pub fn successes(&self) -> u64 {
        self.successes
    }

    /// Number of trials.
    #[must_use]
    pub fn trials(&self) -> u64 {
        self.trials
    }

    /// Share of successes, in `[0, 1]`.
    #[must_use]
    pub fn proportion(&self) -> f64 {
        self.x() / self.n()
    }

    /// Estimated variance of the proportion, `p(1-p)/n`.
    pub(super) fn variance(&self) -> f64 {
        self.proportion() * (self.failures() / self.n()) / self.n()
    }

    fn x(&self) -> f64 {
        self.successes as f64
    }

    fn n(&self) -> f64 {
        self.trials as f64
    }

    fn failures(&self) -> f64 {
        (self.trials - self.successes) as f64
    }
}

/// How [`proportion_interval`] is computed, for x successes in n trials, p = x/n and z the normal quantile.
///
/// Source: Brown, Cai & DasGupta, "Interval estimation for a binomial proportion", Statistical Science
/// 16(2), 2001.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ProportionIntervalMethod {
    /// Inverts the score test. Close to its nominal coverage for every n; the default.
    #[default]
    Wilson,
    /// Inverts the exact binomial test. Covers at least nominally, wider than needed.
    ClopperPearson,
    /// `p̃ ± z √(p̃(1-p̃)/ñ)` with `ñ = n + z²`, `p̃ = (x + z²/2)/ñ`, clipped to `[0, 1]`. Contains Wilson's.
    AgrestiCoull,
    /// Equal-tailed posterior interval under the prior Beta(½, ½). Excludes the estimate when it is 0 or 1.
    Jeffreys,
    /// `p ± z √(p(1-p)/n)`, clipped to `[0, 1]`. Far below nominal coverage for small n, empty at p = 0
    /// and p = 1; here for comparison.
    Wald,
}

/// A confidence interval for the probability of success.
///
/// `confidence` is in `(0, 1)`, for example 0.95. Both ends lie in `[0, 1]`.
///
/// # Errors
///
/// [`StatsError::InvalidParameter`] for a `confidence` out of domain; [`StatsError::Undefined`] when
/// Clopper-Pearson or Jeffreys does not converge, beyond about 10⁹ trials.
///
/// ```
/// use mlops_core::stats::{BinomialSample, ProportionIntervalMethod, proportion_interval};
///
/// let none_in_ten = BinomialSample::new(0, 10)?;
/// let interval = proportion_interval(none_in_ten, 0.95, ProportionIntervalMethod::Wilson)?;
/// assert_eq!(interval.lower, 0.0);
/// assert!((interval.upper - 0.2775).abs() < 1e-4);
/// # Ok::<(), mlops_core::stats::StatsError>(())
/// ```
pub fn proportion_interval(
    sample: BinomialSample,
    confidence: f64,
    method: ProportionIntervalMethod,
) -> Result<Interval, StatsError> {
    let z = critical_value(confidence)?;
    let tail = (1.0 - confidence) / 2.0;
    let (x, n, p) = (sample.x(), sample.n(), sample.proportion());
    let clipped = |centre: f64, half_width: f64| Interval {
        lower: (centre - half_width).clamp(0.0, 1.0),
        upper: (centre + half_width).clamp(0.0, 1.0),
    };
    Ok(match method {
        ProportionIntervalMethod::Wilson => wilson(sample, z),
        ProportionIntervalMethod::ClopperPearson => Interval {
            lower: if x == 0.0 { 0.0 } else { beta_quantile(tail, x, sample.failures() + 1.0)? },
            upper: if x == n { 1.0 } else { beta_isf(tail, x + 1.0, sample.failures())? },
        },
        ProportionIntervalMethod::AgrestiCoull => {
            let widened = n + z * z;
            let centre = (x + z * z / 2.0) / widened;
            clipped(centre, z * (centre * (1.0 - centre) / widened).sqrt())
        }
        ProportionIntervalMethod::Jeffreys => Interval {
            lower: beta_quantile(tail, x + 0.5, sample.failures() + 0.5)?,
            upper: beta_isf(tail, x + 0.5, sample.failures() + 0.5)?,
        },
        ProportionIntervalMethod::Wald => clipped(p, z * sample.variance().sqrt()),
    })
}

/// A test statistic that is standard normal under the null hypothesis of equal proportions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ZTest {
    /// First proportion minus second.
    pub difference: f64,
    /// The difference in units of its standard error under the null hypothesis.
    pub z: f64,
}

impl ZTest {
    /// Probability under the null hypothesis of a z at least as far in the direction of `alternative`.
    ///
    /// [`Alternative::Greater`] is "the first proportion is greater than the second".
    #[must_use]
    pub fn p_value(&self, alternative: Alternative) -> f64 {
        match alternative {
            Alternative::TwoSided => 2.0 * normal_sf(self.z.abs()),
            Alternative::Less => normal_sf(-self.z),
            Alternative::Greater => normal_sf(self.z),
        }
    }
}

/// The pooled z-test of two proportions.
///
/// `z = (p₁ - p₂) / √(p(1-p)(1/n₁ + 1/n₂))` with `p = (x₁ + x₂)/(n₁ + n₂)`. Its square is Pearson's
/// χ² of the 2 × 2 table. Valid for one look at a sample size fixed in advance; to look repeatedly use
/// [`two_proportion_confidence_sequence`](super::two_proportion_confidence_sequence).
///
/// # Errors
///
/// [`StatsError::Undefined`] when every trial of both samples had the same outcome: the pooled variance is
/// zero, and the data hold no evidence either way. [`two_proportion_interval`] still has an answer.
///
/// ```
/// use mlops_core::stats::{Alternative, BinomialSample, two_proportion_z_test};
///
/// let (a, b) = (BinomialSample::new(120, 1_000)?, BinomialSample::new(150, 1_000)?);
/// let test = two_proportion_z_test(a, b)?;
/// assert!((test.z + 1.963).abs() < 1e-3);
/// assert!((test.p_value(Alternative::TwoSided) - 0.0496).abs() < 1e-4);
/// # Ok::<(), mlops_core::stats::StatsError>(())
/// ```
pub fn two_proportion_z_test(first: BinomialSample, second: BinomialSample) -> Result<ZTest, StatsError> {
    let pooled_variance = pooled_variance(first, second);
    if pooled_variance == 0.0 {
        return Err(undefined(
            "all trials of both samples had the same outcome, so the pooled variance is zero: \
             collect more trials or report an interval",
        ));
    }
    let difference = first.proportion() - second.proportion();
    Ok(ZTest { difference, z: difference / pooled_variance.sqrt() })
}

/// The score test of two proportions: the z-test with Miettinen & Nurminen's factor N/(N-1) on the
/// variance, where `N = n₁ + n₂`. Agrees with the score interval: `p < α` exactly when the interval at
/// `1 - α` excludes 0.
///
/// # Errors
///
/// Those of [`two_proportion_z_test`].
///
/// ```
/// use mlops_core::stats::{BinomialSample, two_proportion_score_test, two_proportion_z_test};
///
/// let (a, b) = (BinomialSample::new(3, 20)?, BinomialSample::new(9, 20)?);
/// assert!(two_proportion_score_test(a, b)?.z.abs() < two_proportion_z_test(a, b)?.z.abs());
/// # Ok::<(), mlops_core::stats::StatsError>(())
/// ```
pub fn two_proportion_score_test(first: BinomialSample, second: BinomialSample) -> Result<ZTest, StatsError> {
    let test = two_proportion_z_test(first, second)?;
    Ok(ZTest { z: test.z / small_sample_factor(first, second).sqrt(), ..test })
}

/// How [`two_proportion_interval`] is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum TwoProportionIntervalMethod {
    /// `p₁ - p₂ ± z √(p₁(1-p₁)/n₁ + p₂(1-p₂)/n₂)`; too narrow for small counts, not clipped.
    Wald,
    /// Wald's after adding one success and one failure to each sample, not clipped. Agresti & Caffo, The
    /// American Statistician 54(4), 2000.
    AgrestiCaffo,
    /// Combines the two Wilson intervals; the default. Method 10 of Newcombe, Statistics in Medicine 17,
    /// 1998.
    #[default]
    Newcombe,
    /// Inverts the score test of every hypothetical difference. Miettinen & Nurminen, Statistics in
    /// Medicine 4(2), 1985.
    MiettinenNurminen,
}

/// A confidence interval for the first probability of success minus the second.
///
/// `confidence` is in `(0, 1)`, for example 0.95.
///
/// # Errors
///
/// [`StatsError::InvalidParameter`] for a `confidence` out of domain.
///
/// ```
/// use mlops_core::stats::{BinomialSample, TwoProportionIntervalMethod, two_proportion_interval};
///
/// let (a, b) = (BinomialSample::new(56, 70)?, BinomialSample::new(48, 80)?);
/// let interval = two_proportion_interval(a, b, 0.95, TwoProportionIntervalMethod::Newcombe)?;
/// assert!((interval.lower - 0.0524).abs() < 1e-4 && (interval.upper - 0.3339).abs() < 1e-4);
/// # Ok::<(), mlops_core::stats::StatsError>(())
/// ```
pub fn two_proportion_interval(
    first: BinomialSample,
    second: BinomialSample,
    confidence: f64,
    method: TwoProportionIntervalMethod,
) -> Result<Interval, StatsError> {
    let z = critical_value(confidence)?;
    Ok(match method {
        TwoProportionIntervalMethod::Wald => wald_difference(first, second, 0.0, z),
        TwoProportionIntervalMethod::AgrestiCaffo => wald_difference(first, second, 1.0, z),
        TwoProportionIntervalMethod::Newcombe => newcombe(first, second, z),
        TwoProportionIntervalMethod::MiettinenNurminen => miettinen_nurminen(first, second, z),
    })
}

fn critical_value(confidence: f64) -> Result<f64, StatsError> {
    require_open_unit("confidence", confidence)?;
    Ok(normal_isf((1.0 - confidence) / 2.0))
}

fn wilson(sample: BinomialSample, z: f64) -> Interval {
    let (n, p, z2) = (sample.n(), sample.proportion(), z * z);
    let shrink = 1.0 + z2 / n;
    let centre = (p + z2 / (2.0 * n)) / shrink;
    let half_width = z * (sample.variance() + z2 / (4.0 * n * n)).sqrt() / shrink;
    Interval {
        lower: if sample.successes == 0 { 0.0 } else { (centre - half_width).max(0.0) },
        upper: if sample.successes == sample.trials { 1.0 } else { (centre + half_width).min(1.0) },
    }
}

/// Wald's interval after adding `added` successes and as many failures to each sample.
fn wald_difference(first: BinomialSample, second: BinomialSample, added: f64, z: f64) -> Interval {
    let moments = |sample: BinomialSample| {
        let n = sample.n() + 2.0 * added;
        let p = (sample.x() + added) / n;
        (p, p * (1.0 - p) / n)
    };
    let ((p1, variance1), (p2, variance2)) = (moments(first), moments(second));
    let half_width = z * (variance1 + variance2).sqrt();
    Interval { lower: p1 - p2 - half_width, upper: p1 - p2 + half_width }
}

fn newcombe(first: BinomialSample, second: BinomialSample, z: f64) -> Interval {
    let (p1, p2) = (first.proportion(), second.proportion());
    let (interval1, interval2) = (wilson(first, z), wilson(second, z));
    Interval {
        lower: p1 - p2 - (p1 - interval1.lower).hypot(interval2.upper - p2),
        upper: p1 - p2 + (interval1.upper - p1).hypot(p2 - interval2.lower),
    }
}

fn miettinen_nurminen(first: BinomialSample, second: BinomialSample, z: f64) -> Interval {
    let estimate = first.proportion() - second.proportion();
    let score = |difference: f64| {
        let p2 = constrained_proportion(first, second, difference, second.n());
        let p2 = p2.clamp((-difference).max(0.0), (1.0 - difference).min(1.0));
        let variance = restricted_variance(first, second, p2 + difference, p2).max(0.0);
        (estimate - difference) / variance.sqrt()
    };
    Interval {
        lower: turning_point(-1.0, estimate, |difference| score(difference) <= z),
        upper: turning_point(estimate, 1.0, |difference| score(difference) < -z),
    }
}

/// Variance of the difference at given probabilities, with Miettinen & Nurminen's factor.
fn restricted_variance(first: BinomialSample, second: BinomialSample, p1: f64, p2: f64) -> f64 {
    small_sample_factor(first, second) * (p1 * (1.0 - p1) / first.n() + p2 * (1.0 - p2) / second.n())
}

fn small_sample_factor(first: BinomialSample, second: BinomialSample) -> f64 {
    let total = first.n() + second.n();
    total / (total - 1.0)
}

fn pooled_variance(first: BinomialSample, second: BinomialSample) -> f64 {
    let total = first.n() + second.n();
    let pooled = (first.x() + second.x()) / total;
    let complement = (first.failures() + second.failures()) / total;
    pooled * complement * (1.0 / first.n() + 1.0 / second.n())
}

/// Maximum-likelihood estimate of the second probability when the first exceeds it by `difference`.
///
/// The root of a cubic by its trigonometric solution, appendix 1 of Miettinen & Nurminen (1985). `weight`
/// is the factor of the difference inside the linear coefficient: the second sample's size. It is an
/// argument because [`compat`] reproduces a program that has a different one.
fn constrained_proportion(
    first: BinomialSample,
    second: BinomialSample,
    difference: f64,
    weight: f64,
) -> f64 {
    let successes = first.x() + second.x();
    let total = first.n() + second.n();
    if difference == 0.0 {
        return successes / total;
    }
    let quadratic = ((first.n() + 2.0 * second.n()) * difference - total - successes) / (3.0 * total);
    let linear = ((weight * difference - total - 2.0 * second.x()) * difference + successes) / (3.0 * total);
    let constant = second.x() * difference * (1.0 - difference) / total;

    let q = quadratic.powi(3) - 1.5 * linear * quadratic + 0.5 * constant;
    let p = (quadratic * quadratic - linear).max(0.0).sqrt().copysign(q);
    if p == 0.0 {
        return -quadratic;
    }
    let angle = (std::f64::consts::PI + (q / p.powi(3)).clamp(-1.0, 1.0).acos()) / 3.0;
    2.0 * p * angle.cos() - quadratic
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn sample(successes: u64, trials: u64) -> BinomialSample {
        BinomialSample::new(successes, trials).unwrap()
    }

    fn score_interval(first: BinomialSample, second: BinomialSample) -> Interval {
        two_proportion_interval(first, second, 0.95, TwoProportionIntervalMethod::MiettinenNurminen).unwrap()
    }

    /// Example of Newcombe (1998), table II: 56/70 against 48/80, method 6 (Miettinen-Nurminen).
    #[test]
    fn score_interval_of_the_literature() {
        let interval = score_interval(sample(56, 70), sample(48, 80));
        assert!((interval.lower - 0.0528).abs() < 5e-5, "{interval:?}");
        assert!((interval.upper - 0.3382).abs() < 5e-5, "{interval:?}");
    }

    #[test]
    fn score_interval_is_antisymmetric() {
        for (first, second) in [(sample(1, 10), sample(1, 10)), (sample(0, 5), sample(7, 9))] {
            let (one, other) = (score_interval(first, second), score_interval(second, first));
            assert!((one.lower + other.upper).abs() < 1e-9, "{one:?} {other:?}");
            assert!((one.upper + other.lower).abs() < 1e-9, "{one:?} {other:?}");
        }
    }

    #[test]
    fn score_interval_reaches_the_ends() {
        let interval = score_interval(sample(5, 5), sample(0, 5));
        assert_eq!(interval.upper, 1.0);
        assert!(interval.lower > 0.3 && interval.lower < 1.0);
    }

    #[test]
    fn no_variance_is_undefined() {
        for successes in [0, 10] {
            let same = sample(successes, 10);
            assert!(matches!(two_proportion_z_test(same, same), Err(StatsError::Undefined { .. })));
        }
    }
}
