//! Statistical tests as pure functions over slices and counts.
//!
//! | question | functions |
//! |---|---|
//! | Did a numeric feature change? | [`ks_2samp`], [`ks_from_counts`], [`psi()`] |
//! | Did a categorical feature change? | [`psi_categorical`], [`psi_from_counts`] |
//! | How large is a rate? | [`proportion_interval`] |
//! | Do two rates differ, looking once? | [`two_proportion_z_test`], [`two_proportion_score_test`], [`two_proportion_interval`] |
//! | Do two arms differ, looking all the time? | [`confidence_sequence`], [`two_proportion_confidence_sequence`], [`mixture_likelihood_ratio`] |
//! | Which of many tests are significant? | [`adjust_p_values`] |
//! | Was traffic split as configured? | [`srm_chi2`] |
//!
//! Every function is deterministic and total: an input without an answer (an empty sample, a NaN, a
//! variance of zero) is a [`StatsError`] that says so, never a number that looks like a result.

mod kolmogorov;
mod ks;
mod multiple_testing;
#[cfg(test)]
mod properties;
pub mod proportion;
pub mod psi;
mod quantile;
mod sequential;
mod special;
mod srm;

pub use ks::{
    BinnedKs, KsMethod, KsOptions, KsTest, NanPolicy, ks_2samp, ks_from_counts, ks_p_value_asymptotic,
    ks_p_value_exact,
};
pub use multiple_testing::{AdjustedPValues, Correction, adjust_p_values};
pub use proportion::{
    BinomialSample, ProportionIntervalMethod, TwoProportionIntervalMethod, ZTest, proportion_interval,
    two_proportion_interval, two_proportion_score_test, two_proportion_z_test,
};
pub use psi::{
    CategoricalPsi, Closed, Psi, PsiOptions, bin_counts, psi, psi_categorical, psi_from_counts,
    psi_threshold_chi2, psi_threshold_chi2_fixed_reference, psi_threshold_normal,
};
pub use quantile::{quantile, quantile_edges, quantiles};
pub use sequential::{
    ConfidenceSequence, MixtureTest, confidence_sequence, confidence_sequence_rho, mixture_likelihood_ratio,
    two_proportion_confidence_sequence,
};
pub use srm::{SRM_ALPHA, SrmTest, srm_chi2};

/// Why a statistic could not be computed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum StatsError {
    /// A sample holds no observation.
    #[error("{what} is empty: at least one observation is needed; collect data before testing")]
    EmptySample {
        /// Which argument.
        what: &'static str,
    },
    /// A sample holds a NaN.
    #[error("{what}[{index}] is NaN: drop or impute missing values before testing, or count them separately")]
    NotANumber {
        /// Which argument.
        what: &'static str,
        /// Position of the first NaN.
        index: usize,
    },
    /// Two arguments that are paired element by element differ in length.
    #[error("{what} holds {found} elements where {expected} are needed: pass slices of equal length")]
    LengthMismatch {
        /// Which argument.
        what: &'static str,
        /// Length of the argument it is paired with.
        expected: usize,
        /// Its own length.
        found: usize,
    },
    /// A parameter lies outside its domain.
    #[error("invalid {name}: {reason}")]
    InvalidParameter {
        /// Which parameter.
        name: &'static str,
        /// What was found and what is accepted.
        reason: String,
    },
    /// The input is well formed, but the statistic has no value for it.
    #[error("undefined: {reason}")]
    Undefined {
        /// Why there is no value and what to do instead.
        reason: String,
    },
}

/// The alternative hypothesis of a test that compares a first sample with a second one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Alternative {
    /// The two differ, in either direction.
    #[default]
    TwoSided,
    /// The tested quantity of the first is less than that of the second.
    Less,
    /// The tested quantity of the first is greater than that of the second.
    Greater,
}

/// A closed interval `[lower, upper]`, in the unit of the estimated quantity.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// Lower end.
    pub lower: f64,
    /// Upper end.
    pub upper: f64,
}

impl Interval {
    /// Whether `value` lies in the interval, ends included.
    #[must_use]
    pub fn contains(&self, value: f64) -> bool {
        self.lower <= value && value <= self.upper
    }
}

fn invalid(name: &'static str, reason: impl Into<String>) -> StatsError {
    StatsError::InvalidParameter { name, reason: reason.into() }
}

fn undefined(reason: impl Into<String>) -> StatsError {
    StatsError::Undefined { reason: reason.into() }
}

fn require_no_nan(what: &'static str, values: &[f64]) -> Result<(), StatsError> {
    match values.iter().position(|value| value.is_nan()) {
        Some(index) => Err(StatsError::NotANumber { what, index }),
        None => Ok(()),
    }
}

fn require_sample(what: &'static str, values: &[f64]) -> Result<(), StatsError> {
    if values.is_empty() {
        return Err(StatsError::EmptySample { what });
    }
    require_no_nan(what, values)
}

fn require_same_length(what: &'static str, expected: usize, found: usize) -> Result<(), StatsError> {
    if expected == found { Ok(()) } else { Err(StatsError::LengthMismatch { what, expected, found }) }
}

/// Total of a slice of counts, which must not be zero.
fn require_total(what: &'static str, counts: &[u64]) -> Result<f64, StatsError> {
    let total: u128 = counts.iter().map(|&count| u128::from(count)).sum();
    if total == 0 { Err(StatsError::EmptySample { what }) } else { Ok(total as f64) }
}

/// Accepts a number of bins that can tell two samples apart.
fn require_bins(bins: usize) -> Result<(), StatsError> {
    const MOST: usize = 1 << 20;
    if (2..=MOST).contains(&bins) {
        return Ok(());
    }
    Err(invalid("bins", format!("{bins} is not between 2 and {MOST}")))
}

/// Accepts a probability strictly between zero and one.
fn require_open_unit(name: &'static str, value: f64) -> Result<(), StatsError> {
    if value > 0.0 && value < 1.0 {
        return Ok(());
    }
    Err(invalid(name, format!("{value} is not strictly between 0 and 1")))
}

fn require_positive(name: &'static str, value: f64) -> Result<(), StatsError> {
    if value > 0.0 && value.is_finite() {
        return Ok(());
    }
    Err(invalid(name, format!("{value} is not a positive finite number")))
}

fn sorted(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_unstable_by(f64::total_cmp);
    values
}
