//! The names of classes.

use mlops_core::{Error, Result};

use crate::engine::onnx::graph::Attributes;
use crate::engine::onnx::tensor::{HostTensor, Shape};

/// The classes of a classifier: integers or strings.
#[derive(Debug, Clone)]
pub(super) enum Labels {
    Ints(Vec<i64>),
    Texts(Vec<String>),
}

impl Labels {
    /// The labels in the attributes of these names. Strings take precedence, as in onnxruntime.
    pub(super) fn parse(attributes: &Attributes, ints: &str, texts: &str) -> Result<Self> {
        match attributes.texts(texts)? {
            Some(labels) if !labels.is_empty() => Ok(Self::Texts(labels.clone())),
            _ => Ok(Self::Ints(attributes.ints(ints)?.cloned().unwrap_or_default())),
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Ints(labels) => labels.len(),
            Self::Texts(labels) => labels.len(),
        }
    }

    /// What a classifier says that has a score for one class only: no, then yes. These are 0 and 1 unless there are
    /// two labels.
    pub(super) fn no_and_yes(&self) -> Self {
        match self {
            _ if self.len() == 2 => self.clone(),
            Self::Ints(_) => Self::Ints(vec![0, 1]),
            Self::Texts(_) => Self::Texts(vec!["0".into(), "1".into()]),
        }
    }

    /// The labels at these places, one for each row.
    pub(super) fn select(&self, places: &[usize]) -> Result<HostTensor> {
        fn at<T: Clone>(labels: &[T], places: &[usize]) -> Result<Vec<T>> {
            let label = |&place: &usize| labels.get(place).cloned();
            places.iter().map(label).collect::<Option<_>>().ok_or_else(|| {
                Error::engine(format!("there are more classes than the {} that have labels", labels.len()))
            })
        }
        let shape = Shape::from_slice(&[places.len()]);
        match self {
            Self::Ints(labels) => HostTensor::new(shape, at(labels, places)?),
            Self::Texts(labels) => HostTensor::new(shape, at(labels, places)?),
        }
    }
}

/// The place of the largest score; of equal ones the first. Scores that are not numbers are never larger.
pub(super) fn largest(scores: &[f32]) -> usize {
    let mut best = 0;
    for (index, score) in scores.iter().enumerate() {
        if *score > scores[best] {
            best = index;
        }
    }
    best
}
