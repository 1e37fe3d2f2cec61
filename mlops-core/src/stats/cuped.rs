//! Variance reduction by what was known before an experiment.

use super::t_test::Moments;
use super::{
    SampleMoments, StatsError, TTest, require_finite, require_same_length, undefined, welch_t_test,
    welch_t_test_from_moments,
};

/// A metric during the experiment and a covariate from before it, unit by unit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CupedArm<'a> {
    /// The covariate, usually the same metric before the experiment. It must not depend on the treatment.
    pub before: &'a [f64],
    /// The metric, of the same length.
    pub during: &'a [f64],
}

/// Result of [`cuped`], in the unit of the metric.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cuped {
    /// The coefficient of the covariate; zero when the covariate is constant.
    pub theta: f64,
    /// Adjusted mean of the control.
    pub control_mean: f64,
    /// Adjusted mean of the treatment.
    pub treatment_mean: f64,
    /// The share of the metric's pooled variance that the adjustment removes, in `[0, 1]`: the squared
    /// correlation with the covariate.
    pub variance_reduction: f64,
    /// Welch's test of the adjusted metric, treatment minus control.
    pub test: TTest,
}

/// Compares two arms after removing from the metric what a covariate from before the experiment explains.
///
/// `y - θ(x - x̄)` with `θ = cov(x, y)/var(x)` over both arms together, then [`welch_t_test`]. The estimate
/// of the difference stays unbiased, since the covariate cannot depend on the treatment, and its variance
/// falls by the squared correlation. O(n + m).
///
/// Source: Deng, Xu, Kohavi & Walker, "Improving the sensitivity of online controlled experiments by
/// utilizing pre-experiment data", WSDM 2013.
///
/// # Errors
///
/// [`StatsError::LengthMismatch`] when covariate and metric of an arm differ in length;
/// [`StatsError::EmptySample`], [`StatsError::NotANumber`]; [`StatsError::InvalidParameter`] for an infinite
/// value; [`StatsError::Undefined`] for an arm of one unit, a metric without variation, or overflow.
///
/// ```
/// use mlops_core::stats::{CupedArm, cuped};
///
/// let control = CupedArm { before: &[1.0, 2.0, 3.0, 4.0], during: &[1.1, 2.0, 2.9, 4.1] };
/// let treatment = CupedArm { before: &[4.0, 5.0, 6.0, 7.0], during: &[4.5, 5.6, 6.4, 7.6] };
/// let result = cuped(control, treatment)?;
/// assert!(result.variance_reduction > 0.99);
/// assert!((result.test.difference - 0.178_571).abs() < 1e-6);
/// # Ok::<(), mlops_core::stats::StatsError>(())
/// ```
pub fn cuped(control: CupedArm<'_>, treatment: CupedArm<'_>) -> Result<Cuped, StatsError> {
    require_same_length("control.during", control.before.len(), control.during.len())?;
    require_same_length("treatment.during", treatment.before.len(), treatment.during.len())?;
    require_finite("control.before", control.before)?;
    require_finite("control.during", control.during)?;
    require_finite("treatment.before", treatment.before)?;
    require_finite("treatment.during", treatment.during)?;

    let before = [control.before, treatment.before].concat();
    let during = [control.during, treatment.during].concat();
    let (x, y) = (Moments::of("before", &before)?, Moments::of("during", &during)?);
    let products = |(a, b): (&f64, &f64)| (a - x.mean) * (b - y.mean);
    let covariance = before.iter().zip(&during).map(products).sum::<f64>() / (x.count - 1.0);
    let (x_variance, y_variance) = (x.variance()?, y.variance()?);
    let constant = before.iter().all(|&value| value == before[0]);
    let theta = if constant { 0.0 } else { covariance / x_variance };
    if !theta.is_finite() {
        return Err(undefined("the variance of the covariate overflows or vanishes: rescale it"));
    }

    let adjusted = |arm: CupedArm<'_>| -> Vec<f64> {
        arm.during.iter().zip(arm.before).map(|(y, before)| y - theta * (before - x.mean)).collect()
    };
    let (control, treatment) = (adjusted(control), adjusted(treatment));
    let test = welch_t_test(&treatment, &control)?;
    let variance_reduction = if constant { 0.0 } else { theta * (covariance / y_variance) };
    Ok(Cuped {
        theta,
        control_mean: Moments::of("control", &control)?.mean,
        treatment_mean: Moments::of("treatment", &treatment)?.mean,
        variance_reduction: if y_variance > 0.0 { variance_reduction.clamp(0.0, 1.0) } else { 0.0 },
        test,
    })
}

/// What is left of an arm of [`cuped`] whose values are gone.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PairedMoments {
    /// The covariate.
    pub before: SampleMoments,
    /// The metric, of as many units.
    pub during: SampleMoments,
    /// Their covariance, with the divisor `count - 1`.
    pub covariance: f64,
}

impl PairedMoments {
    fn degrees_of_freedom(&self) -> f64 {
        self.during.count as f64 - 1.0
    }

    /// The metric after the adjustment `y - θ(x - centre)`.
    fn adjusted(&self, theta: f64, centre: f64) -> SampleMoments {
        let Self { before, during, covariance } = self;
        let variance = during.variance - theta * (2.0 * covariance - theta * before.variance);
        SampleMoments {
            count: during.count,
            mean: during.mean - theta * (before.mean - centre),
            variance: variance.max(0.0),
        }
    }
}

/// [`cuped`] of arms of which only the moments are known.
///
/// The same numbers up to rounding, which grows as covariate and metric become one line.
///
/// # Errors
///
/// [`StatsError::LengthMismatch`] when covariate and metric of an arm differ in their count; as
/// [`welch_t_test_from_moments`] otherwise, and [`StatsError::Undefined`] as [`cuped`].
///
/// ```
/// use mlops_core::stats::{PairedMoments, SampleMoments, cuped_from_moments};
///
/// let arm = |before: f64, during: f64| PairedMoments {
///     before: SampleMoments { count: 100, mean: before, variance: 4.0 },
///     during: SampleMoments { count: 100, mean: during, variance: 4.0 },
///     covariance: 3.2,
/// };
/// let result = cuped_from_moments(arm(10.0, 10.0), arm(10.5, 10.9))?;
/// assert!((result.theta - 0.8155).abs() < 1e-4); // of both arms together, so the difference of the arms counts too
/// assert!((result.test.difference - 0.4922).abs() < 1e-4); // 0.9, of which 0.4078 was there before
/// # Ok::<(), mlops_core::stats::StatsError>(())
/// ```
pub fn cuped_from_moments(control: PairedMoments, treatment: PairedMoments) -> Result<Cuped, StatsError> {
    for (what, arm) in [("control.during", control), ("treatment.during", treatment)] {
        require_same_length(what, arm.before.count as usize, arm.during.count as usize)?;
    }
    // Refuses what is no number, and arms of one unit.
    welch_t_test_from_moments(treatment.during, control.during)?;

    let (n, m) = (control.during.count as f64, treatment.during.count as f64);
    let (x_shift, y_shift) =
        (treatment.before.mean - control.before.mean, treatment.during.mean - control.during.mean);
    // The products about the mean of all: those about the mean of each arm, and those between the arms.
    let pooled = |of: fn(&PairedMoments) -> f64, between: f64| {
        let within =
            control.degrees_of_freedom() * of(&control) + treatment.degrees_of_freedom() * of(&treatment);
        (within + n / (n + m) * m * between) / (n + m - 1.0)
    };
    let covariance = pooled(|arm| arm.covariance, x_shift * y_shift);
    let x_variance = pooled(|arm| arm.before.variance, x_shift * x_shift);
    let y_variance = pooled(|arm| arm.during.variance, y_shift * y_shift);
    let theta = if x_variance == 0.0 { 0.0 } else { covariance / x_variance };
    if !theta.is_finite() {
        return Err(undefined("the variance of the covariate overflows or vanishes: rescale it"));
    }

    let centre = n / (n + m) * control.before.mean + m / (n + m) * treatment.before.mean;
    let (control, treatment) = (control.adjusted(theta, centre), treatment.adjusted(theta, centre));
    let variance_reduction = if y_variance > 0.0 { theta * (covariance / y_variance) } else { 0.0 };
    Ok(Cuped {
        theta,
        control_mean: control.mean,
        treatment_mean: treatment.mean,
        variance_reduction: variance_reduction.clamp(0.0, 1.0),
        test: welch_t_test_from_moments(treatment, control)?,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn moments(values: &[f64]) -> SampleMoments {
        let moments = Moments::of("values", values).unwrap();
        SampleMoments {
            count: values.len() as u64,
            mean: moments.mean,
            variance: moments.variance().unwrap(),
        }
    }

    fn paired(arm: CupedArm<'_>) -> PairedMoments {
        let (before, during) = (moments(arm.before), moments(arm.during));
        let products = arm.before.iter().zip(arm.during);
        let products = products.map(|(x, y)| (x - before.mean) * (y - during.mean)).sum::<f64>();
        PairedMoments { before, during, covariance: products / (before.count as f64 - 1.0) }
    }

    #[test]
    fn moments_say_what_the_values_say() {
        let before: Vec<f64> = (0..90).map(|i| f64::from(i * 37 % 91)).collect();
        let during: Vec<f64> = before.iter().enumerate().map(|(i, x)| 0.7 * x + (i % 13) as f64).collect();
        let (control, treatment) = (
            CupedArm { before: &before[..50], during: &during[..50] },
            CupedArm { before: &before[50..], during: &during[50..] },
        );
        let values = cuped(control, treatment).unwrap();
        let moments = cuped_from_moments(paired(control), paired(treatment)).unwrap();
        for (from_values, from_moments) in [
            (values.theta, moments.theta),
            (values.control_mean, moments.control_mean),
            (values.treatment_mean, moments.treatment_mean),
            (values.variance_reduction, moments.variance_reduction),
            (values.test.difference, moments.test.difference),
            (values.test.standard_error, moments.test.standard_error),
            (values.test.dof, moments.test.dof),
        ] {
            assert!((from_values - from_moments).abs() < 1e-10 * from_values.abs(), "{values:?} {moments:?}");
        }
        assert!(values.variance_reduction > 0.9);
    }

    #[test]
    fn bad_moments_are_refused() {
        let sound = SampleMoments { count: 10, mean: 1.0, variance: 1.0 };
        let arm = |before, during| PairedMoments { before, during, covariance: 0.5 };
        assert!(cuped_from_moments(arm(sound, sound), arm(sound, sound)).is_ok());
        for bad in [
            SampleMoments { count: 1, ..sound },
            SampleMoments { mean: f64::NAN, ..sound },
            SampleMoments { variance: -1.0, ..sound },
            SampleMoments { variance: f64::INFINITY, ..sound },
        ] {
            assert!(cuped_from_moments(arm(sound, sound), arm(sound, bad)).is_err(), "{bad:?}");
        }
        let nothing_before = SampleMoments { variance: 0.0, ..sound };
        let flat = PairedMoments { covariance: 0.0, ..arm(nothing_before, sound) };
        assert_eq!(cuped_from_moments(flat, flat).unwrap().theta, 0.0);
    }
}
