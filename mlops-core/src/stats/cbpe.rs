//! How good a classifier is, before the labels come.

use serde::{Deserialize, Serialize};

use super::{ConfusionMatrix, IsotonicRegression, ScoreCurve, StatsError, invalid};

/// Confidence-based performance estimation (CBPE) of a binary classifier.
///
/// A model that is calibrated knows how often it errs: of 100 predictions of probability 0.8, 20 are wrong.
/// So the expected confusion matrix and ROC curve of predictions follow from their probabilities alone.
/// Fit it where labels are known, and estimate where they are not yet.
///
/// It sees that inputs moved to where the model is less sure. It does **not** see concept drift: that the
/// same input now means something else; only labels tell. Small samples vary: estimate over some hundred
/// predictions. This is NannyML's estimator; scores are calibrated by [`IsotonicRegression`].
///
/// ```
/// use mlops_core::stats::Cbpe;
///
/// let scores: Vec<f64> = (0..1_000).map(|i| f64::from(i) / 1_000.0).collect();
/// let labels: Vec<bool> = (0..1_000).map(|i| i * 7_919 % 1_000 < i).collect();
/// let cbpe = Cbpe::fit(&labels, &scores, 0.5)?;
///
/// let sure = cbpe.estimate(&[0.05, 0.95, 0.02, 0.9])?;
/// let unsure = cbpe.estimate(&[0.45, 0.55, 0.6, 0.4])?;
/// assert!(sure.confusion.accuracy()? > 0.85);
/// assert!(unsure.confusion.accuracy()? < 0.7);
/// # Ok::<(), mlops_core::stats::StatsError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cbpe {
    threshold: f64,
    calibration: Option<IsotonicRegression>,
}

/// What [`Cbpe`] expects of predictions.
#[derive(Debug, Clone, PartialEq)]
pub struct CbpeEstimate {
    /// The expected matrix at the threshold: accuracy, precision, recall, F1 and the like.
    pub confusion: ConfusionMatrix,
    /// The expected curve: ROC AUC and average precision.
    pub curve: ScoreCurve,
}

impl Cbpe {
    /// Calibrates the scores of a model on labelled data that the model was not trained on.
    ///
    /// A score of at least `threshold`, in the unit of the scores, is a positive prediction.
    ///
    /// # Errors
    ///
    /// [`StatsError::EmptySample`], [`StatsError::LengthMismatch`], [`StatsError::NotANumber`], and
    /// [`StatsError::InvalidParameter`] for an infinite score, or a threshold that is NaN.
    pub fn fit(labels: &[bool], scores: &[f64], threshold: f64) -> Result<Self, StatsError> {
        let outcomes: Vec<f64> = labels.iter().map(|&label| f64::from(label)).collect();
        let calibration = IsotonicRegression::fit(scores, &outcomes, None)?;
        Ok(Self { calibration: Some(calibration), ..Self::of_probabilities(threshold)? })
    }

    /// Takes scores for calibrated probabilities as they are.
    ///
    /// # Errors
    ///
    /// [`StatsError::InvalidParameter`] when `threshold` is NaN.
    pub fn of_probabilities(threshold: f64) -> Result<Self, StatsError> {
        if threshold.is_nan() {
            return Err(invalid("threshold", "NaN is no threshold"));
        }
        Ok(Self { threshold, calibration: None })
    }

    /// The probability of a positive that each score stands for.
    ///
    /// # Errors
    ///
    /// [`StatsError::NotANumber`].
    pub fn probabilities(&self, scores: &[f64]) -> Result<Vec<f64>, StatsError> {
        match &self.calibration {
            Some(calibration) => calibration.predict(scores),
            None => Ok(scores.to_vec()),
        }
    }

    /// What to expect of the predictions with these scores.
    ///
    /// # Errors
    ///
    /// [`StatsError::EmptySample`], [`StatsError::NotANumber`]; [`StatsError::InvalidParameter`] for a score
    /// that is taken for a probability and lies outside `[0, 1]`.
    pub fn estimate(&self, scores: &[f64]) -> Result<CbpeEstimate, StatsError> {
        let probabilities = self.probabilities(scores)?;
        let predictions: Vec<bool> = scores.iter().map(|&score| score >= self.threshold).collect();
        Ok(CbpeEstimate {
            confusion: ConfusionMatrix::expected(&probabilities, &predictions)?,
            curve: ScoreCurve::expected(&probabilities, scores)?,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::stats::roc_auc;

    /// Points that are spread evenly, and look random.
    fn scatter(n: u32, step: f64) -> impl Iterator<Item = f64> {
        (0..n).map(move |i| (f64::from(i) * step).fract())
    }

    #[test]
    fn the_estimate_is_near_the_truth() {
        let squares = |n| scatter(n, 0.618_033_988_749_894_9).map(|score| score * score);
        let labels = |n| squares(n).zip(scatter(n, 0.414_213_562_373_095_1));
        let sample = |n| labels(n).map(|(probability, draw)| (draw < probability, probability.sqrt()));
        let (known, scores): (Vec<bool>, Vec<f64>) = sample(20_000).unzip();
        let cbpe = Cbpe::fit(&known, &scores, 0.6).unwrap();

        let (actual, scores): (Vec<bool>, Vec<f64>) = sample(30_000).skip(20_000).unzip();
        let estimate = cbpe.estimate(&scores).unwrap();
        let truth = ConfusionMatrix::at_threshold(&actual, &scores, 0.6, None).unwrap();
        let gap = |a: Result<f64, StatsError>, b: Result<f64, StatsError>| (a.unwrap() - b.unwrap()).abs();
        assert!(gap(estimate.confusion.accuracy(), truth.accuracy()) < 0.01);
        assert!(gap(estimate.confusion.f1(), truth.f1()) < 0.01);
        assert!(gap(estimate.curve.roc_auc(), roc_auc(&actual, &scores)) < 0.01);
    }

    #[test]
    fn bad_input_is_an_error() {
        assert!(Cbpe::of_probabilities(f64::NAN).is_err());
        let cbpe = Cbpe::of_probabilities(0.5).unwrap();
        assert!(matches!(cbpe.estimate(&[]), Err(StatsError::EmptySample { .. })));
        assert!(matches!(cbpe.estimate(&[f64::NAN]), Err(StatsError::NotANumber { .. })));
        assert!(matches!(cbpe.estimate(&[1.5]), Err(StatsError::InvalidParameter { .. })));
    }

    proptest! {
        #[test]
        fn certainty_is_never_wrong(labels in vec(any::<bool>(), 1..40)) {
            let certain: Vec<f64> = labels.iter().map(|&label| f64::from(label)).collect();
            let estimate = Cbpe::of_probabilities(0.5).unwrap().estimate(&certain).unwrap();
            prop_assert_eq!(estimate.confusion, ConfusionMatrix::new(&labels, &labels, None).unwrap());
            prop_assert_eq!(estimate.confusion.accuracy(), Ok(1.0));
            if let Ok(auc) = estimate.curve.roc_auc() {
                prop_assert_eq!(auc, 1.0);
            }
        }
    }
}
