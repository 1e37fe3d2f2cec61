//! Scaled dot-product attention in one pass: `softmax(scale q k^T + mask) v` per head.
//!
//! Queries, keys and values are read where they lie, heads before rows or rows before heads, so that no transposition is
//! needed around attention. A block of queries is worked on at a time, with one query per lane: the scores are held
//! transposed, `[keys, queries]`, so that the softmax over the keys needs no work across lanes, and the scores of a block
//! stay in the first-level cache. Blocks of keys are joined by the running maximum and sum of Milakov and Gimelshein,
//! "Online normalizer calculation for softmax" (2018).

use std::cell::RefCell;

use pulp::{Simd, WithSimd};

use crate::kernels::math::{exponential_of_negative, hyperbolic_tangent};
use crate::kernels::normalize::exponentiate_row;
use crate::kernels::parallel::Threads;
use crate::kernels::reduce::{Max, fold_row};
use crate::kernels::transpose::transpose_matrix;
use crate::kernels::vector::{Vector, dispatch};

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

/// One row after another, `stride` apart.
#[derive(Clone, Copy)]
struct Rows<'a> {
    data: &'a [f32],
    stride: usize,
}

impl<'a> Rows<'a> {
    #[inline(always)]
    fn row(self, number: usize, length: usize) -> &'a [f32] {
        &self.data[number * self.stride..][..length]
    }
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

/// Values of a block of keys, so that it takes most of the first-level cache.
const KEY_BLOCK_VALUES: usize = 8192;

/// Fewer queries than this are done one by one.
const FEW_QUERIES: usize = 4;

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

/// The queries of one head from a first one on. Returns how many of them were done.
struct HeadBlock<'a> {
    attention: &'a Attention,
    query: Rows<'a>,
    key: Rows<'a>,
    value: Rows<'a>,
    mask: Option<Rows<'a>>,
    first_query: usize,
    queries: usize,
    out: &'a mut [f32],
    out_stride: usize,
    scratch: &'a mut Vec<f32>,
}

impl WithSimd for HeadBlock<'_> {
    type Output = usize;
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> usize {
        let lanes = Vector::<S>::LANES;
        if self.queries < FEW_QUERIES || lanes == 1 {
            self.one_query(simd);
            1
        } else if S::REGISTER_COUNT >= 32 && self.queries > 2 * lanes {
            self.many_queries::<S, 4>(simd)
        } else if self.queries > lanes {
            self.many_queries::<S, 2>(simd)
        } else {
            self.many_queries::<S, 1>(simd)
        }
    }
}

impl HeadBlock<'_> {
    /// The number of keys that query `number` of the whole sees.
    #[inline(always)]
    fn visible(&self, number: usize) -> usize {
        match self.attention.causal_past {
            Some(past) => self.attention.keys.min(number + past + 1),
            None => self.attention.keys,
        }
    }

    /// The first query, vectorised over the values of a row.
    #[inline(always)]
    fn one_query<S: Simd>(self, simd: S) {
        let &Attention { dim, value_dim, scale, soft_cap, .. } = self.attention;
        let keys = self.visible(self.first_query);
        let scores = sized(self.scratch, keys);
        let query = self.query.row(self.first_query, dim);
        let mask = self.mask.map(|mask| mask.row(self.first_query, keys));
        for (number, score) in scores.iter_mut().enumerate() {
            let mut value = dot(simd, query, self.key.row(number, dim)) * scale;
            if let Some(cap) = soft_cap {
                value = cap * (value / cap).tanh();
            }
            *score = value + mask.map_or(0.0, |mask| mask[number]);
        }
        let largest = fold_row(simd, Max, scores);
        let sum = exponentiate_row(simd, largest, scores);
        let factor = Vector::splat(simd, 1.0 / sum);
        let out = &mut self.out[..value_dim];
        let lanes = Vector::<S>::LANES;
        let wide = 4 * lanes;
        let mut column = 0;
        while column < value_dim {
            let end =
                if column + wide <= value_dim { column + wide } else { (column + lanes).min(value_dim) };
            let mut sums = [Vector::zero(simd); 4];
            for (number, &score) in scores.iter().enumerate() {
                let weight = Vector::splat(simd, score);
                let row = &self.value.row(number, value_dim)[column..end];
                if row.len() == wide {
                    for (sum, &value) in sums.iter_mut().zip(S::as_simd_f32s(row).0) {
                        *sum = weight.mul_add(Vector::new(simd, value), *sum);
                    }
                } else {
                    sums[0] = weight.mul_add(Vector::load(simd, row), sums[0]);
                }
            }
            for (out, sum) in out[column..end].chunks_mut(lanes).zip(sums) {
                (sum * factor).store(out);
            }
            column = end;
        }
    }

    /// As many queries as `REGISTERS` registers have lanes, one query per lane.
    #[inline(always)]
    fn many_queries<S: Simd, const REGISTERS: usize>(self, simd: S) -> usize {
        let &Attention { dim, value_dim, scale, .. } = self.attention;
        let lanes = Vector::<S>::LANES;
        let block = REGISTERS * lanes;
        let queries = self.queries.min(block);
        let width = value_dim.next_multiple_of(lanes);
        let key_block = (KEY_BLOCK_VALUES / width.max(1)).clamp(32, 256);

        let sizes = [
            dim * block,
            key_block * block,
            if self.mask.is_some_and(|mask| mask.stride != 0) { key_block * block } else { 0 },
            block * width,
            key_block * width,
        ];
        let mut scratch = std::mem::take(self.scratch);
        let mut rest = sized(&mut scratch, sizes.iter().sum());
        let [transposed, scores, mask_block, totals, values] = sizes.map(|size| {
            let (part, after) = std::mem::take(&mut rest).split_at_mut(size);
            rest = after;
            part
        });

        // The queries, scaled, one per lane.
        if queries < block {
            transposed.fill(0.0);
        }
        let source = self.query.data.get(self.first_query * self.query.stride..).unwrap_or(&[]);
        transpose_matrix(source, dim, queries, self.query.stride, transposed, block);
        let factor = Vector::splat(simd, scale);
        for values in S::as_mut_simd_f32s(transposed).0 {
            *values = (Vector::new(simd, *values) * factor).lanes();
        }

        let mut state = [OnlineSoftmax::new(simd); REGISTERS];
        let keys = self.visible(self.first_query + queries - 1);
        for first in (0..keys).step_by(key_block) {
            let count = key_block.min(keys - first);
            multiply_keys::<S, REGISTERS>(simd, transposed, self.key, first, count, dim, scores);
            self.adjust_scores::<S, REGISTERS>(simd, first, count, queries, mask_block, scores);
            let mut rescale = [Vector::zero(simd); REGISTERS];
            for (register, (state, rescale)) in state.iter_mut().zip(&mut rescale).enumerate() {
                *rescale = state.absorb::<REGISTERS>(simd, &mut scores[..count * block], register);
            }
            let packed = if width == value_dim && self.value.stride == value_dim {
                &self.value.data[first * value_dim..][..count * value_dim]
            } else {
                for (number, packed) in values.chunks_exact_mut(width).take(count).enumerate() {
                    let (packed, padding) = packed.split_at_mut(value_dim);
                    packed.copy_from_slice(self.value.row(first + number, value_dim));
                    padding.fill(0.0);
                }
                &values[..count * width]
            };
            if first > 0 {
                for (row, totals) in totals.chunks_exact_mut(width).enumerate() {
                    let factor = Vector::splat(simd, lane(simd, rescale[row / lanes], row % lanes));
                    for total in S::as_mut_simd_f32s(totals).0 {
                        *total = (Vector::new(simd, *total) * factor).lanes();
                    }
                }
            }
            multiply_values(simd, &scores[..count * block], block, packed, width, first == 0, totals);
        }

        let inverse = state.map(|state| Vector::splat(simd, 1.0) / state.sum);
        for (number, totals) in totals.chunks_exact(width).take(queries).enumerate() {
            let factor = Vector::splat(simd, lane(simd, inverse[number / lanes], number % lanes));
            let out = &mut self.out[number * self.out_stride..][..value_dim];
            for (out, total) in out.chunks_mut(lanes).zip(S::as_simd_f32s(totals).0) {
                (Vector::new(simd, *total) * factor).store(out);
            }
        }
        *self.scratch = scratch;
        queries
    }

    /// Soft cap, mask and causality of a block of transposed scores.
    #[inline(always)]
    fn adjust_scores<S: Simd, const REGISTERS: usize>(
        &self,
        simd: S,
        first_key: usize,
        count: usize,
        queries: usize,
        mask_block: &mut [f32],
        scores: &mut [f32],
    ) {
        let lanes = Vector::<S>::LANES;
        let block = REGISTERS * lanes;
        if let Some(cap) = self.attention.soft_cap {
            let (cap, inverse) = (Vector::splat(simd, cap), Vector::splat(simd, 1.0 / cap));
            for score in S::as_mut_simd_f32s(&mut scores[..count * block]).0 {
                *score = (cap * hyperbolic_tangent(Vector::new(simd, *score) * inverse)).lanes();
            }
        }
        if let Some(mask) = self.mask {
            if mask.stride == 0 {
                for (scores, &summand) in scores.chunks_exact_mut(block).zip(&mask.data[first_key..][..count])
                {
                    let summand = Vector::splat(simd, summand);
                    for score in S::as_mut_simd_f32s(scores).0 {
                        *score = (Vector::new(simd, *score) + summand).lanes();
                    }
                }
            } else {
                if queries < block {
                    mask_block.fill(0.0);
                }
                let source = &mask.data[self.first_query * mask.stride + first_key..];
                transpose_matrix(source, count, queries, mask.stride, mask_block, block);
                let summands = S::as_simd_f32s(&mask_block[..count * block]).0;
                for (score, &summand) in
                    S::as_mut_simd_f32s(&mut scores[..count * block]).0.iter_mut().zip(summands)
                {
                    *score = (Vector::new(simd, *score) + Vector::new(simd, summand)).lanes();
                }
            }
        }
        if self.attention.causal_past.is_some() {
            for (number, scores) in scores.chunks_exact_mut(block).take(count).enumerate() {
                let key = first_key + number;
                for query in 0..block {
                    if self.visible(self.first_query + query) > key {
                        break;
                    }
                    scores[query] = f32::NEG_INFINITY;
                }
            }
        }
    }
}

/// The first `length` values of a scratch space.
#[inline(always)]
fn sized(scratch: &mut Vec<f32>, length: usize) -> &mut [f32] {
    if scratch.len() < length {
        scratch.resize(length, 0.0);
    }
    &mut scratch[..length]
}

#[inline(always)]
fn lane<S: Simd>(_: S, vector: Vector<S>, number: usize) -> f32 {
    let registers = [vector.lanes()];
    // Registers are arrays of floats of this many lanes; 16 at the most.
    let mut lanes = [0.0; 64];
    for (place, register) in S::as_mut_simd_f32s(&mut lanes).0.iter_mut().zip(registers) {
        *place = register;
    }
    lanes[number]
}

#[inline(always)]
fn dot<S: Simd>(simd: S, a: &[f32], b: &[f32]) -> f32 {
    let (a, a_tail) = S::as_simd_f32s(a);
    let (b, b_tail) = S::as_simd_f32s(b);
    let mut sums = [Vector::zero(simd); 2];
    for (number, (&a, &b)) in a.iter().zip(b).enumerate() {
        let sum = &mut sums[number % 2];
        *sum = Vector::new(simd, a).mul_add(Vector::new(simd, b), *sum);
    }
    if !a_tail.is_empty() {
        sums[0] = Vector::load_partial(simd, a_tail).mul_add(Vector::load_partial(simd, b_tail), sums[0]);
    }
    (sums[0] + sums[1]).sum()
}

/// Running maximum and sum of one register of queries.
#[derive(Clone, Copy)]
struct OnlineSoftmax<S: Simd> {
    largest: Vector<S>,
    sum: Vector<S>,
}

impl<S: Simd> OnlineSoftmax<S> {
    #[inline(always)]
    fn new(simd: S) -> Self {
        Self { largest: Vector::splat(simd, f32::NEG_INFINITY), sum: Vector::zero(simd) }
    }

    /// Replaces the scores in one register column of `[keys, REGISTERS]` by `e^(score - largest)`; returns what all that
    /// was summed before is to be multiplied with.
    #[inline(always)]
    fn absorb<const REGISTERS: usize>(&mut self, simd: S, scores: &mut [f32], register: usize) -> Vector<S> {
        let rows = pulp::as_arrays_mut::<REGISTERS, _>(S::as_mut_simd_f32s(scores).0).0;
        let mut largest = self.largest;
        for row in rows.iter() {
            largest = largest.at_least(Vector::new(simd, row[register]));
        }
        // Where nothing is visible yet, there is nothing to take away.
        let nothing = largest.is_equal(largest.constant(f32::NEG_INFINITY));
        let offset = nothing.select(Vector::zero(simd), largest);
        let rescale = exponential_of_negative(self.largest - offset);
        let mut sum = Vector::zero(simd);
        for row in rows {
            let e = exponential_of_negative(Vector::new(simd, row[register]) - offset);
            row[register] = e.lanes();
            sum += e;
        }
        self.sum = self.sum.mul_add(rescale, sum);
        self.largest = largest;
        rescale
    }
}

/// Keys that are multiplied at once.
const KEY_TILE: usize = 6;

/// `scores[key][query]`: the products of `count` keys from `first` on with the transposed queries `[dim][query]`.
#[inline(always)]
fn multiply_keys<S: Simd, const REGISTERS: usize>(
    simd: S,
    transposed: &[f32],
    key: Rows<'_>,
    first: usize,
    count: usize,
    dim: usize,
    scores: &mut [f32],
) {
    let queries = pulp::as_arrays::<REGISTERS, _>(S::as_simd_f32s(transposed).0).0;
    let scores = pulp::as_arrays_mut::<REGISTERS, _>(S::as_mut_simd_f32s(scores).0).0;
    let mut number = 0;
    while number + KEY_TILE <= count {
        let out = &mut scores[number..];
        multiply_key_tile::<S, REGISTERS, KEY_TILE>(simd, queries, key, first + number, dim, out);
        number += KEY_TILE;
    }
    while number < count {
        multiply_key_tile::<S, REGISTERS, 1>(simd, queries, key, first + number, dim, &mut scores[number..]);
        number += 1;
    }
}

#[inline(always)]
fn multiply_key_tile<S: Simd, const REGISTERS: usize, const KEYS: usize>(
    simd: S,
    queries: &[[S::f32s; REGISTERS]],
    key: Rows<'_>,
    first: usize,
    dim: usize,
    out: &mut [[S::f32s; REGISTERS]],
) {
    let rows: [&[f32]; KEYS] = std::array::from_fn(|number| key.row(first + number, dim));
    let mut sums = [[Vector::zero(simd); REGISTERS]; KEYS];
    for (d, query) in queries[..dim].iter().enumerate() {
        let query = query.map(|query| Vector::new(simd, query));
        for (row, sums) in rows.iter().zip(&mut sums) {
            let factor = Vector::splat(simd, row[d]);
            for (sum, query) in sums.iter_mut().zip(query) {
                *sum = query.mul_add(factor, *sum);
            }
        }
    }
    for (out, sums) in out.iter_mut().zip(sums) {
        *out = sums.map(Vector::lanes);
    }
}

/// `totals[query] += sum over keys of weights[key][query] * values[key]`, or `=` for the first block.
#[inline(always)]
fn multiply_values<S: Simd>(
    simd: S,
    weights: &[f32],
    block: usize,
    values: &[f32],
    width: usize,
    first: bool,
    totals: &mut [f32],
) {
    let lanes = Vector::<S>::LANES;
    let mut column = 0;
    while column < width {
        let left = (width - column) / lanes;
        column += lanes
            * if left >= 4 && S::REGISTER_COUNT >= 32 {
                multiply_value_panel::<S, 4, 4>(simd, weights, block, values, width, column, first, totals);
                4
            } else if left >= 2 {
                multiply_value_panel::<S, 4, 2>(simd, weights, block, values, width, column, first, totals);
                2
            } else {
                multiply_value_panel::<S, 8, 1>(simd, weights, block, values, width, column, first, totals);
                1
            };
    }
}

#[expect(clippy::too_many_arguments, reason = "a block of a matrix product has as many measures")]
#[inline(always)]
fn multiply_value_panel<S: Simd, const QUERIES: usize, const REGISTERS: usize>(
    simd: S,
    weights: &[f32],
    block: usize,
    values: &[f32],
    width: usize,
    column: usize,
    first: bool,
    totals: &mut [f32],
) {
    let end = column + REGISTERS * Vector::<S>::LANES;
    for query in (0..block).step_by(QUERIES) {
        let mut sums = [[Vector::zero(simd); REGISTERS]; QUERIES];
        for (weights, values) in weights.chunks_exact(block).zip(values.chunks_exact(width)) {
            let Some(weights) = weights[query..].first_chunk::<QUERIES>() else { return };
            let Some(values) = S::as_simd_f32s(&values[column..end]).0.first_chunk::<REGISTERS>() else {
                return;
            };
            for (&weight, sums) in weights.iter().zip(&mut sums) {
                let weight = Vector::splat(simd, weight);
                for (sum, &value) in sums.iter_mut().zip(values) {
                    *sum = weight.mul_add(Vector::new(simd, value), *sum);
                }
            }
        }
        for (number, sums) in sums.iter().enumerate() {
            let totals = &mut totals[(query + number) * width..][column..end];
            for (total, &sum) in S::as_mut_simd_f32s(totals).0.iter_mut().zip(sums) {
                let before = if first { Vector::zero(simd) } else { Vector::new(simd, *total) };
                *total = (before + sum).lanes();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(length: usize, seed: u64) -> Vec<f32> {
        let mut state = seed * 2 + 1;
        (0..length)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                (state >> 40) as f32 / 8_388_608.0 - 1.0
            })
            .collect()
    }

    /// One query at a time in f64, from the formula.
    fn oracle(
        attention: &Attention,
        [query, key, value]: [Heads<'_>; 3],
        mask: Option<Mask<'_>>,
        layout: Layout,
    ) -> Vec<f64> {
        let a = attention;
        let mut out = vec![0.0; a.batch * a.heads * a.queries * a.value_dim];
        for b in 0..a.batch {
            for h in 0..a.heads {
                let kh = h / (a.heads / a.key_heads);
                for i in 0..a.queries {
                    let at = |t: Heads<'_>, head: usize, row: usize, d: usize| {
                        f64::from(t.data[b * t.batch_stride + head * t.head_stride + row * t.row_stride + d])
                    };
                    let seen = a.causal_past.map_or(a.keys, |past| a.keys.min(i + past + 1));
                    let scores: Vec<f64> = (0..seen)
                        .map(|j| {
                            let dot: f64 = (0..a.dim).map(|d| at(query, h, i, d) * at(key, kh, j, d)).sum();
                            let score = dot * f64::from(a.scale);
                            let score = a
                                .soft_cap
                                .map_or(score, |cap| f64::from(cap) * (score / f64::from(cap)).tanh());
                            score
                                + mask.map_or(0.0, |m| {
                                    f64::from(
                                        m.data[b * m.batch_stride + h * m.head_stride + i * m.row_stride + j],
                                    )
                                })
                        })
                        .collect();
                    let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                    let sum: f64 = scores.iter().map(|s| (s - largest).exp()).sum();
                    for d in 0..a.value_dim {
                        let total: f64 = scores
                            .iter()
                            .enumerate()
                            .map(|(j, s)| (s - largest).exp() * at(value, kh, j, d))
                            .sum();
                        let place = match layout {
                            Layout::HeadsFirst => ((b * a.heads + h) * a.queries + i) * a.value_dim + d,
                            Layout::RowsFirst => ((b * a.queries + i) * a.heads + h) * a.value_dim + d,
                        };
                        out[place] = total / sum;
                    }
                }
            }
        }
        out
    }

    fn check(a: &Attention, mask_kind: usize, threads: &Threads) {
        let q = data(a.batch * a.heads * a.queries * a.dim, 3);
        let k = data(a.batch * a.key_heads * a.keys * a.dim, 5);
        let v = data(a.batch * a.key_heads * a.keys * a.value_dim, 7);
        let mut full = data(a.batch * a.heads * a.queries * a.keys, 11);
        for (i, value) in full.iter_mut().enumerate() {
            // Never all keys of a query, and with the greatest distance from what floats hold.
            if i % a.keys % 5 == 4 {
                *value = [f32::MIN, f32::NEG_INFINITY][i % 2];
            }
        }
        let mask = match mask_kind {
            0 => None,
            1 => Some(Mask { data: &full, batch_stride: a.keys, head_stride: 0, row_stride: 0 }),
            2 => Some(Mask { data: &full, batch_stride: 0, head_stride: 0, row_stride: a.keys }),
            _ => Some(Mask {
                data: &full,
                batch_stride: a.heads * a.queries * a.keys,
                head_stride: a.queries * a.keys,
                row_stride: a.keys,
            }),
        };
        for layout in [Layout::HeadsFirst, Layout::RowsFirst] {
            let heads = |data, heads, rows, dim| match layout {
                Layout::HeadsFirst => Heads::heads_first(data, heads, rows, dim),
                Layout::RowsFirst => Heads::rows_first(data, heads, rows, dim),
            };
            let [query, key, value] = [
                heads(&q, a.heads, a.queries, a.dim),
                heads(&k, a.key_heads, a.keys, a.dim),
                heads(&v, a.key_heads, a.keys, a.value_dim),
            ];
            let mut out = vec![f32::NAN; a.batch * a.heads * a.queries * a.value_dim];
            a.run(query, key, value, mask, &mut out, layout, threads);
            let exact = oracle(a, [query, key, value], mask, layout);
            for (i, (&ours, exact)) in out.iter().zip(exact).enumerate() {
                assert!(
                    (f64::from(ours) - exact).abs() < 2e-5,
                    "{a:?} {layout:?} mask {mask_kind} [{i}]: {ours} {exact}"
                );
            }
        }
    }

    #[test]
    fn attention_agrees_with_its_formula() {
        let base = Attention {
            batch: 2,
            heads: 4,
            key_heads: 4,
            queries: 1,
            keys: 1,
            dim: 8,
            value_dim: 8,
            scale: 0.35,
            causal_past: None,
            soft_cap: None,
        };
        let single = Threads::single();
        for (queries, keys) in
            [(1, 1), (1, 40), (3, 7), (4, 9), (17, 33), (40, 300), (70, 70), (130, 20), (5, 700)]
        {
            for (dim, value_dim) in [(8, 8), (32, 32), (64, 64), (5, 19), (33, 1), (16, 100)] {
                for mask in 0..4 {
                    check(&Attention { queries, keys, dim, value_dim, ..base }, mask, &single);
                }
                let grouped =
                    Attention { queries, keys, dim, value_dim, key_heads: 2, soft_cap: Some(1.5), ..base };
                check(&grouped, 0, &single);
                check(&Attention { causal_past: Some(0), ..grouped }, 0, &single);
                check(&Attention { causal_past: Some(6), key_heads: 1, ..grouped }, 0, &single);
            }
        }
        let two = Threads::new(2).unwrap();
        check(&Attention { queries: 200, keys: 150, dim: 64, value_dim: 64, ..base }, 1, &two);
    }

    #[test]
    fn large_scores_do_not_overflow() {
        let a = Attention {
            batch: 1,
            heads: 1,
            key_heads: 1,
            queries: 20,
            keys: 400,
            dim: 16,
            value_dim: 16,
            scale: 400.0,
            causal_past: None,
            soft_cap: None,
        };
        let q = data(20 * 16, 3);
        let k = data(400 * 16, 5);
        let v = data(400 * 16, 7);
        let [query, key, value] = [
            Heads::heads_first(&q, 1, 20, 16),
            Heads::heads_first(&k, 1, 400, 16),
            Heads::heads_first(&v, 1, 400, 16),
        ];
        let mut out = vec![0.0; 20 * 16];
        a.run(query, key, value, None, &mut out, Layout::HeadsFirst, &Threads::single());
        let exact = oracle(&a, [query, key, value], None, Layout::HeadsFirst);
        for (&ours, exact) in out.iter().zip(exact) {
            assert!((f64::from(ours) - exact).abs() < 2e-3, "{ours} {exact}");
        }
    }

    #[test]
    fn a_query_that_sees_nothing_gets_nan_and_the_others_do_not() {
        for queries in [2, 6, 40] {
            let a = Attention {
                batch: 1,
                heads: 1,
                key_heads: 1,
                queries,
                keys: 300,
                dim: 4,
                value_dim: 4,
                scale: 1.0,
                causal_past: None,
                soft_cap: None,
            };
            let x = data(300 * 4, 3);
            let mut mask = vec![0.0; queries * 300];
            mask[..300].fill(f32::NEG_INFINITY);
            // The second sees the last key only.
            mask[300..599].fill(f32::NEG_INFINITY);
            let rows = Heads::heads_first(&x, 1, 300, 4);
            let mask = Mask { data: &mask, batch_stride: 0, head_stride: 0, row_stride: 300 };
            let mut out = vec![0.0; queries * 4];
            a.run(rows, rows, rows, Some(mask), &mut out, Layout::HeadsFirst, &Threads::single());
            assert!(out[..4].iter().all(|x| x.is_nan()));
            assert!(out[4..8].iter().zip(&x[299 * 4..]).all(|(a, b)| (a - b).abs() < 1e-6));
            assert!(out[4..].iter().all(|x| !x.is_nan()));
        }
    }
}
