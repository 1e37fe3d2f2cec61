//! `SVMClassifier` and `SVMRegressor`: support vector machines as LIBSVM and LIBLINEAR train them.
//!
//! Decision values, votes and the coupling of pairwise probabilities follow LIBSVM (C.-C. Chang and C.-J. Lin, "LIBSVM: a
//! library for support vector machines", 2011; T.-F. Wu, C.-J. Lin and R. C. Weng, "Probability estimates for multi-class
//! classification by pairwise coupling", 2004), with the conventions of onnxruntime for what the specification leaves open.

use mlops_core::{Error, Result};
use smallvec::smallvec;

use super::labels::{Labels, largest};
use super::linear::dot;
use super::scores::{PostTransform, SecondClass, logistic};
use super::{floats, rows_and_columns};
use crate::engine::onnx::graph::Attributes;
use crate::engine::onnx::ops::{Context, Operator, Outputs, Source, one};
use crate::engine::onnx::tensor::{HostTensor, Shape, element_count};
use crate::engine::onnx::value::{Inputs, Value};

/// How alike two vectors are.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kernel {
    /// `x y`
    Linear,
    /// `(gamma x y + offset)^degree`
    Polynomial { gamma: f32, offset: f32, degree: f32 },
    /// `exp(-gamma |x - y|^2)`
    Radial { gamma: f32 },
    /// `tanh(gamma x y + offset)`
    Sigmoid { gamma: f32, offset: f32 },
}

impl Kernel {
    fn parse(attributes: &Attributes) -> Result<Self> {
        let parameters = attributes.floats("kernel_params")?.map_or(&[][..], Vec::as_slice);
        let [gamma, offset, degree] = match parameters {
            [] => [0.0; 3],
            [gamma, offset, degree, ..] => [*gamma, *offset, *degree],
            _ => return Err(Error::invalid_input("kernel_params are gamma, coef0 and degree")),
        };
        Ok(match attributes.text("kernel_type")?.map_or("LINEAR", String::as_str) {
            "LINEAR" => Self::Linear,
            "POLY" => Self::Polynomial { gamma, offset, degree },
            "RBF" => Self::Radial { gamma },
            "SIGMOID" => Self::Sigmoid { gamma, offset },
            other => return Err(Error::invalid_input(format!("there is no kernel_type `{other}`"))),
        })
    }

    fn of(self, x: &[f32], y: &[f32]) -> f32 {
        match self {
            Self::Linear => dot(x, y),
            Self::Polynomial { gamma, offset, degree } => {
                let base = gamma * dot(x, y) + offset;
                if degree == 2.0 {
                    base * base
                } else if degree == 3.0 {
                    base * base * base
                } else {
                    base.powf(degree)
                }
            }
            Self::Radial { gamma } => (-gamma * squared_distance(x, y)).exp(),
            Self::Sigmoid { gamma, offset } => (gamma * dot(x, y) + offset).tanh(),
        }
    }
}

fn squared_distance(x: &[f32], y: &[f32]) -> f32 {
    const LANES: usize = 16;
    let (x_lanes, x_rest) = x.as_chunks::<LANES>();
    let (y_lanes, y_rest) = y.as_chunks::<LANES>();
    let mut sums = [0.0_f32; LANES];
    for (x, y) in x_lanes.iter().zip(y_lanes) {
        for lane in 0..LANES {
            sums[lane] += (x[lane] - y[lane]) * (x[lane] - y[lane]);
        }
    }
    let rest: f32 = x_rest.iter().zip(y_rest).map(|(x, y)| (x - y) * (x - y)).sum();
    sums.iter().sum::<f32>() + rest
}

/// The vectors to which inputs are compared, `[count, features]`, one after the other.
#[derive(Debug)]
struct Vectors {
    elements: Vec<f32>,
    count: usize,
    features: usize,
}

impl Vectors {
    fn new(elements: Vec<f32>, count: usize) -> Result<Self> {
        if count == 0 || elements.is_empty() || !elements.len().is_multiple_of(count) {
            let given = elements.len();
            return Err(Error::invalid_input(format!("{given} numbers do not make {count} support vectors")));
        }
        let features = elements.len() / count;
        Ok(Self { elements, count, features })
    }

    fn iter(&self) -> impl Iterator<Item = &[f32]> {
        self.elements.chunks_exact(self.features)
    }

    /// The rows of an input, whose length must be that of the vectors.
    fn check(&self, input: &HostTensor) -> Result<usize> {
        let (rows, columns) = rows_and_columns(input)?;
        if columns != self.features {
            let features = self.features;
            return Err(Error::engine(format!("the model has {features} features, but a row has {columns}")));
        }
        Ok(rows)
    }
}

fn required_floats(attributes: &Attributes, name: &str) -> Result<Vec<f32>> {
    match attributes.floats(name)? {
        Some(values) if !values.is_empty() => Ok(values.clone()),
        _ => Err(Error::invalid_input(format!("the attribute `{name}` is needed"))),
    }
}

fn given_floats(attributes: &Attributes, name: &str) -> Result<Vec<f32>> {
    Ok(attributes.floats(name)?.cloned().unwrap_or_default())
}

#[derive(Debug)]
struct SvmRegressor {
    kernel: Kernel,
    vectors: Vectors,
    /// One for each vector.
    coefficients: Vec<f32>,
    rho: f32,
    one_class: bool,
}

pub(super) fn regressor(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    let attributes = &source.node.attributes;
    let coefficients = required_floats(attributes, "coefficients")?;
    let rho = required_floats(attributes, "rho")?[0];
    PostTransform::parse(attributes)?; // has no effect on one score that is no probability
    let count = usize::try_from(attributes.int("n_supports", 0)?)
        .map_err(|_| Error::invalid_input("the number of support vectors is negative"))?;
    let one_class = attributes.flag("one_class", false)?;
    // Without support vectors the coefficients are those of a linear function.
    let (kernel, vectors, coefficients) = if count == 0 {
        (Kernel::Linear, Vectors::new(coefficients, 1)?, vec![1.0])
    } else {
        let vectors = Vectors::new(given_floats(attributes, "support_vectors")?, count)?;
        (Kernel::parse(attributes)?, vectors, coefficients)
    };
    if coefficients.len() != vectors.count {
        let (given, needed) = (coefficients.len(), vectors.count);
        return Err(Error::invalid_input(format!("{needed} support vectors have {given} coefficients")));
    }
    Ok(Box::new(SvmRegressor { kernel, vectors, coefficients, rho, one_class }))
}

impl Operator for SvmRegressor {
    fn run(&self, inputs: &mut Inputs<'_>, _: &mut Context<'_>) -> Result<Outputs> {
        let input = inputs.tensor(0)?;
        let rows = self.vectors.check(input)?;
        let x = floats(input)?;
        let score = |row: &[f32]| {
            let weighted = self.vectors.iter().zip(&self.coefficients);
            let sum: f64 = weighted.map(|(y, weight)| f64::from(weight * self.kernel.of(row, y))).sum();
            let score = (sum + f64::from(self.rho)) as f32;
            match self.one_class {
                false => score,
                true if score > 0.0 => 1.0,
                true => -1.0,
            }
        };
        let scores: Vec<f32> = x.chunks_exact(self.vectors.features).map(score).collect();
        one(HostTensor::new(Shape::from_slice(&[rows, 1]), scores)?)
    }
}

#[derive(Debug)]
struct SvmClassifier {
    labels: Labels,
    transform: PostTransform,
    /// No coefficient is negative.
    positive: bool,
    probabilities: bool,
    machine: Machine,
}

#[derive(Debug)]
enum Machine {
    /// A linear function for each class, all with the same constant.
    Linear { weights: Vectors, rho: f32 },
    /// A decision between each two classes.
    Pairs(Pairs),
}

/// Decisions between two classes each: first against second, first against third, .., second against third, ..
#[derive(Debug)]
struct Pairs {
    kernel: Kernel,
    vectors: Vectors,
    /// Where the support vectors of each class begin, and the end of the last.
    starts: Vec<usize>,
    /// `[classes - 1, vectors]`
    coefficients: Vec<f32>,
    /// One for each pair, as the others.
    rho: Vec<f32>,
    /// Of the function from decision values to probabilities.
    slope: Vec<f32>,
    offset: Vec<f32>,
}

pub(super) fn classifier(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    let attributes = &source.node.attributes;
    let labels = Labels::parse(attributes, "classlabels_ints", "classlabels_strings")?;
    let classes = labels.len();
    if classes == 0 {
        return Err(Error::invalid_input("the classes have no labels"));
    }
    let coefficients = required_floats(attributes, "coefficients")?;
    let positive = coefficients.iter().all(|&weight| weight >= 0.0);
    let rho = required_floats(attributes, "rho")?;
    let slope = given_floats(attributes, "prob_a")?;
    let offset = given_floats(attributes, "prob_b")?;
    let probabilities = !slope.is_empty();
    let per_class = attributes.ints("vectors_per_class")?.map_or(&[][..], Vec::as_slice);
    let mut starts = vec![0_usize];
    for &count in per_class {
        let last = starts.last().copied().unwrap_or(0);
        let next = usize::try_from(count).ok().and_then(|count| last.checked_add(count));
        starts.push(next.ok_or_else(|| Error::invalid_input("vectors_per_class has an impossible number"))?);
    }
    let count = starts.last().copied().unwrap_or(0);
    let machine = if count == 0 {
        if !coefficients.len().is_multiple_of(classes) {
            let given = coefficients.len();
            return Err(Error::invalid_input(format!("{given} coefficients do not make {classes} classes")));
        }
        Machine::Linear { weights: Vectors::new(coefficients, classes)?, rho: rho[0] }
    } else {
        let pairs = classes.saturating_mul(classes - 1) / 2;
        if classes < 2 || per_class.len() != classes {
            let given = per_class.len();
            return Err(Error::invalid_input(format!("vectors_per_class has {given} of {classes} classes")));
        }
        if coefficients.len() < (classes - 1).saturating_mul(count) {
            return Err(Error::invalid_input(
                "there are fewer coefficients than classes and support vectors",
            ));
        }
        let fits = |parameters: &[f32]| parameters.is_empty() || parameters.len() >= pairs;
        if rho.len() < pairs || !fits(&slope) || slope.len() != offset.len() {
            return Err(Error::invalid_input(format!(
                "rho, prob_a or prob_b is too short for {pairs} pairs"
            )));
        }
        let vectors = Vectors::new(given_floats(attributes, "support_vectors")?, count)?;
        let kernel = Kernel::parse(attributes)?;
        Machine::Pairs(Pairs { kernel, vectors, starts, coefficients, rho, slope, offset })
    };
    let transform = PostTransform::parse(attributes)?;
    Ok(Box::new(SvmClassifier { labels, transform, positive, probabilities, machine }))
}

impl Operator for SvmClassifier {
    fn run(&self, inputs: &mut Inputs<'_>, _: &mut Context<'_>) -> Result<Outputs> {
        let input = inputs.tensor(0)?;
        let (vectors, columns) = match &self.machine {
            Machine::Linear { weights, .. } => (weights, weights.count),
            Machine::Pairs(pairs) => (&pairs.vectors, pairs.columns(self.probabilities)),
        };
        let rows = vectors.check(input)?;
        let x = floats(input)?;
        let mut scores = vec![0.0; element_count(&[rows, columns])?];
        let mut classes = Vec::with_capacity(rows);
        let mut work = Work::default();
        for (row, scores) in x.chunks_exact(vectors.features).zip(scores.chunks_exact_mut(columns)) {
            classes.push(match &self.machine {
                Machine::Linear { weights, rho } => self.linear_row(weights, *rho, row, scores),
                Machine::Pairs(pairs) => self.pairs_row(pairs, row, scores, &mut work),
            });
        }
        let scores = HostTensor::new(Shape::from_slice(&[rows, columns]), scores)?;
        Ok(smallvec![Value::Tensor(self.labels.select(&classes)?), Value::Tensor(scores)])
    }
}

/// Memory for one row after the other.
#[derive(Debug, Default)]
struct Work {
    kernels: Vec<f32>,
    decisions: Vec<f32>,
    votes: Vec<u32>,
    pairwise: Vec<f32>,
}

impl SvmClassifier {
    /// Writes the scores of a row; returns its class.
    fn linear_row(&self, weights: &Vectors, rho: f32, row: &[f32], scores: &mut [f32]) -> usize {
        for (score, weights) in scores.iter_mut().zip(weights.iter()) {
            *score = dot(row, weights) + rho;
        }
        let best = largest(scores);
        let second = match self.positive {
            true => scores[best] >= 0.5,
            false => scores[best] > 0.0,
        };
        let class = if scores.len() == 2 && !self.probabilities && second { 1 } else { best };
        self.transform.apply(scores);
        class
    }

    /// Writes the scores of a row; returns its class.
    fn pairs_row(&self, pairs: &Pairs, row: &[f32], scores: &mut [f32], work: &mut Work) -> usize {
        let classes = pairs.starts.len() - 1;
        pairs.decide(row, work);
        if self.probabilities {
            pairs.probabilities(work, scores);
            self.transform.apply(scores);
        } else if classes > 2 {
            scores.copy_from_slice(&work.decisions);
            self.transform.apply(scores);
        } else {
            let second = match self.transform {
                PostTransform::None => SecondClass::Opposite,
                _ => SecondClass::Complement,
            };
            scores.copy_from_slice(&self.transform.apply_to_two(work.decisions[0], second));
        }
        let most = work.votes.iter().copied().max().unwrap_or(0);
        work.votes.iter().position(|&votes| votes == most).unwrap_or(0)
    }
}

impl Pairs {
    /// The number of scores of a row.
    fn columns(&self, probabilities: bool) -> usize {
        let classes = self.starts.len() - 1;
        if probabilities { classes } else { (classes * (classes - 1) / 2).max(2) }
    }

    /// Decides between each two classes, and counts the votes for each class.
    fn decide(&self, row: &[f32], work: &mut Work) {
        let count = self.vectors.count;
        let classes = self.starts.len() - 1;
        work.kernels.clear();
        work.kernels.extend(self.vectors.iter().map(|vector| self.kernel.of(row, vector)));
        work.decisions.clear();
        work.votes.clear();
        work.votes.resize(classes, 0);
        let weighted = |line: usize, class: usize| {
            let vectors = self.starts[class]..self.starts[class + 1];
            let weights = &self.coefficients[line * count..][vectors.clone()];
            let products = weights.iter().zip(&work.kernels[vectors]);
            products.map(|(weight, kernel)| f64::from(weight * kernel)).sum::<f64>()
        };
        for first in 0..classes {
            for second in first + 1..classes {
                let rho = f64::from(self.rho[work.decisions.len()]);
                let decision = weighted(second - 1, first) + weighted(first, second) + rho;
                work.votes[if decision > 0.0 { first } else { second }] += 1;
                work.decisions.push(decision as f32);
            }
        }
    }

    /// The probability of each class.
    fn probabilities(&self, work: &mut Work, probabilities: &mut [f32]) {
        const LEAST: f32 = 1e-7;
        let classes = probabilities.len();
        let mut pair = 0;
        work.pairwise.clear();
        work.pairwise.resize(classes * classes, 0.0);
        for first in 0..classes {
            for second in first + 1..classes {
                let decision = work.decisions[pair];
                let one = 1.0 - logistic(decision * self.slope[pair] + self.offset[pair]);
                let one = one.clamp(LEAST, 1.0 - LEAST);
                work.pairwise[first * classes + second] = one;
                work.pairwise[second * classes + first] = 1.0 - one;
                pair += 1;
            }
        }
        couple(&work.pairwise, probabilities);
    }
}

/// The probabilities that fit the pairwise ones best: the second method of Wu, Lin and Weng, as LIBSVM computes it.
fn couple(pairwise: &[f32], p: &mut [f32]) {
    const ROUNDS: usize = 100;
    let classes = p.len();
    let tolerance = 0.005 / classes as f32;
    let mut q = vec![0.0_f32; classes * classes];
    for i in 0..classes {
        p[i] = 1.0 / classes as f32;
        for j in (0..classes).filter(|&j| j != i) {
            let against = pairwise[j * classes + i];
            q[i * classes + i] += against * against;
            q[i * classes + j] = match j < i {
                true => q[j * classes + i],
                false => -against * pairwise[i * classes + j],
            };
        }
    }
    let mut qp = vec![0.0_f32; classes];
    for _ in 0..ROUNDS {
        let mut pqp = 0.0;
        for i in 0..classes {
            qp[i] = q[i * classes..][..classes].iter().zip(&*p).fold(0.0, |sum, (q, p)| sum + q * p);
            pqp += p[i] * qp[i];
        }
        if qp.iter().fold(0.0_f32, |error, qp| error.max((qp - pqp).abs())) < tolerance {
            break;
        }
        for i in 0..classes {
            let own = q[i * classes + i];
            let step = (pqp - qp[i]) / own;
            p[i] += step;
            pqp = (pqp + step * (step * own + 2.0 * qp[i])) / (1.0 + step) / (1.0 + step);
            for j in 0..classes {
                qp[j] = (qp[j] + step * q[i * classes + j]) / (1.0 + step);
                p[j] /= 1.0 + step;
            }
        }
    }
}
