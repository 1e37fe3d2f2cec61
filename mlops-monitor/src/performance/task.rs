//! What a model predicts, and where it says so.

use std::sync::Arc;

use mlops_core::{DType, Error, Result, Tensor, Tensors};
use serde::{Deserialize, Serialize};

use super::ranking::order_of;
use crate::numbers::{Numbers, visit_numbers};

/// What a model predicts, and which of its outputs says so.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Task {
    /// One of two classes.
    Binary {
        /// The output with the probability of the positive class: `[batch]` or `[batch, 1]`, or `[batch, 2]`, whose
        /// second column it is then.
        output: String,
        /// From which probability on the class is positive.
        threshold: f64,
    },
    /// One of several classes.
    Multiclass {
        /// The output with probabilities, `[batch, classes]`, which are scaled to a sum of 1, or with classes, `[batch]` or `[batch, 1]`: numbers
        /// from 0, or names in BYTES.
        output: String,
        /// The names of the classes, in order.
        classes: Vec<String>,
    },
    /// A number.
    Regression {
        /// The output with the number: `[batch]` or `[batch, 1]`.
        output: String,
    },
    /// An order. A request is a query, its rows are the candidates, and there is one label for all of them.
    Ranking {
        /// The output with the score of each candidate, the best one the greatest: `[batch]` or `[batch, 1]`.
        output: String,
        /// How many places count in `ndcg@k`, `precision@k` and `recall@k`.
        at: usize,
    },
}

/// What a prediction should have been.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum Label {
    /// Of [`Task::Binary`]: whether the class is positive.
    Positive(bool),
    /// Of [`Task::Multiclass`], from 0. Of [`Task::Ranking`]: the only relevant candidate, by its row.
    Class(usize),
    /// Of [`Task::Regression`].
    Number(f64),
    /// Of [`Task::Multiclass`], by its name.
    Name(String),
    /// Of [`Task::Ranking`]: how relevant each candidate is, by row; 0 is not at all.
    Grades(Vec<f64>),
}

/// One row of what was predicted.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Predicted {
    Probability(f64),
    Probabilities(Arc<[f32]>),
    Class(u32),
    Number(f64),
    /// The candidates from the first place to the last.
    Ranking(Arc<[u32]>),
}

/// A label that fits the task.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Truth {
    Positive(bool),
    Class(u32),
    Number(f64),
    Grades(Arc<[f64]>),
}

/// Why a prediction could not be read, as a metric label.
pub(super) type Misread = &'static str;

impl Task {
    /// One of two classes, positive from a probability of one half on.
    pub fn binary(output: impl Into<String>) -> Self {
        Self::Binary { output: output.into(), threshold: 0.5 }
    }

    /// One of these classes.
    pub fn multiclass(
        output: impl Into<String>,
        classes: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        Self::Multiclass { output: output.into(), classes: classes.into_iter().map(Into::into).collect() }
    }

    /// A number.
    pub fn regression(output: impl Into<String>) -> Self {
        Self::Regression { output: output.into() }
    }

    /// An order, of which so many places are looked at.
    pub fn ranking(output: impl Into<String>, at: usize) -> Self {
        Self::Ranking { output: output.into(), at }
    }

    /// Sets from which probability on the class of [`Binary`](Self::Binary) is positive.
    #[must_use]
    pub fn with_threshold(mut self, probability: f64) -> Self {
        if let Self::Binary { threshold, .. } = &mut self {
            *threshold = probability;
        }
        self
    }

    pub(super) fn check(&self) -> Result<()> {
        match self {
            Self::Binary { threshold, .. } if !(0.0..=1.0).contains(threshold) => Err(Error::invalid_input(
                format!("the threshold is {threshold}; it is a probability, 0 to 1"),
            )),
            Self::Multiclass { classes, .. } if classes.len() < 2 => {
                Err(Error::invalid_input("a model of several classes has at least two"))
            }
            Self::Ranking { at: 0, .. } => {
                Err(Error::invalid_input("a ranking is judged by at least its first place"))
            }
            _ => Ok(()),
        }
    }

    /// The label, if it fits.
    pub(super) fn truth(&self, label: &Label) -> Result<Truth> {
        let unfit =
            |expected: &str| Error::invalid_input(format!("the label is {label:?}; it has to be {expected}"));
        match (self, label) {
            (Self::Binary { .. }, Label::Positive(positive)) => Ok(Truth::Positive(*positive)),
            (Self::Binary { .. }, Label::Class(class @ (0 | 1))) => Ok(Truth::Positive(*class == 1)),
            (Self::Binary { .. }, Label::Number(0.0)) => Ok(Truth::Positive(false)),
            (Self::Binary { .. }, Label::Number(1.0)) => Ok(Truth::Positive(true)),
            (Self::Binary { .. }, _) => Err(unfit("true or false, or 1 or 0")),
            (Self::Multiclass { classes, .. }, label) => {
                let class = match label {
                    Label::Name(name) => classes.iter().position(|class| class == name),
                    label => index_of(label),
                };
                let class = class.filter(|class| *class < classes.len());
                let expected =
                    || unfit(&format!("the name of a class, or its number below {}", classes.len()));
                class.map(|class| Truth::Class(class as u32)).ok_or_else(expected)
            }
            (Self::Regression { .. }, Label::Number(number)) if number.is_finite() => {
                Ok(Truth::Number(*number))
            }
            (Self::Regression { .. }, Label::Class(number)) => Ok(Truth::Number(*number as f64)),
            (Self::Regression { .. }, _) => Err(unfit("a finite number")),
            (Self::Ranking { .. }, Label::Grades(grades)) => {
                let sound = grades.iter().all(|grade| grade.is_finite() && *grade >= 0.0);
                if sound {
                    Ok(Truth::Grades(grades.as_slice().into()))
                } else {
                    Err(unfit("finite and not negative"))
                }
            }
            (Self::Ranking { .. }, label) => {
                let chosen = index_of(label).and_then(|row| u32::try_from(row).ok());
                chosen
                    .map(Truth::Class)
                    .ok_or_else(|| unfit("a grade for each candidate, or the row of the relevant one"))
            }
        }
    }

    /// What was predicted, one for each row; a ranking is one for all of them.
    pub(super) fn read(&self, outputs: &Tensors) -> Result<Vec<Predicted>, Misread> {
        let (Self::Binary { output, .. }
        | Self::Multiclass { output, .. }
        | Self::Regression { output }
        | Self::Ranking { output, .. }) = self;
        let tensor = outputs.get(output).ok_or("missing_tensor")?;
        let (rows, width) = match *tensor.shape() {
            [rows] => (rows, 1),
            [rows, width] => (rows, width),
            _ => return Err("shape"),
        };
        let predicted: Vec<Predicted> = match self {
            Self::Binary { .. } => {
                if !matches!(width, 1 | 2) {
                    return Err("shape");
                }
                let positive = numbers(tensor)?.into_iter().skip(width - 1).step_by(width);
                positive.map(probability).collect::<Result<_, _>>()?
            }
            Self::Multiclass { classes, .. } if width == classes.len() && width > 1 => {
                let numbers = numbers(tensor)?;
                let impossible = |row: &[f64]| {
                    row.iter().any(|share| !(0.0..=1.0).contains(share))
                        || row.iter().all(|share| *share == 0.0)
                };
                if numbers.chunks_exact(width).any(impossible) {
                    return Err("not_a_probability");
                }
                let row = |row: &[f64]| row.iter().map(|number| *number as f32).collect();
                numbers.chunks_exact(width).map(row).map(Predicted::Probabilities).collect()
            }
            _ if width != 1 => return Err("shape"),
            Self::Multiclass { classes, .. } => read_classes(tensor, classes)?,
            Self::Regression { .. } => finite(tensor)?.into_iter().map(Predicted::Number).collect(),
            Self::Ranking { .. } if rows == 0 => Vec::new(),
            Self::Ranking { .. } => return Ok(vec![Predicted::Ranking(order_of(&finite(tensor)?))]),
        };
        if predicted.len() == rows { Ok(predicted) } else { Err("shape") }
    }
}

impl Predicted {
    /// Whether the label can be that of this prediction; a ranking has as many candidates as its label.
    pub(super) fn fits(&self, truth: &Truth) -> bool {
        match (self, truth) {
            (Self::Ranking(order), Truth::Grades(grades)) => grades.len() == order.len(),
            (Self::Ranking(order), Truth::Class(chosen)) => (*chosen as usize) < order.len(),
            _ => true,
        }
    }
}

/// The number that a label is, if it is a whole one.
fn index_of(label: &Label) -> Option<usize> {
    match label {
        Label::Class(index) => Some(*index),
        Label::Number(number) if number.fract() == 0.0 && *number >= 0.0 => Some(*number as usize),
        _ => None,
    }
}

fn probability(number: f64) -> Result<Predicted, Misread> {
    if (0.0..=1.0).contains(&number) { Ok(Predicted::Probability(number)) } else { Err("not_a_probability") }
}

fn read_classes(tensor: &Tensor, classes: &[String]) -> Result<Vec<Predicted>, Misread> {
    if tensor.dtype() == DType::Bytes {
        let names = tensor.strings().map_err(|_| "data_type")?;
        let class = |name: &str| classes.iter().position(|class| class == name);
        let found: Option<_> =
            names.into_iter().map(|name| Some(Predicted::Class(class(name)? as u32))).collect();
        return found.ok_or("unknown_class");
    }
    let class = |number: f64| {
        let known = number.fract() == 0.0 && (0.0..classes.len() as f64).contains(&number);
        known.then_some(Predicted::Class(number as u32))
    };
    numbers(tensor)?.into_iter().map(class).collect::<Option<_>>().ok_or("unknown_class")
}

fn finite(tensor: &Tensor) -> Result<Vec<f64>, Misread> {
    Some(numbers(tensor)?)
        .filter(|numbers| numbers.iter().all(|number| number.is_finite()))
        .ok_or("not_finite")
}

fn numbers(tensor: &Tensor) -> Result<Vec<f64>, Misread> {
    struct Collect;

    impl Numbers for Collect {
        type Output = Vec<f64>;

        fn visit<T: Copy>(self, values: &[T], to_f64: impl Fn(T) -> f64) -> Vec<f64> {
            values.iter().map(|value| to_f64(*value)).collect()
        }
    }
    visit_numbers(tensor, Collect).ok_or("data_type")
}

impl From<bool> for Label {
    fn from(positive: bool) -> Self {
        Self::Positive(positive)
    }
}

impl From<usize> for Label {
    fn from(class: usize) -> Self {
        Self::Class(class)
    }
}

impl From<f64> for Label {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl From<Vec<f64>> for Label {
    fn from(grades: Vec<f64>) -> Self {
        Self::Grades(grades)
    }
}

impl From<&str> for Label {
    fn from(name: &str) -> Self {
        Self::Name(name.to_owned())
    }
}
