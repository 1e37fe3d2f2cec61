//! The sample-ratio-mismatch test.

use super::special::chi_squared_sf;
use super::{StatsError, invalid, require_no_nan, require_positive, require_same_length, require_total};

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
/// `χ² = Σ (o_i - e_i)²/e_i` with `e_i = N w_i / Σ w` and `arms - 1` degrees of freedom. Weights need not
/// sum to one. Reliable once every arm expects at least five observations. A mismatch means that assignment
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
    require_same_length("weights", observed.len(), weights.len())?;
    if observed.len() < 2 {
        return Err(invalid("observed", format!("{} arms cannot be out of balance", observed.len())));
    }
    let total = require_total("observed", observed)?;
    require_no_nan("weights", weights)?;
    for &weight in weights {
        require_positive("weights", weight)?;
    }
    let heaviest = weights.iter().copied().fold(0.0, f64::max);
    let shares: Vec<f64> = weights.iter().map(|weight| weight / heaviest).collect();
    let share_total: f64 = shares.iter().sum();

    let expected: Vec<f64> = shares.iter().map(|share| share / share_total * total).collect();
    if expected.contains(&0.0) {
        return Err(invalid("weights", "a weight is too small beside the largest one: drop the arm"));
    }
    let deviation = |(&observed, &expected): (&u64, &f64)| (observed as f64 - expected).powi(2) / expected;
    let statistic: f64 = observed.iter().zip(&expected).map(deviation).sum();
    let p_value = chi_squared_sf(statistic, (observed.len() - 1) as f64);
    Ok(SrmTest { statistic, p_value, expected })
}
