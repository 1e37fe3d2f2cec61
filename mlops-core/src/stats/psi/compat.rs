//! Two PSI rules in wide use, for comparing against numbers made elsewhere. Do not monitor with them.
//!
//! Both bin by equal width, so one outlier stretches the grid until nearly everything falls into one bin
//! and the index stays near zero whatever the bulk of the data does. Use [`psi()`](super::psi()).

use super::divergence;
use crate::stats::{StatsError, require_sample, sorted, undefined};

/// PSI by the rule of evidently 0.7 for numeric columns.
///
/// Up to 20 distinct reference values are treated as categories. Otherwise the bins are of equal width, as
/// many as Sturges' rule gives for the pooled sample, over the pooled range. An empty bin gets the share
/// `1e-4`, or a millionth of the smallest share if that is `1e-4` or less.
///
/// Wrong for monitoring because the grid moves with the current sample, so values of two days are not
/// comparable, and because the amount added for an empty bin jumps with the sample size.
///
/// # Errors
///
/// [`StatsError::EmptySample`], [`StatsError::NotANumber`]; [`StatsError::Undefined`] when the pooled range
/// is not finite.
///
/// ```
/// use mlops_core::stats::psi::compat::psi_evidently;
///
/// assert_eq!(psi_evidently(&[1.0, 2.0], &[1.0, 2.0])?, 0.0);
/// # Ok::<(), mlops_core::stats::StatsError>(())
/// ```
pub fn psi_evidently(reference: &[f64], current: &[f64]) -> Result<f64, StatsError> {
    const MOST_CATEGORIES: usize = 20;
    require_sample("reference", reference)?;
    require_sample("current", current)?;
    let pooled = [reference, current].concat();
    let (reference_shares, current_shares) = if distinct(reference).len() > MOST_CATEGORIES {
        let (low, high) = finite_range(&pooled)?;
        let width = (high - low) / ((pooled.len() as f64).log2() + 1.0);
        let bins = ((high - low) / width).ceil().min(pooled.len() as f64);
        let step = (high - low) / bins;
        let mut edges: Vec<f64> = (0..bins as u64).map(|k| k as f64 * step + low).collect();
        edges.push(high);
        (histogram_shares(reference, &edges), histogram_shares(current, &edges))
    } else {
        let categories = distinct(&pooled);
        (category_shares(reference, &categories), category_shares(current, &categories))
    };
    Ok(divergence(fill_evidently(&reference_shares)?.into_iter().zip(fill_evidently(&current_shares)?)))
}

/// PSI by the equal-width snippet that many notebooks and blog posts share.
///
/// Ten bins of equal width over the range of the reference; an empty bin gets the share `1e-4`.
///
/// Wrong for monitoring because current values outside the reference's range are dropped from the
/// histogram, so that the strongest drift, a sample that left the range, is not counted.
///
/// # Errors
///
/// [`StatsError::EmptySample`], [`StatsError::NotANumber`]; [`StatsError::Undefined`] when the range of the
/// reference is zero or not finite.
///
/// ```
/// use mlops_core::stats::psi::compat::psi_equal_width;
///
/// assert_eq!(psi_equal_width(&[1.0, 2.0, 3.0], &[1.0, 2.0, 3.0])?, 0.0);
/// # Ok::<(), mlops_core::stats::StatsError>(())
/// ```
pub fn psi_equal_width(reference: &[f64], current: &[f64]) -> Result<f64, StatsError> {
    const BINS: u32 = 10;
    require_sample("reference", reference)?;
    require_sample("current", current)?;
    let (low, high) = finite_range(reference)?;
    if low == high {
        return Err(undefined("the reference is constant, so it has no bins of equal width"));
    }
    let percent_per_unit = 100.0 / (high - low);
    let percent = |k: u32| f64::from(k) / f64::from(BINS) * 100.0;
    let edges: Vec<f64> = (0..=BINS).map(|k| percent(k) / percent_per_unit + low).collect();
    let fill = |share: f64| if share == 0.0 { 1e-4 } else { share };
    let reference_shares = histogram_shares(reference, &edges).into_iter().map(fill);
    let current_shares = histogram_shares(current, &edges).into_iter().map(fill);
    Ok(divergence(reference_shares.zip(current_shares)))
}

/// Shares of the bins `[e_i, e_{i+1})`, the last one closed; what lies outside counts in no bin.
fn histogram_shares(values: &[f64], edges: &[f64]) -> Vec<f64> {
    let mut counts = vec![0_u64; edges.len().saturating_sub(1)];
    for &value in values {
        let edges_up_to = edges.partition_point(|&edge| edge <= value);
        let bin = if edges.last() == Some(&value) { counts.len() } else { edges_up_to };
        if let Some(count) = bin.checked_sub(1).and_then(|bin| counts.get_mut(bin)) {
            *count += 1;
        }
    }
    counts.into_iter().map(|count| count as f64 / values.len() as f64).collect()
}

fn category_shares(values: &[f64], categories: &[f64]) -> Vec<f64> {
    let count = |category: f64| values.iter().filter(|&&value| value == category).count();
    categories.iter().map(|&category| count(category) as f64 / values.len() as f64).collect()
}

fn fill_evidently(shares: &[f64]) -> Result<Vec<f64>, StatsError> {
    let smallest = shares.iter().copied().filter(|&share| share > 0.0).fold(f64::INFINITY, f64::min);
    if smallest.is_infinite() {
        return Err(undefined("no observation falls into any bin"));
    }
    let fill = if smallest <= 1e-4 { smallest / 1e6 } else { 1e-4 };
    Ok(shares.iter().map(|&share| if share == 0.0 { fill } else { share }).collect())
}

fn distinct(values: &[f64]) -> Vec<f64> {
    let mut distinct = sorted(values.to_vec());
    distinct.dedup();
    distinct
}

fn finite_range(values: &[f64]) -> Result<(f64, f64), StatsError> {
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if !(high - low).is_finite() {
        return Err(undefined(format!("the range from {low} to {high} has no bins of equal width")));
    }
    Ok((low, high))
}
