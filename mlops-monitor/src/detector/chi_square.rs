//! Drift by the chi-squared test.

use mlops_core::Assessment;
use mlops_core::stats::ChiSquaredStatistic;

use super::evidence::Pooled;
use super::thresholds::{rule_of_thresholds, thresholds};
use super::{Rule, fits};
use crate::{FeatureCounts, FeatureKind, FeatureProfile};

/// When Pearson's chi-squared test of homogeneity means drift.
///
/// It compares two samples, for the reference is one: a test that takes the shares of the reference for known
/// has 45 % false alarms at 1000 against 1000. Bins of which fewer than five values are expected on either side are
/// pooled; two bins with few values are compared by Fisher's exact test.
///
/// The score is `√(½ Σ (r - c)²/(r + c))` over the shares r and c of all bins in the reference and the window:
/// Cramér's V of two samples of equal sizes with these shares. It lies between 0 and 1 and does not depend on the
/// sizes. A coin that comes up 60 % instead of 50 % has 0.1.
///
/// For categorical features; for numeric ones, if it is asked, on the deciles.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct ChiSquareRule {
    /// How often chance alone may look like a change, in (0, 1). In a report over many features it is the
    /// false-discovery rate. Default 0.01.
    pub alpha: f64,
    /// The least score that is drift and no mere warning. Default 0.1.
    pub effect: f64,
    /// The least number of samples on each side. Default 100.
    pub min_samples: u64,
}

thresholds!(ChiSquareRule: alpha 0.01, effect 0.1, least 100);

impl Rule for ChiSquareRule {
    fn test(&self) -> &str {
        "chi_square"
    }

    rule_of_thresholds!();

    fn applies_to(&self, kind: FeatureKind) -> bool {
        kind == FeatureKind::Categorical
    }

    fn assess(&self, feature: &FeatureProfile, counts: &FeatureCounts) -> Assessment {
        let (n, m) = (feature.counts().present(), counts.present());
        let enough = n.min(m) >= self.min_samples.max(1) && fits(feature, counts);
        if !enough {
            return Assessment::too_few_samples(self.test(), n, m);
        }
        let reference = feature.binning().coarse_counts(&feature.counts().bins);
        let current = feature.binning().coarse_counts(&counts.bins);
        let pooled = Pooled::of_feature(feature, &reference, &current);
        let Some(p_value) = pooled.p_value(ChiSquaredStatistic::Pearson) else {
            return Assessment::too_few_samples(self.test(), n, m);
        };
        self.assessment(effect(&reference, &current, n, m), p_value, n, m)
    }
}

fn effect(reference: &[u64], current: &[u64], n: u64, m: u64) -> f64 {
    let shares = reference.iter().zip(current).map(|(r, c)| (*r as f64 / n as f64, *c as f64 / m as f64));
    let differing = shares.filter(|(r, c)| r + c > 0.0);
    (0.5 * differing.map(|(r, c)| (r - c).powi(2) / (r + c)).sum::<f64>()).sqrt().min(1.0)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use mlops_core::{Column, DriftDetector, Verdict};

    use super::*;
    use crate::BinnedDetector;

    #[test]
    fn the_effect_does_not_depend_on_the_sizes() {
        let words = |a: usize, b: usize| [vec!["a"; a], vec!["b"; b]].concat();
        let assess = |reference: Vec<&str>, current: Vec<&str>| {
            let reference = FeatureProfile::categorical("x", reference.into_iter().map(Some)).unwrap();
            let detector = BinnedDetector::new(reference, ChiSquareRule::default()).unwrap();
            detector.observe(Column::Categorical(&current)).unwrap();
            detector.assess()
        };
        let large = assess(words(5_000, 5_000), words(600, 400));
        let small = assess(words(50, 50), words(60, 40));
        assert!((large.score.unwrap() - 0.1005).abs() < 1e-4);
        assert_eq!(
            (large.score, large.verdict, small.verdict),
            (small.score, Verdict::Drifted, Verdict::Stable)
        );
        assert_eq!(assess(words(500, 500), vec!["c"; 200]).score, Some(1.0));
        assert_eq!(assess(words(500, 0), words(200, 0)).verdict, Verdict::Stable);
    }
}
