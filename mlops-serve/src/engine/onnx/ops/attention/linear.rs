//! `LinearAttention`: attention without softmax, as a state that is updated step by step; the update rules are those of
//! the specification.

use mlops_core::{DType, Error, Result};

use crate::engine::onnx::ops::floats::{from_single, to_single};
use crate::engine::onnx::ops::{Context, Operator, Outputs, Source};
use crate::engine::onnx::tensor::{HostTensor, Shape, element_count};
use crate::engine::onnx::value::{Inputs, Value};

#[derive(Debug)]
struct LinearAttention {
    heads: usize,
    key_heads: usize,
    scale: f32,
    /// Whether the state fades by the input `decay`.
    gated: bool,
    /// Whether what the state knows of a key is replaced, not added to.
    delta: bool,
}

pub(super) fn build(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    let attributes = &source.node.attributes;
    let heads = |name: &str| -> Result<usize> {
        let heads = usize::try_from(attributes.int(name, 0)?).ok().filter(|&heads| heads > 0);
        heads.ok_or_else(|| Error::invalid_input(format!("the attribute `{name}` must be positive")))
    };
    let (gated, delta) = match attributes.text("update_rule")?.map_or("gated_delta", String::as_str) {
        "linear" => (false, false),
        "gated" => (true, false),
        "delta" => (false, true),
        "gated_delta" => (true, true),
        other => return Err(Error::invalid_input(format!("there is no update_rule `{other}`"))),
    };
    let (heads, key_heads) = (heads("q_num_heads")?, heads("kv_num_heads")?);
    if heads % key_heads != 0 {
        return Err(Error::invalid_input(format!(
            "{heads} heads of queries cannot share {key_heads} of keys"
        )));
    }
    Ok(Box::new(LinearAttention { heads, key_heads, scale: attributes.float("scale", 0.0)?, gated, delta }))
}

impl Operator for LinearAttention {
    fn run(&self, inputs: &mut Inputs<'_>, context: &mut Context<'_>) -> Result<Outputs> {
        let dtype = inputs.tensor(0)?.dtype();
        let singles = (0..6)
            .map(|index| inputs.optional(index)?.map(to_single).transpose())
            .collect::<Result<Vec<Option<HostTensor>>>>()?;
        let [Some(query), Some(key), Some(value), past, decay, beta] = singles.as_slice() else {
            return Err(Error::engine("queries, keys and values are needed"));
        };
        let wrong = || {
            let shapes = [query, key, value].map(HostTensor::shape);
            Error::engine(format!("queries, keys and values of shapes {shapes:?} do not fit"))
        };
        let (&[batch, steps, q_hidden], &[_, _, k_hidden], &[_, _, v_hidden]) =
            (query.shape(), key.shape(), value.shape())
        else {
            return Err(wrong());
        };
        let (key_dim, value_dim) = (q_hidden / self.heads, v_hidden / self.key_heads);
        let fits = key_dim.checked_mul(self.heads) == Some(q_hidden)
            && key_dim.checked_mul(self.key_heads) == Some(k_hidden)
            && value_dim * self.key_heads == v_hidden
            && key.shape()[..2] == [batch, steps]
            && value.shape()[..2] == [batch, steps];
        if !fits {
            return Err(wrong());
        }
        let state_shape = Shape::from_slice(&[batch, self.key_heads, key_dim, value_dim]);
        let state_count = element_count(&state_shape)?;
        let mut state = match past {
            Some(past) if past.shape() == state_shape.as_slice() => past.elements::<f32>()?.to_vec(),
            Some(past) => {
                let actual = past.shape();
                return Err(Error::engine(format!("the state must be {state_shape:?}, not {actual:?}")));
            }
            None => vec![0.0; state_count],
        };
        let per_step =
            |tensor: &Option<HostTensor>, needed: bool, name: &str, sizes: &[usize]| -> Result<Steps> {
                let Some(tensor) = tensor.as_ref().filter(|_| needed) else {
                    let missing = || Error::engine(format!("the input `{name}` is missing"));
                    return if needed { Err(missing()) } else { Ok(Steps { elements: Vec::new(), size: 0 }) };
                };
                match *tensor.shape() {
                    [b, t, size] if [b, t] == [batch, steps] && sizes.contains(&size) => {
                        Ok(Steps { elements: tensor.elements::<f32>()?.to_vec(), size })
                    }
                    _ => Err(Error::engine(format!("the input `{name}` cannot be {:?}", tensor.shape()))),
                }
            };
        let decay = per_step(decay, self.gated, "decay", &[k_hidden, self.key_heads])?;
        let beta = per_step(beta, self.delta, "beta", &[self.key_heads, 1])?;
        let scale = if self.scale == 0.0 { (key_dim as f32).sqrt().recip() } else { self.scale };
        let shape = Shape::from_slice(&[batch, steps, self.heads * value_dim]);
        let mut out = context.memory.floats(element_count(&shape)?);
        let (query, key, value) =
            (query.elements::<f32>()?, key.elements::<f32>()?, value.elements::<f32>()?);
        let shared = self.heads / self.key_heads;
        let mut change = vec![0.0_f32; value_dim];
        for place in 0..batch * steps {
            let item = place / steps;
            for head in 0..self.key_heads {
                let state =
                    &mut state[(item * self.key_heads + head) * key_dim * value_dim..][..key_dim * value_dim];
                let key = &key[place * k_hidden + head * key_dim..][..key_dim];
                let value = &value[place * v_hidden + head * value_dim..][..value_dim];
                if self.gated {
                    for (index, row) in state.chunks_exact_mut(value_dim.max(1)).enumerate() {
                        let factor = decay.at(place, head, key_dim, index, self.key_heads).exp();
                        row.iter_mut().for_each(|state| *state *= factor);
                    }
                }
                change.copy_from_slice(value);
                if self.delta {
                    for (row, &key) in state.chunks_exact(value_dim.max(1)).zip(key) {
                        change.iter_mut().zip(row).for_each(|(change, state)| *change -= state * key);
                    }
                    let rate = beta.elements[place * beta.size + if beta.size == 1 { 0 } else { head }];
                    change.iter_mut().for_each(|change| *change *= rate);
                }
                for (row, &key) in state.chunks_exact_mut(value_dim.max(1)).zip(key) {
                    row.iter_mut().zip(&change).for_each(|(state, change)| *state += key * change);
                }
                for number in head * shared..(head + 1) * shared {
                    let query = &query[place * q_hidden + number * key_dim..][..key_dim];
                    let out = &mut out[(place * self.heads + number) * value_dim..][..value_dim];
                    out.fill(0.0);
                    for (row, &query) in state.chunks_exact(value_dim.max(1)).zip(query) {
                        out.iter_mut().zip(row).for_each(|(out, state)| *out += query * scale * state);
                    }
                }
            }
        }
        let state_type =
            past.as_ref().and_then(|_| inputs.optional(3).ok().flatten()).map_or(dtype, HostTensor::dtype);
        let typed = |tensor: HostTensor, dtype: DType| from_single(tensor, dtype);
        let out = typed(HostTensor::new(shape, out)?, dtype)?;
        let state = typed(HostTensor::new(state_shape, state)?, state_type)?;
        Ok([Value::from(out), Value::from(state)].into_iter().collect())
    }
}

/// Numbers of each step.
struct Steps {
    elements: Vec<f32>,
    size: usize,
}

impl Steps {
    /// The number of an element of a head, or of the head.
    fn at(&self, place: usize, head: usize, dim: usize, index: usize, heads: usize) -> f32 {
        let within = if self.size == heads * dim && dim != 1 { head * dim + index } else { head };
        self.elements[place * self.size + within]
    }
}
