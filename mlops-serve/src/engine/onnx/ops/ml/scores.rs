//! What becomes of the raw scores of a model: the `post_transform` of `ai.onnx.ml`.
//!
//! The formulas, and the treatment of a single score of two classes, are those of onnxruntime.

use mlops_core::{Error, Result};

use crate::engine::onnx::graph::Attributes;

/// A function applied to the scores of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PostTransform {
    None,
    Softmax,
    Logistic,
    /// Softmax over the scores that are not zero; zeros stay zero.
    SoftmaxZero,
    /// The inverse of the normal distribution function.
    Probit,
}

/// How one score becomes those of two classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SecondClass {
    /// It stays one score.
    Absent,
    /// The score is a probability: `1 - score`, `score`; with [`PostTransform::Logistic`] as for `Opposite`.
    Complement,
    /// The score is a margin: `-score`, `score`; with [`PostTransform::Logistic`] the probabilities of both.
    Opposite,
}

impl PostTransform {
    /// The transform that the attribute of a model names.
    pub(super) fn parse(attributes: &Attributes) -> Result<Self> {
        Ok(match attributes.text("post_transform")?.map_or("NONE", String::as_str) {
            "NONE" => Self::None,
            "SOFTMAX" => Self::Softmax,
            "LOGISTIC" => Self::Logistic,
            "SOFTMAX_ZERO" => Self::SoftmaxZero,
            "PROBIT" => Self::Probit,
            other => return Err(Error::invalid_input(format!("there is no post_transform `{other}`"))),
        })
    }

    /// The transform that the specification of `TreeEnsemble` numbers so. (onnxruntime has 1 and 2 the other way round.)
    pub(super) fn numbered(number: i64) -> Result<Self> {
        Ok(match number {
            0 => Self::None,
            1 => Self::Softmax,
            2 => Self::Logistic,
            3 => Self::SoftmaxZero,
            4 => Self::Probit,
            other => return Err(Error::invalid_input(format!("there is no post_transform {other}"))),
        })
    }

    /// Transforms a row of scores. A row of a single score is changed by PROBIT only.
    pub(super) fn apply(self, scores: &mut [f32]) {
        match self {
            Self::Probit => scores.iter_mut().for_each(|score| *score = probit(*score)),
            _ if scores.len() < 2 => {}
            Self::None => {}
            Self::Logistic => scores.iter_mut().for_each(|score| *score = logistic(*score)),
            Self::Softmax => softmax(scores),
            Self::SoftmaxZero => softmax_zero(scores),
        }
    }

    /// Transforms rows of that many scores.
    pub(super) fn apply_to_rows(self, scores: &mut [f32], columns: usize) {
        if self != Self::None && columns > 0 {
            scores.chunks_exact_mut(columns).for_each(|row| self.apply(row));
        }
    }

    /// The scores of two classes, made from one.
    pub(super) fn apply_to_two(self, score: f32, second: SecondClass) -> [f32; 2] {
        match (self, second) {
            (Self::Probit, _) => [probit(score), 0.0],
            (_, SecondClass::Absent) => [score, 0.0],
            (Self::Logistic, _) => [logistic(-score), logistic(score)],
            (_, SecondClass::Complement) => [1.0 - score, score],
            (_, SecondClass::Opposite) => [-score, score],
        }
    }
}

/// `1 / (1 + e^-x)`, without overflow.
pub(super) fn logistic(x: f32) -> f32 {
    let positive = 1.0 / (1.0 + (-x.abs()).exp());
    if x < 0.0 { 1.0 - positive } else { positive }
}

/// `sqrt(2) erfinv(2 p - 1)`, with the approximation of the inverse error function by S. Winitzki (2008).
fn probit(p: f32) -> f32 {
    const A: f32 = 0.147;
    let x = 2.0 * p - 1.0;
    let sign = if x < 0.0 { -1.0 } else { 1.0 };
    let log = ((1.0 - x) * (1.0 + x)).ln();
    let v = 2.0 / (std::f32::consts::PI * A) + 0.5 * log;
    let inner = (v * v - log / A).sqrt() - v;
    std::f32::consts::SQRT_2 * sign * inner.sqrt()
}

fn maximum(scores: &[f32]) -> f32 {
    scores.iter().fold(-f32::MAX, |max, &score| if score > max { score } else { max })
}

fn softmax(scores: &mut [f32]) {
    let max = maximum(scores);
    let mut sum = 0.0;
    for score in &mut *scores {
        *score = (*score - max).exp();
        sum += *score;
    }
    scores.iter_mut().for_each(|score| *score /= sum);
}

fn softmax_zero(scores: &mut [f32]) {
    const ZERO: f32 = 1e-7;
    let max = maximum(scores);
    let scale = (-max).exp();
    let mut sum = 0.0;
    for score in &mut *scores {
        if *score > ZERO || *score < -ZERO {
            *score = (*score - max).exp();
            sum += *score;
        } else {
            *score *= scale;
        }
    }
    scores.iter_mut().for_each(|score| *score /= sum);
}
