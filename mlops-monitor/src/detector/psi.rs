//! Drift by the population stability index.

use std::sync::Arc;

use mlops_core::stats::{StatsError, psi_from_counts, psi_threshold_chi2};
use mlops_core::{Assessment, Result, Verdict};

use super::evidence::Pooled;
use super::{Rule, check_alpha, check_score, fits};
use crate::{FeatureCounts, FeatureKind, FeatureProfile};

/// Least share of a bin, as in [`mlops_core::stats::PsiOptions`].
const FLOOR: f64 = 1e-4;

/// When the population stability index means drift.
///
/// The bins are the deciles of the reference ([`FeatureProfile::deciles`]), or its categories. If either side has missing
/// values, they are one more bin, so a feature that stops arriving has drifted; and for the same reason they
/// count as samples here. Without any on both sides there is no such bin.
///
/// A verdict needs **both** a change that is large and one that chance does not explain:
/// * the index reaches the customary band: 0.1 is a warning, 0.2 is drift. Some houses draw the second line
///   at 0.25: [`with_drifted`](PsiRule::with_drifted).
/// * it reaches `(1/N + 1/M) · χ²` at `1 - alpha` and one degree of freedom less than bins, which the index
///   of two samples of N and M from one distribution exceeds with probability `alpha`
///   ([`psi_threshold_chi2`]). For 100 values against many that is 0.22 at alpha 0.01: the customary bands
///   alone would cry wolf. In small windows the logarithm makes the index larger than Pearson's statistic of
///   the same counts, to which the χ² law belongs, so there the line is raised by as much.
///
/// The index sees no more than its bins do. It is blind for values below a constant reference, and for new
/// values between known ones; [`KsRule`](crate::KsRule) is not.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct PsiRule {
    /// The index from which on the verdict can be a warning. Default 0.1.
    pub warning: f64,
    /// The index from which on the verdict can be drift. Default 0.2.
    pub drifted: f64,
    /// How often chance alone may reach the second line, in (0, 1). Default 0.01.
    pub alpha: f64,
    /// The least number of samples on each side. Default 100.
    pub min_samples: u64,
}

impl Default for PsiRule {
    fn default() -> Self {
        Self { warning: 0.1, drifted: 0.2, alpha: 0.01, min_samples: 100 }
    }
}

impl PsiRule {
    /// Sets the index from which on the verdict can be a warning.
    #[must_use]
    pub fn with_warning(mut self, warning: f64) -> Self {
        self.warning = warning;
        self
    }

    /// Sets the index from which on the verdict can be drift.
    #[must_use]
    pub fn with_drifted(mut self, drifted: f64) -> Self {
        self.drifted = drifted;
        self
    }

    /// Sets how often chance alone may look like a change.
    #[must_use]
    pub fn with_alpha(mut self, alpha: f64) -> Self {
        self.alpha = alpha;
        self
    }

    /// Sets the least number of samples on each side.
    #[must_use]
    pub fn with_min_samples(mut self, min_samples: u64) -> Self {
        self.min_samples = min_samples;
        self
    }

    /// The index, and what chance alone exceeds with probability `alpha`.
    fn measure(&self, feature: &FeatureProfile, counts: &FeatureCounts) -> Result<(f64, f64), StatsError> {
        let mut reference = feature.binning().coarse_counts(&feature.counts().bins);
        let mut current = feature.binning().coarse_counts(&counts.bins);
        if feature.counts().missing > 0 || counts.missing > 0 {
            reference.push(feature.counts().missing);
            current.push(counts.missing);
        }
        if feature.kind() == FeatureKind::Categorical {
            (reference, current) = without_empty(reference, current);
        }
        let index = psi_from_counts(&reference, &current, FLOOR)?;
        let (n, m) = (feature.counts().total(), counts.total());
        if feature.kind() == FeatureKind::Categorical {
            // The law of many rare categories is another: they are pooled before chance is asked.
            let pooled = Pooled::of_feature(feature, &reference, &current);
            let bins = pooled.reference.len();
            if bins < 2 {
                return Ok((index, f64::INFINITY));
            }
            let chance = psi_threshold_chi2(bins, n, m, 1.0 - self.alpha)?;
            let excess = index / pearson(&pooled.reference, &pooled.current, n, m);
            return Ok((index, chance * excess.max(1.0)));
        }
        let chance = psi_threshold_chi2(reference.len(), n, m, 1.0 - self.alpha)?;
        let excess = index / pearson(&reference, &current, n, m);
        Ok((index, if excess > 1.0 { chance * excess } else { chance }))
    }
}

/// Without the bins that are empty on both sides, but two at least: those are no degrees of freedom.
fn without_empty(reference: Vec<u64>, current: Vec<u64>) -> (Vec<u64>, Vec<u64>) {
    let bins = reference.into_iter().zip(current).enumerate();
    bins.filter(|(bin, (r, c))| *bin < 2 || r + c > 0).map(|(_, counts)| counts).unzip()
}

/// Pearson's statistic of homogeneity of two histograms, times `1/N + 1/M`: `Σ (r - c)² / p` over the
/// shares `r`, `c` and `p` of each bin in the one, the other and both. What the index is to first order.
fn pearson(reference: &[u64], current: &[u64], n: u64, m: u64) -> f64 {
    let (n, m) = (n as f64, m as f64);
    let bins = reference.iter().zip(current).map(|(r, c)| (*r as f64, *c as f64));
    bins.filter(|(r, c)| r + c > 0.0).map(|(r, c)| (r / n - c / m).powi(2) * (n + m) / (r + c)).sum()
}

impl Rule for PsiRule {
    fn test(&self) -> &str {
        "psi"
    }

    fn check(&self) -> Result<()> {
        check_score("the warning index", self.warning)?;
        check_score("the drift index", self.drifted)?;
        check_alpha(self.alpha)
    }

    fn with_alpha(&self, alpha: f64) -> Arc<dyn Rule> {
        Arc::new((*self).with_alpha(alpha))
    }

    fn with_min_samples(&self, min_samples: u64) -> Arc<dyn Rule> {
        Arc::new((*self).with_min_samples(min_samples))
    }

    fn alpha(&self) -> f64 {
        self.alpha
    }

    fn assess(&self, feature: &FeatureProfile, counts: &FeatureCounts) -> Assessment {
        let (reference, current) = (feature.counts(), counts);
        let (n, m) = (reference.present(), current.present());
        let enough = reference.total().min(current.total()) >= self.min_samples;
        let fits = fits(feature, counts);
        let Some((index, chance)) = (enough && fits).then(|| self.measure(feature, counts).ok()).flatten()
        else {
            return Assessment::too_few_samples(self.test(), n, m);
        };
        let verdict = if index >= self.drifted.max(chance) {
            Verdict::Drifted
        } else if index >= self.warning.max(chance) {
            Verdict::Warning
        } else {
            Verdict::Stable
        };
        Assessment::new(self.test(), index, verdict, n, m)
            .with_threshold(self.drifted.max(chance).min(f64::MAX))
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use mlops_core::{Column, DriftDetector};

    use super::*;
    use crate::PsiDetector;

    fn detector(reference: &[f64], rule: PsiRule) -> PsiDetector {
        PsiDetector::new(FeatureProfile::new("x", reference).unwrap(), rule).unwrap()
    }

    /// 85 of a thousand values move from the first tenth to the last: an index of 0.21.
    fn moved() -> (Vec<f64>, Vec<f64>) {
        let reference: Vec<f64> = (0..1000).map(f64::from).collect();
        let current = reference.iter().map(|value| if *value < 85.0 { 999.0 } else { *value }).collect();
        (reference, current)
    }

    #[test]
    fn the_bands_can_be_moved() {
        let (reference, current) = moved();
        let verdict = |rule: PsiRule| {
            let detector = detector(&reference, rule);
            detector.observe(Column::Numeric(&current)).unwrap();
            detector.assess().verdict
        };
        assert_eq!(verdict(PsiRule::default()), Verdict::Drifted);
        assert_eq!(verdict(PsiRule::default().with_drifted(0.25)), Verdict::Warning);
        assert_eq!(verdict(PsiRule::default().with_warning(0.25).with_drifted(0.25)), Verdict::Stable);
        assert_eq!(verdict(PsiRule::default().with_min_samples(1001)), Verdict::TooFewSamples);
    }

    #[test]
    fn a_feature_that_stops_arriving_has_drifted() {
        let reference: Vec<f64> = (0..1000).map(f64::from).collect();
        let detector = detector(&reference, PsiRule::default());
        detector.observe(Column::Numeric(&reference)).unwrap();
        let before = detector.assess();
        assert_eq!((before.score, before.verdict), (Some(0.0), Verdict::Stable));

        detector.observe(Column::Numeric(&[f64::NAN; 400])).unwrap();
        let after = detector.assess();
        assert_eq!((after.current_size, after.verdict), (1000, Verdict::Drifted));
    }

    #[test]
    fn new_categories_are_drift_and_the_same_ones_are_not() {
        let words = |words: &[&'static str]| words.iter().copied().cycle().take(600).collect::<Vec<_>>();
        let assess = |reference: &[&'static str], current: &[&'static str]| {
            let reference = words(reference).into_iter().map(Some);
            let feature = FeatureProfile::categorical("x", reference).unwrap();
            let detector = PsiDetector::new(feature, PsiRule::default()).unwrap();
            detector.observe(Column::Categorical(&words(current))).unwrap();
            detector.assess()
        };
        assert_eq!(assess(&["a", "b", "c"], &["b", "c", "a"]).verdict, Verdict::Stable);
        assert_eq!(assess(&["a"], &["a"]).verdict, Verdict::Stable);
        assert_eq!(assess(&["a"], &["b"]).verdict, Verdict::Drifted);
        assert_eq!(assess(&["a", "b", "c"], &["a", "b", "d"]).verdict, Verdict::Drifted);
        assert_eq!(assess(&["a", "b", "c"], &["a", "b", ""]).verdict, Verdict::Drifted);
    }

    #[test]
    fn impossible_thresholds_are_refused() {
        for rule in [
            PsiRule::default().with_alpha(0.0),
            PsiRule::default().with_alpha(f64::NAN),
            PsiRule::default().with_warning(-0.1),
            PsiRule::default().with_drifted(f64::INFINITY),
        ] {
            assert!(PsiDetector::new(FeatureProfile::new("x", &[1.0]).unwrap(), rule).is_err(), "{rule:?}");
        }
    }
}
