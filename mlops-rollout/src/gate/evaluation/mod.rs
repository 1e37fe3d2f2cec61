//! What a model answered to rows whose truth is known.

mod compare;
mod estimate;
mod measure;
mod metric;
mod resample;

use std::collections::BTreeMap;
use std::sync::Arc;

use mlops_core::{Error, Result};

pub(super) use compare::{Pairing, drop_of};
pub(super) use estimate::{Estimate, Side};
pub(super) use measure::Unmeasured;
pub(super) use metric::{Better, Metric};

/// The rows of an evaluation: what was true, what the model said, and the slices each row belongs to.
///
/// Attached to a [`Candidate`](super::Candidate) and its [`Champion`](super::Champion) it lets gates compute
/// metrics themselves, compare the two row by row with intervals, and look into slices and groups. Give both
/// models the same rows in the same order: what is compared in pairs needs far fewer of them.
///
/// | rows | metrics |
/// |---|---|
/// | [`binary`](Self::binary) | those of decisions, `roc_auc`, `average_precision`, `log_loss`, `brier_score`, `calibration_error` |
/// | [`decisions`](Self::decisions) | `accuracy`, `precision`, `recall`, `specificity`, `false_positive_rate`, `negative_predictive_value`, `selection_rate`, `f1`, `balanced_accuracy`, `mcc`, `cohen_kappa` |
/// | [`multiclass`](Self::multiclass) | those of classes, `roc_auc`, `log_loss` |
/// | [`classes`](Self::classes) | `accuracy`, `precision_macro`, `recall_macro`, `f1_macro`, `mcc`, `cohen_kappa` |
/// | [`regression`](Self::regression) | `mae`, `mse`, `rmse`, `median_absolute_error`, `bias`, `r2` |
///
/// Their formulas are those of [`mlops_core::stats`].
///
/// ```
/// use mlops_rollout::Evaluation;
///
/// let evaluation = Evaluation::binary([true, false, true, false], [0.9, 0.2, 0.4, 0.1])?
///     .with_slices("country", ["NO", "NO", "SE", "SE"])?;
/// assert_eq!(evaluation.metric("accuracy")?, 0.75);
/// assert_eq!(evaluation.metric("roc_auc")?, 1.0);
/// assert!(evaluation.metric("mae").is_err());
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    outcomes: Outcomes,
    slices: BTreeMap<String, Vec<Arc<str>>>,
}

/// What was true, and what was said.
#[derive(Debug, Clone, PartialEq)]
enum Outcomes {
    Scores {
        labels: Vec<bool>,
        scores: Vec<f64>,
        threshold: f64,
    },
    Decisions {
        labels: Vec<bool>,
        predictions: Vec<bool>,
    },
    /// One row of `classes` probabilities after the other.
    Probabilities {
        labels: Vec<usize>,
        rows: Vec<f64>,
        classes: usize,
    },
    Classes {
        labels: Vec<usize>,
        predictions: Vec<usize>,
        classes: usize,
    },
    Numbers {
        actual: Vec<f64>,
        predicted: Vec<f64>,
    },
}

impl Evaluation {
    /// Of a binary classifier that gives scores, higher for what is more likely positive. From 0.5 on a score is
    /// a positive, unless [`with_threshold`](Self::with_threshold) says otherwise.
    ///
    /// Scores may be NaN: then nothing passes that depends on them.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] unless there is one score for each label.
    pub fn binary(
        labels: impl IntoIterator<Item = bool>,
        scores: impl IntoIterator<Item = f64>,
    ) -> Result<Self> {
        let (labels, scores) = (Vec::from_iter(labels), Vec::from_iter(scores));
        same_length("scores", labels.len(), scores.len())?;
        Ok(Self::of(Outcomes::Scores { labels, scores, threshold: 0.5 }))
    }

    /// Of a binary classifier that says yes or no.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] unless there is one prediction for each label.
    pub fn decisions(
        labels: impl IntoIterator<Item = bool>,
        predictions: impl IntoIterator<Item = bool>,
    ) -> Result<Self> {
        let (labels, predictions) = (Vec::from_iter(labels), Vec::from_iter(predictions));
        same_length("predictions", labels.len(), predictions.len())?;
        Ok(Self::of(Outcomes::Decisions { labels, predictions }))
    }

    /// Of a classifier of many classes that gives probabilities: one row of `classes` values for each label,
    /// one after the other. The most probable class is the prediction.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] unless there is one row for each label, and every label is below `classes`.
    pub fn multiclass(
        labels: impl IntoIterator<Item = usize>,
        probabilities: impl IntoIterator<Item = f64>,
        classes: usize,
    ) -> Result<Self> {
        let (labels, rows) = (Vec::from_iter(labels), Vec::from_iter(probabilities));
        same_length("probabilities", labels.len().saturating_mul(classes), rows.len())?;
        below("label", &labels, classes)?;
        Ok(Self::of(Outcomes::Probabilities { labels, rows, classes }))
    }

    /// Of a classifier of many classes that names one, by its number.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] unless there is one prediction for each label, and all are below `classes`.
    pub fn classes(
        labels: impl IntoIterator<Item = usize>,
        predictions: impl IntoIterator<Item = usize>,
        classes: usize,
    ) -> Result<Self> {
        let (labels, predictions) = (Vec::from_iter(labels), Vec::from_iter(predictions));
        same_length("predictions", labels.len(), predictions.len())?;
        below("label", &labels, classes)?;
        below("prediction", &predictions, classes)?;
        Ok(Self::of(Outcomes::Classes { labels, predictions, classes }))
    }

    /// Of a model that predicts numbers.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] unless there is one prediction for each actual value, and these are finite.
    pub fn regression(
        actual: impl IntoIterator<Item = f64>,
        predicted: impl IntoIterator<Item = f64>,
    ) -> Result<Self> {
        let (actual, predicted) = (Vec::from_iter(actual), Vec::from_iter(predicted));
        same_length("predicted values", actual.len(), predicted.len())?;
        if let Some(row) = actual.iter().position(|value| !value.is_finite()) {
            return Err(Error::invalid_input(format!(
                "the actual value of row {row} is {}: leave rows out whose truth is not known",
                actual[row]
            )));
        }
        Ok(Self::of(Outcomes::Numbers { actual, predicted }))
    }

    /// Sets the score from which on a row is called positive.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for NaN, and where there are no scores of a binary classifier.
    pub fn with_threshold(mut self, value: f64) -> Result<Self> {
        match &mut self.outcomes {
            Outcomes::Scores { threshold, .. } if !value.is_nan() => *threshold = value,
            Outcomes::Scores { .. } => return Err(Error::invalid_input("NaN is no threshold")),
            _ => return Err(Error::invalid_input("only scores of a binary classifier have a threshold")),
        }
        Ok(self)
    }

    /// Says to which slice each row belongs, under a name: `country`, `age band`. A row may belong to a slice
    /// under each name.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] unless there is one slice for each row.
    pub fn with_slices(
        mut self,
        name: impl Into<String>,
        slices: impl IntoIterator<Item = impl Into<Arc<str>>>,
    ) -> Result<Self> {
        let (name, slices) = (name.into(), Vec::from_iter(slices.into_iter().map(Into::into)));
        same_length(&format!("slices of `{name}`"), self.rows(), slices.len())?;
        self.slices.insert(name, slices);
        Ok(self)
    }

    /// How many rows there are.
    #[must_use]
    pub fn rows(&self) -> usize {
        match &self.outcomes {
            Outcomes::Scores { labels, .. } | Outcomes::Decisions { labels, .. } => labels.len(),
            Outcomes::Probabilities { labels, .. } | Outcomes::Classes { labels, .. } => labels.len(),
            Outcomes::Numbers { actual, .. } => actual.len(),
        }
    }

    /// A metric over all rows, by its name in the table above.
    ///
    /// # Errors
    /// [`Error::Unsupported`] when rows of this kind have no such metric; [`Error::InvalidInput`] when it is
    /// undefined for these rows, or a prediction is NaN or out of its range.
    pub fn metric(&self, name: &str) -> Result<f64> {
        let metric = Metric::named(name).ok_or(Unmeasured::NotThere).and_then(|metric| self.measure(metric));
        metric.map_err(|reason| match reason {
            Unmeasured::NotThere => Error::unsupported(format!("such rows have no metric `{name}`")),
            other => Error::invalid_input(format!("`{name}`: {other}")),
        })
    }

    /// The rows of each slice under that name; `None` where the name is not known.
    pub(super) fn rows_of_slices(&self, name: &str) -> Option<BTreeMap<Arc<str>, Vec<usize>>> {
        let mut found: BTreeMap<Arc<str>, Vec<usize>> = BTreeMap::new();
        for (row, slice) in self.slices.get(name)?.iter().enumerate() {
            found.entry(Arc::clone(slice)).or_default().push(row);
        }
        Some(found)
    }

    /// The names under which rows belong to slices.
    pub(super) fn slice_names(&self) -> Vec<&str> {
        self.slices.keys().map(String::as_str).collect()
    }

    /// These rows, as often as they are named, without their slices. Rows that are not there are left out.
    pub(super) fn select(&self, rows: &[usize]) -> Self {
        fn pick<T: Copy>(values: &[T], rows: &[usize]) -> Vec<T> {
            rows.iter().filter_map(|row| values.get(*row).copied()).collect()
        }
        Self::of(match &self.outcomes {
            Outcomes::Scores { labels, scores, threshold } => Outcomes::Scores {
                labels: pick(labels, rows),
                scores: pick(scores, rows),
                threshold: *threshold,
            },
            Outcomes::Decisions { labels, predictions } => {
                Outcomes::Decisions { labels: pick(labels, rows), predictions: pick(predictions, rows) }
            }
            Outcomes::Probabilities { labels, rows: probabilities, classes } => {
                let values = rows.iter().flat_map(|row| {
                    let start = row.saturating_mul(*classes);
                    probabilities
                        .get(start..start.saturating_add(*classes))
                        .unwrap_or_default()
                        .iter()
                        .copied()
                });
                Outcomes::Probabilities {
                    labels: pick(labels, rows),
                    rows: values.collect(),
                    classes: *classes,
                }
            }
            Outcomes::Classes { labels, predictions, classes } => Outcomes::Classes {
                labels: pick(labels, rows),
                predictions: pick(predictions, rows),
                classes: *classes,
            },
            Outcomes::Numbers { actual, predicted } => {
                Outcomes::Numbers { actual: pick(actual, rows), predicted: pick(predicted, rows) }
            }
        })
    }

    fn of(outcomes: Outcomes) -> Self {
        Self { outcomes, slices: BTreeMap::new() }
    }
}

fn same_length(what: &str, rows: usize, found: usize) -> Result<()> {
    if rows == found {
        return Ok(());
    }
    Err(Error::invalid_input(format!("an evaluation has {found} {what} where {rows} are needed")))
}

fn below(what: &str, values: &[usize], classes: usize) -> Result<()> {
    match values.iter().position(|value| *value >= classes) {
        Some(row) => Err(Error::invalid_input(format!(
            "the {what} of row {row} is class {}, but there are {classes} classes, from 0",
            values[row]
        ))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
