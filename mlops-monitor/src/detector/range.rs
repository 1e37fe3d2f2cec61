//! Values outside the range of the reference.

use mlops_core::Assessment;

use super::evidence::{p_value_of_exceeding, p_value_of_shares};
use super::thresholds::{rule_of_thresholds, thresholds};
use super::{Rule, fits};
use crate::{FeatureCounts, FeatureKind, FeatureProfile};

/// When values outside the range of the reference mean drift.
///
/// The score is the share of values below the least or above the greatest finite value of the reference. Some are
/// to be expected, and how many does not depend on the distribution: of the m values of a window, on average
/// `m/(n + 1)` exceed the greatest of n from the same distribution, and the p-value is exactly the probability
/// of at least as many (Gumbel & von Schelling 1950), on the worse side and times two. Where the reference has
/// infinities, their share is compared with the share outside.
///
/// For numeric features.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct RangeRule {
    /// How often chance alone may look like a change, in (0, 1). In a report over many features it is the
    /// false-discovery rate. Default 0.001.
    pub alpha: f64,
    /// The least share outside the range that is drift and no mere warning. Default 0.02.
    pub effect: f64,
    /// The least number of samples on each side. Default 100.
    pub min_samples: u64,
}

thresholds!(RangeRule: alpha 0.001, effect 0.02, least 100);

impl Rule for RangeRule {
    fn test(&self) -> &str {
        "range"
    }

    rule_of_thresholds!();

    fn applies_to(&self, kind: FeatureKind) -> bool {
        kind == FeatureKind::Numeric
    }

    fn assess(&self, feature: &FeatureProfile, counts: &FeatureCounts) -> Assessment {
        let (n, m) = (feature.counts().present(), counts.present());
        let enough =
            n.min(m) >= self.min_samples.max(1) && fits(feature, counts) && !feature.edges().is_empty();
        let reference = &feature.counts().bins;
        let (Some((&below, &above)), Some((&expected_below, &expected_above)), true) =
            (counts.bins.first().zip(counts.bins.last()), reference.first().zip(reference.last()), enough)
        else {
            return Assessment::too_few_samples(self.test(), n, m);
        };
        let p_value = |outside: u64, expected: u64| {
            if expected == 0 {
                p_value_of_exceeding(outside, m, n - expected)
            } else {
                p_value_of_shares(expected, n, outside, m).unwrap_or(1.0)
            }
        };
        let worse = p_value(below, expected_below).min(p_value(above, expected_above));
        let score = below.saturating_add(above) as f64 / m as f64;
        self.assessment(score, (2.0 * worse).min(1.0), n, m)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use mlops_core::{Column, DriftDetector, Verdict};

    use super::*;
    use crate::BinnedDetector;

    #[test]
    fn a_few_values_outside_are_to_be_expected_and_many_are_not() {
        let reference: Vec<f64> = (0..1000).map(f64::from).collect();
        let assess = |outside: usize, value: f64| {
            let reference = FeatureProfile::new("x", &reference).unwrap();
            let detector = BinnedDetector::new(reference, RangeRule::default()).unwrap();
            let current: Vec<f64> = (0..1000).map(|i| if i < outside { value } else { 500.0 }).collect();
            detector.observe(Column::Numeric(&current)).unwrap();
            detector.assess()
        };
        for value in [-0.1, 999.5, 1e9, f64::INFINITY, f64::NEG_INFINITY, f64::MAX] {
            assert_eq!(assess(2, value).verdict, Verdict::Stable);
            assert_eq!(assess(15, value).verdict, Verdict::Warning);
            assert_eq!((assess(30, value).verdict, assess(30, value).score), (Verdict::Drifted, Some(0.03)));
        }
        assert_eq!(assess(1000, 999.0).score, Some(0.0));
    }
}
