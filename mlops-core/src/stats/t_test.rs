//! Tests of the difference of two means.

use super::special::{student_t_isf, student_t_sf};
use super::{Alternative, Interval, StatsError, invalid, require_finite, require_open_unit, undefined};

/// Result of [`welch_t_test`] and [`student_t_test`], from which p-values and intervals are taken.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TTest {
    /// Mean of x minus mean of y, in the unit of the samples.
    pub difference: f64,
    /// Its estimated standard error.
    pub standard_error: f64,
    /// The difference in standard errors. Infinite when the standard error is zero.
    pub statistic: f64,
    /// Degrees of freedom of its distribution under the null hypothesis, not always whole.
    pub dof: f64,
}

impl TTest {
    fn new(difference: f64, squared_standard_error: f64, dof: f64) -> Result<Self, StatsError> {
        let standard_error = squared_standard_error.sqrt();
        if !difference.is_finite() || !standard_error.is_finite() || dof.is_nan() {
            return Err(undefined("a mean or variance overflows: rescale the metric"));
        }
        if standard_error == 0.0 && difference == 0.0 {
            return Err(undefined(
                "both samples are constant and equal: there is no variation to test against",
            ));
        }
        Ok(Self { difference, standard_error, statistic: difference / standard_error, dof })
    }

    /// The p-value. [`Alternative::Greater`] means that the mean of x is the larger one.
    ///
    /// # Errors
    ///
    /// [`StatsError::Undefined`] when the series of the t distribution does not converge, which no number of
    /// observations is known to cause.
    pub fn p_value(&self, alternative: Alternative) -> Result<f64, StatsError> {
        match alternative {
            Alternative::TwoSided => {
                student_t_sf(self.statistic.abs(), self.dof).map(|tail| (2.0 * tail).min(1.0))
            }
            Alternative::Less => student_t_sf(-self.statistic, self.dof),
            Alternative::Greater => student_t_sf(self.statistic, self.dof),
        }
    }

    /// A confidence interval for the difference, which excludes zero exactly when the two-sided p-value is
    /// below `1 - confidence`.
    ///
    /// # Errors
    ///
    /// [`StatsError::InvalidParameter`] for a `confidence` outside `(0, 1)`; [`StatsError::Undefined`] as in
    /// [`p_value`](Self::p_value).
    pub fn interval(&self, confidence: f64) -> Result<Interval, StatsError> {
        require_open_unit("confidence", confidence)?;
        let half_width = student_t_isf((1.0 - confidence) / 2.0, self.dof)? * self.standard_error;
        Ok(Interval { lower: self.difference - half_width, upper: self.difference + half_width })
    }
}

/// Welch's test of the difference of two means, for samples whose variances may differ.
///
/// `t = (x̄ - ȳ)/√(s_x²/n + s_y²/m)` with the degrees of freedom of Welch and Satterthwaite,
/// `(s_x²/n + s_y²/m)² / ((s_x²/n)²/(n-1) + (s_y²/m)²/(m-1))`. The test to use by default. Equal to
/// `scipy.stats.ttest_ind` with `equal_var=False`; like it, two constant samples with different values have
/// an infinite statistic, p-value zero and, for want of better, one degree of freedom.
///
/// Source: Welch, "The generalization of 'Student's' problem when several different population variances are
/// involved", Biometrika 34, 1947.
///
/// # Errors
///
/// [`StatsError::EmptySample`], [`StatsError::NotANumber`]; [`StatsError::InvalidParameter`] for an infinite
/// value; [`StatsError::Undefined`] for a sample of one, for two constant samples with the same value, or
/// when a variance overflows.
///
/// ```
/// use mlops_core::stats::{Alternative, welch_t_test};
///
/// let test = welch_t_test(&[1.0, 1.0, 1.0, 2.0], &[5.0, 5.0])?;
/// assert_eq!((test.difference, test.statistic, test.dof), (-3.75, -15.0, 3.0));
/// assert!((test.p_value(Alternative::TwoSided)? - 0.000_643).abs() < 1e-6);
/// assert!((test.interval(0.95)?.upper + 2.954).abs() < 1e-3);
/// # Ok::<(), mlops_core::stats::StatsError>(())
/// ```
pub fn welch_t_test(x: &[f64], y: &[f64]) -> Result<TTest, StatsError> {
    let (x, y) = (Moments::of("x", x)?, Moments::of("y", y)?);
    welch([x.mean, y.mean], [x.variance()?, y.variance()?], [x.count, y.count])
}

/// What is left of a sample whose values are gone, enough for a test of its mean.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SampleMoments {
    /// Number of observations.
    pub count: u64,
    /// Their mean.
    pub mean: f64,
    /// Their variance, with the divisor `count - 1`.
    pub variance: f64,
}

/// [`welch_t_test`] of samples of which only the moments are known.
///
/// # Errors
///
/// [`StatsError::InvalidParameter`] for a mean that is not finite or a variance that is not finite and at least
/// zero; otherwise as [`welch_t_test`].
///
/// ```
/// use mlops_core::stats::{SampleMoments, welch_t_test_from_moments};
///
/// let x = SampleMoments { count: 4, mean: 1.25, variance: 0.25 };
/// let y = SampleMoments { count: 2, mean: 5.0, variance: 0.0 };
/// let test = welch_t_test_from_moments(x, y)?;
/// assert_eq!((test.difference, test.statistic, test.dof), (-3.75, -15.0, 3.0));
/// # Ok::<(), mlops_core::stats::StatsError>(())
/// ```
pub fn welch_t_test_from_moments(x: SampleMoments, y: SampleMoments) -> Result<TTest, StatsError> {
    for (name, SampleMoments { count, mean, variance }) in [("x", x), ("y", y)] {
        if count < 2 {
            return Err(too_few());
        }
        if !mean.is_finite() || !variance.is_finite() || variance < 0.0 {
            return Err(invalid(name, format!("a mean of {mean} and a variance of {variance}")));
        }
    }
    welch([x.mean, y.mean], [x.variance, y.variance], [x.count as f64, y.count as f64])
}

fn welch(
    [x_mean, y_mean]: [f64; 2],
    [x_variance, y_variance]: [f64; 2],
    [n, m]: [f64; 2],
) -> Result<TTest, StatsError> {
    let (x_share, y_share) = (x_variance / n, y_variance / m);
    let squared_standard_error = x_share + y_share;
    let dof = if squared_standard_error == 0.0 {
        1.0
    } else {
        let (x_part, y_part) = (x_share / squared_standard_error, y_share / squared_standard_error);
        1.0 / (x_part * x_part / (n - 1.0) + y_part * y_part / (m - 1.0))
    };
    TTest::new(x_mean - y_mean, squared_standard_error, dof)
}

fn too_few() -> StatsError {
    undefined("one observation has no variance: at least two in each sample are needed")
}

/// Student's test of the difference of two means, for samples of equal variance.
///
/// `t = (x̄ - ȳ)/(s √(1/n + 1/m))` with the pooled variance `s²` and `n + m - 2` degrees of freedom. Wrong
/// levels when both sizes and variances differ: prefer [`welch_t_test`]. Equal to `scipy.stats.ttest_ind`.
///
/// Source: Student, "The probable error of a mean", Biometrika 6(1), 1908.
///
/// # Errors
///
/// As [`welch_t_test`], but one of the samples may be of one observation.
///
/// ```
/// use mlops_core::stats::{Alternative, student_t_test};
///
/// let test = student_t_test(&[1.0], &[2.0, 3.0])?;
/// assert_eq!(test.dof, 1.0);
/// assert!((test.p_value(Alternative::TwoSided)? - 1.0 / 3.0).abs() < 1e-12);
/// # Ok::<(), mlops_core::stats::StatsError>(())
/// ```
pub fn student_t_test(x: &[f64], y: &[f64]) -> Result<TTest, StatsError> {
    let (x, y) = (Moments::of("x", x)?, Moments::of("y", y)?);
    let dof = x.count + y.count - 2.0;
    if dof == 0.0 {
        return Err(undefined("two observations have no variance: collect more"));
    }
    TTest::new(x.mean - y.mean, (x.squares + y.squares) / dof * (1.0 / x.count + 1.0 / y.count), dof)
}

/// Cohen's d: the difference of the means in units of the pooled standard deviation.
///
/// An effect size that does not grow with the sample; 0.2 is customarily called small, 0.8 large.
///
/// Source: Cohen, "Statistical Power Analysis for the Behavioral Sciences", 2nd edition, 1988, section 2.2.
///
/// # Errors
///
/// As [`welch_t_test`]; [`StatsError::Undefined`] when both samples are constant.
///
/// ```
/// use mlops_core::stats::cohens_d;
///
/// assert!((cohens_d(&[1.0, 3.0], &[3.0, 5.0])? + 2.0_f64.sqrt()).abs() < 1e-12);
/// # Ok::<(), mlops_core::stats::StatsError>(())
/// ```
pub fn cohens_d(x: &[f64], y: &[f64]) -> Result<f64, StatsError> {
    let (x, y) = (Moments::of("x", x)?, Moments::of("y", y)?);
    x.variance().and(y.variance())?;
    let deviation = ((x.squares + y.squares) / (x.count + y.count - 2.0)).sqrt();
    let effect = (x.mean - y.mean) / deviation;
    if deviation > 0.0 && deviation.is_finite() && effect.is_finite() {
        return Ok(effect);
    }
    Err(undefined(format!("the pooled standard deviation is {deviation}: there is no unit for the effect")))
}

/// Count, mean and sum of squared deviations of a sample, in two passes.
pub(super) struct Moments {
    pub(super) count: f64,
    pub(super) mean: f64,
    squares: f64,
}

impl Moments {
    pub(super) fn of(what: &'static str, values: &[f64]) -> Result<Self, StatsError> {
        require_finite(what, values)?;
        let count = values.len() as f64;
        let rough = values.iter().sum::<f64>() / count;
        let mean = rough + values.iter().map(|value| value - rough).sum::<f64>() / count;
        let squares = values.iter().map(|value| (value - mean).powi(2)).sum();
        Ok(Self { count, mean, squares })
    }

    /// The variance with the divisor n - 1.
    pub(super) fn variance(&self) -> Result<f64, StatsError> {
        if self.count < 2.0 {
            return Err(too_few());
        }
        Ok(self.squares / (self.count - 1.0))
    }
}
