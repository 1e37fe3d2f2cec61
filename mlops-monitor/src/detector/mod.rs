//! Tests of live counts against a reference.

mod ks;
mod psi;

use std::fmt;

use mlops_core::{Assessment, Column, DriftDetector, Error, Result};

use crate::counters::{Cells, count};
use crate::{FeatureCounts, FeatureProfile};

pub use ks::KsRule;
pub use psi::PsiRule;

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
    cells: Cells,
    rule: R,
}

impl<R: Rule> BinnedDetector<R> {
    /// Compares with the reference `feature` by `rule`.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when the thresholds of the rule are impossible.
    pub fn new(feature: FeatureProfile, rule: R) -> Result<Self> {
        rule.check()?;
        Ok(Self { cells: Cells::new(feature.grid()), feature, rule })
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
        let Column::Numeric(values) = column else {
            return Err(Error::invalid_input(format!(
                "feature `{}` is numeric; its `{}` detector takes no other column",
                self.feature.name(),
                self.test()
            )));
        };
        count(values.iter().map(|value| (&self.cells, self.feature.grid(), *value)));
        Ok(())
    }

    fn assess(&self) -> Assessment {
        self.rule.assess(&self.feature, &self.cells.snapshot())
    }

    fn reset(&self) {
        self.cells.take();
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
