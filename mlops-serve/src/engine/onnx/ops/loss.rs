//! Losses, which models keep that were exported together with their training objective.

use mlops_core::{Error, Result};

use super::floats::{from_doubles, to_doubles};
use super::{Context, Entry, Operator, Outputs, Source, onnx, support};
use crate::engine::onnx::tensor::HostTensor;
use crate::engine::onnx::value::{Inputs, Value};

pub(super) const OPERATORS: &[Entry] = &[
    onnx("NegativeLogLikelihoodLoss", 12, negative_log_likelihood),
    onnx("SoftmaxCrossEntropyLoss", 12, softmax_cross_entropy),
];

/// What is made of the losses of all samples.
#[derive(Debug, Clone, Copy)]
enum Reduction {
    None,
    Sum,
    /// Divided by the sum of the weights.
    Mean,
}

/// Minus the logarithm of the probability of the right class, times the weight of that class.
///
/// Of scores `[N, C, d1..]` and classes `[N, d1..]`; computed in `f64`, rounded once.
#[derive(Debug)]
struct Loss {
    /// Whether the scores are to be made logarithms of probabilities first, which are the second output.
    softmax: bool,
    reduction: Reduction,
    /// A class that does not count.
    ignored: Option<i64>,
}

fn negative_log_likelihood(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    loss(source, false)
}

fn softmax_cross_entropy(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    loss(source, true)
}

fn loss(source: &Source<'_>, softmax: bool) -> Result<Box<dyn Operator>> {
    let attributes = &source.node.attributes;
    let reduction = match attributes.text("reduction")?.map_or("mean", String::as_str) {
        "none" => Reduction::None,
        "sum" => Reduction::Sum,
        "mean" => Reduction::Mean,
        other => return Err(Error::invalid_input(format!("there is no reduction `{other}`"))),
    };
    Ok(Box::new(Loss { softmax, reduction, ignored: attributes.optional_int("ignore_index")? }))
}

impl Operator for Loss {
    fn run(&self, inputs: &mut Inputs<'_>, _: &mut Context<'_>) -> Result<Outputs> {
        let (scores, targets) = (inputs.tensor(0)?, inputs.tensor(1)?);
        let (shape, dtype) = (scores.shape(), scores.dtype());
        let fits = shape.len() >= 2
            && targets.shape().split_first() == Some((&shape[0], &shape[2..]))
            && targets.rank() + 1 == shape.len();
        if !fits {
            let targets = targets.shape();
            return Err(Error::engine(format!("scores {shape:?} need classes [N, d1..], not {targets:?}")));
        }
        let classes = shape[1];
        let weights = inputs.optional(2)?.map(to_doubles).transpose()?;
        if let Some(weights) = weights.as_ref().filter(|weights| weights.len() != classes) {
            let count = weights.len();
            return Err(Error::engine(format!("{count} weights are given for {classes} classes")));
        }
        let mut logarithms = to_doubles(scores)?;
        let inner = support::product(&shape[2..]);
        if self.softmax && !logarithms.is_empty() {
            normalise(&mut logarithms, classes, inner);
        }

        let targets_shape = targets.shape();
        let mut losses: Vec<f64> = support::reserve(targets.len())?;
        let mut total_weight = 0.0;
        for (index, class) in targets.to_i64s()?.into_iter().enumerate() {
            if Some(class) == self.ignored {
                losses.push(0.0);
                continue;
            }
            let class = usize::try_from(class)
                .ok()
                .filter(|&class| class < classes)
                .ok_or_else(|| Error::engine(format!("the class {class} is outside of {classes} classes")))?;
            let weight = weights.as_ref().map_or(1.0, |weights| weights[class]);
            total_weight += weight;
            let place = (index / inner * classes + class) * inner + index % inner;
            losses.push(-logarithms[place] * weight);
        }
        let sum = || losses.iter().sum::<f64>();
        let loss = match self.reduction {
            Reduction::None => from_doubles(targets_shape, losses, dtype)?,
            Reduction::Sum => from_doubles(&[], vec![sum()], dtype)?,
            Reduction::Mean => from_doubles(&[], vec![sum() / total_weight], dtype)?,
        };
        let mut outputs: Outputs = Outputs::new();
        outputs.push(Value::Tensor(loss));
        if self.softmax {
            let logarithms: HostTensor = from_doubles(shape, logarithms, dtype)?;
            outputs.push(Value::Tensor(logarithms));
        }
        Ok(outputs)
    }
}

/// Scores `[N, classes, inner]` as logarithms of probabilities: `x - log(sum(exp(x)))`, from the largest on.
fn normalise(scores: &mut [f64], classes: usize, inner: usize) {
    for block in scores.chunks_exact_mut(classes * inner) {
        for lane in 0..inner {
            let values = || block.iter().skip(lane).step_by(inner).copied();
            let largest = values().fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = values().map(|value| (value - largest).exp()).sum();
            let normaliser = largest + sum.ln();
            block.iter_mut().skip(lane).step_by(inner).for_each(|value| *value -= normaliser);
        }
    }
}
