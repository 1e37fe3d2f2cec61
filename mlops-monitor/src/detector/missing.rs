//! Drift of the share of missing values.

use mlops_core::Assessment;

use super::evidence::p_value_of_shares;
use super::thresholds::{rule_of_thresholds, thresholds};
use super::{Rule, fits};
use crate::{FeatureCounts, FeatureProfile};

/// When more or fewer missing values mean drift.
///
/// The score is the difference of the shares of missing values, 0 to 1; the p-value that of two proportions:
/// Fisher's exact test where few are expected, else Pearson's. Missing values count as samples here.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct MissingRateRule {
    /// How often chance alone may look like a change, in (0, 1). In a report over many features it is the
    /// false-discovery rate. Default 0.001.
    pub alpha: f64,
    /// The least difference of the shares that is drift and no mere warning. Default 0.05.
    pub effect: f64,
    /// The least number of samples on each side. Default 100.
    pub min_samples: u64,
}

thresholds!(MissingRateRule: alpha 0.001, effect 0.05, least 100);

impl Rule for MissingRateRule {
    fn test(&self) -> &str {
        "missing_rate"
    }

    rule_of_thresholds!();

    fn assess(&self, feature: &FeatureProfile, counts: &FeatureCounts) -> Assessment {
        let reference = feature.counts();
        let (n, m) = (reference.total(), counts.total());
        let enough = n.min(m) >= self.min_samples.max(1) && fits(feature, counts);
        let p_value = enough.then(|| p_value_of_shares(reference.missing, n, counts.missing, m)).flatten();
        let Some(p_value) = p_value else {
            return Assessment::too_few_samples(self.test(), reference.present(), counts.present());
        };
        let score = (counts.missing_share() - reference.missing_share()).abs();
        self.assessment(score, p_value, reference.present(), counts.present())
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use mlops_core::{Column, DriftDetector, Verdict};

    use super::*;
    use crate::BinnedDetector;

    #[test]
    fn a_feature_that_goes_missing_or_comes_back_is_seen() {
        let with = |missing: usize| {
            let value = |i| if i < missing { f64::NAN } else { i as f64 };
            (0..1000).map(value).collect::<Vec<f64>>()
        };
        let verdict = |before: usize, after: usize| {
            let reference = FeatureProfile::new("x", &with(before)).unwrap();
            let detector = BinnedDetector::new(reference, MissingRateRule::default()).unwrap();
            detector.observe(Column::Numeric(&with(after))).unwrap();
            detector.assess().verdict
        };
        assert_eq!(verdict(0, 0), Verdict::Stable);
        assert_eq!(verdict(0, 3), Verdict::Stable);
        assert_eq!(verdict(0, 20), Verdict::Warning);
        assert_eq!(verdict(0, 1000), Verdict::Drifted);
        assert_eq!(verdict(1000, 0), Verdict::Drifted);
        assert_eq!(verdict(300, 340), Verdict::Stable);
    }
}
