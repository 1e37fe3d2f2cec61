//! The Page-Hinkley test.

use serde::{Deserialize, Serialize};

use super::super::{StatsError, invalid, require_positive};
use super::{Change, ChangeDetector, RunningMean};

/// Which changes of the mean [`PageHinkley`] looks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PageHinkleyMode {
    /// Rise and fall.
    #[default]
    Both,
    /// Rise only.
    Up,
    /// Fall only.
    Down,
}

/// Options of [`PageHinkley`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PageHinkleyOptions {
    /// Detects nothing before so many observations. Default 30.
    pub min_instances: u32,
    /// Deviation from the mean that is tolerated, at least 0, in the unit of the observations: about half
    /// the change that matters. Default 0.005.
    pub delta: f64,
    /// Accumulated deviation that is a change (λ), positive, in the unit of the observations. Default 50.
    pub threshold: f64,
    /// Factor by which what was accumulated fades with each observation, in `(0, 1]`. Default 0.9999.
    pub alpha: f64,
    /// Which changes to look for. Default [`PageHinkleyMode::Both`].
    pub mode: PageHinkleyMode,
}

impl Default for PageHinkleyOptions {
    fn default() -> Self {
        Self {
            min_instances: 30,
            delta: 0.005,
            threshold: 50.0,
            alpha: 1.0 - 0.0001,
            mode: PageHinkleyMode::Both,
        }
    }
}

impl PageHinkleyOptions {
    /// Sets how many observations come before any detection.
    #[must_use]
    pub fn with_min_instances(mut self, min_instances: u32) -> Self {
        self.min_instances = min_instances;
        self
    }

    /// Sets the tolerated deviation from the mean.
    #[must_use]
    pub fn with_delta(mut self, delta: f64) -> Self {
        self.delta = delta;
        self
    }

    /// Sets the accumulated deviation that is a change.
    #[must_use]
    pub fn with_threshold(mut self, threshold: f64) -> Self {
        self.threshold = threshold;
        self
    }

    /// Sets the factor of forgetting.
    #[must_use]
    pub fn with_alpha(mut self, alpha: f64) -> Self {
        self.alpha = alpha;
        self
    }

    /// Sets which changes to look for.
    #[must_use]
    pub fn with_mode(mut self, mode: PageHinkleyMode) -> Self {
        self.mode = mode;
        self
    }
}

/// The Page-Hinkley test: accumulates what lies above (below) the running mean.
///
/// With the mean `x̄` of all observations, the new one included:
///
/// ```text
/// S⁺ ← α S⁺ + (x - x̄) - δ      rise:  S⁺ - min S⁺ > λ
/// S⁻ ← α S⁻ + (x - x̄) + δ      fall:  max S⁻ - S⁻ > λ
/// ```
///
/// The maximum of `S⁻` starts at -1, as in river. Takes O(1) time and memory. Sources: Page, "Continuous
/// inspection schemes", Biometrika 41, 1954; Sebastião & Fernandes, "Supporting the Page-Hinkley test with
/// empirical mode decomposition for change detection", ISMIS 2017.
///
/// ```
/// use mlops_core::stats::change::{ChangeDetector, PageHinkley, PageHinkleyOptions};
///
/// let options = PageHinkleyOptions::default().with_threshold(10.0).with_delta(0.25);
/// let mut test = PageHinkley::new(options)?;
/// let latencies = (0..200).map(|i| if i < 100 { 1.0 } else { 2.0 });
/// let change = latencies.into_iter().position(|latency| test.update(latency).is_drift());
/// assert!((110..120).contains(&change.unwrap_or(0)), "{change:?}");
/// # Ok::<(), mlops_core::stats::StatsError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PageHinkley {
    options: PageHinkleyOptions,
    mean: RunningMean,
    rise: f64,
    least_rise: Option<f64>,
    fall: f64,
    most_fall: f64,
    restart: bool,
}

impl Default for PageHinkley {
    fn default() -> Self {
        Self::with_valid(PageHinkleyOptions::default())
    }
}

impl PageHinkley {
    /// A test that has seen nothing.
    ///
    /// # Errors
    ///
    /// [`StatsError::InvalidParameter`] when an option is out of its domain.
    pub fn new(options: PageHinkleyOptions) -> Result<Self, StatsError> {
        if !(options.delta >= 0.0 && options.delta.is_finite()) {
            return Err(invalid("delta", format!("{} is not a non-negative finite number", options.delta)));
        }
        require_positive("threshold", options.threshold)?;
        if !(options.alpha > 0.0 && options.alpha <= 1.0) {
            return Err(invalid("alpha", format!("{} is not in (0, 1]", options.alpha)));
        }
        Ok(Self::with_valid(options))
    }

    fn with_valid(options: PageHinkleyOptions) -> Self {
        Self {
            options,
            mean: RunningMean::default(),
            rise: 0.0,
            least_rise: None,
            fall: 0.0,
            most_fall: -1.0,
            restart: false,
        }
    }

    /// Mean of the observations since the start or the last change; `None` before the first.
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        (self.mean.n > 0.0).then_some(self.mean.mean)
    }
}

impl ChangeDetector for PageHinkley {
    fn update(&mut self, value: f64) -> Change {
        if !value.is_finite() {
            return Change::None;
        }
        if self.restart {
            self.reset();
        }
        let PageHinkleyOptions { min_instances, delta, threshold, alpha, mode } = self.options;
        self.mean.update(value);
        let deviation = value - self.mean.mean;
        self.rise = alpha * self.rise + deviation - delta;
        self.fall = alpha * self.fall + deviation + delta;
        let least_rise = self.least_rise.map_or(self.rise, |least| least.min(self.rise));
        self.least_rise = Some(least_rise);
        self.most_fall = self.most_fall.max(self.fall);

        let risen = mode != PageHinkleyMode::Down && self.rise - least_rise > threshold;
        let fallen = mode != PageHinkleyMode::Up && self.most_fall - self.fall > threshold;
        self.restart = self.mean.n >= f64::from(min_instances) && (risen || fallen);
        if self.restart { Change::Drift } else { Change::None }
    }

    fn reset(&mut self) {
        *self = Self::with_valid(self.options);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_look_one_way() {
        let up: Vec<f64> = (0..400).map(|i| if i < 200 { 0.0 } else { 1.0 }).collect();
        let down: Vec<f64> = up.iter().map(|value| -value).collect();
        let detects = |mode, stream: &[f64]| {
            let options = PageHinkleyOptions::default().with_mode(mode).with_threshold(10.0);
            let mut test = PageHinkley::with_valid(options);
            stream.iter().any(|&value| test.update(value).is_drift())
        };
        assert!(detects(PageHinkleyMode::Both, &up) && detects(PageHinkleyMode::Both, &down));
        assert!(detects(PageHinkleyMode::Up, &up) && !detects(PageHinkleyMode::Up, &down));
        assert!(!detects(PageHinkleyMode::Down, &up) && detects(PageHinkleyMode::Down, &down));
    }

    #[test]
    fn invalid_options_are_errors() {
        let defaults = PageHinkleyOptions::default();
        for options in [
            defaults.with_delta(-1.0),
            defaults.with_delta(f64::NAN),
            defaults.with_threshold(0.0),
            defaults.with_alpha(0.0),
            defaults.with_alpha(1.5),
        ] {
            assert!(PageHinkley::new(options).is_err(), "{options:?}");
        }
    }
}
