//! The drift detection method of Hoeffding's bound over averages.

use serde::{Deserialize, Serialize};

use super::super::StatsError;
use super::{Change, ChangeDetector, RunningMean, require_confidences};

/// Options of [`HddmA`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct HddmAOptions {
    /// Level of false alarms of drift, in `(0, 1)`. Default 0.001.
    pub drift_confidence: f64,
    /// Level of false alarms of a warning, in `(0, 1)`, at least that of drift. Default 0.005.
    pub warning_confidence: f64,
    /// Whether a fall of the mean is a change too. Default `false`: a rise only.
    pub two_sided: bool,
}

impl Default for HddmAOptions {
    fn default() -> Self {
        Self { drift_confidence: 0.001, warning_confidence: 0.005, two_sided: false }
    }
}

impl HddmAOptions {
    /// Sets the level of false alarms of drift.
    #[must_use]
    pub fn with_drift_confidence(mut self, drift_confidence: f64) -> Self {
        self.drift_confidence = drift_confidence;
        self
    }

    /// Sets the level of false alarms of a warning.
    #[must_use]
    pub fn with_warning_confidence(mut self, warning_confidence: f64) -> Self {
        self.warning_confidence = warning_confidence;
        self
    }

    /// Sets whether a fall of the mean is a change too.
    #[must_use]
    pub fn with_two_sided(mut self, two_sided: bool) -> Self {
        self.two_sided = two_sided;
        self
    }
}

/// HDDM-A: the mean of all against the mean up to the best cut, by Hoeffding's bound.
///
/// The cut is the prefix of `n_c` observations with the least `μ_c + √(ln(1/α) / 2n_c)`. The mean `μ` of
/// all `n` has risen at level `α` when
///
/// ```text
/// μ - μ_c ≥ √( (n - n_c) / (2 n n_c) · ln(2/α) )
/// ```
///
/// Takes errors (1) and correct answers (0), or any observations in `[0, 1]`; others are clamped. O(1) time
/// and memory. Source: Frías-Blanco et al., "Online and non-parametric drift detection methods based on
/// Hoeffding's bounds", IEEE TKDE 27(3), 2015.
///
/// ```
/// use mlops_core::stats::change::{ChangeDetector, HddmA};
///
/// let mut hddm = HddmA::default();
/// let errors = (0..1_000).map(|i| f64::from(i % 10 == 0)).chain((0..500).map(|i| f64::from(i % 2)));
/// let change = errors.into_iter().position(|error| hddm.update(error).is_drift());
/// assert!((1_000..1_100).contains(&change.unwrap_or(0)));
/// ```
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct HddmA {
    options: HddmAOptions,
    all: RunningMean,
    lowest: RunningMean,
    highest: RunningMean,
    restart: bool,
}

impl HddmA {
    /// A detector that has seen nothing.
    ///
    /// # Errors
    ///
    /// [`StatsError::InvalidParameter`] when an option is out of its domain.
    pub fn new(options: HddmAOptions) -> Result<Self, StatsError> {
        require_confidences(options.drift_confidence, options.warning_confidence)?;
        Ok(Self { options, ..Self::default() })
    }

    /// Mean since the start or the last change; `None` before the first observation.
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        (self.all.n > 0.0).then_some(self.all.mean)
    }

    fn move_cuts(&mut self) {
        let log = (1.0 / self.options.drift_confidence).ln();
        let bound = |n: f64| (1.0 / (2.0 * n) * log).sqrt();
        let of_all = bound(self.all.n);
        if self.lowest.n == 0.0 || self.lowest.mean + bound(self.lowest.n) >= self.all.mean + of_all {
            self.lowest = self.all;
        }
        if self.highest.n == 0.0 || self.highest.mean - bound(self.highest.n) <= self.all.mean - of_all {
            self.highest = self.all;
        }
    }

    /// Whether `difference` of all observations from the prefix `cut` is significant.
    fn significant(&self, cut: RunningMean, difference: f64, confidence: f64) -> bool {
        if cut.n == self.all.n {
            return false;
        }
        let inverse_size = (self.all.n - cut.n) / cut.n * (1.0 / self.all.n);
        difference >= (inverse_size / 2.0 * (2.0 / confidence).ln()).sqrt()
    }
}

impl ChangeDetector for HddmA {
    fn update(&mut self, value: f64) -> Change {
        if !value.is_finite() {
            return Change::None;
        }
        if self.restart {
            self.reset();
        }
        self.all.update(value.clamp(0.0, 1.0));
        self.move_cuts();
        let rise = self.all.mean - self.lowest.mean;
        let fall = self.highest.mean - self.all.mean;
        let changed = |confidence| {
            self.significant(self.lowest, rise, confidence)
                || self.options.two_sided && self.significant(self.highest, fall, confidence)
        };
        if changed(self.options.drift_confidence) {
            self.restart = true;
            Change::Drift
        } else if changed(self.options.warning_confidence) {
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
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_fall_is_a_change_of_two_sides_only() {
        let falls = |two_sided| {
            let mut hddm = HddmA::new(HddmAOptions::default().with_two_sided(two_sided)).unwrap();
            let errors = (0..400).map(|i| f64::from(i % 2)).chain((0..400).map(|_| 0.0));
            errors.into_iter().any(|error| hddm.update(error).is_drift())
        };
        assert!(falls(true) && !falls(false));
    }

    #[test]
    fn invalid_options_are_errors() {
        let defaults = HddmAOptions::default();
        for options in [
            defaults.with_drift_confidence(0.0),
            defaults.with_warning_confidence(1.0),
            defaults.with_warning_confidence(1e-4),
        ] {
            assert!(HddmA::new(options).is_err(), "{options:?}");
        }
    }
}
