//! `LinearClassifier` and `LinearRegressor`.

use mlops_core::{Error, Result};
use smallvec::smallvec;

use super::labels::{Labels, largest};
use super::scores::{PostTransform, SecondClass};
use super::{floats, rows_and_columns};
use crate::engine::onnx::ops::{Context, Operator, Outputs, Source, one};
use crate::engine::onnx::tensor::{HostTensor, Shape, element_count};
use crate::engine::onnx::value::{Inputs, Value};

/// `scores = x coefficients^T + intercepts`.
#[derive(Debug)]
struct Linear {
    /// `[targets, features]`
    coefficients: Vec<f32>,
    intercepts: Vec<f32>,
    targets: usize,
    features: usize,
}

impl Linear {
    fn new(source: &Source<'_>, targets: usize) -> Result<Self> {
        let attributes = &source.node.attributes;
        let coefficients = attributes.floats("coefficients")?.cloned().unwrap_or_default();
        let intercepts = attributes.floats("intercepts")?.cloned().unwrap_or_default();
        if targets == 0 || coefficients.is_empty() || !coefficients.len().is_multiple_of(targets) {
            let count = coefficients.len();
            return Err(Error::invalid_input(format!("{count} coefficients do not make {targets} targets")));
        }
        let intercepts = if intercepts.len() == targets { intercepts } else { vec![0.0; targets] };
        let features = coefficients.len() / targets;
        Ok(Self { coefficients, intercepts, targets, features })
    }

    /// The scores `[rows, targets]` of an input `[rows, features]`.
    fn scores(&self, input: &HostTensor) -> Result<(usize, Vec<f32>)> {
        let (rows, columns) = rows_and_columns(input)?;
        if columns != self.features {
            let features = self.features;
            return Err(Error::engine(format!("the model has {features} features, but a row has {columns}")));
        }
        let x = floats(input)?;
        let mut scores = Vec::with_capacity(element_count(&[rows, self.targets])?);
        for row in x.chunks_exact(columns) {
            let weights = self.coefficients.chunks_exact(columns).zip(&self.intercepts);
            scores.extend(weights.map(|(weights, intercept)| dot(row, weights) + intercept));
        }
        Ok((rows, scores))
    }
}

/// The inner product, with several sums at once for speed and accuracy.
pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 16;
    let (a_lanes, a_rest) = a.as_chunks::<LANES>();
    let (b_lanes, b_rest) = b.as_chunks::<LANES>();
    let mut sums = [0.0_f32; LANES];
    for (a, b) in a_lanes.iter().zip(b_lanes) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f32>() + rest
}

#[derive(Debug)]
struct LinearRegressor {
    linear: Linear,
    transform: PostTransform,
}

pub(super) fn regressor(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    let attributes = &source.node.attributes;
    let targets = usize::try_from(attributes.int("targets", 1)?)
        .map_err(|_| Error::invalid_input("the number of targets is negative"))?;
    Ok(Box::new(LinearRegressor {
        linear: Linear::new(source, targets)?,
        transform: PostTransform::parse(attributes)?,
    }))
}

impl Operator for LinearRegressor {
    fn run(&self, inputs: &mut Inputs<'_>, _: &mut Context<'_>) -> Result<Outputs> {
        let (rows, mut scores) = self.linear.scores(inputs.tensor(0)?)?;
        self.transform.apply_to_rows(&mut scores, self.linear.targets);
        one(HostTensor::new(Shape::from_slice(&[rows, self.linear.targets]), scores)?)
    }
}

#[derive(Debug)]
struct LinearClassifier {
    linear: Linear,
    transform: PostTransform,
    labels: Labels,
    /// A single score, but two labels.
    two_from_one: bool,
}

pub(super) fn classifier(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    let attributes = &source.node.attributes;
    let labels = Labels::parse(attributes, "classlabels_ints", "classlabels_strings")?;
    let targets = match attributes.floats("intercepts")? {
        Some(intercepts) if !intercepts.is_empty() => intercepts.len(),
        _ => labels.len(),
    };
    let linear = Linear::new(source, targets)?;
    if targets > 1 && labels.len() < targets {
        let count = labels.len();
        return Err(Error::invalid_input(format!("{targets} classes have {count} labels")));
    }
    Ok(Box::new(LinearClassifier {
        two_from_one: targets == 1 && labels.len() == 2,
        labels: if targets == 1 { labels.no_and_yes() } else { labels },
        linear,
        transform: PostTransform::parse(attributes)?,
    }))
}

impl Operator for LinearClassifier {
    fn run(&self, inputs: &mut Inputs<'_>, _: &mut Context<'_>) -> Result<Outputs> {
        let (rows, mut scores) = self.linear.scores(inputs.tensor(0)?)?;
        let mut columns = self.linear.targets;
        let classes: Vec<usize> = if columns == 1 {
            scores.iter().map(|&score| usize::from(score > 0.0)).collect()
        } else {
            scores.chunks_exact(columns).map(largest).collect()
        };
        if self.two_from_one {
            let two = |&score: &f32| self.transform.apply_to_two(score, SecondClass::Complement);
            scores = scores.iter().flat_map(two).collect();
            columns = 2;
        } else {
            self.transform.apply_to_rows(&mut scores, columns);
        }
        let scores = HostTensor::new(Shape::from_slice(&[rows, columns]), scores)?;
        Ok(smallvec![Value::Tensor(self.labels.select(&classes)?), Value::Tensor(scores)])
    }
}
