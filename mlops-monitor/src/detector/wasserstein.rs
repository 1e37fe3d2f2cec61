//! Drift by the Wasserstein distance.

use std::f64::consts::FRAC_2_PI;

use mlops_core::Assessment;
use mlops_core::stats::normal_sf;

use super::thresholds::{rule_of_thresholds, thresholds};
use super::{Rule, fits};
use crate::{FeatureCounts, FeatureKind, FeatureProfile};

/// When the Wasserstein-1 distance means drift.
///
/// The score is `∫ |R - C| dx / s` over the distribution functions of the reference and the window, taken at the
/// edges of the fine bins and linear between, in units of the standard deviation s of the reference: how far
/// values have moved on average. Values outside the range of the reference count as if at its border
/// ([`RangeRule`](crate::RangeRule) sees them).
///
/// Without a change, `R - C` is about `√(1/N + 1/M)` times a Brownian bridge (del Barrio, Giné & Matrán, Annals of
/// Probability 27(2), 1999). The p-value is the tail of the log-normal distribution with the mean and the variance
/// of the integral over its absolute value, which follow from those of two normal variables.
///
/// For numeric features that are not constant.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct WassersteinRule {
    /// How often chance alone may look like a change, in (0, 1). In a report over many features it is the
    /// false-discovery rate. Default 0.01.
    pub alpha: f64,
    /// The least distance, in standard deviations of the reference, that is drift and no mere warning. Default 0.2.
    pub effect: f64,
    /// The least number of samples on each side. Default 100.
    pub min_samples: u64,
}

thresholds!(WassersteinRule: alpha 0.01, effect 0.2, least 100);

impl Rule for WassersteinRule {
    fn test(&self) -> &str {
        "wasserstein"
    }

    rule_of_thresholds!();

    fn applies_to(&self, kind: FeatureKind) -> bool {
        kind == FeatureKind::Numeric
    }

    fn assess(&self, feature: &FeatureProfile, counts: &FeatureCounts) -> Assessment {
        let (n, m) = (feature.counts().present(), counts.present());
        let enough = n.min(m) >= self.min_samples.max(1) && fits(feature, counts);
        match enough.then(|| measure(feature, counts, n as f64, m as f64)).flatten() {
            Some((distance, p_value)) => self.assessment(distance, p_value, n, m),
            None => Assessment::too_few_samples(self.test(), n, m),
        }
    }
}

/// The distance in standard deviations, and its p-value.
fn measure(feature: &FeatureProfile, counts: &FeatureCounts, n: f64, m: f64) -> Option<(f64, f64)> {
    let unit = feature.summary()?.std;
    let edges = feature.edges();
    if unit <= 0.0 || edges.len() < 2 {
        return None;
    }
    // The trapezoidal rule: half of the gaps on both sides of an edge.
    let gap = |index: usize| Some((edges.get(index + 1)? - edges.get(index)?) / unit / 2.0);
    let weights = (0..edges.len())
        .map(|index| gap(index).unwrap_or(0.0) + index.checked_sub(1).and_then(gap).unwrap_or(0.0));

    let (mut seen, mut distance) = ((0_u64, 0_u64), 0.0);
    // Per edge: its weight times the standard deviation of the difference there, and the odds of lying below.
    let mut noise: Vec<(f64, f64)> = Vec::with_capacity(edges.len());
    for ((reference, current), weight) in feature.counts().bins.iter().zip(&counts.bins).zip(weights) {
        seen = (seen.0.saturating_add(*reference), seen.1.saturating_add(*current));
        distance += weight * (seen.0 as f64 / n - seen.1 as f64 / m).abs();
        let share = (seen.0 as f64 + seen.1 as f64) / (n + m);
        if share > 0.0 && share < 1.0 {
            let deviation = (share * (1.0 - share) * (1.0 / n + 1.0 / m)).sqrt();
            noise.push((weight * deviation, share / (1.0 - share)));
        }
    }
    if !distance.is_finite() {
        return None;
    }
    if noise.is_empty() {
        return Some((distance, if distance > 0.0 { 0.0 } else { 1.0 }));
    }
    let mean: f64 = FRAC_2_PI.sqrt() * noise.iter().map(|(deviation, _)| deviation).sum::<f64>();
    let variance: f64 = noise
        .iter()
        .enumerate()
        .map(|(index, (deviation, odds))| {
            let of_itself = deviation.powi(2) * covariance_of_magnitudes(1.0);
            let rest = noise.iter().skip(index + 1);
            // Of a Brownian bridge at two places the correlation is the root of the ratio of their odds.
            let with_later =
                |(other, later): &(f64, f64)| other * covariance_of_magnitudes((odds / later).sqrt());
            of_itself + 2.0 * deviation * rest.map(with_later).sum::<f64>()
        })
        .sum();
    let log_variance = (variance / mean.powi(2)).ln_1p();
    let log_mean = mean.ln() - log_variance / 2.0;
    let p_value =
        if distance > 0.0 { normal_sf((distance.ln() - log_mean) / log_variance.sqrt()) } else { 1.0 };
    (p_value.is_finite()).then_some((distance, p_value))
}

/// The covariance of the magnitudes of two standard normal variables of this correlation:
/// `2/π (√(1 - ρ²) + ρ asin ρ - 1)`.
fn covariance_of_magnitudes(correlation: f64) -> f64 {
    let correlation = correlation.min(1.0);
    FRAC_2_PI * ((1.0 - correlation * correlation).sqrt() + correlation * correlation.asin() - 1.0)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use mlops_core::{Column, DriftDetector, Verdict};

    use super::*;
    use crate::BinnedDetector;

    #[test]
    fn a_shift_is_its_own_distance() {
        let reference: Vec<f64> = (0..10_000).map(f64::from).collect();
        for (shift, verdict) in
            [(0.0, Verdict::Stable), (300.0, Verdict::Warning), (1_000.0, Verdict::Drifted)]
        {
            let profile = FeatureProfile::new("x", &reference).unwrap();
            let unit = profile.summary().unwrap().std;
            let detector = BinnedDetector::new(profile, WassersteinRule::default()).unwrap();
            let current: Vec<f64> = reference.iter().map(|value| value + shift).collect();
            detector.observe(Column::Numeric(&current)).unwrap();
            let assessment = detector.assess();
            // What lies beyond the range counts at its border.
            let lost = shift * shift / 2.0 / 10_000.0;
            assert!((assessment.score.unwrap() - (shift - lost) / unit).abs() < 0.002, "{assessment:?}");
            assert_eq!(assessment.verdict, verdict, "{assessment:?}");
        }
    }

    #[test]
    fn a_constant_has_no_scale() {
        let detector =
            BinnedDetector::new(FeatureProfile::new("x", &[7.0; 500]).unwrap(), WassersteinRule::default())
                .unwrap();
        detector.observe(Column::Numeric(&[8.0; 500])).unwrap();
        assert_eq!(detector.assess().verdict, Verdict::TooFewSamples);
    }
}
