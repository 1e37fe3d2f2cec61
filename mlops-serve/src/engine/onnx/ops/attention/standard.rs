//! `Attention` of ONNX: heads of queries may share keys and values, masks, windows, and keys and values of earlier calls.

use mlops_core::{DType, Error, Result};

use super::core::{Scaling, Scores, Sizes, View, Visible, attend, joined, output_count};
use super::plain::{self, Stage, Unseeing};
use crate::engine::onnx::ops::floats::{are_half, from_doubles, to_doubles, widened};
use crate::engine::onnx::ops::{Context, Operator, Outputs, Source, one};
use crate::engine::onnx::tensor::{HostTensor, Shape};
use crate::engine::onnx::value::{Inputs, Value};
use crate::kernels::attention::Layout;

#[derive(Debug)]
struct StandardAttention {
    causal: bool,
    scale: Option<f32>,
    soft_cap: Option<f32>,
    /// Heads of queries, and of keys and values, where the inputs do not say.
    heads: [Option<usize>; 2],
    left: Option<i64>,
    right: Option<i64>,
    /// The scores that are asked for.
    stage: Option<Stage>,
    wants_present: bool,
}

pub(super) fn build(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    let attributes = &source.node.attributes;
    let heads = |name: &str| -> Result<Option<usize>> {
        let Some(heads) = attributes.optional_int(name)? else { return Ok(None) };
        let heads = usize::try_from(heads).ok().filter(|&heads| heads > 0);
        heads
            .map(Some)
            .ok_or_else(|| Error::invalid_input(format!("the attribute `{name}` must be positive")))
    };
    let stage = match attributes.int("qk_matmul_output_mode", 0)? {
        0 => Stage::Scaled,
        1 => Stage::Capped,
        2 => Stage::Biased,
        3 => Stage::Probabilities,
        other => return Err(Error::invalid_input(format!("there is no qk_matmul_output_mode {other}"))),
    };
    let window =
        |name: &str| -> Result<Option<i64>> { Ok(Some(attributes.int(name, -1)?).filter(|&size| size >= 0)) };
    Ok(Box::new(StandardAttention {
        causal: attributes.flag("is_causal", false)?,
        scale: attributes.optional_float("scale")?,
        soft_cap: Some(attributes.float("softcap", 0.0)?).filter(|&cap| cap > 0.0),
        heads: [heads("q_num_heads")?, heads("kv_num_heads")?],
        left: window("left_window_size")?,
        right: window("right_window_size")?,
        stage: source.wants(3).then_some(stage),
        wants_present: source.wants(1) || source.wants(2),
    }))
}

/// `[batch, heads, rows, dim]` of an operand of three or four dimensions.
fn lengths(tensor: &HostTensor, heads: Option<usize>) -> Result<([usize; 4], Layout)> {
    match *tensor.shape() {
        [batch, heads, rows, dim] => Ok(([batch, heads, rows, dim], Layout::HeadsFirst)),
        [batch, rows, hidden] => {
            let heads = heads.ok_or_else(|| {
                Error::engine("operands of three dimensions need `q_num_heads` and `kv_num_heads`")
            })?;
            if hidden % heads != 0 {
                return Err(Error::engine(format!("{hidden} elements do not make {heads} heads")));
            }
            Ok(([batch, heads, rows, hidden / heads], Layout::RowsFirst))
        }
        _ => Err(Error::engine(format!("attention of a tensor of shape {:?}", tensor.shape()))),
    }
}

fn view<T>(data: &[T], [_, heads, rows, dim]: [usize; 4], layout: Layout) -> View<'_, T> {
    match layout {
        Layout::HeadsFirst => View::heads_first(data, heads, rows, dim),
        Layout::RowsFirst => View::rows_first(data, heads, rows, dim),
    }
}

impl Operator for StandardAttention {
    fn run(&self, inputs: &mut Inputs<'_>, context: &mut Context<'_>) -> Result<Outputs> {
        if are_half(inputs, 0)? {
            return widened(inputs, context, usize::MAX, |inputs, context| self.run(inputs, context));
        }
        let dtype = inputs.tensor(0)?.dtype();
        let (q, layout) = lengths(inputs.tensor(0)?, self.heads[0])?;
        let (k, k_layout) = lengths(inputs.tensor(1)?, self.heads[1])?;
        let (v, v_layout) = lengths(inputs.tensor(2)?, self.heads[1])?;
        let mismatch = || Error::engine(format!("queries {q:?}, keys {k:?} and values {v:?} do not fit"));
        let [batch, heads, queries, dim] = q;
        let [k_batch, key_heads, new_keys, k_dim] = k;
        let [v_batch, value_heads, v_rows, value_dim] = v;
        let fits = k_batch == batch
            && v_batch == batch
            && k_dim == dim
            && v_rows == new_keys
            && value_heads == key_heads
            && (key_heads > 0 && heads % key_heads == 0 || heads == key_heads);
        if !fits {
            return Err(mismatch());
        }
        let past = [(4, dim), (5, value_dim)].map(|(index, dim)| -> Result<Option<&HostTensor>> {
            let Some(past) = inputs.optional(index)? else { return Ok(None) };
            match *past.shape() {
                [b, h, _, d] if [b, h, d] == [batch, key_heads, dim] => Ok(Some(past)),
                _ => Err(Error::engine(format!("the past {:?} does not fit keys {k:?}", past.shape()))),
            }
        });
        let [past_key, past_value] = past;
        let (past_key, past_value) = (past_key?, past_value?);
        let past_rows = past_key.map_or(0, |past| past.shape()[2]);
        if past_rows != past_value.map_or(0, |past| past.shape()[2])
            || past_key.is_some() != past_value.is_some()
        {
            return Err(Error::engine("past keys and past values belong together"));
        }
        let keys = past_rows + new_keys;
        let sizes = Sizes { batch, heads, key_heads, queries, keys, dim, value_dim };
        let count = output_count(&sizes)?;
        let lengths = inputs.optional_i64s(6)?;
        if lengths.as_ref().is_some_and(|lengths| lengths.len() != batch) {
            return Err(Error::engine(format!("{batch} sequences need as many lengths")));
        }
        let visible = Visible {
            offsets: match &lengths {
                Some(lengths) if past_key.is_none() => {
                    lengths.iter().map(|length| length.saturating_sub(queries as i64)).collect()
                }
                _ => vec![past_rows as i64],
            },
            causal: self.causal,
            left: self.left,
            right: self.right,
            lengths,
        };
        let scores = Scores::new(&sizes, &visible, inputs.optional(3)?)?;
        let scale = self.scale.unwrap_or((dim as f32).sqrt().recip());
        let scaling = Scaling { scale, soft_cap: self.soft_cap };
        let mut shape = Shape::from_slice(inputs.tensor(0)?.shape());
        if let Some(last) = shape.last_mut() {
            *last = if layout == Layout::RowsFirst { heads * value_dim } else { value_dim };
        }

        let operands = Operands {
            sizes,
            scaling,
            scores,
            layout,
            new: [(q, layout), (k, k_layout), (v, v_layout)],
            past_rows,
        };
        if dtype != DType::Fp32 || self.stage.is_some() {
            return self.run_plain(inputs, &operands, shape, dtype);
        }
        let query = view(inputs.elements::<f32>(0)?, q, layout);
        let key = view(inputs.elements::<f32>(1)?, k, k_layout);
        let value = view(inputs.elements::<f32>(2)?, v, v_layout);
        let mut out = context.memory.floats(count);
        if past_key.is_none() && !self.wants_present {
            let Operands { scaling, scores, .. } = &operands;
            attend(&sizes, *scaling, scores, query, key, value, &mut out, layout, context.threads);
            return one(HostTensor::new(shape, out)?);
        }
        let all_keys = joined(past_key.map(HostTensor::elements).transpose()?, past_rows, key, k)?;
        let all_values = joined(past_value.map(HostTensor::elements).transpose()?, past_rows, value, v)?;
        let key = View::heads_first(&all_keys, key_heads, keys, dim);
        let value = View::heads_first(&all_values, key_heads, keys, value_dim);
        let Operands { scaling, scores, .. } = &operands;
        attend(&sizes, *scaling, scores, query, key, value, &mut out, layout, context.threads);
        let present_keys = HostTensor::new([batch, key_heads, keys, dim].as_slice(), all_keys)?;
        let present_values = HostTensor::new([batch, key_heads, keys, value_dim].as_slice(), all_values)?;
        let out = HostTensor::new(shape, out)?;
        Ok([Value::from(out), present_keys.into(), present_values.into()].into_iter().collect())
    }
}

/// What a call was found to be about.
struct Operands {
    sizes: Sizes,
    scaling: Scaling,
    scores: Scores,
    /// That of the queries and of the output.
    layout: Layout,
    /// Queries, keys and values without the past.
    new: [([usize; 4], Layout); 3],
    past_rows: usize,
}

impl StandardAttention {
    /// In double precision, with the scores that are asked for.
    fn run_plain(
        &self,
        inputs: &Inputs<'_>,
        operands: &Operands,
        shape: Shape,
        dtype: DType,
    ) -> Result<Outputs> {
        let Operands { sizes, scaling, scores, layout, new: [q, k, v], past_rows } = operands;
        let &Sizes { batch, heads, key_heads, queries, keys, dim, value_dim } = sizes;
        let doubles = |index: usize| to_doubles(inputs.tensor(index)?);
        let past = |index: usize| inputs.optional(index)?.map(to_doubles).transpose();
        let (query, key, value) = (doubles(0)?, doubles(1)?, doubles(2)?);
        let all_keys = joined(past(4)?.as_deref(), *past_rows, view(&key, k.0, k.1), k.0)?;
        let all_values = joined(past(5)?.as_deref(), *past_rows, view(&value, v.0, v.1), v.0)?;
        let attended = plain::attend(
            sizes,
            *scaling,
            scores,
            view(&query, q.0, q.1),
            View::heads_first(&all_keys, key_heads, keys, dim),
            View::heads_first(&all_values, key_heads, keys, value_dim),
            *layout,
            self.stage,
            Unseeing::Zeros,
        );
        let outputs = [
            (shape, attended.out),
            (Shape::from_slice(&[batch, key_heads, keys, dim]), all_keys),
            (Shape::from_slice(&[batch, key_heads, keys, value_dim]), all_values),
            (Shape::from_slice(&[batch, heads, queries, keys]), attended.scores),
        ];
        let asked = if self.stage.is_some() { 4 } else { 3 };
        let typed = outputs.into_iter().take(asked);
        typed.map(|(shape, elements)| Ok(from_doubles(&shape, elements, dtype)?.into())).collect()
    }
}
