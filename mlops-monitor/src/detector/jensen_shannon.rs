//! Drift by the Jensen-Shannon distance.

use mlops_core::Assessment;
use mlops_core::stats::{ChiSquaredStatistic, LogBase, jensen_shannon_distance};

use super::evidence::Pooled;
use super::thresholds::{rule_of_thresholds, thresholds};
use super::{Rule, fits};
use crate::{FeatureCounts, FeatureProfile};

/// When the Jensen-Shannon distance means drift.
///
/// The score is the distance to base 2, 0 to 1, of the deciles of the reference or of its categories
/// ([`jensen_shannon_distance`]). Of small windows it is large by chance alone: without any change, the divergence that
/// weighs the samples by their sizes, times `2 (N + M)` in nats, is the likelihood ratio statistic of
/// homogeneity and follows a χ² law with one degree of freedom less than bins (Grosse et al., Physical Review E
/// 65, 041905, 2002). The p-value is that of this statistic or of Pearson's, whichever is larger, for the χ² law
/// flatters the first where bins hold few values; rare bins are pooled as in
/// [`ChiSquareRule`](crate::ChiSquareRule).
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct JensenShannonRule {
    /// How often chance alone may look like a change, in (0, 1). In a report over many features it is the
    /// false-discovery rate. Default 0.01.
    pub alpha: f64,
    /// The least distance that is drift and no mere warning. Default 0.1, as in other tools.
    pub effect: f64,
    /// The least number of samples on each side. Default 100.
    pub min_samples: u64,
}

thresholds!(JensenShannonRule: alpha 0.01, effect 0.1, least 100);

impl Rule for JensenShannonRule {
    fn test(&self) -> &str {
        "jensen_shannon"
    }

    rule_of_thresholds!();

    fn assess(&self, feature: &FeatureProfile, counts: &FeatureCounts) -> Assessment {
        let (n, m) = (feature.counts().present(), counts.present());
        let enough = n.min(m) >= self.min_samples.max(1) && fits(feature, counts);
        let reference = feature.binning().coarse_counts(&feature.counts().bins);
        let current = feature.binning().coarse_counts(&counts.bins);
        let measure = || {
            let weights = |counts: &[u64]| counts.iter().map(|count| *count as f64).collect::<Vec<f64>>();
            let distance =
                jensen_shannon_distance(&weights(&reference), &weights(&current), LogBase::Two).ok()?;
            let pooled = Pooled::of_feature(feature, &reference, &current);
            let likelihood = pooled.p_value(ChiSquaredStatistic::LogLikelihood)?;
            Some((distance, likelihood.max(pooled.p_value(ChiSquaredStatistic::Pearson)?)))
        };
        match enough.then(measure).flatten() {
            Some((distance, p_value)) => self.assessment(distance, p_value, n, m),
            None => Assessment::too_few_samples(self.test(), n, m),
        }
    }
}
