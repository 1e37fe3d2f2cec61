//! Scaled dot-product attention in one pass: `softmax(scale q k^T + mask) v` per head.
//!
//! Queries, keys and values are read where they lie, heads before rows or rows before heads, so that no transposition is
//! needed around attention. A block of queries is worked on at a time, with one query per lane: the scores are held
//! transposed, `[keys, queries]`, so that the softmax over the keys needs no work across lanes, and the scores of a block
//! stay in the first-level cache. Blocks of keys are joined by the running maximum and sum of Milakov and Gimelshein,
//! "Online normalizer calculation for softmax" (2018).

mod block;
#[cfg(test)]
mod tests;

use std::cell::RefCell;

use self::block::{HeadBlock, Rows};
use crate::kernels::parallel::Threads;
use crate::kernels::vector::dispatch;

/// Rows of all heads; the values of a row follow each other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heads<'a> {
    pub(crate) data: &'a [f32],
    pub(crate) batch_stride: usize,
    pub(crate) head_stride: usize,
    pub(crate) row_stride: usize,
}

impl<'a> Heads<'a> {
    /// `[batch, heads, rows, dim]`
    pub(crate) fn heads_first(data: &'a [f32], heads: usize, rows: usize, dim: usize) -> Self {
        Self { data, batch_stride: heads * rows * dim, head_stride: rows * dim, row_stride: dim }
    }

    /// `[batch, rows, heads, dim]`
    pub(crate) fn rows_first(data: &'a [f32], heads: usize, rows: usize, dim: usize) -> Self {
        Self { data, batch_stride: rows * heads * dim, head_stride: dim, row_stride: heads * dim }
    }

    #[inline(always)]
    fn head(self, batch: usize, head: usize) -> Rows<'a> {
        let offset = batch * self.batch_stride + head * self.head_stride;
        Rows { data: self.data.get(offset..).unwrap_or(&[]), stride: self.row_stride }
    }
}

/// What is added to the scores, `[batch, heads, queries, keys]` with stride 0 where it is repeated; the keys follow each
/// other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mask<'a> {
    pub(crate) data: &'a [f32],
    pub(crate) batch_stride: usize,
    pub(crate) head_stride: usize,
    pub(crate) row_stride: usize,
}

/// How the heads of the output lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// `[batch, heads, queries, value_dim]`
    HeadsFirst,
    /// `[batch, queries, heads, value_dim]`
    RowsFirst,
}

/// Sizes and options of an attention.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attention {
    pub(crate) batch: usize,
    pub(crate) heads: usize,
    /// Heads of the keys and values; each serves `heads / key_heads` consecutive heads of queries.
    pub(crate) key_heads: usize,
    pub(crate) queries: usize,
    pub(crate) keys: usize,
    /// Values in a query and in a key.
    pub(crate) dim: usize,
    pub(crate) value_dim: usize,
    pub(crate) scale: f32,
    /// If given, query `i` sees the keys up to `i + past` only.
    pub(crate) causal_past: Option<usize>,
    /// If given, scores become `cap tanh(score / cap)` before the mask is added.
    pub(crate) soft_cap: Option<f32>,
}

/// A part of the output.
struct Task<'a> {
    batch: usize,
    heads: std::ops::Range<usize>,
    first_query: usize,
    queries: usize,
    out: &'a mut [f32],
    /// Distances of heads and rows in `out`.
    strides: (usize, usize),
}

/// Queries of a task; the widest block of queries that is worked on at once.
const QUERY_BLOCK: usize = 64;

/// Multiply-adds below which threads cost more than they save.
const PARALLEL_WORK: usize = 1 << 20;

thread_local! {
    /// Kept between calls, since memory fresh from the operating system is slow to touch.
    static SCRATCH: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

impl Attention {
    /// Writes the attention of `query` over `key` and `value` to `out`.
    ///
    /// A query whose scores are all minus infinity, or that has no keys, gets `NaN`. Sizes are the caller's to check: a
    /// mismatch panics in a slice index.
    #[expect(clippy::too_many_arguments, reason = "the operator has as many inputs")]
    pub(crate) fn run(
        &self,
        query: Heads<'_>,
        key: Heads<'_>,
        value: Heads<'_>,
        mask: Option<Mask<'_>>,
        out: &mut [f32],
        layout: Layout,
        threads: &Threads,
    ) {
        let length = self.batch * self.heads * self.queries * self.value_dim;
        let out = &mut out[..length];
        if length == 0 {
            return;
        }
        if self.keys == 0 {
            out.fill(f32::NAN);
            return;
        }
        let work = self.batch * self.heads * self.queries * self.keys * (self.dim + self.value_dim);
        let threads = if work < PARALLEL_WORK { &Threads::single() } else { threads };
        let mut tasks = self.tasks(out, layout);
        threads.for_each_mut(&mut tasks, |_, task| {
            let mut scratch = SCRATCH.take();
            for (number, head) in task.heads.clone().enumerate() {
                let key_head = head / (self.heads / self.key_heads.max(1)).max(1);
                let mut first = 0;
                while first < task.queries {
                    first += dispatch(HeadBlock {
                        attention: self,
                        query: query.head(task.batch, head),
                        key: key.head(task.batch, key_head),
                        value: value.head(task.batch, key_head),
                        mask: mask.map(|mask| {
                            let offset = task.batch * mask.batch_stride + head * mask.head_stride;
                            Rows { data: &mask.data[offset..], stride: mask.row_stride }
                        }),
                        first_query: task.first_query + first,
                        queries: task.queries - first,
                        out: &mut task.out[number * task.strides.0 + first * task.strides.1..],
                        out_stride: task.strides.1,
                        scratch: &mut scratch,
                    });
                }
            }
            SCRATCH.set(scratch);
        });
    }

    fn tasks<'a>(&self, out: &'a mut [f32], layout: Layout) -> Vec<Task<'a>> {
        let mut tasks = Vec::new();
        // With one query both layouts are the same, and heads are the finer division.
        if layout == Layout::HeadsFirst || self.queries == 1 {
            let head_length = self.queries * self.value_dim;
            for (number, out) in out.chunks_exact_mut(head_length).enumerate() {
                let (batch, head) = (number / self.heads, number % self.heads);
                for (block, out) in out.chunks_mut(QUERY_BLOCK * self.value_dim).enumerate() {
                    tasks.push(Task {
                        batch,
                        heads: head..head + 1,
                        first_query: block * QUERY_BLOCK,
                        queries: out.len() / self.value_dim,
                        out,
                        strides: (0, self.value_dim),
                    });
                }
            }
        } else {
            let row = self.heads * self.value_dim;
            for (batch, out) in out.chunks_exact_mut(self.queries * row).enumerate() {
                for (block, out) in out.chunks_mut(QUERY_BLOCK * row).enumerate() {
                    tasks.push(Task {
                        batch,
                        heads: 0..self.heads,
                        first_query: block * QUERY_BLOCK,
                        queries: out.len() / row,
                        out,
                        strides: (self.value_dim, row),
                    });
                }
            }
        }
        tasks
    }
}
