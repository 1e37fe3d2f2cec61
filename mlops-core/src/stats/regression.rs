//! Metrics of models that predict numbers.

use super::{
    StatsError, quantile, require_finite, require_open_unit, require_same_length, sorted, undefined,
};

/// The errors of predictions, `predicted - actual`, in the unit of what is predicted.
///
/// ```
/// use mlops_core::stats::RegressionErrors;
///
/// let errors = RegressionErrors::new(&[10.0, 20.0, 30.0], &[12.0, 20.0, 29.0])?;
/// assert_eq!(errors.mean_absolute(), 1.0);
/// assert!((errors.r2()? - 0.975).abs() < 1e-12);
/// # Ok::<(), mlops_core::stats::StatsError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct RegressionErrors {
    errors: Vec<f64>,
    absolute_percentage: f64,
    /// Sum of squared deviations of the actual values from their mean.
    deviation: f64,
}

impl RegressionErrors {
    /// Compares predictions with what happened.
    ///
    /// # Errors
    ///
    /// [`StatsError::EmptySample`], [`StatsError::LengthMismatch`], [`StatsError::NotANumber`], and
    /// [`StatsError::InvalidParameter`] for an infinite value.
    pub fn new(actual: &[f64], predicted: &[f64]) -> Result<Self, StatsError> {
        require_same_length("predicted", actual.len(), predicted.len())?;
        require_finite("actual", actual)?;
        require_finite("predicted", predicted)?;
        let errors: Vec<f64> =
            actual.iter().zip(predicted).map(|(actual, predicted)| predicted - actual).collect();
        let n = actual.len() as f64;
        let relative =
            errors.iter().zip(actual).map(|(error, actual)| error.abs() / actual.abs().max(f64::EPSILON));
        let mean = actual.iter().sum::<f64>() / n;
        let deviation = actual.iter().map(|actual| (actual - mean).powi(2)).sum();
        let absolute_percentage = relative.sum::<f64>() / n;
        Ok(Self { errors, absolute_percentage, deviation })
    }

    /// The errors, one by one.
    #[must_use]
    pub fn errors(&self) -> &[f64] {
        &self.errors
    }

    fn mean(&self, of: impl Fn(f64) -> f64) -> f64 {
        self.errors.iter().map(|&error| of(error)).sum::<f64>() / self.errors.len() as f64
    }

    /// Mean error (bias): positive when predictions are too high.
    #[must_use]
    pub fn bias(&self) -> f64 {
        self.mean(|error| error)
    }

    /// Mean absolute error.
    #[must_use]
    pub fn mean_absolute(&self) -> f64 {
        self.mean(f64::abs)
    }

    /// Mean squared error, in the squared unit.
    #[must_use]
    pub fn mean_squared(&self) -> f64 {
        self.mean(|error| error * error)
    }

    /// Root of the mean squared error.
    #[must_use]
    pub fn root_mean_squared(&self) -> f64 {
        self.mean_squared().sqrt()
    }

    /// Median absolute error.
    ///
    /// # Errors
    ///
    /// [`StatsError::Undefined`] when the errors are too large to subtract.
    pub fn median_absolute(&self) -> Result<f64, StatsError> {
        let absolute = self.errors.iter().map(|error| error.abs()).collect();
        quantile(&sorted(absolute), 0.5)
    }

    /// Largest absolute error.
    #[must_use]
    pub fn largest_absolute(&self) -> f64 {
        self.errors.iter().map(|error| error.abs()).fold(0.0, f64::max)
    }

    /// Mean of `|error| / |actual|` (MAPE): 0.1 is ten percent.
    ///
    /// An actual value of 0 is taken as 2⁻⁵², which makes the figure huge: do not use it where zeros occur.
    #[must_use]
    pub fn mean_absolute_percentage(&self) -> f64 {
        self.absolute_percentage
    }

    /// Coefficient of determination: the share of variance that is explained, at most 1; 0 is no better
    /// than the mean, and less is worse.
    ///
    /// `R² = 1 - Σ(y - ŷ)² / Σ(y - ȳ)²`. For a constant `y`, 1 when it is predicted without error, else 0, as
    /// in scikit-learn.
    ///
    /// # Errors
    ///
    /// [`StatsError::Undefined`] for one observation.
    pub fn r2(&self) -> Result<f64, StatsError> {
        if self.errors.len() < 2 {
            return Err(undefined("one observation has no variance: at least two are needed"));
        }
        let residual: f64 = self.errors.iter().map(|error| error * error).sum();
        Ok(match (residual == 0.0, self.deviation == 0.0) {
            (true, true) => 1.0,
            (false, true) => 0.0,
            _ => 1.0 - residual / self.deviation,
        })
    }

    /// Mean pinball loss of predictions of the given quantile, in `(0, 1)`: 0 is best.
    ///
    /// An actual value above the prediction costs `quantile` for each unit, one below `1 - quantile`. At 0.5
    /// it is half the mean absolute error. Source: Koenker & Bassett, Econometrica 46(1), 1978.
    ///
    /// # Errors
    ///
    /// [`StatsError::InvalidParameter`] when `quantile` is not in `(0, 1)`.
    pub fn pinball(&self, quantile: f64) -> Result<f64, StatsError> {
        require_open_unit("quantile", quantile)?;
        Ok(self.mean(|error| if error < 0.0 { quantile * -error } else { (1.0 - quantile) * error }))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn errors_are_ordered(sample in vec((-1e3_f64..1e3, -1e3_f64..1e3), 1..60)) {
            let (actual, predicted): (Vec<f64>, Vec<f64>) = sample.into_iter().unzip();
            let errors = RegressionErrors::new(&actual, &predicted).unwrap();
            let slack = 1e-9;
            prop_assert!(errors.bias().abs() <= errors.mean_absolute() + slack);
            prop_assert!(errors.mean_absolute() <= errors.root_mean_squared() + slack);
            prop_assert!(errors.root_mean_squared() <= errors.largest_absolute() + slack);
            prop_assert!(errors.median_absolute().unwrap() <= errors.largest_absolute());
            prop_assert!((errors.pinball(0.5).unwrap() * 2.0 - errors.mean_absolute()).abs() < slack);
            if let Ok(r2) = errors.r2() {
                prop_assert!(r2 <= 1.0);
            }
        }

        #[test]
        fn the_mean_explains_nothing(actual in vec(-1e3_f64..1e3, 2..60)) {
            let mean = actual.iter().sum::<f64>() / actual.len() as f64;
            let errors = RegressionErrors::new(&actual, &vec![mean; actual.len()]).unwrap();
            if errors.deviation > 1e-9 {
                prop_assert!(errors.r2().unwrap().abs() < 1e-9);
            }
        }
    }

    #[test]
    fn bad_input_is_an_error() {
        assert!(matches!(RegressionErrors::new(&[], &[]), Err(StatsError::EmptySample { .. })));
        assert!(matches!(RegressionErrors::new(&[1.0], &[]), Err(StatsError::LengthMismatch { .. })));
        assert!(matches!(RegressionErrors::new(&[f64::NAN], &[1.0]), Err(StatsError::NotANumber { .. })));
        let infinite = RegressionErrors::new(&[f64::INFINITY], &[1.0]);
        assert!(matches!(infinite, Err(StatsError::InvalidParameter { .. })));
        let one = RegressionErrors::new(&[1.0], &[2.0]).unwrap();
        assert!(matches!(one.r2(), Err(StatsError::Undefined { .. })));
        assert!(one.pinball(1.0).is_err());
    }
}
