//! The confusion matrix of a binary classifier, and the rates that follow from it.

use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

use super::weights::Weights;
use super::{
    StatsError, invalid, require_no_nan, require_positive, require_probabilities, require_same_length,
    undefined,
};

/// How often a binary classifier was right and wrong, by class.
///
/// Holds numbers of observations, or sums of their weights. A rate with nothing to divide by is
/// [`StatsError::Undefined`]: the precision of a model that never said yes is unknown, not zero.
///
/// ```
/// use mlops_core::stats::ConfusionMatrix;
///
/// let labels = [true, true, false, false, false];
/// let scores = [0.9, 0.4, 0.6, 0.2, 0.1];
/// let matrix = ConfusionMatrix::at_threshold(&labels, &scores, 0.5, None)?;
/// assert_eq!((matrix.true_positives, matrix.false_negatives), (1.0, 1.0));
/// assert_eq!(matrix.precision()?, 0.5);
/// assert_eq!(matrix.accuracy()?, 0.6);
/// # Ok::<(), mlops_core::stats::StatsError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct ConfusionMatrix {
    /// Negatives that were called negative.
    pub true_negatives: f64,
    /// Negatives that were called positive.
    pub false_positives: f64,
    /// Positives that were called negative.
    pub false_negatives: f64,
    /// Positives that were called positive.
    pub true_positives: f64,
}

impl ConfusionMatrix {
    /// Counts labels against predictions. `weights` are one for each observation, or 1 for all.
    ///
    /// # Errors
    ///
    /// [`StatsError::EmptySample`], [`StatsError::LengthMismatch`], and [`StatsError::InvalidParameter`]
    /// for weights that are negative, not finite, or all zero.
    pub fn new(labels: &[bool], predictions: &[bool], weights: Option<&[f64]>) -> Result<Self, StatsError> {
        require_same_length("predictions", labels.len(), predictions.len())?;
        Self::count(labels, predictions.iter().copied(), weights)
    }

    /// Counts labels against scores; a score of at least `threshold` is a positive.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new); [`StatsError::NotANumber`] in the scores; [`StatsError::InvalidParameter`]
    /// when `threshold` is NaN.
    pub fn at_threshold(
        labels: &[bool],
        scores: &[f64],
        threshold: f64,
        weights: Option<&[f64]>,
    ) -> Result<Self, StatsError> {
        require_same_length("scores", labels.len(), scores.len())?;
        require_no_nan("scores", scores)?;
        if threshold.is_nan() {
            return Err(invalid("threshold", "NaN is no threshold"));
        }
        Self::count(labels, scores.iter().map(|&score| score >= threshold), weights)
    }

    /// The matrix to expect of predictions whose labels are not known, from calibrated probabilities.
    ///
    /// An observation of probability `p` is `p` of a positive and `1 - p` of a negative. This is how
    /// confidence-based performance estimation (CBPE) finds accuracy, precision, recall and F1 without
    /// labels; it is as good as the calibration. See [`Cbpe`](super::Cbpe).
    ///
    /// # Errors
    ///
    /// [`StatsError::EmptySample`], [`StatsError::LengthMismatch`], [`StatsError::NotANumber`], and
    /// [`StatsError::InvalidParameter`] for a probability outside `[0, 1]`.
    ///
    /// ```
    /// use mlops_core::stats::ConfusionMatrix;
    ///
    /// let expected = ConfusionMatrix::expected(&[0.75, 0.5, 0.25], &[true, true, false])?;
    /// assert_eq!(expected.accuracy()?, 2.0 / 3.0);
    /// # Ok::<(), mlops_core::stats::StatsError>(())
    /// ```
    pub fn expected(probabilities: &[f64], predictions: &[bool]) -> Result<Self, StatsError> {
        require_same_length("predictions", probabilities.len(), predictions.len())?;
        require_probabilities("probabilities", probabilities)?;
        let mut matrix = Self::default();
        for (&probability, &prediction) in probabilities.iter().zip(predictions) {
            matrix.observe(true, prediction, probability);
            matrix.observe(false, prediction, 1.0 - probability);
        }
        Ok(matrix)
    }

    fn count(
        labels: &[bool],
        predictions: impl Iterator<Item = bool>,
        weights: Option<&[f64]>,
    ) -> Result<Self, StatsError> {
        if labels.is_empty() {
            return Err(StatsError::EmptySample { what: "labels" });
        }
        let weights = Weights::new(weights, labels.len())?;
        let mut matrix = Self::default();
        for (index, (&label, prediction)) in labels.iter().zip(predictions).enumerate() {
            matrix.observe(label, prediction, weights.at(index));
        }
        Ok(matrix)
    }

    /// Adds one observation of the given weight, usually 1.
    pub fn observe(&mut self, label: bool, prediction: bool, weight: f64) {
        *match (label, prediction) {
            (false, false) => &mut self.true_negatives,
            (false, true) => &mut self.false_positives,
            (true, false) => &mut self.false_negatives,
            (true, true) => &mut self.true_positives,
        } += weight;
    }

    /// All observations.
    #[must_use]
    pub fn total(&self) -> f64 {
        self.positives() + self.negatives()
    }

    /// Observations whose label is positive.
    #[must_use]
    pub fn positives(&self) -> f64 {
        self.true_positives + self.false_negatives
    }

    /// Observations whose label is negative.
    #[must_use]
    pub fn negatives(&self) -> f64 {
        self.true_negatives + self.false_positives
    }

    /// Observations that were called positive.
    #[must_use]
    pub fn predicted_positives(&self) -> f64 {
        self.true_positives + self.false_positives
    }

    /// Observations that were called negative.
    #[must_use]
    pub fn predicted_negatives(&self) -> f64 {
        self.true_negatives + self.false_negatives
    }

    /// Share of right predictions, `(TP + TN) / n`.
    ///
    /// # Errors
    ///
    /// [`StatsError::Undefined`] without observations.
    pub fn accuracy(&self) -> Result<f64, StatsError> {
        ratio(self.true_positives + self.true_negatives, self.total(), "there are no observations")
    }

    /// Share of positives among what was called positive, `TP / (TP + FP)`.
    ///
    /// # Errors
    ///
    /// [`StatsError::Undefined`] when nothing was called positive.
    pub fn precision(&self) -> Result<f64, StatsError> {
        ratio(self.true_positives, self.predicted_positives(), "nothing was called positive")
    }

    /// Share of the positives that were found, `TP / (TP + FN)`: sensitivity, true positive rate.
    ///
    /// # Errors
    ///
    /// [`StatsError::Undefined`] without positives.
    pub fn recall(&self) -> Result<f64, StatsError> {
        ratio(self.true_positives, self.positives(), NO_POSITIVES)
    }

    /// Share of the negatives that were left alone, `TN / (TN + FP)`: true negative rate.
    ///
    /// # Errors
    ///
    /// [`StatsError::Undefined`] without negatives.
    pub fn specificity(&self) -> Result<f64, StatsError> {
        ratio(self.true_negatives, self.negatives(), NO_NEGATIVES)
    }

    /// Share of the negatives that were called positive, `FP / (TN + FP)`.
    ///
    /// # Errors
    ///
    /// [`StatsError::Undefined`] without negatives.
    pub fn false_positive_rate(&self) -> Result<f64, StatsError> {
        ratio(self.false_positives, self.negatives(), NO_NEGATIVES)
    }

    /// Share of negatives among what was called negative, `TN / (TN + FN)`.
    ///
    /// # Errors
    ///
    /// [`StatsError::Undefined`] when nothing was called negative.
    pub fn negative_predictive_value(&self) -> Result<f64, StatsError> {
        ratio(self.true_negatives, self.predicted_negatives(), "nothing was called negative")
    }

    /// Share of what was called positive, `(TP + FP) / n`.
    ///
    /// # Errors
    ///
    /// [`StatsError::Undefined`] without observations.
    pub fn selection_rate(&self) -> Result<f64, StatsError> {
        ratio(self.predicted_positives(), self.total(), "there are no observations")
    }

    /// Harmonic mean of precision and recall, `2TP / (2TP + FP + FN)`.
    ///
    /// # Errors
    ///
    /// [`StatsError::Undefined`] when there are no positives and nothing was called positive.
    pub fn f1(&self) -> Result<f64, StatsError> {
        self.f_beta(1.0)
    }

    /// Weighted harmonic mean of precision and recall: recall counts `beta` times as much as precision.
    ///
    /// `F_β = (1 + β²) TP / ((1 + β²) TP + β² FN + FP)`. Source: van Rijsbergen, *Information Retrieval*,
    /// 1979.
    ///
    /// # Errors
    ///
    /// [`StatsError::Undefined`] when there are no positives and nothing was called positive;
    /// [`StatsError::InvalidParameter`] when `beta` is not positive.
    pub fn f_beta(&self, beta: f64) -> Result<f64, StatsError> {
        require_positive("beta", beta)?;
        let square = beta * beta;
        let hits = (1.0 + square) * self.true_positives;
        ratio(
            hits,
            hits + square * self.false_negatives + self.false_positives,
            "there are no positives, and nothing was called positive",
        )
    }

    /// Mean of recall and specificity: accuracy as if both classes were equally common.
    ///
    /// # Errors
    ///
    /// [`StatsError::Undefined`] when all labels are of one class.
    pub fn balanced_accuracy(&self) -> Result<f64, StatsError> {
        Ok((self.recall()? + self.specificity()?) / 2.0)
    }

    /// Matthews correlation coefficient: the correlation of labels and predictions, in `[-1, 1]`.
    ///
    /// `(TP·TN - FP·FN) / √((TP+FP)(TP+FN)(TN+FP)(TN+FN))`. Source: Matthews, BBA Protein Structure 405(2),
    /// 1975.
    ///
    /// # Errors
    ///
    /// [`StatsError::Undefined`] when all labels, or all predictions, are of one class.
    pub fn mcc(&self) -> Result<f64, StatsError> {
        let sums =
            [self.positives(), self.negatives(), self.predicted_positives(), self.predicted_negatives()];
        let scale: f64 = sums.into_iter().map(f64::sqrt).product();
        let covariance =
            self.true_positives * self.true_negatives - self.false_positives * self.false_negatives;
        let reason = "all labels, or all predictions, are of one class";
        ratio(covariance, scale, reason).map(|value| value.clamp(-1.0, 1.0))
    }

    /// Cohen's kappa: agreement of labels and predictions beyond what chance gives, at most 1.
    ///
    /// `(p_o - p_e) / (1 - p_e)` with the accuracy `p_o`, and `p_e` that of independent predictions of the
    /// same rates. Source: Cohen, Educational and Psychological Measurement 20(1), 1960.
    ///
    /// # Errors
    ///
    /// [`StatsError::Undefined`] when all labels are of one class: agreement with a constant says nothing.
    pub fn cohen_kappa(&self) -> Result<f64, StatsError> {
        if self.positives() == 0.0 || self.negatives() == 0.0 {
            return Err(undefined("all labels are of one class: wait for the other"));
        }
        let total = self.total();
        let by_chance = (self.positives() * self.predicted_positives()
            + self.negatives() * self.predicted_negatives())
            / (total * total);
        ratio(self.accuracy()? - by_chance, 1.0 - by_chance, "chance alone agrees always")
    }
}

const NO_POSITIVES: &str = "there are no positives";
const NO_NEGATIVES: &str = "there are no negatives";

fn ratio(part: f64, whole: f64, reason: &str) -> Result<f64, StatsError> {
    if whole > 0.0 { Ok(part / whole) } else { Err(undefined(reason)) }
}

impl AddAssign for ConfusionMatrix {
    fn add_assign(&mut self, other: Self) {
        self.true_negatives += other.true_negatives;
        self.false_positives += other.false_positives;
        self.false_negatives += other.false_negatives;
        self.true_positives += other.true_positives;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    fn matrix() -> impl Strategy<Value = ConfusionMatrix> {
        let count = || (0_u32..500).prop_map(f64::from);
        (count(), count(), count(), count()).prop_map(|(tn, fp, fnn, tp)| ConfusionMatrix {
            true_negatives: tn,
            false_positives: fp,
            false_negatives: fnn,
            true_positives: tp,
        })
    }

    #[test]
    fn what_cannot_be_known_is_undefined() {
        let never = ConfusionMatrix::new(&[true, false], &[false, false], None).unwrap();
        assert!(matches!(never.precision(), Err(StatsError::Undefined { .. })));
        assert!(matches!(never.mcc(), Err(StatsError::Undefined { .. })));
        assert_eq!(never.recall(), Ok(0.0));
        assert!(matches!(ConfusionMatrix::default().accuracy(), Err(StatsError::Undefined { .. })));
    }

    #[test]
    fn bad_input_is_an_error() {
        let count = |weights: &[f64]| ConfusionMatrix::new(&[true, false], &[true, true], Some(weights));
        assert!(matches!(count(&[1.0]), Err(StatsError::LengthMismatch { .. })));
        for weights in [[0.0, 0.0], [1.0, -1.0], [1.0, f64::NAN], [1.0, f64::INFINITY]] {
            assert!(matches!(count(&weights), Err(StatsError::InvalidParameter { .. })), "{weights:?}");
        }
        assert!(matches!(ConfusionMatrix::new(&[], &[], None), Err(StatsError::EmptySample { .. })));
        assert!(ConfusionMatrix::at_threshold(&[true], &[f64::NAN], 0.5, None).is_err());
        assert!(ConfusionMatrix::at_threshold(&[true], &[0.5], f64::NAN, None).is_err());
        assert!(ConfusionMatrix::expected(&[1.5], &[true]).is_err());
        assert!(ConfusionMatrix::default().f_beta(0.0).is_err());
    }

    proptest! {
        #[test]
        fn rates_lie_in_their_range(matrix in matrix(), beta in 0.1_f64..5.0) {
            for rate in [
                matrix.accuracy(), matrix.precision(), matrix.recall(), matrix.specificity(), matrix.f1(),
                matrix.f_beta(beta), matrix.balanced_accuracy(), matrix.false_positive_rate(),
                matrix.negative_predictive_value(), matrix.selection_rate(),
            ].into_iter().flatten() {
                prop_assert!((0.0..=1.0).contains(&rate), "{rate}");
            }
            for correlation in [matrix.mcc(), matrix.cohen_kappa()].into_iter().flatten() {
                prop_assert!((-1.0..=1.0).contains(&correlation), "{correlation}");
            }
        }

        #[test]
        fn matrices_add_up(labels in proptest::collection::vec(any::<(bool, bool)>(), 2..80)) {
            let (labels, predictions): (Vec<bool>, Vec<bool>) = labels.into_iter().unzip();
            let middle = labels.len() / 2;
            let of = |from, to| ConfusionMatrix::new(&labels[from..to], &predictions[from..to], None).unwrap();
            let mut sum = of(0, middle);
            sum += of(middle, labels.len());
            prop_assert_eq!(sum, of(0, labels.len()));
        }
    }
}
