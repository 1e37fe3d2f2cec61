//! Statistical tests, and the metrics of models, as pure functions over slices and counts.
//!
//! | question | functions |
//! |---|---|
//! | Did a numeric feature change? | [`ks_2samp`], [`ks_from_counts`], [`cramer_von_mises`], [`anderson_darling`], [`psi()`] |
//! | Did it become larger or smaller? | [`mann_whitney_u`], [`mann_whitney_interval`], [`welch_t_test`], [`student_t_test`], [`cohens_d`] |
//! | How far apart are two samples? | [`wasserstein_distance`], [`energy_distance`] |
//! | Did many features change together? | [`mmd_permutation_test`], [`mmd_rbf`] |
//! | Did a categorical feature change? | [`ContingencyTable`], [`fisher_exact`], [`psi_categorical`], [`psi_from_counts`] |
//! | Do counts follow given shares? | [`goodness_of_fit`] |
//! | How far apart are two histograms? | [`distance`]: [`jensen_shannon_distance`], [`hellinger_distance`], [`kullback_leibler`] |
//! | How large is a rate? | [`proportion_interval`] |
//! | Do two rates differ, looking once? | [`two_proportion_z_test`], [`two_proportion_score_test`], [`two_proportion_interval`], [`probability_to_beat`] |
//! | Do two arms differ, looking all the time? | [`confidence_sequence`], [`two_proportion_confidence_sequence`], [`mixture_likelihood_ratio`], [`BernoulliMsprt`] |
//! | Do they differ, given what was known before? | [`cuped()`] |
//! | Is a canary worse than its baseline? | [`kayenta_judge`] |
//! | How many observations are needed? | [`sample_size_proportions`], [`sample_size_t`] |
//! | Which of many tests are significant? | [`adjust_p_values`] |
//! | Was traffic split as configured? | [`srm_chi2`] |
//! | How good is a classifier at its threshold? | [`ConfusionMatrix`], [`MulticlassMatrix`], [`top_k_accuracy`] |
//! | How well do scores tell classes apart? | [`ScoreCurve`], [`roc_auc`], [`average_precision`], [`multiclass_roc_auc`] |
//! | Are probabilities true? | [`log_loss`], [`brier_score`], [`expected_calibration_error`], [`reliability_bins`], [`multiclass_log_loss`] |
//! | What probability does a score stand for? | [`IsotonicRegression`] |
//! | How good is a classifier, before the labels come? | [`Cbpe`] |
//! | Are groups treated alike? | [`Fairness`] |
//! | How good is a model that predicts numbers? | [`RegressionErrors`] |
//! | How good is a ranking? | [`ranking`]: NDCG, MRR, MAP, precision and recall at k |
//! | Has a stream changed, looking at each observation? | [`change`]: ADWIN, Page-Hinkley, DDM, EDDM, HDDM |
//! | Which variant would another tool give this user? | [`sticky`] |
//!
//! Every function is deterministic and total: an input without an answer (an empty sample, a NaN, a
//! variance of zero) is a [`StatsError`] that says so, never a number that looks like a result.

mod anderson_darling;
mod bayes;
mod bins;
mod buckets;
mod calibration;
mod cbpe;
mod cdf;
pub mod change;
mod chi_squared;
mod confusion;
mod cramer_von_mises;
mod cuped;
mod curve;
pub mod distance;
mod energy;
mod fairness;
mod fisher;
mod hodges_lehmann;
mod isotonic;
mod kayenta;
mod kolmogorov;
mod ks;
mod mann_whitney;
mod mmd;
mod msprt;
mod multiclass;
mod multiple_testing;
mod pooled;
#[cfg(test)]
mod properties;
pub mod proportion;
pub mod psi;
mod quantile;
pub mod ranking;
mod regression;
#[cfg(test)]
mod sample_properties;
mod sample_size;
#[cfg(test)]
mod samples;
mod selection;
mod sequential;
mod special;
mod split_mix;
mod srm;
pub mod sticky;
mod t_test;
mod wasserstein;
mod weights;

pub use anderson_darling::{
    ANDERSON_DARLING_LEVELS, AndersonDarlingTest, AndersonDarlingTies, anderson_darling,
};
pub use bayes::probability_to_beat;
pub use bins::{Closed, bin_counts, category_counts};
pub use calibration::{
    CalibrationBins, ReliabilityBin, brier_score, expected_calibration_error, log_loss,
    maximum_calibration_error, reliability_bins,
};
pub use cbpe::{Cbpe, CbpeEstimate};
pub use chi_squared::{
    ChiSquaredStatistic, ChiSquaredTest, ContingencyTable, GoodnessOfFit, goodness_of_fit,
};
pub use confusion::ConfusionMatrix;
pub use cramer_von_mises::{CramerVonMisesMethod, CramerVonMisesTest, cramer_von_mises};
pub use cuped::{Cuped, CupedArm, PairedMoments, cuped, cuped_from_moments};
pub use curve::{CurvePoint, ScoreCurve, average_precision, roc_auc};
pub use distance::{
    LogBase, bhattacharyya_coefficient, chebyshev_distance, hellinger_distance, jensen_shannon_distance,
    jensen_shannon_divergence, kullback_leibler, total_variation,
};
pub use energy::{energy_distance, energy_distance_weighted};
pub use fairness::{Fairness, GroupOutcomes};
pub use fisher::{FisherTest, fisher_exact};
pub use hodges_lehmann::{ShiftInterval, mann_whitney_interval};
pub use isotonic::IsotonicRegression;
pub use kayenta::{ChangeDirection, KayentaClass, KayentaJudgement, KayentaOptions, kayenta_judge};
pub use ks::{
    BinnedKs, KsMethod, KsOptions, KsTest, NanPolicy, ks_2samp, ks_from_counts, ks_p_value_asymptotic,
    ks_p_value_exact,
};
pub use mann_whitney::{MannWhitneyMethod, MannWhitneyTest, mann_whitney_u};
pub use mmd::{Mmd, MmdTest, median_heuristic, mmd_permutation_test, mmd_rbf};
pub use msprt::BernoulliMsprt;
pub use multiclass::{
    Average, MulticlassAuc, MulticlassMatrix, multiclass_log_loss, multiclass_roc_auc, top_k_accuracy,
};
pub use multiple_testing::{AdjustedPValues, Correction, adjust_p_values};
pub use proportion::{
    BinomialSample, ProportionIntervalMethod, TwoProportionIntervalMethod, ZTest, proportion_interval,
    two_proportion_interval, two_proportion_score_test, two_proportion_z_test,
};
pub use psi::{
    CategoricalPsi, Psi, PsiOptions, psi, psi_categorical, psi_from_counts, psi_threshold_chi2,
    psi_threshold_chi2_fixed_reference, psi_threshold_normal,
};
pub use quantile::{quantile, quantile_edges, quantiles};
pub use regression::RegressionErrors;
pub use sample_size::{ProportionPower, cohens_h, sample_size_proportions, sample_size_t};
pub use sequential::{
    ConfidenceSequence, MixtureTest, confidence_sequence, confidence_sequence_rho, mixture_likelihood_ratio,
    two_proportion_confidence_sequence,
};
pub use special::{normal_isf, normal_sf};
pub use srm::{SRM_ALPHA, SrmTest, srm_chi2};
pub use t_test::{SampleMoments, TTest, cohens_d, student_t_test, welch_t_test, welch_t_test_from_moments};
pub use wasserstein::{wasserstein_distance, wasserstein_distance_normed, wasserstein_distance_weighted};

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
    // Blocks without an early exit are scanned in vectors.
    const BLOCK: usize = 1_024;
    let has_nan = |block: &[f64]| block.iter().fold(false, |found, value| found | value.is_nan());
    let Some(block) = values.chunks(BLOCK).position(has_nan) else { return Ok(()) };
    let start = block * BLOCK;
    let inside = values[start..].iter().position(|value| value.is_nan()).unwrap_or(0);
    Err(StatsError::NotANumber { what, index: start + inside })
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

/// Accepts a sample without infinities.
fn require_finite(what: &'static str, values: &[f64]) -> Result<(), StatsError> {
    require_sample(what, values)?;
    match values.iter().position(|value| value.is_infinite()) {
        Some(index) => Err(invalid(what, format!("element {index} is infinite: leave it out"))),
        None => Ok(()),
    }
}

/// Accepts a sample of probabilities.
fn require_probabilities(what: &'static str, values: &[f64]) -> Result<(), StatsError> {
    require_sample(what, values)?;
    match values.iter().position(|value| !(0.0..=1.0).contains(value)) {
        Some(index) => {
            Err(invalid(what, format!("element {index} is {}, not a probability in [0, 1]", values[index])))
        }
        None => Ok(()),
    }
}

fn gcd(a: u128, b: u128) -> u128 {
    if b == 0 { a } else { gcd(b, a % b) }
}

fn sorted(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_unstable_by(f64::total_cmp);
    values
}
