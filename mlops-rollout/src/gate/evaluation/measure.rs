//! Metrics of rows, by the formulas of the house.

use std::fmt;

use mlops_core::stats::{
    Average, BinomialSample, CalibrationBins, ConfusionMatrix, MulticlassAuc, MulticlassMatrix,
    RegressionErrors, StatsError, average_precision, brier_score, expected_calibration_error, log_loss,
    multiclass_log_loss, multiclass_roc_auc, roc_auc,
};

use super::{Evaluation, Metric, Outcomes};
use crate::gate::Finding;

/// Why a metric has no value.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::gate) enum Unmeasured {
    /// Rows of this kind have no such metric.
    NotThere,
    /// There are too few rows for it, or all are of one class.
    TooLittle(String),
    /// What the model said is no number, or out of range.
    Bad(String),
}

/// Bins of the calibration error.
const BINS: usize = 10;

impl Evaluation {
    pub(in crate::gate) fn measure(&self, metric: Metric) -> Result<f64, Unmeasured> {
        let value = match &self.outcomes {
            Outcomes::Scores { .. } | Outcomes::Decisions { .. } => self.of_binary(metric)?,
            Outcomes::Probabilities { .. } | Outcomes::Classes { .. } => self.of_classes(metric)?,
            Outcomes::Numbers { .. } => self.of_numbers(metric)?,
        };
        if Metric::is_possible(metric.name(), value) {
            return Ok(value);
        }
        Err(Unmeasured::Bad(format!("{value} is no value: the predictions are too large")))
    }

    fn of_binary(&self, metric: Metric) -> Result<f64, Unmeasured> {
        if let (Outcomes::Scores { labels, scores, .. }, Some(of_scores)) =
            (&self.outcomes, of_scores(metric))
        {
            return Ok(of_scores(labels, scores)?);
        }
        let of_matrix = of_matrix(metric).ok_or(Unmeasured::NotThere)?;
        Ok(of_matrix(&self.confusion()?)?)
    }

    fn of_classes(&self, metric: Metric) -> Result<f64, Unmeasured> {
        if let Outcomes::Probabilities { labels, rows, classes } = &self.outcomes {
            match metric {
                Metric::RocAuc => {
                    return Ok(multiclass_roc_auc(labels, rows, *classes, MulticlassAuc::OneVsRest)?);
                }
                Metric::LogLoss => return Ok(multiclass_log_loss(labels, rows, *classes)?),
                _ => {}
            }
        }
        let matrix = match &self.outcomes {
            Outcomes::Probabilities { labels, rows, classes } => {
                MulticlassMatrix::of_most_probable(labels, rows, *classes)?
            }
            Outcomes::Classes { labels, predictions, classes } => {
                MulticlassMatrix::new(labels, predictions, *classes)?
            }
            _ => return Err(Unmeasured::NotThere),
        };
        Ok(match metric {
            Metric::Accuracy => matrix.accuracy(),
            Metric::PrecisionMacro => matrix.precision(Average::Macro),
            Metric::RecallMacro => matrix.recall(Average::Macro),
            Metric::F1Macro => matrix.f1(Average::Macro),
            Metric::Mcc => matrix.mcc(),
            Metric::CohenKappa => matrix.cohen_kappa(),
            _ => return Err(Unmeasured::NotThere),
        }?)
    }

    fn of_numbers(&self, metric: Metric) -> Result<f64, Unmeasured> {
        let Outcomes::Numbers { actual, predicted } = &self.outcomes else {
            return Err(Unmeasured::NotThere);
        };
        let errors = || RegressionErrors::new(actual, predicted);
        Ok(match metric {
            Metric::MeanAbsoluteError => errors()?.mean_absolute(),
            Metric::MeanSquaredError => errors()?.mean_squared(),
            Metric::RootMeanSquaredError => errors()?.root_mean_squared(),
            Metric::MedianAbsoluteError => errors()?.median_absolute()?,
            Metric::Bias => errors()?.bias(),
            Metric::R2 => errors()?.r2()?,
            _ => return Err(Unmeasured::NotThere),
        })
    }

    /// The confusion matrix of a binary classifier.
    pub(in crate::gate) fn confusion(&self) -> Result<ConfusionMatrix, Unmeasured> {
        Ok(match &self.outcomes {
            Outcomes::Scores { labels, scores, threshold } => {
                ConfusionMatrix::at_threshold(labels, scores, *threshold, None)?
            }
            Outcomes::Decisions { labels, predictions } => ConfusionMatrix::new(labels, predictions, None)?,
            _ => return Err(Unmeasured::NotThere),
        })
    }

    /// Labels and decisions of a binary classifier; of one of many classes whether it was right, as decisions on
    /// rows that are all positive, so that its accuracy is theirs.
    pub(super) fn binary_rows(&self, metric: Metric) -> Option<(Vec<bool>, Vec<bool>)> {
        let right = |right: Vec<bool>| (metric == Metric::Accuracy).then(|| (vec![true; right.len()], right));
        match &self.outcomes {
            Outcomes::Scores { labels, scores, threshold } => {
                Some((labels.clone(), scores.iter().map(|score| score >= threshold).collect()))
            }
            Outcomes::Decisions { labels, predictions } => Some((labels.clone(), predictions.clone())),
            Outcomes::Classes { labels, predictions, .. } => {
                right(labels.iter().zip(predictions).map(|(label, prediction)| label == prediction).collect())
            }
            Outcomes::Probabilities { labels, rows, classes } => {
                let rows = labels.iter().zip(rows.chunks_exact((*classes).max(1)));
                right(rows.map(|(label, row)| is_first_of_largest(row, *label)).collect())
            }
            Outcomes::Numbers { .. } => None,
        }
    }

    /// The score of each row, where the metric is the mean of such scores.
    pub(super) fn row_scores(&self, metric: Metric) -> Result<Option<Vec<f64>>, Unmeasured> {
        let binary = |score: OfWeightedScores| match &self.outcomes {
            Outcomes::Scores { labels, scores, .. } => {
                let one = |(label, value): (&bool, &f64)| score(&[*label], &[*value], None);
                labels.iter().zip(scores).map(one).collect::<Result<Vec<_>, _>>().map(Some)
            }
            _ => Ok(None),
        };
        let numbers = |score: fn(f64) -> f64| match &self.outcomes {
            Outcomes::Numbers { actual, predicted } => RegressionErrors::new(actual, predicted)
                .map(|errors| Some(errors.errors().iter().map(|error| score(*error)).collect())),
            _ => Ok(None),
        };
        Ok(match (metric, &self.outcomes) {
            (Metric::LogLoss, Outcomes::Probabilities { labels, rows, classes }) => {
                let one = |(label, row): (&usize, &[f64])| multiclass_log_loss(&[*label], row, *classes);
                let rows = labels.iter().zip(rows.chunks_exact((*classes).max(1)));
                Some(rows.map(one).collect::<Result<_, _>>()?)
            }
            (Metric::LogLoss, _) => binary(log_loss)?,
            (Metric::BrierScore, _) => binary(brier_score)?,
            (Metric::MeanAbsoluteError, _) => numbers(f64::abs)?,
            (Metric::MeanSquaredError, _) => numbers(|error| error * error)?,
            (Metric::Bias, _) => numbers(|error| error)?,
            _ => None,
        })
    }

    /// Whether the other has the same rows in the same order, as far as their truth tells.
    pub(in crate::gate) fn has_rows_of(&self, other: &Self) -> bool {
        use Outcomes::{Classes, Decisions, Numbers, Probabilities, Scores};
        match (&self.outcomes, &other.outcomes) {
            (
                Scores { labels, .. } | Decisions { labels, .. },
                Scores { labels: others, .. } | Decisions { labels: others, .. },
            ) => labels == others,
            (
                Probabilities { labels, .. } | Classes { labels, .. },
                Probabilities { labels: others, .. } | Classes { labels: others, .. },
            ) => labels == others,
            (Numbers { actual, .. }, Numbers { actual: others, .. }) => actual == others,
            _ => false,
        }
    }

    /// How many rows of each class there are; `None` for numbers.
    pub(in crate::gate) fn class_sizes(&self) -> Option<Vec<usize>> {
        let count = |labels: &[usize], classes: usize| {
            let mut sizes = vec![0; classes];
            for label in labels {
                if let Some(size) = sizes.get_mut(*label) {
                    *size += 1;
                }
            }
            sizes
        };
        match &self.outcomes {
            Outcomes::Scores { labels, .. } | Outcomes::Decisions { labels, .. } => {
                let positives = labels.iter().filter(|label| **label).count();
                Some(vec![labels.len() - positives, positives])
            }
            Outcomes::Probabilities { labels, classes, .. } | Outcomes::Classes { labels, classes, .. } => {
                Some(count(labels, *classes))
            }
            Outcomes::Numbers { .. } => None,
        }
    }
}

/// Whether the class is the one that [`MulticlassMatrix::of_most_probable`] takes.
fn is_first_of_largest(row: &[f64], class: usize) -> bool {
    let Some(value) = row.get(class) else { return false };
    row.iter().enumerate().all(|(other, rival)| rival < value || (rival == value && other >= class))
}

/// Of labels, scores and weights.
type OfWeightedScores = fn(&[bool], &[f64], Option<&[f64]>) -> Result<f64, StatsError>;

type OfScores = fn(&[bool], &[f64]) -> Result<f64, StatsError>;

fn of_scores(metric: Metric) -> Option<OfScores> {
    Some(match metric {
        Metric::RocAuc => roc_auc,
        Metric::AveragePrecision => average_precision,
        Metric::LogLoss => |labels, scores| log_loss(labels, scores, None),
        Metric::BrierScore => |labels, scores| brier_score(labels, scores, None),
        Metric::CalibrationError => {
            |labels, scores| expected_calibration_error(labels, scores, BINS, CalibrationBins::EqualWidth)
        }
        _ => return None,
    })
}

pub(super) type OfMatrix = fn(&ConfusionMatrix) -> Result<f64, StatsError>;

/// How the metric follows from a confusion matrix, if it does.
pub(super) fn of_matrix(metric: Metric) -> Option<OfMatrix> {
    Some(match metric {
        Metric::Accuracy => ConfusionMatrix::accuracy,
        Metric::Precision => ConfusionMatrix::precision,
        Metric::Recall => ConfusionMatrix::recall,
        Metric::Specificity => ConfusionMatrix::specificity,
        Metric::FalsePositiveRate => ConfusionMatrix::false_positive_rate,
        Metric::NegativePredictiveValue => ConfusionMatrix::negative_predictive_value,
        Metric::SelectionRate => ConfusionMatrix::selection_rate,
        Metric::F1 => ConfusionMatrix::f1,
        Metric::BalancedAccuracy => ConfusionMatrix::balanced_accuracy,
        Metric::Mcc => ConfusionMatrix::mcc,
        Metric::CohenKappa => ConfusionMatrix::cohen_kappa,
        _ => return None,
    })
}

/// The counts behind a metric that is a share of rows.
pub(super) fn share_of(metric: Metric, matrix: &ConfusionMatrix) -> Option<BinomialSample> {
    let ConfusionMatrix { true_negatives, false_positives, true_positives, .. } = *matrix;
    let (part, whole) = match metric {
        Metric::Accuracy => (true_positives + true_negatives, matrix.total()),
        Metric::Precision => (true_positives, matrix.predicted_positives()),
        Metric::Recall => (true_positives, matrix.positives()),
        Metric::Specificity => (true_negatives, matrix.negatives()),
        Metric::FalsePositiveRate => (false_positives, matrix.negatives()),
        Metric::NegativePredictiveValue => (true_negatives, matrix.predicted_negatives()),
        Metric::SelectionRate => (matrix.predicted_positives(), matrix.total()),
        _ => return None,
    };
    BinomialSample::new(part as u64, whole as u64).ok()
}

impl Unmeasured {
    /// The finding of a gate that needed it.
    pub(in crate::gate) fn finding(&self, metric: &str, whose: &str) -> Finding {
        match self {
            Self::NotThere => {
                Finding::inconclusive(format!("the metric `{metric}` of the {whose} is missing"))
            }
            Self::TooLittle(why) => Finding::inconclusive(format!("`{metric}` of the {whose} is {why}")),
            Self::Bad(why) => Finding::failed(format!("`{metric}` of the {whose}: {why}")),
        }
    }
}

impl fmt::Display for Unmeasured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotThere => f.write_str("such rows have no such metric"),
            Self::TooLittle(why) | Self::Bad(why) => f.write_str(why),
        }
    }
}

impl From<StatsError> for Unmeasured {
    fn from(error: StatsError) -> Self {
        match &error {
            StatsError::NotANumber { .. } | StatsError::InvalidParameter { .. } => {
                Self::Bad(error.to_string())
            }
            _ => Self::TooLittle(error.to_string()),
        }
    }
}
