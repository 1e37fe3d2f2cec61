//! Attention in double precision, step by step, which also shows the scores on the way.

use super::core::{Bias, Scaling, Scores, Sizes, View, place};
use crate::kernels::attention::Layout;

/// Which scores are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Scaled,
    Capped,
    Biased,
    /// After the softmax.
    Probabilities,
}

/// What attention gives.
#[derive(Debug)]
pub(super) struct Attended {
    pub(super) out: Vec<f64>,
    /// `[batch, heads, queries, keys]`
    pub(super) scores: Vec<f64>,
}

/// How a query that sees no key comes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unseeing {
    Zeros,
    /// As the formula has it.
    NotANumber,
}

/// Sizes are the caller's to check.
#[expect(clippy::too_many_arguments, reason = "attention has as many operands")]
pub(super) fn attend(
    sizes: &Sizes,
    scaling: Scaling,
    scores: &Scores,
    query: View<'_, f64>,
    key: View<'_, f64>,
    value: View<'_, f64>,
    layout: Layout,
    stage: Option<Stage>,
    unseeing: Unseeing,
) -> Attended {
    let &Sizes { batch, heads, key_heads, queries, keys, dim, value_dim } = sizes;
    let rows = batch * heads * queries;
    let mut out = vec![0.0; rows * value_dim];
    let mut shown = vec![0.0; if stage.is_some() { rows * keys } else { 0 }];
    for row in 0..rows {
        let (item, head, number) = place(sizes, layout, row);
        let key_head = head / (heads / key_heads.max(1)).max(1);
        let q = query.row(item, head, number, dim);
        let mut line: Vec<f64> = (0..keys)
            .map(|key_row| dot(q, key.row(item, key_head, key_row, dim)) * f64::from(scaling.scale))
            .collect();
        let target = (item * heads + head) * queries + number;
        let mut show = |at: Stage, line: &[f64]| {
            if stage == Some(at) {
                shown[target * keys..(target + 1) * keys].copy_from_slice(line);
            }
        };
        show(Stage::Scaled, &line);
        if let Some(cap) = scaling.soft_cap.map(f64::from) {
            line.iter_mut().for_each(|score| *score = cap * (*score / cap).tanh());
        }
        show(Stage::Capped, &line);
        let mut hidden = false;
        if let Some(bias) = &scores.bias {
            hidden = Bias::hides_all(bias, item, head, number, keys);
            for (score, &bias) in line.iter_mut().zip(bias.row(item, head, number, keys)) {
                *score += f64::from(bias);
            }
        }
        if let Some(past) = scores.causal_past {
            line.iter_mut().skip(number + past + 1).for_each(|score| *score = f64::NEG_INFINITY);
        }
        show(Stage::Biased, &line);
        if unseeing == Unseeing::Zeros && (hidden || keys == 0) {
            line.fill(0.0);
        } else {
            softmax(&mut line);
        }
        show(Stage::Probabilities, &line);
        let out = &mut out[row * value_dim..][..value_dim];
        for (key_row, &weight) in line.iter().enumerate() {
            for (out, value) in out.iter_mut().zip(value.row(item, key_head, key_row, value_dim)) {
                *out += weight * value;
            }
        }
    }
    Attended { out, scores: shown }
}

fn softmax(line: &mut [f64]) {
    let largest = line.iter().fold(f64::NEG_INFINITY, |largest, &score| largest.max(score));
    line.iter_mut().for_each(|score| *score = (*score - largest).exp());
    let sum: f64 = line.iter().sum();
    line.iter_mut().for_each(|score| *score /= sum);
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
