//! How many observations an experiment needs.

use super::special::{normal_isf, normal_sf, student_t_isf, turning_point};
use super::{StatsError, invalid, require_open_unit, undefined};

/// Most observations per arm that are considered.
const MOST: f64 = 1e12;

/// Cohen's h of two proportions, `2 asin √first - 2 asin √second`, on a scale where equal differences are
/// about equally hard to detect.
///
/// Source: Cohen, "Statistical Power Analysis for the Behavioral Sciences", 2nd edition, 1988, section 6.2.
///
/// # Errors
///
/// [`StatsError::InvalidParameter`] for a proportion outside `[0, 1]`.
///
/// ```
/// use mlops_core::stats::cohens_h;
///
/// assert!((cohens_h(0.6, 0.5)? - 0.201_358).abs() < 1e-6);
/// # Ok::<(), mlops_core::stats::StatsError>(())
/// ```
pub fn cohens_h(first: f64, second: f64) -> Result<f64, StatsError> {
    let angle = |name, proportion: f64| match proportion {
        0.0..=1.0 => Ok(2.0 * proportion.sqrt().asin()),
        _ => Err(invalid(name, format!("{proportion} is not between 0 and 1"))),
    };
    Ok(angle("first", first)? - angle("second", second)?)
}

/// Which approximation [`sample_size_proportions`] uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ProportionPower {
    /// The z test with the pooled variance under the null hypothesis:
    /// `n = ((z_{α/2} √(2p̄(1-p̄)) + z_{1-power} √(p₁(1-p₁) + p₂(1-p₂))) / (p₂ - p₁))²`. The default. Fleiss,
    /// "Statistical Methods for Rates and Proportions", 3rd edition, 2003, section 4.2.
    #[default]
    PooledZ,
    /// The normal test on Cohen's h, both tails, as `statsmodels.stats.power.NormalIndPower`.
    Arcsine,
}

/// Observations per arm, not rounded, with which a two-sided test of two proportions at level `alpha` finds a
/// difference between `baseline` and `target` with probability `power`.
///
/// # Errors
///
/// [`StatsError::InvalidParameter`] for a proportion, `alpha` or `power` outside `(0, 1)`, or a `power` not
/// above `alpha`; [`StatsError::Undefined`] for equal proportions, or when more than 10¹² are needed.
///
/// ```
/// use mlops_core::stats::{ProportionPower, sample_size_proportions};
///
/// let n = sample_size_proportions(0.10, 0.12, 0.05, 0.8, ProportionPower::PooledZ)?;
/// assert_eq!(n.ceil(), 3841.0);
/// # Ok::<(), mlops_core::stats::StatsError>(())
/// ```
pub fn sample_size_proportions(
    baseline: f64,
    target: f64,
    alpha: f64,
    power: f64,
    method: ProportionPower,
) -> Result<f64, StatsError> {
    require_open_unit("baseline", baseline)?;
    require_open_unit("target", target)?;
    require_levels(alpha, power)?;
    let spread = |p: f64| p * (1.0 - p);
    let n = match method {
        ProportionPower::PooledZ => {
            let null = normal_isf(alpha / 2.0) * (2.0 * spread(0.5 * (baseline + target))).sqrt();
            let alternative = normal_isf(1.0 - power) * (spread(baseline) + spread(target)).sqrt();
            ((null + alternative) / (target - baseline)).powi(2)
        }
        ProportionPower::Arcsine => {
            let effect = cohens_h(target, baseline)?.abs();
            let z = normal_isf(alpha / 2.0);
            let reached = |n: f64| {
                let shift = effect * (n / 2.0).sqrt();
                normal_sf(z - shift) + normal_sf(z + shift)
            };
            smallest(0.0, power, |n| Ok(reached(n)))?
        }
    };
    if n <= MOST { Ok(n) } else { Err(too_small()) }
}

/// Observations per arm, not rounded, with which Student's two-sided t test at level `alpha` finds a
/// difference of `effect` standard deviations (Cohen's d) with probability `power`.
///
/// Solves the power of the noncentral t distribution, both tails, as `statsmodels.stats.power.TTestIndPower`.
///
/// # Errors
///
/// [`StatsError::InvalidParameter`] for an `effect` that is not finite, or an `alpha` or `power` as in
/// [`sample_size_proportions`]; [`StatsError::Undefined`] for an effect of zero or one so small that more
/// than 10⁹ are needed.
///
/// ```
/// use mlops_core::stats::sample_size_t;
///
/// assert_eq!(sample_size_t(0.5, 0.05, 0.8)?.ceil(), 64.0);
/// # Ok::<(), mlops_core::stats::StatsError>(())
/// ```
pub fn sample_size_t(effect: f64, alpha: f64, power: f64) -> Result<f64, StatsError> {
    if !effect.is_finite() {
        return Err(invalid("effect", format!("{effect} is not finite")));
    }
    require_levels(alpha, power)?;
    let effect = effect.abs();
    smallest(1.0, power, |n| {
        let dof = 2.0 * n - 2.0;
        let critical = student_t_isf(alpha / 2.0, dof)?;
        let noncentrality = effect * (n / 2.0).sqrt();
        Ok(noncentral_t_sf(critical, dof, noncentrality) + noncentral_t_sf(critical, dof, -noncentrality))
    })
}

/// The n above `low` at which an increasing power reaches `power`.
fn smallest(
    low: f64,
    power: f64,
    reached: impl Fn(f64) -> Result<f64, StatsError>,
) -> Result<f64, StatsError> {
    let mut high = low + 1.0;
    while reached(high)? < power {
        high *= 2.0;
        if high > MOST {
            return Err(too_small());
        }
    }
    Ok(turning_point(low, high, |n| n > low && reached(n).is_ok_and(|reached| reached >= power)))
}

/// P(T > t) for a positive t and T noncentral t, that is, `(Z + noncentrality)/√(χ²/dof)`.
///
/// The expectation of `P(Z > t s - noncentrality)` over `s = √(χ²/dof)`. In `w = ln s` the density is
/// proportional to `exp(dof (w - (e^(2w) - 1)/2))`, smooth and falling off fast on both sides, so that a sum
/// over equidistant points converges exponentially; the same sum of the density normalises it.
fn noncentral_t_sf(t: f64, dof: f64, noncentrality: f64) -> f64 {
    const NODES: u32 = 400;
    /// From here on Abramowitz & Stegun 26.7.10 is closer than the rounding of the sum.
    const NEARLY_NORMAL: f64 = 1e6;
    if dof > NEARLY_NORMAL {
        return normal_sf((t * (1.0 - 0.25 / dof) - noncentrality) / (1.0 + t * t / (2.0 * dof)).sqrt());
    }
    const SMALLEST_LOG: f64 = -45.0;
    let log_density = |w: f64| dof * (w - 0.5 * (2.0 * w).exp_m1());
    let reach = |direction: f64| {
        let mut w = direction / (2.0 * dof).sqrt();
        while log_density(w) > SMALLEST_LOG {
            w *= 1.25;
        }
        w
    };
    let (low, high) = (reach(-1.0), reach(1.0));
    let (mut weighted, mut total) = (0.0, 0.0);
    for node in 0..=NODES {
        let w = low + (high - low) * f64::from(node) / f64::from(NODES);
        let density = log_density(w).exp();
        weighted += density * normal_sf(t * w.exp() - noncentrality);
        total += density;
    }
    weighted / total
}

fn require_levels(alpha: f64, power: f64) -> Result<(), StatsError> {
    require_open_unit("alpha", alpha)?;
    require_open_unit("power", power)?;
    if power > alpha {
        return Ok(());
    }
    Err(invalid(
        "power",
        format!("{power} does not exceed alpha, {alpha}, which a test reaches without data"),
    ))
}

fn too_small() -> StatsError {
    undefined("the effect is zero or too small for any feasible sample: choose a larger one")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::special::student_t_sf;
    use super::*;

    #[test]
    fn noncentral_t_without_noncentrality_is_student() {
        for dof in [0.5, 1.0, 2.0, 10.0, 300.0, 1e6] {
            for t in [0.1, 1.0, 3.0] {
                let expected = student_t_sf(t, dof).unwrap();
                let got = noncentral_t_sf(t, dof, 0.0);
                assert!((got - expected).abs() < 1e-7, "{dof} {t}: {got} {expected}");
            }
        }
    }

    #[test]
    fn larger_samples_agree_with_the_normal_approximation() {
        for effect in [1e-4, 0.01, 0.2] {
            let z = normal_isf(0.025) + normal_isf(0.2);
            let n = sample_size_t(effect, 0.05, 0.8).unwrap();
            // Which knows one of the two tails only.
            assert!((n - 2.0 * (z / effect).powi(2)).abs() < 3e-6 * n + 1.0, "{effect} {n}");
        }
    }

    #[test]
    fn more_power_takes_more_observations() {
        let n = |power| sample_size_t(0.3, 0.05, power).unwrap();
        assert!(n(0.5) < n(0.8) && n(0.8) < n(0.99));
        assert!(sample_size_t(0.0, 0.05, 0.8).is_err());
        assert!(sample_size_t(50.0, 0.05, 0.8).unwrap() < 2.5);
        assert!(sample_size_proportions(0.1, 0.1, 0.05, 0.8, ProportionPower::Arcsine).is_err());
        assert!(sample_size_proportions(0.1, 0.1, 0.05, 0.8, ProportionPower::PooledZ).is_err());
    }
}
