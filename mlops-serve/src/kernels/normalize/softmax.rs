//! Softmax and its logarithm, along rows and along other axes.
//!
//! The largest value is taken away first, so that nothing overflows; a row is read again while it is hot in the cache.

use pulp::{Simd, WithSimd};

use crate::kernels::math::{exponential_flushed, logarithm};
use crate::kernels::reduce::{Fold, fold_row};
use crate::kernels::vector::{Unary, Vector, dispatch, map_in_place_with};

/// `e^x / sum(e^x)` over each row of `columns`, in place.
pub(crate) fn softmax_rows(data: &mut [f32], columns: usize) {
    dispatch(SoftmaxRows { data, columns, scaled_mask: None, logarithmic: false });
}

/// `e^x / sum(e^x)` over each row of `columns`.
pub(crate) fn softmax_rows_into(x: &[f32], columns: usize, out: &mut [f32]) {
    debug_assert_eq!(x.len(), out.len());
    dispatch(SoftmaxInto { x, columns, out });
}

/// Softmax of `scale x + mask` over each row of `columns`, in place; `mask` is one row, added to all.
pub(crate) fn softmax_rows_masked(data: &mut [f32], columns: usize, scale: f32, mask: &[f32]) {
    debug_assert_eq!(mask.len(), columns);
    dispatch(SoftmaxRows { data, columns, scaled_mask: Some((scale, mask)), logarithmic: false });
}

/// `x - log(sum(e^x))` over each row of `columns`, in place.
pub(crate) fn log_softmax_rows(data: &mut [f32], columns: usize) {
    dispatch(SoftmaxRows { data, columns, scaled_mask: None, logarithmic: true });
}

/// Softmax along the middle axis of `[outer, axis, inner]`, in place.
pub(crate) fn softmax_axis(data: &mut [f32], axis: usize, inner: usize) {
    if inner == 1 {
        softmax_rows(data, axis);
    } else {
        dispatch(SoftmaxAxis { data, axis, inner, logarithmic: false });
    }
}

/// Logarithm of the softmax along the middle axis of `[outer, axis, inner]`, in place.
pub(crate) fn log_softmax_axis(data: &mut [f32], axis: usize, inner: usize) {
    if inner == 1 {
        log_softmax_rows(data, axis);
    } else {
        dispatch(SoftmaxAxis { data, axis, inner, logarithmic: true });
    }
}

/// The largest value, never `NaN`: a `NaN` shows in the sum that follows.
#[derive(Clone, Copy)]
struct LargestNumber;

impl Fold for LargestNumber {
    const START: f32 = f32::NEG_INFINITY;
    #[inline(always)]
    fn step<S: Simd>(self, accumulator: Vector<S>, x: Vector<S>) -> Vector<S> {
        accumulator.at_least(x)
    }
    #[inline(always)]
    fn join<S: Simd>(self, a: Vector<S>, b: Vector<S>) -> Vector<S> {
        a.at_least(b)
    }
    #[inline(always)]
    fn finish<S: Simd>(self, accumulator: Vector<S>) -> f32 {
        accumulator.largest()
    }
}

/// Sum of `e^(x - largest)`.
#[derive(Clone, Copy)]
struct SumExponential {
    largest: f32,
}

impl Fold for SumExponential {
    const START: f32 = 0.0;
    #[inline(always)]
    fn neutral(self) -> f32 {
        f32::NEG_INFINITY
    }
    #[inline(always)]
    fn step<S: Simd>(self, accumulator: Vector<S>, x: Vector<S>) -> Vector<S> {
        accumulator + exponential_flushed(x - x.constant(self.largest))
    }
    #[inline(always)]
    fn join<S: Simd>(self, a: Vector<S>, b: Vector<S>) -> Vector<S> {
        a + b
    }
    #[inline(always)]
    fn finish<S: Simd>(self, accumulator: Vector<S>) -> f32 {
        accumulator.sum()
    }
}

/// `x factor`.
#[derive(Clone, Copy)]
struct Times(f32);

impl Unary for Times {
    #[inline(always)]
    fn apply<S: Simd>(self, x: Vector<S>) -> Vector<S> {
        x * x.constant(self.0)
    }
}

/// `x - amount`.
#[derive(Clone, Copy)]
struct Minus(f32);

impl Unary for Minus {
    #[inline(always)]
    fn apply<S: Simd>(self, x: Vector<S>) -> Vector<S> {
        x - x.constant(self.0)
    }
}

struct SoftmaxRows<'a> {
    data: &'a mut [f32],
    columns: usize,
    scaled_mask: Option<(f32, &'a [f32])>,
    logarithmic: bool,
}

impl WithSimd for SoftmaxRows<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        if self.columns == 0 {
            return;
        }
        for row in self.data.chunks_exact_mut(self.columns) {
            if let Some((scale, mask)) = self.scaled_mask {
                scale_and_add(simd, scale, mask, row);
            }
            let largest = fold_row(simd, LargestNumber, row);
            if self.logarithmic {
                let sum = fold_row(simd, SumExponential { largest }, row);
                map_in_place_with(simd, Minus(largest), row);
                map_in_place_with(simd, Minus(sum.ln()), row);
            } else {
                let sum = exponentiate_row(simd, largest, row);
                map_in_place_with(simd, Times(1.0 / sum), row);
            }
        }
    }
}

#[inline(always)]
fn scale_and_add<S: Simd>(simd: S, scale: f32, mask: &[f32], row: &mut [f32]) {
    let factor = Vector::splat(simd, scale);
    let length = row.len().min(mask.len());
    let (body, tail) = S::as_mut_simd_f32s(&mut row[..length]);
    let (mask_body, mask_tail) = S::as_simd_f32s(&mask[..length]);
    for (x, &mask) in body.iter_mut().zip(mask_body) {
        *x = Vector::new(simd, *x).mul_add(factor, Vector::new(simd, mask)).lanes();
    }
    if !tail.is_empty() {
        let mask = Vector::load_partial(simd, mask_tail);
        Vector::load_partial(simd, tail).mul_add(factor, mask).store_partial(tail);
    }
}

/// Replaces the values by `e^(x - largest)` and returns their sum.
#[inline(always)]
pub(crate) fn exponentiate_row<S: Simd>(simd: S, largest: f32, row: &mut [f32]) -> f32 {
    let (body, tail) = S::as_mut_simd_f32s(row);
    let offset = Vector::splat(simd, largest);
    let mut sums = [Vector::zero(simd); 4];
    let (groups, rest) = pulp::as_arrays_mut::<4, _>(body);
    for group in groups {
        for (lanes, sum) in group.iter_mut().zip(&mut sums) {
            let e = exponential_flushed(Vector::new(simd, *lanes) - offset);
            *lanes = e.lanes();
            *sum += e;
        }
    }
    for (lanes, sum) in rest.iter_mut().zip(&mut sums) {
        let e = exponential_flushed(Vector::new(simd, *lanes) - offset);
        *lanes = e.lanes();
        *sum += e;
    }
    if !tail.is_empty() {
        let x = Vector::load_partial_or(simd, tail, f32::NEG_INFINITY);
        let e = exponential_flushed(x - offset);
        e.store_partial(tail);
        sums[0] += e;
    }
    let [a, b, c, d] = sums;
    ((a + b) + (c + d)).sum()
}

/// Writes `e^(x - largest)` and returns the sum.
#[inline(always)]
fn exponentiate_row_into<S: Simd>(simd: S, largest: f32, x: &[f32], out: &mut [f32]) -> f32 {
    let (x, x_tail) = S::as_simd_f32s(x);
    let (out, out_tail) = S::as_mut_simd_f32s(out);
    let offset = Vector::splat(simd, largest);
    let mut sums = [Vector::zero(simd); 4];
    let (groups, rest) = pulp::as_arrays_mut::<4, _>(out);
    let (x_groups, x_rest) = pulp::as_arrays::<4, _>(x);
    for (out, x) in groups.iter_mut().zip(x_groups) {
        for ((out, &x), sum) in out.iter_mut().zip(x).zip(&mut sums) {
            let e = exponential_flushed(Vector::new(simd, x) - offset);
            *out = e.lanes();
            *sum += e;
        }
    }
    for ((out, &x), sum) in rest.iter_mut().zip(x_rest).zip(&mut sums) {
        let e = exponential_flushed(Vector::new(simd, x) - offset);
        *out = e.lanes();
        *sum += e;
    }
    if !x_tail.is_empty() {
        let x = Vector::load_partial_or(simd, x_tail, f32::NEG_INFINITY);
        let e = exponential_flushed(x - offset);
        e.store_partial(out_tail);
        sums[0] += e;
    }
    let [a, b, c, d] = sums;
    ((a + b) + (c + d)).sum()
}

struct SoftmaxInto<'a> {
    x: &'a [f32],
    columns: usize,
    out: &'a mut [f32],
}

impl WithSimd for SoftmaxInto<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        if self.columns == 0 {
            return;
        }
        for (x, out) in self.x.chunks_exact(self.columns).zip(self.out.chunks_exact_mut(self.columns)) {
            let largest = fold_row(simd, LargestNumber, x);
            let sum = exponentiate_row_into(simd, largest, x, out);
            map_in_place_with(simd, Times(1.0 / sum), out);
        }
    }
}

struct SoftmaxAxis<'a> {
    data: &'a mut [f32],
    axis: usize,
    inner: usize,
    logarithmic: bool,
}

impl WithSimd for SoftmaxAxis<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { data, axis, inner, logarithmic } = self;
        if axis == 0 || inner == 0 {
            return;
        }
        for block in data.chunks_exact_mut(axis * inner) {
            for column in (0..inner).step_by(Vector::<S>::LANES) {
                let end = (column + Vector::<S>::LANES).min(inner);
                let mut largest = Vector::splat(simd, f32::NEG_INFINITY);
                for row in block.chunks_exact(inner) {
                    largest = largest.at_least(Vector::load(simd, &row[column..end]));
                }
                let mut sum = Vector::zero(simd);
                for row in block.chunks_exact_mut(inner) {
                    let below = Vector::load(simd, &row[column..end]) - largest;
                    let e = exponential_flushed(below);
                    sum += e;
                    (if logarithmic { below } else { e }).store(&mut row[column..end]);
                }
                let (factor, shift) = if logarithmic {
                    (Vector::splat(simd, 1.0), logarithm(sum))
                } else {
                    (Vector::splat(simd, 1.0) / sum, Vector::zero(simd))
                };
                for row in block.chunks_exact_mut(inner) {
                    let x = Vector::load(simd, &row[column..end]);
                    (x * factor - shift).store(&mut row[column..end]);
                }
            }
        }
    }
}
