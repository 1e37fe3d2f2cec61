//! How sure a check has to be.

use mlops_core::stats::{StatsError, confidence_sequence, confidence_sequence_rho, normal_isf, normal_sf};
use serde::{Deserialize, Serialize};

/// How often an [`Analysis`](super::Analysis) may look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum TestMode {
    /// As often as one likes: all looks together keep alpha. What a controller that ticks needs.
    #[default]
    Sequential,
    /// Once, when all samples that were asked for are there; before that every check is inconclusive. It finds
    /// the same difference with fewer samples, and every further look adds its own alpha: 18 % false alarms at
    /// ten looks instead of 5 %.
    FixedHorizon,
}

/// How sure a check has to be, and by which kind of test.
///
/// All tests are those of a fixed horizon, at a level that depends on how much was seen: constant for one
/// look; for many, that at which a normal variable lies as many standard errors out as the Gaussian-mixture
/// boundary of [`confidence_sequence`]. A statistic that is asymptotically normal with independent increments
/// in information time stays within that boundary, at all times at once, with probability 1 - alpha: see the
/// source there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Confidence {
    mode: TestMode,
    alpha: f64,
    /// The tuning is fixed before the first look, so it does not follow an alpha that does.
    rho: f64,
}

/// An estimate, the interval around it, and the p-value of "it is zero".
#[derive(Debug, Clone, Copy)]
pub(super) struct Estimate {
    pub(super) value: f64,
    pub(super) lower: f64,
    pub(super) upper: f64,
    pub(super) p_value: f64,
}

/// Beyond this many standard errors a level is one but for rounding.
const FARTHEST: f64 = 8.0;

impl Confidence {
    /// Two-sided intervals of level `1 - alpha`, narrowest after that many samples.
    pub(super) fn new(mode: TestMode, alpha: f64, narrowest_at: u64) -> Self {
        // An alpha that was split until it is zero has no tuning; every look will then say so.
        let rho = confidence_sequence_rho(narrowest_at as f64, alpha).unwrap_or(f64::NAN);
        Self { mode, alpha, rho }
    }

    /// The same tuning at another alpha.
    pub(super) fn with_alpha(self, alpha: f64) -> Self {
        Self { alpha, ..self }
    }

    pub(super) fn is_sequential(&self) -> bool {
        self.mode == TestMode::Sequential
    }

    /// How many standard errors an estimate must lie out, at `time`: the number of samples, both variants
    /// together at an even split, that hold as much information.
    fn critical(&self, time: f64) -> Result<f64, StatsError> {
        match self.mode {
            TestMode::Sequential => {
                let time = time.round().max(1.0) as u64;
                Ok(confidence_sequence(0.0, 1.0, time, self.alpha, self.rho)?.interval.upper)
            }
            TestMode::FixedHorizon => Ok(normal_isf(self.alpha / 2.0)),
        }
    }

    /// The level of a test of a fixed horizon that does as a look at `time`.
    pub(super) fn level(&self, time: f64) -> Result<f64, StatsError> {
        let critical = self.critical(time)?;
        if critical >= FARTHEST {
            return Err(StatsError::Undefined {
                reason: "it is too early to tell anything from chance".to_owned(),
            });
        }
        Ok(1.0 - 2.0 * normal_sf(critical))
    }

    /// The p-value at `time` of a two-sided p-value of a fixed horizon.
    pub(super) fn p_value(&self, fixed: f64, time: f64) -> Result<f64, StatsError> {
        match self.mode {
            TestMode::Sequential => self.p_value_of(normal_isf(fixed / 2.0), time),
            TestMode::FixedHorizon => Ok(fixed),
        }
    }

    /// The p-value of an estimate that lies `z` standard errors out.
    fn p_value_of(&self, z: f64, time: f64) -> Result<f64, StatsError> {
        match self.mode {
            TestMode::Sequential => {
                let time = time.round().max(1.0) as u64;
                Ok(confidence_sequence(z.clamp(0.0, 1e9), 1.0, time, self.alpha, self.rho)?.p_value)
            }
            TestMode::FixedHorizon => Ok(2.0 * normal_sf(z)),
        }
    }

    pub(super) fn alpha(&self) -> f64 {
        self.alpha
    }

    /// The interval of an estimate with that squared standard error.
    pub(super) fn interval(&self, value: f64, variance: f64, time: f64) -> Result<Estimate, StatsError> {
        let standard_error = variance.sqrt();
        let half_width = self.critical(time)? * standard_error;
        let z = value.abs() / standard_error;
        if !half_width.is_finite() || z.is_nan() {
            return Err(StatsError::Undefined { reason: "the counts are too large to compare".to_owned() });
        }
        let p_value = self.p_value_of(z, time)?;
        Ok(Estimate { value, lower: value - half_width, upper: value + half_width, p_value })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_looks_ask_for_more_than_one_and_levels_agree_with_the_sequence() {
        let of = |mode| Confidence::new(mode, 0.05, 1_000);
        let (many, one) = (of(TestMode::Sequential), of(TestMode::FixedHorizon));
        let (sequential, fixed) = (many.interval(0.1, 4e-4, 800.0), one.interval(0.1, 4e-4, 800.0));
        let (sequential, fixed) = (sequential.unwrap(), fixed.unwrap());
        assert!(sequential.lower < fixed.lower && sequential.p_value > fixed.p_value);
        assert!((fixed.lower - (0.1 - 1.959_964 * 0.02)).abs() < 1e-7);

        let rho = confidence_sequence_rho(1_000.0, 0.05).unwrap();
        let reference = confidence_sequence(0.1, 4e-4, 800, 0.05, rho).unwrap();
        assert!((sequential.lower - reference.interval.lower).abs() < 1e-12);
        assert!((sequential.p_value / reference.p_value - 1.0).abs() < 1e-6, "{sequential:?} {reference:?}");
        let critical = (0.1 - sequential.lower) / 0.02;
        assert!((normal_isf((1.0 - many.level(800.0).unwrap()) / 2.0) / critical - 1.0).abs() < 1e-9);
        assert!(many.level(1.0).is_err() && one.level(1.0).is_ok());
    }
}
