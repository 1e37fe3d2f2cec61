//! Metrics of classifiers of more than two classes.

use serde::{Deserialize, Serialize};

use super::calibration::surprise;
use super::{
    ConfusionMatrix, ScoreCurve, StatsError, invalid, require_probabilities, require_same_length, undefined,
};

/// How a figure of each class becomes one figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Average {
    /// The mean over classes: every class counts the same.
    #[default]
    Macro,
    /// From the sums over classes: every observation counts the same. Equals the accuracy.
    Micro,
    /// The mean over classes, weighted by how many observations are truly of each.
    Weighted,
}

/// How often a classifier called each class what.
///
/// Classes are numbered from 0. Figures of a class alone are those of its [`one_vs_rest`] matrix; in an
/// average, a class for which the figure is undefined counts as 0, as is the custom.
///
/// [`one_vs_rest`]: Self::one_vs_rest
///
/// ```
/// use mlops_core::stats::{Average, MulticlassMatrix};
///
/// let matrix = MulticlassMatrix::new(&[0, 0, 1, 1, 2], &[0, 1, 1, 1, 2], 3)?;
/// assert_eq!(matrix.count(0, 1), 1);
/// assert_eq!(matrix.accuracy()?, 0.8);
/// assert!((matrix.f1(Average::Macro)? - (2.0 / 3.0 + 0.8 + 1.0) / 3.0).abs() < 1e-12);
/// # Ok::<(), mlops_core::stats::StatsError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MulticlassMatrix {
    classes: usize,
    /// Row by row: one row for each true class, one column for each predicted one.
    counts: Vec<u64>,
}

impl MulticlassMatrix {
    /// Counts labels against predictions, both class numbers below `classes`.
    ///
    /// # Errors
    ///
    /// [`StatsError::EmptySample`], [`StatsError::LengthMismatch`], and [`StatsError::InvalidParameter`]
    /// when `classes` is below 2 or above 4,096, or a class number is not below it.
    pub fn new(labels: &[usize], predictions: &[usize], classes: usize) -> Result<Self, StatsError> {
        require_labels(labels, classes)?;
        require_same_length("predictions", labels.len(), predictions.len())?;
        require_classes("predictions", predictions, classes)?;
        let mut counts = vec![0; classes * classes];
        for (&label, &prediction) in labels.iter().zip(predictions) {
            counts[label * classes + prediction] += 1;
        }
        Ok(Self { classes, counts })
    }

    /// Counts labels against the most probable class, the first of those that tie.
    ///
    /// `probabilities` hold one row of `classes` values for each observation, one after the other.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new); [`StatsError::NotANumber`] or [`StatsError::InvalidParameter`] in the
    /// probabilities.
    pub fn of_most_probable(
        labels: &[usize],
        probabilities: &[f64],
        classes: usize,
    ) -> Result<Self, StatsError> {
        require_rows(labels, probabilities, classes)?;
        let most_probable = |row: &[f64]| {
            let best = row.iter().copied().fold(0.0, f64::max);
            row.iter().position(|&probability| probability == best).unwrap_or(0)
        };
        let predictions: Vec<usize> = probabilities.chunks_exact(classes).map(most_probable).collect();
        Self::new(labels, &predictions, classes)
    }

    /// Number of classes.
    #[must_use]
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Observations of class `label` that were called `prediction`; 0 for classes that do not exist.
    #[must_use]
    pub fn count(&self, label: usize, prediction: usize) -> u64 {
        if label >= self.classes || prediction >= self.classes {
            return 0;
        }
        self.counts[label * self.classes + prediction]
    }

    /// One row for each true class, with one count for each predicted one.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &[u64]> {
        self.counts.chunks_exact(self.classes)
    }

    /// The binary matrix of one class against all others.
    ///
    /// ```
    /// use mlops_core::stats::MulticlassMatrix;
    ///
    /// let matrix = MulticlassMatrix::new(&[0, 0, 1, 1, 2], &[0, 1, 1, 1, 2], 3)?;
    /// assert_eq!(matrix.one_vs_rest(1).precision()?, 2.0 / 3.0);
    /// # Ok::<(), mlops_core::stats::StatsError>(())
    /// ```
    #[must_use]
    pub fn one_vs_rest(&self, class: usize) -> ConfusionMatrix {
        let (actual, predicted) = (self.labelled(class), self.predicted(class));
        let hits = self.count(class, class) as f64;
        ConfusionMatrix {
            true_positives: hits,
            false_negatives: actual - hits,
            false_positives: predicted - hits,
            true_negatives: self.total() - actual - predicted + hits,
        }
    }

    fn labelled(&self, class: usize) -> f64 {
        (0..self.classes).map(|prediction| self.count(class, prediction) as f64).sum()
    }

    fn predicted(&self, class: usize) -> f64 {
        (0..self.classes).map(|label| self.count(label, class) as f64).sum()
    }

    fn total(&self) -> f64 {
        self.counts.iter().map(|&count| count as f64).sum()
    }

    fn hits(&self) -> f64 {
        (0..self.classes).map(|class| self.count(class, class) as f64).sum()
    }

    /// Share of right predictions.
    ///
    /// # Errors
    ///
    /// None for a matrix made by [`new`](Self::new), which holds an observation.
    pub fn accuracy(&self) -> Result<f64, StatsError> {
        if self.total() == 0.0 {
            return Err(undefined("there are no observations"));
        }
        Ok(self.hits() / self.total())
    }

    /// Precision of the classes as one figure.
    ///
    /// # Errors
    ///
    /// As [`accuracy`](Self::accuracy).
    pub fn precision(&self, average: Average) -> Result<f64, StatsError> {
        self.average(average, ConfusionMatrix::precision)
    }

    /// Recall of the classes as one figure. Its macro average is the balanced accuracy.
    ///
    /// # Errors
    ///
    /// As [`accuracy`](Self::accuracy).
    pub fn recall(&self, average: Average) -> Result<f64, StatsError> {
        self.average(average, ConfusionMatrix::recall)
    }

    /// F1 of the classes as one figure.
    ///
    /// # Errors
    ///
    /// As [`accuracy`](Self::accuracy).
    pub fn f1(&self, average: Average) -> Result<f64, StatsError> {
        self.average(average, ConfusionMatrix::f1)
    }

    fn average(
        &self,
        average: Average,
        figure: fn(&ConfusionMatrix) -> Result<f64, StatsError>,
    ) -> Result<f64, StatsError> {
        let accuracy = self.accuracy()?;
        let of_class = |class| figure(&self.one_vs_rest(class)).unwrap_or(0.0);
        Ok(match average {
            Average::Micro => accuracy,
            Average::Macro => (0..self.classes).map(of_class).sum::<f64>() / self.classes as f64,
            Average::Weighted => {
                let weighted = (0..self.classes).map(|class| self.labelled(class) * of_class(class));
                weighted.sum::<f64>() / self.total()
            }
        })
    }

    /// Matthews correlation coefficient of many classes, in `[-1, 1]`.
    ///
    /// `(c s - Σ t_k p_k) / √((s² - Σ p_k²)(s² - Σ t_k²))` with `c` right ones of `s`, and `t_k` labelled and
    /// `p_k` called `k`. Source: Gorodkin, Computational Biology and Chemistry 28, 2004.
    ///
    /// # Errors
    ///
    /// [`StatsError::Undefined`] when all labels, or all predictions, are of one class.
    pub fn mcc(&self) -> Result<f64, StatsError> {
        let total = self.total();
        let spread = |sums: &dyn Fn(usize) -> f64| {
            total * total - (0..self.classes).map(|class| sums(class).powi(2)).sum::<f64>()
        };
        let scale =
            spread(&|class| self.labelled(class)).sqrt() * spread(&|class| self.predicted(class)).sqrt();
        if scale == 0.0 {
            return Err(undefined("all labels, or all predictions, are of one class"));
        }
        Ok(((self.hits() * total - self.chance_hits()) / scale).clamp(-1.0, 1.0))
    }

    /// Cohen's kappa: agreement beyond chance; see [`ConfusionMatrix::cohen_kappa`].
    ///
    /// # Errors
    ///
    /// [`StatsError::Undefined`] when all labels are of one class.
    pub fn cohen_kappa(&self) -> Result<f64, StatsError> {
        let total = self.total();
        if (0..self.classes).any(|class| self.labelled(class) == total) {
            return Err(undefined("all labels are of one class: wait for the others"));
        }
        let by_chance = self.chance_hits() / (total * total);
        Ok((self.accuracy()? - by_chance) / (1.0 - by_chance))
    }

    /// `Σ t_k p_k`.
    fn chance_hits(&self) -> f64 {
        (0..self.classes).map(|class| self.labelled(class) * self.predicted(class)).sum()
    }
}

/// Log loss of many classes, in nats: the mean of `-ln` of the probability given to the true class.
///
/// `probabilities` hold one row of `classes` values for each observation, which should add up to 1; see
/// [`log_loss`](super::log_loss) for how certainty is bounded.
///
/// # Errors
///
/// [`StatsError::EmptySample`], [`StatsError::LengthMismatch`], [`StatsError::NotANumber`], and
/// [`StatsError::InvalidParameter`] for a class or a probability out of domain.
///
/// ```
/// use mlops_core::stats::multiclass_log_loss;
///
/// let loss = multiclass_log_loss(&[0, 2], &[0.5, 0.25, 0.25, 0.25, 0.25, 0.5], 3)?;
/// assert!((loss - 2.0_f64.ln()).abs() < 1e-12);
/// # Ok::<(), mlops_core::stats::StatsError>(())
/// ```
pub fn multiclass_log_loss(
    labels: &[usize],
    probabilities: &[f64],
    classes: usize,
) -> Result<f64, StatsError> {
    require_rows(labels, probabilities, classes)?;
    let rows = labels.iter().zip(probabilities.chunks_exact(classes));
    Ok(rows.map(|(&label, row)| surprise(row[label])).sum::<f64>() / labels.len() as f64)
}

/// Share of observations whose true class is among the `k` most probable.
///
/// Of classes that tie, the one with the higher number goes first, as in scikit-learn.
///
/// # Errors
///
/// As [`multiclass_log_loss`]; [`StatsError::InvalidParameter`] when `k` is zero.
///
/// ```
/// use mlops_core::stats::top_k_accuracy;
///
/// assert_eq!(top_k_accuracy(&[0, 2], &[0.3, 0.2, 0.5, 0.5, 0.4, 0.1], 3, 2)?, 0.5);
/// # Ok::<(), mlops_core::stats::StatsError>(())
/// ```
pub fn top_k_accuracy(
    labels: &[usize],
    probabilities: &[f64],
    classes: usize,
    k: usize,
) -> Result<f64, StatsError> {
    require_rows(labels, probabilities, classes)?;
    if k == 0 {
        return Err(invalid("k", "0 is below 1"));
    }
    let is_hit = |(&label, row): (&usize, &[f64])| {
        let before = row.iter().enumerate().filter(|&(class, &probability)| {
            probability > row[label] || probability == row[label] && class > label
        });
        before.count() < k
    };
    let hits = labels.iter().zip(probabilities.chunks_exact(classes)).filter(|&row| is_hit(row)).count();
    Ok(hits as f64 / labels.len() as f64)
}

/// How [`multiclass_roc_auc`] makes pairs of classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MulticlassAuc {
    /// Each class against all others.
    #[default]
    OneVsRest,
    /// Each class against each other one (Hand & Till, Machine Learning 45, 2001). Does not depend on how
    /// common the classes are.
    OneVsOne,
}

/// Area under the ROC curve of many classes: the mean over classes, or over pairs of them.
///
/// `probabilities` hold one row of `classes` values for each observation.
///
/// # Errors
///
/// As [`multiclass_log_loss`]; [`StatsError::Undefined`] when a class has no observation.
///
/// ```
/// use mlops_core::stats::{MulticlassAuc, multiclass_roc_auc};
///
/// let probabilities = [0.6, 0.3, 0.1, 0.2, 0.7, 0.1, 0.1, 0.2, 0.7];
/// assert_eq!(multiclass_roc_auc(&[0, 1, 2], &probabilities, 3, MulticlassAuc::OneVsOne)?, 1.0);
/// # Ok::<(), mlops_core::stats::StatsError>(())
/// ```
pub fn multiclass_roc_auc(
    labels: &[usize],
    probabilities: &[f64],
    classes: usize,
    pairs: MulticlassAuc,
) -> Result<f64, StatsError> {
    require_rows(labels, probabilities, classes)?;
    if let Some(class) = (0..classes).find(|class| !labels.contains(class)) {
        return Err(undefined(format!("class {class} has no observation: wait for some")));
    }
    let area = |class: usize, among: &dyn Fn(usize) -> bool| {
        let rows = labels.iter().zip(probabilities.chunks_exact(classes));
        let (is_class, scores): (Vec<bool>, Vec<f64>) = rows
            .filter(|(label, _)| among(**label))
            .map(|(&label, row)| (label == class, row[class]))
            .unzip();
        ScoreCurve::new(&is_class, &scores, None)?.roc_auc()
    };
    let areas: Vec<f64> = match pairs {
        MulticlassAuc::OneVsRest => {
            (0..classes).map(|class| area(class, &|_| true)).collect::<Result<_, _>>()?
        }
        MulticlassAuc::OneVsOne => (0..classes)
            .flat_map(|class| {
                (0..classes).filter(move |&other| other != class).map(move |other| (class, other))
            })
            .map(|(class, other)| area(class, &|label| label == class || label == other))
            .collect::<Result<_, _>>()?,
    };
    Ok(areas.iter().sum::<f64>() / areas.len() as f64)
}

fn require_labels(labels: &[usize], classes: usize) -> Result<(), StatsError> {
    const MOST: usize = 4_096;
    if !(2..=MOST).contains(&classes) {
        return Err(invalid("classes", format!("{classes} is not between 2 and {MOST}")));
    }
    if labels.is_empty() {
        return Err(StatsError::EmptySample { what: "labels" });
    }
    require_classes("labels", labels, classes)
}

fn require_classes(what: &'static str, values: &[usize], classes: usize) -> Result<(), StatsError> {
    match values.iter().find(|value| **value >= classes) {
        Some(value) => Err(invalid(what, format!("class {value} is not below {classes}"))),
        None => Ok(()),
    }
}

fn require_rows(labels: &[usize], probabilities: &[f64], classes: usize) -> Result<(), StatsError> {
    require_labels(labels, classes)?;
    require_same_length("probabilities", labels.len() * classes, probabilities.len())?;
    require_probabilities("probabilities", probabilities)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn two_classes_are_the_binary_case(sample in vec(any::<(bool, bool)>(), 1..60)) {
            let (labels, predictions): (Vec<bool>, Vec<bool>) = sample.into_iter().unzip();
            let numbered = |values: &[bool]| values.iter().map(|&value| usize::from(value)).collect::<Vec<_>>();
            let many = MulticlassMatrix::new(&numbered(&labels), &numbered(&predictions), 2).unwrap();
            let binary = ConfusionMatrix::new(&labels, &predictions, None).unwrap();
            prop_assert_eq!(many.one_vs_rest(1), binary);
            prop_assert_eq!(many.accuracy(), binary.accuracy());
            match (many.mcc(), binary.mcc()) {
                (Ok(many), Ok(binary)) => prop_assert!((many - binary).abs() < 1e-12),
                (many, binary) => prop_assert_eq!(many.is_ok(), binary.is_ok()),
            }
            match (many.cohen_kappa(), binary.cohen_kappa()) {
                (Ok(many), Ok(binary)) => prop_assert!((many - binary).abs() < 1e-12),
                (many, binary) => prop_assert_eq!(many.is_ok(), binary.is_ok()),
            }
        }

        #[test]
        fn averages_lie_in_their_range(sample in vec((0_usize..5, 0_usize..5), 1..60)) {
            let (labels, predictions): (Vec<usize>, Vec<usize>) = sample.into_iter().unzip();
            let matrix = MulticlassMatrix::new(&labels, &predictions, 5).unwrap();
            for average in [Average::Macro, Average::Micro, Average::Weighted] {
                for figure in [matrix.f1(average), matrix.precision(average), matrix.recall(average)] {
                    prop_assert!((0.0..=1.0 + 1e-12).contains(&figure.unwrap()));
                }
            }
            let weighted = matrix.recall(Average::Weighted).unwrap();
            prop_assert!((weighted - matrix.accuracy().unwrap()).abs() < 1e-12);
        }
    }

    #[test]
    fn bad_input_is_an_error() {
        assert!(matches!(MulticlassMatrix::new(&[], &[], 3), Err(StatsError::EmptySample { .. })));
        assert!(matches!(MulticlassMatrix::new(&[3], &[0], 3), Err(StatsError::InvalidParameter { .. })));
        assert!(matches!(MulticlassMatrix::new(&[0], &[0], 1), Err(StatsError::InvalidParameter { .. })));
        assert!(matches!(multiclass_log_loss(&[0], &[1.0], 3), Err(StatsError::LengthMismatch { .. })));
        assert!(top_k_accuracy(&[0], &[0.5, 0.5], 2, 0).is_err());
        let absent = multiclass_roc_auc(&[0, 1], &[0.2; 6], 3, MulticlassAuc::OneVsRest);
        assert!(matches!(absent, Err(StatsError::Undefined { .. })));
    }
}
