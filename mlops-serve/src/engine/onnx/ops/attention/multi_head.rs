//! onnxruntime's `MultiHeadAttention`, and its `Attention`, which also projects its input.
//!
//! What of them is not here is refused at load or at the first call: packed keys and values, and caches of fixed length.

use mlops_core::{Error, Result};

use super::core::{Scaling, Scores, Sizes, View, Visible, attend, joined, output_count};
use crate::engine::onnx::ops::floats::{are_half, constant_singles, vector, widened};
use crate::engine::onnx::ops::support::{broadcast, zip};
use crate::engine::onnx::ops::{Context, Operator, Outputs, Source};
use crate::engine::onnx::tensor::{HostTensor, Shape, element_count};
use crate::engine::onnx::value::{Inputs, Value};
use crate::kernels::attention::Layout;
use crate::kernels::epilogue::{Activation, Bias, Epilogue};
use crate::kernels::gemm::{MatrixRef, PackedB, gemm, gemm_dynamic};

#[derive(Debug)]
struct Common {
    heads: usize,
    causal: bool,
    scale: Option<f32>,
    /// What is added to the scores of padding.
    filter: f32,
}

impl Common {
    fn parse(source: &Source<'_>) -> Result<Self> {
        let attributes = &source.node.attributes;
        let heads = usize::try_from(attributes.int("num_heads", 0)?).ok().filter(|&heads| heads > 0);
        Ok(Self {
            heads: heads.ok_or_else(|| Error::invalid_input("the attribute `num_heads` must be positive"))?,
            causal: attributes.flag("unidirectional", false)?,
            scale: attributes.optional_float("scale")?.filter(|&scale| scale != 0.0),
            filter: attributes.float("mask_filter_value", -10000.0)?,
        })
    }

    /// What hides padding and what is added to the scores, in one.
    fn scores(
        &self,
        sizes: &Sizes,
        padding: Option<&HostTensor>,
        bias: Option<&HostTensor>,
        past: usize,
    ) -> Result<Scores> {
        let padding = padding.map(|mask| self.padding(sizes, mask)).transpose()?;
        let sum;
        let mask = match (&padding, bias) {
            (Some(padding), Some(bias)) => {
                let shape = broadcast([padding.shape(), bias.shape()])?;
                let (a, b) =
                    ((padding.shape(), padding.elements::<f32>()?), (bias.shape(), bias.elements::<f32>()?));
                sum = HostTensor::new(shape.clone(), zip(&shape, a, b, |a: &f32, b: &f32| a + b)?)?;
                Some(&sum)
            }
            (Some(padding), None) => Some(padding),
            (None, bias) => bias,
        };
        let visible = Visible {
            offsets: vec![past as i64],
            causal: self.causal,
            left: None,
            right: None,
            lengths: None,
        };
        Scores::new(sizes, &visible, mask)
    }

    /// A mask of padding as what is added: of shape [batch] (the number of keys of each sequence, which are the first),
    /// [2 batch] (their ends, then their starts), [batch, keys] or [batch, queries, keys].
    fn padding(&self, sizes: &Sizes, mask: &HostTensor) -> Result<HostTensor> {
        let &Sizes { batch, queries, keys, .. } = sizes;
        let elements = mask.to_i64s()?;
        let add = |seen: bool| if seen { 0.0 } else { self.filter };
        let (rows, values): (usize, Vec<f32>) = match *mask.shape() {
            [length] if length == batch => {
                let row = |&count: &i64| (0..keys).map(move |key| add((key as i64) < count));
                (1, elements.iter().flat_map(row).collect())
            }
            [length] if length == 2 * batch => {
                let (ends, starts) = elements.split_at(batch);
                let row = |(&end, &start): (&i64, &i64)| {
                    (0..keys).map(move |key| add((start..end).contains(&(key as i64))))
                };
                (1, ends.iter().zip(starts).flat_map(row).collect())
            }
            [b, k] if [b, k] == [batch, keys] => (1, elements.iter().map(|&seen| add(seen != 0)).collect()),
            [b, q, k] if [b, q, k] == [batch, queries, keys] => {
                (queries, elements.iter().map(|&seen| add(seen != 0)).collect())
            }
            _ => {
                return Err(Error::unsupported(format!(
                    "a mask of shape {:?} for {batch} sequences of {queries} queries and {keys} keys",
                    mask.shape()
                )));
            }
        };
        HostTensor::new([batch, 1, rows, keys].as_slice(), values)
    }
}

#[derive(Debug)]
struct MultiHeadAttention {
    common: Common,
    wants_present: bool,
}

pub(super) fn build(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    if source.wants(3) || source.node.input(8).is_some() || source.node.input(9).is_some() {
        return Err(Error::unsupported("caches of fixed length and scores as output are not supported"));
    }
    let wants_present = source.wants(1) || source.wants(2);
    Ok(Box::new(MultiHeadAttention { common: Common::parse(source)?, wants_present }))
}

impl Operator for MultiHeadAttention {
    fn run(&self, inputs: &mut Inputs<'_>, context: &mut Context<'_>) -> Result<Outputs> {
        if are_half(inputs, 0)? {
            return widened(inputs, context, usize::MAX, |inputs, context| self.run(inputs, context));
        }
        let heads = self.common.heads;
        let query = inputs.tensor(0)?;
        let &[batch, queries, hidden] = query.shape() else {
            return Err(Error::unsupported(format!("packed queries of shape {:?}", query.shape())));
        };
        if hidden % heads != 0 || !inputs.has(1) || !inputs.has(2) {
            return Err(Error::unsupported(
                "queries, keys and values that are packed together, or heads of unequal size",
            ));
        }
        let dim = hidden / heads;
        let bias = inputs.optional(3)?.map(HostTensor::elements::<f32>).transpose()?;
        let operand = |index: usize, offset: usize| -> Result<Rows> {
            let tensor = inputs.tensor(index)?;
            match *tensor.shape() {
                [b, rows, hidden] if b == batch && hidden % heads == 0 => {
                    let mut elements = tensor.elements::<f32>()?.to_vec();
                    if let Some(bias) = bias {
                        let bias = bias
                            .get(offset..offset + hidden)
                            .ok_or_else(|| Error::engine("the bias is too short"))?;
                        for row in elements.chunks_exact_mut(hidden.max(1)) {
                            row.iter_mut().zip(bias).for_each(|(value, bias)| *value += bias);
                        }
                    }
                    Ok(Rows { elements, rows, dim: hidden / heads, layout: Layout::RowsFirst })
                }
                [b, h, rows, dim] if [b, h] == [batch, heads] => Ok(Rows {
                    elements: tensor.elements::<f32>()?.to_vec(),
                    rows,
                    dim,
                    layout: Layout::HeadsFirst,
                }),
                _ => Err(Error::unsupported(format!("keys or values of shape {:?}", tensor.shape()))),
            }
        };
        let (q, k, v) = (operand(0, 0)?, operand(1, hidden)?, operand(2, 2 * hidden)?);
        if k.dim != dim || v.rows != k.rows {
            return Err(Error::engine("the keys and values do not fit the queries"));
        }
        let past = past_pair(inputs, [6, 7], [batch, heads, dim, v.dim])?;
        let past_rows = past.as_ref().map_or(0, |(_, _, rows)| *rows);
        let sizes = Sizes {
            batch,
            heads,
            key_heads: heads,
            queries,
            keys: past_rows + k.rows,
            dim,
            value_dim: v.dim,
        };
        let scores = self.common.scores(&sizes, inputs.optional(4)?, inputs.optional(5)?, past_rows)?;
        let past = past.map(|(keys, values, _)| [keys, values]);
        finish(&self.common, &sizes, &scores, &q, [&k, &v], past, past_rows, self.wants_present, context)
    }
}

/// Queries, keys or values.
struct Rows {
    elements: Vec<f32>,
    rows: usize,
    dim: usize,
    layout: Layout,
}

impl Rows {
    fn view(&self, heads: usize) -> View<'_, f32> {
        match self.layout {
            Layout::HeadsFirst => View::heads_first(&self.elements, heads, self.rows, self.dim),
            Layout::RowsFirst => View::rows_first(&self.elements, heads, self.rows, self.dim),
        }
    }
}

/// Earlier keys, earlier values, and how many of them there are.
type Past<'a> = (&'a [f32], &'a [f32], usize);

/// Earlier keys and values, if there are any, `[batch, heads, rows, dim]` each.
fn past_pair<'a>(
    inputs: &'a Inputs<'_>,
    places: [usize; 2],
    [batch, heads, dim, value_dim]: [usize; 4],
) -> Result<Option<Past<'a>>> {
    let (Some(keys), Some(values)) = (inputs.optional(places[0])?, inputs.optional(places[1])?) else {
        return Ok(None);
    };
    match (keys.shape(), values.shape()) {
        (&[b, h, rows, d], &[vb, vh, v_rows, vd])
            if [b, h, d] == [batch, heads, dim]
                && [vb, vh, v_rows, vd] == [batch, heads, rows, value_dim] =>
        {
            Ok(Some((keys.elements()?, values.elements()?, rows)))
        }
        (keys, values) => Err(Error::engine(format!("past keys {keys:?} and values {values:?} do not fit"))),
    }
}

/// Attends, and gives the keys and values that there were as well if they are asked for.
#[expect(clippy::too_many_arguments, reason = "the operators have as many inputs")]
fn finish(
    common: &Common,
    sizes: &Sizes,
    scores: &Scores,
    query: &Rows,
    [key, value]: [&Rows; 2],
    past: Option<[&[f32]; 2]>,
    past_rows: usize,
    wants_present: bool,
    context: &mut Context<'_>,
) -> Result<Outputs> {
    let &Sizes { batch, heads, queries, keys, dim, value_dim, .. } = sizes;
    let scaling = Scaling { scale: common.scale.unwrap_or((dim as f32).sqrt().recip()), soft_cap: None };
    let mut out = context.memory.floats(output_count(sizes)?);
    let query = query.view(heads);
    let (key_view, value_view) = (key.view(heads), value.view(heads));
    let threads = context.threads;
    let shape = Shape::from_slice(&[batch, queries, heads * value_dim]);
    if past.is_none() && !wants_present {
        attend(sizes, scaling, scores, query, key_view, value_view, &mut out, Layout::RowsFirst, threads);
        return Ok(Outputs::from_elem(HostTensor::new(shape, out)?.into(), 1));
    }
    let all_keys = joined(past.map(|past| past[0]), past_rows, key_view, [batch, heads, key.rows, dim])?;
    let all_values =
        joined(past.map(|past| past[1]), past_rows, value_view, [batch, heads, value.rows, value_dim])?;
    let key_view = View::heads_first(&all_keys, heads, keys, dim);
    let value_view = View::heads_first(&all_values, heads, keys, value_dim);
    attend(sizes, scaling, scores, query, key_view, value_view, &mut out, Layout::RowsFirst, threads);
    let mut outputs = Outputs::from_elem(HostTensor::new(shape, out)?.into(), 1);
    outputs.push(HostTensor::new([batch, heads, keys, dim].as_slice(), all_keys)?.into());
    outputs.push(HostTensor::new([batch, heads, keys, value_dim].as_slice(), all_values)?.into());
    Ok(outputs)
}

#[derive(Debug)]
struct PackedAttention {
    common: Common,
    /// Columns of queries, keys and values in the weights; a third of them each when not given.
    sizes: Option<[usize; 3]>,
    weights: Option<PackedB>,
    wants_present: bool,
}

pub(super) fn packed(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    let attributes = &source.node.attributes;
    if attributes.flag("do_rotary", false)? || attributes.flag("past_present_share_buffer", false)? {
        return Err(Error::unsupported("rotary embeddings and shared caches are not supported here"));
    }
    let sizes = match attributes.ints("qkv_hidden_sizes")?.map(Vec::as_slice) {
        None | Some([]) => None,
        Some(&[q, k, v]) => {
            let size = |value: i64| usize::try_from(value).ok().filter(|&size| size < 1 << 32);
            let sizes = size(q).zip(size(k)).zip(size(v)).map(|((q, k), v)| [q, k, v]);
            Some(sizes.ok_or_else(|| Error::invalid_input("the attribute `qkv_hidden_sizes` is negative"))?)
        }
        Some(_) => return Err(Error::invalid_input("the attribute `qkv_hidden_sizes` must be three sizes")),
    };
    let constant = source.constant(1).filter(|constant| constant.rank() == 2 && !constant.is_empty());
    let weights = constant_singles(constant).zip(constant).map(|(elements, constant)| {
        PackedB::pack(MatrixRef::row_major(&elements, constant.shape()[0], constant.shape()[1]))
    });
    Ok(Box::new(PackedAttention {
        common: Common::parse(source)?,
        sizes,
        weights,
        wants_present: source.wants(1),
    }))
}

impl Operator for PackedAttention {
    fn run(&self, inputs: &mut Inputs<'_>, context: &mut Context<'_>) -> Result<Outputs> {
        if are_half(inputs, 0)? {
            return widened(inputs, context, usize::MAX, |inputs, context| self.run(inputs, context));
        }
        let heads = self.common.heads;
        let (x, weights) = (inputs.tensor(0)?, inputs.tensor(1)?);
        let (&[batch, length, input], &[rows, columns]) = (x.shape(), weights.shape()) else {
            return Err(Error::engine("the input must be [batch, length, size], the weights a matrix"));
        };
        let sizes = self.sizes.unwrap_or([columns / 3; 3]);
        let fits = rows == input
            && sizes.iter().sum::<usize>() == columns
            && sizes.iter().all(|size| size % heads == 0)
            && sizes[0] == sizes[1];
        if !fits {
            return Err(Error::engine(format!(
                "weights of shape {:?} do not project {input} elements to {heads} heads",
                weights.shape()
            )));
        }
        let bias = vector(inputs, 2, columns)?.map_or(Bias::None, Bias::PerColumn);
        let epilogue = Epilogue { bias, residual: None, activation: Activation::None };
        let tokens = batch * length;
        let mut projected = context.memory.floats(element_count(&[tokens, columns])?);
        if !projected.is_empty() {
            let a = MatrixRef::row_major(x.elements()?, tokens, input);
            let (scratch, threads) = (&mut context.memory.scratch, context.threads);
            match &self.weights {
                Some(packed) => gemm(&mut projected, columns, a, packed, &epilogue, scratch, threads),
                None => {
                    let b = MatrixRef::row_major(weights.elements()?, rows, columns);
                    gemm_dynamic(&mut projected, columns, a, b, &epilogue, scratch, threads);
                }
            }
        }
        let part = |first: usize, size: usize| {
            let rows = projected.chunks_exact(columns.max(1));
            let elements = rows.flat_map(|row| &row[first..first + size]).copied().collect();
            Rows { elements, rows: length, dim: size / heads, layout: Layout::RowsFirst }
        };
        let (q, k) = (part(0, sizes[0]), part(sizes[0], sizes[1]));
        let v = part(sizes[0] + sizes[1], sizes[2]);
        // Earlier keys, then earlier values, in one tensor.
        let past = match inputs.optional(4)? {
            None => None,
            Some(past) => match *past.shape() {
                [2, b, h, rows, dim] if [b, h, dim] == [batch, heads, q.dim] && v.dim == q.dim => {
                    let (keys, values) = past.elements::<f32>()?.split_at(past.len() / 2);
                    Some(([keys, values], rows))
                }
                _ => return Err(Error::engine(format!("a past of shape {:?} does not fit", past.shape()))),
            },
        };
        let past_rows = past.map_or(0, |(_, rows)| rows);
        let sizes = Sizes {
            batch,
            heads,
            key_heads: heads,
            queries: length,
            keys: past_rows + length,
            dim: q.dim,
            value_dim: v.dim,
        };
        let scores = self.common.scores(&sizes, inputs.optional(3)?, inputs.optional(5)?, past_rows)?;
        let past = past.map(|(past, _)| past);
        let mut outputs = finish(
            &self.common,
            &sizes,
            &scores,
            &q,
            [&k, &v],
            past,
            past_rows,
            self.wants_present,
            context,
        )?;
        if outputs.len() == 3
            && let (Some(Value::Tensor(values)), Some(Value::Tensor(keys))) = (outputs.pop(), outputs.pop())
        {
            let mut both = keys.elements::<f32>()?.to_vec();
            both.extend_from_slice(values.elements::<f32>()?);
            let present = HostTensor::new([2, batch, heads, sizes.keys, sizes.dim].as_slice(), both)?;
            outputs.push(present.into());
        }
        Ok(outputs)
    }
}
