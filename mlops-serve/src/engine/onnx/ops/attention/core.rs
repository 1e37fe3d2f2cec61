//! What all forms of attention come down to: heads somewhere in memory, and what is added to their scores.

use mlops_core::{Error, Result};

use crate::engine::onnx::ops::floats::to_doubles;
use crate::engine::onnx::tensor::{Data, HostTensor, element_count};
use crate::kernels::attention::{Attention, Heads, Layout, Mask};
use crate::kernels::parallel::Threads;

/// The sizes of an attention.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    pub(super) batch: usize,
    pub(super) heads: usize,
    /// Heads of keys and values; each serves as many consecutive heads of queries.
    pub(super) key_heads: usize,
    pub(super) queries: usize,
    pub(super) keys: usize,
    pub(super) dim: usize,
    pub(super) value_dim: usize,
}

/// Rows of heads: where in memory each begins. A stride of 0 repeats.
#[derive(Debug, Clone, Copy)]
pub(super) struct View<'a, T> {
    pub(super) data: &'a [T],
    pub(super) batch_stride: usize,
    pub(super) head_stride: usize,
    pub(super) row_stride: usize,
}

impl<'a, T> View<'a, T> {
    /// `[batch, heads, rows, dim]`
    pub(super) fn heads_first(data: &'a [T], heads: usize, rows: usize, dim: usize) -> Self {
        Self { data, batch_stride: heads * rows * dim, head_stride: rows * dim, row_stride: dim }
    }

    /// `[batch, rows, heads, dim]`
    pub(super) fn rows_first(data: &'a [T], heads: usize, rows: usize, dim: usize) -> Self {
        Self { data, batch_stride: rows * heads * dim, head_stride: dim, row_stride: heads * dim }
    }

    pub(super) fn row(&self, batch: usize, head: usize, row: usize, length: usize) -> &'a [T] {
        let start = batch * self.batch_stride + head * self.head_stride + row * self.row_stride;
        &self.data[start..start + length]
    }
}

/// What is added to the scores `[batch, heads, queries, keys]`; a stride of 0 repeats.
#[derive(Debug, Clone)]
pub(super) struct Bias {
    pub(super) data: Vec<f32>,
    pub(super) batch_stride: usize,
    pub(super) head_stride: usize,
    pub(super) row_stride: usize,
}

impl Bias {
    /// What is added to the scores of a query.
    pub(super) fn row(&self, batch: usize, head: usize, query: usize, keys: usize) -> &[f32] {
        let start = batch * self.batch_stride + head * self.head_stride + query * self.row_stride;
        &self.data[start..start + keys]
    }

    fn mask(&self) -> Mask<'_> {
        Mask {
            data: &self.data,
            batch_stride: self.batch_stride,
            head_stride: self.head_stride,
            row_stride: self.row_stride,
        }
    }

    /// Whether a query may see no key at all.
    pub(super) fn hides_all(&self, batch: usize, head: usize, query: usize, keys: usize) -> bool {
        self.row(batch, head, query, keys).iter().all(|&bias| bias == f32::NEG_INFINITY)
    }
}

/// Which keys a query may see, apart from a mask.
#[derive(Debug, Clone)]
pub(super) struct Visible {
    /// The number of keys before the first query, for each sequence or for all.
    pub(super) offsets: Vec<i64>,
    pub(super) causal: bool,
    /// Keys at most that far before the query.
    pub(super) left: Option<i64>,
    /// Keys at most that far after the query.
    pub(super) right: Option<i64>,
    /// The number of keys that are no padding, for each sequence.
    pub(super) lengths: Option<Vec<i64>>,
}

impl Visible {
    fn sees(&self, batch: usize, query: usize, key: usize) -> bool {
        let offset = self.offsets.get(batch).or(self.offsets.first()).copied().unwrap_or(0);
        let (place, key) = (offset.saturating_add(query as i64), key as i64);
        (!self.causal || key <= place)
            && self.left.is_none_or(|left| place.saturating_sub(key) <= left)
            && self.right.is_none_or(|right| key.saturating_sub(place) <= right)
            && self
                .lengths
                .as_ref()
                .is_none_or(|lengths| lengths.get(batch).is_none_or(|&length| key < length))
    }

    fn differs_by_sequence(&self) -> bool {
        self.lengths.is_some() || self.offsets.len() > 1
    }

    /// The past of causal attention, when that is all there is.
    fn causal_only(&self) -> Option<usize> {
        let plain = self.causal && self.left.is_none() && self.right.is_none() && !self.differs_by_sequence();
        usize::try_from(self.offsets.first().copied().unwrap_or(0)).ok().filter(|_| plain)
    }

    fn hides_nothing(&self) -> bool {
        !self.causal && self.left.is_none() && self.right.is_none() && self.lengths.is_none()
    }
}

/// What is hidden and added, in the form that computes soonest.
#[derive(Debug)]
pub(super) struct Scores {
    pub(super) bias: Option<Bias>,
    pub(super) causal_past: Option<usize>,
}

impl Scores {
    /// `mask` broadcasts to the scores; where it has too few keys, the others are hidden. Booleans say what is seen.
    pub(super) fn new(sizes: &Sizes, visible: &Visible, mask: Option<&HostTensor>) -> Result<Self> {
        if mask.is_none() {
            if visible.hides_nothing() {
                return Ok(Self { bias: None, causal_past: None });
            }
            if let Some(past) = visible.causal_only() {
                return Ok(Self { bias: None, causal_past: Some(past) });
            }
        }
        let &Sizes { batch, heads, queries, keys, .. } = sizes;
        let mut own = [1, 1, 1, keys];
        let mut elements = None;
        if let Some(mask) = mask {
            let wrong = || {
                let shape = mask.shape();
                Error::engine(format!(
                    "a mask of shape {shape:?} does not fit scores of [{batch}, {heads}, {queries}, {keys}]"
                ))
            };
            let first = 4_usize.checked_sub(mask.rank()).filter(|&first| first < 4).ok_or_else(wrong)?;
            own[first..].copy_from_slice(mask.shape());
            let fits = own.iter().zip([batch, heads, queries]).all(|(&own, whole)| own == 1 || own == whole);
            if !fits || own[3] > keys {
                return Err(wrong());
            }
            elements = Some(additive(mask)?);
        }
        let batches = if visible.differs_by_sequence() || own[0] > 1 { batch } else { 1 };
        let own_heads = if own[1] > 1 { heads } else { 1 };
        let mut data = Vec::with_capacity(element_count(&[batches, own_heads, queries, keys])?);
        let step = |axis: usize| if own[axis] > 1 { own[axis + 1..].iter().product() } else { 0_usize };
        let [batch_step, head_step, row_step] = [step(0), step(1), step(2)];
        for batch in 0..batches {
            for head in 0..own_heads {
                for query in 0..queries {
                    let start = batch * batch_step + head * head_step + query * row_step;
                    let row = elements.as_ref().map(|elements| &elements[start..start + own[3]]);
                    data.extend((0..keys).map(|key| match row {
                        _ if !visible.sees(batch, query, key) => f32::NEG_INFINITY,
                        Some(row) => row.get(key).copied().unwrap_or(f32::NEG_INFINITY),
                        None => 0.0,
                    }));
                }
            }
        }
        let bias = Bias {
            data,
            batch_stride: if batches > 1 { own_heads * queries * keys } else { 0 },
            head_stride: if own_heads > 1 { queries * keys } else { 0 },
            row_stride: keys,
        };
        Ok(Self { bias: Some(bias), causal_past: None })
    }
}

/// A mask as numbers that are added.
fn additive(mask: &HostTensor) -> Result<Vec<f32>> {
    match mask.data() {
        Data::Bool(seen) => Ok(seen.iter().map(|&seen| if seen { 0.0 } else { f32::NEG_INFINITY }).collect()),
        Data::F32(elements) => Ok(elements.to_vec()),
        Data::F64(_) | Data::F16(_) | Data::Bf16(_) => {
            Ok(to_doubles(mask)?.into_iter().map(|value| value as f32).collect())
        }
        _ => Ok(mask.to_i64s()?.into_iter().map(|value| value as f32).collect()),
    }
}

/// The factor and the cap of the scores.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scaling {
    pub(super) scale: f32,
    pub(super) soft_cap: Option<f32>,
}

/// Attention in single precision. A query that sees no key gets zeros.
#[expect(clippy::too_many_arguments, reason = "attention has as many operands")]
pub(super) fn attend(
    sizes: &Sizes,
    scaling: Scaling,
    scores: &Scores,
    query: View<'_, f32>,
    key: View<'_, f32>,
    value: View<'_, f32>,
    out: &mut [f32],
    layout: Layout,
    threads: &Threads,
) {
    let &Sizes { batch, heads, key_heads, queries, keys, dim, value_dim } = sizes;
    if out.is_empty() {
        return;
    }
    if keys == 0 {
        return out.fill(0.0);
    }
    let attention = Attention {
        batch,
        heads,
        key_heads,
        queries,
        keys,
        dim,
        value_dim,
        scale: scaling.scale,
        causal_past: scores.causal_past,
        soft_cap: scaling.soft_cap,
    };
    let mask = scores.bias.as_ref().map(Bias::mask);
    attention.run(kernel_heads(query), kernel_heads(key), kernel_heads(value), mask, out, layout, threads);
    let Some(bias) = &scores.bias else { return };
    for (index, row) in out.chunks_exact_mut(value_dim).enumerate() {
        let (batch, head, query) = place(sizes, layout, index);
        if bias.hides_all(batch, head, query, keys) {
            row.fill(0.0);
        }
    }
}

/// Which batch, head and query a row of the output belongs to.
pub(super) fn place(sizes: &Sizes, layout: Layout, row: usize) -> (usize, usize, usize) {
    let &Sizes { heads, queries, .. } = sizes;
    let batch = row / (heads * queries);
    match layout {
        Layout::HeadsFirst => (batch, row / queries % heads, row % queries),
        Layout::RowsFirst => (batch, row % heads, row / heads % queries),
    }
}

fn kernel_heads(view: View<'_, f32>) -> Heads<'_> {
    Heads {
        data: view.data,
        batch_stride: view.batch_stride,
        head_stride: view.head_stride,
        row_stride: view.row_stride,
    }
}

/// The number of elements of the output.
pub(super) fn output_count(sizes: &Sizes) -> Result<usize> {
    let &Sizes { batch, heads, queries, keys, value_dim, .. } = sizes;
    element_count(&[batch, heads, queries, keys.max(1)])?;
    element_count(&[batch, heads, queries, value_dim])
}

/// `[batch, heads, rows, dim]` of earlier rows followed by later ones, heads first.
pub(super) fn joined<T: Copy>(
    past: Option<&[T]>,
    past_rows: usize,
    new: View<'_, T>,
    [batch, heads, rows, dim]: [usize; 4],
) -> Result<Vec<T>> {
    let mut out = Vec::with_capacity(element_count(&[batch, heads, past_rows + rows, dim])?);
    for item in 0..batch {
        for head in 0..heads {
            if let Some(past) = past {
                let start = (item * heads + head) * past_rows * dim;
                out.extend_from_slice(&past[start..start + past_rows * dim]);
            }
            for row in 0..rows {
                out.extend_from_slice(new.row(item, head, row, dim));
            }
        }
    }
    Ok(out)
}
