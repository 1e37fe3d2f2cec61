//! The judgement of one metric by the canary analysis of Netflix and Google.

use super::{
    ShiftInterval, StatsError, invalid, mann_whitney_interval, require_finite, require_open_unit, sorted,
};

/// Which change of a metric counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ChangeDirection {
    /// Only an increase, for example of errors.
    Increase,
    /// Only a decrease, for example of revenue.
    Decrease,
    /// Both; the default.
    #[default]
    Either,
}

/// Options of [`kayenta_judge`]. The default is Kayenta's.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct KayentaOptions {
    /// Which change counts.
    pub direction: ChangeDirection,
    /// Confidence of the interval for the shift, 0.98.
    pub confidence: f64,
    /// The share of the estimated shift, 0.25, by which the interval must clear zero.
    pub tolerance: f64,
    /// An increase counts only if the mean grew at least by this factor; 1 accepts any.
    pub allowed_increase: f64,
    /// A decrease counts only if the mean fell at least to this factor; 1 accepts any.
    pub allowed_decrease: f64,
}

impl Default for KayentaOptions {
    fn default() -> Self {
        Self {
            direction: ChangeDirection::Either,
            confidence: 0.98,
            tolerance: 0.25,
            allowed_increase: 1.0,
            allowed_decrease: 1.0,
        }
    }
}

impl KayentaOptions {
    /// Sets which change counts.
    #[must_use]
    pub fn with_direction(mut self, direction: ChangeDirection) -> Self {
        self.direction = direction;
        self
    }

    /// Sets the confidence of the interval, in `(0, 1)`.
    #[must_use]
    pub fn with_confidence(mut self, confidence: f64) -> Self {
        self.confidence = confidence;
        self
    }

    /// Sets the share of the estimated shift by which the interval must clear zero, at least zero.
    #[must_use]
    pub fn with_tolerance(mut self, tolerance: f64) -> Self {
        self.tolerance = tolerance;
        self
    }

    /// Sets the factors of the mean from which an increase and up to which a decrease counts.
    #[must_use]
    pub fn with_allowed_ratios(mut self, increase: f64, decrease: f64) -> Self {
        (self.allowed_increase, self.allowed_decrease) = (increase, decrease);
        self
    }
}

/// What the experiment did to the metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KayentaClass {
    /// No change that counts.
    Pass,
    /// The metric is higher than the control's.
    High,
    /// The metric is lower than the control's.
    Low,
}

/// Result of [`kayenta_judge`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct KayentaJudgement {
    /// The verdict.
    pub class: KayentaClass,
    /// The shift of the experiment against the control; none if the samples are identical or all
    /// observations are equal, which pass without it.
    pub shift: Option<ShiftInterval>,
    /// Mean of the experiment over mean of the control; none if either is zero.
    pub mean_ratio: Option<f64>,
}

/// Judges one metric of a canary against its baseline.
///
/// With the interval `[L, H]` and the estimate `e` of [`mann_whitney_interval`] for the experiment against
/// the control: [`High`](KayentaClass::High) if `L > tolerance·|e|`, [`Low`](KayentaClass::Low) if
/// `H < -tolerance·|e|`, each only if the direction and the ratio of the means allow it.
///
/// Source: the Mann-Whitney classifier of Kayenta's NetflixACAJudge, Spinnaker project.
///
/// # Errors
///
/// As [`mann_whitney_interval`]; [`StatsError::InvalidParameter`] for an option out of domain.
///
/// ```
/// use mlops_core::stats::{KayentaClass, KayentaOptions, kayenta_judge};
///
/// let control: Vec<f64> = (0..30).map(|i| 10.0 + f64::from(i % 7)).collect();
/// let slower: Vec<f64> = control.iter().map(|latency| latency * 1.5).collect();
/// let options = KayentaOptions::default();
/// assert_eq!(kayenta_judge(&control, &slower, options)?.class, KayentaClass::High);
/// assert_eq!(kayenta_judge(&control, &control, options)?.class, KayentaClass::Pass);
/// # Ok::<(), mlops_core::stats::StatsError>(())
/// ```
pub fn kayenta_judge(
    control: &[f64],
    experiment: &[f64],
    options: KayentaOptions,
) -> Result<KayentaJudgement, StatsError> {
    require_finite("control", control)?;
    require_finite("experiment", experiment)?;
    require_open_unit("confidence", options.confidence)?;
    for (name, value) in [
        ("tolerance", options.tolerance),
        ("allowed_increase", options.allowed_increase),
        ("allowed_decrease", options.allowed_decrease),
    ] {
        if value.is_nan() || value < 0.0 {
            return Err(invalid(name, format!("{value} is not a number of at least zero")));
        }
    }

    let mean_ratio = match (mean(control), mean(experiment)) {
        (0.0, _) | (_, 0.0) => None,
        (control, experiment) => Some(experiment / control),
    };
    let constant = control.iter().chain(experiment).all(|&value| value == control[0]);
    if constant || sorted(control.to_vec()) == sorted(experiment.to_vec()) {
        return Ok(KayentaJudgement { class: KayentaClass::Pass, shift: None, mean_ratio });
    }

    let shift = mann_whitney_interval(experiment, control, options.confidence)?;
    let bound = options.tolerance * shift.estimate().abs();
    let may_be_high = options.direction != ChangeDirection::Decrease
        && mean_ratio.is_none_or(|ratio| ratio >= options.allowed_increase);
    let may_be_low = options.direction != ChangeDirection::Increase
        && mean_ratio.is_none_or(|ratio| ratio <= options.allowed_decrease);
    let class = if may_be_high && shift.interval.lower > bound {
        KayentaClass::High
    } else if may_be_low && shift.interval.upper < -bound {
        KayentaClass::Low
    } else {
        KayentaClass::Pass
    };
    Ok(KayentaJudgement { class, shift: Some(shift), mean_ratio })
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}
