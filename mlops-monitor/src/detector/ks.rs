//! Drift by the Kolmogorov-Smirnov test.

use mlops_core::stats::{StatsError, ks_from_counts, ks_p_value_asymptotic};
use mlops_core::{Assessment, Result, Verdict};

use super::{Rule, check_alpha, check_score};
use crate::{FeatureCounts, FeatureProfile};

/// When the two-sample Kolmogorov-Smirnov test means drift.
///
/// The statistic is the largest difference of the two distribution functions at the edges of the fine bins
/// ([`FeatureProfile::edges`]), the p-value its asymptotic one ([`ks_p_value_asymptotic`]); missing values are
/// left out.
/// * For a feature with at most 200 distinct reference values, and live values among them, the statistic is
///   that of the raw samples. The p-value is conservative, as always under ties.
/// * Else it is a lower bound, at most [`FeatureProfile::resolution`] below: about 0.005 without ties. So the
///   p-value is too large rather than too small.
///
/// Drift needs **both** a difference that chance does not explain, `p <= alpha`, and one that is large,
/// [`effect`](KsRule::effect); a window of a million values makes any difference significant. Significant and
/// small is a warning.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct KsRule {
    /// How often chance alone may look like a change, in (0, 1). In a report over many features it is the
    /// false-discovery rate. Default 0.01.
    pub alpha: f64,
    /// The least statistic that is drift and no mere warning. 0 leaves the verdict to the p-value. Default
    /// 0.1, what a normal feature shows that moves by a quarter of its standard deviation.
    pub effect: f64,
    /// The least number of values on each side, missing ones left out. Default 100.
    pub min_samples: u64,
}

impl Default for KsRule {
    fn default() -> Self {
        Self { alpha: 0.01, effect: 0.1, min_samples: 100 }
    }
}

impl KsRule {
    /// Sets how often chance alone may look like a change.
    #[must_use]
    pub fn with_alpha(mut self, alpha: f64) -> Self {
        self.alpha = alpha;
        self
    }

    /// Sets the least statistic that is drift and no mere warning.
    #[must_use]
    pub fn with_effect(mut self, effect: f64) -> Self {
        self.effect = effect;
        self
    }

    /// Sets the least number of values on each side.
    #[must_use]
    pub fn with_min_samples(mut self, min_samples: u64) -> Self {
        self.min_samples = min_samples;
        self
    }

    /// What to make of a statistic and its p-value, adjusted or not.
    pub(crate) fn verdict(&self, statistic: f64, p_value: f64) -> Verdict {
        match (p_value <= self.alpha, statistic >= self.effect) {
            (true, true) => Verdict::Drifted,
            (true, false) => Verdict::Warning,
            (false, _) => Verdict::Stable,
        }
    }
}

impl Rule for KsRule {
    fn test(&self) -> &str {
        "ks"
    }

    fn check(&self) -> Result<()> {
        check_score("the effect", self.effect)?;
        check_alpha(self.alpha)
    }

    fn assess(&self, feature: &FeatureProfile, counts: &FeatureCounts) -> Assessment {
        let (n, m) = (feature.counts().present(), counts.present());
        let enough = n.min(m) >= self.min_samples && !feature.edges().is_empty();
        let Some((statistic, p_value)) = enough.then(|| measure(feature, counts, n, m).ok()).flatten() else {
            return Assessment::too_few_samples(self.test(), n, m);
        };
        let verdict = self.verdict(statistic, p_value);
        Assessment::new(self.test(), statistic, verdict, n, m).with_p_value(p_value)
    }
}

/// The statistic and its p-value for samples of `n` and `m`.
fn measure(
    feature: &FeatureProfile,
    counts: &FeatureCounts,
    n: u64,
    m: u64,
) -> Result<(f64, f64), StatsError> {
    let statistic = ks_from_counts(&feature.counts().bins, &counts.bins)?.statistic.min(1.0);
    Ok((statistic, ks_p_value_asymptotic(statistic, n, m)?))
}

#[cfg(test)]
mod tests {
    use mlops_core::{Column, DriftDetector};

    use super::*;
    use crate::KsDetector;

    #[test]
    fn a_small_change_of_a_large_window_is_a_warning() {
        let reference: Vec<f64> = (0..20_000).map(f64::from).collect();
        let current: Vec<f64> = reference.iter().map(|value| value + 1_000.0).collect();
        let verdict = |rule| {
            let detector = KsDetector::new(FeatureProfile::new("x", &reference).unwrap(), rule).unwrap();
            detector.observe(Column::Numeric(&current)).unwrap();
            detector.assess().verdict
        };
        assert_eq!(verdict(KsRule::default()), Verdict::Warning);
        assert_eq!(verdict(KsRule::default().with_effect(0.0)), Verdict::Drifted);
    }

    #[test]
    fn values_below_a_constant_reference_are_seen() {
        let reference = FeatureProfile::new("x", &[7.0; 500]).unwrap();
        for (value, score) in [(6.99, 1.0), (7.0, 0.0), (7.01, 1.0)] {
            let detector = KsDetector::new(reference.clone(), KsRule::default()).unwrap();
            detector.observe(Column::Numeric(&[value; 500])).unwrap();
            assert_eq!(detector.assess().score, Some(score), "{value}");
        }
    }

    #[test]
    fn new_values_between_known_ones_are_seen() {
        let coin: Vec<f64> = (0..500).map(|i| f64::from(i % 2)).collect();
        let detector = KsDetector::new(FeatureProfile::new("x", &coin).unwrap(), KsRule::default()).unwrap();
        detector.observe(Column::Numeric(&[0.5; 500])).unwrap();
        assert_eq!(detector.assess().score, Some(0.5));
        assert_eq!(detector.feature().resolution(), 0.0);
    }

    #[test]
    fn impossible_thresholds_are_refused() {
        for rule in [KsRule::default().with_alpha(1.0), KsRule::default().with_effect(f64::NAN)] {
            assert!(KsDetector::new(FeatureProfile::new("x", &[1.0]).unwrap(), rule).is_err(), "{rule:?}");
        }
    }
}
