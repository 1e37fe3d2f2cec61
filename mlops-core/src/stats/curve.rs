//! How well scores tell positives from negatives, over all thresholds.

use super::weights::Weights;
use super::{StatsError, require_no_nan, require_probabilities, require_same_length, undefined};

/// Positives and negatives at and above each threshold: what the ROC and the precision-recall curve show.
///
/// Made by one sort; then every figure is one pass. Observations of equal score are one point of the curve,
/// so that no figure depends on their order.
///
/// ```
/// use mlops_core::stats::ScoreCurve;
///
/// let curve = ScoreCurve::new(&[false, true, false, true], &[0.1, 0.4, 0.35, 0.8], None)?;
/// assert_eq!(curve.roc_auc()?, 1.0);
/// let curve = ScoreCurve::new(&[false, true, true, false], &[0.1, 0.4, 0.35, 0.8], None)?;
/// assert_eq!(curve.roc_auc()?, 0.5);
/// # Ok::<(), mlops_core::stats::StatsError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct ScoreCurve {
    points: Vec<CurvePoint>,
}

/// One point of a [`ScoreCurve`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CurvePoint {
    /// The score from which on an observation is called positive.
    pub threshold: f64,
    /// Positives of at least this score: their number, or their weight.
    pub true_positives: f64,
    /// Negatives of at least this score.
    pub false_positives: f64,
}

impl ScoreCurve {
    /// The curve of `scores`, higher for what is more likely positive, in any unit.
    ///
    /// `weights` are one for each observation, or 1 for all. Takes O(n log n).
    ///
    /// # Errors
    ///
    /// [`StatsError::EmptySample`], [`StatsError::LengthMismatch`], [`StatsError::NotANumber`] in the
    /// scores, and [`StatsError::InvalidParameter`] for weights that are negative, not finite, or all zero.
    pub fn new(labels: &[bool], scores: &[f64], weights: Option<&[f64]>) -> Result<Self, StatsError> {
        require_same_length("scores", labels.len(), scores.len())?;
        let weights = Weights::new(weights, labels.len())?;
        Self::of_masses(scores, |index| {
            let weight = weights.at(index);
            if labels[index] { (weight, 0.0) } else { (0.0, weight) }
        })
    }

    /// The curve to expect of scores whose labels are not known, from calibrated probabilities.
    ///
    /// An observation of probability `p` is `p` of a positive and `1 - p` of a negative: the ROC AUC and the
    /// average precision of confidence-based performance estimation (CBPE).
    ///
    /// # Errors
    ///
    /// [`StatsError::EmptySample`], [`StatsError::LengthMismatch`], [`StatsError::NotANumber`], and
    /// [`StatsError::InvalidParameter`] for a probability outside `[0, 1]`.
    pub fn expected(probabilities: &[f64], scores: &[f64]) -> Result<Self, StatsError> {
        require_same_length("scores", probabilities.len(), scores.len())?;
        require_probabilities("probabilities", probabilities)?;
        Self::of_masses(scores, |index| (probabilities[index], 1.0 - probabilities[index]))
    }

    fn of_masses(scores: &[f64], masses: impl Fn(usize) -> (f64, f64)) -> Result<Self, StatsError> {
        if scores.is_empty() {
            return Err(StatsError::EmptySample { what: "scores" });
        }
        require_no_nan("scores", scores)?;
        let mut sorted: Vec<(f64, usize)> = scores.iter().copied().zip(0..).collect();
        sorted.sort_unstable_by(|(a, _), (b, _)| b.total_cmp(a));

        let mut points: Vec<CurvePoint> = Vec::new();
        let (mut true_positives, mut false_positives) = (0.0, 0.0);
        for (threshold, index) in sorted {
            let (positive, negative) = masses(index);
            if positive + negative == 0.0 {
                continue;
            }
            true_positives += positive;
            false_positives += negative;
            let point = CurvePoint { threshold, true_positives, false_positives };
            match points.last_mut() {
                Some(last) if last.threshold == threshold => *last = point,
                _ => points.push(point),
            }
        }
        Ok(Self { points })
    }

    /// The points, by falling threshold. The last one holds all observations.
    #[must_use]
    pub fn points(&self) -> &[CurvePoint] {
        &self.points
    }

    fn totals(&self) -> (f64, f64) {
        self.points.last().map_or((0.0, 0.0), |last| (last.true_positives, last.false_positives))
    }

    /// Weight of positives and of negatives; an error when there is only one class.
    fn both_classes(&self) -> Result<(f64, f64), StatsError> {
        let (positives, negatives) = self.totals();
        if positives > 0.0 && negatives > 0.0 {
            return Ok((positives, negatives));
        }
        Err(undefined("all labels are of one class: wait for the other"))
    }

    /// Area under the ROC curve: the probability that a positive scores higher than a negative, ties half.
    ///
    /// In `[0, 1]`; 0.5 is chance. Source: Fawcett, "An introduction to ROC analysis", Pattern Recognition
    /// Letters 27(8), 2006.
    ///
    /// # Errors
    ///
    /// [`StatsError::Undefined`] when all labels are of one class.
    pub fn roc_auc(&self) -> Result<f64, StatsError> {
        let (positives, negatives) = self.both_classes()?;
        let mut area = 0.0;
        let (mut above, mut left) = (0.0, 0.0);
        for point in &self.points {
            area += (point.false_positives - left) * (point.true_positives + above) / 2.0;
            (above, left) = (point.true_positives, point.false_positives);
        }
        Ok((area / positives / negatives).min(1.0))
    }

    /// Gini coefficient of the scores, `2 AUC - 1`, in `[-1, 1]`.
    ///
    /// # Errors
    ///
    /// [`StatsError::Undefined`] when all labels are of one class.
    pub fn gini(&self) -> Result<f64, StatsError> {
        Ok(2.0 * self.roc_auc()? - 1.0)
    }

    /// Largest distance between the scores of positives and of negatives, `max |TPR - FPR|`, in `[0, 1]`.
    ///
    /// The Kolmogorov-Smirnov statistic of the two, as in credit scoring.
    ///
    /// # Errors
    ///
    /// [`StatsError::Undefined`] when all labels are of one class.
    pub fn ks(&self) -> Result<f64, StatsError> {
        let (positives, negatives) = self.both_classes()?;
        let distance =
            |point: &CurvePoint| (point.true_positives / positives - point.false_positives / negatives).abs();
        Ok(self.points.iter().map(distance).fold(0.0, f64::max))
    }

    /// Average precision, `Σ (R_i - R_{i-1}) P_i` over falling thresholds: the precision-recall curve in
    /// steps, in `[0, 1]`. Chance is the share of positives.
    ///
    /// # Errors
    ///
    /// [`StatsError::Undefined`] without positives.
    pub fn average_precision(&self) -> Result<f64, StatsError> {
        let positives = self.positives()?;
        let mut found = 0.0;
        let mut sum = 0.0;
        for point in &self.points {
            sum += (point.true_positives - found) * point.precision();
            found = point.true_positives;
        }
        Ok((sum / positives).min(1.0))
    }

    /// Area under the precision-recall curve by the trapezoidal rule, from recall 0 and precision 1.
    ///
    /// Interpolates linearly, which is too optimistic (Davis & Goadrich, ICML 2006): prefer
    /// [`average_precision`](Self::average_precision), and use this to compare with tools that do so.
    ///
    /// # Errors
    ///
    /// [`StatsError::Undefined`] without positives.
    pub fn pr_auc_trapezoid(&self) -> Result<f64, StatsError> {
        let positives = self.positives()?;
        let (mut found, mut precision) = (0.0, 1.0);
        let mut area = 0.0;
        for point in &self.points {
            area += (point.true_positives - found) * (point.precision() + precision) / 2.0;
            (found, precision) = (point.true_positives, point.precision());
        }
        Ok((area / positives).min(1.0))
    }

    fn positives(&self) -> Result<f64, StatsError> {
        let (positives, _) = self.totals();
        if positives > 0.0 { Ok(positives) } else { Err(undefined("there are no positives: wait for some")) }
    }
}

impl CurvePoint {
    /// Share of positives at and above the threshold.
    #[must_use]
    pub fn precision(&self) -> f64 {
        self.true_positives / (self.true_positives + self.false_positives)
    }
}

/// Area under the ROC curve; see [`ScoreCurve::roc_auc`].
///
/// # Errors
///
/// As [`ScoreCurve::new`]; [`StatsError::Undefined`] when all labels are of one class.
///
/// ```
/// use mlops_core::stats::roc_auc;
///
/// assert_eq!(roc_auc(&[false, false, true, true], &[0.1, 0.4, 0.35, 0.8])?, 0.75);
/// # Ok::<(), mlops_core::stats::StatsError>(())
/// ```
pub fn roc_auc(labels: &[bool], scores: &[f64]) -> Result<f64, StatsError> {
    ScoreCurve::new(labels, scores, None)?.roc_auc()
}

/// Average precision; see [`ScoreCurve::average_precision`].
///
/// # Errors
///
/// As [`ScoreCurve::new`]; [`StatsError::Undefined`] without positives.
///
/// ```
/// use mlops_core::stats::average_precision;
///
/// let precision = average_precision(&[false, false, true, true], &[0.1, 0.4, 0.35, 0.8])?;
/// assert!((precision - (0.5 + 0.5 * 2.0 / 3.0)).abs() < 1e-12);
/// # Ok::<(), mlops_core::stats::StatsError>(())
/// ```
pub fn average_precision(labels: &[bool], scores: &[f64]) -> Result<f64, StatsError> {
    ScoreCurve::new(labels, scores, None)?.average_precision()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// Labels of both classes, with scores that often tie.
    fn sample() -> impl Strategy<Value = (Vec<bool>, Vec<f64>)> {
        vec((any::<bool>(), -9_i8..9), 0..60).prop_map(|mut sample| {
            sample.extend([(true, 0), (false, 0)]);
            sample.into_iter().map(|(label, score)| (label, f64::from(score))).unzip()
        })
    }

    #[test]
    fn one_class_is_undefined() {
        let curve = ScoreCurve::new(&[true, true], &[0.1, 0.2], None).unwrap();
        for figure in [curve.roc_auc(), curve.gini(), curve.ks()] {
            assert!(matches!(figure, Err(StatsError::Undefined { .. })));
        }
        assert_eq!(curve.average_precision(), Ok(1.0));
        assert!(matches!(average_precision(&[false], &[0.1]), Err(StatsError::Undefined { .. })));
    }

    #[test]
    fn bad_input_is_an_error() {
        assert!(matches!(roc_auc(&[], &[]), Err(StatsError::EmptySample { .. })));
        assert!(matches!(roc_auc(&[true], &[]), Err(StatsError::LengthMismatch { .. })));
        assert!(matches!(roc_auc(&[true], &[f64::NAN]), Err(StatsError::NotANumber { .. })));
    }

    #[test]
    fn zeros_of_either_sign_tie() {
        assert_eq!(roc_auc(&[true, false], &[0.0, -0.0]), Ok(0.5));
        assert_eq!(roc_auc(&[false, true], &[0.0, -0.0]), Ok(0.5));
    }

    proptest! {
        #[test]
        fn auc_is_the_share_of_ordered_pairs((labels, scores) in sample()) {
            let (mut won, mut pairs) = (0.0, 0.0);
            for (positive, high) in labels.iter().zip(&scores).filter(|(label, _)| **label) {
                for (_, low) in labels.iter().zip(&scores).filter(|(label, _)| *label != positive) {
                    won += if high > low { 1.0 } else if high == low { 0.5 } else { 0.0 };
                    pairs += 1.0;
                }
            }
            prop_assert!((roc_auc(&labels, &scores).unwrap() - won / pairs).abs() < 1e-12);
        }

        #[test]
        fn figures_do_not_depend_on_the_scale_of_scores((labels, scores) in sample()) {
            let mapped: Vec<f64> = scores.iter().map(|score| score.powi(3) + score.exp()).collect();
            let (plain, mapped) =
                (ScoreCurve::new(&labels, &scores, None), ScoreCurve::new(&labels, &mapped, None));
            let (plain, mapped) = (plain.unwrap(), mapped.unwrap());
            prop_assert_eq!(plain.roc_auc(), mapped.roc_auc());
            prop_assert_eq!(plain.average_precision(), mapped.average_precision());
            prop_assert_eq!(plain.ks(), mapped.ks());
        }

        #[test]
        fn arbitrary_floats_do_not_panic(sample in vec((any::<bool>(), any::<f64>(), any::<f64>()), 0..30)) {
            let labels: Vec<bool> = sample.iter().map(|row| row.0).collect();
            let scores: Vec<f64> = sample.iter().map(|row| row.1).collect();
            let weights: Vec<f64> = sample.iter().map(|row| row.2).collect();
            let curves = [
                ScoreCurve::new(&labels, &scores, None),
                ScoreCurve::new(&labels, &scores, Some(&weights)),
                ScoreCurve::expected(&weights, &scores),
            ];
            for curve in curves.into_iter().flatten() {
                let _ = (curve.roc_auc(), curve.ks(), curve.average_precision(), curve.pr_auc_trapezoid());
            }
        }

        #[test]
        fn turning_the_scores_turns_the_auc((labels, scores) in sample()) {
            let turned: Vec<f64> = scores.iter().map(|score| -score).collect();
            let sum = roc_auc(&labels, &scores).unwrap() + roc_auc(&labels, &turned).unwrap();
            prop_assert!((sum - 1.0).abs() < 1e-12);
        }

        #[test]
        fn figures_lie_in_their_range((labels, scores) in sample()) {
            let curve = ScoreCurve::new(&labels, &scores, None).unwrap();
            for figure in [curve.roc_auc(), curve.ks(), curve.average_precision(), curve.pr_auc_trapezoid()] {
                prop_assert!((0.0..=1.0).contains(&figure.unwrap()));
            }
        }

        #[test]
        fn a_weight_of_two_is_the_observation_twice((labels, scores) in sample(), twice in 0_usize..62) {
            let twice = twice % labels.len();
            let weights: Vec<f64> = (0..labels.len()).map(|i| if i == twice { 2.0 } else { 1.0 }).collect();
            let weighted = ScoreCurve::new(&labels, &scores, Some(&weights)).unwrap();
            let (mut labels, mut scores) = (labels, scores);
            labels.push(labels[twice]);
            scores.push(scores[twice]);
            prop_assert_eq!(weighted, ScoreCurve::new(&labels, &scores, None).unwrap());
        }
    }
}
