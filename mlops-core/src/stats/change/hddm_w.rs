//! The drift detection method of McDiarmid's bound over weighted averages.

use serde::{Deserialize, Serialize};

use super::super::{StatsError, require_open_unit};
use super::{Change, ChangeDetector, require_confidences};

/// Options of [`HddmW`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct HddmWOptions {
    /// Level of false alarms of drift, in `(0, 1)`. Default 0.001.
    pub drift_confidence: f64,
    /// Level of false alarms of a warning, in `(0, 1)`, at least that of drift. Default 0.005.
    pub warning_confidence: f64,
    /// Weight of the newest observation in an average (λ), in `(0, 1)`: smaller looks further back.
    /// Default 0.05.
    pub lambda: f64,
    /// Whether a fall of the mean is a change too. Default `false`: a rise only.
    pub two_sided: bool,
}

impl Default for HddmWOptions {
    fn default() -> Self {
        Self { drift_confidence: 0.001, warning_confidence: 0.005, lambda: 0.05, two_sided: false }
    }
}

impl HddmWOptions {
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

    /// Sets the weight of the newest observation.
    #[must_use]
    pub fn with_lambda(mut self, lambda: f64) -> Self {
        self.lambda = lambda;
        self
    }

    /// Sets whether a fall of the mean is a change too.
    #[must_use]
    pub fn with_two_sided(mut self, two_sided: bool) -> Self {
        self.two_sided = two_sided;
        self
    }
}

/// HDDM-W: weighted means before and after the best cut, by McDiarmid's bound.
///
/// A weighted mean `w ← λx + (1-λ)w` has the sum of squared weights `b ← λ² + (1-λ)² b`, from 1. The cut is
/// where `w + √(b ln(1/α) / 2)` of the whole stream is least. The mean `w₂` after the cut has risen above
/// the mean `w₁` before it, at level `α`, when
///
/// ```text
/// w₂ - w₁ > √( (b₁ + b₂) ln(1/α) / 2 )
/// ```
///
/// Takes errors (1) and correct answers (0), or any observations in `[0, 1]`; others are clamped. O(1) time
/// and memory. Source: Frías-Blanco et al., "Online and non-parametric drift detection methods based on
/// Hoeffding's bounds", IEEE TKDE 27(3), 2015.
///
/// ```
/// use mlops_core::stats::change::{ChangeDetector, HddmW};
///
/// let mut hddm = HddmW::default();
/// let errors = (0..1_000).map(|i| f64::from(i % 10 == 0)).chain((0..500).map(|i| f64::from(i % 2)));
/// let change = errors.into_iter().position(|error| hddm.update(error).is_drift());
/// assert!((1_000..1_100).contains(&change.unwrap_or(0)));
/// ```
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct HddmW {
    options: HddmWOptions,
    all: Weighted,
    rise: Cut,
    fall: Cut,
    restart: bool,
}

/// An exponentially weighted mean with the sum of its squared weights.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Weighted {
    mean: Option<f64>,
    squared_weights: f64,
}

impl Default for Weighted {
    fn default() -> Self {
        Self { mean: None, squared_weights: 1.0 }
    }
}

impl Weighted {
    fn update(&mut self, value: f64, lambda: f64) {
        self.mean = Some(self.mean.map_or(value, |mean| lambda * value + (1.0 - lambda) * mean));
        self.squared_weights = lambda * lambda + (1.0 - lambda).powi(2) * self.squared_weights;
    }

    fn bound(&self, log: f64) -> f64 {
        (self.squared_weights * log / 2.0).sqrt()
    }
}

/// The stream before and after a cut.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
struct Cut {
    at: Option<f64>,
    before: Weighted,
    after: Weighted,
}

impl Cut {
    /// Moves the cut here if `place` is lower than where it lies; else the observation came after it.
    fn update(&mut self, place: f64, all: Weighted, value: f64, lambda: f64) {
        if self.at.is_none_or(|at| place < at) {
            *self = Self { at: Some(place), before: all, after: Weighted::default() };
        } else {
            self.after.update(value, lambda);
        }
    }

    /// Whether the mean after the cut lies significantly above that before it, times `sign`.
    fn crossed(&self, sign: f64, confidence: f64) -> bool {
        let (Some(before), Some(after)) = (self.before.mean, self.after.mean) else { return false };
        let squared_weights = self.before.squared_weights + self.after.squared_weights;
        sign * (after - before) > (squared_weights * (1.0 / confidence).ln() / 2.0).sqrt()
    }
}

impl HddmW {
    /// A detector that has seen nothing.
    ///
    /// # Errors
    ///
    /// [`StatsError::InvalidParameter`] when an option is out of its domain.
    pub fn new(options: HddmWOptions) -> Result<Self, StatsError> {
        require_confidences(options.drift_confidence, options.warning_confidence)?;
        require_open_unit("lambda", options.lambda)?;
        Ok(Self { options, ..Self::default() })
    }

    /// Weighted mean since the start or the last change; `None` before the first observation.
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        self.all.mean
    }
}

impl ChangeDetector for HddmW {
    fn update(&mut self, value: f64) -> Change {
        if !value.is_finite() {
            return Change::None;
        }
        if self.restart {
            self.reset();
        }
        let HddmWOptions { drift_confidence, warning_confidence, lambda, two_sided } = self.options;
        let value = value.clamp(0.0, 1.0);
        self.all.update(value, lambda);
        let mean = self.all.mean.unwrap_or(value);
        let bound = self.all.bound((1.0 / drift_confidence).ln());
        self.rise.update(mean + bound, self.all, value, lambda);
        self.fall.update(bound - mean, self.all, value, lambda);

        let changed = |confidence| {
            self.rise.crossed(1.0, confidence) || two_sided && self.fall.crossed(-1.0, confidence)
        };
        if changed(drift_confidence) {
            self.restart = true;
            Change::Drift
        } else if changed(warning_confidence) {
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
            let mut hddm = HddmW::new(HddmWOptions::default().with_two_sided(two_sided)).unwrap();
            let errors = (0..400).map(|i| f64::from(i % 4 > 0)).chain((0..400).map(|_| 0.0));
            errors.into_iter().any(|error| hddm.update(error).is_drift())
        };
        assert!(falls(true) && !falls(false));
    }

    #[test]
    fn invalid_options_are_errors() {
        let defaults = HddmWOptions::default();
        for options in [
            defaults.with_lambda(0.0),
            defaults.with_lambda(1.0),
            defaults.with_drift_confidence(0.0),
            defaults.with_warning_confidence(1e-4),
        ] {
            assert!(HddmW::new(options).is_err(), "{options:?}");
        }
    }
}
