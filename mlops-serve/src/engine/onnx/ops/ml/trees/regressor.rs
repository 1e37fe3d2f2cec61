//! `TreeEnsembleRegressor` and `TreeEnsemble`.

use half::f16;
use mlops_core::{DType, Error, Result};

use super::description::{Description, Names};
use super::ensemble::{Ensemble, Score, Scores};
use super::scored::Scored;
use crate::engine::onnx::ops::ml::scores::PostTransform;
use crate::engine::onnx::ops::{Context, Operator, Outputs, Source, one};
use crate::engine::onnx::tensor::{HostTensor, Shape};
use crate::engine::onnx::value::Inputs;

#[derive(Debug)]
struct Regressor {
    ensemble: Ensemble,
    transform: PostTransform,
    /// The output is of the type of the input; else it is floats.
    keeps_type: bool,
    /// Base values of several targets, of which those count that have weights.
    base: Option<(Vec<f64>, Scored)>,
}

pub(crate) fn regressor(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    let attributes = &source.node.attributes;
    let targets = usize::try_from(attributes.int("n_targets", 0)?).ok().filter(|&targets| targets > 0);
    let targets = targets.ok_or_else(|| Error::invalid_input("`n_targets` must be positive"))?;
    let names = Names {
        ids: "target_ids",
        nodes: "target_nodeids",
        trees: "target_treeids",
        weights: "target_weights",
    };
    let mut description = Description::parse(attributes, names, targets)?;
    let given = description.base_values.len();
    if given != 0 && given != targets {
        return Err(Error::invalid_input(format!("{targets} targets have {given} base values")));
    }
    description.untangle()?;
    let mut base = None;
    if targets > 1 && given > 0 {
        let scored = Scored::new(&description, source)?;
        if !scored.is_everything() {
            base = Some((std::mem::take(&mut description.base_values), scored));
        }
    }
    Ok(Box::new(Regressor {
        transform: PostTransform::parse(attributes)?,
        ensemble: Ensemble::new(description, source)?,
        keeps_type: false,
        base,
    }))
}

pub(crate) fn ensemble(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    let attributes = &source.node.attributes;
    Ok(Box::new(Regressor {
        transform: PostTransform::numbered(attributes.int("post_transform", 0)?)?,
        ensemble: Ensemble::new(Description::parse_numbered(attributes)?, source)?,
        keeps_type: true,
        base: None,
    }))
}

impl Operator for Regressor {
    fn run(&self, inputs: &mut Inputs<'_>, context: &mut Context<'_>) -> Result<Outputs> {
        let input = inputs.tensor(0)?;
        let targets = self.ensemble.targets();
        let (rows, mut scores) = self.ensemble.evaluate(input, context)?;
        if let Some((base, scored)) = &self.base {
            let which = scored.of(input, context)?;
            match &mut scores {
                Scores::Floats(scores) => add_base(scores, base, |row| scored.row(&which, row)),
                Scores::Doubles(scores) => add_base(scores, base, |row| scored.row(&which, row)),
            }
        }
        let shape = Shape::from_slice(&[rows, targets]);
        let mut scores = match scores {
            Scores::Doubles(scores) if self.keeps_type && self.transform == PostTransform::None => {
                return one(HostTensor::new(shape, scores)?);
            }
            Scores::Doubles(scores) => scores.iter().map(|&score| score as f32).collect(),
            Scores::Floats(scores) => scores,
        };
        self.transform.apply_to_rows(&mut scores, targets);
        match input.dtype() {
            DType::Fp64 if self.keeps_type => {
                one(HostTensor::new(shape, scores.iter().map(|&score| score.into()).collect::<Vec<f64>>())?)
            }
            DType::Fp16 if self.keeps_type => one(HostTensor::new(
                shape,
                scores.iter().map(|&score| f16::from_f32(score)).collect::<Vec<f16>>(),
            )?),
            _ => one(HostTensor::new(shape, scores)?),
        }
    }
}

/// Adds base values to the rows of scores, where they have weights.
fn add_base<'a, T: Score>(scores: &mut [T], base: &[f64], scored: impl Fn(usize) -> &'a [bool]) {
    for (index, row) in scores.chunks_exact_mut(base.len()).enumerate() {
        for ((score, &base), _) in row.iter_mut().zip(base).zip(scored(index)).filter(|(_, scored)| **scored)
        {
            *score += T::from_double(base);
        }
    }
}
