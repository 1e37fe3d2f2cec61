//! The population stability index: how far the shares of bins or categories moved.

pub mod compat;

use std::collections::BTreeMap;

use super::bins::{Closed, bin_counts_of};
use super::quantile::quantile_edges_of;
use super::special::{chi_squared_isf, normal_isf};
use super::{
    StatsError, require_bins, require_open_unit, require_same_length, require_sample, require_total,
};

/// Options of [`psi()`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PsiOptions {
    /// Number of quantile bins asked for, at least 2; equal quantiles collapse. Default 10.
    pub bins: usize,
    /// Least share of a bin, in `(0, 1)`. Default `1e-4`.
    pub floor: f64,
    /// Which end of each bin belongs to it. Default [`Closed::Right`].
    pub closed: Closed,
}

impl Default for PsiOptions {
    fn default() -> Self {
        Self { bins: 10, floor: 1e-4, closed: Closed::Right }
    }
}

/// Result of [`psi()`].
#[derive(Debug, Clone, PartialEq)]
pub struct Psi {
    /// The index; non-negative, 0 for equal shares.
    pub value: f64,
    /// Inner bin edges, ascending, in the unit of the samples.
    pub edges: Vec<f64>,
    /// Observations of the reference per bin; one more than edges.
    pub reference_counts: Vec<u64>,
    /// Observations of the current sample per bin.
    pub current_counts: Vec<u64>,
}

/// Result of [`psi_categorical`].
#[derive(Debug, Clone, PartialEq)]
pub struct CategoricalPsi<K> {
    /// The index; non-negative, 0 for equal shares.
    pub value: f64,
    /// Every category of either sample, ascending.
    pub categories: Vec<K>,
    /// Observations of the reference per category.
    pub reference_counts: Vec<u64>,
    /// Observations of the current sample per category.
    pub current_counts: Vec<u64>,
}

/// The population stability index of two numeric samples over quantile bins of the reference.
///
/// `PSI = Σ_i (c_i - r_i) ln(c_i / r_i)` over the shares `r_i`, `c_i` of the bins, the symmetrised
/// Kullback-Leibler divergence of two histograms. A share below `floor` is raised to it, without
/// renormalising, so that an empty bin contributes a finite amount. That amount depends on the floor: keep
/// the floor fixed to compare values over time, and judge a value against [`psi_threshold_chi2`], which
/// knows the sample sizes, rather than against the customary 0.1 and 0.25, which do not.
///
/// Infinities fall into the outermost bins. Nothing is sorted or copied: see [`quantiles`](super::quantiles).
///
/// Source: Lewis, *An Introduction to Credit Scoring*, 1994; Yurdakul, *Statistical properties of
/// population stability index*, 2018.
///
/// # Errors
///
/// [`StatsError::EmptySample`], [`StatsError::NotANumber`], and [`StatsError::InvalidParameter`] for an
/// option outside its domain.
///
/// ```
/// use mlops_core::stats::{PsiOptions, psi};
///
/// let reference: Vec<f64> = (0..100).map(f64::from).collect();
/// let shifted: Vec<f64> = reference.iter().map(|value| value + 30.0).collect();
/// assert_eq!(psi(&reference, &reference, PsiOptions::default())?.value, 0.0);
/// assert!(psi(&reference, &shifted, PsiOptions::default())?.value > 0.25);
/// # Ok::<(), mlops_core::stats::StatsError>(())
/// ```
pub fn psi(reference: &[f64], current: &[f64], options: PsiOptions) -> Result<Psi, StatsError> {
    require_bins(options.bins)?;
    require_sample("reference", reference)?;
    require_sample("current", current)?;
    let edges = quantile_edges_of(reference, options.bins)?;
    let reference_counts = bin_counts_of(reference, &edges, options.closed);
    let current_counts = bin_counts_of(current, &edges, options.closed);
    let value = psi_from_counts(&reference_counts, &current_counts, options.floor)?;
    Ok(Psi { value, edges, reference_counts, current_counts })
}

/// The population stability index of two histograms over the same bins; see [`psi()`].
///
/// # Errors
///
/// [`StatsError::LengthMismatch`]; [`StatsError::EmptySample`] when all counts of one side are zero;
/// [`StatsError::InvalidParameter`] when `floor` is outside `(0, 1)`.
///
/// ```
/// use mlops_core::stats::psi_from_counts;
///
/// let psi = psi_from_counts(&[50, 50], &[60, 40], 1e-4)?;
/// assert!((psi - 0.1 * (0.6_f64 / 0.4).ln()).abs() < 1e-12);
/// # Ok::<(), mlops_core::stats::StatsError>(())
/// ```
pub fn psi_from_counts(reference: &[u64], current: &[u64], floor: f64) -> Result<f64, StatsError> {
    require_open_unit("floor", floor)?;
    require_same_length("current", reference.len(), current.len())?;
    let reference_total = require_total("reference", reference)?;
    let current_total = require_total("current", current)?;
    let shares = reference.iter().zip(current).map(|(&reference, &current)| {
        let reference = (reference as f64 / reference_total).max(floor);
        let current = (current as f64 / current_total).max(floor);
        (reference, current)
    });
    Ok(divergence(shares))
}

/// The population stability index of two samples of categories; see [`psi()`].
///
/// Runs over the union of the categories, so that a category that is new or has vanished counts.
///
/// # Errors
///
/// [`StatsError::EmptySample`]; [`StatsError::InvalidParameter`] when `floor` is outside `(0, 1)`.
///
/// ```
/// use mlops_core::stats::psi_categorical;
///
/// let psi = psi_categorical(&["de", "fr", "fr"], &["fr", "it"], 1e-4)?;
/// assert_eq!(psi.categories, ["de", "fr", "it"]);
/// assert_eq!((psi.reference_counts, psi.current_counts), (vec![1, 2, 0], vec![0, 1, 1]));
/// # Ok::<(), mlops_core::stats::StatsError>(())
/// ```
pub fn psi_categorical<K: Ord + Clone>(
    reference: &[K],
    current: &[K],
    floor: f64,
) -> Result<CategoricalPsi<K>, StatsError> {
    let mut counts: BTreeMap<&K, (u64, u64)> = BTreeMap::new();
    for key in reference {
        counts.entry(key).or_default().0 += 1;
    }
    for key in current {
        counts.entry(key).or_default().1 += 1;
    }
    let categories = counts.keys().map(|&key| key.clone()).collect();
    let (reference_counts, current_counts): (Vec<u64>, Vec<u64>) = counts.into_values().unzip();
    let value = psi_from_counts(&reference_counts, &current_counts, floor)?;
    Ok(CategoricalPsi { value, categories, reference_counts, current_counts })
}

/// The value that PSI exceeds with probability `1 - confidence` when nothing changed.
///
/// For two samples from one distribution PSI is approximately `(1/n + 1/m) χ²` with `bins - 1` degrees of
/// freedom (Yurdakul 2018); this is that quantile. `confidence` is in `(0, 1)`, for example 0.95.
///
/// # Errors
///
/// [`StatsError::InvalidParameter`] when `bins` is below 2 or above 2²⁰ or `confidence` is out of domain;
/// [`StatsError::EmptySample`] for a sample size of zero.
///
/// ```
/// use mlops_core::stats::psi_threshold_chi2;
///
/// let threshold = psi_threshold_chi2(10, 1_000, 1_000, 0.95)?;
/// assert!((threshold - 0.033_838).abs() < 1e-6);
/// # Ok::<(), mlops_core::stats::StatsError>(())
/// ```
pub fn psi_threshold_chi2(
    bins: usize,
    n_reference: u64,
    n_current: u64,
    confidence: f64,
) -> Result<f64, StatsError> {
    let scale = inverse_size("n_reference", n_reference)? + inverse_size("n_current", n_current)?;
    Ok(scale * chi2_quantile(bins, confidence)?)
}

/// [`psi_threshold_chi2`] for a reference whose shares are known exactly: `χ² / n_current`.
///
/// Fit where the bin shares are given, or the reference is far larger than the current sample.
///
/// # Errors
///
/// Those of [`psi_threshold_chi2`].
///
/// ```
/// use mlops_core::stats::psi_threshold_chi2_fixed_reference;
///
/// let threshold = psi_threshold_chi2_fixed_reference(10, 1_000, 0.95)?;
/// assert!((threshold - 0.016_919).abs() < 1e-6);
/// # Ok::<(), mlops_core::stats::StatsError>(())
/// ```
pub fn psi_threshold_chi2_fixed_reference(
    bins: usize,
    n_current: u64,
    confidence: f64,
) -> Result<f64, StatsError> {
    Ok(inverse_size("n_current", n_current)? * chi2_quantile(bins, confidence)?)
}

/// [`psi_threshold_chi2`] with χ² replaced by the normal distribution of the same mean and variance.
///
/// `(1/n + 1/m) (B - 1 + z √(2(B - 1)))` for B bins (Yurdakul 2018); close for many bins.
///
/// # Errors
///
/// Those of [`psi_threshold_chi2`].
///
/// ```
/// use mlops_core::stats::psi_threshold_normal;
///
/// let threshold = psi_threshold_normal(10, 1_000, 1_000, 0.95)?;
/// assert!((threshold - 0.031_957).abs() < 1e-6);
/// # Ok::<(), mlops_core::stats::StatsError>(())
/// ```
pub fn psi_threshold_normal(
    bins: usize,
    n_reference: u64,
    n_current: u64,
    confidence: f64,
) -> Result<f64, StatsError> {
    let scale = inverse_size("n_reference", n_reference)? + inverse_size("n_current", n_current)?;
    require_bins(bins)?;
    require_open_unit("confidence", confidence)?;
    let dof = (bins - 1) as f64;
    Ok(scale * (dof + normal_isf(1.0 - confidence) * (2.0 * dof).sqrt()))
}

fn chi2_quantile(bins: usize, confidence: f64) -> Result<f64, StatsError> {
    require_bins(bins)?;
    require_open_unit("confidence", confidence)?;
    Ok(chi_squared_isf(1.0 - confidence, (bins - 1) as f64))
}

fn inverse_size(what: &'static str, size: u64) -> Result<f64, StatsError> {
    if size == 0 { Err(StatsError::EmptySample { what }) } else { Ok(1.0 / size as f64) }
}

/// Σ (q - p) ln(q / p) over pairs of positive shares.
fn divergence(shares: impl Iterator<Item = (f64, f64)>) -> f64 {
    shares.map(|(p, q)| (q - p) * (q / p).ln()).sum()
}
