//! Drift by the Kolmogorov-Smirnov test.

use mlops_core::Assessment;
use mlops_core::stats::{
    BinnedKs, KsOptions, KsTest, StatsError, ks_2samp, ks_from_counts, ks_p_value_asymptotic,
};

use super::thresholds::{rule_of_thresholds, thresholds};
use super::{Rule, fits};
use crate::{FeatureCounts, FeatureKind, FeatureProfile};

/// When the two-sample Kolmogorov-Smirnov test means drift.
///
/// While the values of both sides are few enough to be kept ([`FeatureProfile::sample`],
/// [`FeatureCounts::raw`]), it is the test of the values, with its exact p-value ([`ks_2samp`]).
///
/// Else the statistic is the largest difference of the two distribution functions at the edges of the fine bins
/// ([`FeatureProfile::edges`]), the p-value its asymptotic one ([`ks_p_value_asymptotic`]); missing values are
/// left out.
/// * For a feature with at most 200 distinct reference values, and live values among them, the statistic is
///   that of the raw samples. The p-value is conservative, as always under ties.
/// * Else it is a lower bound, at most [`FeatureProfile::resolution`] below: about 0.005 without ties. So the
///   p-value is an upper bound, and the [`bounds`](mlops_core::Assessment::bounds) say where the statistic lies.
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

thresholds!(KsRule: alpha 0.01, effect 0.1, least 100);

impl Rule for KsRule {
    fn test(&self) -> &str {
        "ks"
    }

    rule_of_thresholds!();

    fn applies_to(&self, kind: FeatureKind) -> bool {
        kind == FeatureKind::Numeric
    }

    fn assess(&self, feature: &FeatureProfile, counts: &FeatureCounts) -> Assessment {
        let (n, m) = (feature.counts().present(), counts.present());
        let enough = n.min(m) >= self.min_samples && !feature.edges().is_empty() && fits(feature, counts);
        if !enough {
            return Assessment::too_few_samples(self.test(), n, m);
        }
        if let Some(exact) = feature.sample().zip(counts.raw()).and_then(|(x, y)| exact(x, y)) {
            return self.assessment(exact.statistic, exact.p_value, n, m);
        }
        match measure(feature, counts, n, m) {
            Ok((ks, p_value)) => {
                let statistic = ks.statistic.min(1.0);
                self.assessment(statistic, p_value, n, m).with_bounds(statistic, ks.upper_bound.min(1.0))
            }
            Err(_) => Assessment::too_few_samples(self.test(), n, m),
        }
    }
}

/// The test of the values themselves.
fn exact(reference: &[f64], current: &[f64]) -> Option<KsTest> {
    ks_2samp(reference, current, KsOptions::default()).ok()
}

/// The bounds of the statistic, and the p-value of the lower one, for samples of `n` and `m`.
fn measure(
    feature: &FeatureProfile,
    counts: &FeatureCounts,
    n: u64,
    m: u64,
) -> Result<(BinnedKs, f64), StatsError> {
    let ks = ks_from_counts(&feature.counts().bins, &counts.bins)?;
    Ok((ks, ks_p_value_asymptotic(ks.statistic.min(1.0), n, m)?))
}

#[cfg(all(test, not(loom)))]
mod tests {
    use mlops_core::{Column, DriftDetector, Verdict};

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
