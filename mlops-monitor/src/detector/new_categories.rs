//! Categories that the reference does not have.

use mlops_core::Assessment;

use super::evidence::p_value_of_shares;
use super::thresholds::{rule_of_thresholds, thresholds};
use super::{Rule, fits};
use crate::{FeatureCounts, FeatureKind, FeatureProfile};

/// When values of new categories mean drift.
///
/// The score is the share of values whose category the reference does not have. With rare categories some are to
/// be expected: about as many, in proportion, as the reference has categories that it saw once (Good, Biometrika
/// 40(3/4), 1953). So the p-value is that of two proportions, those against the new ones, by Fisher's exact test
/// where few are expected. Categories without a name in the profile count as seen once, as far as they may be.
///
/// For categorical features of which [`all categories are known`](FeatureProfile::knows_all_categories).
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct NewCategoriesRule {
    /// How often chance alone may look like a change, in (0, 1). In a report over many features it is the
    /// false-discovery rate. Default 0.001.
    pub alpha: f64,
    /// The least share of new categories that is drift and no mere warning. Default 0.02.
    pub effect: f64,
    /// The least number of samples on each side. Default 100.
    pub min_samples: u64,
}

thresholds!(NewCategoriesRule: alpha 0.001, effect 0.02, least 100);

impl Rule for NewCategoriesRule {
    fn test(&self) -> &str {
        "new_categories"
    }

    rule_of_thresholds!();

    fn applies_to(&self, kind: FeatureKind) -> bool {
        kind == FeatureKind::Categorical
    }

    fn assess(&self, feature: &FeatureProfile, counts: &FeatureCounts) -> Assessment {
        let (n, m) = (feature.counts().present(), counts.present());
        let enough = n.min(m) >= self.min_samples.max(1) && fits(feature, counts);
        let bins = &feature.counts().bins;
        let (Some(other), Some(new), true) =
            (feature.other_bin(), feature.new_bin(), enough && feature.knows_all_categories())
        else {
            return Assessment::too_few_samples(self.test(), n, m);
        };
        let named = bins.get(..other).unwrap_or_default();
        let seen_once = named.iter().filter(|count| **count == 1).count() as u64;
        // The named ones are the most frequent: if they come more than once, the others may, too.
        let unnamed = bins.get(other).copied().unwrap_or_default();
        let new = counts.bins.get(new).copied().unwrap_or_default();
        let Some(p_value) = p_value_of_shares((seen_once + unnamed).min(n), n, new, m) else {
            return Assessment::too_few_samples(self.test(), n, m);
        };
        let score = new as f64 / m as f64;
        // Fewer new ones than expected are no news.
        let expected = (seen_once + unnamed) as f64 / n as f64;
        self.assessment(score, if score > expected { p_value } else { 1.0 }, n, m)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use mlops_core::{Column, DriftDetector, Verdict};

    use super::*;
    use crate::BinnedDetector;

    fn assess(reference: &[&str], current: &[&str]) -> Assessment {
        let reference = FeatureProfile::categorical("x", reference.iter().map(|word| Some(*word))).unwrap();
        let detector = BinnedDetector::new(reference, NewCategoriesRule::default()).unwrap();
        detector.observe(Column::Categorical(current)).unwrap();
        detector.assess()
    }

    #[test]
    fn new_words_are_news_unless_they_always_are() {
        let reference = vec!["a"; 1000];
        assert_eq!(assess(&reference, &[vec!["a"; 999], vec!["b"; 1]].concat()).verdict, Verdict::Stable);
        assert_eq!(assess(&reference, &[vec!["a"; 985], vec!["b"; 15]].concat()).verdict, Verdict::Warning);
        assert_eq!(assess(&reference, &[vec!["a"; 950], vec!["b"; 50]].concat()).verdict, Verdict::Drifted);
        assert_eq!(assess(&reference, &["b"; 100]).score, Some(1.0));
        assert_eq!(assess(&reference, &["b"; 99]).verdict, Verdict::TooFewSamples);

        let unique: Vec<String> = (0..1000).map(|i| i.to_string()).collect();
        let unique: Vec<&str> = unique.iter().map(String::as_str).collect();
        assert_eq!(assess(&unique, &["never"; 1000]).verdict, Verdict::Stable);
    }
}
