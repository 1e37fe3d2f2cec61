//! Corrections for testing many hypotheses at once.

use super::{StatsError, invalid, require_open_unit, require_sample};

/// Which error rate [`adjust_p_values`] keeps below `alpha`, for m p-values in ascending order p₁ … p_m.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Correction {
    /// Any false rejection at all, under any dependence: rejects `p <= α/m`.
    Bonferroni,
    /// Any false rejection, under any dependence, never less powerful than Bonferroni: rejects up to the
    /// first `p_k > α/(m-k+1)`. Holm, Scandinavian Journal of Statistics 6(2), 1979.
    Holm,
    /// Any false rejection, for independent tests: rejects `p <= 1 - (1-α)^(1/m)`.
    Sidak,
    /// The expected share of false among all rejections, for independent or positively dependent tests:
    /// rejects up to the last `p_k <= αk/m`. The default. Benjamini & Hochberg, JRSS B 57(1), 1995.
    #[default]
    BenjaminiHochberg,
    /// The same under any dependence: α divided by `Σ 1/i`. Benjamini & Yekutieli, Annals of Statistics
    /// 29(4), 2001.
    BenjaminiYekutieli,
}

/// Result of [`adjust_p_values`], in the order of the input.
#[derive(Debug, Clone, PartialEq)]
pub struct AdjustedPValues {
    /// The smallest `alpha` at which each hypothesis would be rejected, in `[0, 1]`.
    pub adjusted: Vec<f64>,
    /// Whether each hypothesis is rejected at the given `alpha`.
    pub rejected: Vec<bool>,
}

/// Adjusts p-values for their number and decides which hypotheses to reject at `alpha`.
///
/// Equal to `statsmodels.stats.multitest.multipletests`, to the rejections on the boundary. Takes
/// O(m log m).
///
/// # Errors
///
/// [`StatsError::EmptySample`], [`StatsError::NotANumber`], [`StatsError::InvalidParameter`] when a p-value
/// is outside `[0, 1]` or `alpha` outside `(0, 1)`.
///
/// ```
/// use mlops_core::stats::{Correction, adjust_p_values};
///
/// let result = adjust_p_values(&[0.04, 0.01, 0.03], 0.05, Correction::BenjaminiHochberg)?;
/// assert_eq!(result.rejected, [true, true, true]);
/// let result = adjust_p_values(&[0.04, 0.01, 0.03], 0.05, Correction::Holm)?;
/// assert_eq!(result.rejected, [false, true, false]);
/// # Ok::<(), mlops_core::stats::StatsError>(())
/// ```
pub fn adjust_p_values(
    p_values: &[f64],
    alpha: f64,
    correction: Correction,
) -> Result<AdjustedPValues, StatsError> {
    require_sample("p_values", p_values)?;
    require_open_unit("alpha", alpha)?;
    if let Some(p) = p_values.iter().find(|p| !(0.0..=1.0).contains(*p)) {
        return Err(invalid("p_values", format!("{p} is not between 0 and 1")));
    }

    let m = p_values.len() as f64;
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|&a, &b| p_values[a].total_cmp(&p_values[b]));
    let ascending: Vec<f64> = order.iter().map(|&index| p_values[index]).collect();

    let (adjusted, rejections) = match correction {
        Correction::Bonferroni => {
            let adjusted = ascending.iter().map(|p| p * m).collect();
            (adjusted, ascending.partition_point(|&p| p <= alpha / m))
        }
        Correction::Sidak => {
            let adjusted = ascending.iter().map(|p| -(m * (-p).ln_1p()).exp_m1()).collect();
            let level = 1.0 - (1.0 - alpha).powf(1.0 / m);
            (adjusted, ascending.partition_point(|&p| p <= level))
        }
        Correction::Holm => step_down(&ascending, alpha),
        Correction::BenjaminiHochberg => step_up(&ascending, alpha, 1.0),
        Correction::BenjaminiYekutieli => {
            let harmonic = (1..=p_values.len()).map(|i| 1.0 / i as f64).sum();
            step_up(&ascending, alpha, harmonic)
        }
    };

    let mut result = AdjustedPValues { adjusted: vec![0.0; order.len()], rejected: vec![false; order.len()] };
    for (rank, (index, p)) in order.into_iter().zip(adjusted).enumerate() {
        result.adjusted[index] = p.min(1.0);
        result.rejected[index] = rank < rejections;
    }
    Ok(result)
}

/// Adjusted ascending p-values and number of rejections of Holm's procedure.
fn step_down(ascending: &[f64], alpha: f64) -> (Vec<f64>, usize) {
    let remaining = |rank: usize| (ascending.len() - rank) as f64;
    let mut highest = 0.0_f64;
    let adjusted = ascending.iter().enumerate().map(|(rank, p)| {
        highest = highest.max(p * remaining(rank));
        highest
    });
    let adjusted = adjusted.collect();
    let first_kept = (0..ascending.len()).find(|&rank| ascending[rank] > alpha / remaining(rank));
    (adjusted, first_kept.unwrap_or(ascending.len()))
}

/// Adjusted ascending p-values and number of rejections of a false-discovery-rate procedure.
fn step_up(ascending: &[f64], alpha: f64, penalty: f64) -> (Vec<f64>, usize) {
    let share = |rank: usize| (rank + 1) as f64 / ascending.len() as f64 / penalty;
    let mut adjusted = vec![0.0; ascending.len()];
    let mut lowest = f64::INFINITY;
    for rank in (0..ascending.len()).rev() {
        lowest = lowest.min(ascending[rank] / share(rank));
        adjusted[rank] = lowest;
    }
    let last_rejected = (0..ascending.len()).rev().find(|&rank| ascending[rank] <= share(rank) * alpha);
    (adjusted, last_rejected.map_or(0, |rank| rank + 1))
}
