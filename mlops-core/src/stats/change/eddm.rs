//! The early drift detection method.

use serde::{Deserialize, Serialize};

use super::super::{StatsError, invalid};
use super::{Change, ChangeDetector, RunningMean};

/// Options of [`Eddm`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct EddmOptions {
    /// Detects nothing before so many errors. Default 30.
    pub warm_start: u32,
    /// Share of the largest distance below which to warn, in `(0, 1]`. Default 0.95.
    pub alpha: f64,
    /// Share of the largest distance below which it is drift, in `(0, alpha]`. Default 0.9.
    pub beta: f64,
}

impl Default for EddmOptions {
    fn default() -> Self {
        Self { warm_start: 30, alpha: 0.95, beta: 0.9 }
    }
}

impl EddmOptions {
    /// Sets how many errors come before any detection.
    #[must_use]
    pub fn with_warm_start(mut self, warm_start: u32) -> Self {
        self.warm_start = warm_start;
        self
    }

    /// Sets the share of the largest distance below which to warn.
    #[must_use]
    pub fn with_alpha(mut self, alpha: f64) -> Self {
        self.alpha = alpha;
        self
    }

    /// Sets the share of the largest distance below which it is drift.
    #[must_use]
    pub fn with_beta(mut self, beta: f64) -> Self {
        self.beta = beta;
        self
    }
}

/// EDDM: errors that come closer together than they did.
///
/// With the mean `p` of the distance between errors, counted in observations, and its standard deviation
/// `s`, remembers the largest `p + 2s`, and compares: `(p + 2s) / max < α` is a warning, `< β` is drift. An
/// observation of at least 0.5 is an error. Decides at errors only; a warning lasts until the next error.
/// O(1) time and memory. The keenest of the detectors here, and the one with the most false alarms.
///
/// Source: Baena-García, del Campo-Ávila, Fidalgo, Bifet, Gavaldà & Morales-Bueno, "Early drift detection
/// method", IWKDDS 2006.
///
/// ```
/// use mlops_core::stats::change::{ChangeDetector, Eddm};
///
/// let mut eddm = Eddm::default();
/// let is_error = |i: u64| i * i * 7_919 % 1_009 < if i < 1_000 { 100 } else { 500 };
/// let changes: Vec<u64> = (0..1_500).filter(|&i| eddm.update(f64::from(is_error(i))).is_drift()).collect();
/// assert!(changes.iter().any(|change| (1_000..1_100).contains(change)), "{changes:?}");
/// ```
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Eddm {
    options: EddmOptions,
    observations: u64,
    last_error: u64,
    distance: RunningMean,
    /// Sum of squared deviations of the distances from their mean.
    deviation: f64,
    largest: Option<f64>,
    warning: bool,
    restart: bool,
}

impl Eddm {
    /// A detector that has seen nothing.
    ///
    /// # Errors
    ///
    /// [`StatsError::InvalidParameter`] when an option is out of its domain.
    pub fn new(options: EddmOptions) -> Result<Self, StatsError> {
        let EddmOptions { alpha, beta, .. } = options;
        if !(alpha > 0.0 && alpha <= 1.0) {
            return Err(invalid("alpha", format!("{alpha} is not in (0, 1]")));
        }
        if !(beta > 0.0 && beta <= alpha) {
            return Err(invalid("beta", format!("{beta} is not in (0, alpha = {alpha}]")));
        }
        Ok(Self { options, ..Self::default() })
    }

    /// Mean distance between errors, in observations, since the start or the last change; `None` before the
    /// first error.
    #[must_use]
    pub fn mean_distance(&self) -> Option<f64> {
        (self.distance.n > 0.0).then_some(self.distance.mean)
    }

    /// Whether a warning holds. One that held before a detection still does at it.
    #[must_use]
    pub fn is_warning(&self) -> bool {
        self.warning
    }

    fn observe_error(&mut self) {
        let distance = (self.observations - self.last_error) as f64;
        self.last_error = self.observations;
        let before = self.distance.mean;
        self.distance.update(distance);
        self.deviation += (distance - before) * (distance - self.distance.mean);

        let warm_start = self.options.warm_start;
        if self.observations <= u64::from(warm_start) {
            return;
        }
        let errors = self.distance.n;
        let variance = if errors > 1.0 { self.deviation / (errors - 1.0) } else { 0.0 };
        let spread = self.distance.mean + 2.0 * variance.max(0.0).sqrt();
        match self.largest {
            Some(largest) if spread <= largest => {
                if errors > f64::from(warm_start) {
                    let level = spread / largest;
                    self.restart = level < self.options.beta;
                    if !self.restart {
                        self.warning = level < self.options.alpha;
                    }
                }
            }
            _ => self.largest = Some(spread),
        }
    }
}

impl ChangeDetector for Eddm {
    fn update(&mut self, value: f64) -> Change {
        if !value.is_finite() {
            return Change::None;
        }
        if self.restart {
            self.reset();
        }
        self.observations += 1;
        if value >= 0.5 {
            self.observe_error();
        }
        match (self.restart, self.warning) {
            (true, _) => Change::Drift,
            (false, true) => Change::Warning,
            (false, false) => Change::None,
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
        let defaults = EddmOptions::default();
        for options in [
            defaults.with_alpha(0.0),
            defaults.with_alpha(1.5),
            defaults.with_beta(0.96),
            defaults.with_beta(f64::NAN),
        ] {
            assert!(Eddm::new(options).is_err(), "{options:?}");
        }
    }

    #[test]
    fn distances_are_averaged() {
        let mut eddm = Eddm::default();
        assert_eq!(eddm.mean_distance(), None);
        for error in [0.0, 1.0, 0.0, 0.0, 0.0, 1.0] {
            eddm.update(error);
        }
        assert_eq!(eddm.mean_distance(), Some(3.0));
    }
}
