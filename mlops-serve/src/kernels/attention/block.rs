//! The attention of a block of queries of one head.

use pulp::{Simd, WithSimd};

use super::Attention;
use crate::kernels::math::{exponential_flushed, hyperbolic_tangent};
use crate::kernels::normalize::exponentiate_row;
use crate::kernels::reduce::{Max, fold_row};
use crate::kernels::transpose::transpose_matrix;
use crate::kernels::vector::Vector;

/// One row after another, `stride` apart.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    pub(super) data: &'a [f32],
    pub(super) stride: usize,
}

impl<'a> Rows<'a> {
    #[inline(always)]
    fn row(self, number: usize, length: usize) -> &'a [f32] {
        &self.data[number * self.stride..][..length]
    }
}

/// Values of a block of keys, so that they and their scores share the first-level cache.
const KEY_BLOCK_VALUES: usize = 4096;

/// Fewer queries than this are done one by one.
const FEW_QUERIES: usize = 4;

/// The queries of one head from a first one on. Returns how many of them were done.
pub(super) struct HeadBlock<'a> {
    pub(super) attention: &'a Attention,
    pub(super) query: Rows<'a>,
    pub(super) key: Rows<'a>,
    pub(super) value: Rows<'a>,
    pub(super) mask: Option<Rows<'a>>,
    pub(super) first_query: usize,
    pub(super) queries: usize,
    pub(super) out: &'a mut [f32],
    pub(super) out_stride: usize,
    pub(super) scratch: &'a mut Vec<f32>,
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
        transpose_matrix(simd, source, dim, queries, self.query.stride, transposed, block);
        let factor = Vector::splat(simd, scale);
        for values in S::as_mut_simd_f32s(transposed).0 {
            *values = (Vector::new(simd, *values) * factor).lanes();
        }

        let mut state = OnlineSoftmax::<S, REGISTERS>::new(simd);
        let keys = self.visible(self.first_query + queries - 1);
        for first in (0..keys).step_by(key_block) {
            let count = key_block.min(keys - first);
            multiply_keys::<S, REGISTERS>(simd, transposed, self.key, first, count, dim, scores);
            self.adjust_scores::<S, REGISTERS>(simd, first, count, queries, mask_block, scores);
            let rescale = state.absorb(simd, &mut scores[..count * block]);
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

        let mut inverse = state.sum;
        for inverse in &mut inverse {
            *inverse = Vector::splat(simd, 1.0) / *inverse;
        }
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
                transpose_matrix(simd, source, count, queries, mask.stride, mask_block, block);
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
                for (query, score) in scores.iter_mut().enumerate() {
                    if self.visible(self.first_query + query) > key {
                        break;
                    }
                    *score = f32::NEG_INFINITY;
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

/// Running maximum and sum of each query.
#[derive(Clone, Copy)]
struct OnlineSoftmax<S: Simd, const REGISTERS: usize> {
    largest: [Vector<S>; REGISTERS],
    sum: [Vector<S>; REGISTERS],
}

impl<S: Simd, const REGISTERS: usize> OnlineSoftmax<S, REGISTERS> {
    #[inline(always)]
    fn new(simd: S) -> Self {
        let largest = [Vector::splat(simd, f32::NEG_INFINITY); REGISTERS];
        Self { largest, sum: [Vector::zero(simd); REGISTERS] }
    }

    /// Replaces the scores of a block of keys by `e^(score - largest)`; returns what all that was summed before is to be
    /// multiplied with.
    #[inline(always)]
    fn absorb(&mut self, simd: S, scores: &mut [f32]) -> [Vector<S>; REGISTERS] {
        let rows = pulp::as_arrays_mut::<REGISTERS, _>(S::as_mut_simd_f32s(scores).0).0;
        let mut largest = self.largest;
        for row in rows.iter() {
            for (largest, &score) in largest.iter_mut().zip(row) {
                *largest = largest.at_least(Vector::new(simd, score));
            }
        }
        // Where nothing is visible yet, there is nothing to take away.
        let mut offset = largest;
        for offset in &mut offset {
            let nothing = offset.is_equal(offset.constant(f32::NEG_INFINITY));
            *offset = nothing.select(Vector::zero(simd), *offset);
        }
        let mut sums = [Vector::zero(simd); REGISTERS];
        for row in rows {
            for ((score, sum), &offset) in row.iter_mut().zip(&mut sums).zip(&offset) {
                let e = exponential_flushed(Vector::new(simd, *score) - offset);
                *score = e.lanes();
                *sum += e;
            }
        }
        let mut rescale = [Vector::zero(simd); REGISTERS];
        for register in 0..REGISTERS {
            rescale[register] = exponential_flushed(self.largest[register] - offset[register]);
            self.sum[register] = self.sum[register].mul_add(rescale[register], sums[register]);
        }
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
        for (row, sums) in rows.iter().zip(&mut sums) {
            let factor = Vector::splat(simd, row[d]);
            for (sum, &query) in sums.iter_mut().zip(query) {
                *sum = Vector::new(simd, query).mul_add(factor, *sum);
            }
        }
    }
    for (out, sums) in out.iter_mut().zip(sums) {
        for (out, sum) in out.iter_mut().zip(sums) {
            *out = sum.lanes();
        }
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
            * if left >= 2 && S::REGISTER_COUNT >= 32 {
                multiply_value_panel::<S, 8, 2>(simd, weights, block, values, width, column, first, totals);
                2
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
