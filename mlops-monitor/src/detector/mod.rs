//! Tests of live counts against a reference.
//!
#![doc = include_str!("FALSE_ALARMS.md")]

mod chi_square;
mod evidence;
mod jensen_shannon;
mod ks;
mod metric_watch;
mod missing;
mod multivariate;
mod new_categories;
mod psi;
mod range;
mod thresholds;
mod wasserstein;

use std::fmt;
use std::sync::Arc;

use mlops_core::{Assessment, Column, DriftDetector, Error, Result, Verdict};

use crate::counters::Live;
use crate::{CounterOptions, FeatureCounts, FeatureKind, FeatureProfile};

pub use chi_square::ChiSquareRule;
pub use jensen_shannon::JensenShannonRule;
pub use ks::KsRule;
pub use metric_watch::{MetricState, MetricWatch};
pub use missing::MissingRateRule;
pub use multivariate::{MultivariateDetector, MultivariateOptions};
pub use new_categories::NewCategoriesRule;
pub use psi::PsiRule;
pub use range::RangeRule;
pub use wasserstein::WassersteinRule;

/// The population stability index as a [`DriftDetector`].
pub type PsiDetector = BinnedDetector<PsiRule>;

/// The two-sample Kolmogorov-Smirnov test as a [`DriftDetector`].
pub type KsDetector = BinnedDetector<KsRule>;

/// When counts mean drift: a test and its thresholds, a pure function.
pub trait Rule: fmt::Debug + Send + Sync + 'static {
    /// The test, as the field calls it: `psi`, `ks`.
    fn test(&self) -> &str;

    /// Proves that the thresholds are possible.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] that names the impossible one.
    fn check(&self) -> Result<()>;

    /// How often chance alone may look like a change, in (0, 1).
    fn alpha(&self) -> f64;

    /// The rule with another [`alpha`](Self::alpha).
    fn with_alpha(&self, alpha: f64) -> Arc<dyn Rule>;

    /// The rule with another least number of samples.
    fn with_min_samples(&self, min_samples: u64) -> Arc<dyn Rule>;

    /// Whether it can judge features of this kind. It can, unless it says otherwise.
    fn applies_to(&self, kind: FeatureKind) -> bool {
        let _ = kind;
        true
    }

    /// The verdict for a p-value that takes other features into account. Without a word of its own a rule keeps its
    /// verdict; then [`Rules`](crate::Rules) divide its alpha by the number of features.
    fn verdict(&self, assessment: &Assessment, adjusted_p_value: f64) -> Verdict {
        let _ = adjusted_p_value;
        assessment.verdict
    }

    /// What `counts` say, which were counted in the bins of `feature`. Counts that were not say
    /// [`TooFewSamples`](mlops_core::Verdict::TooFewSamples).
    fn assess(&self, feature: &FeatureProfile, counts: &FeatureCounts) -> Assessment;
}

/// Watches one feature: counts its values in the bins of a reference, and judges the counts by a rule.
///
/// To watch all the features of a model, see [`Monitor`](crate::Monitor).
///
/// ```
/// use mlops_core::{Column, DriftDetector, Verdict};
/// use mlops_monitor::{FeatureProfile, KsDetector, KsRule};
///
/// let reference: Vec<f64> = (0..1000).map(f64::from).collect();
/// let detector = KsDetector::new(FeatureProfile::new("age", &reference)?, KsRule::default())?;
///
/// detector.observe(Column::Numeric(&[900.0; 50]))?;
/// assert_eq!(detector.assess().verdict, Verdict::TooFewSamples);
/// detector.observe(Column::Numeric(&[900.0; 50]))?;
/// assert_eq!(detector.assess().verdict, Verdict::Drifted);
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Debug)]
pub struct BinnedDetector<R> {
    feature: FeatureProfile,
    live: Live,
    rule: R,
}

impl<R: Rule> BinnedDetector<R> {
    /// Compares with the reference `feature` by `rule`.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when the thresholds of the rule are impossible.
    pub fn new(feature: FeatureProfile, rule: R) -> Result<Self> {
        rule.check()?;
        let CounterOptions { shards, raw, .. } = CounterOptions::default();
        Ok(Self { live: Live::new(std::slice::from_ref(&feature), shards, raw), feature, rule })
    }

    /// The reference.
    pub fn feature(&self) -> &FeatureProfile {
        &self.feature
    }
}

impl<R: Rule> DriftDetector for BinnedDetector<R> {
    fn test(&self) -> &str {
        self.rule.test()
    }

    fn observe(&self, column: Column<'_>) -> Result<()> {
        let feature = std::slice::from_ref(&self.feature);
        match (column, self.feature.kind()) {
            (Column::Numeric(values), _) => {
                self.live.count(feature, values.len()).columns(0..1).count(values, |value| value);
            }
            (Column::Categorical(words), FeatureKind::Categorical) => {
                self.live.count(feature, words.len()).columns(0..1).count_texts(words);
            }
            _ => {
                return Err(Error::invalid_input(format!(
                    "feature `{}` is numeric; its `{}` detector takes no other column",
                    self.feature.name(),
                    self.test()
                )));
            }
        }
        Ok(())
    }

    fn assess(&self) -> Assessment {
        let counts = self.live.snapshot().features.pop().unwrap_or_default();
        self.rule.assess(&self.feature, &counts)
    }

    fn reset(&self) {
        self.live.rotate();
    }
}

/// Whether the counts have the bins of the feature.
fn fits(feature: &FeatureProfile, counts: &FeatureCounts) -> bool {
    feature.binning().bins() == counts.bins.len()
}

/// Drift is large and no chance; what is no chance, but small, is a warning.
fn verdict_of(score: f64, effect: f64, p_value: f64, alpha: f64) -> Verdict {
    match (p_value <= alpha, score >= effect) {
        (true, true) => Verdict::Drifted,
        (true, false) => Verdict::Warning,
        (false, _) => Verdict::Stable,
    }
}

/// Accepts a probability strictly between 0 and 1.
fn check_alpha(alpha: f64) -> Result<()> {
    if alpha > 0.0 && alpha < 1.0 {
        return Ok(());
    }
    Err(Error::invalid_input(format!("alpha is {alpha}; it has to lie between 0 and 1")))
}

/// Accepts a score that a verdict may begin at.
fn check_score(name: &str, score: f64) -> Result<()> {
    if score >= 0.0 && score.is_finite() {
        return Ok(());
    }
    Err(Error::invalid_input(format!("{name} is {score}; it has to be 0 or more")))
}
