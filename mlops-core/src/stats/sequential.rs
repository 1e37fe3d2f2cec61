//! Comparisons that stay valid when data are looked at again and again.

use super::{BinomialSample, Interval, StatsError, invalid, require_open_unit, require_positive, undefined};

/// A confidence interval and p-value that hold at all sample sizes at once.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ConfidenceSequence {
    /// The estimated difference.
    pub difference: f64,
    /// The interval at this sample size. All intervals of the sequence together contain the true difference
    /// with probability `1 - alpha`, asymptotically.
    pub interval: Interval,
    /// Always-valid p-value of the null hypothesis "no difference": falls to `alpha` or below exactly when
    /// the interval excludes zero.
    pub p_value: f64,
}

/// The tuning parameter that makes a confidence sequence narrowest at a sample size of `narrowest_at`.
///
/// `ρ = √((-2 ln α + ln(1 - 2 ln α)) / N*)`, an approximation of the optimum. Waudby-Smith, Arbour, Sinha,
/// Kennedy & Ramdas, "Time-uniform central limit theory and asymptotic confidence sequences", Annals of
/// Statistics 52(6), 2024; GrowthBook uses `N* = 5000`. Fix it before the first look.
///
/// # Errors
///
/// [`StatsError::InvalidParameter`] when `narrowest_at` is not positive or `alpha` not in `(0, 1)`.
///
/// ```
/// use mlops_core::stats::confidence_sequence_rho;
///
/// assert!((confidence_sequence_rho(5_000.0, 0.05)? - 0.039_84).abs() < 1e-5);
/// # Ok::<(), mlops_core::stats::StatsError>(())
/// ```
pub fn confidence_sequence_rho(narrowest_at: f64, alpha: f64) -> Result<f64, StatsError> {
    require_positive("narrowest_at", narrowest_at)?;
    require_open_unit("alpha", alpha)?;
    let log = -2.0 * alpha.ln();
    Ok(((log + (log + 1.0).ln()) / narrowest_at).sqrt())
}

/// The asymptotic confidence sequence of any difference with an approximately normal estimate.
///
/// For the estimate `d` with squared standard error `s²` after `N` observations in all, and `V = s²N`:
///
/// ```text
/// d ± √V √( 2(Nρ² + 1) / (Nρ)² · ln( √(Nρ² + 1) / α ) )
/// p = min(1, √(Nρ² + 1) · exp( -ρ² d² N / (2 s² (Nρ² + 1)) ))
/// ```
///
/// Fit for differences of means (`s² = s₁²/n₁ + s₂²/n₂`) and of proportions alike. Valid at any stopping
/// time, including "when it became significant"; asymptotic, that is, once the variance estimate has
/// settled, so start looking after some hundred observations. Source: the Gaussian-mixture
/// sequence of Waudby-Smith et al. (2024), see [`confidence_sequence_rho`]; it is the rule of GrowthBook's
/// sequential testing.
///
/// `squared_standard_error` is in the squared unit of `difference`, `alpha` in `(0, 1)`, `rho` from
/// [`confidence_sequence_rho`].
///
/// # Errors
///
/// [`StatsError::InvalidParameter`] when `difference` is not finite or a parameter is out of domain;
/// [`StatsError::EmptySample`] when `n_total` is zero; [`StatsError::Undefined`] when the standard error is
/// zero (no variation was seen yet: keep collecting) or the numbers are too extreme for a finite interval.
///
/// ```
/// use mlops_core::stats::{confidence_sequence, confidence_sequence_rho};
///
/// let rho = confidence_sequence_rho(5_000.0, 0.05)?;
/// let sequence = confidence_sequence(0.5, 0.01, 4_000, 0.05, rho)?;
/// assert!(sequence.interval.lower > 0.0 && sequence.p_value < 0.05);
/// # Ok::<(), mlops_core::stats::StatsError>(())
/// ```
pub fn confidence_sequence(
    difference: f64,
    squared_standard_error: f64,
    n_total: u64,
    alpha: f64,
    rho: f64,
) -> Result<ConfidenceSequence, StatsError> {
    if !difference.is_finite() {
        return Err(invalid("difference", format!("{difference} is not finite")));
    }
    require_variance(squared_standard_error)?;
    if n_total == 0 {
        return Err(StatsError::EmptySample { what: "n_total" });
    }
    require_open_unit("alpha", alpha)?;
    require_positive("rho", rho)?;

    let n = n_total as f64;
    let growth = n * rho * rho + 1.0;
    let standard_errors = (2.0 * growth / (n * rho * rho) * (0.5 * growth.ln() - alpha.ln())).sqrt();
    let half_width = squared_standard_error.sqrt() * standard_errors;
    let z = difference / squared_standard_error.sqrt();
    let log_evidence = rho * rho * n * z * z / (2.0 * growth) - 0.5 * growth.ln();
    if !half_width.is_finite() || log_evidence.is_nan() {
        return Err(undefined("the interval overflows: rescale the metric or choose a larger rho"));
    }
    Ok(ConfidenceSequence {
        difference,
        interval: Interval { lower: difference - half_width, upper: difference + half_width },
        p_value: (-log_evidence).exp().min(1.0),
    })
}

/// [`confidence_sequence`] for the difference of two proportions, treatment minus control; the arms may
/// differ in size.
///
/// # Errors
///
/// Those of [`confidence_sequence`]; [`StatsError::Undefined`] while each arm has seen one outcome only.
///
/// ```
/// use mlops_core::stats::{BinomialSample, confidence_sequence_rho, two_proportion_confidence_sequence};
///
/// let control = BinomialSample::new(216, 4_760)?;
/// let treatment = BinomialSample::new(347, 4_814)?;
/// let rho = confidence_sequence_rho(5_000.0, 0.05)?;
/// let sequence = two_proportion_confidence_sequence(control, treatment, 0.05, rho)?;
/// assert!(sequence.interval.lower > 0.0);
/// # Ok::<(), mlops_core::stats::StatsError>(())
/// ```
pub fn two_proportion_confidence_sequence(
    control: BinomialSample,
    treatment: BinomialSample,
    alpha: f64,
    rho: f64,
) -> Result<ConfidenceSequence, StatsError> {
    let difference = treatment.proportion() - control.proportion();
    let variance = control.variance() + treatment.variance();
    let n_total = control.trials().saturating_add(treatment.trials());
    confidence_sequence(difference, variance, n_total, alpha, rho)
}

/// Result of [`mixture_likelihood_ratio`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MixtureTest {
    /// Treatment proportion minus control proportion.
    pub difference: f64,
    /// Squared standard error of the difference.
    pub variance: f64,
    /// Natural logarithm of the likelihood ratio of "some difference" to "no difference".
    pub log_lambda: f64,
}

impl MixtureTest {
    /// `min(1, 1/Λ)`, the p-value of this look.
    ///
    /// The running minimum over all looks is an always-valid p-value too: reject when one look falls to
    /// `alpha`.
    #[must_use]
    pub fn p_single_look(&self) -> f64 {
        (-self.log_lambda).exp().min(1.0)
    }
}

/// The mixture sequential probability ratio of two proportions; the arms may differ in size.
///
/// The likelihood of a difference drawn from Normal(0, `tau2`) against that of no difference:
/// `ln Λ = ½ ln(s²/(s² + τ²)) + τ² d² / (2 s² (s² + τ²))` with `s² = p_a(1-p_a)/n_a + p_b(1-p_b)/n_b`.
/// Valid at any stopping time, asymptotically. Choose `tau2` before the first look as the squared size of a
/// typical effect, for example `1e-4` for one percentage point.
///
/// Source: Johari, Koomen, Pekelis & Walsh, "Always valid inference: continuous monitoring of A/B tests",
/// Operations Research 70(3), 2022.
///
/// # Errors
///
/// [`StatsError::InvalidParameter`] when `tau2` is not positive; [`StatsError::Undefined`] while each arm
/// has seen one outcome only.
///
/// ```
/// use mlops_core::stats::{BinomialSample, mixture_likelihood_ratio};
///
/// let control = BinomialSample::new(1_318, 3_253)?;
/// let treatment = BinomialSample::new(1_015, 2_962)?;
/// let test = mixture_likelihood_ratio(control, treatment, 1e-3)?;
/// assert!((test.log_lambda - 10.2896).abs() < 1e-4);
/// # Ok::<(), mlops_core::stats::StatsError>(())
/// ```
pub fn mixture_likelihood_ratio(
    control: BinomialSample,
    treatment: BinomialSample,
    tau2: f64,
) -> Result<MixtureTest, StatsError> {
    require_positive("tau2", tau2)?;
    let difference = treatment.proportion() - control.proportion();
    let variance = control.variance() + treatment.variance();
    require_variance(variance)?;
    let mixed = variance + tau2;
    let log_lambda =
        0.5 * (variance / mixed).ln() + tau2 / mixed * (difference * difference / variance) / 2.0;
    Ok(MixtureTest { difference, variance, log_lambda })
}

fn require_variance(variance: f64) -> Result<(), StatsError> {
    if variance == 0.0 {
        return Err(undefined("the standard error is zero: no variation was seen yet, keep collecting"));
    }
    require_positive("squared_standard_error", variance)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn interval_and_p_value_agree() {
        let rho = confidence_sequence_rho(1_000.0, 0.05).unwrap();
        for step in 1..200 {
            let difference = f64::from(step) * 0.01;
            let sequence = confidence_sequence(difference, 0.09, 700, 0.05, rho).unwrap();
            assert_eq!(sequence.interval.lower > 0.0, sequence.p_value < 0.05, "{sequence:?}");
        }
    }

    #[test]
    fn rho_is_near_the_narrowest() {
        let width = |rho: f64| {
            let interval = confidence_sequence(0.0, 1e-3, 5_000, 0.05, rho).unwrap().interval;
            interval.upper - interval.lower
        };
        let rho = confidence_sequence_rho(5_000.0, 0.05).unwrap();
        assert!(width(rho) < width(0.8 * rho) && width(rho) < width(1.2 * rho));
    }

    #[test]
    fn one_outcome_only_is_undefined() {
        let none = BinomialSample::new(0, 50).unwrap();
        assert!(matches!(mixture_likelihood_ratio(none, none, 1e-4), Err(StatsError::Undefined { .. })));
        let sequence = two_proportion_confidence_sequence(none, none, 0.05, 0.04);
        assert!(matches!(sequence, Err(StatsError::Undefined { .. })));
    }
}
