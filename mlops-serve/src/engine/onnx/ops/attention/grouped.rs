//! onnxruntime's `GroupQueryAttention`: attention of a decoder, heads of queries sharing keys and values, with rotary
//! embeddings inside and a cache of earlier keys and values.

use mlops_core::{Error, Result};

use super::core::{Scaling, Scores, Sizes, View, Visible, attend, output_count};
use crate::engine::onnx::ops::floats::{are_half, widened};
use crate::engine::onnx::ops::{Context, Operator, Outputs, Source};
use crate::engine::onnx::tensor::{HostTensor, Shape, element_count};
use crate::engine::onnx::value::{Inputs, Value};
use crate::kernels::attention::Layout;

#[derive(Debug)]
struct GroupQueryAttention {
    heads: usize,
    key_heads: usize,
    scale: Option<f32>,
    soft_cap: Option<f32>,
    /// Keys before a query that it sees, itself included.
    window: Option<i64>,
    rotary: bool,
    interleaved: bool,
}

pub(super) fn build(source: &Source<'_>) -> Result<Box<dyn Operator>> {
    let attributes = &source.node.attributes;
    let heads = |name: &str| -> Result<usize> {
        let heads = usize::try_from(attributes.int(name, 0)?).ok().filter(|&heads| heads > 0);
        heads.ok_or_else(|| Error::invalid_input(format!("the attribute `{name}` must be positive")))
    };
    let (count, key_heads) = (heads("num_heads")?, heads("kv_num_heads")?);
    if count % key_heads != 0 {
        return Err(Error::invalid_input(format!(
            "{count} heads of queries cannot share {key_heads} of keys"
        )));
    }
    if attributes.flag("smooth_softmax", false)? || (9..12).any(|index| source.node.input(index).is_some()) {
        return Err(Error::unsupported(
            "smooth softmax, position ids and added scores are not supported here",
        ));
    }
    Ok(Box::new(GroupQueryAttention {
        heads: count,
        key_heads,
        scale: attributes.optional_float("scale")?.filter(|&scale| scale != 0.0),
        soft_cap: Some(attributes.float("softcap", 0.0)?).filter(|&cap| cap > 0.0),
        window: Some(attributes.int("local_window_size", -1)?).filter(|&size| size > 0),
        rotary: attributes.flag("do_rotary", false)?,
        interleaved: attributes.flag("rotary_interleaved", false)?,
    }))
}

impl Operator for GroupQueryAttention {
    fn run(&self, inputs: &mut Inputs<'_>, context: &mut Context<'_>) -> Result<Outputs> {
        if are_half(inputs, 0)? {
            return widened(inputs, context, usize::MAX, |inputs, context| self.run(inputs, context));
        }
        let (heads, key_heads) = (self.heads, self.key_heads);
        let query = inputs.tensor(0)?;
        let &[batch, queries, hidden] = query.shape() else {
            return Err(Error::engine(format!("queries of shape {:?}", query.shape())));
        };
        let packed = !inputs.has(1) || !inputs.has(2);
        let all_heads = if packed { heads + 2 * key_heads } else { heads };
        if hidden % all_heads != 0 {
            return Err(Error::engine(format!("{hidden} elements do not make {all_heads} heads")));
        }
        let dim = hidden / all_heads;
        let tokens = batch * queries;
        // [tokens, heads, dim] each
        let elements = query.elements::<f32>()?;
        let slice = |first: usize, count: usize| -> Vec<f32> {
            let rows = elements.chunks_exact(hidden.max(1));
            rows.flat_map(|row| &row[first * dim..(first + count) * dim]).copied().collect()
        };
        let given = |index: usize| -> Result<Vec<f32>> {
            let tensor = inputs.tensor(index)?;
            if tensor.shape() != [batch, queries, key_heads * dim] {
                return Err(Error::engine(format!(
                    "keys or values of shape {:?} do not fit",
                    tensor.shape()
                )));
            }
            Ok(tensor.elements::<f32>()?.to_vec())
        };
        let mut q = slice(0, heads);
        let (mut k, v) = if packed {
            (slice(heads, key_heads), slice(heads + key_heads, key_heads))
        } else {
            (given(1)?, given(2)?)
        };
        // How many keys each sequence has with the new ones.
        let lengths: Vec<i64> =
            inputs.tensor(5)?.to_i64s()?.iter().map(|last| last.saturating_add(1)).collect();
        let past = match (inputs.optional(3)?, inputs.optional(4)?) {
            (Some(keys), Some(values)) => match *keys.shape() {
                [b, h, rows, d] if [b, h, d] == [batch, key_heads, dim] && values.shape() == keys.shape() => {
                    Some((keys.elements::<f32>()?, values.elements::<f32>()?, rows))
                }
                _ => return Err(Error::engine(format!("a past of shape {:?} does not fit", keys.shape()))),
            },
            _ => None,
        };
        let total = inputs.tensor(6)?.to_i64s()?.first().copied().unwrap_or(0);
        let past_rows = past.map_or(0, |(.., rows)| rows);
        let keys = usize::try_from(total).ok().filter(|&total| total <= past_rows.saturating_add(queries));
        let keys =
            keys.ok_or_else(|| Error::engine(format!("{total} keys, of which {past_rows} are past")))?;
        let keys = keys.max(past_rows);
        let prompt = past_rows == 0 || total == queries as i64;
        // Where the first new key of a sequence goes.
        let starts: Vec<usize> = lengths
            .iter()
            .map(|&length| {
                let start = if prompt { 0 } else { length.saturating_sub(queries as i64) };
                usize::try_from(start)
                    .ok()
                    .filter(|&start| start.checked_add(queries).is_some_and(|end| end <= keys))
            })
            .collect::<Option<_>>()
            .filter(|starts: &Vec<usize>| starts.len() == batch)
            .ok_or_else(|| Error::engine(format!("the lengths {lengths:?} do not fit {keys} keys")))?;
        if self.rotary {
            for (item, &start) in starts.iter().enumerate() {
                self.turn(
                    inputs,
                    &mut q[item * queries * heads * dim..][..queries * heads * dim],
                    heads,
                    dim,
                    start,
                )?;
                let own = queries * key_heads * dim;
                self.turn(inputs, &mut k[item * own..][..own], key_heads, dim, start)?;
            }
        }
        let past_keys = past.map(|(keys, ..)| (keys, past_rows));
        let past_values = past.map(|(_, values, _)| (values, past_rows));
        let present_keys = self.present(past_keys, &k, &starts, [queries, keys, dim])?;
        let present_values = self.present(past_values, &v, &starts, [queries, keys, dim])?;
        let sizes = Sizes { batch, heads, key_heads, queries, keys, dim, value_dim: dim };
        let visible = Visible {
            offsets: starts.iter().map(|&start| start as i64).collect(),
            causal: true,
            left: self.window.map(|window| window - 1),
            right: None,
            lengths: None,
        };
        let scores = Scores::new(&sizes, &visible, None)?;
        let scaling =
            Scaling { scale: self.scale.unwrap_or((dim as f32).sqrt().recip()), soft_cap: self.soft_cap };
        let mut out = context.memory.floats(output_count(&sizes)?);
        attend(
            &sizes,
            scaling,
            &scores,
            View::rows_first(&q, heads, queries, dim),
            View::heads_first(&present_keys, key_heads, keys, dim),
            View::heads_first(&present_values, key_heads, keys, dim),
            &mut out,
            Layout::RowsFirst,
            context.threads,
        );
        debug_assert_eq!(tokens * heads * dim, out.len());
        let shape = Shape::from_slice(&[batch, key_heads, keys, dim]);
        let out = HostTensor::new([batch, queries, heads * dim].as_slice(), out)?;
        let present_keys = HostTensor::new(shape.clone(), present_keys)?;
        let present_values = HostTensor::new(shape, present_values)?;
        Ok([Value::from(out), present_keys.into(), present_values.into()].into_iter().collect())
    }
}

impl GroupQueryAttention {
    /// `[batch, heads, keys, dim]`: earlier rows, and the new ones `[batch, rows, heads, dim]` from their start on.
    fn present(
        &self,
        past: Option<(&[f32], usize)>,
        new: &[f32],
        starts: &[usize],
        [rows, keys, dim]: [usize; 3],
    ) -> Result<Vec<f32>> {
        let heads = self.key_heads;
        let mut present = vec![0.0; element_count(&[starts.len(), heads, keys, dim])?];
        for (item, &start) in starts.iter().enumerate() {
            for head in 0..heads {
                let place = item * heads + head;
                let present = &mut present[place * keys * dim..][..keys * dim];
                if let Some((past, past_rows)) = past {
                    let kept = past_rows.min(keys) * dim;
                    present[..kept].copy_from_slice(&past[place * past_rows * dim..][..kept]);
                }
                for row in 0..rows {
                    let source = &new[((item * rows + row) * heads + head) * dim..][..dim];
                    present[(start + row) * dim..][..dim].copy_from_slice(source);
                }
            }
        }
        Ok(present)
    }

    /// Turns the rows of a sequence, whose first has that position.
    fn turn(&self, inputs: &Inputs<'_>, x: &mut [f32], heads: usize, dim: usize, start: usize) -> Result<()> {
        let (cosines, sines) = (inputs.tensor(7)?, inputs.tensor(8)?);
        let &[rows, half] = cosines.shape() else { return Err(Error::engine("the angles must be a matrix")) };
        if sines.shape() != cosines.shape() || 2 * half > dim {
            return Err(Error::engine("the angles do not fit the heads"));
        }
        let (cosines, sines) = (cosines.elements::<f32>()?, sines.elements::<f32>()?);
        for (step, row) in x.chunks_exact_mut((heads * dim).max(1)).enumerate() {
            let position = start + step;
            if position >= rows {
                return Err(Error::engine(format!(
                    "there are no angles for the position {position} of {rows}"
                )));
            }
            for head in row.chunks_exact_mut(dim) {
                for pair in 0..half {
                    let (cosine, sine) = (cosines[position * half + pair], sines[position * half + pair]);
                    let (a, b) =
                        if self.interleaved { (2 * pair, 2 * pair + 1) } else { (pair, half + pair) };
                    (head[a], head[b]) =
                        (cosine * head[a] - sine * head[b], sine * head[a] + cosine * head[b]);
                }
            }
        }
        Ok(())
    }
}
