//! The drift detection method.

use serde::{Deserialize, Serialize};

use super::super::{StatsError, invalid, require_positive};
use super::{Change, ChangeDetector, RunningMean};

/// Options of [`Ddm`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct DdmOptions {
    /// Detects nothing in the first so many observations. Default 30.
    pub warm_start: u32,
    /// Standard deviations above the best error rate from which on to warn, positive. Default 2.
    pub warning_threshold: f64,
    /// Standard deviations above the best error rate that are drift, at least those of a warning. Default 3.
    pub drift_threshold: f64,
}

impl Default for DdmOptions {
    fn default() -> Self {
        Self { warm_start: 30, warning_threshold: 2.0, drift_threshold: 3.0 }
    }
}

impl DdmOptions {
    /// Sets how many observations come before any detection.
    #[must_use]
    pub fn with_warm_start(mut self, warm_start: u32) -> Self {
        self.warm_start = warm_start;
        self
    }

    /// Sets the standard deviations from which on to warn.
    #[must_use]
    pub fn with_warning_threshold(mut self, warning_threshold: f64) -> Self {
        self.warning_threshold = warning_threshold;
        self
    }

    /// Sets the standard deviations that are drift.
    #[must_use]
    pub fn with_drift_threshold(mut self, drift_threshold: f64) -> Self {
        self.drift_threshold = drift_threshold;
        self
    }
}

/// DDM: an error rate that rises significantly above the best so far.
///
/// With the error rate `p` of `n` observations and its standard deviation `s = √(p(1-p)/n)`, remembers the
/// pair of the least `p + s`, and compares: `p + s > p_min + 2 s_min` is a warning, `> p_min + 3 s_min` is
/// drift. Takes errors (1) and correct answers (0); values between count as errors in part, others are
/// clamped. O(1) time and memory. It notices a rise of the rate only, and slowly after a long calm.
///
/// Source: Gama, Medas, Castillo & Rodrigues, "Learning with drift detection", SBIA 2004.
///
/// ```
/// use mlops_core::stats::change::{ChangeDetector, Ddm};
///
/// let mut ddm = Ddm::default();
/// let errors = (0..1_000).map(|i| f64::from(i % 10 == 0)).chain((0..500).map(|i| f64::from(i % 2)));
/// let change = errors.into_iter().position(|error| ddm.update(error).is_drift());
/// assert!((1_000..1_200).contains(&change.unwrap_or(0)));
/// ```
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Ddm {
    options: DdmOptions,
    error_rate: RunningMean,
    /// Error rate and standard deviation of the least sum.
    best: Option<(f64, f64)>,
    restart: bool,
}

impl Ddm {
    /// A detector that has seen nothing.
    ///
    /// # Errors
    ///
    /// [`StatsError::InvalidParameter`] when an option is out of its domain.
    pub fn new(options: DdmOptions) -> Result<Self, StatsError> {
        require_positive("warning_threshold", options.warning_threshold)?;
        require_positive("drift_threshold", options.drift_threshold)?;
        if options.drift_threshold < options.warning_threshold {
            return Err(invalid(
                "drift_threshold",
                format!(
                    "{} is below the warning threshold {}: a warning comes before drift",
                    options.drift_threshold, options.warning_threshold
                ),
            ));
        }
        Ok(Self { options, ..Self::default() })
    }

    /// Error rate since the start or the last change, in `[0, 1]`; `None` before the first observation.
    #[must_use]
    pub fn error_rate(&self) -> Option<f64> {
        (self.error_rate.n > 0.0).then_some(self.error_rate.mean)
    }
}

impl ChangeDetector for Ddm {
    fn update(&mut self, value: f64) -> Change {
        if !value.is_finite() {
            return Change::None;
        }
        if self.restart {
            self.reset();
        }
        self.error_rate.update(value.clamp(0.0, 1.0));
        let RunningMean { n, mean: rate } = self.error_rate;
        if n <= f64::from(self.options.warm_start) {
            return Change::None;
        }
        let deviation = (rate * (1.0 - rate) / n).max(0.0).sqrt();
        let (best_rate, best_deviation) = match self.best {
            Some((best_rate, best_deviation)) if best_rate + best_deviation < rate + deviation => {
                (best_rate, best_deviation)
            }
            _ => (rate, deviation),
        };
        self.best = Some((best_rate, best_deviation));
        let beyond = |threshold: f64| rate + deviation > best_rate + threshold * best_deviation;
        if beyond(self.options.drift_threshold) {
            self.restart = true;
            Change::Drift
        } else if beyond(self.options.warning_threshold) {
            Change::Warning
        } else {
            Change::None
        }
    }

    fn reset(&mut self) {
        *self = Self { options: self.options, ..Self::default() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_options_are_errors() {
        let defaults = DdmOptions::default();
        for options in [
            defaults.with_warning_threshold(0.0),
            defaults.with_drift_threshold(f64::INFINITY),
            defaults.with_drift_threshold(1.0),
        ] {
            assert!(Ddm::new(options).is_err(), "{options:?}");
        }
    }

    #[test]
    fn a_falling_error_rate_is_no_drift() {
        let mut ddm = Ddm::default();
        let errors = (0..500).map(|i| f64::from(i % 2)).chain((0..500).map(|i| f64::from(i % 20 == 0)));
        assert!(errors.into_iter().all(|error| ddm.update(error) == Change::None));
        assert!(ddm.error_rate().is_some_and(|rate| rate < 0.3));
    }
}
