//! The sample-ratio-mismatch test.

use super::{ChiSquaredStatistic, StatsError, goodness_of_fit};

/// The customary level for declaring a mismatch. Strict, because the test runs on every experiment and a
/// mismatch invalidates it.
pub const SRM_ALPHA: f64 = 0.001;

/// Result of [`srm_chi2`].
#[derive(Debug, Clone, PartialEq)]
pub struct SrmTest {
    /// Pearson's χ².
    pub statistic: f64,
    /// Probability of a statistic at least this large if traffic is split by the weights.
    pub p_value: f64,
    /// Expected observations per arm.
    pub expected: Vec<f64>,
}

impl SrmTest {
    /// Whether the split is inconsistent with the weights at level `alpha`, customarily [`SRM_ALPHA`].
    #[must_use]
    pub fn is_mismatch(&self, alpha: f64) -> bool {
        self.p_value < alpha
    }
}

/// Tests whether traffic was split by the configured weights.
///
/// [`goodness_of_fit`] of the observations per arm to the weights: `χ² = Σ (o_i - e_i)²/e_i` with
/// `e_i = N w_i / Σ w` and `arms - 1` degrees of freedom. Reliable once every arm expects at least five
/// observations. A mismatch means that assignment
/// or logging is broken, and with it every comparison between the arms.
///
/// Source: Fabijan et al., "Diagnosing sample ratio mismatch in online controlled experiments", KDD 2019.
///
/// # Errors
///
/// [`StatsError::LengthMismatch`]; [`StatsError::EmptySample`] without observations;
/// [`StatsError::NotANumber`]; [`StatsError::InvalidParameter`] for fewer than two arms or a weight that is
/// not positive and finite.
///
/// ```
/// use mlops_core::stats::{SRM_ALPHA, srm_chi2};
///
/// assert!(srm_chi2(&[821_588, 815_482], &[0.5, 0.5])?.is_mismatch(SRM_ALPHA));
/// assert!(!srm_chi2(&[5_000, 5_100], &[0.5, 0.5])?.is_mismatch(SRM_ALPHA));
/// # Ok::<(), mlops_core::stats::StatsError>(())
/// ```
pub fn srm_chi2(observed: &[u64], weights: &[f64]) -> Result<SrmTest, StatsError> {
    let fit = goodness_of_fit(observed, weights, ChiSquaredStatistic::Pearson)?;
    Ok(SrmTest { statistic: fit.test.statistic, p_value: fit.test.p_value, expected: fit.expected })
}
